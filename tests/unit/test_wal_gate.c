/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_world.h"

#include <stdio.h>
#include <string.h>

static struct err err;

static struct wal_index_header index_of(const struct wal_world *w)
{
    struct wal_index_header h;

    assert_true(wal_index_read(w->conn->shm, &h));
    return h;
}

static void checkpoint(struct wal_world *w, const char *mode)
{
    assert_int_equal(sql_child_sql(&w->app, 0, "PRAGMA wal_checkpoint(%s)", mode), 0);
}

static void improve(struct wal_world *w)
{
    assert_true(wal_gate_pin(w->conn));
    assert_ok_err(wal_gate_improve(w->conn, &err), &err);
    wal_gate_unpin(w->conn);
}

/* All checkpoints run to their end, none starts the log over. */
static void holds_back_resets_only(void **state)
{
    static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
    struct wal_world w;
    struct wal_index_header first;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    assert_true(w.conn->gate_held);
    assert_false(w.conn->gate_marked);
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA busy_timeout=20"), 0);
    first = index_of(&w);
    for (unsigned round = 0; round < 16; round++) {
        const char *mode = modes[round % 4];
        uint32_t before = index_of(&w).max_frame;
        char want[64];

        assert_int_equal(sql_child_call(&w.app, wal_world_random, round + 1, 3), 0);
        checkpoint(&w, mode);
        /* busy, frames in the log, frames copied */
        (void)snprintf(want, sizeof want, "%d|%u|%u\n", round % 4 >= 2, index_of(&w).max_frame, index_of(&w).max_frame);
        assert_string_equal(w.app.answer, want);
        assert_int_equal(wal_index_backfilled(w.conn->shm), index_of(&w).max_frame);
        assert_memory_equal(index_of(&w).salt, first.salt, sizeof first.salt);
        assert_true(index_of(&w).max_frame >= before);
    }
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);

    /* Open: the next writer starts the log over. */
    wal_gate_open(w.conn);
    assert_false(w.conn->gate_held);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);
    assert_int_equal(index_of(&w).salt[0], first.salt[0] + 1);
    checkpoint(&w, "TRUNCATE");
    assert_string_equal(w.app.answer, "0|0|0\n");
    assert_int_equal(wal_world_file_size(w.wal_path), 0);
    assert_ok_err(wal_gate_close(w.conn, &err), &err);
    wal_world_end(&w);
}

/* Nobody takes the slot for reading while the gate is held: the mark stays "not used". */
static void readers_keep_away(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_connect(&w);
    for (unsigned i = 1; i < SQL_CHILD_CONNECTIONS; i++) {
        assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);
        assert_int_equal(sql_child_open(&w.app, i, w.path), 0);
        assert_int_equal(sql_child_sql(&w.app, i, "BEGIN; SELECT count(*) FROM t"), 0);
        assert_int_equal(wal_index_read_mark(w.conn->shm, WAL_INDEX_GATE_SLOT), WAL_INDEX_MARK_UNUSED);
    }
    wal_world_end(&w);
}

/* Five readers of five states: one of them sits in the gate's slot before weir comes. */
static void beside_a_reader(void **state)
{
    struct wal_world w;
    uint32_t mark;
    struct wal_index_header before;

    (void)state;
    wal_world_begin(&w, 4096);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(sql_child_open(&w.app, i, w.path), 0);
        assert_int_equal(sql_child_sql(&w.app, i, "BEGIN; SELECT count(*) FROM t"), 0);
        assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);
    }
    assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA busy_timeout=20"), 0);
    wal_world_connect(&w);
    mark = wal_index_read_mark(w.conn->shm, WAL_INDEX_GATE_SLOT);
    assert_int_not_equal(mark, WAL_INDEX_MARK_UNUSED);
    assert_true(w.conn->gate_held);
    assert_true(w.conn->gate_marked);
    before = index_of(&w);

    /* The reader itself is not disturbed, and all others may go: its mark still limits checkpoints. */
    for (unsigned i = 1; i <= 5; i++) {
        char want[8];

        (void)snprintf(want, sizeof want, "%u\n", i - 1);
        assert_int_equal(sql_child_sql(&w.app, i, "SELECT count(*) FROM t"), 0);
        assert_string_equal(w.app.answer, want);
    }
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(sql_child_close(&w.app, i), 0);
    checkpoint(&w, "PASSIVE");
    assert_int_equal(wal_index_backfilled(w.conn->shm), mark);
    assert_true(mark < before.max_frame);
    checkpoint(&w, "RESTART");
    assert_memory_equal(w.app.answer, "1|", 2);
    assert_memory_equal(index_of(&w).salt, before.salt, sizeof before.salt);

    /* Now it can be had clean. */
    improve(&w);
    assert_true(w.conn->gate_held);
    assert_false(w.conn->gate_marked);
    checkpoint(&w, "PASSIVE");
    assert_int_equal(wal_index_backfilled(w.conn->shm), before.max_frame);
    assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);
    assert_memory_equal(index_of(&w).salt, before.salt, sizeof before.salt);
    wal_world_end(&w);
}

/* As long as the reader stays, improving changes nothing. */
static void improve_is_patient(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(sql_child_open(&w.app, i, w.path), 0);
        assert_int_equal(sql_child_sql(&w.app, i, "BEGIN; SELECT count(*) FROM t"), 0);
        assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1)"), 0);
    }
    wal_world_connect(&w);
    assert_true(w.conn->gate_marked);
    improve(&w);
    assert_true(w.conn->gate_held);
    assert_true(w.conn->gate_marked);
    wal_world_end(&w);
}

/* A reader that is setting the mark holds the slot exclusively, for a moment; whoever holds it longer is in the way. */
static int hold_slot(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    sqlite3_file *file = NULL;
    int slot = WAL_INDEX_LOCK_READ0 + WAL_INDEX_GATE_SLOT;

    (void)b;
    (void)sqlite3_file_control(conns[0], "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return file->pMethods->xShmLock(
        file, slot, 1, (a != 0 ? SQLITE_SHM_LOCK : SQLITE_SHM_UNLOCK) | SQLITE_SHM_EXCLUSIVE);
}

static void slot_taken(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_connect(&w);
    wal_gate_open(w.conn);
    assert_int_equal(sql_child_call(&w.app, hold_slot, 1, 0), 0);
    assert_fails(wal_gate_close(w.conn, &err), E_BUSY);
    assert_non_null(strstr(err.msg, "the last read slot of the WAL index is locked"));
    assert_false(w.conn->gate_held);
    assert_int_equal(sql_child_call(&w.app, hold_slot, 0, 0), 0);
    assert_ok_err(wal_gate_close(w.conn, &err), &err);
    assert_int_equal(sql_child_call(&w.app, hold_slot, 1, 0), SQLITE_BUSY);
    wal_world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_back_resets_only),
        cmocka_unit_test(readers_keep_away),
        cmocka_unit_test(beside_a_reader),
        cmocka_unit_test(improve_is_patient),
        cmocka_unit_test(slot_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
