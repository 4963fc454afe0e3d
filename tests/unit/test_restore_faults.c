/* SPDX-License-Identifier: Apache-2.0 */
/* A failure or a crash at every file operation of a restore. */
#include "restore_kit.h"

/* --- faults --------------------------------------------------------------------------------------------------------
 */

static const struct restore_opts over_old = {.force = true, .with_state = true, .timeline = 2, .parallel = 1};

static void assert_old_or_new(const struct make_history_state *want, long n)
{
    if (!old_is_whole() && !new_is_whole(want)) {
        print_error("fault %ld: neither the old database nor the new one\n", n);
        fail();
    }
}

static void fail_at_every_call(enum fault_mode mode)
{
    const struct make_history_state *want = make_history_find(&kit.h, 2, 25);
    struct fault_fsys f;
    long n, failed = 0;

    for (n = 1;; n++) {
        struct rc rc;

        make_old();
        fault_fsys_init(&f, mode, n, EIO);
        kit.fs = &f.fs;
        rc = restore(over_old);
        kit.fs = &fsys_real;
        assert_int_equal(f.open_fds, 0);
        if (rc_failed(rc)) {
            failed++;
            if (strstr(kit.err.msg, strerrordesc_np(EIO)) == NULL && strstr(kit.err.msg, "short read") == NULL) {
                print_error("fault %ld: %s\n", n, kit.err.msg);
                fail();
            }
            assert_old_or_new(want, n);
        } else
            assert_true(new_is_whole(want)); /* what failed was not needed, or is in the warning */
        if (f.fired == 0)
            break;
    }
    assert_int_equal(kit.report.warning[0], 0);
    assert_in_range(n, 40, 400);
    assert_in_range(failed, 30, n);
    remove_target();
}

static void test_fault_once(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE);
}

static void test_fault_forever(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_FOREVER);
}

/* Killed at any call: the old database or the new one is whole, and the next restore works. */
static void test_killed(void **state)
{
    const struct make_history_state *want = make_history_find(&kit.h, 2, 25);
    bool killed = true;
    long n;

    (void)state;
    KILL_OR_SKIP();
    for (n = 1; killed; n++) {
        struct restore_opts opts = over_old;

        make_old();
        killed = killed_at(n, restore_on, &opts);
        assert_old_or_new(want, n);
        if (n % 8 == 0) {
            assert_ok_err(restore(over_old), &kit.err);
            assert_true(new_is_whole(want));
        }
    }
    assert_in_range(n, 20, 400);
    remove_target();
}

/* Every object is whole, and the pages are not what the commit was.  Last, because it adds a timeline. */
static void test_state_that_does_not_prove(void **state)
{
    (void)state;
    make_history_timeline(&kit.h, 1, FORK);
    insert(0);
    kit.h.lie = 1;
    insert(0);
    kit.h.lie = 0;
    insert(0);
    make_history_cut(&kit.h);
    assert_refused(
        (struct restore_opts){0}, E_CORRUPT, "t/00000004/log/000000000000000e: the state checksum at txid 15 is ");
    assert_non_null(strstr(kit.err.msg, "; txid 14 is the last that can be restored"));
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 14}), &kit.err);
    assert_true(target_is(make_history_find(&kit.h, 4, 14)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fault_once, clean),
        cmocka_unit_test_setup(test_fault_forever, clean),
        cmocka_unit_test_setup(test_killed, clean),
        cmocka_unit_test_setup(test_state_that_does_not_prove, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
