/* SPDX-License-Identifier: Apache-2.0 */
#include "retention.h"

#include "alloc.h"
#include "retention_points.h"
#include "retention_proof.h"
#include "retention_rest.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the policy and its clock --------------------------------------------------------------------------------------
 */

struct rc retention_check(const struct retention_policy *policy, struct err *err)
{
    uint64_t all = policy->exact_ms;

    for (int i = 0; i < RETENTION_KIND_COUNT; i++)
        all |= policy->periods[i];
    if (all == 0)
        return rc_raise(err, E_CONFIG,
            "a retention that promises nothing would delete the backup: give at least one of exact, daily, weekly and "
            "monthly");
    return RC_OK;
}

const char *retention_text(const struct retention_policy *policy, char out[RETENTION_TEXT_SIZE])
{
    char exact[STRX_HUMAN_SIZE];
    const uint64_t *n = policy->periods;

    (void)snprintf(out, RETENTION_TEXT_SIZE, "exact %s, %" PRIu64 " daily, %" PRIu64 " weekly, %" PRIu64 " monthly",
        strx_format_duration(policy->exact_ms, exact), n[RETENTION_DAY], n[RETENTION_WEEK], n[RETENTION_MONTH]);
    return out;
}

int64_t retention_now(int64_t local_ms, int64_t newest_ms, int64_t before_ms)
{
    int64_t now = newest_ms;

    if (before_ms == INT64_MIN)
        return INT64_MIN;
    /* Nothing happened for long, or a clock jumped: nobody can tell, so only the trusted part counts. */
    if (before_ms < newest_ms - 2 * (int64_t)RETENTION_TRUST_MS)
        now = before_ms + RETENTION_TRUST_MS;
    return local_ms < now ? local_ms : now;
}

const char *retention_class_name(enum retention_class c)
{
    static const char *const names[] = {
        [RETENTION_OF_DAY] = "day",
        [RETENTION_OF_WEEK] = "week",
        [RETENTION_OF_MONTH] = "month",
        [RETENTION_LATEST] = "latest",
        [RETENTION_VERIFIED] = "verified",
        [RETENTION_EXACT] = "exact",
    };

    return names[c];
}

/* Every commit that is not older than this is promised; with the grace, was promised a moment ago. */
static int64_t cutoff(const struct retention_input *in, bool grace)
{
    return in->now_ms - (int64_t)in->policy.exact_ms - (grace ? (int64_t)in->grace_ms : 0);
}

/* --- points --------------------------------------------------------------------------------------------------------
 */

/* States of periods: as of now, and as of the begin of the grace. */
static struct rc collect(struct retention *out, const struct retention_input *in, const struct retention_lines *lines,
    struct retention_mark *missing, bool *asked, struct err *err)
{
    *asked = false;
    for (size_t i = 0; i < lines->count && !*asked; i++)
        for (int grace = 0; grace < 2 && !*asked; grace++)
            TRY(retention_points_collect(out, in, &lines->lines[i], cutoff(in, grace != 0), missing, asked, err));
    return RC_OK;
}

bool retention_ask(const struct retention_input *in, uint32_t *timeline, int64_t *time_ms)
{
    struct retention_lines lines = {0};
    struct retention_mark missing = {0};
    struct retention r = {0};
    struct err ignored;
    bool asked = false;
    struct rc rc = retention_points_lines(&lines, in->catalog, &ignored);

    if (!rc_failed(rc))
        rc = collect(&r, in, &lines, &missing, &asked, &ignored);
    rc_ignore(rc, "the decision meets it again");
    *timeline = missing.timeline;
    *time_ms = missing.asked_ms;
    retention_points_free_lines(&lines);
    retention_fini(&r);
    return asked && !rc_failed(rc);
}

/* --- keeping -------------------------------------------------------------------------------------------------------
 */

struct decision {
    const struct retention_input *in;
    struct retention *out;
    struct retention_lines lines; /* owned */
    struct retention_keep *keep;  /* owned */
};

/* What the cheapest way to this state needs.  E_NOTFOUND: there is none. */
static struct rc keep_state(struct decision *d, uint32_t timeline, uint64_t txid, struct err *err)
{
    struct plan *plan = NULL;

    TRY(plan_restore(d->in->catalog, timeline, txid, NULL, &plan, err));
    retention_keep_plan(d->keep, plan);
    plan_free(plan);
    return RC_OK;
}

/* What cannot be restored may be mended from a copy, if what leads there is still around. */
static void keep_around(struct decision *d, const struct retention_line *l, struct retention_point *p)
{
    uint64_t from = 0;

    p->lost = true;
    for (size_t i = 0; i < l->map.base_count && l->map.bases[i].txid <= p->txid; i++)
        if (l->map.bases[i].level == 0)
            from = l->map.bases[i].txid;
    for (size_t i = 0; i < l->map.leg_count; i++)
        retention_keep_around(d->keep, l->map.legs[i].timeline->number, from, p->txid);
}

/* By the base that gives the state, if there is one: so it is found again by the next decision. */
static struct rc keep_point(struct decision *d, const struct retention_line *l, uint64_t txid, struct err *err)
{
    const struct plan_base *b = retention_points_base(l, txid);

    if (b == NULL || (b->level > 0 && rc_failed(keep_state(d, l->timeline, b->base_txid, err))))
        return keep_state(d, l->timeline, txid, err);
    retention_keep_base(d->keep, b);
    return RC_OK;
}

/* A commit that is still in the log, beside others that are needed, but what leads to it was pruned. */
static bool was_given_up(const struct retention_line *l, uint64_t txid)
{
    uint64_t base = 0;

    if (retention_points_base(l, txid) != NULL)
        return false;
    for (size_t i = 0; i < l->map.base_count && l->map.bases[i].txid <= txid; i++)
        base = l->map.bases[i].txid;
    for (size_t i = 0; i < l->map.leg_count; i++) {
        const struct catalog_timeline *t = l->map.legs[i].timeline;

        for (size_t k = 0; k < t->pruned_count; k++)
            if (base == 0
                || (t->pruned[k].first_txid <= txid && t->pruned[k].last_txid > base
                    && t->pruned[k].first_txid <= l->map.legs[i].last_txid))
                return true;
    }
    return false;
}

static struct rc keep_points(struct decision *d, struct err *err)
{
    for (size_t i = 0; i < d->out->point_count; i++) {
        struct retention_point *p = &d->out->points[i];
        bool gone = false;

        for (size_t k = 0; k < d->lines.count; k++) {
            const struct retention_line *l = &d->lines.lines[k];
            struct rc rc = l->timeline == p->timeline ? keep_point(d, l, p->txid, err) : RC_OK;

            if (rc.code == E_NOTFOUND && !was_given_up(l, p->txid))
                keep_around(d, l, p);
            else if (rc.code != E_NOTFOUND)
                TRY(rc);
            gone = gone || (rc.code == E_NOTFOUND && !p->lost);
        }
        if (gone)
            d->out->points[i--] = d->out->points[--d->out->point_count];
    }
    return RC_OK;
}

/* --- the exact part ------------------------------------------------------------------------------------------------
 */

/* The newest state before the cutoff that all commits behind can be replayed from; 0: none. */
static uint64_t find_base(struct decision *d, const struct retention_line *l, int64_t cutoff_ms)
{
    for (size_t i = l->map.base_count; i-- > 0;) {
        const struct plan_base *b = &l->map.bases[i];
        struct err ignored;

        if (!retention_points_on_line(l, b) || b->time_ms > cutoff_ms)
            continue;
        if ((b->txid == l->high || retention_points_goes_on(l, b->txid))
            && !rc_failed(keep_point(d, l, b->txid, &ignored)))
            return b->txid;
    }
    return 0;
}

static void keep_behind(struct decision *d, const struct retention_line *l, uint64_t txid)
{
    const struct plan_map *m = &l->map;

    for (size_t i = 0; i < m->step_count; i++)
        if (m->steps[i].last_txid > txid && (l->main || m->steps[i].timeline == l->timeline))
            retention_keep_step(d->keep, &m->steps[i]);
    for (size_t i = 0; i < m->base_count; i++) {
        const struct plan_base *b = &m->bases[i];

        if ((l->main || b->timeline == l->timeline) && b->txid >= txid && (b->level == 0 || b->base_txid >= txid))
            retention_keep_base(d->keep, b);
    }
}

static struct rc note_exact(struct decision *d, const struct retention_line *l, uint64_t base, struct err *err)
{
    struct retention_point p = {.timeline = l->timeline, .why = RETENTION_EXACT, .txid = base + 1};

    for (size_t i = 0; i < l->map.base_count; i++)
        if (l->map.bases[i].txid == base)
            p.time_ms = l->map.bases[i].time_ms;
    return retention_points_add(d->out, &p, err);
}

/* Without a base on another line than the main one, all of it stays, and what it begins with. */
static struct rc keep_exact(struct decision *d, const struct retention_line *l, struct err *err)
{
    uint64_t base;

    if (!l->main && l->tip_ms <= cutoff(d->in, true))
        return RC_OK;
    base = find_base(d, l, cutoff(d->in, true));
    if (base < l->low) {
        struct err ignored;

        base = l->low;
        rc_ignore(keep_state(d, l->timeline, l->low + 1, &ignored), "what cannot be restored needs nothing");
        rc_ignore(keep_state(d, l->timeline, l->low, &ignored), "what cannot be restored needs nothing");
    }
    keep_behind(d, l, base);
    return base < l->high ? note_exact(d, l, base, err) : RC_OK;
}

/* --- the floor -----------------------------------------------------------------------------------------------------
 */

/*
 * What the writer's next merge of each level builds on: the last state that a merge of this level made, or of a higher
 * one, or a snapshot.
 */
static void keep_newest_bases(struct decision *d, const struct retention_line *l)
{
    unsigned settled = 0; /* levels below have theirs */

    for (size_t i = l->map.base_count; i-- > 0 && settled < UINT_MAX;) {
        const struct plan_base *b = &l->map.bases[i];
        const unsigned rank = b->level == 0 ? UINT_MAX : b->level;
        struct err ignored;

        if (!retention_points_on_line(l, b) || rank <= settled)
            continue;
        settled = rank;
        rc_ignore(keep_point(d, l, b->txid, &ignored), "one that cannot be restored needs nothing");
    }
}

static void keep_ends(struct decision *d)
{
    const struct catalog *c = d->in->catalog;

    for (size_t i = 0; i < c->timeline_count; i++) {
        CLEANUP(mem_freep) struct catalog_step *steps = NULL;
        struct err ignored;
        size_t count = 0;

        /* A timeline that nobody can place has no route: everything of it stays. */
        if (rc_failed(catalog_route(c, c->timelines[i].number, &steps, &count, &ignored)))
            retention_keep_around(d->keep, c->timelines[i].number, 0, UINT64_MAX);
        else if (count > 0)
            retention_keep_step(d->keep, &steps[count - 1]);
    }
    retention_keep_around(d->keep, catalog_newest(c)->number, d->lines.lines[0].high + 1, UINT64_MAX);
}

static struct rc keep_floor(struct decision *d, struct err *err)
{
    const struct retention_line *l = &d->lines.lines[0];
    struct retention_point latest = {
        .timeline = l->timeline, .txid = l->high, .time_ms = l->tip_ms, .why = RETENTION_LATEST};

    TRY_CTX(keep_state(d, l->timeline, l->high, err), err, "the latest state");
    keep_newest_bases(d, l);
    keep_ends(d);
    return retention_points_add(d->out, &latest, err);
}

static struct rc keep_verified(struct decision *d, struct err *err)
{
    CLEANUP(plan_map_fini) struct plan_map map = {0};
    struct retention_point p = {
        .timeline = d->in->verified_timeline, .txid = d->in->verified_txid, .why = RETENTION_VERIFIED};
    bool found = false;
    struct err gone;

    if (p.timeline == 0 || rc_failed(plan_map_make(&map, d->in->catalog, p.timeline, NULL, &gone)))
        return RC_OK;
    for (size_t i = 0; i < map.base_count; i++)
        if (map.bases[i].level == 0 && map.bases[i].txid == p.txid) {
            retention_keep_base(d->keep, &map.bases[i]);
            p.time_ms = map.bases[i].time_ms;
            found = true;
        }
    return found ? retention_points_add(d->out, &p, err) : RC_OK;
}

/* --- merges over the border ----------------------------------------------------------------------------------------
 */

/*
 * A merge from a state before the exact part to one in it (of a day, say) is the cheap way to that one once it is all
 * that is left of its day.  It stays if what it builds on stays anyway.
 */
static struct rc keep_bridges(struct decision *d, const struct retention_line *l, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *view = NULL;
    uint64_t from = UINT64_MAX;

    for (size_t i = 0; i < d->out->point_count; i++)
        if (d->out->points[i].why == RETENTION_EXACT && d->out->points[i].timeline == l->timeline)
            from = d->out->points[i].txid - 1;
    for (size_t i = 0; i < l->map.base_count && from != UINT64_MAX; i++) {
        const struct plan_base *b = &l->map.bases[i];
        struct plan *plan = NULL;
        struct err ignored;

        if (b->level == 0 || b->txid <= from || b->base_txid >= from || !(l->main || b->timeline == l->timeline))
            continue;
        if (view == NULL)
            TRY(retention_rest_view(&view, d->keep, d->out, err));
        if (!rc_failed(plan_restore(view, l->timeline, b->base_txid, NULL, &plan, &ignored)))
            retention_keep_base(d->keep, b);
        plan_free(plan);
    }
    return RC_OK;
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

static int by_txid(const void *a, const void *b)
{
    const struct retention_point *x = a, *y = b;

    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    if (x->timeline != y->timeline)
        return x->timeline < y->timeline ? -1 : 1;
    return (x->why > y->why) - (x->why < y->why);
}

/* Up to where the newest timeline is older than the grace. */
static uint64_t settled_to(const struct decision *d)
{
    const struct retention_line *l = &d->lines.lines[0];
    uint64_t txid = 0;

    for (size_t i = 0; i < l->map.base_count; i++)
        if (retention_points_on_line(l, &l->map.bases[i])
            && l->map.bases[i].time_ms <= d->in->now_ms - (int64_t)d->in->grace_ms)
            txid = l->map.bases[i].txid;
    return txid;
}

static struct rc decide(struct decision *d, struct err *err)
{
    struct retention_mark missing;
    bool asked = false;

    TRY(retention_points_lines(&d->lines, d->in->catalog, err));
    TRY(retention_keep_new(&d->keep, d->in->catalog, err));
    TRY(collect(d->out, d->in, &d->lines, &missing, &asked, err));
    assert(!asked); /* the caller has asked until there was nothing to ask */
    TRY(keep_floor(d, err));
    TRY(keep_points(d, err));
    TRY(keep_verified(d, err));
    for (size_t i = 0; i < d->lines.count; i++)
        TRY(keep_exact(d, &d->lines.lines[i], err));
    for (size_t i = 0; i < d->lines.count; i++)
        TRY(keep_bridges(d, &d->lines.lines[i], err));
    TRY(retention_rest_find(d->keep, settled_to(d), d->out, err));
    TRY(retention_rest_view(&d->out->remaining, d->keep, d->out, err));
    qsort(d->out->points, d->out->point_count, sizeof *d->out->points, by_txid);
    return retention_proof_check(d->in, d->out, &d->lines, err);
}

struct rc retention_decide(const struct retention_input *in, struct retention *out, struct err *err)
{
    struct decision d = {.in = in, .out = out};
    struct rc rc;

    *out = (struct retention){0};
    TRY(retention_check(&in->policy, err));
    assert(catalog_newest(in->catalog) != NULL);
    rc = decide(&d, err);
    retention_points_free_lines(&d.lines);
    retention_keep_free(d.keep);
    if (rc_failed(rc))
        retention_fini(out);
    return rc;
}

void retention_fini(struct retention *r)
{
    mem_free(r->points);
    mem_free(r->drops);
    mem_free(r->ranges);
    catalog_free(r->remaining);
    *r = (struct retention){0};
}

bool retention_drops_part(const struct retention *r, const struct layout_key *part)
{
    const struct catalog_timeline *t = catalog_timeline(r->remaining, part->timeline);

    if (t == NULL)
        return false;
    for (size_t i = 0; i < t->log_count; i++)
        if (t->logs[i].first_txid == part->txid && !(t->sealed && i + 1 == t->log_count))
            return false;
    /* Keys of segments only go up, so behind the tip it may be on its way. */
    return t->sealed || part->txid <= t->tip_txid;
}

struct rc retention_drop_part(struct retention *r, const struct layout_key *part, uint64_t size, struct err *err)
{
    return retention_rest_drop(r, part, size, RETENTION_EXPIRED, err);
}
