/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_fold.h"

#include "alloc.h"
#include "prefetch.h"
#include "sorted.h"
#include "verify_report.h"

#include <inttypes.h>

/* --- the route ---------------------------------------------------------------------------------------------------- */

static struct rc fill(const struct verify_work *t, struct catalog_timeline *out, struct err *err)
{
    *out = (struct catalog_timeline){.number = t->number, .origin.timeline = t->number}; /* no parents here */
    out->logs = mem_try(t->log_count + 1, sizeof *out->logs);
    out->folds = mem_try(t->fold_count + 1, sizeof *out->folds);
    if (out->logs == NULL || out->folds == NULL)
        return rc_raise(err, E_NOMEM, "verification of %zu segments", t->log_count);
    for (size_t i = 0; i < t->log_count; i++)
        out->logs[out->log_count++] = (struct catalog_log){t->logs[i].first_txid, t->logs[i].size};
    for (size_t i = 0; i < t->fold_count; i++)
        if (!t->folds[i].lost)
            out->folds[out->fold_count++] =
                (struct catalog_fold){t->folds[i].first_txid, t->folds[i].last_txid, t->folds[i].size};
    return RC_OK;
}

struct rc verify_fold_route(const struct verify_work *t, struct catalog_step **steps, size_t *count, struct err *err)
{
    struct catalog_timeline timeline;
    struct catalog catalog = {.timelines = &timeline, .timeline_count = 1};
    struct rc rc = fill(t, &timeline, err);

    if (!rc_failed(rc))
        rc = catalog_route(&catalog, t->number, steps, count, err);
    mem_free(timeline.logs);
    mem_free(timeline.folds);
    return rc;
}

/* --- what is in one ----------------------------------------------------------------------------------------------- */

struct rc verify_fold_open(struct span object, const struct fold *f, const struct fold_row *row, struct zstr_dec *zstd,
    struct catalog_object *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;

    buf_init(&bytes, FOLD_OBJECT_MAX);
    buf_put(&bytes, object.data + row->offset, row->size);
    TRY(buf_check(&bytes, "segment of a fold", err));
    return catalog_open(out, &bytes, f->timeline, row->first_txid, zstd, err);
}

static struct rc check_row(
    struct span object, const struct fold *f, const struct fold_row *row, struct zstr_dec *zstd, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};

    TRY(verify_fold_open(object, f, row, zstd, &o, err));
    if (o.segment == NULL || seg_dec_info(o.segment)->commit_count != row->last_txid - row->first_txid + 1)
        return rc_raise(err, E_CORRUPT, "the segment at txid %" PRIu64 " is not what the table says", row->first_txid);
    return seg_dec_info(o.segment)->part_count == 0 ? seg_dec_pages_tail(o.segment, NULL, NULL, err) : RC_OK;
}

static struct rc check_rows(struct span object, const struct catalog_step *step, const struct fold *f, struct err *err)
{
    struct zstr_dec *zstd;
    struct rc rc = RC_OK;

    if (f->timeline != step->timeline || f->rows[0].first_txid != step->fold_first
        || f->rows[f->count - 1].last_txid != step->fold_last)
        return rc_raise(err, E_CORRUPT, "it says that it is txid %" PRIu64 " to %" PRIu64 " of timeline %" PRIu32,
            f->rows[0].first_txid, f->rows[f->count - 1].last_txid, f->timeline);
    zstd = zstr_dec_new();
    for (size_t i = 0; i < f->count && !rc_failed(rc); i++)
        rc = check_row(object, f, &f->rows[i], zstd, err);
    zstr_dec_free(zstd);
    return rc;
}

struct rc verify_fold_check(struct span object, const struct catalog_step *step, struct fold *out, struct err *err)
{
    struct fold f;
    struct rc rc;

    TRY(fold_decode(object, &f, err));
    rc = check_rows(object, step, &f, err);
    if (rc_failed(rc)) {
        fold_fini(&f);
        return rc;
    }
    *out = f;
    return RC_OK;
}

/* --- notes -------------------------------------------------------------------------------------------------------- */

static struct verify_fold_key *find_fold(struct verify_work *t, const struct catalog_step *step)
{
    for (size_t i = 0; i < t->fold_count; i++)
        if (t->folds[i].first_txid == step->fold_first && t->folds[i].last_txid == step->fold_last)
            return &t->folds[i];
    return NULL;
}

static struct verify_log_key *find_log(struct verify_work *t, uint64_t first_txid)
{
    size_t at = SORTED_AT(t->logs, t->log_count, first_txid, first_txid);

    return at < t->log_count && t->logs[at].first_txid == first_txid ? &t->logs[at] : NULL;
}

void verify_fold_judged(struct verify_work *t, const struct catalog_step *step)
{
    struct verify_fold_key *fold = catalog_step_is_fold(step) ? find_fold(t, step) : NULL;
    struct verify_log_key *log = catalog_step_is_fold(step) ? NULL : find_log(t, step->first_txid);

    if (fold != NULL)
        fold->judged = true;
    if (log != NULL)
        log->judged = true;
}

void verify_fold_lose(struct verify_work *t, const struct catalog_step *step)
{
    struct verify_fold_key *fold = find_fold(t, step);

    if (fold != NULL)
        fold->lost = true;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

struct rest {
    struct verify_job *job;
    struct verify_work *timeline;
    struct catalog_step *steps; /* owned */
    size_t count;
};

static uint64_t describe(void *ctx, size_t i, layout_text key)
{
    const struct rest *r = ctx;

    catalog_step_key(&r->steps[i], key);
    return r->steps[i].size;
}

static struct rc find_rest(struct rest *r, struct err *err)
{
    const struct verify_work *t = r->timeline;

    r->steps = mem_try(t->log_count + t->fold_count + 1, sizeof *r->steps);
    if (r->steps == NULL)
        return rc_raise(err, E_NOMEM, "verification of %zu segments", t->log_count);
    for (size_t i = 0; i < t->fold_count; i++) {
        const struct verify_fold_key *f = &t->folds[i];

        if (!f->judged && !f->lost)
            r->steps[r->count++] = (struct catalog_step){t->number, f->first_txid, f->last_txid, f->size,
                .fold_first = f->first_txid, .fold_last = f->last_txid};
    }
    for (size_t i = 0; i < t->log_count; i++)
        if (!t->logs[i].judged)
            r->steps[r->count++] = (struct catalog_step){t->number, t->logs[i].first_txid, UINT64_MAX, t->logs[i].size};
    return RC_OK;
}

static struct rc check_one(const struct catalog_step *step, struct buf *bytes, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    CLEANUP(fold_fini) struct fold f = {0};

    if (catalog_step_is_fold(step))
        return verify_fold_check(buf_span(bytes), step, &f, err);
    TRY(catalog_open(&o, bytes, step->timeline, step->first_txid, NULL, err));
    if (o.segment == NULL)
        return rc_raise(err, E_CORRUPT, "a seal among commits");
    return seg_dec_info(o.segment)->part_count == 0 ? seg_dec_pages_tail(o.segment, NULL, NULL, err) : RC_OK;
}

static struct rc judge(struct rest *r, size_t i, struct buf *bytes, struct rc rc, struct err *err)
{
    const struct catalog_step *step = &r->steps[i];
    enum layout_kind kind = catalog_step_is_fold(step) ? LAYOUT_FOLD : LAYOUT_LOG;
    layout_text key;

    if (rc.code == E_NOTFOUND)
        return RC_OK; /* deleted since it was listed, as it should be */
    verify_intern_read(r->job, bytes->size);
    if (!rc_failed(rc))
        rc = check_one(step, bytes, err);
    catalog_step_key(step, key);
    if (rc_failed(rc) && !verify_intern_is_damage(rc))
        return rc_wrap(err, "%s", key);
    if (!rc_failed(rc))
        verify_report_good(r->job, r->timeline, kind);
    else
        verify_report_find(r->job, r->timeline, VERIFY_UNEXPECTED, kind, key,
            "damaged (%.300s), but a fold that is whole has the same commits", err->msg);
    return RC_OK;
}

struct rc verify_fold_rest(struct verify_job *j, struct verify_work *t, struct err *err)
{
    struct rest r = {.job = j, .timeline = t};
    struct prefetch *p;
    struct rc rc = find_rest(&r, err);

    if (rc_failed(rc))
        return rc;
    p = prefetch_new(j->work, j->store, r.count, describe, &r);
    for (size_t i = 0; i < r.count && !rc_failed(rc); i++) {
        CLEANUP(buf_fini) struct buf bytes = {0};

        rc = prefetch_take(p, &bytes, err);
        rc = judge(&r, i, &bytes, rc, err);
    }
    prefetch_free(p);
    mem_free(r.steps);
    return rc;
}
