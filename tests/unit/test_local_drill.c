/* SPDX-License-Identifier: Apache-2.0 */
#include "local_kit.h"

#include "local_drill.h"

static const struct local_drill some = {.tried_ms = 1790000000003,
    .good_ms = 1790000000001,
    .timeline = 3,
    .txid = UINT64_C(1) << 40,
    .state_ms = 1780000000000,
    .failed_ms = 1790000000002,
    .failed_txid = 77,
    .why = "drill: txid 77: it is\ngone"};

static void test_round_trip(void **state)
{
    struct local_drill got;
    struct err err;

    (void)state;
    local_drill_read(&fsys_real, dir, &got);
    assert_int_equal(got.tried_ms, 0);
    assert_ok_err(local_drill_write(&fsys_real, dir, &some, &err), &err);
    local_drill_read(&fsys_real, dir, &got);
    assert_string_equal(got.why, "drill: txid 77: it is gone");
    (void)strcpy(got.why, some.why);
    assert_memory_equal(&got, &some, sizeof got);
}

/* A message of the greatest size is no reason to forget the failure. */
static void test_long_message(void **state)
{
    struct local_drill d = some, got;
    struct err err;

    (void)state;
    memset(d.why, 'x', sizeof d.why - 1);
    d.why[sizeof d.why - 1] = 0;
    assert_ok_err(local_drill_write(&fsys_real, dir, &d, &err), &err);
    local_drill_read(&fsys_real, dir, &got);
    assert_memory_equal(&got, &d, sizeof got);
}

static void test_nonsense_is_nothing(void **state)
{
    static const char head[] =
        "weir drilled 1\ntried 1\ngood 2\ntimeline 3\ntxid 4\nstate 5\nfailed 6\nfailed-txid 7\n";
    static const char *const tails[] = {"", "no end", "two\nlines\n"};
    static const char *const texts[] = {"", "weir drilled 1\n", "weir drilled 2\ntried 1\n",
        "weir drilled 1\ntried 1\ngood 2\ntimeline 99999999999\ntxid 4\nstate 5\nfailed 6\nfailed-txid 7\n\n",
        "weir drilled 1\ntried -1\ngood 2\ntimeline 3\ntxid 4\nstate 5\nfailed 6\nfailed-txid 7\n\n",
        "weir drilled 1\ngood 2\ntried 1\ntimeline 3\ntxid 4\nstate 5\nfailed 6\nfailed-txid 7\n\n"};
    char text[512];
    struct local_drill got;

    (void)state;
    (void)snprintf(text, sizeof text, "%s%s", head, "why\n");
    put("drilled", text, strlen(text));
    local_drill_read(&fsys_real, dir, &got);
    assert_int_equal(got.failed_txid, 7);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", head, tails[i]);
        put("drilled", text, strlen(text));
        local_drill_read(&fsys_real, dir, &got);
        assert_int_equal(got.tried_ms, 0);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("drilled", texts[i], strlen(texts[i]));
        local_drill_read(&fsys_real, dir, &got);
        assert_int_equal(got.tried_ms, 0);
    }
    put("drilled", "weir drilled 1\ntried 1\0\n", 24);
    local_drill_read(&fsys_real, dir, &got);
    assert_int_equal(got.tried_ms, 0);
}

static struct rc write_some(const struct fsys *fs, bool after, struct err *err)
{
    struct local_drill d = some;

    d.tried_ms += after;
    return local_drill_write(fs, dir, &d, err);
}

static bool is_some(bool after)
{
    struct local_drill got;

    local_drill_read(&fsys_real, dir, &got);
    return got.tried_ms == some.tried_ms + after;
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
        cmocka_unit_test_setup_teardown(test_long_message, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_nonsense_is_nothing, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_faults, make_dir_in_memory, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
