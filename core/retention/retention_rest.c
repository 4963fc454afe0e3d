/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_rest.h"

#include "alloc.h"

#include <stdlib.h>
#include <string.h>

struct rc retention_rest_drop(
    struct retention *out, const struct layout_key *key, uint64_t size, enum retention_reason reason, struct err *err)
{
    if (!mem_grow(&out->drops, out->drop_count, &out->drop_room, sizeof *out->drops))
        return rc_raise(err, E_NOMEM, "list of %zu objects to delete", out->drop_count + 1);
    out->drops[out->drop_count++] = (struct retention_drop){*key, size, reason};
    return RC_OK;
}

/* --- objects -------------------------------------------------------------------------------------------------------
 */

/* A fold that stays has all of these commits; 0: none, else its last txid. */
static uint64_t fold_with(
    const struct catalog_timeline *t, const struct retention_kept_timeline *kept, uint64_t first, uint64_t last)
{
    for (size_t i = 0; i < t->fold_count && t->folds[i].first_txid <= first; i++)
        if (kept->folds[i] && t->folds[i].last_txid >= last)
            return t->folds[i].last_txid;
    return 0;
}

struct rest {
    struct retention_keep *keep;
    struct retention *out;
    uint64_t folded_to;
    const struct catalog_timeline *t;
    struct retention_kept_timeline *kept;
    bool newest;
};

/* Duplicates of what a fold has, if it is old enough: decided is decided, so a young one is kept. */
static bool stays_as_duplicate(const struct rest *r, uint64_t fold_last)
{
    return fold_last != 0 && r->newest && fold_last > r->folded_to;
}

static struct rc drop_logs(struct rest *r, struct err *err)
{
    const struct catalog_timeline *t = r->t;

    for (size_t i = 0; i < t->log_count; i++) {
        const struct layout_key key = {.kind = LAYOUT_LOG, .timeline = t->number, .txid = t->logs[i].first_txid};
        uint64_t fold;

        if (r->kept->logs[i])
            continue;
        fold = fold_with(t, r->kept, key.txid, key.txid);
        if (stays_as_duplicate(r, fold))
            r->kept->logs[i] = true;
        else
            TRY(retention_rest_drop(
                r->out, &key, t->logs[i].size, fold != 0 ? RETENTION_DUPLICATE : RETENTION_EXPIRED, err));
    }
    return RC_OK;
}

static struct rc drop_folds(struct rest *r, struct err *err)
{
    const struct catalog_timeline *t = r->t;

    for (size_t i = 0; i < t->fold_count; i++) {
        const struct layout_key key = {.kind = LAYOUT_FOLD,
            .timeline = t->number,
            .txid = t->folds[i].first_txid,
            .last_txid = t->folds[i].last_txid};
        uint64_t fold;

        if (r->kept->folds[i])
            continue;
        fold = fold_with(t, r->kept, key.txid, key.last_txid);
        if (stays_as_duplicate(r, fold))
            r->kept->folds[i] = true;
        else
            TRY(retention_rest_drop(
                r->out, &key, t->folds[i].size, fold != 0 ? RETENTION_DUPLICATE : RETENTION_EXPIRED, err));
    }
    return RC_OK;
}

static struct rc drop_merges(struct rest *r, struct err *err)
{
    const struct catalog_timeline *t = r->t;

    for (size_t i = 0; i < t->merge_count; i++) {
        const struct catalog_merge *m = &t->merges[i];
        const struct layout_key key = {.kind = LAYOUT_MERGE,
            .timeline = t->number,
            .level = m->level,
            .base_txid = m->base_txid,
            .txid = m->txid,
            .time_ms = m->time_ms};

        if (!r->kept->merges[i])
            TRY(retention_rest_drop(r->out, &key, m->size, RETENTION_EXPIRED, err));
    }
    return RC_OK;
}

static struct rc drop_snapshots(struct rest *r, struct err *err)
{
    const struct catalog_timeline *t = r->t;

    for (size_t i = 0; i < t->snapshot_count; i++) {
        const struct catalog_snapshot *s = &t->snapshots[i];
        const struct layout_key key = {
            .kind = LAYOUT_SNAPSHOT, .timeline = t->number, .txid = s->txid, .time_ms = s->time_ms};

        if (!r->kept->snapshots[i])
            TRY(retention_rest_drop(r->out, &key, s->size, RETENTION_EXPIRED, err));
    }
    return RC_OK;
}

/* --- holes ---------------------------------------------------------------------------------------------------------
 */

static bool is_kept(const struct rest *r, const struct catalog_step *s)
{
    const struct catalog_timeline *t = r->t;

    for (size_t i = 0; i < t->log_count && !catalog_step_is_fold(s); i++)
        if (t->logs[i].first_txid == s->first_txid)
            return r->kept->logs[i];
    for (size_t i = 0; i < t->fold_count && catalog_step_is_fold(s); i++)
        if (t->folds[i].first_txid == s->fold_first && t->folds[i].last_txid == s->fold_last)
            return r->kept->folds[i];
    return false;
}

/* The hole is known as it is; else a note is to be written.  Notes within it say less, and go. */
static struct rc note_hole(struct rest *r, uint64_t first, uint64_t last, struct err *err)
{
    const struct catalog_timeline *t = r->t;
    const struct layout_key range = {.kind = LAYOUT_PRUNED, .timeline = t->number, .txid = first, .last_txid = last};
    bool known = false;

    for (size_t i = 0; i < t->pruned_count; i++) {
        const struct layout_key key = {.kind = LAYOUT_PRUNED,
            .timeline = t->number,
            .txid = t->pruned[i].first_txid,
            .last_txid = t->pruned[i].last_txid};

        if (key.txid == first && key.last_txid == last)
            known = true;
        else if (key.txid >= first && key.last_txid <= last)
            TRY(retention_rest_drop(r->out, &key, 0, RETENTION_SUPERSEDED, err));
    }
    if (known)
        return RC_OK;
    if (!mem_grow(&r->out->ranges, r->out->range_count, &r->out->range_room, sizeof *r->out->ranges))
        return rc_raise(err, E_NOMEM, "list of %zu ranges of pruned commits", r->out->range_count + 1);
    r->out->ranges[r->out->range_count++] = range;
    return RC_OK;
}

/* Between what is kept: what goes now, and what went before.  The last object of a log always stays. */
static struct rc find_holes(struct rest *r, struct err *err)
{
    const struct catalog_timeline *t = r->t;
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    uint64_t next = t->origin.parent != 0 ? t->origin.fork_txid + 1 : 1;
    size_t count = 0;
    bool dropped = false;

    TRY(catalog_route(r->keep->catalog, t->number, &steps, &count, err));
    for (size_t i = 0; i < count; i++) {
        const struct catalog_step *s = &steps[i];

        if (s->timeline != t->number)
            continue;
        if (!is_kept(r, s)) {
            dropped = true;
            continue;
        }
        if (s->first_txid > next && (dropped || catalog_pruned_to(t, next) + 1 >= s->first_txid))
            TRY(note_hole(r, next, s->first_txid - 1, err));
        next = s->last_txid + 1;
        dropped = false;
    }
    return RC_OK;
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

/* In the order of deletion: what builds on others before these. */
struct rc retention_rest_find(struct retention_keep *k, uint64_t folded_to, struct retention *out, struct err *err)
{
    static struct rc (*const passes[])(struct rest * r, struct err * err) = {
        drop_folds, drop_logs, drop_merges, drop_snapshots, find_holes};
    const struct catalog *c = k->catalog;

    for (size_t pass = 0; pass < sizeof passes / sizeof passes[0]; pass++)
        for (size_t i = 0; i < c->timeline_count; i++) {
            struct rest r = {.keep = k,
                .out = out,
                .folded_to = folded_to,
                .t = &c->timelines[i],
                .kept = &k->timelines[i],
                .newest = i + 1 == c->timeline_count};

            TRY(passes[pass](&r, err));
        }
    return RC_OK;
}

/* --- the catalog that remains ---------------------------------------------------------------------------------------
 */

/* Those of `count` items at `from` that are kept (NULL: all), and room for `more`. */
static struct rc copy(
    void *array, const void *from, size_t size, size_t *count, const bool *kept, size_t more, struct err *err)
{
    const size_t all = *count;
    char *to = mem_try(all + more + 1, size);

    if (to == NULL)
        return rc_raise(err, E_NOMEM, "catalog of %zu objects", all);
    memcpy(array, &to, sizeof to);
    *count = 0;
    for (size_t i = 0; i < all; i++)
        if (kept == NULL || kept[i])
            memcpy(to + (*count)++ * size, (const char *)from + i * size, size);
    return RC_OK;
}

static int by_txids(const void *a, const void *b)
{
    const struct catalog_pruned *x = a, *y = b;

    if (x->first_txid != y->first_txid)
        return x->first_txid < y->first_txid ? -1 : 1;
    return (x->last_txid > y->last_txid) - (x->last_txid < y->last_txid);
}

static struct rc copy_timeline(struct catalog_timeline *to, const struct catalog_timeline *from,
    const struct retention_kept_timeline *kept, const struct retention *r, struct err *err)
{
    *to = *from;
    to->logs = NULL;
    to->folds = NULL;
    to->snapshots = NULL;
    to->merges = NULL;
    to->pruned = NULL;
    to->large = NULL;
    TRY(copy(&to->logs, from->logs, sizeof *to->logs, &to->log_count, kept->logs, 0, err));
    TRY(copy(&to->folds, from->folds, sizeof *to->folds, &to->fold_count, kept->folds, 0, err));
    TRY(copy(&to->snapshots, from->snapshots, sizeof *to->snapshots, &to->snapshot_count, kept->snapshots, 0, err));
    TRY(copy(&to->merges, from->merges, sizeof *to->merges, &to->merge_count, kept->merges, 0, err));
    TRY(copy(&to->large, from->large, sizeof *to->large, &to->large_count, NULL, 0, err));
    TRY(copy(&to->pruned, from->pruned, sizeof *to->pruned, &to->pruned_count, NULL, r->range_count, err));
    for (size_t i = 0; i < r->range_count; i++)
        if (r->ranges[i].timeline == to->number)
            to->pruned[to->pruned_count++] = (struct catalog_pruned){r->ranges[i].txid, r->ranges[i].last_txid};
    qsort(to->pruned, to->pruned_count, sizeof *to->pruned, by_txids);
    return RC_OK;
}

struct rc retention_rest_view(
    struct catalog **out, const struct retention_keep *k, const struct retention *r, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *view = mem_new(sizeof *view);
    const struct catalog *c = k->catalog;

    view->identity = c->identity;
    view->timelines = mem_try(c->timeline_count + 1, sizeof *view->timelines);
    if (view->timelines == NULL)
        return rc_raise(err, E_NOMEM, "catalog of %zu timelines", c->timeline_count);
    for (size_t i = 0; i < c->timeline_count; i++) {
        view->timeline_count = i + 1;
        TRY(copy_timeline(&view->timelines[i], &c->timelines[i], &k->timelines[i], r, err));
    }
    *out = MOVE(view);
    return RC_OK;
}
