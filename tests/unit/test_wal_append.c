/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_fsys.h"
#include "wal_append.h"
#include "wal_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOURCE = 0, READER = 1, OTHER = 2, RECOVERED = 3 };

static struct err err;

/* The application writes its database (connection 0); what its file then has more is appended to the copy, which the
 * child reads through connection 1. */
struct copy {
    struct wal_world w;
    char path[112], wal_path[120];
    struct wal_conn *conn;
    struct wal_append *a;
    uint8_t *image; /* of the source, as it was appended last; owned */
    uint32_t page_count;
};

static void settle_source(struct copy *c)
{
    assert_int_equal(sql_child_sql(&c->w.app, SOURCE, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    assert_string_equal(c->w.app.answer, "0|0|0\n");
}

static void attach(struct copy *c, const struct fsys *fs)
{
    enum wal_conn_outcome outcome;

    assert_ok_err(wal_conn_open(&c->conn, fs, c->path, false, &outcome, &err), &err);
    assert_int_equal(outcome, WAL_CONN_OPENED);
    assert_ok_err(wal_append_open(&c->a, c->conn, &err), &err);
}

static void detach(struct copy *c)
{
    wal_append_close(c->a);
    c->a = NULL;
    wal_conn_close(c->conn);
    c->conn = NULL;
}

static void begin(struct copy *c, uint32_t page_size)
{
    size_t size;

    *c = (struct copy){0};
    wal_world_begin(&c->w, page_size);
    (void)snprintf(c->path, sizeof c->path, "%s/copy.db", c->w.dir);
    (void)snprintf(c->wal_path, sizeof c->wal_path, "%s-wal", c->path);
    assert_int_equal(sql_child_sql(&c->w.app, SOURCE, "PRAGMA auto_vacuum=1; VACUUM"), 0);
    assert_int_equal(sql_child_call(&c->w.app, wal_world_random, 7, 20), 0);
    settle_source(c);
    c->image = wal_world_file_read(c->w.path, &size);
    c->page_count = (uint32_t)(size / page_size);
    wal_world_file_write(c->path, c->image, size);
}

static void end(struct copy *c)
{
    detach(c);
    wal_world_end(&c->w);
    free(c->image);
}

/* Append what the source has more, without the commit.  Returns the new image. */
static uint8_t *stage(struct copy *c, uint32_t *page_count, struct rc *rc)
{
    const uint32_t size = c->w.page_size;
    uint8_t *now;
    size_t bytes;

    settle_source(c);
    now = wal_world_file_read(c->w.path, &bytes);
    *page_count = (uint32_t)(bytes / size);
    *rc = RC_OK;
    for (uint32_t i = 0; i < *page_count && !rc_failed(*rc); i++)
        if (i >= c->page_count || memcmp(now + (size_t)i * size, c->image + (size_t)i * size, size) != 0)
            *rc = wal_append_page(c->a, i + 1, now + (size_t)i * size, &err);
    return now;
}

static struct rc carry_over(struct copy *c)
{
    uint32_t page_count;
    uint8_t *now;
    bool changed = true;
    struct rc rc;

    TRY(wal_append_begin(c->a, &changed, &err));
    assert_false(changed);
    assert_int_equal(wal_append_page_count(c->a), c->page_count);
    now = stage(c, &page_count, &rc);
    if (!rc_failed(rc))
        rc = wal_append_commit(c->a, page_count, &err);
    else
        wal_append_abort(c->a);
    if (rc_failed(rc)) {
        free(now);
        return rc;
    }
    free(c->image);
    c->image = now;
    c->page_count = page_count;
    return RC_OK;
}

/* What an application sees in a database. */
static void look(struct copy *c, unsigned conn, char out[SQL_CHILD_ANSWER_MAX])
{
    assert_int_equal(sql_child_sql(&c->w.app, conn,
                         "SELECT count(*), sum(id), sum(length(a)), sum(length(b)), "
                         "total(unicode(b)) FROM t; PRAGMA page_count"),
        0);
    memcpy(out, c->w.app.answer, SQL_CHILD_ANSWER_MAX);
}

static void same_for_readers(struct copy *c)
{
    char source[SQL_CHILD_ANSWER_MAX], copy[SQL_CHILD_ANSWER_MAX];

    look(c, SOURCE, source);
    look(c, READER, copy);
    assert_string_equal(copy, source);
    assert_int_equal(sql_child_sql(&c->w.app, READER, "PRAGMA integrity_check"), 0);
    assert_string_equal(c->w.app.answer, "ok\n");
}

/* Byte for byte, as the next transaction reads it. */
static void same_pages(struct copy *c)
{
    uint8_t *pages = malloc((size_t)c->page_count * c->w.page_size), *one = malloc(c->w.page_size);
    bool changed;

    assert_non_null(pages);
    assert_non_null(one);
    assert_ok_err(wal_append_begin(c->a, &changed, &err), &err);
    assert_ok_err(wal_append_read_run(c->a, 1, c->page_count, pages, &err), &err);
    assert_memory_equal(pages, c->image, (size_t)c->page_count * c->w.page_size);
    assert_ok_err(wal_append_read(c->a, c->page_count, one, &err), &err);
    assert_memory_equal(one, c->image + (size_t)(c->page_count - 1) * c->w.page_size, c->w.page_size);
    wal_append_abort(c->a);
    free(pages);
    free(one);
}

/* SQLite's own recovery reads the same from the files, and copies it into the file. */
static void same_after_recovery(struct copy *c)
{
    char path[128], side[140], source[SQL_CHILD_ANSWER_MAX], other[SQL_CHILD_ANSWER_MAX];
    uint8_t *bytes;
    size_t size;

    (void)snprintf(path, sizeof path, "%s/recovered.db", c->w.dir);
    (void)snprintf(side, sizeof side, "%s-wal", path);
    assert_int_equal(sql_child_sql(&c->w.app, READER, "PRAGMA busy_timeout=0"), 0);
    detach(c); /* nobody may hold the file while it is read here */
    bytes = wal_world_file_read(c->path, &size);
    wal_world_file_write(path, bytes, size);
    free(bytes);
    bytes = wal_world_file_read(c->wal_path, &size);
    wal_world_file_write(side, bytes, size);
    free(bytes);
    assert_int_equal(sql_child_open(&c->w.app, RECOVERED, path), 0);
    look(c, SOURCE, source);
    look(c, RECOVERED, other);
    assert_string_equal(other, source);
    assert_int_equal(sql_child_sql(&c->w.app, RECOVERED, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    assert_int_equal(sql_child_close(&c->w.app, RECOVERED), 0);
    bytes = wal_world_file_read(path, &size);
    assert_int_equal(size, (size_t)c->page_count * c->w.page_size);
    assert_memory_equal(bytes, c->image, size);
    free(bytes);
    (void)unlink(path);
    attach(c, &fsys_real);
}

/* Random work of an application, over every page size, through growth, VACUUM and the log begun anew. */
static void follows(void **state)
{
    static const uint32_t page_sizes[] = {512, 4096, 65536};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct copy c;
        unsigned restarts = 0;

        begin(&c, page_sizes[i]);
        attach(&c, &fsys_real);
        assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
        for (unsigned round = 1; round <= 24; round++) {
            bool done;

            assert_int_equal(sql_child_call(&c.w.app, wal_world_random, round, 4), 0);
            if (round % 8 == 5)
                assert_int_equal(sql_child_sql(&c.w.app, SOURCE, "DELETE FROM t WHERE id %% 3 = 1; VACUUM"), 0);
            assert_ok_err(carry_over(&c), &err);
            same_for_readers(&c);
            same_pages(&c);
            assert_ok_err(wal_append_restart(c.a, 200, &done, &err), &err);
            restarts += done;
            same_for_readers(&c);
        }
        assert_true(restarts > 0);
        assert_int_equal(sql_child_call(&c.w.app, wal_world_random, 99, 4), 0);
        assert_ok_err(carry_over(&c), &err);
        same_after_recovery(&c);
        same_for_readers(&c);
        end(&c);
    }
}

/* More frames than one region of the index holds, in one transaction and in several. */
static void many_regions(void **state)
{
    struct copy c;

    (void)state;
    begin(&c, 512);
    attach(&c, &fsys_real);
    assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
    for (unsigned round = 0; round < 4; round++) {
        assert_int_equal(sql_child_sql(&c.w.app, SOURCE,
                             "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
                             "INSERT INTO t(a, b) SELECT i, hex(randomblob(150)) FROM n"),
            0);
        assert_ok_err(carry_over(&c), &err);
        same_for_readers(&c);
        same_pages(&c);
    }
    assert_true(wal_append_log_frames(c.a) > 3 * 4096);
    same_after_recovery(&c);
    end(&c);
}

/* A reader's transaction stays where it is; a new one sees the commit; nobody sees what was taken back. */
static void snapshots_hold(void **state)
{
    char before[SQL_CHILD_ANSWER_MAX], now[SQL_CHILD_ANSWER_MAX];
    struct copy c;
    uint32_t page_count;
    struct rc rc;
    bool changed, done;

    (void)state;
    begin(&c, 4096);
    attach(&c, &fsys_real);
    assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
    assert_int_equal(sql_child_open(&c.w.app, OTHER, c.path), 0);
    assert_int_equal(sql_child_call(&c.w.app, wal_world_random, 1, 5), 0);
    assert_ok_err(carry_over(&c), &err);
    assert_int_equal(sql_child_sql(&c.w.app, OTHER, "BEGIN"), 0);
    look(&c, OTHER, before);
    assert_int_equal(sql_child_call(&c.w.app, wal_world_random, 2, 5), 0);
    assert_ok_err(carry_over(&c), &err);
    same_for_readers(&c);
    look(&c, OTHER, now);
    assert_string_equal(now, before);
    assert_ok_err(wal_append_restart(c.a, 1, &done, &err), &err);
    assert_false(done); /* a reader needs the log */
    look(&c, OTHER, now);
    assert_string_equal(now, before);

    look(&c, READER, before);
    assert_int_equal(sql_child_call(&c.w.app, wal_world_random, 3, 5), 0);
    assert_ok_err(wal_append_begin(c.a, &changed, &err), &err);
    free(stage(&c, &page_count, &rc));
    assert_ok(rc);
    look(&c, READER, now); /* in the midst of it */
    assert_string_equal(now, before);
    wal_append_abort(c.a);
    look(&c, READER, now);
    assert_string_equal(now, before);
    assert_ok_err(carry_over(&c), &err);
    same_for_readers(&c);

    assert_int_equal(sql_child_sql(&c.w.app, OTHER, "COMMIT"), 0);
    assert_ok_err(wal_append_restart(c.a, 1, &done, &err), &err);
    assert_true(done);
    same_for_readers(&c);
    end(&c);
}

/* Somebody else writes: it is told, nothing is overwritten, and a page read back is the other's. */
static void strangers(void **state)
{
    struct copy c;
    bool changed = true;

    (void)state;
    begin(&c, 4096);
    attach(&c, &fsys_real);
    assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
    assert_int_equal(sql_child_call(&c.w.app, wal_world_random, 1, 5), 0);
    assert_ok_err(carry_over(&c), &err);
    assert_false(wal_append_changed(c.a));
    assert_int_equal(sql_child_sql(&c.w.app, READER, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    assert_false(wal_append_changed(c.a)); /* that is no commit */
    assert_ok_err(wal_append_begin(c.a, &changed, &err), &err);
    assert_false(changed);
    assert_int_equal(sql_child_sql(&c.w.app, READER, "PRAGMA busy_timeout=0"), 0);
    assert_int_equal(sql_child_sql(&c.w.app, READER, "INSERT INTO t(a) VALUES(1)"), 5); /* the write lock is ours */
    wal_append_abort(c.a);
    assert_int_equal(sql_child_sql(&c.w.app, READER, "INSERT INTO t(a) VALUES(1)"), 0);
    assert_true(wal_append_changed(c.a));
    assert_ok_err(wal_append_begin(c.a, &changed, &err), &err);
    assert_true(changed);
    wal_append_accept(c.a);
    wal_append_abort(c.a);
    assert_false(wal_append_changed(c.a));
    assert_int_equal(sql_child_sql(&c.w.app, READER, "BEGIN IMMEDIATE"), 0);
    assert_fails(wal_append_begin(c.a, &changed, &err), E_BUSY);
    assert_non_null(strstr(err.msg, "holds the write lock"));
    assert_int_equal(sql_child_sql(&c.w.app, READER, "ROLLBACK"), 0);
    end(&c);
}

/* Each file operation fails once: nothing of the transaction is visible, and the next try succeeds. */
static void failures(void **state)
{
    struct copy c;
    struct fault_fsys f;
    long n;

    (void)state;
    begin(&c, 4096);
    assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
    for (n = 1;; n++) {
        char before[SQL_CHILD_ANSWER_MAX], after[SQL_CHILD_ANSWER_MAX];
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
        f.ops = FAULT_PWRITE | FAULT_FSYNC | FAULT_PREAD;
        attach(&c, &f.fs);
        look(&c, READER, before);
        assert_int_equal(sql_child_call(&c.w.app, wal_world_random, (uint64_t)n, 1), 0);
        f.countdown = n;
        rc = carry_over(&c);
        if (f.fired == 0) {
            assert_ok(rc);
            break;
        }
        assert_fails(rc, E_IO);
        assert_non_null(strstr(err.msg, strerrordesc_np(EIO)));
        look(&c, READER, after);
        assert_string_equal(after, before);
        assert_ok_err(carry_over(&c), &err);
        same_for_readers(&c);
        same_pages(&c);
        detach(&c);
        assert_int_equal(f.open_fds, 0);
    }
    assert_in_range(n, 4, 200);
    end(&c);
}

/* The process dies at each write: whoever reads then sees the state before or the one after, whole. */
static void deaths(void **state)
{
    struct copy c;
    long n;
    bool survived = false;

    (void)state;
    begin(&c, 512);
    assert_int_equal(sql_child_open(&c.w.app, READER, c.path), 0);
    for (n = 1; !survived; n++) {
        char before[SQL_CHILD_ANSWER_MAX], after[SQL_CHILD_ANSWER_MAX], source[SQL_CHILD_ANSWER_MAX];
        uint32_t page_count;
        size_t size;
        pid_t pid;
        int status;

        look(&c, READER, before);
        assert_int_equal(sql_child_call(&c.w.app, wal_world_random, (uint64_t)n, 1), 0);
        settle_source(&c);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            fault_fsys_init(&f, FAULT_KILL, 0, EIO);
            f.ops = FAULT_PWRITE | FAULT_FSYNC;
            attach(&c, &f.fs);
            f.countdown = n;
            _exit(rc_failed(carry_over(&c)) ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        survived = WIFEXITED(status);
        assert_true(!survived || WEXITSTATUS(status) == 0);
        look(&c, READER, after);
        look(&c, SOURCE, source);
        assert_true(strcmp(after, before) == 0 || strcmp(after, source) == 0);
        if (survived)
            assert_string_equal(after, source);
        assert_int_equal(sql_child_sql(&c.w.app, READER, "PRAGMA integrity_check"), 0);
        assert_string_equal(c.w.app.answer, "ok\n");

        /* The next process carries over what is missing. */
        attach(&c, &fsys_real);
        page_count = c.page_count;
        {
            bool changed;

            assert_ok_err(wal_append_begin(c.a, &changed, &err), &err);
            page_count = wal_append_page_count(c.a);
            free(c.image);
            c.image = malloc((size_t)page_count * c.w.page_size);
            assert_non_null(c.image);
            assert_ok_err(wal_append_read_run(c.a, 1, page_count, c.image, &err), &err);
            wal_append_abort(c.a);
        }
        c.page_count = page_count;
        size = (size_t)page_count * c.w.page_size;
        assert_true(size > 0);
        assert_ok_err(carry_over(&c), &err);
        same_for_readers(&c);
        detach(&c);
    }
    assert_in_range(n, 5, 400);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows),
        cmocka_unit_test(many_regions),
        cmocka_unit_test(snapshots_hold),
        cmocka_unit_test(strangers),
        cmocka_unit_test(failures),
        cmocka_unit_test(deaths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
