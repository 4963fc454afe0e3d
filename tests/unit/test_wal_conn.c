/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static enum wal_conn_outcome outcome;
static struct err err;

static struct rc attempt(struct wal_conn **out, const char *path, bool may_switch)
{
    *out = NULL;
    return wal_conn_open(out, &fsys_real, path, may_switch, &outcome, &err);
}

static void assert_refused(const char *path, bool may_switch, enum err_code code, const char *words)
{
    struct wal_conn *c;

    assert_fails(attempt(&c, path, may_switch), code);
    assert_null(c);
    if (strstr(err.msg, words) == NULL || strstr(err.msg, path) == NULL)
        fail_msg("\"%s\" does not say \"%s\" about %s", err.msg, words, path);
}

/* --- what is no database --------------------------------------------------------------------------------------- */

static void no_database(void **state)
{
    static const uint8_t journal[28] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    static const uint8_t wal[32] = {0x37, 0x7f, 0x06, 0x82, 0x00, 0x2d, 0xe2, 0x18};
    uint8_t duckdb[4096] = {0}, other[4096];
    struct wal_world w;
    struct wal_conn *c;
    char path[128];

    (void)state;
    wal_world_begin(&w, 4096);
    assert_refused(w.dir, true, E_CONFIG, "is not a regular file");

    (void)snprintf(path, sizeof path, "%s/other", w.dir);
    assert_ok_err(attempt(&c, path, true), &err);
    assert_int_equal(outcome, WAL_CONN_ABSENT);
    assert_null(c);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing was made */

    wal_world_file_write(path, other, 0);
    assert_ok_err(attempt(&c, path, true), &err);
    assert_int_equal(outcome, WAL_CONN_ABSENT);
    assert_int_equal(wal_world_file_size(path), 0);

    memset(other, 'x', sizeof other);
    wal_world_file_write(path, other, sizeof other);
    assert_refused(path, true, E_CONFIG, "is not a SQLite database");
    wal_world_file_write(path, other, 10);
    assert_refused(path, true, E_CONFIG, "is not a SQLite database");
    memcpy(duckdb + 8, "DUCK", 4);
    wal_world_file_write(path, duckdb, sizeof duckdb);
    assert_refused(path, true, E_CONFIG, "is a DuckDB file");
    wal_world_file_write(path, journal, sizeof journal);
    assert_refused(path, true, E_CONFIG, "is a journal or WAL file");
    wal_world_file_write(path, wal, sizeof wal);
    assert_refused(path, true, E_CONFIG, "is a journal or WAL file");
    wal_world_end(&w);
}

/* A header that is SQLite's, but impossible, or a file that is cut short. */
static void damaged_header(void **state)
{
    struct wal_world w;
    uint8_t *file;
    size_t size;
    char path[128];

    (void)state;
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    (void)snprintf(path, sizeof path, "%s/damaged.db", w.dir);
    file = wal_world_file_read(w.path, &size);
    file[16] = 0x12; /* the page size */
    file[17] = 0x34;
    wal_world_file_write(path, file, size);
    assert_refused(path, true, E_CORRUPT, "page size");
    free(file);
    file = wal_world_file_read(w.path, &size);
    wal_world_file_write(path, file, 50);
    assert_refused(path, true, E_CORRUPT, "");
    free(file);
    wal_world_end(&w);
}

/* --- modes ---------------------------------------------------------------------------------------------------------
 */

static void rollback_mode(void **state)
{
    struct wal_world w;
    struct wal_conn *c;

    (void)state;
    wal_world_begin(&w, 1024);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode=DELETE; INSERT INTO t(a) VALUES (1)"), 0);
    assert_refused(w.path, false, E_CONFIG, "rollback mode and --no-switch forbids");
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode"), 0);
    assert_string_equal(w.app.answer, "delete\n");

    assert_ok_err(attempt(&c, w.path, true), &err);
    assert_int_equal(outcome, WAL_CONN_OPENED);
    assert_true(c->switched);
    assert_int_equal(c->page_size, 1024);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (2); PRAGMA journal_mode"), 0);
    assert_string_equal(w.app.answer, "wal\n");
    wal_conn_close(c);

    assert_ok_err(attempt(&c, w.path, false), &err); /* now it is in WAL mode */
    assert_false(c->switched);
    wal_conn_close(c);
    wal_world_end(&w);
}

/* For a transaction that has read: after a while it writes, and ends. */
static int write_late(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    int rc;

    (void)b;
    (void)usleep((useconds_t)a);
    rc = sqlite3_exec(conns[0], "INSERT INTO t(a) VALUES (1)", NULL, NULL, NULL);
    return rc == SQLITE_OK ? sqlite3_exec(conns[0], "COMMIT", NULL, NULL, NULL) : rc;
}

/* SQLite gives no patience to a transaction that has read and now writes, when somebody waits to have the database
 * alone. */
static void switch_is_in_nobodys_way(void **state)
{
    struct wal_world w;
    struct wal_conn *c;
    struct rc rc;

    (void)state;
    wal_world_begin(&w, 1024);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode=DELETE"), 0);
    assert_int_equal(sql_child_sql(&w.app, 0, "BEGIN; SELECT count(*) FROM t"), 0);
    assert_refused(w.path, true, E_BUSY, "transaction"); /* it may last for longer than we wait */
    sql_child_send_call(&w.app, write_late, 100000, 0);
    do
        rc = attempt(&c, w.path, true);
    while (rc.code == E_BUSY);
    assert_ok_err(rc, &err);
    assert_true(c->switched);
    assert_int_equal(sql_child_wait(&w.app), SQLITE_OK);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (2); PRAGMA journal_mode"), 0);
    assert_string_equal(w.app.answer, "wal\n");
    wal_conn_close(c);
    wal_world_end(&w);
}

/* An application with the database to itself: WAL without shared memory. */
static void held_exclusively(void **state)
{
    struct wal_world w;
    struct wal_conn *c;

    (void)state;
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_close(&w.app, 0), 0);
    assert_int_equal(sql_child_open(&w.app, 0, w.path), 0);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(a) VALUES (1)"), 0);
    assert_refused(w.path, true, E_BUSY, "somebody holds the database exclusively (PRAGMA locking_mode=EXCLUSIVE");
    assert_int_equal(sql_child_close(&w.app, 0), 0);
    assert_ok_err(attempt(&c, w.path, true), &err);
    wal_conn_close(c);
    wal_world_end(&w);
}

static void long_rollback_transaction(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE"), 0);
    assert_refused(w.path, true, E_BUSY, "a long transaction in rollback mode");
    assert_int_equal(sql_child_sql(&w.app, 0, "COMMIT; PRAGMA journal_mode"), 0);
    assert_string_equal(w.app.answer, "delete\n");
    wal_world_end(&w);
}

/* --- one pair of connections per file -------------------------------------------------------------------------------
 */

/* The second opening must not cost the first one its locks: not the gate, and not the lock of an open read. */
static void twice(void **state)
{
    struct wal_world w;
    char link_path[128];

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    (void)snprintf(link_path, sizeof link_path, "%s/same.db", w.dir);
    assert_int_equal(link(w.path, link_path), 0);
    assert_refused(w.path, true, E_CONFIG, "is replicated twice by this process");
    assert_refused(link_path, true, E_CONFIG, "is replicated twice by this process");
    assert_int_equal(unlink(link_path), 0);

    /* The gate still holds: nobody can start the log over. */
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1); PRAGMA busy_timeout=0"), 0);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    assert_memory_equal(w.app.answer, "1|", 2);
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_int_equal(w.commits, 1);

    /* The database file's own lock: nobody can leave WAL mode while weir is attached. */
    assert_int_not_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode=DELETE"), 0);
    wal_world_check(&w);

    wal_world_detach(&w);
    wal_world_connect(&w); /* and once it is closed it may be opened again */
    wal_world_end(&w);
}

/* --- identity -------------------------------------------------------------------------------------------------------
 */

static void identity(void **state)
{
    struct wal_world w;
    char aside[128];

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_connect(&w);
    (void)snprintf(aside, sizeof aside, "%s/aside.db", w.dir);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_SAME);
    assert_int_equal(rename(w.path, aside), 0);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_GONE);
    wal_world_file_write(w.path, (const uint8_t *)"", 0);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_REPLACED);
    assert_int_equal(rename(aside, w.path), 0);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_SAME);

    assert_int_equal(unlink(w.wal_path), 0); /* the log alone */
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_LOG_REMOVED);
    assert_int_equal(truncate(w.path, 0), 0);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_EMPTIED);
    assert_int_equal(unlink(w.path), 0);
    assert_int_equal(wal_conn_check(w.conn), WAL_CONN_GONE);
    wal_world_end(&w);
}

/* --- permissions ---------------------------------------------------------------------------------------------------
 */

/* In a process of its own: whoever gave up being root cannot take it back. */
static int as_nobody(const char *path, bool may_switch, char *text, size_t size)
{
    int fds[2], status;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    (void)fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct wal_conn *c;

        err.msg[0] = 0;
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(99);
        struct rc rc = attempt(&c, path, may_switch);

        wal_conn_close(c);
        if (write(fds[1], err.msg, strlen(err.msg)) < 0)
            _exit(98);
        _exit((int)rc.code);
    }
    (void)close(fds[1]);
    n = read(fds[0], text, size - 1);
    assert_true(n >= 0);
    text[n] = 0;
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int flock_errno;

static int no_flock(const struct fsys *fs, int fd, int operation)
{
    (void)fs;
    (void)fd;
    assert_int_equal(operation, LOCK_EX | LOCK_NB);
    errno = flock_errno;
    return -1;
}

/* Another process has it open as we do: only one may.  SQLite's locks know nothing of that. */
static void claimed_by_another(void **state)
{
    static const int none[] = {ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL, EBADF};
    struct fsys fs = fsys_real;
    struct wal_world w;
    struct wal_conn *c;
    int fd;

    (void)state;
    wal_world_begin(&w, 4096);
    fd = open(w.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_refused(w.path, true, E_FENCED, "another weir process is at work on");
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_ok_err(attempt(&c, w.path, true), &err);
    assert_int_not_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(errno, EWOULDBLOCK);
    wal_conn_close(c);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* it let go */
    (void)close(fd);

    fs.flock = no_flock;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        flock_errno = none[i];
        assert_ok_err(wal_conn_open(&c, &fs, w.path, true, &outcome, &err), &err);
        wal_conn_close(c);
    }
    flock_errno = EIO;
    assert_fails(wal_conn_open(&c, &fs, w.path, true, &outcome, &err), E_IO);
    wal_world_end(&w);
}

static void denied(void **state)
{
    struct wal_world w;
    char text[ERR_MSG_SIZE];

    (void)state;
    if (getuid() != 0)
        check_skip("only root becomes somebody else");
    wal_world_begin(&w, 4096);
    assert_int_equal(chmod(w.dir, 0755), 0);
    assert_int_equal(chmod(w.path, 0600), 0);
    assert_int_equal(as_nobody(w.path, true, text, sizeof text), E_DENIED);
    assert_non_null(strstr(text, "Permission denied"));
    assert_non_null(strstr(text, w.path));

    assert_int_equal(chmod(w.path, 0644), 0); /* readable, but nothing more */
    assert_int_equal(as_nobody(w.path, true, text, sizeof text), E_DENIED);
    assert_non_null(strstr(text, w.path));

    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode=DELETE"), 0);
    assert_int_equal(as_nobody(w.path, true, text, sizeof text), E_DENIED);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_mode"), 0);
    assert_string_equal(w.app.answer, "delete\n");

    assert_int_equal(chmod(w.dir, 0700), 0);
    assert_int_equal(as_nobody(w.path, true, text, sizeof text), E_DENIED);
    assert_non_null(strstr(text, "stat "));
    wal_world_end(&w);
}

/* --- the rest -------------------------------------------------------------------------------------------------------
 */

static void helpers(void **state)
{
    struct wal_world w;
    int64_t value = 0;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_connect(&w);
    assert_ok_err(wal_conn_pragma(w.conn, "user_version", &value, &err), &err);
    assert_int_equal(value, 0);
    assert_ok_err(wal_conn_exec(w.conn, "PRAGMA user_version=7", &err), &err);
    assert_ok_err(wal_conn_pragma(w.conn, "user_version", &value, &err), &err);
    assert_int_equal(value, 7);
    assert_fails(wal_conn_exec(w.conn, "SELECT * FROM nowhere", &err), E_IO);
    assert_string_equal(err.msg, "SELECT * FROM nowhere: no such table: nowhere (SQLite 1)");

    /* A writer in the child: B is told to wait, and says so. */
    assert_int_equal(sql_child_sql(&w.app, 0, "BEGIN IMMEDIATE"), 0);
    assert_true(wal_conn_others_hold(w.conn, WAL_INDEX_LOCK_WRITE));
    assert_false(wal_conn_others_hold(w.conn, WAL_INDEX_LOCK_CKPT));
    assert_false(wal_conn_lock(w.conn, WAL_INDEX_LOCK_WRITE, 1, true));
    assert_fails(wal_conn_exec(w.conn, "PRAGMA user_version=8", &err), E_BUSY);
    assert_ok_err(wal_conn_checkpoint(w.conn, &err), &err); /* PASSIVE does not mind */
    assert_int_equal(sql_child_sql(&w.app, 0, "COMMIT"), 0);
    assert_false(wal_conn_others_hold(w.conn, WAL_INDEX_LOCK_WRITE));
    assert_true(wal_conn_lock(w.conn, WAL_INDEX_LOCK_WRITE, 1, true));
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA busy_timeout=0"), 0);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), SQLITE_BUSY);
    wal_conn_unlock(w.conn, WAL_INDEX_LOCK_WRITE, 1, true);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);

    /* Another checkpointer at work: as good. */
    assert_true(wal_conn_lock(w.conn, WAL_INDEX_LOCK_CKPT, 1, true));
    assert_ok_err(wal_conn_checkpoint(w.conn, &err), &err);
    wal_conn_unlock(w.conn, WAL_INDEX_LOCK_CKPT, 1, true);
    wal_world_end(&w);
    wal_conn_close(NULL);
}

/* Nobody is surprised by a log that vanishes. */
static void leaves_the_log_to_its_owner(void **state)
{
    struct wal_world w;
    uint64_t size;

    (void)state;
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(b) VALUES (zeroblob(50000))"), 0);
    assert_int_equal(sql_child_close(&w.app, 0), 0); /* checkpoints and removes the log */
    assert_int_equal(sql_child_open(&w.app, 0, w.path), 0);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA wal_autocheckpoint=0; INSERT INTO t(a) VALUES (1)"), 0);
    size = wal_world_file_size(w.wal_path);
    assert_true(size > 32);
    wal_world_connect(&w);
    assert_int_equal(sql_child_close(&w.app, 0), 0);
    wal_world_detach(&w); /* weir is the last one, and neither checkpoints nor removes the log */
    assert_int_equal(wal_world_file_size(w.wal_path), size);
    wal_world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_database),
        cmocka_unit_test(damaged_header),
        cmocka_unit_test(rollback_mode),
        cmocka_unit_test(switch_is_in_nobodys_way),
        cmocka_unit_test(held_exclusively),
        cmocka_unit_test(long_rollback_transaction),
        cmocka_unit_test(twice),
        cmocka_unit_test(identity),
        cmocka_unit_test(claimed_by_another),
        cmocka_unit_test(denied),
        cmocka_unit_test(helpers),
        cmocka_unit_test(leaves_the_log_to_its_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
