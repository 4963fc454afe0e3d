/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may go and what stays: histories of months as tables of keys, pruned day by day.  Whatever was promised must
 * have its plan, for as long as it was promised.
 */
#include "retention_kit.h"

#include <stdlib.h>

static size_t count_kind(enum layout_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < w.object_count; i++)
        n += w.objects[i].key.kind == kind;
    return n;
}

static void test_half_a_year(void **state)
{
    (void)state;
    begin(1);
    live(180, 40);
    assert_true(w.dropped > 1000);
    assert_int_equal(w.looked_up, 0); /* every day has a merge */
    assert_in_range(w.object_count, 20, 160);
    assert_in_range(count_kind(LAYOUT_SNAPSHOT), 3, 26);
    assert_int_equal(count_kind(LAYOUT_PRUNED), 1);
}

static void test_without_merges(void **state)
{
    (void)state;
    begin(2);
    w.merges = false;
    w.folds = false;
    live(40, 30);
    assert_true(w.dropped > 100);
    assert_true(w.looked_up > 0);
}

static void test_policies(void **state)
{
    static const struct retention_policy policies[] = {
        {HOUR, {0, 0, 0}},
        {0, {3, 0, 0}},
        {0, {0, 0, 1}},
        {3 * DAY, {0, 2, 2}},
        {10 * DAY, {30, 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        begin(10 + i);
        w.policy = policies[i];
        live(45, 20);
        assert_true(w.dropped > 0);
    }
}

/* A merge of a higher level is what those of lower levels build on, too.  So what a lower level had before it, and a
 * kill left there beside one of a higher level, is not needed; and that is so at once, not only for the next run. */
static void test_last_of_each_level(void **state)
{
    (void)state;
    begin(5);
    w.policy = (struct retention_policy){HOUR, {3, 0, 0}};
    w.folds = false;
    for (uint64_t txid = 2; txid <= 10; txid++) {
        w.now_ms += HOUR;
        commit();
        if (txid == 5 || txid == 10)
            cut();
    }
    for (unsigned level = 1; level <= 2; level++)
        put(
            (struct layout_key){
                .kind = LAYOUT_MERGE, .level = level, .base_txid = 1, .txid = 5, .time_ms = w.commits[5].time_ms},
            20000, 0);
    put(
        (struct layout_key){
            .kind = LAYOUT_MERGE, .level = 2, .base_txid = 1, .txid = 10, .time_ms = w.commits[10].time_ms},
        20000, 0);
    w.now_ms += DAY;
    commit();
    cut();
    prune(); /* whose second decision has nothing left to do */
    assert_int_equal(count_kind(LAYOUT_MERGE), 1);
    assert_true(w.dropped > 0);
}

static void test_idle_times(void **state)
{
    (void)state;
    begin(3);
    for (int i = 0; i < 12; i++) {
        live(3, 25);
        w.now_ms += (int64_t)pick(20) * DAY;
    }
    assert_true(w.dropped > 0);
}

static void test_takeovers(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed++) {
        begin(seed);
        for (int i = 0; i < 5; i++) {
            live((int)pick(12) + 1, 30);
            take_over(w.tip - pick(w.tip < 40 ? w.tip : 40));
        }
        live(20, 30);
        assert_true(w.dropped > 0);
    }
}

static void test_nothing_may_be_promised_away(void **state)
{
    const struct retention_policy nothing = {0};
    struct err err;

    (void)state;
    assert_int_equal(retention_check(&nothing, &err).code, E_CONFIG);
    assert_ok_err(retention_check(&(struct retention_policy){0, {0, 1, 0}}, &err), &err);
}

static void test_now(void **state)
{
    const int64_t t = BEGIN + 400 * DAY;

    (void)state;
    /* The history's time, not this machine's. */
    assert_int_equal(retention_now(t + 10 * 365 * DAY, t, t - RETENTION_TRUST_MS), t);
    assert_int_equal(retention_now(t - 3650 * DAY, t, t - RETENTION_TRUST_MS), t - 3650 * DAY);
    /* Commits of a clock that jumped. */
    assert_int_equal(retention_now(t + 3650 * DAY, t + 3650 * DAY, t), t + RETENTION_TRUST_MS);
    /* Too young for anything. */
    assert_true(retention_now(t, t, INT64_MIN) == INT64_MIN);
}

/* Only what was decided for the latest state remains; the newest snapshot stays, whatever the policy says. */
static void test_floor(void **state)
{
    struct catalog *c;
    struct retention r;

    (void)state;
    begin(4);
    w.policy = (struct retention_policy){1, {0, 0, 0}};
    live(20, 20);
    w.now_ms += 3000 * DAY;
    c = listing();
    decide(c, w.now_ms, &r);
    carry_out(&r, w.now_ms);
    retention_fini(&r);
    catalog_free(c);
    c = listing();
    assert_true(can_restore(c, 1, w.tip));
    assert_in_range(count_kind(LAYOUT_SNAPSHOT), 1, 2);
    catalog_free(c);
}

static void test_verified_snapshot_stays(void **state)
{
    struct retention_input in = {.now_ms = 0, .grace_ms = (uint64_t)HOUR};
    struct catalog *c;
    struct retention r;
    struct err err;
    bool found = false;

    (void)state;
    begin(5);
    w.policy = (struct retention_policy){10000 * DAY, {0, 0, 0}};
    live(30, 20);
    c = listing();
    in.catalog = c;
    in.now_ms = w.now_ms;
    in.policy = (struct retention_policy){DAY, {0, 0, 0}};
    for (int verified = 0; verified < 2; verified++) {
        in.verified_timeline = verified ? 1 : 0;
        in.verified_txid = verified ? c->timelines[0].snapshots[1].txid : 0;
        assert_ok_err(retention_decide(&in, &r, &err), &err);
        found = false;
        for (size_t i = 0; i < r.drop_count; i++)
            found =
                found
                || (r.drops[i].key.kind == LAYOUT_SNAPSHOT && r.drops[i].key.txid == c->timelines[0].snapshots[1].txid);
        assert_int_equal(found, verified == 0);
        retention_fini(&r);
    }
    catalog_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_year),
        cmocka_unit_test(test_without_merges),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_last_of_each_level),
        cmocka_unit_test(test_idle_times),
        cmocka_unit_test(test_takeovers),
        cmocka_unit_test(test_nothing_may_be_promised_away),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_verified_snapshot_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
