/* SPDX-License-Identifier: Apache-2.0 */
/* The cheapest way through snapshots, merges, folds and segments. */
#include "plan_kit.h"

/* --- merges --------------------------------------------------------------------------------------------------------
 */

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
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_folds_and_merges),
        cmocka_unit_test(test_commits_without_pages),
        cmocka_unit_test(test_parts_cost),
        cmocka_unit_test(test_a_month_of_one_commit_a_second),
        cmocka_unit_test(test_is_the_cheapest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
