/* SPDX-License-Identifier: Apache-2.0 */
/* What can be restored, as ranges: histories as tables. */
#include "check.h"

#include "history_range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 8 };

struct line {
    uint32_t parent;
    uint64_t fork;
    uint64_t logs[LIST_MAX]; /* lists end with 0 */
    struct catalog_fold folds[LIST_MAX];
    uint64_t snapshots[LIST_MAX];
    struct catalog_merge merges[LIST_MAX];
    struct catalog_pruned pruned[LIST_MAX];
    uint64_t tip;
};

/* The timelines 1 and, when it has a tip, 2. */
struct history {
    struct line lines[2];
};

struct lists {
    struct catalog_log logs[LIST_MAX];
    struct catalog_snapshot snapshots[LIST_MAX];
    struct catalog_fold folds[LIST_MAX];
    struct catalog_merge merges[LIST_MAX];
    struct catalog_pruned pruned[LIST_MAX];
};

static void fill(struct catalog_timeline *t, struct lists *lists, const struct line *line, uint32_t number)
{
    memcpy(lists->folds, line->folds, sizeof lists->folds);
    memcpy(lists->merges, line->merges, sizeof lists->merges);
    memcpy(lists->pruned, line->pruned, sizeof lists->pruned);
    *t = (struct catalog_timeline){.number = number,
        .origin = {.timeline = number, .parent = line->parent, .fork_txid = line->fork},
        .logs = lists->logs,
        .folds = lists->folds,
        .snapshots = lists->snapshots,
        .merges = lists->merges,
        .pruned = lists->pruned,
        .tip_txid = line->tip};
    while (line->logs[t->log_count] != 0) {
        lists->logs[t->log_count] = (struct catalog_log){line->logs[t->log_count], 10};
        t->log_count++;
    }
    while (line->snapshots[t->snapshot_count] != 0) {
        lists->snapshots[t->snapshot_count] = (struct catalog_snapshot){line->snapshots[t->snapshot_count], 1000, 100};
        t->snapshot_count++;
    }
    while (line->folds[t->fold_count].last_txid != 0)
        t->fold_count++;
    while (line->merges[t->merge_count].txid != 0)
        t->merge_count++;
    while (line->pruned[t->pruned_count].last_txid != 0)
        t->pruned_count++;
}

/* "1..9 15 20..30"; with '+' where the step of the first commit is told, '!' at the end when it is cut. */
static const char *ranges_of(const struct history *h, uint32_t number, size_t plans)
{
    static char text[500];
    static struct lists lists[2];
    struct catalog_timeline timelines[2];
    struct catalog c = {.timelines = timelines, .timeline_count = h->lines[1].tip != 0 ? 2 : 1};
    struct history_ranges ranges = {0};
    struct err err;
    size_t n = 0;

    for (uint32_t i = 0; i < c.timeline_count; i++)
        fill(&timelines[i], &lists[i], &h->lines[i], i + 1);
    assert_ok_err(history_range_find(&c, &timelines[number - 1], &plans, &ranges, &err), &err);
    text[0] = 0;
    for (size_t i = 0; i < ranges.count; i++) {
        const struct history_range *r = &ranges.list[i];

        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%" PRIu64, i > 0 ? " " : "",
            r->first_step.first_txid != 0 ? "+" : "", r->first_txid);
        if (r->last_txid > r->first_txid)
            n += (size_t)snprintf(text + n, sizeof text - n, "..%" PRIu64, r->last_txid);
    }
    if (ranges.cut)
        (void)snprintf(text + n, sizeof text - n, "!");
    history_range_fini(&ranges);
    return text;
}

static void test_whole_log(void **state)
{
    const struct history h = {{{.logs = {1, 2, 6, 11}, .snapshots = {1, 10}, .tip = 20}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "+1..20");
}

/* Nothing leads to the first commits: the log begins to count at the snapshot, if one begins behind it. */
static void test_without_the_first_snapshot(void **state)
{
    const struct history h = {{{.logs = {1, 2, 6, 11}, .snapshots = {10}, .tip = 20}}},
                         inside = {{{.logs = {1, 2, 6, 11}, .snapshots = {8}, .tip = 20}}},
                         folded = {{{.folds = {{1, 15, 9}}, .logs = {16}, .snapshots = {8}, .tip = 20}}},
                         nothing = {{{.logs = {5, 7}, .tip = 9}}},
                         leads_nowhere = {{{.logs = {1, 5}, .snapshots = {1}, .tip = 9}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "10..20");
    assert_string_equal(ranges_of(&inside, 1, 100), "8");
    assert_string_equal(ranges_of(&folded, 1, 100), "8..20");
    assert_string_equal(ranges_of(&nothing, 1, 100), "");
    assert_string_equal(ranges_of(&leads_nowhere, 1, 100), "1");
}

/* A merge is a state of its own where its chain is there; a snapshot always is. */
static void test_pruned(void **state)
{
    const struct history h = {{{.logs = {31, 40},
        .snapshots = {5, 20},
        .merges = {{5, 12, 1, 9, 1}, {20, 26, 1, 9, 1}, {22, 28, 1, 9, 1}, {20, 30, 1, 9, 2}},
        .pruned = {{1, 19}, {10, 30}},
        .tip = 44}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "5 12 20 26 30..44");
}

/* Log that is kept between pruned stretches, because a promised state needs it. */
static void test_log_between_pruned(void **state)
{
    const struct history h = {{{.logs = {6, 8, 31}, .snapshots = {5, 30}, .pruned = {{1, 5}, {10, 30}}, .tip = 33}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "5..9 30..33");
}

static void test_hole_between_folds(void **state)
{
    const struct history h = {{{.folds = {{1, 9, 9}, {15, 20, 9}}, .logs = {21}, .snapshots = {1, 17}, .tip = 30}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "+1..9 17..30");
}

/* What is shared belongs to the timeline where it was written. */
static void test_fork(void **state)
{
    const struct history h = {
        {{.logs = {1, 2, 5}, .snapshots = {1}, .tip = 9}, {.parent = 1, .fork = 6, .logs = {7, 9}, .tip = 12}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 100), "+1..9");
    assert_string_equal(ranges_of(&h, 2, 100), "+7..12");
}

static void test_no_more_plans(void **state)
{
    const struct history h = {{{.logs = {31},
        .snapshots = {5, 30},
        .merges = {{5, 12, 1, 9, 1}, {12, 16, 1, 9, 1}},
        .pruned = {{1, 30}},
        .tip = 44}}};

    (void)state;
    assert_string_equal(ranges_of(&h, 1, 5), "5 12 16 30..44");
    assert_string_equal(ranges_of(&h, 1, 4), "5 12 30..44!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_log),
        cmocka_unit_test(test_without_the_first_snapshot),
        cmocka_unit_test(test_pruned),
        cmocka_unit_test(test_log_between_pruned),
        cmocka_unit_test(test_hole_between_folds),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_no_more_plans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
