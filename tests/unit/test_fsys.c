/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each operation under every single fault: the n-th call fails (once, then for good), the process dies there, or the
 * power goes, for n = 1, 2, 3 ... until a run gets through untouched.
 */
#include "folder_kit.h"

#include "fault_fsys.h"
#include "fault_power.h"
#include "fsys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static const char old_text[] = "old content, all of it", new_text[] = "the new content";

static const char *in_dir(const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *out = path[next++ % 4];

    (void)snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static void put(const char *name, const char *text)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, in_dir(name), text, strlen(text), 0600, &err), &err);
}

static bool holds(const char *name, const char *text)
{
    struct buf b;
    struct err err;
    bool same;

    buf_init(&b, 1000000);
    same = !rc_failed(fsys_read_file(&fsys_real, in_dir(name), &b, &err)) && strcmp(buf_str(&b), text) == 0;
    buf_fini(&b);
    return same;
}

static bool exists(const char *name)
{
    struct stat st;

    return stat(in_dir(name), &st) == 0;
}

static void every_fault(enum fault_mode mode, int sys, bool lie)
{
    int n = 1;

    for (;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;

        put("state", old_text);
        fault_fsys_init(&f, mode, n, sys);
        f.short_io = true;
        f.lie = lie;
        rc = fsys_write_atomic(&f.fs, in_dir("state"), new_text, strlen(new_text), 0600, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            break;
        }
        assert_fails(rc, rc_from_errno(sys));
        assert_int_equal(err.sys, sys);
        assert_non_null(strstr(err.msg, strerrordesc_np(sys)));
        assert_non_null(strstr(err.msg, dir)); /* it says on what */
        assert_true(holds("state", old_text) || holds("state", new_text));
        if (mode == FAULT_ONCE)
            assert_false(exists("state.tmp"));
    }
    assert_true(holds("state", new_text));
    assert_in_range(n, 8, 64); /* the loop really walked through the operation */
}

static void test_atomic_fails_once(void **state)
{
    (void)state;
    every_fault(FAULT_ONCE, EIO, false);
    every_fault(FAULT_ONCE, ENOSPC, false);
    every_fault(FAULT_ONCE, EACCES, true);
}

static void test_atomic_fails_for_good(void **state)
{
    (void)state;
    every_fault(FAULT_FOREVER, EIO, false);
}

static void test_atomic_killed_anywhere(void **state)
{
    int status = -1;

    (void)state;
    for (int n = 1; status != 0; n++) {
        pid_t pid;

        put("state", old_text);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;
            struct err err;

            fault_fsys_init(&f, FAULT_KILL, n, 0);
            _exit(rc_failed(fsys_write_atomic(&f.fs, in_dir("state"), new_text, strlen(new_text), 0600, &err)));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(status == 0 || WTERMSIG(status) == SIGKILL);
        assert_true(holds("state", old_text) || holds("state", new_text));
    }
    assert_true(holds("state", new_text));
}

/* The power goes at the n-th call: old or new, and new for sure once the call has succeeded. */
static void test_atomic_survives_power_cuts(void **state)
{
    int n = 1, old_count = 0;
    bool met = true;

    (void)state;
    for (; met; n++)
        for (uint64_t seed = 1; seed <= 30; seed++) {
            struct fault_power *p = fault_power_new();
            struct fault_fsys f;
            struct err err;
            struct rc rc;

            put("state", old_text);
            fault_fsys_init(&f, FAULT_FOREVER, n, EIO);
            fault_power_under(&f, p);
            f.short_io = true;
            rc = fsys_write_atomic(&f.fs, in_dir("state"), new_text, strlen(new_text), 0600, &err);
            met = f.fired > 0;
            fault_power_cut(p, seed);
            assert_true(holds("state", new_text) || (rc_failed(rc) && holds("state", old_text)));
            old_count += holds("state", old_text);
            fault_power_free(p);
        }
    assert_in_range(n, 8, 64);
    assert_true(old_count > 100);
}

static void test_atomic_leftover(void **state)
{
    struct stat st;

    (void)state;
    put("other", "untouched");
    assert_int_equal(symlink(in_dir("other"), in_dir("state.tmp")), 0);
    put("state", new_text);
    assert_true(holds("state", new_text));
    assert_true(holds("other", "untouched"));
    assert_int_equal(lstat(in_dir("state"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_read_at(void **state)
{
    static const char text[] = "0123456789";
    struct fault_fsys f;
    struct err err;
    char bytes[11] = "";
    int fd = open(in_dir("digits"), O_RDWR | O_CREAT, 0600), n;

    (void)state;
    assert_true(fd >= 0);
    for (n = 1;; n++) {
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        f.short_io = true;
        rc = fsys_write_at(&f.fs, fd, "digits", text, 10, 5, &err);
        if (!rc_failed(rc))
            rc = fsys_read_at(&f.fs, fd, "digits", bytes, 10, 5, &err);
        if (f.fired == 0)
            break;
        assert_fails(rc, E_IO);
    }
    assert_int_equal(n, 11); /* 10 bytes by halves are 5 + 2 + 1 + 1 + 1, written and read */
    assert_string_equal(bytes, text);
    assert_fails(fsys_read_at(&fsys_real, fd, "digits", bytes, 10, 6, &err), E_CORRUPT);
    assert_string_equal(err.msg, "digits: short read at 6: 9 of 10 bytes");
    assert_fails(fsys_read_at(&fsys_real, fd, "digits", bytes, 1, UINT64_MAX, &err), E_CORRUPT);
    assert_fails(fsys_read_at(&fsys_real, fd, "digits", bytes, 10, INT64_MAX - 5, &err), E_CORRUPT);
    assert_fails(fsys_write_at(&fsys_real, fd, "digits", bytes, 10, INT64_MAX - 5, &err), E_NOSPACE);
    assert_ok(fsys_read_at(&fsys_real, fd, "digits", NULL, 0, 1000, &err));
    assert_int_equal(close(fd), 0);
}

/* Interrupted calls are made again. */
static void test_interrupted(void **state)
{
    struct buf b;
    struct err err;
    int n;

    (void)state;
    put("state", old_text);
    buf_init(&b, 1000);
    for (n = 1;; n++) {
        struct fault_fsys f;

        fault_fsys_init(&f, FAULT_ONCE, n, EINTR);
        f.ops = FAULT_OPEN | FAULT_PREAD | FAULT_PWRITE;
        assert_ok_err(fsys_write_atomic(&f.fs, in_dir("state"), new_text, strlen(new_text), 0600, &err), &err);
        buf_clear(&b);
        assert_ok_err(fsys_read_file(&f.fs, in_dir("state"), &b, &err), &err);
        assert_string_equal(buf_str(&b), new_text);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0)
            break;
    }
    assert_in_range(n, 5, 20);
    buf_fini(&b);
}

static void test_read_file(void **state)
{
    char text[5000];
    struct buf b;
    struct err err;
    int n;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    put("long", text);
    put("empty", "");
    for (size_t max = 4995; max <= 5010; max++) { /* around the size, 4999, and with something there before */
        buf_init(&b, max);
        buf_text(&b, "before");
        if (max < 6 + 4999) {
            assert_fails(fsys_read_file(&fsys_real, in_dir("long"), &b, &err), E_CORRUPT);
            assert_non_null(strstr(err.msg, "larger than the limit"));
            assert_string_equal(buf_str(&b), "before");
        } else {
            assert_ok_err(fsys_read_file(&fsys_real, in_dir("long"), &b, &err), &err);
            assert_int_equal(b.size, 6 + 4999);
            assert_string_equal(buf_str(&b) + 6, text);
        }
        buf_fini(&b);
    }
    buf_init(&b, 100);
    assert_ok(fsys_read_file(&fsys_real, in_dir("empty"), &b, &err));
    assert_int_equal(b.size, 0);
    assert_fails(fsys_read_file(&fsys_real, in_dir("absent"), &b, &err), E_NOTFOUND);
    assert_non_null(strstr(err.msg, "absent: No such file or directory"));
    assert_fails(fsys_read_file(&fsys_real, dir, &b, &err), E_IO);
    buf_fini(&b);
    buf_init(&b, 100000);
    assert_ok(fsys_read_file(&fsys_real, "/proc/self/status", &b, &err)); /* says that it has no bytes */
    assert_non_null(strstr(buf_str(&b), "Pid:"));
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct rc rc;

        buf_clear(&b);
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        f.ops = FAULT_ALL & ~(unsigned)FAULT_CLOSE;
        rc = fsys_read_file(&f.fs, in_dir("long"), &b, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0)
            break;
        assert_fails(rc, E_IO);
        assert_int_equal(b.size, 0);
    }
    assert_int_equal(n, 5); /* open, fstat, read, read at the end */
    buf_fini(&b);
}

static void remove_tree(const char *name)
{
    char command[400];

    (void)snprintf(command, sizeof command, "%s", in_dir(name));
    (void)rmdir(command);
}

static void test_make_dirs(void **state)
{
    struct fault_fsys f;
    struct err err;
    int n;

    (void)state;
    put("file", "x");
    for (n = 1;; n++) {
        struct rc rc;

        remove_tree("a/b/c");
        remove_tree("a/b");
        remove_tree("a");
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = fsys_make_dirs(&f.fs, in_dir("a//b/c/"), 0700, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            break;
        }
        if (rc_failed(rc))
            assert_fails(rc, E_IO);
        else
            assert_true(exists("a/b/c")); /* a failing stat only costs more calls */
    }
    assert_in_range(n, 12, 40);
    assert_true(exists("a/b/c"));
    fault_fsys_init(&f, FAULT_FOREVER, 2, EIO); /* everything is there: one call */
    assert_ok(fsys_make_dirs(&f.fs, in_dir("a/b"), 0700, &err));
    assert_fails(fsys_make_dirs(&fsys_real, in_dir("file"), 0700, &err), E_EXISTS);
    assert_fails(fsys_make_dirs(&fsys_real, in_dir("file/sub"), 0700, &err), E_EXISTS);
    assert_fails(fsys_make_dirs(&fsys_real, "", 0700, &err), E_CONFIG);
    assert_ok(fsys_make_dirs(&fsys_real, "/", 0700, &err));
    assert_ok(fsys_make_dirs(&fsys_real, ".", 0700, &err));
    assert_int_equal(chdir(dir), 0);
    assert_ok_err(fsys_make_dirs(&fsys_real, "r/s", 0700, &err), &err);
    assert_ok_err(fsys_make_dirs(&fsys_real, "./r/t/", 0700, &err), &err);
    assert_int_equal(chdir("/"), 0);
    assert_true(exists("r/s"));
    assert_true(exists("r/t"));
}

/* New directories are safe when the call returns. */
static void test_make_dirs_survives_power_cuts(void **state)
{
    struct err err;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fault_power *p = fault_power_new();
        char name[40];

        (void)snprintf(name, sizeof name, "p%llu/q/r", (unsigned long long)seed);
        assert_ok_err(fsys_make_dirs(fault_power_fsys(p), in_dir(name), 0700, &err), &err);
        fault_power_cut(p, seed);
        assert_true(exists(name));
        fault_power_free(p);
    }
}

static void test_remove_and_sync(void **state)
{
    struct fault_fsys f;
    struct err err;

    (void)state;
    put("gone", "x");
    fault_fsys_init(&f, FAULT_ONCE, 1, EBUSY);
    assert_fails(fsys_remove(&f.fs, in_dir("gone"), &err), E_IO);
    assert_true(exists("gone"));
    assert_ok(fsys_remove(&fsys_real, in_dir("gone"), &err));
    assert_false(exists("gone"));
    assert_ok(fsys_remove(&fsys_real, in_dir("gone"), &err));
    assert_fails(fsys_sync_dir(&fsys_real, in_dir("gone"), &err), E_NOTFOUND);
    assert_ok(fsys_sync_parent(&fsys_real, in_dir("gone"), &err));
    assert_ok(fsys_sync_parent(&fsys_real, in_dir("gone//"), &err));
    assert_ok(fsys_sync_parent(&fsys_real, "/gone", &err));
    assert_ok(fsys_sync_parent(&fsys_real, "gone", &err));
    assert_fails(fsys_sync_parent(&fsys_real, in_dir("gone/x"), &err), E_NOTFOUND);
    for (int n = 1; n <= 3; n++) {
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        assert_fails(fsys_sync_dir(&f.fs, dir, &err), E_IO);
        assert_int_equal(f.open_fds, 0);
    }
    fault_fsys_init(&f, FAULT_ONCE, 4, EIO);
    assert_ok(fsys_sync_dir(&f.fs, dir, &err));
}

static void test_open(void **state)
{
    struct err err;
    int fd = 77;

    (void)state;
    assert_fails(fsys_open(&fsys_real, in_dir("absent"), O_RDONLY, 0, &fd, &err), E_NOTFOUND);
    assert_int_equal(fd, 77);
    assert_non_null(strstr(err.msg, "open /"));
    assert_fails(fsys_open(&fsys_real, in_dir("no/dir"), O_RDWR | O_CREAT, 0600, &fd, &err), E_NOTFOUND);
    assert_non_null(strstr(err.msg, "create /"));
    {
        CLEANUP(fsys_closep) struct fsys_fd f = {&fsys_real, -1};

        assert_ok(fsys_open(&fsys_real, dir, O_RDONLY, 0, &f.fd, &err));
        fd = f.fd;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_the_rest_of_the_table(void **state)
{
    const struct fsys *fs = &fsys_real;
    struct stat st;
    DIR *d;
    int fd, other;

    (void)state;
    put("a1", "a");
    put("b1", "b");
    errno = 0;
    assert_int_equal(fs->rename_new(fs, in_dir("a1"), in_dir("b1")), -1);
    assert_int_equal(errno, EEXIST);
    assert_true(holds("b1", "b"));
    assert_int_equal(fs->rename_new(fs, in_dir("a1"), in_dir("c1")), 0);
    assert_true(holds("c1", "a"));
    assert_int_equal(fs->link(fs, in_dir("c1"), in_dir("b1")), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(fs->link(fs, in_dir("c1"), in_dir("d1")), 0);
    assert_int_equal(fs->stat(fs, in_dir("d1"), &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(fs->mkdir(fs, in_dir("e1"), 0700), 0);
    assert_int_equal(fs->rmdir(fs, in_dir("e1")), 0);
    d = fs->opendir(fs, dir);
    assert_non_null(d);
    assert_int_equal(closedir(d), 0);
    fd = fs->open(fs, in_dir("d1"), O_RDWR, 0);
    other = fs->open(fs, in_dir("d1"), O_RDWR, 0);
    assert_int_equal(fs->ftruncate(fs, fd, 100), 0);
    assert_int_equal(fs->fstat(fs, fd, &st), 0);
    assert_int_equal(st.st_size, 100);
    assert_int_equal(fs->flock(fs, fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(fs->flock(fs, other, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    assert_int_equal(fs->close(fs, fd), 0);
    assert_int_equal(fs->flock(fs, other, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(fs->close(fs, other), 0);
}

/* Also where the file system cannot do it in one step. */
static void test_rename_new(void **state)
{
    struct fault_fsys f;
    struct err err;
    int n = 0;

    (void)state;
    put("from", "new");
    put("to", "old");
    assert_fails(fsys_rename_new(&fsys_real, in_dir("from"), in_dir("to"), &err), E_EXISTS);
    assert_non_null(strstr(err.msg, "it stays as it is"));
    for (;; n++) {
        const int sys = n % 2 == 0 ? EIO : EINVAL;

        put("from", "new");
        assert_ok(fsys_remove(&fsys_real, in_dir("to"), &err));
        fault_fsys_init(&f, FAULT_ONCE, n / 2 + 1, sys);
        if (rc_failed(fsys_rename_new(&f.fs, in_dir("from"), in_dir("to"), &err)))
            assert_true(f.fired > 0 && exists("from"));
        else
            assert_true(exists("to") && !exists("from"));
        if (f.fired == 0)
            break;
    }
    assert_int_equal(n, 2); /* one call, which may fail, or not be supported: then there are two more */
    fault_fsys_init(&f, FAULT_ONCE, 1, EINVAL);
    put("from", "new");
    assert_fails(fsys_rename_new(&f.fs, in_dir("from"), in_dir("to"), &err), E_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_atomic_fails_once),
        cmocka_unit_test(test_atomic_fails_for_good),
        cmocka_unit_test(test_atomic_killed_anywhere),
        cmocka_unit_test(test_atomic_survives_power_cuts),
        cmocka_unit_test(test_atomic_leftover),
        cmocka_unit_test(test_read_at),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_make_dirs_survives_power_cuts),
        cmocka_unit_test(test_remove_and_sync),
        cmocka_unit_test(test_rename_new),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_the_rest_of_the_table),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
