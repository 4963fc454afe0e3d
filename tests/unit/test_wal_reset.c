/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "clock.h"
#include "wal_reset.h"
#include "wal_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct err err;
static const char *reason;
static enum wal_reset_outcome outcome;

static void sql(struct sql_child *c, const char *text)
{
    if (sql_child_sql(c, 0, "%s", text) != 0)
        fail_msg("%s", text);
}

static uint64_t now_ms(void)
{
    return clock_mono_ms(&clock_real);
}

static struct wal_index_header index_of(const struct wal_world *w)
{
    struct wal_index_header h;

    assert_true(wal_index_read(w->conn->shm, &h));
    return h;
}

static struct rc copy_all(void *ctx, bool *all, struct err *e)
{
    struct wal_world *w = ctx;

    (void)e;
    *all = wal_world_drain(w) == WAL_READER_QUIET && wal_reader_caught_up(w->reader);
    return RC_OK;
}

static struct rc copy_nothing(void *ctx, bool *all, struct err *e)
{
    (void)ctx;
    (void)e;
    *all = false;
    return RC_OK;
}

static struct rc copy_fails(void *ctx, bool *all, struct err *e)
{
    (void)ctx;
    (void)all;
    return rc_raise(e, E_IO, "cannot copy");
}

enum { HOLD_US = 10000 };

static void try_reset(struct wal_world *w)
{
    reason = NULL;
    assert_ok_err(wal_reset_try(w->conn, copy_all, w, HOLD_US, &outcome, &reason, &err), &err);
    assert_true(w->conn->gate_held);
}

/* Nothing of ours is held: an application writes, checkpoints, and finds no lock taken. */
static void assert_not_in_the_way(struct wal_world *w)
{
    sql(&w->app, "PRAGMA busy_timeout=0; INSERT INTO t(a) VALUES (1); PRAGMA wal_checkpoint(PASSIVE)");
    assert_memory_equal(w->app.answer + strlen("0\n"), "0|", 2); /* not busy */
    sql(&w->app, "PRAGMA busy_timeout=10000");
}

static void starts_over(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 10; i++) {
        struct wal_index_header before, after;

        assert_int_equal(sql_child_call(&w.app, wal_world_random, i + 1, 5), 0);
        before = index_of(&w);
        try_reset(&w);
        assert_int_equal(outcome, WAL_RESET_DONE);
        after = index_of(&w);
        assert_int_equal(after.salt[0], before.salt[0] + 1);
        assert_int_equal(after.max_frame, 1); /* our own commit: one page */
        assert_int_equal(after.change_count, before.change_count + 1);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
        assert_not_in_the_way(&w);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
    }
    sql(&w.app, "PRAGMA integrity_check");
    assert_string_equal(w.app.answer, "ok\n");
    wal_world_end(&w);
}

/* What the user set is what it stays. */
static void user_version_stays(void **state)
{
    static const char *const versions[] = {"0", "7", "-1", "2147483647", "-2147483648"};
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 512);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 5; i++) {
        char want[40];

        assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA user_version=%s", versions[i]), 0);
        try_reset(&w);
        assert_int_equal(outcome, WAL_RESET_DONE);
        (void)snprintf(want, sizeof want, "%s\n", versions[i]);
        sql(&w.app, "PRAGMA user_version");
        assert_string_equal(w.app.answer, want);
    }
    wal_world_end(&w);
}

/* Whoever is in the way stays there until the caller ends it, so that this comes back at all says that it gives up. */
static void assert_later(struct wal_world *w, const char *why)
{
    struct wal_index_header before = index_of(w), after;

    try_reset(w);
    assert_int_equal(outcome, WAL_RESET_LATER);
    assert_string_equal(reason, why);
    after = index_of(w);
    /* No commit of ours.  The struct has padding, so its parts are compared. */
    assert_int_equal(after.change_count, before.change_count);
    assert_int_equal(after.max_frame, before.max_frame);
    assert_int_equal(after.page_count, before.page_count);
    assert_memory_equal(after.frame_cksum, before.frame_cksum, sizeof after.frame_cksum);
    assert_memory_equal(after.salt, before.salt, sizeof after.salt);
}

static void others_in_the_way(void **state)
{
    struct wal_world w;
    struct sql_child other;

    (void)state;
    sql_child_start(&other);
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_open(&other, 0, w.path), 0);
    wal_world_attach(&w);
    assert_int_equal(sql_child_call(&w.app, wal_world_random, 1, 20), 0);

    sql(&other, "BEGIN IMMEDIATE");
    assert_later(&w, "a writer holds the write lock");
    sql(&other, "COMMIT");

    /* A reader of an older state: nobody can copy past it. */
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    assert_later(&w, "a reader holds back the checkpoint");
    sql(&other, "COMMIT");

    /* A reader of the latest state, begun before all was copied. */
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    assert_later(&w, "a reader is using the log");
    sql(&other, "COMMIT");

    reason = NULL;
    assert_ok_err(wal_reset_try(w.conn, copy_nothing, &w, HOLD_US, &outcome, &reason, &err), &err);
    assert_int_equal(outcome, WAL_RESET_LATER);
    assert_string_equal(reason, "the log grew faster than it could be read");
    assert_fails(wal_reset_try(w.conn, copy_fails, &w, HOLD_US, &outcome, &reason, &err), E_IO);
    assert_string_equal(err.msg, "cannot copy");
    assert_true(w.conn->gate_held);
    assert_not_in_the_way(&w);

    /* A reader that needs nothing of the log (slot 0) is in nobody's way. */
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    try_reset(&w);
    assert_int_equal(outcome, WAL_RESET_DONE);
    sql(&other, "COMMIT");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);
    sql_child_stop(&other);
    wal_world_end(&w);
}

/* A reader that outlasts a try: writers are left alone until it has gone, wherever it sits. */
static void old_reader(void **state)
{
    struct wal_world w;
    struct sql_child other;

    (void)state;
    sql_child_start(&other);
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_open(&other, 0, w.path), 0);
    wal_world_attach(&w);
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    for (unsigned i = 0; i < 3; i++) {
        sql(&w.app, "INSERT INTO t(a) VALUES (1)");
        sql(&w.app, i > 0 ? "BEGIN IMMEDIATE" : "SELECT 1");
        try_reset(&w);
        assert_int_equal(outcome, i > 0 ? WAL_RESET_READER : WAL_RESET_LATER);
        assert_string_equal(reason, "a reader holds back the checkpoint"); /* the write lock was not even asked for */
        sql(&w.app, i > 0 ? "COMMIT" : "SELECT 1");
    }
    sql(&other, "COMMIT");
    try_reset(&w);
    assert_int_equal(outcome, WAL_RESET_DONE);
    sql(&w.app, "INSERT INTO t(a) VALUES (1)"); /* a mark of the generation before says nothing */
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    try_reset(&w);
    assert_int_equal(outcome, WAL_RESET_LATER);
    sql_child_stop(&other);
    wal_world_end(&w);
}

/* The child is in the middle of a checkpoint: it holds the lock. */
static int hold_checkpoint_lock(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    sqlite3_file *file = NULL;

    (void)b;
    (void)sqlite3_file_control(conns[0], "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return file->pMethods->xShmLock(
        file, WAL_INDEX_LOCK_CKPT, 1, (a != 0 ? SQLITE_SHM_LOCK : SQLITE_SHM_UNLOCK) | SQLITE_SHM_EXCLUSIVE);
}

static void another_checkpointer(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    assert_int_equal(sql_child_call(&w.app, wal_world_random, 1, 5), 0);
    sql(&w.app, "PRAGMA wal_checkpoint(PASSIVE)");
    assert_int_equal(sql_child_call(&w.app, hold_checkpoint_lock, 1, 0), 0);
    assert_later(&w, "somebody else is checkpointing");
    assert_int_equal(sql_child_call(&w.app, hold_checkpoint_lock, 0, 0), 0);
    try_reset(&w);
    assert_int_equal(outcome, WAL_RESET_DONE);
    wal_world_end(&w);
}

/* Nothing to start over. */
static void empty_log(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    sql(&w.app, "PRAGMA wal_checkpoint(TRUNCATE)");
    wal_world_attach(&w);
    try_reset(&w);
    assert_int_equal(outcome, WAL_RESET_LATER);
    assert_int_equal(index_of(&w).max_frame, 0);
    assert_int_equal(wal_world_file_size(w.wal_path), 0);
    wal_world_end(&w);
}

/* --- beside writers at full speed --------------------------------------------------------------------------------- */

static int checkpoint_on(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL};
    uint64_t until = now_ms() + b;

    for (unsigned i = 0; now_ms() < until; i++) {
        int rc = sqlite3_wal_checkpoint_v2(conns[0], NULL, modes[(a + i) % 2], NULL, NULL);

        if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
            return rc;
        (void)usleep(2000);
    }
    return SQLITE_OK;
}

static int read_on(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    uint64_t until = now_ms() + b;
    int rc = SQLITE_OK;

    (void)a;
    while (rc == SQLITE_OK && now_ms() < until)
        rc = sqlite3_exec(conns[0], "SELECT sum(a), count(*) FROM t", NULL, NULL, NULL);
    return rc;
}

enum {
    RACE_MS = 1500,
    PATIENCE_US = 300000000, /* a limit that is not meant to be reached, however slow the machine is */
};

static void at_full_speed(void **state)
{
    struct sql_child writer, reader, checkpointer;
    struct wal_world w;
    unsigned done = 0, tries = 0;
    uint64_t delivered = 0, counted;

    (void)state;
    sql_child_start(&writer);
    sql_child_start(&reader);
    sql_child_start(&checkpointer);
    wal_world_begin(&w, 1024);
    assert_int_equal(sql_child_open(&writer, 0, w.path), 0);
    assert_int_equal(sql_child_open(&reader, 0, w.path), 0);
    assert_int_equal(sql_child_open(&checkpointer, 0, w.path), 0);
    sql(&writer, "PRAGMA synchronous=OFF");
    wal_world_attach(&w);
    for (unsigned round = 0; delivered <= 20 || done == 0; round++) { /* on a slow machine little fits into one */
        sql_child_send_call(&w.app, wal_world_busy, 2 * round + 1, RACE_MS);
        sql_child_send_call(&writer, wal_world_busy, 2 * round + 2, RACE_MS);
        sql_child_send_call(&reader, read_on, 0, RACE_MS);
        sql_child_send_call(&checkpointer, checkpoint_on, 0, RACE_MS);
        while (!sql_child_ready(&w.app) || !sql_child_ready(&writer) || !sql_child_ready(&checkpointer)) {
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET); /* never LOST */
            try_reset(&w);
            tries++;
            done += outcome == WAL_RESET_DONE;
        }
        assert_int_equal(sql_child_wait(&w.app), 0);
        assert_int_equal(sql_child_wait(&writer), 0);
        assert_int_equal(sql_child_wait(&reader), 0);
        assert_int_equal(sql_child_wait(&checkpointer), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
        wal_reader_witness(w.reader, &delivered, &counted);
        assert_int_equal(delivered, counted);
    }
    assert_true(done <= tries);
    sql(&w.app, "PRAGMA integrity_check");
    assert_string_equal(w.app.answer, "ok\n");
    sql_child_stop(&writer);
    sql_child_stop(&reader);
    sql_child_stop(&checkpointer);
    wal_world_end(&w);
}

/* --- an application's own TRUNCATE ---------------------------------------------------------------------------------
 */

static void lets_a_waiter_through(void **state)
{
    static const char *const modes[] = {"TRUNCATE", "RESTART"};
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w.app, "PRAGMA busy_timeout=3600000");
    assert_false(wal_reset_waiter(w.conn));
    for (unsigned i = 0; i < 8; i++) {
        char text[64];

        if (i % 2 == 0) /* else the log is empty: SQLite waits for the slots all the same */
            assert_int_equal(sql_child_call(&w.app, wal_world_random, i + 1, 5), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        (void)snprintf(text, sizeof text, "PRAGMA wal_checkpoint(%s)", modes[i / 2 % 2]);
        sql_child_send(&w.app, 0, text);
        while (!wal_reset_waiter(w.conn)) {
            assert_false(sql_child_ready(&w.app));
            (void)usleep(200);
        }
        assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, PATIENCE_US, &err), &err);
        assert_true(w.conn->gate_held);
        assert_int_equal(sql_child_wait(&w.app), 0);
        assert_memory_equal(w.app.answer, "0|", 2); /* not busy: it did what it was asked for */
        assert_false(wal_reset_waiter(w.conn));
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
    }
    wal_world_end(&w);
}

/* Nobody waits any more: the gate closes again at the latest after the limit. */
static void closes_after_the_limit(void **state)
{
    struct wal_world w;
    struct sql_child other;
    uint64_t begin;

    (void)state;
    sql_child_start(&other);
    wal_world_begin(&w, 4096);
    assert_int_equal(sql_child_open(&other, 0, w.path), 0);
    wal_world_attach(&w);
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    /* No waiter at all, so this limit of an hour is not for us. */
    assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, 3600000000, &err), &err);

    /* A waiter that cannot get through: it waits for a reader as well. */
    sql(&other, "BEGIN; SELECT count(*) FROM t");
    sql(&w.app, "PRAGMA busy_timeout=3600000");
    sql_child_send(&w.app, 0, "PRAGMA wal_checkpoint(TRUNCATE)");
    while (!wal_reset_waiter(w.conn))
        (void)usleep(200);
    begin = now_ms();
    assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, 100000, &err), &err);
    assert_true(now_ms() - begin >= 99);
    assert_true(w.conn->gate_held);
    assert_false(sql_child_ready(&w.app));

    sql(&other, "COMMIT");
    while (!sql_child_ready(&w.app))
        assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, 100000, &err), &err);
    assert_int_equal(sql_child_wait(&w.app), 0);
    assert_memory_equal(w.app.answer, "0|", 2);
    sql_child_stop(&other);
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);
    wal_world_end(&w);
}

/* A commit that came after the last look: the waiter has copied it, weir has not. */
static void nothing_unread_is_let_go(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w.app, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    sql(&w.app, "PRAGMA busy_timeout=3600000");
    sql(&w.app, "INSERT INTO t(a) VALUES (2)");
    sql_child_send(&w.app, 0, "PRAGMA wal_checkpoint(TRUNCATE)");
    while (!wal_reset_waiter(w.conn)) {
        assert_false(sql_child_ready(&w.app));
        (void)usleep(200);
    }
    assert_false(wal_reader_at_end(w.reader));
    assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, 300000, &err), &err);
    assert_true(wal_reset_waiter(w.conn)); /* it waits on */
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_true(wal_reader_at_end(w.reader));
    assert_ok_err(wal_reset_tend_gate(w.conn, w.reader, PATIENCE_US, &err), &err);
    assert_int_equal(sql_child_wait(&w.app), 0);
    assert_memory_equal(w.app.answer, "0|", 2);
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);
    wal_world_end(&w);
}

/* weir is not given the processor while the gate is open: what the application does meanwhile cannot cost a commit. */
static void pinned_for_ever(void **state)
{
    struct wal_world w;
    uint64_t delivered = 0, counted;
    uint32_t before;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 3; i++) {
        sql(&w.app, "INSERT INTO t(a) VALUES (1)");
        sql(&w.app, i == 0 ? "PRAGMA wal_checkpoint(PASSIVE)" : "SELECT 1");
        before = index_of(&w).salt[0];
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_true(wal_gate_pin(w.conn));
        wal_gate_open(w.conn);
        sql(&w.app, "PRAGMA busy_timeout=20");
        for (unsigned j = 0; j < 4; j++) {
            sql(&w.app, "INSERT INTO t(a) VALUES (2)");
            (void)sql_child_sql(&w.app, 0, "PRAGMA wal_checkpoint(%s)", j % 2 == 0 ? "TRUNCATE" : "PASSIVE");
        }
        assert_ok_err(wal_gate_close(w.conn, &err), &err);
        wal_gate_unpin(w.conn);
        assert_int_equal(index_of(&w).salt[0], before + (i == 0)); /* what was read may go, once */
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);   /* not LOST */
        wal_world_check(&w);
    }
    wal_reader_witness(w.reader, &delivered, &counted);
    assert_int_equal(delivered, counted);
    wal_world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_over),
        cmocka_unit_test(user_version_stays),
        cmocka_unit_test(others_in_the_way),
        cmocka_unit_test(old_reader),
        cmocka_unit_test(another_checkpointer),
        cmocka_unit_test(empty_log),
        cmocka_unit_test(at_full_speed),
        cmocka_unit_test(lets_a_waiter_through),
        cmocka_unit_test(closes_after_the_limit),
        cmocka_unit_test(nothing_unread_is_let_go),
        cmocka_unit_test(pinned_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
