/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects give a state: histories as tables, plans as text. */
#include "check.h"

#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 8, TIMELINES_MAX = 4 };

/* Lists end with 0.  A seal is the last log of a timeline with `tip` set. */
struct line {
    uint32_t number, parent;
    uint64_t fork;
    uint64_t logs[LIST_MAX];
    uint64_t snapshots[LIST_MAX];
    uint64_t tip; /* sealed behind it; 0: not sealed */
    bool no_origin;
};

struct history {
    struct line lines[TIMELINES_MAX + 1];
};

static size_t count_of(const uint64_t *list)
{
    size_t n = 0;

    while (n < LIST_MAX && list[n] != 0)
        n++;
    return n;
}

static void fill(struct catalog_timeline *t, const struct line *line)
{
    t->number = line->number;
    if (!line->no_origin)
        t->origin = (struct layout_origin){.timeline = line->number, .parent = line->parent, .fork_txid = line->fork};
    t->log_count = count_of(line->logs);
    t->snapshot_count = count_of(line->snapshots);
    t->logs = calloc(LIST_MAX, sizeof *t->logs);
    t->snapshots = calloc(LIST_MAX, sizeof *t->snapshots);
    for (size_t i = 0; i < t->log_count; i++)
        t->logs[i] = (struct catalog_log){line->logs[i], 10};
    for (size_t i = 0; i < t->snapshot_count; i++)
        t->snapshots[i] = (struct catalog_snapshot){line->snapshots[i], 1000 + (int64_t)i, 100};
    t->sealed = line->tip != 0;
    t->tip_txid = line->tip;
}

static struct catalog *catalog_of(const struct history *h)
{
    struct catalog *c = calloc(1, sizeof *c);

    c->timelines = calloc(TIMELINES_MAX, sizeof *c->timelines);
    while (h->lines[c->timeline_count].number != 0) {
        fill(&c->timelines[c->timeline_count], &h->lines[c->timeline_count]);
        c->timeline_count++;
    }
    return c;
}

/* "2:17 = 1:10@1000 + M1 10>12 + 1:13..15 + 2:16..17, 120 bytes"; a fold is in brackets */
static void print_plan(char *out, size_t size, const struct plan *p)
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
static struct rc plan_without(const struct catalog *c, uint32_t timeline, uint64_t txid, size_t skip,
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

static void assert_plan(const struct history *h, uint32_t timeline, uint64_t txid, size_t skip, const char *want)
{
    struct catalog *c = catalog_of(h);
    struct plan *p = NULL;
    struct plan_lost lost = {0};
    char text[ERR_MSG_SIZE + 32];
    struct err err;
    struct rc rc = plan_without(c, timeline, txid, skip, &lost, &p, &err);

    if (rc_failed(rc))
        (void)snprintf(text, sizeof text, "%s: %s", rc_name(rc.code), err.msg);
    else
        print_plan(text, sizeof text, p);
    assert_string_equal(text, want);
    plan_free(p);
    plan_lost_fini(&lost);
    catalog_free(c);
}

static const struct history plain = {{{1, 0, 0, {1, 2, 6, 11, 16}, {1, 10}, 0, false}}};

static void test_newest_snapshot_and_what_lies_behind(void **state)
{
    (void)state;
    assert_plan(&plain, 1, 1, 0, "1:1 = 1:1@1000, 100 bytes");
    assert_plan(&plain, 1, 2, 0, "1:2 = 1:1@1000 + 1:2..2, 110 bytes");
    assert_plan(&plain, 1, 9, 0, "1:9 = 1:1@1000 + 1:2..5 + 1:6..9, 120 bytes");
    assert_plan(&plain, 1, 10, 0, "1:10 = 1:10@1001, 100 bytes");
    assert_plan(&plain, 1, 11, 0, "1:11 = 1:10@1001 + 1:11..11, 110 bytes");
    assert_plan(&plain, 1, 20, 0, "1:20 = 1:10@1001 + 1:11..15 + 1:16..20, 120 bytes");
}

static void test_damaged_snapshots_are_skipped(void **state)
{
    (void)state;
    assert_plan(&plain, 1, 12, 1, "1:12 = 1:1@1000 + 1:2..5 + 1:6..10 + 1:11..12, 130 bytes");
    assert_plan(&plain, 1, 12, 2, "E_NOTFOUND: txid 12 cannot be restored: no other way leads to it");
}

static void test_twins_newest_first(void **state)
{
    static const struct history h = {{{1, 0, 0, {1, 2}, {1, 1, 1}, 0, false}}};

    (void)state;
    assert_plan(&h, 1, 3, 0, "1:3 = 1:1@1002 + 1:2..3, 110 bytes");
    assert_plan(&h, 1, 3, 1, "1:3 = 1:1@1001 + 1:2..3, 110 bytes");
    assert_plan(&h, 1, 3, 2, "1:3 = 1:1@1000 + 1:2..3, 110 bytes");
    assert_plan(&h, 1, 3, 3, "E_NOTFOUND: txid 3 cannot be restored: no other way leads to it");
}

/* A snapshot inside a segment gives its own state and nothing behind it. */
static void test_snapshot_inside_a_segment(void **state)
{
    static const struct history h = {{{1, 0, 0, {1, 2, 11}, {1, 5}, 0, false}}};

    (void)state;
    assert_plan(&h, 1, 5, 0, "1:5 = 1:5@1001, 100 bytes");
    assert_plan(&h, 1, 6, 0, "1:6 = 1:1@1000 + 1:2..6, 110 bytes");
    assert_plan(&h, 1, 11, 0, "1:11 = 1:1@1000 + 1:2..10 + 1:11..11, 120 bytes");
}

static void test_pruned(void **state)
{
    static const struct history h = {{{1, 0, 0, {31, 41}, {10, 30, 50}, 0, false}}};

    (void)state;
    assert_plan(
        &h, 1, 9, 0, "E_NOTFOUND: txid 9 cannot be restored: no snapshot leads to it; the nearest that can is 10");
    assert_plan(&h, 1, 10, 0, "1:10 = 1:10@1000, 100 bytes");
    assert_plan(&h, 1, 20, 0,
        "E_NOTFOUND: txid 20 cannot be restored: behind the snapshot at txid 10, t/00000001/log/000000000000000b is "
        "missing; "
        "the nearest that can are 10 and 30");
    assert_plan(&h, 1, 31, 0, "1:31 = 1:30@1001 + 1:31..31, 110 bytes");
    assert_plan(&h, 1, 50, 0, "1:50 = 1:50@1002, 100 bytes");
    assert_plan(&h, 1, 51, 0, "1:51 = 1:30@1001 + 1:31..40 + 1:41..51, 120 bytes");
}

static void test_nothing(void **state)
{
    static const struct history h = {{{1, 0, 0, {1, 2}, {0}, 0, false}}};
    static const struct history none = {{{0}}};

    (void)state;
    assert_plan(&h, 1, 2, 0,
        "E_NOTFOUND: txid 2 cannot be restored: the snapshot at txid 1 is missing "
        "(t/00000001/snap/0000000000000001-...); "
        "there is no snapshot at all");
    assert_plan(&h, 2, 2, 0, "E_NOTFOUND: no timeline 2 in this history");
    assert_plan(&none, 1, 1, 0, "E_NOTFOUND: no timeline 1 in this history");
}

/* 1: 1..20, sealed at 21.  2 leaves it at 13, inside a segment.  3 leaves 2 at 18.  4 leaves 1 at 20. */
static const struct history forks = {{
    {1, 0, 0, {1, 2, 11, 21}, {1, 10, 20}, 20, false},
    {2, 1, 13, {14, 16, 19}, {15}, 18, false},
    {3, 2, 18, {19, 22}, {21}, 0, false},
    {4, 1, 20, {21}, {20}, 0, false},
}};

static void test_forks(void **state)
{
    (void)state;
    assert_plan(&forks, 1, 14, 0, "1:14 = 1:10@1001 + 1:11..14, 110 bytes");
    assert_plan(&forks, 2, 13, 0, "1:13 = 1:10@1001 + 1:11..13, 110 bytes");
    assert_plan(&forks, 2, 14, 0, "2:14 = 1:10@1001 + 1:11..13 + 2:14..14, 120 bytes");
    assert_plan(&forks, 2, 15, 0, "2:15 = 2:15@1000, 100 bytes");
    assert_plan(&forks, 2, 17, 0, "2:17 = 2:15@1000 + 2:16..17, 110 bytes");
    assert_plan(&forks, 3, 20, 0, "3:20 = 2:15@1000 + 2:16..18 + 3:19..20, 120 bytes");
    assert_plan(&forks, 3, 21, 0, "3:21 = 3:21@1000, 100 bytes");
    assert_plan(&forks, 3, 21, 1, "3:21 = 2:15@1000 + 2:16..18 + 3:19..21, 120 bytes");
    assert_plan(&forks, 3, 25, 0, "3:25 = 3:21@1000 + 3:22..25, 110 bytes");
    assert_plan(&forks, 3, 5, 0, "1:5 = 1:1@1000 + 1:2..5, 110 bytes");
}

/* The parent's later snapshots are another history; the child's own one of the fork counts. */
static void test_snapshots_beyond_a_fork_do_not_count(void **state)
{
    (void)state;
    assert_plan(&forks, 4, 20, 0, "1:20 = 4:20@1000, 100 bytes");
    assert_plan(&forks, 4, 20, 1, "1:20 = 1:20@1002, 100 bytes");
    assert_plan(&forks, 4, 23, 0, "4:23 = 4:20@1000 + 4:21..23, 110 bytes");
    assert_plan(&forks, 2, 18, 2, "2:18 = 1:1@1000 + 1:2..10 + 1:11..13 + 2:14..15 + 2:16..18, 140 bytes");
}

static void test_nothing_counts_behind_a_seal(void **state)
{
    static const struct history h = {{{1, 0, 0, {1, 2, 11}, {1, 11, 12}, 10, false}}};

    (void)state;
    assert_plan(&h, 1, 10, 0, "1:10 = 1:1@1000 + 1:2..10, 110 bytes");
    assert_plan(&h, 1, 12, 0,
        "E_NOTFOUND: txid 12 cannot be restored: behind the snapshot at txid 1, t/00000001/log/000000000000000b is "
        "missing; the nearest that can is 1");
}

static void test_damaged_chains_of_timelines(void **state)
{
    static const struct history no_parent = {{{2, 1, 13, {14}, {15}, 0, false}}};
    static const struct history no_origin = {{{1, 0, 0, {1, 2}, {1}, 0, true}, {2, 1, 3, {4}, {0}, 0, true}}};

    (void)state;
    assert_plan(&no_parent, 2, 15, 0, "E_CORRUPT: timeline 1, the parent of timeline 2, is missing");
    /* The first one has no parent in any case. */
    assert_plan(&no_origin, 1, 2, 0, "1:2 = 1:1@1000 + 1:2..2, 110 bytes");
    assert_plan(&no_origin, 2, 4, 0,
        "E_CORRUPT: t/00000002/timeline.json is missing or damaged: nobody can tell where the timeline begins");
}

/* A child that begins again from nothing, and a grandchild that leaves before its parent began. */
static void test_odd_forks(void **state)
{
    static const struct history h = {{
        {1, 0, 0, {1, 2, 6}, {1}, 0, false},
        {2, 1, 8, {9}, {8}, 0, false},
        {3, 2, 5, {6}, {0}, 0, false},
        {4, 3, 0, {1, 2}, {1}, 0, false},
    }};

    (void)state;
    assert_plan(&h, 3, 7, 0, "3:7 = 1:1@1000 + 1:2..5 + 3:6..7, 120 bytes");
    assert_plan(&h, 4, 1, 0, "4:1 = 4:1@1000, 100 bytes");
    assert_plan(&h, 4, 3, 0, "4:3 = 4:1@1000 + 4:2..3, 110 bytes");
}

/* --- merges --------------------------------------------------------------------------------------------------------
 */

/* A timeline of its own making: everything that has a size. */
static struct catalog *catalog_of_one(size_t logs, size_t folds, size_t snapshots, size_t merges)
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

static void add_log(struct catalog *c, uint64_t first, uint64_t size)
{
    c->timelines->logs[c->timelines->log_count++] = (struct catalog_log){first, size};
}

static void add_snapshot(struct catalog *c, uint64_t txid, uint64_t size)
{
    c->timelines->snapshots[c->timelines->snapshot_count++] = (struct catalog_snapshot){txid, (int64_t)txid, size};
}

static void add_merge(struct catalog *c, unsigned level, uint64_t base, uint64_t txid, uint64_t size)
{
    c->timelines->merges[c->timelines->merge_count++] = (struct catalog_merge){base, txid, (int64_t)txid, size, level};
}

static void assert_way(const struct catalog *c, uint64_t txid, const struct plan_lost *lost, const char *want)
{
    struct plan *p = NULL;
    char text[ERR_MSG_SIZE + 32];
    struct err err;
    struct rc rc = plan_restore(c, 1, txid, lost, &p, &err);

    if (rc_failed(rc))
        (void)snprintf(text, sizeof text, "%s: %s", rc_name(rc.code), err.msg);
    else
        print_plan(text, sizeof text, p);
    assert_string_equal(text, want);
    plan_free(p);
}

/* 1, then a commit per segment to 60; a snapshot at 1, merges of level 1 every ten, one of level 2 at 31. */
static struct catalog *merged(void)
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

static void test_merges(void **state)
{
    struct catalog *c = merged();

    (void)state;
    assert_way(c, 11, NULL, "1:11 = 1:1@1 + M1 1>11, 5700 bytes");
    assert_way(c, 3, NULL, "1:3 = 1:1@1 + 1:2..2 + 1:3..3, 5200 bytes");
    assert_way(c, 12, NULL, "1:12 = 1:1@1 + M1 1>11 + 1:12..12, 5800 bytes");
    assert_way(c, 31, NULL, "1:31 = 1:1@1 + M2 1>31, 5900 bytes");
    assert_way(c, 43, NULL, "1:43 = 1:1@1 + M2 1>31 + M1 31>41 + 1:42..42 + 1:43..43, 6800 bytes");
    assert_way(c, 53, NULL, "1:53 = 1:1@1 + M2 1>31 + M1 31>41 + M1 41>51 + 1:52..52 + 1:53..53, 7500 bytes");
    /* A state inside what a merge spans is not one that it gives. */
    assert_way(c, 5, NULL, "1:5 = 1:1@1 + 1:2..2 + 1:3..3 + 1:4..4 + 1:5..5, 5400 bytes");
    catalog_free(c);
}

static struct layout_key merge_key(unsigned level, uint64_t base, uint64_t txid)
{
    return (struct layout_key){
        .kind = LAYOUT_MERGE, .timeline = 1, .level = level, .base_txid = base, .txid = txid, .time_ms = (int64_t)txid};
}

static struct layout_key log_key(uint64_t txid)
{
    return (struct layout_key){.kind = LAYOUT_LOG, .timeline = 1, .txid = txid};
}

/* Around a lost merge by smaller ones or by segments; around a lost segment by a merge. */
static void test_ways_around(void **state)
{
    struct catalog *c = merged();
    struct plan_lost lost = {0};
    const struct layout_key keys[] = {merge_key(2, 1, 31), merge_key(1, 11, 21), log_key(15), merge_key(1, 21, 31)};
    struct err err;

    (void)state;
    assert_ok_err(plan_lost_add(&lost, &keys[0], &err), &err);
    assert_way(c, 32, &lost, "1:32 = 1:1@1 + M1 1>11 + M1 11>21 + M1 21>31 + 1:32..32, 7200 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[1], &err), &err);
    assert_way(c, 22, &lost,
        "1:22 = 1:1@1 + M1 1>11 + 1:12..12 + 1:13..13 + 1:14..14 + 1:15..15 + 1:16..16 + 1:17..17 + 1:18..18 + "
        "1:19..19 + 1:20..20 + 1:21..21 + 1:22..22, 6800 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_way(c, 32, &lost, "E_NOTFOUND: txid 32 cannot be restored: no other way leads to it");
    assert_way(c, 14, &lost, "1:14 = 1:1@1 + M1 1>11 + 1:12..12 + 1:13..13 + 1:14..14, 6000 bytes");
    assert_true(plan_lost_has(&lost, &keys[1]));
    assert_false(plan_lost_has(&lost, &keys[3]));
    plan_lost_fini(&lost);
    /* Merges bridge a hole in the log. */
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_way(c, 33, &lost, "1:33 = 1:1@1 + M2 1>31 + 1:32..32 + 1:33..33, 6100 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_int_equal(lost.count, 1);
    plan_lost_fini(&lost);
    catalog_free(c);
}

/* A segment that nobody listed: the one before it ends there, and what lies behind is reached by merges only. */
static void test_lost_inside_a_segment(void **state)
{
    struct catalog *c = catalog_of_one(3, 0, 1, 1);
    struct plan_lost lost = {0};
    const struct layout_key key = log_key(5);
    struct err err;

    (void)state;
    add_log(c, 1, 10);
    add_log(c, 2, 10);
    add_log(c, 9, 10);
    add_snapshot(c, 1, 100);
    add_merge(c, 1, 4, 8, 50);
    assert_way(c, 9, NULL, "1:9 = 1:1@1 + 1:2..8 + 1:9..9, 120 bytes");
    assert_ok_err(plan_lost_add(&lost, &key, &err), &err);
    assert_way(c, 9, &lost, "1:9 = 1:1@1 + 1:2..4 + M1 4>8 + 1:9..9, 170 bytes");
    assert_way(c, 4, &lost, "1:4 = 1:1@1 + 1:2..4, 110 bytes");
    assert_way(c, 6, &lost, "E_NOTFOUND: txid 6 cannot be restored: no other way leads to it");
    plan_lost_fini(&lost);
    catalog_free(c);
}

/* Behind a merge the replay goes on in the middle of a fold; a lost fold gives way to the segments in its range. */
static void test_folds_and_merges(void **state)
{
    struct catalog *c = catalog_of_one(4, 2, 1, 1);
    struct plan_lost lost = {0};
    const struct layout_key fold = {.kind = LAYOUT_FOLD, .timeline = 1, .txid = 2, .last_txid = 40};
    struct err err;

    (void)state;
    add_log(c, 1, 10);
    add_log(c, 2, 10);
    add_log(c, 31, 10);
    add_log(c, 41, 10);
    add_snapshot(c, 1, 100);
    add_merge(c, 1, 1, 30, 50);
    c->timelines->folds[c->timelines->fold_count++] = (struct catalog_fold){2, 40, 1000000};
    assert_way(c, 42, NULL, "1:42 = 1:1@1 + [1:2..40] + 1:41..42, 1000110 bytes");
    assert_way(c, 35, NULL, "1:35 = 1:1@1 + [1:2..35], 1000100 bytes");
    assert_way(c, 30, NULL, "1:30 = 1:1@1 + M1 1>30, 150 bytes");
    assert_ok_err(plan_lost_add(&lost, &fold, &err), &err);
    assert_way(c, 42, &lost, "1:42 = 1:1@1 + 1:2..30 + 1:31..40 + 1:41..42, 130 bytes");
    plan_lost_fini(&lost);
    /* With the snapshot's own first commit in the fold, the merge is the only way in. */
    c->timelines->log_count = 0;
    c->timelines->folds[0] = (struct catalog_fold){3, 40, 1000};
    assert_way(c, 35, NULL, "1:35 = 1:1@1 + M1 1>30 + [1:31..35], 1150 bytes");
    catalog_free(c);
}

/* A segment of one commit at a snapshot may have no pages: the snapshot is the way, as long as there is one. */
static void test_commits_without_pages(void **state)
{
    struct catalog *c = catalog_of_one(4, 1, 2, 0);
    struct plan_lost lost = {0};
    const struct layout_key second = {.kind = LAYOUT_SNAPSHOT, .timeline = 1, .txid = 5, .time_ms = 5};
    struct err err;

    (void)state;
    add_log(c, 1, 10);
    add_log(c, 2, 10);
    add_log(c, 5, 10);
    add_log(c, 6, 10);
    add_snapshot(c, 1, 100);
    add_snapshot(c, 5, 100000000);
    assert_way(c, 7, NULL, "1:7 = 1:5@5 + 1:6..7, 100000010 bytes");
    assert_way(c, 4, NULL, "1:4 = 1:1@1 + 1:2..4, 110 bytes");
    assert_ok_err(plan_lost_add(&lost, &second, &err), &err);
    assert_way(c, 7, &lost, "1:7 = 1:1@1 + 1:2..4 + 1:5..5 + 1:6..7, 130 bytes");
    plan_lost_fini(&lost);
    /* Where a segment has more commits, it has pages: the cheaper way is free. */
    c->timelines->logs[2].first_txid = 4;
    assert_way(c, 7, NULL, "1:7 = 1:1@1 + 1:2..3 + 1:4..5 + 1:6..7, 130 bytes");
    c->timelines->log_count = 1;
    c->timelines->folds[c->timelines->fold_count++] = (struct catalog_fold){2, 8, 50};
    assert_way(c, 7, NULL, "1:7 = 1:5@5 + [1:6..7], 100000050 bytes");
    catalog_free(c);
}

/* What a large segment has in its parts is counted. */
static void test_parts_cost(void **state)
{
    struct catalog *c = catalog_of_one(3, 0, 1, 1);

    (void)state;
    add_log(c, 1, 10);
    add_log(c, 2, 10);
    add_log(c, 3, 10);
    add_snapshot(c, 1, 100);
    add_merge(c, 1, 1, 3, 1000000);
    assert_way(c, 3, NULL, "1:3 = 1:1@1 + 1:2..2 + 1:3..3, 120 bytes");
    c->timelines->large = calloc(1, sizeof *c->timelines->large);
    c->timelines->large[c->timelines->large_count++] = (struct catalog_large){2, 40 << 20, 10};
    assert_way(c, 3, NULL, "1:3 = 1:1@1 + M1 1>3, 1000100 bytes");
    catalog_free(c);
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
static struct catalog *month(unsigned days, uint64_t *tip)
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

static size_t objects_for(const struct catalog *c, uint64_t txid)
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

static void test_a_month_of_one_commit_a_second(void **state)
{
    uint64_t tip;
    struct catalog *c = month(30, &tip);
    size_t n = objects_for(c, tip), worst = 0;

    (void)state;
    print_message("# the latest of %" PRIu64 " commits: %zu objects\n", tip, n);
    assert_in_range(n, 3, 100);
    for (uint64_t txid = 1; txid <= tip; txid += 7919) {
        n = objects_for(c, txid);
        worst = n > worst ? n : worst;
    }
    print_message("# any of them: at most %zu\n", worst);
    assert_in_range(worst, 3, 100);
    catalog_free(c);
}

/* --- without each of its objects -----------------------------------------------------------------------------------
 */

static void assert_without(const struct catalog *c, uint64_t txid, const struct layout_key *key, uint64_t cost)
{
    struct plan_lost lost = {0};
    struct plan *p = NULL;
    struct err err;
    struct rc rc;

    assert_ok_err(plan_lost_add(&lost, key, &err), &err);
    rc = plan_restore(c, 1, txid, &lost, &p, &err);
    plan_lost_fini(&lost);
    if (rc_failed(rc)) {
        assert_int_equal(rc.code, E_NOTFOUND);
        return;
    }
    assert_true(plan_cost(p) >= cost);
    for (size_t i = 0; i < p->base_count; i++) {
        const struct layout_key used = plan_base_key(&p->bases[i]);

        assert_false(used.kind == key->kind && used.txid == key->txid && used.base_txid == key->base_txid
                     && used.level == key->level);
    }
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct catalog_step *s = &p->segments[i];

        assert_false(key->kind == LAYOUT_FOLD && s->fold_first == key->txid && s->fold_last == key->last_txid);
        assert_false(key->kind == LAYOUT_LOG && !catalog_step_is_fold(s) && s->first_txid <= key->txid
                     && s->last_txid >= key->txid);
    }
    plan_free(p);
}

static void test_without_each_object(void **state)
{
    uint64_t tip;
    struct catalog *c = month(16, &tip);
    struct plan *p = NULL;
    struct err err;

    (void)state;
    assert_ok_err(plan_restore(c, 1, tip, NULL, &p, &err), &err);
    for (size_t i = 0; i < p->base_count; i++) {
        const struct layout_key key = plan_base_key(&p->bases[i]);

        assert_without(c, tip, &key, plan_cost(p));
    }
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct catalog_step *s = &p->segments[i];
        const struct layout_key key = {.kind = catalog_step_is_fold(s) ? LAYOUT_FOLD : LAYOUT_LOG,
            .timeline = 1,
            .txid = catalog_step_is_fold(s) ? s->fold_first : s->first_txid,
            .last_txid = s->fold_last};

        assert_without(c, tip, &key, plan_cost(p));
    }
    plan_free(p);
    catalog_free(c);
}

/* --- against trying everything -------------------------------------------------------------------------------------
 */

enum { LINE_MAX_TXID = 24, ROUNDS = 4000 };

static unsigned next_random(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static uint64_t request(uint64_t size, uint64_t count)
{
    return size + count * PLAN_REQUEST_COST;
}

/* Forward over all states, relaxed until nothing changes; the rules as they stand in docs/format.md, not as a search.
 */
static uint64_t cheapest(const struct catalog *c, uint64_t target)
{
    const struct catalog_timeline *t = c->timelines;
    uint64_t cost[LINE_MAX_TXID + 2];

    for (size_t i = 0; i < LINE_MAX_TXID + 2; i++)
        cost[i] = UINT64_MAX;
    for (size_t i = 0; i < t->snapshot_count; i++)
        if (request(t->snapshots[i].size, 1) < cost[t->snapshots[i].txid])
            cost[t->snapshots[i].txid] = request(t->snapshots[i].size, 1);
    for (uint64_t at = 1; at < target; at++) {
        if (cost[at] == UINT64_MAX)
            continue;
        for (size_t i = 0; i < t->merge_count; i++)
            if (t->merges[i].base_txid == at && cost[at] + request(t->merges[i].size, 1) < cost[t->merges[i].txid])
                cost[t->merges[i].txid] = cost[at] + request(t->merges[i].size, 1);
        for (size_t i = 0; i < t->log_count; i++) {
            uint64_t end = i + 1 < t->log_count ? t->logs[i + 1].first_txid - 1 : LINE_MAX_TXID;
            bool no_pages = false;

            for (size_t k = 0; k < t->snapshot_count; k++)
                no_pages = no_pages || (t->snapshots[k].txid == at + 1 && end == at + 1);
            for (uint64_t to = at + 1; t->logs[i].first_txid == at + 1 && to <= end && !no_pages; to++)
                if (cost[at] + request(t->logs[i].size, 1) < cost[to])
                    cost[to] = cost[at] + request(t->logs[i].size, 1);
        }
    }
    return cost[target];
}

static struct catalog *any_catalog(unsigned *seed)
{
    struct catalog *c = catalog_of_one(LINE_MAX_TXID, 0, 4, 10);

    for (uint64_t txid = 1; txid <= LINE_MAX_TXID; txid += 1 + next_random(seed, 4))
        add_log(c, txid, 1 + next_random(seed, 2000000));
    for (unsigned i = 0, n = next_random(seed, 5); i < n; i++)
        add_snapshot(c, 1 + next_random(seed, LINE_MAX_TXID), 1 + next_random(seed, 1000000));
    for (unsigned i = 0, n = next_random(seed, 11); i < n; i++) {
        uint64_t base = 1 + next_random(seed, LINE_MAX_TXID - 1);

        add_merge(c, 1 + next_random(seed, 2), base, base + 1 + next_random(seed, (unsigned)(LINE_MAX_TXID - base)),
            1 + next_random(seed, 1000000));
    }
    return c;
}

static void test_is_the_cheapest(void **state)
{
    unsigned seed = 20261121, ways = 0;
    struct err err;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct catalog *c = any_catalog(&seed);
        uint64_t target = 1 + next_random(&seed, LINE_MAX_TXID), want = cheapest(c, target);
        struct plan *p = NULL;
        struct rc rc = plan_restore(c, 1, target, NULL, &p, &err);

        assert_int_equal(rc_failed(rc), want == UINT64_MAX);
        if (p != NULL && plan_cost(p) != want) {
            char text[1024];

            print_plan(text, sizeof text, p);
            print_error(
                "round %u: %s costs %" PRIu64 ", there is one for %" PRIu64 "\n", round, text, plan_cost(p), want);
            fail();
        }
        ways += p != NULL;
        plan_free(p);
        catalog_free(c);
    }
    assert_in_range(ways, ROUNDS / 3, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_snapshot_and_what_lies_behind),
        cmocka_unit_test(test_damaged_snapshots_are_skipped),
        cmocka_unit_test(test_twins_newest_first),
        cmocka_unit_test(test_snapshot_inside_a_segment),
        cmocka_unit_test(test_pruned),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_snapshots_beyond_a_fork_do_not_count),
        cmocka_unit_test(test_nothing_counts_behind_a_seal),
        cmocka_unit_test(test_damaged_chains_of_timelines),
        cmocka_unit_test(test_odd_forks),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_ways_around),
        cmocka_unit_test(test_lost_inside_a_segment),
        cmocka_unit_test(test_folds_and_merges),
        cmocka_unit_test(test_commits_without_pages),
        cmocka_unit_test(test_parts_cost),
        cmocka_unit_test(test_a_month_of_one_commit_a_second),
        cmocka_unit_test(test_without_each_object),
        cmocka_unit_test(test_is_the_cheapest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
