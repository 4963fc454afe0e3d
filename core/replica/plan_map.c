/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_map.h"

#include "alloc.h"
#include "sorted.h"

#include <stdlib.h>

void plan_map_fini(struct plan_map *m)
{
    mem_free(m->legs);
    mem_free(m->steps);
    mem_free(m->bases);
    *m = (struct plan_map){0};
}

/* What is on a leg counts from the fork on (it may be made before the first own commit) to where the leg ends. */
static bool on_leg(const struct catalog_leg *leg, uint64_t txid)
{
    const struct catalog_timeline *t = leg->timeline;

    if (txid < t->origin.fork_txid || txid > leg->last_txid)
        return false;
    return !t->sealed || t->log_count == 0 || txid < t->logs[t->log_count - 1].first_txid;
}

static int by_txid(const void *a, const void *b)
{
    const struct plan_base *x = a, *y = b;

    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    if (x->timeline != y->timeline)
        return x->timeline < y->timeline ? 1 : -1;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? 1 : -1;
    return (x->level > y->level) - (x->level < y->level);
}

static void add_bases(struct plan_map *m, const struct catalog_leg *leg)
{
    const struct catalog_timeline *t = leg->timeline;

    for (size_t i = 0; i < t->snapshot_count; i++) {
        const struct catalog_snapshot *s = &t->snapshots[i];

        if (on_leg(leg, s->txid))
            m->bases[m->base_count++] =
                (struct plan_base){.timeline = t->number, .txid = s->txid, .size = s->size, .time_ms = s->time_ms};
    }
    for (size_t i = 0; i < t->merge_count; i++) {
        const struct catalog_merge *g = &t->merges[i];

        if (on_leg(leg, g->txid) && on_leg(leg, g->base_txid) && g->base_txid < g->txid)
            m->bases[m->base_count++] =
                (struct plan_base){t->number, g->level, g->base_txid, g->txid, g->size, g->time_ms};
    }
}

struct rc plan_map_make(
    struct plan_map *out, const struct catalog *c, uint32_t timeline, const struct plan_lost *lost, struct err *err)
{
    struct plan_map *m = out;
    size_t room = 1;

    m->catalog = c;
    TRY(catalog_path(c, timeline, &m->legs, &m->leg_count, err));
    TRY(catalog_route(c, timeline, &m->steps, &m->step_count, err));
    plan_lost_cut(lost, m->steps, m->step_count);
    for (size_t i = 0; i < m->leg_count; i++)
        room += m->legs[i].timeline->snapshot_count + m->legs[i].timeline->merge_count;
    m->bases = mem_try(room, sizeof *m->bases);
    if (m->bases == NULL)
        return rc_raise(err, E_NOMEM, "plan over %zu snapshots and merges", room);
    for (size_t i = 0; i < m->leg_count; i++)
        add_bases(m, &m->legs[i]);
    qsort(m->bases, m->base_count, sizeof *m->bases, by_txid);
    return RC_OK;
}

size_t plan_map_base_at(const struct plan_map *m, uint64_t txid)
{
    return SORTED_AT(m->bases, m->base_count, txid, txid);
}

size_t plan_map_step_behind(const struct plan_map *m, uint64_t txid)
{
    size_t low = 0, high = m->step_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->steps[middle].first_txid <= txid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
