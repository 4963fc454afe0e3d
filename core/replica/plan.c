/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "alloc.h"
#include "plan_search.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The leg that the target lies on. */
static uint32_t timeline_of(const struct plan_map *m, uint64_t txid)
{
    for (size_t i = m->leg_count; i-- > 1;)
        if (txid > m->legs[i].timeline->origin.fork_txid)
            return m->legs[i].timeline->number;
    return m->legs[0].timeline->number;
}

/* How far the log leads on behind a state, as far as keys can tell. */
static uint64_t log_end(const struct plan_map *m, uint64_t txid)
{
    for (size_t i = 0; i < m->step_count; i++)
        if (m->steps[i].first_txid <= txid + 1 && m->steps[i].last_txid > txid
            && (m->steps[i].first_txid == txid + 1 || catalog_step_is_fold(&m->steps[i])))
            txid = m->steps[i].last_txid;
    return txid;
}

static bool was_pruned(const struct plan_map *m, uint64_t txid)
{
    return catalog_was_pruned(m->catalog, m->legs[m->leg_count - 1].timeline->number, txid, txid);
}

/*
 * Taken away on purpose, or all that led to it was: a fold that is kept for its end begins with commits to which no
 * state leads any more.  What is left there are snapshots and merges that lead to promised states.
 */
static bool is_cut_off(const struct plan_map *m, uint64_t txid)
{
    size_t i = plan_map_base_at(m, txid + 1);
    uint64_t end;

    if (was_pruned(m, txid))
        return true;
    do {
        end = log_end(m, i > 0 ? m->bases[i - 1].txid : 0);
        if (end < txid)
            return was_pruned(m, end + 1);
    } while (i-- > 0);
    return false;
}

/* Why not, and what can be restored nearby: the state of every snapshot can. */
static struct rc no_way(const struct plan_map *m, uint64_t txid, bool detour, struct err *err)
{
    uint64_t before = 0, after = 0;
    const bool pruned = is_cut_off(m, txid);
    char nearest[96] = "there is no snapshot at all";

    for (size_t i = 0; i < m->base_count; i++) {
        uint64_t at = m->bases[i].txid;

        if (m->bases[i].level > 0 && !pruned)
            continue;
        if (at <= txid)
            before = at;
        else if (after == 0)
            after = at;
    }
    if (before > 0 && after > 0)
        (void)snprintf(nearest, sizeof nearest, "the nearest that can are %" PRIu64 " and %" PRIu64, before, after);
    else if (before > 0 || after > 0)
        (void)snprintf(nearest, sizeof nearest, "the nearest that can is %" PRIu64, before > 0 ? before : after);
    if (detour)
        return rc_raise(err, E_NOTFOUND, "txid %" PRIu64 " cannot be restored: no other way leads to it", txid);
    if (pruned)
        return rc_raise(err, E_NOTFOUND,
            "txid %" PRIu64 " cannot be restored: retention no longer keeps every commit of that time; %s", txid,
            nearest);
    if (before > 0) {
        uint64_t end = log_end(m, before);
        layout_text key;

        layout_log(key, timeline_of(m, end + 1), end + 1);
        return rc_raise(err, E_NOTFOUND,
            "txid %" PRIu64 " cannot be restored: behind the snapshot at txid %" PRIu64 ", %s is missing; %s", txid,
            before, key, nearest);
    }
    /* A log that begins with the first commit needs the snapshot of that commit; a pruned one begins later. */
    if (m->step_count > 0 && m->steps[0].first_txid == 1) {
        layout_text prefix;

        layout_snapshot_prefix(prefix, m->steps[0].timeline);
        return rc_raise(err, E_NOTFOUND,
            "txid %" PRIu64 " cannot be restored: the snapshot at txid 1 is missing (%s%016x-...); %s", txid, prefix,
            1u, nearest);
    }
    return rc_raise(err, E_NOTFOUND, "txid %" PRIu64 " cannot be restored: no snapshot leads to it; %s", txid, nearest);
}

/* --- the plan ------------------------------------------------------------------------------------------------------
 */

static struct rc allocate(struct plan *p, const struct plan_way *way, struct err *err)
{
    p->bases = mem_try(way->leg_count + 1, sizeof *p->bases);
    p->segments = mem_try(way->leg_count + 1, sizeof *p->segments);
    p->stages = mem_try(way->leg_count + 1, sizeof *p->stages);
    if (p->bases == NULL || p->segments == NULL || p->stages == NULL)
        return rc_raise(err, E_NOMEM, "plan of %zu objects", way->leg_count);
    return RC_OK;
}

/* Segments behind bases go into the same stage, bases behind segments begin the next. */
static void add_leg(struct plan *p, const struct plan_map *m, const struct plan_leg *leg)
{
    struct plan_stage *s = p->stage_count > 0 ? &p->stages[p->stage_count - 1] : NULL;

    p->bytes += leg->bytes;
    p->requests += leg->requests;
    if (leg->is_base) {
        if (s == NULL || s->segment_end > s->segment) {
            s = &p->stages[p->stage_count++];
            *s = (struct plan_stage){p->base_count, p->base_count, p->segment_count, p->segment_count};
        }
        p->bases[p->base_count++] = m->bases[leg->index];
        s->base_end = p->base_count;
        return;
    }
    assert(s != NULL); /* a way begins with a snapshot */
    p->segments[p->segment_count] = m->steps[leg->index];
    p->segments[p->segment_count].first_txid = leg->from + 1;
    p->segments[p->segment_count].last_txid = leg->to;
    s->segment_end = ++p->segment_count;
}

static struct rc make_plan(
    const struct plan_map *m, const struct plan_way *way, uint64_t txid, struct plan **out, struct err *err)
{
    CLEANUP(plan_freep) struct plan *p = mem_new(sizeof *p);

    p->timeline = timeline_of(m, txid);
    p->txid = txid;
    TRY(allocate(p, way, err));
    for (size_t i = 0; i < way->leg_count; i++)
        add_leg(p, m, &way->legs[i]);
    *out = MOVE(p);
    return RC_OK;
}

static struct rc restore(const struct catalog *c, uint32_t timeline, uint64_t txid, const struct plan_lost *lost,
    struct plan **out, struct err *err)
{
    CLEANUP(plan_map_fini) struct plan_map map = {0};
    CLEANUP(plan_search_fini) struct plan_way way = {0};

    TRY(plan_map_make(&map, c, timeline, lost, err));
    TRY(plan_search_run(&map, txid, &way, err));
    if (way.leg_count == 0)
        return no_way(&map, txid, lost != NULL && lost->count > 0, err);
    return make_plan(&map, &way, txid, out, err);
}

struct rc plan_restore(const struct catalog *c, uint32_t timeline, uint64_t txid, const struct plan_lost *lost,
    struct plan **out, struct err *err)
{
    struct catalog *view = NULL;
    struct rc rc;

    if (lost == NULL || lost->count == 0)
        return restore(c, timeline, txid, NULL, out, err);
    TRY(plan_lost_view(c, lost, &view, err));
    rc = restore(view, timeline, txid, lost, out, err);
    plan_lost_free_view(view, c);
    return rc;
}

bool plan_is_cut_off(const struct catalog *c, uint32_t timeline, uint64_t txid)
{
    CLEANUP(plan_freep) struct plan *p = NULL;
    CLEANUP(plan_map_fini) struct plan_map m = {0};
    struct err ignored;

    if (plan_restore(c, timeline, txid, NULL, &p, &ignored).code != E_NOTFOUND)
        return false;
    return !rc_failed(plan_map_make(&m, c, timeline, NULL, &ignored)) && is_cut_off(&m, txid);
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    mem_free(p->bases);
    mem_free(p->segments);
    mem_free(p->stages);
    mem_free(p);
}

void plan_freep(struct plan **p)
{
    plan_free(*p);
    *p = NULL;
}

uint64_t plan_cost(const struct plan *p)
{
    return p->bytes + p->requests * PLAN_REQUEST_COST;
}

struct layout_key plan_base_key(const struct plan_base *b)
{
    return (struct layout_key){
        .kind = b->level > 0 ? LAYOUT_MERGE : LAYOUT_SNAPSHOT,
        .timeline = b->timeline,
        .level = b->level,
        .base_txid = b->base_txid,
        .txid = b->txid,
        .time_ms = b->time_ms,
    };
}

void plan_base_text(const struct plan_base *b, layout_text out)
{
    if (b->level > 0)
        layout_merge(out, b->timeline, b->level, b->base_txid, b->txid, b->time_ms);
    else
        layout_snapshot(out, b->timeline, b->txid, b->time_ms);
}
