/* SPDX-License-Identifier: Apache-2.0 */
#include "history_range.h"

#include "alloc.h"
#include "plan.h"
#include "sorted.h"

#include <stdlib.h>

/* While the ranges of one timeline are being found. */
struct finder {
    const struct catalog *catalog;
    const struct catalog_timeline *t;
    const struct catalog_step *steps; /* of this timeline alone */
    size_t step_count;
    uint64_t *states; /* that snapshots and merges give, ascending, each once */
    size_t state_count;
    struct history_range *ranges;
    size_t count;
    size_t *plans;
    bool cut;
};

static bool can_restore(struct finder *f, uint64_t txid)
{
    CLEANUP(plan_freep) struct plan *p = NULL;
    struct err ignored;

    if (*f->plans == 0) {
        f->cut = true;
        return false;
    }
    --*f->plans;
    return !rc_failed(plan_restore(f->catalog, f->t->number, txid, NULL, &p, &ignored));
}

/* --- states that stand for themselves ----------------------------------------------------------------------------- */

static int compare_txids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static struct rc collect_states(struct finder *f, struct err *err)
{
    const struct catalog_timeline *t = f->t;
    size_t n = 0, kept = 0;

    f->states = mem_try(t->snapshot_count + t->merge_count + 1, sizeof *f->states);
    if (f->states == NULL)
        return rc_raise(err, E_NOMEM, "ranges over %zu snapshots", t->snapshot_count);
    for (size_t i = 0; i < t->snapshot_count; i++)
        f->states[n++] = t->snapshots[i].txid;
    for (size_t i = 0; i < t->merge_count; i++)
        f->states[n++] = t->merges[i].txid;
    qsort(f->states, n, sizeof *f->states, compare_txids);
    for (size_t i = 0; i < n; i++)
        if (f->states[i] <= t->tip_txid && (kept == 0 || f->states[kept - 1] != f->states[i]))
            f->states[kept++] = f->states[i];
    f->state_count = kept;
    return RC_OK;
}

static bool is_snapshot(const struct catalog_timeline *t, uint64_t txid)
{
    size_t at = SORTED_AT(t->snapshots, t->snapshot_count, txid, txid);

    return at < t->snapshot_count && t->snapshots[at].txid == txid;
}

/* --- stretches of log --------------------------------------------------------------------------------------------- */

/* Replay can begin behind it: a segment begins there, or a fold holds it, which does not tell. */
static bool log_goes_on(const struct catalog_step *steps, size_t count, uint64_t txid)
{
    for (size_t i = 0; i < count && steps[i].first_txid <= txid + 1; i++)
        if (steps[i].first_txid == txid + 1 || (catalog_step_is_fold(&steps[i]) && txid < steps[i].last_txid))
            return true;
    return false;
}

/* The first state in the stretch from which the log leads on; what is before it stands for itself, if at all. */
static void add_stretch(struct finder *f, const struct catalog_step *steps, size_t count)
{
    uint64_t last = steps[count - 1].last_txid < f->t->tip_txid ? steps[count - 1].last_txid : f->t->tip_txid;
    uint64_t first = steps[0].first_txid;

    if (first > last || !can_restore(f, last))
        return;
    /* The second one, because a snapshot in the midst of a segment leads nowhere. */
    if (can_restore(f, first) && (first == last || can_restore(f, first + 1))) {
        f->ranges[f->count++] = (struct history_range){first, last, steps[0]};
        return;
    }
    for (size_t i = 0; i < f->state_count && f->states[i] < last; i++) {
        if (f->states[i] < first || !log_goes_on(steps, count, f->states[i]))
            continue;
        if (is_snapshot(f->t, f->states[i]) || can_restore(f, f->states[i])) {
            f->ranges[f->count++] = (struct history_range){.first_txid = f->states[i], .last_txid = last};
            return;
        }
    }
}

static void add_stretches(struct finder *f)
{
    size_t begin = 0;

    for (size_t i = 1; i <= f->step_count; i++) {
        if (i < f->step_count && f->steps[i].first_txid == f->steps[i - 1].last_txid + 1)
            continue;
        add_stretch(f, f->steps + begin, i - begin);
        begin = i;
    }
}

/* --- together ----------------------------------------------------------------------------------------------------- */

static void add_states(struct finder *f)
{
    const size_t stretches = f->count;
    size_t at = 0;

    for (size_t i = 0; i < f->state_count; i++) {
        const uint64_t txid = f->states[i];

        while (at < stretches && f->ranges[at].last_txid < txid)
            at++;
        if (at < stretches && txid >= f->ranges[at].first_txid)
            continue;
        if (is_snapshot(f->t, txid) || can_restore(f, txid))
            f->ranges[f->count++] = (struct history_range){.first_txid = txid, .last_txid = txid};
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const struct history_range *x = a, *y = b;

    return (x->first_txid > y->first_txid) - (x->first_txid < y->first_txid);
}

static void join(struct finder *f)
{
    size_t kept = 0;

    qsort(f->ranges, f->count, sizeof *f->ranges, compare_ranges);
    for (size_t i = 0; i < f->count; i++) {
        struct history_range *last = kept > 0 ? &f->ranges[kept - 1] : NULL;

        if (last == NULL || f->ranges[i].first_txid > last->last_txid + 1)
            f->ranges[kept++] = f->ranges[i];
        else if (f->ranges[i].last_txid > last->last_txid)
            last->last_txid = f->ranges[i].last_txid;
    }
    f->count = kept;
}

struct rc history_range_find(const struct catalog *c, const struct catalog_timeline *t, size_t *plans,
    struct history_ranges *out, struct err *err)
{
    struct finder f = {.catalog = c, .t = t, .plans = plans};
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    CLEANUP(mem_freep) uint64_t *states = NULL;
    size_t count = 0, own = 0;

    TRY(catalog_route(c, t->number, &steps, &count, err));
    while (own < count && steps[own].timeline != t->number)
        own++;
    f.steps = steps + own;
    f.step_count = count - own;
    TRY(collect_states(&f, err));
    states = f.states;
    f.ranges = mem_try(f.step_count + f.state_count + 1, sizeof *f.ranges);
    if (f.ranges == NULL)
        return rc_raise(err, E_NOMEM, "ranges over %zu objects", f.step_count + f.state_count);
    add_stretches(&f);
    add_states(&f);
    join(&f);
    *out = (struct history_ranges){.list = f.ranges, .count = f.count, .cut = f.cut};
    return RC_OK;
}

void history_range_fini(struct history_ranges *r)
{
    mem_free(r->list);
    *r = (struct history_ranges){0};
}
