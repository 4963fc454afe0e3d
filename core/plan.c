/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A snapshot that lies on the path. */
struct candidate {
    uint32_t timeline;
    struct catalog_snapshot snapshot;
};

struct route {
    struct catalog_leg *legs;     /* owned */
    struct catalog_step *steps;   /* owned */
    struct candidate *candidates; /* owned; newest first */
    size_t leg_count, step_count, candidate_count;
};

static void route_fini(struct route *r)
{
    mem_free(r->legs);
    mem_free(r->steps);
    mem_free(r->candidates);
}

/* The index of the first step that begins behind `txid`. */
static size_t step_behind(const struct route *r, uint64_t txid)
{
    size_t low = 0, high = r->step_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->steps[middle].first_txid <= txid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The fold that goes on behind `txid`, although it begins before; NULL: there is none. */
static const struct catalog_step *fold_over(const struct route *r, uint64_t txid)
{
    size_t next = step_behind(r, txid);
    const struct catalog_step *s = next > 0 ? &r->steps[next - 1] : NULL;

    return s != NULL && catalog_step_is_fold(s) && s->last_txid > txid ? s : NULL;
}

/*
 * Replay can begin behind a snapshot only where a segment begins: its pages are coded against their images at its
 * begin.  Writers end a segment at every snapshot, so others are leftovers of a writer that was fenced or crashed.
 * Where segments begin inside a fold is not known here; that of a leftover is found out by the replay.
 */
static bool leads_on(const struct route *r, uint64_t snapshot_txid)
{
    size_t next = step_behind(r, snapshot_txid);

    return fold_over(r, snapshot_txid) != NULL
           || (next < r->step_count && r->steps[next].first_txid == snapshot_txid + 1);
}

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->snapshot.txid != y->snapshot.txid)
        return x->snapshot.txid < y->snapshot.txid ? 1 : -1;
    if (x->timeline != y->timeline)
        return x->timeline < y->timeline ? 1 : -1;
    if (x->snapshot.time_ms != y->snapshot.time_ms)
        return x->snapshot.time_ms < y->snapshot.time_ms ? 1 : -1;
    return 0;
}

/* A snapshot of a leg counts from the fork on (it may be taken before the first own commit) to where the leg ends. */
static bool on_leg(const struct catalog_leg *leg, uint64_t txid)
{
    const struct catalog_timeline *t = leg->timeline;

    if (txid < t->origin.fork_txid || txid > leg->last_txid)
        return false;
    return !t->sealed || t->log_count == 0 || txid < t->logs[t->log_count - 1].first_txid;
}

static struct rc find_candidates(struct route *r, struct err *err)
{
    size_t room = 1;

    for (size_t i = 0; i < r->leg_count; i++)
        room += r->legs[i].timeline->snapshot_count;
    r->candidates = mem_try(room, sizeof *r->candidates);
    if (r->candidates == NULL)
        return rc_raise(err, E_NOMEM, "plan over %zu snapshots", room);
    for (size_t i = 0; i < r->leg_count; i++) {
        const struct catalog_timeline *t = r->legs[i].timeline;

        for (size_t k = 0; k < t->snapshot_count; k++)
            if (on_leg(&r->legs[i], t->snapshots[k].txid))
                r->candidates[r->candidate_count++] = (struct candidate){t->number, t->snapshots[k]};
    }
    qsort(r->candidates, r->candidate_count, sizeof *r->candidates, newest_first);
    return RC_OK;
}

/* The leg that the target lies on. */
static uint32_t timeline_of(const struct route *r, uint64_t txid)
{
    for (size_t i = r->leg_count; i-- > 1;)
        if (txid > r->legs[i].timeline->origin.fork_txid)
            return r->legs[i].timeline->number;
    return r->legs[0].timeline->number;
}

/* Why not, and what can be restored nearby: the state of every snapshot can. */
static struct rc no_way(const struct route *r, uint64_t txid, size_t skipped, struct err *err)
{
    uint64_t before = 0, after = 0;
    char nearest[96] = "there is no snapshot at all";

    for (size_t i = 0; i < r->candidate_count; i++) {
        uint64_t at = r->candidates[i].snapshot.txid;

        if (at > txid)
            after = at;
        else if (before == 0)
            before = at;
    }
    if (before > 0 && after > 0)
        (void)snprintf(nearest, sizeof nearest, "the nearest that can are %" PRIu64 " and %" PRIu64, before, after);
    else if (before > 0 || after > 0)
        (void)snprintf(nearest, sizeof nearest, "the nearest that can is %" PRIu64, before > 0 ? before : after);
    if (skipped > 0)
        return rc_raise(err, E_NOTFOUND, "txid %" PRIu64 " cannot be restored: no other snapshot leads to it", txid);
    if (before > 0) {
        layout_text key;

        layout_log(key, timeline_of(r, before + 1), before + 1);
        return rc_raise(err, E_NOTFOUND,
            "txid %" PRIu64 " cannot be restored: behind the snapshot at txid %" PRIu64 ", %s is missing; %s", txid,
            before, key, nearest);
    }
    /* A log that begins with the first commit needs the snapshot of that commit; a pruned one begins later. */
    if (r->step_count > 0 && r->steps[0].first_txid == 1) {
        layout_text prefix;

        layout_snapshot_prefix(prefix, r->steps[0].timeline);
        return rc_raise(err, E_NOTFOUND,
            "txid %" PRIu64 " cannot be restored: the snapshot at txid 1 is missing (%s%016x-...); %s", txid, prefix,
            1u, nearest);
    }
    return rc_raise(err, E_NOTFOUND, "txid %" PRIu64 " cannot be restored: no snapshot leads to it; %s", txid, nearest);
}

static struct rc make_plan(
    const struct route *r, const struct candidate *from, uint64_t txid, struct plan **out, struct err *err)
{
    CLEANUP(plan_freep) struct plan *p = mem_new(sizeof *p);
    size_t begin = step_behind(r, from->snapshot.txid), end = step_behind(r, txid);

    if (from->snapshot.txid < txid && fold_over(r, from->snapshot.txid) != NULL)
        begin--;
    p->timeline = timeline_of(r, txid);
    p->txid = txid;
    p->snapshot.timeline = from->timeline;
    p->snapshot.txid = from->snapshot.txid;
    p->snapshot.size = from->snapshot.size;
    p->snapshot.time_ms = from->snapshot.time_ms;
    p->bytes = from->snapshot.size;
    p->segments = mem_try(end > begin ? end - begin : 1, sizeof *p->segments);
    if (p->segments == NULL)
        return rc_raise(err, E_NOMEM, "plan of %zu segments", end - begin);
    for (size_t i = begin; i < end; i++) {
        struct catalog_step *s = &p->segments[p->segment_count++];

        *s = r->steps[i];
        if (s->first_txid <= from->snapshot.txid)
            s->first_txid = from->snapshot.txid + 1;
        if (s->last_txid > txid)
            s->last_txid = txid;
        p->bytes += s->size;
    }
    *out = MOVE(p);
    return RC_OK;
}

struct rc plan_restore(const struct catalog *c, uint32_t timeline, uint64_t txid, size_t skip_snapshots,
    struct plan **out, struct err *err)
{
    CLEANUP(route_fini) struct route r = {0};
    size_t left = skip_snapshots;

    TRY(catalog_path(c, timeline, &r.legs, &r.leg_count, err));
    TRY(catalog_route(c, timeline, &r.steps, &r.step_count, err));
    TRY(find_candidates(&r, err));
    for (size_t i = 0; i < r.candidate_count; i++) {
        uint64_t at = r.candidates[i].snapshot.txid;

        if (at > txid || (at < txid && !leads_on(&r, at)))
            continue;
        if (left-- > 0)
            continue;
        return make_plan(&r, &r.candidates[i], txid, out, err);
    }
    return no_way(&r, txid, skip_snapshots, err);
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    mem_free(p->segments);
    mem_free(p);
}

void plan_freep(struct plan **p)
{
    plan_free(*p);
    *p = NULL;
}
