/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_log.h"

#include "alloc.h"
#include "prefetch.h"
#include "verify_part.h"
#include "verify_report.h"
#include "verify_walk.h"

#include <assert.h>
#include <inttypes.h>

enum { BATCH_OBJECTS = 64, BATCH_BYTES = 16 << 20 };

/* One object of the log on its way through a lane. */
struct look {
    struct work_item item; /* must be first */
    uint32_t timeline;
    uint64_t first_txid, size;
    struct buf bytes;             /* owned */
    struct catalog_object object; /* owned */
    bool was_segment, was_seal;   /* by its first bytes */
    struct rc rc;
    struct err err;
};

struct log {
    struct verify_job *job;
    struct verify_work *timeline;
    struct prefetch *prefetch;
    struct verify_walk walk;
    struct look looks[BATCH_OBJECTS];
    uint64_t seal_txid; /* 0: none yet */
};

static uint64_t describe(void *ctx, size_t i, layout_text key)
{
    const struct verify_work *t = ctx;

    layout_log(key, t->number, t->logs[i].first_txid);
    return t->logs[i].size;
}

/* --- opening: in a lane ------------------------------------------------------------------------------------------- */

static void open_object(struct look *l)
{
    enum pack_kind kind = PACK_PART;
    struct err ignored;

    if (!rc_failed(pack_kind_of(buf_span(&l->bytes), &kind, &ignored))) {
        l->was_seal = kind == PACK_SEAL;
        l->was_segment = kind == PACK_SEGMENT;
    }
    l->rc = catalog_open(&l->object, &l->bytes, l->timeline, l->first_txid, NULL, &l->err);
    /* One with parts is read on in their order, later. */
    if (!rc_failed(l->rc) && l->object.segment != NULL && seg_dec_info(l->object.segment)->part_count == 0)
        l->rc = seg_dec_pages_tail(l->object.segment, NULL, NULL, &l->err);
}

static void run_look(struct work_item *item)
{
    struct look *l = (struct look *)item;

    if (!rc_failed(l->rc))
        open_object(l);
}

static void look_fini(struct look *l)
{
    catalog_object_fini(&l->object);
    buf_fini(&l->bytes);
}

/* The next objects, opened.  Their failures are theirs. */
static size_t take_batch(struct log *g, size_t at)
{
    struct work_item *items[BATCH_OBJECTS];
    const struct verify_work *t = g->timeline;
    uint64_t bytes = 0;
    size_t n = 0;

    while (n < BATCH_OBJECTS && at + n < t->log_count && (n == 0 || bytes + t->logs[at + n].size <= BATCH_BYTES)) {
        struct look *l = &g->looks[n];

        *l = (struct look){.item = {.run = run_look}, .timeline = t->number, .first_txid = t->logs[at + n].first_txid};
        l->size = t->logs[at + n].size;
        l->rc = prefetch_take(g->prefetch, &l->bytes, &l->err);
        bytes += l->size;
        items[n++] = &l->item;
    }
    work_spread_wait(g->job->work, items, n);
    return n;
}

/* --- judging -------------------------------------------------------------------------------------------------------
 */

/* What seems to be damaged is fetched once more: it may have been the way. */
static void look_again(struct log *g, struct look *l)
{
    CLEANUP(verify_intern_finip) struct store_req req;
    layout_text key;

    look_fini(l);
    layout_log(key, l->timeline, l->first_txid);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    l->rc = work_store(g->job->work, g->job->store, &req, &l->err);
    if (rc_failed(l->rc))
        return;
    l->bytes = req.data;
    req.data = (struct buf){0};
    open_object(l);
}

static struct rc judge_segment(struct log *g, struct look *l, const char *key, uint64_t next_txid, struct err *err)
{
    CLEANUP(mem_freep) char *broken = NULL;
    const struct seg_info *info = seg_dec_info(l->object.segment);

    if (info->part_count > 0) {
        struct err damage;
        struct rc rc = verify_part_run(g->job, g->timeline, l->object.segment, &broken, &damage);

        if (rc.code == E_CORRUPT) {
            verify_report_damage(g->job, g->timeline, LAYOUT_LOG, key, &damage);
            return verify_walk_damaged(&g->walk, key, l->first_txid, next_txid, false, false, err);
        }
        if (rc_failed(rc)) {
            *err = damage;
            return rc;
        }
    }
    return verify_walk_segment(&g->walk, key, info, broken, next_txid, err);
}

/* The last object of every timeline but the newest is its seal, also when nothing of it can be read. */
static bool was_seal(const struct log *g, const struct look *l, uint64_t next_txid)
{
    const struct verify_work *newest = &g->job->timelines[g->job->timeline_count - 1];

    return next_txid == 0 && (l->was_seal || (!l->was_segment && g->timeline->number < newest->number));
}

static struct rc judge(struct log *g, struct look *l, uint64_t next_txid, struct err *err)
{
    layout_text key;

    layout_log(key, l->timeline, l->first_txid);
    if (verify_intern_is_damage(l->rc))
        look_again(g, l);
    verify_intern_read(g->job, l->size);
    if (rc_failed(l->rc) && !verify_intern_is_damage(l->rc)) {
        *err = l->err;
        return rc_wrap(err, "%s", key);
    }
    if (g->seal_txid != 0) {
        verify_report_find(g->job, g->timeline, VERIFY_DAMAGED, LAYOUT_LOG, key,
            "it stands behind the seal at txid %" PRIu64 ", which ends the timeline: move it away", g->seal_txid);
        return RC_OK;
    }
    if (rc_failed(l->rc)) {
        verify_report_damage(g->job, g->timeline, LAYOUT_LOG, key, &l->err);
        return verify_walk_damaged(
            &g->walk, key, l->first_txid, next_txid, l->rc.code == E_NOTFOUND, was_seal(g, l, next_txid), err);
    }
    if (l->object.sealed) {
        g->seal_txid = l->first_txid;
        return verify_walk_seal(&g->walk, key, &l->object.seal, err);
    }
    return judge_segment(g, l, key, next_txid, err);
}

static struct rc judge_batch(struct log *g, size_t at, size_t n, struct err *err)
{
    const struct verify_work *t = g->timeline;
    struct rc rc = RC_OK;

    for (size_t i = 0; i < n; i++) {
        if (!rc_failed(rc))
            rc = judge(g, &g->looks[i], at + i + 1 < t->log_count ? t->logs[at + i + 1].first_txid : 0, err);
        look_fini(&g->looks[i]);
    }
    return rc;
}

struct rc verify_log_run(struct verify_job *j, struct verify_work *t, struct err *err)
{
    struct log *g = mem_new(sizeof *g);
    struct rc rc = RC_OK;

    g->job = j;
    g->timeline = t;
    verify_walk_init(&g->walk, j, t);
    g->prefetch = prefetch_new(j->work, j->store, t->log_count, describe, t);
    for (size_t at = 0; at < t->log_count && !rc_failed(rc);) {
        size_t n = take_batch(g, at);

        rc = judge_batch(g, at, n, err);
        at += n;
    }
    if (!rc_failed(rc))
        rc = verify_walk_finish(&g->walk, err);
    if (!rc_failed(rc))
        rc = verify_part_rest(j, t, err);
    prefetch_free(g->prefetch);
    verify_walk_fini(&g->walk);
    mem_free(g);
    return rc;
}
