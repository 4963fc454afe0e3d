/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_read.h"

#include "alloc.h"
#include "fold.h"
#include "prefetch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WHOLE_MAX = 1 << 20 }; /* a fold of this size is fetched whole: cheaper than two requests */

/* A fold in memory. */
struct held {
    struct fold fold;
    struct buf bytes; /* owned; all of the object */
};

struct catalog_read {
    struct work *work;
    struct store *store;
    struct zstr_dec *zstd; /* owned: one for all segments */
    const struct catalog_step *steps;
    size_t count, at; /* at: the step that is read now, or next */
    struct prefetch *prefetch;
    struct held held, cover; /* the present step's; one that was found to stand for what is gone */
    const struct held *now;  /* where the present step is read from; NULL: it has not begun */
    uint64_t next_txid;      /* there */
    size_t objects;
    uint64_t bytes;
};

static void held_fini(struct held *h)
{
    fold_fini(&h->fold);
    buf_fini(&h->bytes);
}

/* --- folds -------------------------------------------------------------------------------------------------------- */

static struct rc check_key(const struct fold *f, const struct catalog_step *step, struct err *err)
{
    if (f->timeline != step->timeline || f->rows[0].first_txid != step->fold_first
        || f->rows[f->count - 1].last_txid != step->fold_last)
        return rc_raise(err, E_CORRUPT, "it says that it is txid %" PRIu64 " to %" PRIu64 " of timeline %" PRIu32,
            f->rows[0].first_txid, f->rows[f->count - 1].last_txid, f->timeline);
    return RC_OK;
}

/* Takes the bytes. */
static struct rc hold(struct held *h, struct buf *bytes, const struct catalog_step *step, struct err *err)
{
    layout_text key;

    held_fini(h);
    h->bytes = *bytes;
    *bytes = (struct buf){0};
    catalog_step_key(step, key);
    TRY_CTX(fold_decode(buf_span(&h->bytes), &h->fold, err), err, "%s", key);
    TRY_CTX(check_key(&h->fold, step, err), err, "%s", key);
    return RC_OK;
}

static bool holds(const struct held *h, const struct catalog_step *step, uint64_t txid)
{
    return h->fold.count > 0 && h->fold.timeline == step->timeline && fold_find(&h->fold, txid) != NULL;
}

/* The segment is what its row says. */
static struct rc check_row(
    const struct catalog_object *o, const struct fold_row *row, uint32_t timeline, struct err *err)
{
    layout_text key;

    if (o->segment != NULL && seg_dec_info(o->segment)->commit_count == row->last_txid - row->first_txid + 1)
        return RC_OK;
    layout_log(key, timeline, row->first_txid);
    return rc_raise(err, E_CORRUPT, "%s: it is not the segment that its fold lists", key);
}

static struct rc open_row(struct catalog_object *out, struct span bytes, const struct fold_row *row, uint32_t timeline,
    struct zstr_dec *zstd, struct err *err)
{
    CLEANUP(buf_fini) struct buf copy;
    struct rc rc;

    buf_init(&copy, FOLD_OBJECT_MAX);
    buf_put(&copy, bytes.data, bytes.size);
    TRY(buf_check(&copy, "segment of a fold", err));
    TRY(catalog_open(out, &copy, timeline, row->first_txid, zstd, err));
    rc = check_row(out, row, timeline, err);
    if (rc_failed(rc))
        catalog_object_fini(out);
    return rc;
}

static struct rc open_held(struct catalog_object *out, const struct held *h, uint64_t txid, struct zstr_dec *zstd,
    uint64_t *last_txid, struct err *err)
{
    const struct fold_row *row = fold_find(&h->fold, txid);
    layout_text key;

    if (row == NULL) {
        layout_log(key, h->fold.timeline, txid);
        return rc_raise(err, E_NOTFOUND, "%s is missing: no segment has txid %" PRIu64, key, txid);
    }
    *last_txid = row->last_txid;
    layout_fold(key, h->fold.timeline, h->fold.rows[0].first_txid, h->fold.rows[h->fold.count - 1].last_txid);
    TRY_CTX(open_row(out, span_of(h->bytes.data + row->offset, row->size), row, h->fold.timeline, zstd, err), err, "%s",
        key);
    return RC_OK;
}

/* --- what is gone ------------------------------------------------------------------------------------------------- */

/* The largest fold that has this txid, by its key; fold_first 0: none. */
static struct rc look_for_cover(
    struct work *w, struct store *s, uint32_t timeline, uint64_t txid, struct catalog_step *out, struct err *err)
{
    layout_text prefix, after = "";
    bool more = true;

    *out = (struct catalog_step){.timeline = timeline};
    layout_fold_prefix(prefix, timeline);
    while (more) {
        CLEANUP(store_req_fini) struct store_req req;

        store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
        memcpy(req.after, after, sizeof req.after);
        TRY_CTX(work_store(w, s, &req, err), err, "list %s", prefix);
        for (size_t i = 0; i < req.entry_count; i++) {
            struct layout_key k = layout_parse(req.entries[i].key);

            if (k.kind != LAYOUT_FOLD || k.txid > txid || k.last_txid < txid
                || (out->fold_first != 0 && k.last_txid - k.txid <= out->fold_last - out->fold_first))
                continue;
            out->first_txid = out->fold_first = k.txid;
            out->last_txid = out->fold_last = k.last_txid;
            out->size = req.entries[i].size;
        }
        more = req.more && req.entry_count > 0;
        if (more)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key); /* a key fits */
    }
    return RC_OK;
}

/* `missing` stays the answer when no fold has it. */
static struct rc cover_by_fold(struct held *out, struct work *w, struct store *s, const struct catalog_step *step,
    uint64_t txid, struct rc missing, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req = {0};
    struct catalog_step cover;
    struct err other;
    layout_text key;
    struct rc rc = look_for_cover(w, s, step->timeline, txid, &cover, &other);

    if (rc_failed(rc) || cover.fold_first == 0
        || (cover.fold_first == step->fold_first && cover.fold_last == step->fold_last))
        return missing;
    catalog_step_key(&cover, key);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
    return hold(out, &req.data, &cover, err);
}

/* --- one ---------------------------------------------------------------------------------------------------------- */

static struct rc get_range(struct work *w, struct store *s, const char *key, uint64_t offset, uint64_t length,
    struct buf *out, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_GET, key, NULL, NULL);
    req.offset = offset;
    req.length = length;
    TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
    *out = req.data;
    req.data = (struct buf){0};
    return RC_OK;
}

static struct rc read_table(
    struct work *w, struct store *s, const struct catalog_step *step, uint64_t size, struct fold *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf head = {0};
    layout_text key;
    struct rc rc;

    catalog_step_key(step, key);
    TRY(get_range(w, s, key, 0, FOLD_HEAD_MAX, &head, err));
    TRY_CTX(fold_decode_head(buf_span(&head), size, out, err), err, "%s", key);
    rc = check_key(out, step, err);
    if (rc_failed(rc)) {
        fold_fini(out);
        return rc_wrap(err, "%s", key);
    }
    return RC_OK;
}

static struct rc read_row(struct catalog_object *out, struct work *w, struct store *s, const struct catalog_step *step,
    const struct fold_row *row, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = {0};
    layout_text key;

    catalog_step_key(step, key);
    TRY(get_range(w, s, key, row->offset, row->size, &bytes, err));
    TRY_CTX(open_row(out, buf_span(&bytes), row, step->timeline, NULL, err), err, "%s", key);
    return RC_OK;
}

static struct rc one_of_fold(struct catalog_object *out, struct work *w, struct store *s,
    const struct catalog_step *step, uint64_t txid, struct err *err)
{
    CLEANUP(fold_fini) struct fold table = {0};
    const struct fold_row *row;
    layout_text key;

    if (step->offset != 0) {
        struct fold_row known = {step->first_txid, step->last_txid, 0, step->offset, step->size};

        return read_row(out, w, s, step, &known, err);
    }
    TRY(read_table(w, s, step, step->size, &table, err));
    row = fold_find(&table, txid);
    if (row != NULL)
        return read_row(out, w, s, step, row, err);
    layout_log(key, step->timeline, txid);
    return rc_raise(err, E_NOTFOUND, "%s is missing: no segment has txid %" PRIu64, key, txid);
}

static struct rc one_of_whole(struct catalog_object *out, struct work *w, struct store *s,
    const struct catalog_step *step, uint64_t txid, struct err *err)
{
    CLEANUP(held_fini) struct held held = {0};
    CLEANUP(buf_fini) struct buf bytes = {0};
    layout_text key;
    uint64_t last;

    catalog_step_key(step, key);
    TRY(get_range(w, s, key, 0, 0, &bytes, err));
    if (!catalog_step_is_fold(step))
        return catalog_open(out, &bytes, step->timeline, step->first_txid, NULL, err);
    TRY(hold(&held, &bytes, step, err));
    return open_held(out, &held, txid, NULL, &last, err);
}

struct rc catalog_read_one(struct catalog_object *out, struct work *w, struct store *s, const struct catalog_step *step,
    uint64_t txid, struct err *err)
{
    CLEANUP(held_fini) struct held cover = {0};
    bool whole = !catalog_step_is_fold(step) || (step->offset == 0 && step->size <= WHOLE_MAX);
    uint64_t last, wanted = catalog_step_is_fold(step) ? txid : step->first_txid;
    struct rc rc = whole ? one_of_whole(out, w, s, step, txid, err) : one_of_fold(out, w, s, step, txid, err);

    if (rc.code != E_NOTFOUND)
        return rc;
    rc = cover_by_fold(&cover, w, s, step, wanted, rc, err);
    return rc_failed(rc) ? rc : open_held(out, &cover, wanted, NULL, &last, err);
}

struct rc catalog_read_expand(struct work *w, struct store *s, const struct catalog_step *step,
    struct catalog_step **out, size_t *count, struct err *err)
{
    CLEANUP(fold_fini) struct fold table = {0};
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    size_t n = 0;

    TRY(read_table(w, s, step, step->size, &table, err));
    steps = mem_try(table.count, sizeof *steps);
    if (steps == NULL)
        return rc_raise(err, E_NOMEM, "route over %zu segments", table.count);
    for (size_t i = 0; i < table.count; i++) {
        const struct fold_row *row = &table.rows[i];

        if (row->last_txid < step->first_txid || row->first_txid > step->last_txid)
            continue;
        steps[n] = *step;
        steps[n].first_txid = row->first_txid;
        steps[n].last_txid = row->last_txid;
        steps[n].size = row->size;
        steps[n++].offset = row->offset;
    }
    *out = MOVE(steps);
    *count = n;
    return RC_OK;
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static uint64_t describe(void *ctx, size_t i, layout_text key)
{
    const struct catalog_read *r = ctx;

    catalog_step_key(&r->steps[i], key);
    return r->steps[i].size;
}

struct catalog_read *catalog_read_new(struct work *w, struct store *s, const struct catalog_step *steps, size_t count)
{
    struct catalog_read *r = mem_new(sizeof *r);

    r->work = w;
    r->store = s;
    r->steps = steps;
    r->count = count;
    r->zstd = zstr_dec_new();
    r->prefetch = prefetch_new(w, s, count, describe, r);
    return r;
}

/* Fetch the present step.  A segment of its own is given out at once; of a fold r->now is set. */
static struct rc begin_step(struct catalog_read *r, struct catalog_object *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = {0};
    const struct catalog_step *step = &r->steps[r->at];
    struct rc rc = prefetch_take(r->prefetch, &bytes, err);

    assert(step->offset == 0);
    r->next_txid = step->first_txid;
    if (rc.code == E_NOTFOUND) {
        if (!holds(&r->cover, step, step->first_txid))
            TRY(cover_by_fold(&r->cover, r->work, r->store, step, step->first_txid, rc, err));
        r->now = &r->cover;
        return RC_OK;
    }
    TRY(rc);
    r->objects++;
    r->bytes += bytes.size;
    if (!catalog_step_is_fold(step))
        return catalog_open(out, &bytes, step->timeline, step->first_txid, r->zstd, err);
    TRY(hold(&r->held, &bytes, step, err));
    r->now = &r->held;
    return RC_OK;
}

struct rc catalog_read_next(
    struct catalog_read *r, struct catalog_object *out, size_t *step, bool *end, struct err *err)
{
    *end = false;
    for (; r->at < r->count; r->at++, r->now = NULL) {
        const struct catalog_step *s = &r->steps[r->at];
        uint64_t last = 0;

        *step = r->at;
        if (r->now == NULL) {
            TRY(begin_step(r, out, err));
            if (r->now == NULL) { /* it is given out */
                r->at++;
                return RC_OK;
            }
        }
        if (r->next_txid > s->last_txid || fold_find(&r->now->fold, r->next_txid) == NULL)
            continue;
        TRY(open_held(out, r->now, r->next_txid, r->zstd, &last, err));
        r->next_txid = last + 1;
        return RC_OK;
    }
    *end = true;
    return RC_OK;
}

size_t catalog_read_objects(const struct catalog_read *r)
{
    return r->objects;
}

uint64_t catalog_read_bytes(const struct catalog_read *r)
{
    return r->bytes;
}

void catalog_read_free(struct catalog_read *r)
{
    if (r == NULL)
        return;
    prefetch_free(r->prefetch);
    held_fini(&r->held);
    held_fini(&r->cover);
    zstr_dec_free(r->zstd);
    mem_free(r);
}

void catalog_read_freep(struct catalog_read **r)
{
    catalog_read_free(*r);
    *r = NULL;
}
