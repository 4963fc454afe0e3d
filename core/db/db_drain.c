/* SPDX-License-Identifier: Apache-2.0 */
#include "db_drain.h"

#include "alloc.h"
#include "conflict.h"
#include "layout.h"
#include "seg.h"
#include "shipper.h"
#include "slog.h"

#include <string.h>

/* The replica's end as it moves on. */
struct tip {
    uint64_t txid, checksum;
};

/* The key was taken: by the process that left the file, or by somebody else. */
static struct rc check_taken(struct db_drain *d, const char *key, bool is_part, struct span bytes, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(d->work, d->store, &req, err), err, "%s", key);
    if (req.data.size == bytes.size && memcmp(req.data.data, bytes.data, bytes.size) == 0)
        return RC_OK;
    return is_part ? conflict_explain_part(key, err) : conflict_explain(key, buf_span(&req.data), err);
}

static struct rc put(struct db_drain *d, const struct spool_name *name, struct span bytes, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    layout_text key;
    struct rc rc;

    if (name->is_part)
        layout_part(key, name->timeline, name->first_txid, &name->run, name->number);
    else
        layout_log(key, name->timeline, name->first_txid);
    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = bytes;
    req.create_only = true;
    rc = work_store(d->work, d->store, &req, err);
    if (rc.code == E_EXISTS)
        return check_taken(d, key, name->is_part, bytes, err);
    TRY_CTX(rc, err, "ship %s from the spool", key);
    return RC_OK;
}

static struct rc put_file(struct db_drain *d, const struct spool_name *name, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;

    buf_init(&bytes, SPOOL_OBJECT_MAX);
    TRY(spool_get(d->spool, name, &bytes, err));
    return put(d, name, buf_span(&bytes), err);
}

static void drop(struct db_drain *d, const struct spool_name *names, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        spool_drop(d->spool, &names[i]);
}

static struct rc check_fits(
    const struct db_drain *d, const struct seg_info *info, const struct tip *tip, struct err *err)
{
    if (!nonce_equal(&info->pack.database, &d->facts->database) || info->timeline != d->facts->newest)
        return rc_raise(err, E_CORRUPT, "it belongs to another history or timeline");
    if (info->base_txid != tip->txid || info->base_checksum != tip->checksum)
        return rc_raise(err, E_CORRUPT, "it begins behind txid %llu, but the replica ends at txid %llu",
            (unsigned long long)info->base_txid, (unsigned long long)tip->txid);
    return RC_OK;
}

/* One segment, names[at], whose parts are names[from..at). */
static struct rc drain_segment(
    struct db_drain *d, const struct spool_name *names, size_t from, size_t at, struct tip *tip, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;
    CLEANUP(seg_dec_freep) struct seg_dec *dec = NULL;
    const struct seg_commit *last;
    const struct seg_info *info;

    buf_init(&bytes, SPOOL_OBJECT_MAX);
    TRY(spool_get(d->spool, &names[at], &bytes, err));
    TRY(seg_dec_open(&dec, buf_span(&bytes), err));
    info = seg_dec_info(dec);
    last = &info->commits[info->commit_count - 1];
    if (last->txid > tip->txid) {
        TRY(check_fits(d, info, tip, err));
        for (size_t i = from; i < at; i++)
            TRY(put_file(d, &names[i], err));
        TRY(put(d, &names[at], buf_span(&bytes), err));
        *tip = (struct tip){.txid = last->txid, .checksum = last->checksum};
        d->shipped_count++;
    }
    drop(d, names, from, at + 1);
    return RC_OK;
}

/* Nothing of it belongs anywhere else than behind our own position. */
static bool is_ours(const struct lineage_facts *f)
{
    const struct local_state_content *c = f->local;

    return f->has_history && f->found == LOCAL_STATE_GOOD && nonce_equal(&c->database, &f->database)
           && c->pos.timeline == f->newest && !f->newest_sealed && !f->foreign_after && !c->restored;
}

struct rc db_drain_run(struct db_drain *d, struct err *err)
{
    CLEANUP(mem_freep) struct spool_name *names = NULL;
    struct tip tip = {.txid = d->facts->tip_txid, .checksum = d->facts->tip_checksum};
    size_t count, from = 0;

    TRY(spool_list(d->spool, &names, &count, err));
    if (count == 0 || !is_ours(d->facts))
        return RC_OK;
    LOG_INFO("shipping what an earlier run left in the spool", F_STR("db", d->path), F_U64("files", count));
    for (size_t i = 0; i < count; i++) {
        struct rc rc;

        if (names[i].is_part)
            continue;
        rc = drain_segment(d, names, from, i, &tip, &d->why);
        if (rc.code == E_CORRUPT || rc.code == E_NOTFOUND) {
            d->damaged = true;
            rc_ignore(rc_wrap(&d->why, "the spooled segment that begins with txid %llu cannot be used",
                          (unsigned long long)names[i].first_txid),
                "the lineage decides what becomes of the history");
            LOG_ERROR("spool", F_STR("db", d->path), F_ERR(&d->why));
            return RC_OK;
        }
        if (rc_failed(rc)) {
            *err = d->why;
            return rc;
        }
        from = i + 1;
    }
    drop(d, names, from, count); /* parts of a segment that was never finished */
    return RC_OK;
}
