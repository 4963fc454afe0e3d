/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_fsys.h"
#include "restore_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 256 };
static const int64_t now_ms = INT64_C(1795226481123); /* 2026-11-21T02:01:21Z */
#define STAMP ".20261121T020121Z"

static struct {
    char dir[64], path[96];
    struct err err;
} kit;

static const char *name(const char *suffix)
{
    static char names[4][PATH_SIZE];
    static unsigned next;
    char *out = names[next++ % 4];

    (void)snprintf(out, PATH_SIZE, "%s%s", kit.path, suffix);
    return out;
}

static void make(const char *suffix, const char *text)
{
    int fd = open(name(suffix), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static bool holds(const char *suffix, const char *text)
{
    char got[64] = "";
    int fd = open(name(suffix), O_RDONLY);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, got, sizeof got - 1);
    assert_int_equal(close(fd), 0);
    return n == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static bool is_there(const char *suffix)
{
    return access(name(suffix), F_OK) == 0;
}

static void empty(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", STAMP, STAMP "-2", STAMP "-wal",
        STAMP "-journal", STAMP "-shm", STAMP "-2-wal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        (void)unlink(name(suffixes[i]));
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(kit.dir, sizeof kit.dir, "/tmp/weir-restore-keep-XXXXXX");
    assert_non_null(mkdtemp(kit.dir));
    (void)snprintf(kit.path, sizeof kit.path, "%s/a.db", kit.dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    empty();
    return rmdir(kit.dir);
}

static struct rc keep(const struct fsys *fs, bool side_files, struct restore_keep **k)
{
    *k = NULL;
    return restore_keep_make(k, fs, kit.path, side_files, now_ms, &kit.err);
}

static void test_names(void **state)
{
    struct restore_keep *k;

    (void)state;
    make("", "one");
    make("-wal", "log");
    assert_ok_err(keep(&fsys_real, false, &k), &kit.err);
    assert_string_equal(restore_keep_path(k), name(STAMP));
    assert_true(holds("", "one"));
    assert_true(holds(STAMP, "one"));
    assert_false(is_there(STAMP "-wal"));
    restore_keep_free(k);
    assert_int_equal(unlink(kit.path), 0);
    make("", "two");
    assert_ok_err(keep(&fsys_real, false, &k), &kit.err);
    assert_string_equal(restore_keep_path(k), name(STAMP "-2"));
    assert_true(holds(STAMP, "one"));
    assert_true(holds(STAMP "-2", "two"));
    restore_keep_undo(k);
    restore_keep_free(k);
    assert_false(is_there(STAMP "-2"));
    assert_true(holds("", "two"));
}

/* What lies under the name of a side file is somebody else's, too. */
static void test_side_files(void **state)
{
    struct restore_keep *k;

    (void)state;
    make("", "one");
    make("-wal", "log");
    make("-shm", "index");
    assert_ok_err(keep(&fsys_real, true, &k), &kit.err);
    assert_true(holds(STAMP, "one"));
    assert_true(holds(STAMP "-wal", "log"));
    assert_false(is_there(STAMP "-shm"));
    assert_false(is_there(STAMP "-journal"));
    restore_keep_undo(k);
    restore_keep_free(k);
    assert_false(is_there(STAMP));
    assert_false(is_there(STAMP "-wal"));
    make(STAMP "-wal", "other");
    assert_ok_err(keep(&fsys_real, true, &k), &kit.err);
    assert_string_equal(restore_keep_path(k), name(STAMP "-2"));
    assert_true(holds(STAMP "-2-wal", "log"));
    assert_true(holds(STAMP "-wal", "other"));
    assert_false(is_there(STAMP));
    restore_keep_free(k);
}

static int no_link(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    (void)from;
    (void)to;
    errno = EPERM;
    return -1;
}

/* A file system without links: the file goes to its new name, and comes back. */
static void test_without_links(void **state)
{
    struct fsys fs = fsys_real;
    struct restore_keep *k;

    (void)state;
    fs.link = no_link;
    make("", "one");
    make("-wal", "log");
    assert_ok_err(keep(&fs, true, &k), &kit.err);
    assert_false(is_there(""));
    assert_false(is_there("-wal"));
    assert_true(holds(STAMP, "one"));
    assert_true(holds(STAMP "-wal", "log"));
    restore_keep_undo(k);
    restore_keep_free(k);
    assert_true(holds("", "one"));
    assert_true(holds("-wal", "log"));
    assert_false(is_there(STAMP));
}

static void fail_at_every_call(const struct fsys *below)
{
    struct fault_fsys f;
    long n, failed = 0;

    for (n = 1;; n++) {
        struct restore_keep *k;
        struct rc rc;

        empty();
        make("", "one");
        make("-wal", "log");
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        f.below = below;
        rc = keep(&f.fs, true, &k);
        restore_keep_free(k);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &kit.err);
            break;
        }
        if (!rc_failed(rc)) { /* it was the close of the directory, which was only synced */
            assert_true(holds(STAMP, "one"));
            continue;
        }
        failed++;
        assert_non_null(strstr(kit.err.msg, strerrordesc_np(EIO)));
        assert_true(holds("", "one"));
        assert_true(holds("-wal", "log"));
        assert_false(is_there(STAMP));
        assert_false(is_there(STAMP "-wal"));
    }
    assert_in_range(n, 6, 20);
    assert_in_range(failed, n - 2, n);
}

static void test_faults(void **state)
{
    struct fsys fs = fsys_real;

    (void)state;
    fail_at_every_call(&fsys_real);
    fs.link = no_link;
    fail_at_every_call(&fs);
}

static void stamp(char *out, size_t size, int i)
{
    if (i == 1)
        (void)snprintf(out, size, "%s", STAMP);
    else
        (void)snprintf(out, size, "%s-%d", STAMP, i);
}

/* Nobody has that many in a second. */
static void test_all_taken(void **state)
{
    struct restore_keep *k;
    char suffix[32];

    (void)state;
    make("", "one");
    for (int i = 1; i <= 100; i++) {
        stamp(suffix, sizeof suffix, i);
        make(suffix, "taken");
    }
    assert_fails(keep(&fsys_real, false, &k), E_EXISTS);
    for (int i = 1; i <= 100; i++) {
        stamp(suffix, sizeof suffix, i);
        assert_true(holds(suffix, "taken"));
        assert_int_equal(unlink(name(suffix)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_side_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_taken, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
