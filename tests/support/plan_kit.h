/* SPDX-License-Identifier: Apache-2.0 */
/* plan_kit - for tests: catalogs made by hand, and plans as text. */
#ifndef PLAN_KIT_H
#define PLAN_KIT_H

#include "check.h"

#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "2:17 = 1:10@1000 + M1 10>12 + 1:13..15 + 2:16..17, 120 bytes"; a fold is in brackets */
static inline void print_plan(char *out, size_t size, const struct plan *p)
{
    size_t n = (size_t)snprintf(out, size, "%u:%" PRIu64 " =", p->timeline, p->txid);

    for (size_t k = 0; k < p->stage_count; k++) {
        const struct plan_stage *stage = &p->stages[k];

        for (size_t i = stage->base; i < stage->base_end; i++) {
            const struct plan_base *b = &p->bases[i];

            if (b->level == 0)
                n += (size_t)snprintf(out + n, size - n, " %u:%" PRIu64 "@%" PRId64, b->timeline, b->txid, b->time_ms);
            else
                n +=
                    (size_t)snprintf(out + n, size - n, " + M%u %" PRIu64 ">%" PRIu64, b->level, b->base_txid, b->txid);
        }
        for (size_t i = stage->segment; i < stage->segment_end; i++) {
            const struct catalog_step *s = &p->segments[i];

            n += (size_t)snprintf(out + n, size - n,
                catalog_step_is_fold(s) ? " + [%u:%" PRIu64 "..%" PRIu64 "]" : " + %u:%" PRIu64 "..%" PRIu64,
                s->timeline, s->first_txid, s->last_txid);
        }
    }
    (void)snprintf(out + n, size - n, ", %" PRIu64 " bytes", p->bytes);
}

/* `skip` times, the snapshot of the plan turns out to be damaged. */
static inline struct rc plan_without(const struct catalog *c, uint32_t timeline, uint64_t txid, size_t skip,
    struct plan_lost *lost, struct plan **out, struct err *err)
{
    struct rc rc = plan_restore(c, timeline, txid, lost, out, err);

    for (; !rc_failed(rc) && skip > 0; skip--) {
        const struct layout_key key = plan_base_key(&(*out)->bases[0]);

        assert_ok_err(plan_lost_add(lost, &key, err), err);
        plan_free(*out);
        *out = NULL;
        rc = plan_restore(c, timeline, txid, lost, out, err);
    }
    return rc;
}

/* --- merges --------------------------------------------------------------------------------------------------------
 */

/* A timeline of its own making: everything that has a size. */
static inline struct catalog *catalog_of_one(size_t logs, size_t folds, size_t snapshots, size_t merges)
{
    struct catalog *c = calloc(1, sizeof *c);
    struct catalog_timeline *t = c->timelines = calloc(1, sizeof *t);

    c->timeline_count = 1;
    t->number = 1;
    t->origin.timeline = 1;
    t->logs = calloc(logs + 1, sizeof *t->logs);
    t->folds = calloc(folds + 1, sizeof *t->folds);
    t->snapshots = calloc(snapshots + 1, sizeof *t->snapshots);
    t->merges = calloc(merges + 1, sizeof *t->merges);
    return c;
}

static inline void add_log(struct catalog *c, uint64_t first, uint64_t size)
{
    c->timelines->logs[c->timelines->log_count++] = (struct catalog_log){first, size};
}

static inline void add_snapshot(struct catalog *c, uint64_t txid, uint64_t size)
{
    c->timelines->snapshots[c->timelines->snapshot_count++] = (struct catalog_snapshot){txid, (int64_t)txid, size};
}

static inline void add_merge(struct catalog *c, unsigned level, uint64_t base, uint64_t txid, uint64_t size)
{
    c->timelines->merges[c->timelines->merge_count++] = (struct catalog_merge){base, txid, (int64_t)txid, size, level};
}

/* What came of planning, as one line of text. */
static inline void assert_outcome(struct rc rc, const struct err *err, const struct plan *p, const char *want)
{
    char text[ERR_MSG_SIZE + 32];

    if (rc_failed(rc))
        (void)snprintf(text, sizeof text, "%s: %s", rc_name(rc.code), err->msg);
    else
        print_plan(text, sizeof text, p);
    assert_string_equal(text, want);
}

static inline void assert_way(const struct catalog *c, uint64_t txid, const struct plan_lost *lost, const char *want)
{
    struct plan *p = NULL;
    struct err err;
    struct rc rc = plan_restore(c, 1, txid, lost, &p, &err);

    assert_outcome(rc, &err, p, want);
    plan_free(p);
}

/* 1, then a commit per segment to 60; a snapshot at 1, merges of level 1 every ten, one of level 2 at 31. */
static inline struct catalog *merged(void)
{
    struct catalog *c = catalog_of_one(60, 0, 1, 8);

    for (uint64_t txid = 1; txid <= 60; txid++)
        add_log(c, txid, 100);
    add_snapshot(c, 1, 5000);
    for (uint64_t base = 1; base <= 41; base += 10)
        add_merge(c, 1, base, base + 10, 700);
    add_merge(c, 2, 1, 31, 900);
    return c;
}

static inline struct layout_key merge_key(unsigned level, uint64_t base, uint64_t txid)
{
    return (struct layout_key){
        .kind = LAYOUT_MERGE, .timeline = 1, .level = level, .base_txid = base, .txid = txid, .time_ms = (int64_t)txid};
}

static inline struct layout_key log_key(uint64_t txid)
{
    return (struct layout_key){.kind = LAYOUT_LOG, .timeline = 1, .txid = txid};
}

/* --- a month -------------------------------------------------------------------------------------------------------
 */

enum {
    DAY = 86400,
    HOUR = 3600,
    FOLD_BIG = 1024,
    FOLD_SMALL = 32,
    SEGMENT_SIZE = 300,
};

/*
 * One commit a second for `days`, shipped one by one and folded, merged by the hour and the day, a snapshot every week,
 * which the last merge of its day and hour gives way to.
 */
static inline struct catalog *month(unsigned days, uint64_t *tip)
{
    uint64_t last = (uint64_t)days * DAY - HOUR / 3, folded = 0;
    struct catalog *c =
        catalog_of_one(FOLD_SMALL + 1, (size_t)(last / FOLD_BIG + FOLD_SMALL + 1), days / 7 + 2, (size_t)days * 26);
    struct catalog_timeline *t = c->timelines;

    for (; folded + FOLD_BIG <= last; folded += FOLD_BIG)
        t->folds[t->fold_count++] = (struct catalog_fold){folded + 1, folded + FOLD_BIG, FOLD_BIG * SEGMENT_SIZE};
    for (; folded + FOLD_SMALL <= last; folded += FOLD_SMALL)
        t->folds[t->fold_count++] = (struct catalog_fold){folded + 1, folded + FOLD_SMALL, FOLD_SMALL * SEGMENT_SIZE};
    for (; folded < last; folded++)
        add_log(c, folded + 1, SEGMENT_SIZE);
    add_snapshot(c, 1, 200 << 20);
    for (uint64_t day = 7; day * DAY <= last; day += 7)
        add_snapshot(c, day * DAY, 200 << 20);
    for (uint64_t hour = 1; hour * HOUR <= last; hour++) {
        uint64_t before = hour == 1 ? 1 : (hour - 1) * HOUR;

        if (hour % 24 == 0 && (hour / 24) % 7 != 0)
            add_merge(c, 2, hour == 24 ? 1 : (hour - 24) * HOUR, hour * HOUR, 5 << 20);
        else if (hour % 24 != 0)
            add_merge(c, 1, before, hour * HOUR, 1 << 20);
    }
    *tip = last;
    return c;
}

static inline size_t objects_for(const struct catalog *c, uint64_t txid)
{
    struct plan *p = NULL;
    struct err err;
    size_t n;

    assert_ok_err(plan_restore(c, 1, txid, NULL, &p, &err), &err);
    assert_int_equal(p->txid, txid);
    n = p->base_count + p->segment_count;
    plan_free(p);
    return n;
}

#endif
