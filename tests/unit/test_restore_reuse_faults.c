/* SPDX-License-Identifier: Apache-2.0 */
/* Restores that are cut short, and those that go on where others ended. */
#include "reuse_kit.h"

/* --- interrupted -----------------------------------------------------------------------------------------------------
 */

/* The network goes at every request in turn: what the next restore reads is what was missing. */
static void test_network(void **state)
{
    uint64_t least = FAR;
    long n, left = 0;

    (void)state;
    for (n = 1;; n++) {
        struct rc rc = restore_with((struct restore_opts){0}, n);
        uint64_t first = kit.report.bytes_read;

        if (!rc_failed(rc))
            break;
        assert_int_equal(rc.code, E_NETWORK);
        assert_int_equal(count_left(), kit.report.left[0] != 0);
        left += kit.report.left[0] != 0;
        assert_int_equal(access(kit.target, F_OK), -1);
        assert_ok_err(restore((struct restore_opts){0}), &kit.err);
        assert_restored(TIP, kit.full + 300000);
        /* Twice: page hashes, and the indexes. */
        assert_in_range(first + kit.report.bytes_read, kit.full, kit.full + 400000);
        least = kit.report.bytes_read < least ? kit.report.bytes_read : least;
        remove_target();
    }
    assert_in_range(n, 8, 40);
    assert_in_range(left, 4, n);
    assert_in_range(least, 1, 60000); /* all but the last segment was there */
}

/* Killed at each of its writes. */
static void test_killed(void **state)
{
    uint64_t least = FAR;
    bool killed = true;
    long n;

    (void)state;
    KILL_OR_SKIP();
    for (n = 1; killed; n += n < 40 ? 3 : 1) {
        remove_target();
        killed = killed_at(n, restore_on, &(struct restore_opts){0});
        if (killed && access(kit.target, F_OK) != 0) {
            assert_ok_err(restore((struct restore_opts){0}), &kit.err);
            assert_restored(TIP, kit.full + 300000);
            least = kit.report.bytes_read < least ? kit.report.bytes_read : least;
        }
    }
    assert_in_range(n, 10, 400);
    assert_in_range(least, 1, kit.full / 2);
}

/* What was left is of another target, of another history, or rubbish. */
static void test_other_target(void **state)
{
    (void)state;
    assert_int_equal(restore_with((struct restore_opts){.by_txid = true, .txid = 4}, 9).code, E_NETWORK);
    assert_int_equal(count_left(), 1);
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 2}), &kit.err);
    assert_restored(2, kit.full);
    remove_target();
    kit.now = &kit.h[1];
    assert_int_equal(restore_with((struct restore_opts){0}, 9).code, E_NETWORK);
    assert_int_equal(count_left(), 1);
    kit.now = &kit.h[0];
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_in_range(kit.report.reused_bytes, 0, 4 * PAGE_SIZE); /* any SQLite database has such pages */
    assert_restored(TIP, kit.full + 300000);
}

/* A left-over that says that it is a whole state, rightly or not. */
static void leave_state(const struct make_history_state *s, uint64_t txid, const struct nonce *database)
{
    struct image_left_note note = {*database, 1, txid, s->checksum, PAGE_SIZE, s->page_count};
    struct image *im = NULL;

    assert_ok_err(image_create(&im, &fsys_real, kit.target, PAGE_SIZE, s->page_count, &kit.err), &kit.err);
    assert_ok_err(image_put(im, 1, s->image, s->page_count, &kit.err), &kit.err);
    assert_ok_err(image_leave(im, &note, &kit.err), &kit.err);
    image_free(im);
}

static void test_notes(void **state)
{
    (void)state;
    leave_state(at(7), 7, &kit.h[0].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 7);
    assert_restored(TIP, 200000);
    remove_target();
    leave_state(at(7), 8, &kit.h[0].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(TIP, kit.full + 300000);
    remove_target();
    leave_state(at(7), 7, &kit.h[1].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(TIP, kit.full + 300000);
}

/* --- failing file operations
 * ------------------------------------------------------------------------------------------ */

static const struct restore_opts careful = {.in_place = true, .keep_old = true, .with_state = true};

static void assert_old_or_new(long n)
{
    if (access(kit.target, F_OK) != 0 || (!file_is(kit.target, at(9)) && !file_is(kit.target, at(TIP)))) {
        print_error("fault %ld: neither the old file nor the new one\n", n);
        fail();
    }
}

static void fail_at_every_call(enum fault_mode mode, int sys)
{
    long n, failed = 0;

    for (n = 1;; n += n < 100 ? 1 : 7) {
        struct fault_fsys f;
        struct rc rc;

        put_old(at(9));
        fault_fsys_init(&f, mode, n, sys);
        kit.fs = &f.fs;
        rc = restore(careful);
        kit.fs = &fsys_real;
        assert_int_equal(f.open_fds, 0);
        failed += rc_failed(rc);
        assert_old_or_new(n);
        if (!rc_failed(rc))
            assert_true(file_is(kit.target, at(TIP)));
        if (kit.report.kept[0] != 0)
            assert_true(file_is(kit.report.kept, at(9)));
        if (f.fired == 0)
            break;
    }
    assert_in_range(n, 40, 2000);
    assert_in_range(failed, 15, n);
}

static void test_fault_once(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE, EIO);
}

static void test_disk_full_for_ever(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_FOREVER, ENOSPC);
}

/* A crash with the kept name there, or not yet: the old file is there under the old name. */
static void test_crash_over_old(void **state)
{
    bool killed = true;
    long n;

    (void)state;
    KILL_OR_SKIP();
    for (n = 1; killed; n += n < 20 ? 2 : 1) {
        struct restore_opts opts = careful;

        put_old(at(9));
        killed = killed_at(n, restore_on, &opts);
        assert_old_or_new(n);
        if (n % 5 == 0) {
            assert_ok_err(restore(careful), &kit.err);
            assert_true(file_is(kit.target, at(TIP)));
            assert_int_equal(count_left(), 0);
        }
    }
    assert_in_range(n, 15, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_network, clean),
        cmocka_unit_test_setup(test_killed, clean),
        cmocka_unit_test_setup(test_other_target, clean),
        cmocka_unit_test_setup(test_notes, clean),
        cmocka_unit_test_setup(test_fault_once, clean),
        cmocka_unit_test_setup(test_disk_full_for_ever, clean),
        cmocka_unit_test_setup(test_crash_over_old, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
