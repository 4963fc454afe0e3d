/* SPDX-License-Identifier: Apache-2.0 */
/* Verifications of histories whose segments are in folds: damage is found where it is, and the report calls restorable
 * exactly what can be restored. */
#include "check.h"

#include "fold_kit.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, PAGES = 8, TIP = 24, PATH_SIZE = 1024 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    struct verify_report report;
    struct restore_report restored;
    struct err err;
} kit;

/* Segments of one commit, and a snapshot at txid 1. */
static int set_up(void **state)
{
    uint8_t image[PAGES * PAGE_SIZE];

    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    make_history_init(&kit.h, kit.root, PAGE_SIZE);
    make_history_timeline(&kit.h, 0, 0);
    for (int txid = 1; txid <= TIP; txid++) {
        memset(image, txid, sizeof image);
        make_history_commit(&kit.h, image, PAGES, txid == 1 ? SEG_SNAPSHOT : 0);
        if (txid == 1)
            make_history_snapshot(&kit.h);
        else
            make_history_cut(&kit.h);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    verify_fini(&kit.report);
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

static void fold(uint64_t first, uint64_t last, bool drop)
{
    fold_kit_make(kit.root, 1, &kit.h.database, first, last, drop);
}

static void fold_path(char out[PATH_SIZE], uint64_t first, uint64_t last)
{
    layout_text key;

    layout_fold(key, 1, first, last);
    fold_kit_path(out, kit.root, key);
}

/* Turn a bit at this part of an object. */
static void turn(const char *path, unsigned percent)
{
    int fd = open(path, O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END), at = size * (off_t)percent / 100;
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static struct rc run_verify(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return verify_run(w, s, ctx, &kit.report, err);
}

static struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, &fsys_real, ctx, &kit.restored, err);
}

static bool restorable(uint64_t txid)
{
    struct restore_opts opts = {.output = kit.target, .by_txid = true, .txid = txid, .parallel = 1};
    struct rc rc;

    (void)unlink(kit.target);
    rc = session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);
    if (!rc_failed(rc))
        assert_int_equal(kit.restored.checksum, make_history_find(&kit.h, 1, txid)->checksum);
    return !rc_failed(rc);
}

static bool reported(uint64_t txid)
{
    const struct verify_timeline *t = &kit.report.timelines[0];

    for (size_t i = 0; i < t->range_count; i++)
        if (t->ranges[i].first_txid <= txid && txid <= t->ranges[i].last_txid)
            return true;
    return false;
}

/* Verify; `lost` commits from `first` on, and no others, are not restorable. */
static void check(uint64_t first, uint64_t lost)
{
    struct verify_opts opts = {0};

    verify_fini(&kit.report);
    assert_ok_err(session_run(&fsys_real, kit.url, run_verify, &opts, &kit.err), &kit.err);
    for (uint64_t txid = 1; txid <= TIP; txid++) {
        bool expected = lost == 0 || txid < first || txid >= first + lost;

        if (reported(txid) != expected || restorable(txid) != expected) {
            print_error("txid %" PRIu64 ": reported %d, restored %d\n", txid, reported(txid), restorable(txid));
            fail();
        }
    }
    assert_true(kit.report.timelines[0].tip_txid == TIP);
}

static uint64_t count(enum layout_kind kind, enum verify_answer answer)
{
    return kit.report.counts[kind][answer];
}

static void test_good(void **state)
{
    (void)state;
    fold(2, 9, false);
    check(0, 0);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_GOOD), 1);
    assert_int_equal(count(LAYOUT_LOG, VERIFY_GOOD), TIP);
    fold(10, 17, false);
    fold(2, 17, false);
    check(0, 0);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_GOOD), 3);
    assert_int_equal(count(LAYOUT_LOG, VERIFY_GOOD), TIP);
    fold(18, TIP, true);
    check(0, 0);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_GOOD), 4);
    assert_int_equal(count(LAYOUT_LOG, VERIFY_GOOD), 17);
    assert_int_equal(kit.report.finding_count, 0);
    assert_false(verify_failed(&kit.report));
}

/* The commits of a damaged fold come from what stands beside it. */
static void test_damaged_but_covered(void **state)
{
    char path[PATH_SIZE];

    (void)state;
    for (unsigned percent = 0; percent < 100; percent += 9) {
        fold(2, 17, false);
        fold_path(path, 2, 17);
        turn(path, percent);
        check(0, 0);
        assert_int_equal(count(LAYOUT_FOLD, VERIFY_DAMAGED), 1);
        assert_int_equal(count(LAYOUT_LOG, VERIFY_GOOD), TIP);
        assert_string_equal(kit.report.findings[0].key, "t/00000001/fold/0000000000000002-0000000000000011");
    }
    /* Of the small folds one is whole, the other half is in single segments. */
    fold(2, 9, true);
    check(0, 0);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_GOOD), 1);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_DAMAGED), 1);
    assert_int_equal(unlink(path), 0);
    check(0, 0);
    assert_int_equal(kit.report.finding_count, 0);
}

static void test_damaged(void **state)
{
    char path[PATH_SIZE];

    (void)state;
    fold(6, 13, true);
    fold(14, 19, true);
    fold_path(path, 6, 13);
    turn(path, 70);
    check(6, TIP - 5); /* nothing leads on behind it */
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_DAMAGED), 1);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_GOOD), 1);
    assert_true(verify_failed(&kit.report));
    assert_int_equal(unlink(path), 0);
    check(6, TIP - 5);
    assert_int_equal(count(LAYOUT_LOG, VERIFY_MISSING), 1);
}

/* What a fold stands for does not matter any more. */
static void test_damaged_beside(void **state)
{
    char path[PATH_SIZE];
    layout_text key;

    (void)state;
    fold(2, 9, false);
    fold(2, 17, false);
    layout_log(key, 1, 5);
    fold_kit_path(path, kit.root, key);
    turn(path, 50);
    fold_path(path, 2, 9);
    turn(path, 50);
    check(0, 0);
    assert_int_equal(kit.report.finding_count, 2);
    assert_int_equal(count(LAYOUT_LOG, VERIFY_UNEXPECTED), 1);
    assert_int_equal(count(LAYOUT_FOLD, VERIFY_UNEXPECTED), 1);
    assert_false(verify_failed(&kit.report));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_but_covered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_beside, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
