/* SPDX-License-Identifier: Apache-2.0 */
/* A failure, a kill or a power cut at every file operation: the file is the old one or the new one. */
#include "image_kit.h"
#include "kill_kit.h"

/* --- faults ------------------------------------------------------------------------------------------------------ */

enum { FAULT_PAGES = 9, FAULT_END = 7 };

static const char old_text[] = "the old database";
static uint8_t new_file[FAULT_END * SIZE];

/* A whole restore in small: all pages, a change, a shrink. */
static struct rc restore(const struct fsys *fs, struct err *err)
{
    CLEANUP(image_freep) struct image *im = NULL;
    uint8_t page[SIZE];

    TRY(image_create(&im, fs, target, SIZE, FAULT_PAGES, err));
    TRY(put(im, SIZE, 1, 5, 0, err));
    TRY(put(im, SIZE, 6, 4, 0, err));
    TRY(image_read(im, 3, page, err));
    page_of(page, SIZE, 3, 1);
    TRY(image_write(im, 3, page, err));
    TRY(image_resize(im, FAULT_END, err));
    TRY(image_verify(im, err));
    TRY(image_sync(im, err));
    return image_publish(im, err);
}

static struct rc restore_on(const struct fsys *fs, void *err)
{
    return restore(fs, err);
}

static void expect(void)
{
    for (uint32_t p = 1; p <= FAULT_END; p++)
        page_of(new_file + (p - 1) * SIZE, SIZE, p, p == 3);
}

/* Old, as before, or complete. */
static bool assert_old_or_new(bool had_old)
{
    if (access(target, F_OK) != 0) {
        assert_false(had_old);
        return false;
    }
    if (file_is(target, new_file, sizeof new_file))
        return true;
    assert_true(had_old);
    assert_true(file_is(target, old_text, strlen(old_text)));
    return false;
}

/* With `ops` all kinds of call but those that may fail without harm; those are tried by themselves. */
static void every_fault(enum fault_mode mode, int sys, bool had_old, bool short_io, unsigned ops, bool harmless)
{
    long n;

    for (n = 1;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;
        bool is_new;

        (void)unlink(target);
        if (had_old)
            write_file(target, old_text);
        fault_fsys_init(&f, mode, n, sys);
        f.short_io = short_io;
        f.ops = ops;
        rc = restore(&f.fs, &err);
        assert_int_equal(f.open_fds, 0);
        assert_int_equal(count_files(true), 0);
        is_new = assert_old_or_new(had_old);
        if (f.fired == 0)
            break;
        assert_int_equal(rc_failed(rc), !harmless);
        if (harmless)
            assert_true(is_new);
        else
            assert_non_null(strstr(err.msg, strerrordesc_np(sys)));
    }
    assert_true(file_is(target, new_file, sizeof new_file));
    if (!harmless)
        assert_in_range(n, 15, 400);
    else
        assert_in_range(n, 2, 4);
}

static void test_faults(void **state)
{
    /* Closing comes after the sync, removing is for failures, and the clean-up does what it can. */
    const unsigned harmless = FAULT_CLOSE | FAULT_UNLINK | FAULT_OPENDIR;

    (void)state;
    expect();
    for (int had_old = 0; had_old < 2; had_old++)
        for (int short_io = 0; short_io < 2; short_io++) {
            every_fault(FAULT_ONCE, EIO, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
            every_fault(FAULT_FOREVER, EIO, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
            every_fault(FAULT_ONCE, ENOSPC, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
        }
    every_fault(FAULT_ONCE, EIO, true, false, FAULT_OPENDIR, true);
}

/* Closing the file after all is done may fail without harm; closing the directory is part of publishing. */
static void test_close_faults(void **state)
{
    struct fault_fsys f;
    struct err err;

    (void)state;
    expect();
    fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
    f.ops = FAULT_CLOSE;
    assert_fails(restore(&f.fs, &err), E_IO);
    assert_non_null(strstr(err.msg, "close directory"));
    assert_true(assert_old_or_new(false));
    fault_fsys_init(&f, FAULT_ONCE, 2, EIO);
    f.ops = FAULT_CLOSE;
    assert_ok_err(restore(&f.fs, &err), &err);
    assert_int_equal(f.fired, 1);
    assert_true(assert_old_or_new(false));
    assert_int_equal(f.open_fds, 0);
}

/* A sync that has failed once must not be believed the second time. */
static void test_failed_sync(void **state)
{
    struct fault_fsys f;
    struct image *im;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
    f.ops = FAULT_FSYNC;
    im = create(&f.fs, SIZE, 2);
    assert_ok_err(put(im, SIZE, 1, 2, 0, &err), &err);
    assert_fails(image_sync(im, &err), E_IO);
    assert_fails(image_sync(im, &err), E_IO);
    assert_non_null(strstr(err.msg, "an earlier write or sync of it did not succeed"));
    assert_fails(image_publish(im, &err), E_IO);
    image_free(im);
    assert_int_equal(count_files(false), 0);
}

/* Killed at any call: the target is old or new, and the next restore finds and removes what is left. */
static void test_killed(void **state)
{
    bool killed = true;
    int left = 0;

    (void)state;
    expect();
    for (int n = 1; killed; n++) {
        struct err err;

        write_file(target, old_text);
        killed = killed_at(n, restore_on, &err);
        (void)assert_old_or_new(true);
        left += count_files(true);
        assert_ok_err(restore(&fsys_real, &err), &err);
        assert_int_equal(count_files(false), 1);
    }
    assert_in_range(left, 5, 50);
}

/* The power goes at any call, with any part of what was not synced on the disk. */
static void test_power_cut(void **state)
{
    bool done = false;

    (void)state;
    expect();
    for (long n = 1; !done; n++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct fault_power *p = fault_power_new();
            struct fault_fsys f;
            struct err err;
            struct rc rc;

            (void)empty_dir(NULL);
            write_file(target, old_text);
            fault_fsys_init(&f, FAULT_FOREVER, n, EIO);
            f.ops = FAULT_CHANGES;
            fault_power_under(&f, p);
            rc = restore(&f.fs, &err);
            done = f.fired == 0;
            fault_power_cut(p, seed);
            if (!rc_failed(rc))
                assert_true(assert_old_or_new(true)); /* what was reported as published is there */
            else
                (void)assert_old_or_new(true);
            fault_power_free(p);
            assert_ok_err(restore(&fsys_real, &err), &err);
            assert_int_equal(count_files(false), 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_faults, empty_dir),
        cmocka_unit_test_setup(test_close_faults, empty_dir),
        cmocka_unit_test_setup(test_failed_sync, empty_dir),
        cmocka_unit_test_setup(test_killed, empty_dir),
        cmocka_unit_test_setup(test_power_cut, empty_dir),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
