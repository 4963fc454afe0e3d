/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects give a state: histories as tables, plans as text. */
#include "plan_kit.h"

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

static void assert_plan(const struct history *h, uint32_t timeline, uint64_t txid, size_t skip, const char *want)
{
    struct catalog *c = catalog_of(h);
    struct plan *p = NULL;
    struct plan_lost lost = {0};
    struct err err;
    struct rc rc = plan_without(c, timeline, txid, skip, &lost, &p, &err);

    assert_outcome(rc, &err, p, want);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
