/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_part.h"

#include "alloc.h"
#include "prefetch.h"
#include "verify_report.h"
#include "verify_walk.h"

#include <inttypes.h>

struct list {
    uint32_t timeline;
    const struct seg_info *info;
};

static uint64_t describe(void *ctx, size_t i, layout_text key)
{
    const struct list *l = ctx;

    layout_part(key, l->timeline, l->info->base_txid + 1, &l->info->pack.writer, (uint32_t)i);
    return l->info->parts[i].size;
}

/* The part by itself, whatever became of those before it. */
static struct rc check_alone(const struct seg_info *info, size_t i, struct span part, struct err *err)
{
    struct pack_header pack;
    struct span body;
    struct cursor trailer;

    if (part.size != info->parts[i].size)
        return rc_raise(err, E_CORRUPT, "%zu bytes, the segment lists %" PRIu64, part.size, info->parts[i].size);
    TRY(pack_open(part, PACK_PART, 0, &pack, &body, err));
    trailer = cursor_of(span_of(part.data + part.size - PACK_TRAILER_SIZE, PACK_TRAILER_SIZE));
    if (cursor_u64(&trailer) != info->parts[i].hash)
        return rc_raise(err, E_CORRUPT, "not the one that the segment lists");
    return RC_OK;
}

static struct rc fetch_again(
    struct verify_job *j, const struct seg_info *info, size_t i, const char *key, struct buf *bytes, struct err *err)
{
    CLEANUP(verify_intern_finip) struct store_req req;

    buf_fini(bytes);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(j->work, j->store, &req, err), err, "%s", key);
    *bytes = req.data;
    req.data = (struct buf){0};
    return check_alone(info, i, buf_span(bytes), err);
}

/* `in_order`: all parts before it are whole, so its place in the commit table can be counted off. */
static struct rc look(struct verify_job *j, struct prefetch *p, struct seg_dec *segment, size_t i, const char *key,
    bool in_order, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = {0};
    const struct seg_info *info = seg_dec_info(segment);
    struct rc rc = prefetch_take(p, &bytes, err);

    if (!rc_failed(rc))
        rc = check_alone(info, i, buf_span(&bytes), err);
    if (verify_intern_is_damage(rc)) /* once more: it may have been the way */
        rc = fetch_again(j, info, i, key, &bytes, err);
    TRY(rc);
    verify_intern_read(j, bytes.size);
    return in_order ? seg_dec_pages_part(segment, buf_span(&bytes), NULL, NULL, err) : RC_OK;
}

static struct rc look_at_all(struct verify_job *j, struct verify_work *t, struct prefetch *p, struct seg_dec *segment,
    char **broken, struct err *err)
{
    struct list list = {t->number, seg_dec_info(segment)};

    for (size_t i = 0; i < list.info->part_count; i++) {
        layout_text key;
        struct err damage;
        struct rc rc;

        (void)describe(&list, i, key);
        verify_walk_claim_part(t, key);
        rc = look(j, p, segment, i, key, *broken == NULL, &damage);
        if (rc_failed(rc) && !verify_intern_is_damage(rc)) {
            *err = damage;
            return rc_wrap(err, "%s", key);
        }
        if (!rc_failed(rc)) {
            verify_report_good(j, t, LAYOUT_PART);
            continue;
        }
        verify_report_damage(j, t, LAYOUT_PART, key, &damage);
        if (*broken == NULL)
            *broken = mem_printf("%s is %s", key, rc.code == E_NOTFOUND ? "missing" : "damaged");
    }
    return RC_OK;
}

struct rc verify_part_run(
    struct verify_job *j, struct verify_work *t, struct seg_dec *segment, char **broken, struct err *err)
{
    struct list list = {t->number, seg_dec_info(segment)};
    CLEANUP(prefetch_freep)
    struct prefetch *p = prefetch_new(j->work, j->store, list.info->part_count, describe, &list);

    TRY(look_at_all(j, t, p, segment, broken, err));
    return *broken == NULL ? seg_dec_pages_tail(segment, NULL, NULL, err) : RC_OK;
}

static void key_of(layout_text out, const struct verify_work *t, const struct verify_part_key *p)
{
    struct nonce writer = {{0}};

    for (size_t i = 0; i < 4; i++)
        writer.bytes[i] = (uint8_t)(p->writer >> (24 - 8 * i));
    layout_part(out, t->number, p->first_txid, &writer, p->number);
}

static struct rc read_alone(struct verify_job *j, const struct verify_part_key *p, const char *key, struct err *err)
{
    CLEANUP(verify_intern_finip) struct store_req req = {0};
    struct pack_header pack;
    struct span body;

    if (p->size > SEG_OBJECT_MAX)
        return rc_raise(err, E_CORRUPT, "%" PRIu64 " bytes, at most %d are possible", p->size, SEG_OBJECT_MAX);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY(work_store(j->work, j->store, &req, err));
    verify_intern_read(j, req.data.size);
    TRY(pack_open(buf_span(&req.data), PACK_PART, 0, &pack, &body, err));
    if (!nonce_equal(&pack.database, &j->report->database))
        return rc_raise(err, E_CORRUPT, "it belongs to another database");
    return RC_OK;
}

struct rc verify_part_rest(struct verify_job *j, struct verify_work *t, struct err *err)
{
    for (size_t i = 0; i < t->part_count; i++) {
        const struct verify_part_key *p = &t->parts[i];
        struct err damage;
        layout_text key;
        struct rc rc;

        if (p->fate == VERIFY_PART_LISTED)
            continue;
        key_of(key, t, p);
        if (p->fate == VERIFY_PART_STRAY) {
            verify_report_find(j, t, VERIFY_UNEXPECTED, LAYOUT_PART, key,
                "no segment lists it (yet): left by a run that never got that far");
            continue;
        }
        rc = read_alone(j, p, key, &damage);
        if (verify_intern_is_damage(rc))
            rc = read_alone(j, p, key, &damage);
        if (rc_failed(rc) && !verify_intern_is_damage(rc)) {
            *err = damage;
            return rc_wrap(err, "%s", key);
        }
        if (rc_failed(rc))
            verify_report_damage(j, t, LAYOUT_PART, key, &damage);
        else
            verify_report_good(j, t, LAYOUT_PART);
    }
    return RC_OK;
}
