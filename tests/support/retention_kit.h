/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention_kit - for tests: the history of one database as a table of keys, made and pruned day by day.
 *
 *     begin(seed);
 *     live(days, commits_per_day);      prunes each day; whatever was promised must have its plan, as long as it was
 */
#ifndef RETENTION_KIT_H
#define RETENTION_KIT_H

#include "check.h"

#include "alloc.h"
#include "plan.h"
#include "retention.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR  INT64_C(3600000)
#define DAY   (24 * HOUR)
#define BEGIN (INT64_C(1790000000000) / DAY * DAY)

enum { COMMITS_MAX = 40000, OBJECTS_MAX = 60000, PROMISES_MAX = 2000, SNAPSHOT_SIZE = 20 << 20 };

struct object {
    struct layout_key key;
    uint64_t size;
    uint64_t last_txid; /* of a segment */
};

/* One database: its commits, and what stands in its replica. */
static struct {
    uint64_t random;
    int64_t now_ms;
    uint32_t timeline;
    uint64_t tip; /* the present state */
    struct {
        int64_t time_ms;
        uint32_t timeline; /* the last one that has it */
    } commits[COMMITS_MAX];
    struct object objects[OBJECTS_MAX];
    size_t object_count;
    struct layout_origin origins[8];
    bool sealed[8];
    struct {
        uint64_t tip;
        int64_t time_ms;
    } tips[8];
    uint64_t base[4];   /* where merges of a level build on; 0 is for snapshots */
    int64_t base_ms[4]; /* and when the last was made */
    uint64_t unfolded;  /* first txid of a segment that is not in a fold */
    unsigned unfolded_count;
    uint64_t next_segment; /* first txid of the open one */
    bool merges, folds;
    struct retention_policy policy;
    struct retention_point promises[PROMISES_MAX];
    size_t promise_count;
    size_t dropped, looked_up;
} w;

/* --- making history ------------------------------------------------------------------------------------------------
 */

static inline uint64_t pick(uint64_t below)
{
    return check_random(&w.random) % below;
}

static inline void put(struct layout_key key, uint64_t size, uint64_t last_txid)
{
    assert_true(w.object_count < OBJECTS_MAX);
    key.timeline = w.timeline;
    w.objects[w.object_count++] = (struct object){key, size, last_txid};
}

static inline void fold(void)
{
    uint64_t last = w.tip;

    if (w.folds && w.unfolded_count >= 8) {
        put((struct layout_key){.kind = LAYOUT_FOLD, .txid = w.unfolded, .last_txid = last}, 900, 0);
        w.unfolded_count = 0;
        w.unfolded = last + 1;
        /* A crash may leave what it has. */
        for (size_t i = 0, n = w.object_count; i < n && pick(4) > 0; i++)
            if (w.objects[i].key.kind == LAYOUT_LOG && w.objects[i].key.timeline == w.timeline
                && w.objects[i].last_txid != 0 && w.objects[i].last_txid <= last) {
                w.objects[i] = w.objects[--w.object_count];
                n--;
                i--;
            }
    }
}

static inline void cut(void)
{
    if (w.next_segment > w.tip)
        return;
    put((struct layout_key){.kind = LAYOUT_LOG, .txid = w.next_segment}, 100, w.tip);
    w.next_segment = w.tip + 1;
    w.unfolded_count++;
    fold();
}

static inline void commit(void)
{
    w.tip++;
    assert_true(w.tip < COMMITS_MAX);
    w.commits[w.tip].time_ms = w.now_ms;
    w.commits[w.tip].timeline = w.timeline;
    w.tips[w.timeline].tip = w.tip;
    w.tips[w.timeline].time_ms = w.now_ms;
    if (pick(3) == 0)
        cut();
}

static inline void snapshot(void)
{
    cut();
    put((struct layout_key){.kind = LAYOUT_SNAPSHOT, .txid = w.tip, .time_ms = w.now_ms}, SNAPSHOT_SIZE, 0);
    for (int level = 0; level < 3; level++) {
        w.base[level] = w.tip;
        w.base_ms[level] = w.now_ms;
    }
}

static inline void merge(unsigned level)
{
    if (w.base[level] == w.tip)
        return;
    cut();
    put((struct layout_key){.kind = LAYOUT_MERGE,
            .level = level,
            .base_txid = w.base[level],
            .txid = w.tip,
            .time_ms = w.commits[w.tip].time_ms},
        level == 1 ? 20000 : 80000, 0);
    for (unsigned lower = 1; lower <= level; lower++) {
        w.base[lower] = w.tip;
        w.base_ms[lower] = w.now_ms;
    }
}

static inline void tick(void)
{
    if (w.now_ms - w.base_ms[0] >= 7 * DAY && w.base[0] != w.tip)
        snapshot();
    if (w.merges && w.now_ms - w.base_ms[2] >= DAY)
        merge(2);
    if (w.merges && w.now_ms - w.base_ms[1] >= HOUR)
        merge(1);
}

/* A new timeline at a state of the present one. */
static inline void take_over(uint64_t fork)
{
    cut();
    put((struct layout_key){.kind = LAYOUT_LOG, .txid = w.tip + 1}, 80, 0);
    w.sealed[w.timeline] = true;
    w.timeline++;
    assert_true(w.timeline < 8);
    w.origins[w.timeline] = (struct layout_origin){
        .timeline = w.timeline, .parent = w.timeline - 1, .fork_txid = fork, .time_ms = w.now_ms};
    w.tip = fork;
    w.next_segment = w.unfolded = fork + 1;
    w.unfolded_count = 0;
    if (w.base[0] > fork || w.base[1] > fork || w.base[2] > fork)
        for (int level = 0; level < 3; level++)
            w.base_ms[level] = 0; /* the next is a snapshot */
    if (w.base_ms[0] == 0)
        w.base[0] = 0;
}

static inline void begin(uint64_t seed)
{
    memset(&w, 0, sizeof w);
    w.random = seed;
    w.now_ms = BEGIN;
    w.timeline = 1;
    w.origins[1] = (struct layout_origin){.timeline = 1, .time_ms = BEGIN};
    w.next_segment = w.unfolded = 1;
    w.policy = (struct retention_policy){DAY, {7, 4, 12}};
    w.merges = w.folds = true;
    commit();
    snapshot();
}

/* --- as a catalog --------------------------------------------------------------------------------------------------
 */

static inline int by_key(const void *a, const void *b)
{
    layout_text x, y;

    layout_text_of(x, &((const struct object *)a)->key);
    layout_text_of(y, &((const struct object *)b)->key);
    return strcmp(x, y);
}

static inline void *more(void *array, size_t count, size_t size)
{
    void *p = mem_resize(array, count + 1, size);

    assert_non_null(p);
    return p;
}

static inline void add(struct catalog_timeline *t, const struct object *o)
{
    const struct layout_key *k = &o->key;

    switch (k->kind) {
    case LAYOUT_LOG:
        t->logs = more(t->logs, t->log_count, sizeof *t->logs);
        t->logs[t->log_count++] = (struct catalog_log){k->txid, o->size};
        break;
    case LAYOUT_FOLD:
        t->folds = more(t->folds, t->fold_count, sizeof *t->folds);
        t->folds[t->fold_count++] = (struct catalog_fold){k->txid, k->last_txid, o->size};
        break;
    case LAYOUT_SNAPSHOT:
        t->snapshots = more(t->snapshots, t->snapshot_count, sizeof *t->snapshots);
        t->snapshots[t->snapshot_count++] = (struct catalog_snapshot){k->txid, k->time_ms, o->size};
        break;
    case LAYOUT_MERGE:
        t->merges = more(t->merges, t->merge_count, sizeof *t->merges);
        t->merges[t->merge_count++] = (struct catalog_merge){k->base_txid, k->txid, k->time_ms, o->size, k->level};
        break;
    case LAYOUT_PRUNED:
        t->pruned = more(t->pruned, t->pruned_count, sizeof *t->pruned);
        t->pruned[t->pruned_count++] = (struct catalog_pruned){k->txid, k->last_txid};
        break;
    case LAYOUT_OTHER:
    case LAYOUT_IDENTITY_KEY:
    case LAYOUT_TIMELINE:
    case LAYOUT_PART:
        fail();
    }
}

static inline struct catalog *listing(void)
{
    struct catalog *c = mem_new(sizeof *c);

    qsort(w.objects, w.object_count, sizeof w.objects[0], by_key);
    c->identity.created_ms = BEGIN;
    c->timelines = mem_new(8 * sizeof *c->timelines);
    for (uint32_t n = 1; n <= w.timeline; n++) {
        struct catalog_timeline *t = &c->timelines[c->timeline_count++];

        t->number = n;
        t->origin = w.origins[n];
        t->sealed = w.sealed[n];
        t->tip_txid = w.tips[n].tip;
        t->tip_time_ms = w.tips[n].time_ms;
    }
    for (size_t i = 0; i < w.object_count; i++)
        add(&c->timelines[w.objects[i].key.timeline - 1], &w.objects[i]);
    return c;
}

/* --- pruning -------------------------------------------------------------------------------------------------------
 */

static inline bool can_restore(const struct catalog *c, uint32_t timeline, uint64_t txid)
{
    struct plan *p = NULL;
    struct err ignored;
    bool can = !rc_failed(plan_restore(c, timeline, txid, NULL, &p, &ignored));

    plan_free(p);
    return can;
}

/* As a look into the segments finds it: the last commit of the newest path that is still in the log, or is a base. */
static inline struct retention_mark look_up(const struct catalog *c, uint32_t timeline, int64_t time_ms)
{
    struct retention_mark m = {timeline, time_ms, 0, 0};
    const uint64_t tip = c->timelines[timeline - 1].tip_txid;

    w.looked_up++;
    for (uint64_t txid = tip; txid > 0; txid--)
        if (w.commits[txid].time_ms <= time_ms && can_restore(c, timeline, txid)) {
            m.txid = txid;
            m.time_ms = w.commits[txid].time_ms;
            break;
        }
    return m;
}

static inline void decide(const struct catalog *c, int64_t now_ms, struct retention *out)
{
    struct retention_mark marks[64];
    struct retention_input in = {
        .catalog = c, .policy = w.policy, .now_ms = now_ms, .grace_ms = (uint64_t)HOUR, .marks = marks};
    uint32_t timeline;
    int64_t time_ms;
    struct err err;

    while (retention_ask(&in, &timeline, &time_ms)) {
        assert_true(in.mark_count < 64);
        marks[in.mark_count++] = look_up(c, timeline, time_ms);
    }
    assert_ok_err(retention_decide(&in, out, &err), &err);
}

static inline void remove_object(const struct layout_key *key)
{
    struct object o = {.key = *key};

    for (size_t i = 0; i < w.object_count; i++)
        if (by_key(&w.objects[i], &o) == 0) {
            w.objects[i] = w.objects[--w.object_count];
            w.dropped++;
            return;
        }
    fail();
}

/* What was promised, and still is, can be restored; and so can every commit of the exact part. */
static inline void assert_promises(const struct catalog *c, int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < w.promise_count; i++) {
        const struct retention_point *p = &w.promises[i];

        if (p->until_ms <= now_ms)
            continue;
        if (!can_restore(c, p->timeline, p->txid)) {
            struct plan *pp = NULL;
            struct err e;
            rc_ignore(plan_restore(c, p->timeline, p->txid, NULL, &pp, &e), "");
            print_error("%s\n", e.msg);
            for (size_t k = 0; k < w.object_count; k++) {
                layout_text t;
                layout_text_of(t, &w.objects[k].key);
                print_error("  %s\n", t);
            }
        }
        if (!can_restore(c, p->timeline, p->txid))
            fail_msg("txid %" PRIu64 " of timeline %u, promised as a %s until %" PRId64 " h, is gone at %" PRId64 " h",
                p->txid, p->timeline, retention_class_name(p->why), (p->until_ms - BEGIN) / HOUR,
                (now_ms - BEGIN) / HOUR);
        w.promises[n++] = *p;
    }
    w.promise_count = n;
    for (uint64_t txid = w.tip; txid > 0 && w.commits[txid].time_ms >= now_ms - (int64_t)w.policy.exact_ms; txid--)
        if (!can_restore(c, w.timeline, txid))
            fail_msg("txid %" PRIu64 " of the exact part is gone", txid);
    assert_true(can_restore(c, w.timeline, w.tip));
}

static inline void remember(const struct retention *r)
{
    for (size_t i = 0; i < r->point_count; i++) {
        assert_false(r->points[i].lost);
        if (r->points[i].until_ms != 0) {
            assert_true(w.promise_count < PROMISES_MAX);
            w.promises[w.promise_count++] = r->points[i];
        }
    }
}

/* Deletes may stop anywhere; whatever prefix was carried out, everything promised is there. */
static inline void carry_out(const struct retention *r, int64_t now_ms)
{
    size_t stop = pick(3) == 0 ? pick(r->drop_count + 1) : r->drop_count;
    struct catalog *c;

    for (size_t i = 0; i < r->range_count; i++) {
        const uint32_t present = w.timeline;

        w.timeline = r->ranges[i].timeline;
        put(r->ranges[i], 60, 0);
        w.timeline = present;
    }
    for (size_t i = 0; i < stop; i++)
        remove_object(&r->drops[i].key);
    c = listing();
    assert_promises(c, now_ms);
    catalog_free(c);
    for (size_t i = stop; i < r->drop_count; i++)
        remove_object(&r->drops[i].key);
}

static inline void prune(void)
{
    struct catalog *c = listing();
    struct retention r, again;

    decide(c, w.now_ms, &r);
    remember(&r);
    carry_out(&r, w.now_ms);
    catalog_free(c);
    c = listing();
    assert_promises(c, w.now_ms);
    decide(c, w.now_ms, &again);
    for (size_t i = 0; i < again.drop_count; i++) {
        layout_text t;

        layout_text_of(t, &again.drops[i].key);
        print_error("%s reason %u\n", t, again.drops[i].reason);
    }
    assert_int_equal(again.drop_count, 0);
    assert_int_equal(again.range_count, 0);
    retention_fini(&again);
    retention_fini(&r);
    catalog_free(c);
}

static inline void live(int days, unsigned commits_per_day)
{
    const int64_t end = w.now_ms + days * DAY;

    while (w.now_ms < end) {
        int64_t day = retention_period_of(RETENTION_DAY, w.now_ms);

        w.now_ms += (int64_t)pick(2 * 24 * 60 / commits_per_day) * 60000 + 1;
        commit();
        tick();
        if (retention_period_of(RETENTION_DAY, w.now_ms) != day) {
            cut();
            prune();
        }
    }
    cut();
    prune();
}

#endif
