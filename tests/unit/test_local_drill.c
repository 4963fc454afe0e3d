/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_fsys.h"
#include "local_drill.h"
#include "store_wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char dir[STORE_WAIT_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    store_wait_scratch(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_wait_unscratch(dir);
    return 0;
}

static void put(const char *text, size_t size)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/drilled", dir);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

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
    put(text, strlen(text));
    local_drill_read(&fsys_real, dir, &got);
    assert_int_equal(got.failed_txid, 7);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", head, tails[i]);
        put(text, strlen(text));
        local_drill_read(&fsys_real, dir, &got);
        assert_int_equal(got.tried_ms, 0);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put(texts[i], strlen(texts[i]));
        local_drill_read(&fsys_real, dir, &got);
        assert_int_equal(got.tried_ms, 0);
    }
    put("weir drilled 1\ntried 1\0\n", 24);
    local_drill_read(&fsys_real, dir, &got);
    assert_int_equal(got.tried_ms, 0);
}

/* The old one or the new one, whatever fails. */
static void test_faults(void **state)
{
    struct local_drill after = some, got;
    struct fault_fsys f;
    struct err err;
    long n;

    (void)state;
    after.tried_ms++;
    for (n = 1;; n++) {
        struct rc rc;

        assert_ok_err(local_drill_write(&fsys_real, dir, &some, &err), &err);
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = local_drill_write(&f.fs, dir, &after, &err);
        local_drill_read(&fsys_real, dir, &got);
        assert_true(got.tried_ms == some.tried_ms || got.tried_ms == after.tried_ms);
        assert_true(!rc_failed(rc) || f.fired > 0);
        if (f.fired == 0)
            break;
    }
    assert_int_equal(got.tried_ms, after.tried_ms);
    assert_in_range(n, 4, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
