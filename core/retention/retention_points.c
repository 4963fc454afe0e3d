/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_points.h"

#include "alloc.h"

#include <limits.h>

/* --- lines ---------------------------------------------------------------------------------------------------------
 */

/* Up to where the path to the newest timeline goes along this one; 0: not at all. */
static uint64_t shared_to(const struct plan_map *main, uint32_t timeline)
{
    for (size_t i = 0; i < main->leg_count; i++)
        if (main->legs[i].timeline->number == timeline)
            return main->legs[i].last_txid;
    return 0;
}

static struct rc add_line(struct retention_lines *l, const struct catalog *c, const struct catalog_timeline *t,
    uint64_t low, bool main, struct err *err)
{
    struct retention_line *line = &l->lines[l->count];

    *line = (struct retention_line){
        .timeline = t->number, .main = main, .low = low, .high = t->tip_txid, .tip_ms = t->tip_time_ms};
    TRY(plan_map_make(&line->map, c, t->number, NULL, err));
    l->count++;
    return RC_OK;
}

/* The newest timeline may have no commit yet: then the path ends on an older one. */
static void find_end(struct retention_line *main)
{
    for (size_t i = main->map.leg_count; i-- > 0 && main->high == 0;) {
        const struct catalog_leg *leg = &main->map.legs[i];

        main->high = leg->timeline->tip_txid < leg->last_txid ? leg->timeline->tip_txid : leg->last_txid;
        main->tip_ms = leg->timeline->tip_time_ms;
    }
}

struct rc retention_points_lines(struct retention_lines *out, const struct catalog *c, struct err *err)
{
    const struct catalog_timeline *newest = catalog_newest(c);

    out->lines = mem_new((c->timeline_count + 1) * sizeof *out->lines);
    TRY(add_line(out, c, newest, 0, true, err));
    find_end(&out->lines[0]);
    for (size_t i = 0; i + 1 < c->timeline_count; i++) {
        const struct catalog_timeline *t = &c->timelines[i];
        uint64_t low = shared_to(&out->lines[0].map, t->number);

        if (low < t->origin.fork_txid)
            low = t->origin.fork_txid;
        if (t->tip_txid > low)
            TRY(add_line(out, c, t, low, false, err));
    }
    return RC_OK;
}

void retention_points_free_lines(struct retention_lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        plan_map_fini(&l->lines[i].map);
    mem_free(l->lines);
    *l = (struct retention_lines){0};
}

bool retention_points_on_line(const struct retention_line *l, const struct plan_base *b)
{
    if (b->txid > l->high)
        return false;
    return l->main || (b->timeline == l->timeline && b->txid >= l->low);
}

bool retention_points_goes_on(const struct retention_line *l, uint64_t txid)
{
    const struct plan_map *m = &l->map;

    for (size_t i = 0; i < m->step_count; i++) {
        const struct catalog_step *s = &m->steps[i];

        if (s->first_txid == txid + 1 || (catalog_step_is_fold(s) && s->first_txid <= txid && s->last_txid > txid))
            return true;
    }
    return false;
}

/* --- points --------------------------------------------------------------------------------------------------------
 */

static bool lasts_longer(const struct retention_point *a, const struct retention_point *b)
{
    return b->until_ms != 0 && (a->until_ms == 0 || a->until_ms > b->until_ms);
}

struct rc retention_points_add(struct retention *out, const struct retention_point *p, struct err *err)
{
    for (size_t i = 0; i < out->point_count; i++) {
        struct retention_point *have = &out->points[i];

        if (have->timeline != p->timeline || have->txid != p->txid || have->why == RETENTION_EXACT
            || p->why == RETENTION_EXACT)
            continue;
        if (lasts_longer(p, have)) {
            have->why = p->why;
            have->until_ms = p->until_ms;
        }
        return RC_OK;
    }
    if (!mem_grow(&out->points, out->point_count, &out->point_room, sizeof *out->points))
        return rc_raise(err, E_NOMEM, "list of %zu promised states", out->point_count + 1);
    out->points[out->point_count++] = *p;
    return RC_OK;
}

static unsigned rank(const struct plan_base *b)
{
    return b->level == 0 ? UINT_MAX : b->level;
}

/*
 * The base of the line, with a time in [begin, end), that is the coarsest, and of these the last: fewest objects stand
 * between it and the others that are kept.  While it is kept it is found again, whatever goes beside it.
 */
static const struct plan_base *best_base(const struct retention_line *l, int64_t begin_ms, int64_t end_ms)
{
    const struct plan_base *best = NULL;

    for (size_t i = l->map.base_count; i-- > 0;) {
        const struct plan_base *b = &l->map.bases[i];

        if (retention_points_on_line(l, b) && b->time_ms >= begin_ms && b->time_ms < end_ms
            && (best == NULL || rank(b) > rank(best)))
            best = b;
    }
    return best;
}

const struct plan_base *retention_points_base(const struct retention_line *l, uint64_t txid)
{
    const struct plan_base *best = NULL;

    for (size_t i = 0; i < l->map.base_count; i++) {
        const struct plan_base *b = &l->map.bases[i];

        if (b->txid == txid && (best == NULL || rank(b) > rank(best)))
            best = b;
    }
    return best;
}

/* A look-up answers for all times between the commit that it found and the time that it was made for. */
static const struct retention_mark *find_mark(const struct retention_input *in, uint32_t timeline, int64_t time_ms)
{
    for (size_t i = 0; i < in->mark_count; i++) {
        const struct retention_mark *m = &in->marks[i];

        if (m->timeline == timeline && time_ms <= m->asked_ms && (m->txid == 0 || m->time_ms <= time_ms))
            return m;
    }
    return NULL;
}

/* Before it there is nothing. */
static int64_t history_begin(const struct retention_input *in, const struct retention_line *l)
{
    const struct catalog *c = in->catalog;
    int64_t begin = c->identity.created_ms > 0 ? c->identity.created_ms : l->tip_ms;

    if (c->timelines[0].origin.timeline != 0 && c->timelines[0].origin.time_ms < begin)
        begin = c->timelines[0].origin.time_ms;
    for (size_t i = 0; i < l->map.base_count; i++)
        if (l->map.bases[i].time_ms < begin)
            begin = l->map.bases[i].time_ms;
    return begin;
}

struct period {
    enum retention_kind kind;
    int64_t begin_ms, end_ms;
    int64_t until_ms;
};

/* The state at the end of the period; *asked: it is to be looked up first. */
static void state_of(const struct retention_input *in, const struct retention_line *l, const struct period *p,
    struct retention_point *out, bool *asked)
{
    const struct plan_base *b = best_base(l, p->begin_ms, p->end_ms);
    const struct retention_mark *m;

    *out = (struct retention_point){
        .timeline = l->timeline, .why = (enum retention_class)p->kind, .until_ms = p->until_ms};
    if (b != NULL) {
        out->txid = b->txid;
        out->time_ms = b->time_ms;
    } else if (l->tip_ms < p->end_ms) {
        /* On another line, a state that stood still was made in one period only. */
        out->txid = l->main || l->tip_ms >= p->begin_ms ? l->high : 0;
        out->time_ms = l->tip_ms;
    } else {
        m = find_mark(in, l->timeline, p->end_ms - 1);
        *asked = m == NULL;
        out->txid = m != NULL && m->txid > l->low ? m->txid : 0;
        out->time_ms = m != NULL ? m->time_ms : 0;
    }
}

struct rc retention_points_collect(struct retention *out, const struct retention_input *in,
    const struct retention_line *l, int64_t cutoff_ms, struct retention_mark *missing, bool *asked, struct err *err)
{
    const int64_t begin_ms = history_begin(in, l);

    for (int kind = 0; kind < RETENTION_KIND_COUNT; kind++) {
        const int64_t here = retention_period_of((enum retention_kind)kind, cutoff_ms);
        const int64_t count = (int64_t)in->policy.periods[kind];
        /* Nothing is added to another line any more, so its last period need not wait for its end. */
        const int64_t last = l->main ? here - 1 : retention_period_of((enum retention_kind)kind, l->tip_ms);

        for (int64_t i = last; i >= here - count && count > 0; i--) {
            struct period p = {(enum retention_kind)kind, retention_period_begin((enum retention_kind)kind, i),
                retention_period_begin((enum retention_kind)kind, i + 1),
                retention_period_begin((enum retention_kind)kind, i + count + 1) + (int64_t)in->policy.exact_ms};
            struct retention_point point;

            if (p.end_ms <= begin_ms)
                break;
            state_of(in, l, &p, &point, asked);
            if (*asked) {
                *missing = (struct retention_mark){.timeline = l->timeline, .asked_ms = p.end_ms - 1};
                return RC_OK;
            }
            if (point.txid != 0)
                TRY(retention_points_add(out, &point, err));
        }
    }
    return RC_OK;
}
