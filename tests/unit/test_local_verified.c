/* SPDX-License-Identifier: Apache-2.0 */
#include "local_kit.h"

#include "local_verified.h"

static void test_round_trip(void **state)
{
    const struct local_verified v = {3, UINT64_C(1) << 40, 77, 1790000000000};
    struct local_verified got;
    struct err err;

    (void)state;
    local_verified_read(&fsys_real, dir, &got);
    assert_int_equal(got.txid, 0);
    assert_ok_err(local_verified_write(&fsys_real, dir, &v, &err), &err);
    local_verified_read(&fsys_real, dir, &got);
    /* The struct has padding, so its parts are compared. */
    assert_int_equal(got.timeline, v.timeline);
    assert_int_equal(got.txid, v.txid);
    assert_int_equal(got.snapshot_txid, v.snapshot_txid);
    assert_int_equal(got.time_ms, v.time_ms);
    /* Without local state nothing is begun. */
    assert_ok_err(local_verified_write(&fsys_real, "/nowhere/at-all", &v, &err), &err);
}

static void test_nonsense_is_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "weir verified 1\n",
        "weir verified 2\ntimeline 1\ntxid 2\nsnapshot 1\ntime 4\n",
        "weir verified 1\ntimeline 1\ntxid 2\nsnapshot 1\ntime 4",
        "weir verified 1\ntimeline 1\ntxid 2\nsnapshot 1\ntime 4\nmore\n",
        "weir verified 1\ntimeline 99999999999\ntxid 2\nsnapshot 1\ntime 4\n",
        "weir verified 1\ntimeline 1\ntxid -2\nsnapshot 1\ntime 4\n",
        "weir verified 1\ntxid 2\ntimeline 1\nsnapshot 1\ntime 4\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct local_verified got = {.txid = 5};

        put("verified", texts[i], strlen(texts[i]));
        local_verified_read(&fsys_real, dir, &got);
        assert_int_equal(got.txid, 0);
        assert_int_equal(got.timeline, 0);
    }
}

static struct rc write_some(const struct fsys *fs, bool after, struct err *err)
{
    const struct local_verified v[] = {{1, 10, 5, 100}, {1, 20, 15, 200}};

    return local_verified_write(fs, dir, &v[after], err);
}

static bool is_some(bool after)
{
    struct local_verified got;

    local_verified_read(&fsys_real, dir, &got);
    return got.txid == (after ? 20 : 10);
}

static void test_faults(void **state)
{
    (void)state;
    replaced_whatever_fails(write_some, is_some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_nonsense_is_nothing, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_faults, make_dir_in_memory, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
