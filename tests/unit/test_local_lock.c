/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_fsys.h"
#include "local_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/test_local_lock.XXXXXX";
static char dir[100], lock[120];

static int make_top(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    (void)snprintf(dir, sizeof dir, "%s/app.db-weir", top);
    (void)snprintf(lock, sizeof lock, "%s/lock", dir);
    return 0;
}

static int remove_top(void **state)
{
    (void)state;
    (void)unlink(lock); /* a test may have failed before it was there */
    (void)rmdir(dir);
    return rmdir(top);
}

static struct local_state_holder look(void)
{
    struct local_state_holder holder;
    struct err err;

    assert_ok_err(local_state_holder(&fsys_real, dir, &holder, &err), &err);
    return holder;
}

static void write_lock(const char *text)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, lock, text, strlen(text), 0600, &err), &err);
}

/* A child that takes the lock, announces, and stays until it is killed. */
static pid_t start_holder(const char *socket_path)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct local_state *ls;
        struct err err;

        if (rc_failed(local_state_open(&ls, &fsys_real, dir, &err))
            || rc_failed(local_state_announce(ls, socket_path, &err)) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(close(ready[1]), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(close(ready[0]), 0);
    return pid;
}

static void end_holder(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void one_process_at_a_time(void **state)
{
    struct local_state_holder holder;
    struct local_state *ls;
    char want[64];
    struct err err;
    struct stat st;
    pid_t pid;

    (void)state;
    holder = look(); /* there is not even a directory */
    assert_false(holder.held);
    pid = start_holder("/run/weir/control");
    assert_fails(local_state_open(&ls, &fsys_real, dir, &err), E_FENCED);
    (void)snprintf(want, sizeof want, "process %ld holds it, control socket /run/weir/control", (long)pid);
    assert_non_null(strstr(err.msg, want));
    holder = look();
    assert_true(holder.held);
    assert_int_equal(holder.pid, pid);
    assert_string_equal(holder.socket_path, "/run/weir/control");
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(lock, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    end_holder(pid); /* the kernel lets go; the text stays, and means nothing */
    holder = look();
    assert_false(holder.held);
    assert_int_equal(holder.pid, 0);
    assert_ok_err(local_state_open(&ls, &fsys_real, dir, &err), &err);
    holder = look();
    assert_true(holder.held);
    assert_int_equal(holder.pid, getpid());
    assert_string_equal(holder.socket_path, "");
    local_state_close(ls);
    assert_false(look().held);
}

/* Who looks takes the lock for a moment; that must not keep anybody from starting. */
static void looking_keeps_nobody_out(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        for (;;) {
            struct local_state_holder holder;
            struct err err;

            if (rc_failed(local_state_holder(&fsys_real, dir, &holder, &err)))
                _exit(1);
            (void)poll(NULL, 0, 1); /* often, but not all the time */
        }
    for (int i = 0; i < 200; i++) {
        struct local_state *ls;
        struct err err;

        assert_ok_err(local_state_open(&ls, &fsys_real, dir, &err), &err);
        local_state_close(ls);
    }
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* it is still looking */
    end_holder(pid);
}

/* A looker that a busy machine stops in the middle of its look. */
static void a_slow_looker_keeps_nobody_out(void **state)
{
    struct local_state *ls;
    struct err err;
    pid_t pid;
    int ready[2], status;
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(lock, O_RDONLY);

        if (fd < 0 || flock(fd, LOCK_SH) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        (void)poll(NULL, 0, 700);
        _exit(0);
    }
    assert_int_equal(close(ready[1]), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(close(ready[0]), 0);
    assert_ok_err(local_state_open(&ls, &fsys_real, dir, &err), &err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    local_state_close(ls);
}

static void long_and_odd_sockets_are_refused(void **state)
{
    char path[1100];
    struct local_state *ls;
    struct err err;

    (void)state;
    assert_ok_err(local_state_open(&ls, &fsys_real, dir, &err), &err);
    memset(path, 'x', sizeof path);
    path[1024] = 0;
    assert_fails(local_state_announce(ls, path, &err), E_CONFIG);
    assert_fails(local_state_announce(ls, "/a\nb", &err), E_CONFIG);
    path[1023] = 0;
    assert_ok_err(local_state_announce(ls, path, &err), &err);
    assert_string_equal(look().socket_path, path);
    assert_ok_err(local_state_announce(ls, "/short", &err), &err);
    assert_string_equal(look().socket_path, "/short");
    local_state_close(ls);
}

/* What stands in the file is for people; whatever it is, it stops nobody. */
static void odd_texts_are_ignored(void **state)
{
    static const struct {
        const char *text;
        long pid;
        const char *socket_path;
    } list[] = {
        {"", 0, ""},
        {"weir lock 1\n", 0, ""},
        {"weir lock 2\npid 5\nsocket /a\n", 0, ""},
        {"weir lock 1\npid 5", 0, ""},
        {"weir lock 1\npid 5\n", 5, ""},
        {"weir lock 1\npid 5\nsocket /a", 5, ""},
        {"weir lock 1\npid 5\nsocket /a\nmore\n", 5, "/a"},
        {"weir lock 1\npid 0\nsocket /a\n", 0, ""},
        {"weir lock 1\npid -5\nsocket /a\n", 0, ""},
        {"weir lock 1\npid 5 \nsocket /a\n", 0, ""},
        {"weir lock 1\npid 99999999999999999999\nsocket /a\n", 0, ""},
        {"weir lock 1\nsocket /a\npid 5\n", 0, ""},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct local_state_holder holder;
        struct local_state *ls;
        char text[64], long_text[1000];
        int fd;

        write_lock(list[i].text);
        assert_ok_err(local_lock_take(&fsys_real, dir, &fd, &err), &err);
        /* In place, as a holder would. */
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, list[i].text, strlen(list[i].text), 0), strlen(list[i].text));
        holder = look();
        assert_true(holder.held);
        assert_int_equal(holder.pid, list[i].pid);
        assert_string_equal(holder.socket_path, list[i].socket_path);
        assert_fails(local_state_open(&ls, &fsys_real, dir, &err), E_FENCED);
        (void)snprintf(text, sizeof text, "process %ld holds it", list[i].pid);
        assert_non_null(strstr(err.msg, list[i].pid == 0 ? "another process holds it" : text));
        memset(long_text, 'x', sizeof long_text);
        memcpy(long_text, "weir lock 1\npid 5\nsocket ", 25);
        assert_int_equal(pwrite(fd, long_text, sizeof long_text, 0), sizeof long_text);
        assert_string_equal(look().socket_path, "");
        local_lock_drop(&fsys_real, fd);
    }
}

/* The directory was removed and made again under the feet of who waits: its lock is another file. */
static bool swap;
static int flock_and_swap(const struct fsys *fs, int fd, int operation)
{
    int r = fsys_real.flock(fs, fd, operation);

    if (swap) {
        swap = false;
        assert_int_equal(unlink(lock), 0);
    }
    return r;
}

static void removed_file_is_noticed(void **state)
{
    struct fsys fs = fsys_real;
    int first, second;
    struct err err;

    (void)state;
    fs.flock = flock_and_swap;
    swap = true;
    assert_ok_err(local_lock_take(&fs, dir, &first, &err), &err);
    assert_false(swap);
    assert_fails(local_lock_take(&fsys_real, dir, &second, &err), E_FENCED); /* it is the one that others see */
    local_lock_drop(&fsys_real, first);
}

static void a_link_is_not_followed(void **state)
{
    struct err err;
    int fd;

    (void)state;
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(symlink("/tmp/elsewhere", lock), 0);
    assert_true(rc_failed(local_lock_take(&fsys_real, dir, &fd, &err)));
    assert_int_equal(err.sys, ELOOP);
    assert_int_equal(unlink(lock), 0);
}

static void full_disk_stops_nobody(void **state)
{
    struct fault_fsys f;
    struct err err;
    int fd;

    (void)state;
    fault_fsys_init(&f, FAULT_FOREVER, 1, ENOSPC);
    f.ops = FAULT_PWRITE;
    assert_ok_err(local_lock_take(&f.fs, dir, &fd, &err), &err);
    assert_true(look().held);
    assert_fails(local_lock_announce(&f.fs, dir, fd, "/a", &err), E_NOSPACE);
    local_lock_drop(&f.fs, fd);
    assert_int_equal(f.open_fds, 0);
}

static void every_fault_is_told(void **state)
{
    int n = 1;

    (void)state;
    for (;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;
        int fd;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = local_lock_take(&f.fs, dir, &fd, &err);
        if (rc_failed(rc))
            assert_int_equal(err.sys, EIO);
        else {
            assert_true(look().held);
            local_lock_drop(&f.fs, fd);
        }
        assert_int_equal(f.open_fds, 0);
        assert_false(look().held);
        if (f.fired == 0)
            break;
    }
    assert_in_range(n, 5, 20);
}

static void no_directory_above(void **state)
{
    struct local_state *ls;
    struct err err;

    (void)state;
    assert_fails(local_state_open(&ls, &fsys_real, "/tmp/no-such-place/app.db-weir", &err), E_NOTFOUND);
    assert_non_null(strstr(err.msg, "make directory /tmp/no-such-place/app.db-weir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(looking_keeps_nobody_out),
        cmocka_unit_test(a_slow_looker_keeps_nobody_out),
        cmocka_unit_test(long_and_odd_sockets_are_refused),
        cmocka_unit_test(odd_texts_are_ignored),
        cmocka_unit_test(removed_file_is_noticed),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(full_disk_stops_nobody),
        cmocka_unit_test(every_fault_is_told),
        cmocka_unit_test(no_directory_above),
    };

    return cmocka_run_group_tests(tests, make_top, remove_top);
}
