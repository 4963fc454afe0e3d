/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_search.h"

#include "alloc.h"
#include "sorted.h"

#include <assert.h>

/* A point that the target can be reached from, and the next leg from there; heap entry first, then settled. */
struct point {
    uint64_t txid;
    uint64_t cost; /* from here to the target */
    size_t next;   /* the settled point that the leg leads to */
    struct plan_leg leg;
};

struct points {
    struct point *at; /* owned */
    size_t count, room;
};

struct search {
    const struct plan_map *map;
    struct points heap;    /* by txid, the highest on top; at one txid the cheapest */
    struct points settled; /* each txid once; the target first */
    bool found;
    struct point best; /* from nothing */
};

/* --- points --------------------------------------------------------------------------------------------------------
 */

static struct rc make_room(struct points *p, struct err *err)
{
    if (!mem_grow(&p->at, p->count, &p->room, sizeof *p->at))
        return rc_raise(err, E_NOMEM, "plan over %zu states", p->count + 1);
    return RC_OK;
}

static bool is_before(const struct point *a, const struct point *b)
{
    return a->txid != b->txid ? a->txid > b->txid : a->cost < b->cost;
}

static void swap(struct point *a, struct point *b)
{
    struct point other = *a;

    *a = *b;
    *b = other;
}

static struct rc push(struct search *s, const struct point *p, struct err *err)
{
    struct point *at;

    if (s->found && p->cost >= s->best.cost)
        return RC_OK;
    TRY(make_room(&s->heap, err));
    at = s->heap.at;
    at[s->heap.count] = *p;
    for (size_t i = s->heap.count++; i > 0 && is_before(&at[i], &at[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&at[i], &at[(i - 1) / 2]);
    return RC_OK;
}

static struct point pop(struct search *s)
{
    struct point *at = s->heap.at, top = at[0];

    at[0] = at[--s->heap.count];
    for (size_t i = 0, child; (child = 2 * i + 1) < s->heap.count; i = child) {
        if (child + 1 < s->heap.count && is_before(&at[child + 1], &at[child]))
            child++;
        if (!is_before(&at[child], &at[i]))
            break;
        swap(&at[child], &at[i]);
    }
    return top;
}

/* --- edges ---------------------------------------------------------------------------------------------------------
 */

static uint64_t cost_of(const struct plan_leg *leg)
{
    return leg->bytes + leg->requests * PLAN_REQUEST_COST;
}

/* Everything that ends at the settled point, by snapshots and merges. */
static struct rc enter_by_bases(struct search *s, size_t here, struct err *err)
{
    const struct plan_map *m = s->map;
    const uint64_t txid = s->settled.at[here].txid, cost = s->settled.at[here].cost;

    for (size_t i = plan_map_base_at(m, txid); i < m->base_count && m->bases[i].txid == txid; i++) {
        const struct plan_base *b = &m->bases[i];
        struct point p = {.txid = b->base_txid,
            .next = here,
            .leg = {true, i, b->base_txid, txid, b->size, 1 + b->size / PLAN_RANGE_SIZE}};

        p.cost = cost + cost_of(&p.leg);
        if (b->level > 0)
            TRY(push(s, &p, err));
        else if (!s->found || p.cost < s->best.cost) {
            s->best = p;
            s->found = true;
        }
    }
    return RC_OK;
}

/* Parts are objects of their own; what a fold has is without. */
static void add_parts(const struct plan_map *m, const struct catalog_step *step, struct plan_leg *leg)
{
    const struct catalog_timeline *t = catalog_timeline(m->catalog, step->timeline);
    size_t at;

    if (catalog_step_is_fold(step))
        return;
    at = SORTED_AT(t->large, t->large_count, first_txid, step->first_txid);
    if (at < t->large_count && t->large[at].first_txid == step->first_txid) {
        leg->bytes += t->large[at].size;
        leg->requests += t->large[at].part_count;
    }
}

/*
 * Some commits have no pages, because their state is in a snapshot (docs/format.md, "Restore", rule 4).  Where such a
 * commit may be, the snapshot is the way on: a segment of one commit, or anywhere in a fold, with a snapshot of just
 * that txid.  Returns the last txid in [first, to] that cannot be replayed; 0: none.
 */
static uint64_t barrier_in(const struct plan_map *m, const struct catalog_step *step, uint64_t to)
{
    bool fold = catalog_step_is_fold(step);

    if (!fold && step->first_txid != step->last_txid)
        return 0;
    for (size_t i = plan_map_base_at(m, to + 1); i-- > 0 && m->bases[i].txid >= step->first_txid;)
        if (m->bases[i].level == 0)
            return m->bases[i].txid;
    return 0;
}

/* By the segment or fold that has this commit. */
static struct rc enter_by_step(struct search *s, size_t here, struct err *err)
{
    const struct plan_map *m = s->map;
    const uint64_t txid = s->settled.at[here].txid, cost = s->settled.at[here].cost;
    size_t i = plan_map_step_behind(m, txid);
    const struct catalog_step *step = i > 0 ? &m->steps[--i] : NULL;
    struct point p = {.next = here};
    uint64_t barrier;

    if (step == NULL || step->last_txid < txid)
        return RC_OK;
    barrier = barrier_in(m, step, txid);
    p.leg = (struct plan_leg){false, i, step->first_txid - 1, txid, step->size, 1};
    add_parts(m, step, &p.leg);
    p.cost = cost + cost_of(&p.leg);
    p.txid = p.leg.from;
    if (barrier == 0)
        TRY(push(s, &p, err));
    if (!catalog_step_is_fold(step))
        return RC_OK;
    /* Writers end a segment where a snapshot or a merge is. */
    for (size_t k = plan_map_base_at(m, barrier > 0 ? barrier : step->first_txid);
         k < m->base_count && m->bases[k].txid < txid; k++) {
        if (k > 0 && m->bases[k - 1].txid == m->bases[k].txid && m->bases[k].txid == p.txid)
            continue;
        p.txid = p.leg.from = m->bases[k].txid;
        TRY(push(s, &p, err));
    }
    return RC_OK;
}

/* --- the search ----------------------------------------------------------------------------------------------------
 */

static struct rc settle_all(struct search *s, struct err *err)
{
    while (s->heap.count > 0) {
        struct point p = pop(s);
        size_t here = s->settled.count;

        if (s->found && p.cost >= s->best.cost)
            continue;
        if (here > 0 && s->settled.at[here - 1].txid == p.txid)
            continue; /* there is a cheaper way on from there */
        TRY(make_room(&s->settled, err));
        s->settled.at[s->settled.count++] = p;
        TRY(enter_by_bases(s, here, err));
        TRY(enter_by_step(s, here, err));
    }
    return RC_OK;
}

static struct rc write_way(const struct search *s, struct plan_way *out, struct err *err)
{
    size_t count = 1;

    if (!s->found)
        return RC_OK;
    for (size_t i = s->best.next; i != 0; i = s->settled.at[i].next)
        count++;
    out->legs = mem_try(count, sizeof *out->legs);
    if (out->legs == NULL)
        return rc_raise(err, E_NOMEM, "plan of %zu objects", count);
    out->legs[out->leg_count++] = s->best.leg;
    for (size_t i = s->best.next; i != 0; i = s->settled.at[i].next)
        out->legs[out->leg_count++] = s->settled.at[i].leg;
    assert(out->leg_count == count);
    return RC_OK;
}

struct rc plan_search_run(const struct plan_map *m, uint64_t txid, struct plan_way *out, struct err *err)
{
    struct search s = {.map = m};
    const struct point target = {.txid = txid};
    struct rc rc = push(&s, &target, err);

    *out = (struct plan_way){0};
    if (!rc_failed(rc))
        rc = settle_all(&s, err);
    if (!rc_failed(rc))
        rc = write_way(&s, out, err);
    mem_free(s.heap.at);
    mem_free(s.settled.at);
    return rc;
}

void plan_search_fini(struct plan_way *w)
{
    mem_free(w->legs);
    *w = (struct plan_way){0};
}
