/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_still.h"
#include "wal_world.h"

#include <fcntl.h>
#include <stdio.h>

static struct err err;

static void sql(struct wal_world *w, const char *text)
{
    if (sql_child_sql(&w->app, 0, "%s", text) != 0)
        fail_msg("%s: %s", text, w->app.answer);
}

static enum wal_still prove(struct wal_world *w, uint32_t pgno, uint8_t *page)
{
    enum wal_still what = WAL_STILL_UNREADABLE;

    assert_ok_err(wal_still_prove(w->reader, pgno, page, &what, &err), &err);
    assert_false(w->conn->gate_pinned);
    return what;
}

/* What is proven is what SQLite reads. */
static void assert_proven(struct wal_world *w, uint32_t pgno)
{
    uint8_t page[4096];

    assert_true(wal_still_settled(w->reader, pgno));
    assert_int_equal(prove(w, pgno, page), WAL_STILL_READ);
    assert_memory_equal(page, w->pages + (size_t)(pgno - 1) * 4096, 4096);
}

static void test_copied_or_not(void **state)
{
    struct wal_world w;
    uint8_t page[4096];

    (void)state;
    wal_world_begin(&w, 4096);
    sql(&w, "PRAGMA wal_autocheckpoint=0");
    sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    wal_world_attach(&w);
    assert_proven(&w, 1); /* an empty log */
    assert_proven(&w, 2);
    sql(&w, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING); /* committed, and not delivered */
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_false(wal_still_settled(w.reader, 2)); /* in the log only */
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING);
    sql(&w, "PRAGMA wal_checkpoint(PASSIVE)");
    assert_proven(&w, 2); /* in both */
    sql(&w, "INSERT INTO t(a) VALUES (2)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING); /* again newer in the log */
    sql(&w, "PRAGMA wal_checkpoint(PASSIVE)");
    wal_gate_open(w.conn);
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING); /* a reset is possible */
    assert_ok_err(wal_gate_close(w.conn, &err), &err);
    assert_proven(&w, 2);
    wal_world_check(&w);
    wal_world_end(&w);
}

/* In the application's process: as a checkpoint does while it copies (b: or has copied). */
static int hold_slot_0(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    static int fd = -1; /* stays open: closing it would drop SQLite's own locks */
    struct flock lock = {.l_type = b != 0 ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};
    char path[256];

    (void)a;
    lock.l_start = 120 + WAL_INDEX_LOCK_READ0; /* sqlite.org/walformat.html: the lock bytes of the -shm file */
    (void)snprintf(path, sizeof path, "%s-shm", sqlite3_db_filename(conns[0], "main"));
    if (fd < 0)
        fd = open(path, O_RDWR | O_CLOEXEC);
    return fcntl(fd, F_SETLK, &lock);
}

static void test_beside_a_checkpoint(void **state)
{
    struct wal_world w;
    uint8_t page[4096];

    (void)state;
    wal_world_begin(&w, 4096);
    sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    wal_world_attach(&w);
    assert_int_equal(sql_child_call(&w.app, hold_slot_0, 0, 1), 0);
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING);
    assert_int_equal(sql_child_call(&w.app, hold_slot_0, 0, 0), 0);
    assert_proven(&w, 2);
    sql(&w, "BEGIN IMMEDIATE; INSERT INTO t(a) VALUES (3)");
    assert_proven(&w, 2); /* what is not committed is copied by nobody */
    sql(&w, "COMMIT");
    assert_int_equal(prove(&w, 2, page), WAL_STILL_MOVING);
    wal_world_end(&w);
}

/* Beyond the end there are zeros, as SQLite reads them. */
static void test_read_beyond(void **state)
{
    static const uint8_t zeros[4096];
    struct wal_world w;
    uint8_t pages[2 * 4096];

    (void)state;
    wal_world_begin(&w, 4096);
    sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    wal_world_attach(&w);
    assert_ok_err(wal_still_read(w.reader, w.page_count, 2, pages, &err), &err);
    assert_memory_equal(pages, w.pages + (size_t)(w.page_count - 1) * 4096, 4096);
    assert_memory_equal(pages + 4096, zeros, 4096);
    wal_world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copied_or_not),
        cmocka_unit_test(test_beside_a_checkpoint),
        cmocka_unit_test(test_read_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
