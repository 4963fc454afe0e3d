/* SPDX-License-Identifier: Apache-2.0 */
/* When merges and snapshots are due, and whether they are worth their bytes. */
#include "check.h"

#include "merge.h"

#include <string.h>

enum { SECOND = 1000, HOUR = 3600 * SECOND, START = 1000 * 1000 };
#define DAY (24LL * HOUR)

static const struct merge_settings usual = {{7 * 24 * 3600 * 1000ULL, HOUR, 24ULL * HOUR}, 32, 100},
                                   unlimited = {{7 * 24 * 3600 * 1000ULL, HOUR, 24ULL * HOUR}, 32, 0};

static struct merge_base_info state_at(uint64_t txid, int64_t time_ms)
{
    return (struct merge_base_info){.pos = {.txid = txid, .time_ms = time_ms, .page_size = 4096, .page_count = 1000},
        .snapshot_txid = 1,
        .snapshot_bytes = 2000 * 1000};
}

/* A snapshot was taken just now, at txid 1. */
static struct merge_ledger fresh(void)
{
    struct merge_ledger l = {.start_txid = 1};
    const struct merge_base_info info = state_at(1, START);

    merge_made(&l, 0, &info, info.snapshot_bytes);
    return l;
}

static void test_due(void **state)
{
    struct merge_ledger l = fresh();
    struct merge_base_info info;

    (void)state;
    assert_int_equal(merge_due(&l, &usual, START + HOUR - 1, 2), -1);
    assert_int_equal(merge_due(&l, &usual, START + HOUR, 2), 1);
    assert_int_equal(merge_due(&l, &usual, START + DAY, 2), 2);
    assert_int_equal(merge_due(&l, &usual, START + 7 * DAY, 2), 0);
    info = state_at(50, START + HOUR);
    merge_made(&l, 1, &info, 1000);
    assert_int_equal(merge_due(&l, &usual, START + 2 * HOUR - 1, 60), -1);
    assert_int_equal(merge_due(&l, &usual, START + 2 * HOUR, 60), 1);
    assert_int_equal(merge_due(&l, &usual, START + DAY, 60), 2);
    info = state_at(90, START + DAY);
    merge_made(&l, 2, &info, 1000);
    assert_int_equal(merge_due(&l, &usual, START + DAY + HOUR - 1, 91), -1);
    assert_int_equal(merge_due(&l, &usual, START + DAY + HOUR, 91), 1);
    assert_int_equal(merge_due(&l, &usual, START + 2 * DAY, 91), 2);
    assert_int_equal(merge_due(&l, &usual, START + 7 * DAY, 91), 0);
}

/* What failed is tried again though nothing was committed since, after ten minutes, or the interval if that is shorter.
 */
static void test_again(void **state)
{
    const struct merge_settings often = {{30 * SECOND, 0, 0}, 32, 100};
    struct merge_ledger l = fresh();
    const struct merge_base_info info = state_at(1, START);

    (void)state;
    assert_int_equal(merge_again(&l, &usual, START + DAY), -1);
    merge_tried(&l, 2, START, true);
    assert_int_equal(merge_due(&l, &usual, START + HOUR, 1), -1);
    assert_int_equal(merge_again(&l, &usual, START + MERGE_RETRY_MS - 1), -1);
    assert_int_equal(merge_again(&l, &usual, START + MERGE_RETRY_MS), 2);
    assert_int_equal(merge_again(&l, &usual, START - SECOND), 2); /* the clock was set back */
    merge_tried(&l, 2, START, false);
    assert_int_equal(merge_again(&l, &usual, START + DAY), -1);
    merge_tried(&l, 0, START, true);
    assert_int_equal(merge_again(&l, &often, START + 30 * SECOND - 1), -1);
    assert_int_equal(merge_again(&l, &often, START + 30 * SECOND), 0);
    merge_tried(&l, 1, START, true); /* an interval of 0 */
    merge_made(&l, 0, &info, 1000);
    assert_int_equal(merge_again(&l, &often, START + DAY), -1);
}

/* An idle database does nothing at all, however long. */
static void test_idle(void **state)
{
    struct merge_ledger l = fresh();
    const struct merge_base_info info = state_at(50, START + HOUR);

    (void)state;
    assert_int_equal(merge_due(&l, &usual, START + 1000 * DAY, 1), -1);
    merge_made(&l, 1, &info, 1000);
    assert_int_equal(merge_due(&l, &usual, START + 20 * HOUR, 50), -1);
    /* The hour's merge was the day's last change: one for the day, then nothing. */
    assert_int_equal(merge_due(&l, &usual, START + DAY, 50), 2);
    merge_made(&l, 2, &info, 1000);
    assert_int_equal(merge_due(&l, &usual, START + 6 * DAY, 50), -1);
}

/* Without a base the next one is due at the first change; it becomes a snapshot. */
static void test_unknown(void **state)
{
    const struct merge_ledger l = {.start_txid = 40};

    (void)state;
    assert_int_equal(merge_due(&l, &usual, START, 40), -1);
    assert_int_equal(merge_due(&l, &usual, 10 * DAY, 41), 0);
}

static void test_switched_off(void **state)
{
    const struct merge_settings none = {{0, 0, 0}, 32, 0}, hourly = {{0, HOUR, 0}, 32, 0};
    const struct merge_ledger l = fresh();

    (void)state;
    assert_int_equal(merge_due(&l, &none, START + 1000 * DAY, 99), -1);
    assert_int_equal(merge_due(&l, &hourly, START + 1000 * DAY, 99), 1);
}

static void test_tried(void **state)
{
    struct merge_ledger l = fresh();
    const int64_t now = START + 2 * HOUR;

    (void)state;
    merge_tried(&l, 1, now, false); /* not worth it: again after an interval */
    assert_int_equal(merge_due(&l, &usual, now + HOUR - 1, 9), -1);
    assert_int_equal(merge_due(&l, &usual, now + HOUR, 9), 1);
    merge_tried(&l, 1, now, true); /* failed: soon */
    assert_int_equal(merge_due(&l, &usual, now + MERGE_RETRY_MS - 1, 9), -1);
    assert_int_equal(merge_due(&l, &usual, now + MERGE_RETRY_MS, 9), 1);
    assert_int_equal(merge_due(&l, &usual, now - 1, 9), 1); /* a clock that was set back */
    merge_tried(&l, 0, START + 7 * DAY, true);
    assert_int_equal(merge_due(&l, &usual, START + 7 * DAY, 9), 2); /* others do not wait for it */
}

/* The log since: so many segments of a size. */
static struct merge_ledger with_log(uint64_t count, uint64_t size)
{
    struct merge_ledger l = fresh();

    merge_shipped(&l, count * size, count);
    return l;
}

static void test_worth_it(void **state)
{
    const struct merge_base_info base = state_at(1, START); /* 2 KB a page */
    struct merge_ledger l = with_log(3600, 300);

    (void)state;
    assert_int_equal(merge_choose(&l, &unlimited, 1, &base, 300), MERGE_MERGE);
    l = with_log(1, 300); /* one segment is cheaper than any merge */
    assert_int_equal(merge_choose(&l, &unlimited, 1, &base, 1), MERGE_NOTHING);
    l = with_log(2, 300);
    assert_int_equal(merge_choose(&l, &unlimited, 1, &base, 1), MERGE_MERGE);
    l = with_log(64, 300); /* folded: two requests */
    assert_int_equal(merge_choose(&l, &unlimited, 1, &base, 240), MERGE_NOTHING);
}

static void test_unfolded_segments_cost_more(void **state)
{
    const struct merge_settings unfolded = {{0, HOUR, 0}, 0, 0};
    const struct merge_base_info base = state_at(1, START);
    const struct merge_ledger l = with_log(64, 300);

    (void)state;
    assert_int_equal(merge_choose(&l, &unfolded, 1, &base, 240), MERGE_MERGE);
}

/* What the day's merge stands for are the hours' and the log behind them. */
static void test_worth_of_the_long_one(void **state)
{
    struct merge_ledger l = fresh();
    struct merge_base_info info;

    (void)state;
    for (uint64_t hour = 1; hour < 24; hour++) {
        info = state_at(hour * 10, START + (int64_t)hour * HOUR);
        merge_shipped(&l, 60000, 100);
        merge_made(&l, 1, &info, 50000);
    }
    assert_int_equal(l.merged_count, 23);
    info = state_at(1, START);
    assert_int_equal(merge_choose(&l, &usual, 2, &info, 400), MERGE_MERGE);
    assert_int_equal(merge_choose(&l, &usual, 1, &info, 1), MERGE_NOTHING); /* no log behind the last */
    info = state_at(300, START + DAY);
    merge_made(&l, 2, &info, 800000);
    assert_int_equal(l.merged_count, 0);
    assert_int_equal(merge_choose(&l, &usual, 2, &info, 400), MERGE_NOTHING);
}

/* No level stores more than was shipped, or the percentage of it. */
static void test_affordable(void **state)
{
    const struct merge_settings half = {{0, HOUR, 0}, 32, 50};
    const struct merge_base_info base = state_at(1, START);
    const struct merge_ledger l = with_log(1000, 300); /* 150 pages */

    (void)state;
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 149), MERGE_MERGE);
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 150), MERGE_NOTHING);
    assert_int_equal(merge_choose(&l, &half, 1, &base, 74), MERGE_MERGE);
    assert_int_equal(merge_choose(&l, &half, 1, &base, 75), MERGE_NOTHING);
    assert_int_equal(merge_choose(&l, &unlimited, 1, &base, 400), MERGE_MERGE);
}

/* Whatever the load is: of each level at most the log's bytes, three times in all. */
static void test_all_levels_together(void **state)
{
    (void)state;
    for (uint64_t pages_per_hour = 1; pages_per_hour <= 500; pages_per_hour += 83) {
        struct merge_ledger l = fresh();
        uint64_t shipped = 0, made[3] = {0}, at[3] = {0};

        for (uint64_t hour = 1; hour < 1000; hour++) {
            const int64_t now = START + (int64_t)hour * HOUR;
            int level;

            merge_shipped(&l, 200000, 700);
            shipped += 200000;
            for (level = merge_due(&l, &(struct merge_settings){{0, HOUR, 24 * HOUR}, 32, 100}, now, 1 + hour);
                 level > 0; level--) {
                const struct merge_base_info base = l.base[level];
                uint64_t pages = (hour - at[level]) * pages_per_hour, bytes;
                enum merge_choice choice;
                struct merge_base_info info = state_at(1 + hour, now);

                pages = pages < 1000 ? pages : 1000;
                choice = merge_choose(&l, &usual, (unsigned)level, &base, pages);
                if (choice == MERGE_NOTHING)
                    continue;
                bytes = choice == MERGE_SNAPSHOT ? 2000 * 1000 : pages * 2000;
                info.merge_bytes = choice == MERGE_SNAPSHOT ? 0 : base.merge_bytes + bytes;
                made[choice == MERGE_SNAPSHOT ? 0 : level] += bytes;
                merge_made(&l, choice == MERGE_SNAPSHOT ? 0 : (unsigned)level, &info, bytes);
                for (int i = 0; i <= (choice == MERGE_SNAPSHOT ? 2 : level); i++)
                    at[i] = hour;
                break;
            }
        }
        for (size_t i = 0; i < 3; i++)
            assert_true(made[i] <= shipped);
        assert_true(made[0] + made[1] + made[2] > 0);
    }
}

/* Half of the snapshot's size in merges behind it, and as much log: the next is a snapshot. */
static void test_snapshot_in_place_of_a_merge(void **state)
{
    const struct merge_ledger l = with_log(100000, 300);
    struct merge_ledger little = with_log(5000, 300);
    struct merge_base_info base = state_at(1, START);

    (void)state;
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 490), MERGE_MERGE);
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 501), MERGE_SNAPSHOT);
    assert_int_equal(merge_choose(&little, &usual, 1, &base, 501), MERGE_MERGE);
    assert_int_equal(merge_choose(&little, &unlimited, 1, &base, 501), MERGE_SNAPSHOT);
    base.merge_bytes = 900000;
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 40), MERGE_MERGE);
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 60), MERGE_SNAPSHOT);
    base.pos.page_count = 0; /* everything was deleted, even the first page */
    base.snapshot_bytes = 0;
    assert_int_equal(merge_choose(&l, &usual, 1, &base, 60), MERGE_SNAPSHOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_tried),
        cmocka_unit_test(test_worth_it),
        cmocka_unit_test(test_unfolded_segments_cost_more),
        cmocka_unit_test(test_worth_of_the_long_one),
        cmocka_unit_test(test_affordable),
        cmocka_unit_test(test_all_levels_together),
        cmocka_unit_test(test_snapshot_in_place_of_a_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
