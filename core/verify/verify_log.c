/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_log.h"

#include "alloc.h"
#include "prefetch.h"
#include "verify_fold.h"
#include "verify_list.h"
#include "verify_part.h"
#include "verify_report.h"
#include "verify_walk.h"

#include <assert.h>
#include <inttypes.h>

enum { BATCH_OBJECTS = 64, BATCH_BYTES = 16 << 20 };

/* One object of the log on its way through a lane. */
struct look {
    struct work_item item; /* must be first */
    struct catalog_step step;
    struct buf bytes;             /* owned */
    struct catalog_object object; /* owned */
    struct fold fold;             /* owned; of `bytes` */
    bool was_segment, was_seal;   /* by its first bytes */
    struct rc rc;
    struct err err;
};

struct log {
    struct verify_job *job;
    struct verify_work *timeline;
    struct prefetch *prefetch;
    struct catalog_step *steps; /* owned */
    size_t count, at;           /* the next to be judged */
    size_t begin;               /* where `prefetch` began */
    bool rerouted;
    struct zstr_dec *zstd; /* owned */
    struct verify_walk walk;
    struct look looks[BATCH_OBJECTS];
    uint64_t seal_txid; /* 0: none yet */
};

static uint64_t describe(void *ctx, size_t i, layout_text key)
{
    const struct log *g = ctx;

    catalog_step_key(&g->steps[g->begin + i], key);
    return g->steps[g->begin + i].size;
}

/* --- opening: in a lane ------------------------------------------------------------------------------------------- */

static void open_object(struct look *l)
{
    enum pack_kind kind = PACK_PART;
    struct err ignored;

    if (catalog_step_is_fold(&l->step)) {
        l->rc = verify_fold_check(buf_span(&l->bytes), &l->step, &l->fold, &l->err);
        return;
    }
    if (!rc_failed(pack_kind_of(buf_span(&l->bytes), &kind, &ignored))) {
        l->was_seal = kind == PACK_SEAL;
        l->was_segment = kind == PACK_SEGMENT;
    }
    l->rc = catalog_open(&l->object, &l->bytes, l->step.timeline, l->step.first_txid, NULL, &l->err);
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
    fold_fini(&l->fold);
    buf_fini(&l->bytes);
}

/* The next objects, opened.  Their failures are theirs. */
static size_t take_batch(struct log *g)
{
    struct work_item *items[BATCH_OBJECTS];
    uint64_t bytes = 0;
    size_t n = 0;

    while (n < BATCH_OBJECTS && g->at + n < g->count && (n == 0 || bytes + g->steps[g->at + n].size <= BATCH_BYTES)) {
        struct look *l = &g->looks[n];

        *l = (struct look){.item = {.run = run_look}, .step = g->steps[g->at + n]};
        l->rc = prefetch_take(g->prefetch, &l->bytes, &l->err);
        bytes += l->step.size;
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
    catalog_step_key(&l->step, key);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    l->rc = work_store(g->job->work, g->job->store, &req, &l->err);
    if (rc_failed(l->rc))
        return;
    l->bytes = req.data;
    req.data = (struct buf){0};
    open_object(l);
}

/* The way through the log, from where it is judged. */
static struct rc route(struct log *g, struct err *err)
{
    const struct verify_walk *w = &g->walk;

    prefetch_free(g->prefetch);
    g->prefetch = NULL;
    mem_free(g->steps);
    g->steps = NULL;
    TRY(verify_fold_route(g->timeline, &g->steps, &g->count, err));
    for (g->at = 0; g->at < g->count && w->begun && !w->anywhere; g->at++)
        if (g->steps[g->at].first_txid > w->at
            || (catalog_step_is_fold(&g->steps[g->at]) && g->steps[g->at].last_txid > w->at))
            break;
    g->begin = g->at;
    g->prefetch = prefetch_new(g->job->work, g->job->store, g->count - g->begin, describe, g);
    g->rerouted = true;
    return RC_OK;
}

static struct rc judge_segment(
    struct log *g, struct catalog_object *o, const char *key, uint64_t next_txid, struct err *err)
{
    CLEANUP(mem_freep) char *broken = NULL;
    const struct seg_info *info = seg_dec_info(o->segment);

    if (info->part_count > 0) {
        struct err damage;
        struct rc rc = verify_part_run(g->job, g->timeline, o->segment, &broken, &damage);

        if (rc.code == E_CORRUPT) {
            verify_report_damage(g->job, g->timeline, g->walk.kind, key, &damage);
            return verify_walk_damaged(&g->walk, key, info->base_txid + 1, next_txid, false, false, err);
        }
        if (rc_failed(rc)) {
            *err = damage;
            return rc;
        }
    }
    return verify_walk_segment(&g->walk, key, info, broken, next_txid, err);
}

/* The segments of a fold, as if they came one by one. */
static struct rc judge_rows(struct log *g, struct look *l, const char *key, uint64_t next_txid, struct err *err)
{
    for (size_t i = 0; i < l->fold.count; i++) {
        CLEANUP(catalog_object_fini) struct catalog_object o = {0};
        const struct fold_row *row = &l->fold.rows[i];

        if (row->last_txid < l->step.first_txid || (g->walk.begun && !g->walk.anywhere && row->last_txid <= g->walk.at))
            continue;
        TRY(verify_fold_open(buf_span(&l->bytes), &l->fold, row, g->zstd, &o, err));
        TRY(judge_segment(g, &o, key, i + 1 == l->fold.count ? next_txid : 0, err));
    }
    return RC_OK;
}

static struct rc judge_fold(struct log *g, struct look *l, const char *key, uint64_t next_txid, struct err *err)
{
    uint64_t damaged = g->job->report->totals[VERIFY_DAMAGED];
    struct rc rc;

    g->walk.kind = LAYOUT_FOLD;
    rc = judge_rows(g, l, key, next_txid, err);
    g->walk.kind = LAYOUT_LOG;
    if (!rc_failed(rc) && damaged == g->job->report->totals[VERIFY_DAMAGED])
        verify_report_good(g->job, g->timeline, LAYOUT_FOLD);
    return rc;
}

/* Readers do without it: what the way around it lacks is lost. */
static struct rc lose_fold(struct log *g, const struct look *l, const char *key, struct err *err)
{
    const struct catalog_step step = l->step;
    uint64_t from = step.first_txid, to = step.last_txid;

    if (g->walk.begun && !g->walk.anywhere && g->walk.at >= from)
        from = g->walk.at + 1;
    verify_report_damage(g->job, g->timeline, LAYOUT_FOLD, key, &l->err);
    verify_fold_lose(g->timeline, &step);
    TRY(route(g, err));
    if (g->at < g->count && g->steps[g->at].first_txid <= to)
        to = g->steps[g->at].first_txid - 1;
    if (to < from)
        return RC_OK;
    return verify_walk_damaged(&g->walk, key, from, to + 1, l->rc.code == E_NOTFOUND, false, err);
}

/* The last object of every timeline but the newest is its seal, also when nothing of it can be read. */
static bool was_seal(const struct log *g, const struct look *l, uint64_t next_txid)
{
    const struct verify_work *newest = &g->job->timelines[g->job->timeline_count - 1];

    return next_txid == 0 && (l->was_seal || (!l->was_segment && g->timeline->number < newest->number));
}

static struct rc judge_failed(struct log *g, struct look *l, const char *key, uint64_t next_txid, struct err *err)
{
    if (catalog_step_is_fold(&l->step))
        return lose_fold(g, l, key, err);
    verify_report_damage(g->job, g->timeline, LAYOUT_LOG, key, &l->err);
    return verify_walk_damaged(
        &g->walk, key, l->step.first_txid, next_txid, l->rc.code == E_NOTFOUND, was_seal(g, l, next_txid), err);
}

static struct rc judge(struct log *g, struct look *l, uint64_t next_txid, struct err *err)
{
    layout_text key;
    bool folded = false;

    catalog_step_key(&l->step, key);
    if (verify_intern_is_damage(l->rc))
        look_again(g, l);
    if (l->rc.code == E_NOTFOUND)
        TRY(verify_list_folds(g->job, g->timeline, &folded, err));
    if (folded)
        return route(g, err);
    verify_fold_judged(g->timeline, &l->step);
    verify_intern_read(g->job, l->step.size);
    if (rc_failed(l->rc) && !verify_intern_is_damage(l->rc)) {
        *err = l->err;
        return rc_wrap(err, "%s", key);
    }
    if (g->seal_txid != 0) {
        verify_report_find(g->job, g->timeline, VERIFY_DAMAGED, LAYOUT_LOG, key,
            "it stands behind the seal at txid %" PRIu64 ", which ends the timeline: move it away", g->seal_txid);
        return RC_OK;
    }
    if (rc_failed(l->rc))
        return judge_failed(g, l, key, next_txid, err);
    if (catalog_step_is_fold(&l->step))
        return judge_fold(g, l, key, next_txid, err);
    if (l->object.sealed) {
        g->seal_txid = l->step.first_txid;
        return verify_walk_seal(&g->walk, key, &l->object.seal, err);
    }
    return judge_segment(g, &l->object, key, next_txid, err);
}

static struct rc judge_batch(struct log *g, size_t n, struct err *err)
{
    const size_t from = g->at;
    struct rc rc = RC_OK;

    g->rerouted = false;
    for (size_t i = 0; i < n; i++) {
        size_t next = from + i + 1;

        if (!rc_failed(rc) && !g->rerouted)
            rc = judge(g, &g->looks[i], next < g->count ? g->steps[next].first_txid : 0, err);
        look_fini(&g->looks[i]);
    }
    if (!g->rerouted)
        g->at = from + n;
    return rc;
}

static struct rc walk_log(struct log *g, struct err *err)
{
    TRY(route(g, err));
    while (g->at < g->count) {
        size_t n = take_batch(g);

        TRY(judge_batch(g, n, err));
    }
    TRY(verify_walk_finish(&g->walk, err));
    TRY(verify_fold_rest(g->job, g->timeline, err));
    return verify_part_rest(g->job, g->timeline, err);
}

struct rc verify_log_run(struct verify_job *j, struct verify_work *t, struct err *err)
{
    struct log *g = mem_new(sizeof *g);
    struct rc rc;

    g->job = j;
    g->timeline = t;
    g->zstd = zstr_dec_new();
    verify_walk_init(&g->walk, j, t);
    rc = walk_log(g, err);
    prefetch_free(g->prefetch);
    verify_walk_fini(&g->walk);
    zstr_dec_free(g->zstd);
    mem_free(g->steps);
    mem_free(g);
    return rc;
}
