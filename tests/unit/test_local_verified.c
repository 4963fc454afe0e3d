/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_fsys.h"
#include "local_verified.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[96];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/dev/shm/weir-verified-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/verified", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static void put(const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

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

        put(texts[i]);
        local_verified_read(&fsys_real, dir, &got);
        assert_int_equal(got.txid, 0);
        assert_int_equal(got.timeline, 0);
    }
}

/* The old one or the new one, whatever fails. */
static void test_faults(void **state)
{
    const struct local_verified before = {1, 10, 5, 100}, after = {1, 20, 15, 200};
    struct local_verified got;
    struct fault_fsys f;
    struct err err;
    long n;

    (void)state;
    for (n = 1;; n++) {
        struct rc rc;

        assert_ok_err(local_verified_write(&fsys_real, dir, &before, &err), &err);
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = local_verified_write(&f.fs, dir, &after, &err);
        local_verified_read(&fsys_real, dir, &got);
        assert_true(got.txid == 10 || got.txid == 20);
        assert_true(!rc_failed(rc) || f.fired > 0);
        if (f.fired == 0)
            break;
    }
    assert_int_equal(got.txid, 20);
    assert_in_range(n, 4, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
