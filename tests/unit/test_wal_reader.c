/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_image.h"
#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct err err;

static struct wal_index_header index_of(const struct wal_world *w)
{
    struct wal_index_header h;

    assert_true(wal_index_read(w->conn->shm, &h));
    return h;
}

static void sql(struct wal_world *w, const char *text)
{
    if (sql_child_sql(&w->app, 0, "%s", text) != 0)
        fail_msg("%s", text);
}

static void assert_witness(const struct wal_world *w)
{
    uint64_t delivered, counted;

    wal_reader_witness(w->reader, &delivered, &counted);
    assert_int_equal(delivered, counted);
    assert_true(wal_reader_caught_up(w->reader));
}

/* Start the log over with the gate open, as wal_reset.c does it: the next writer begins a new generation. */
static void open_checkpoint_close(struct wal_world *w, const char *between)
{
    sql(w, "PRAGMA wal_checkpoint(PASSIVE)");
    wal_gate_open(w->conn);
    sql(w, between);
    assert_ok_err(wal_gate_close(w->conn, &err), &err);
}

/* --- what is delivered ------------------------------------------------------------------------------------------ */

static void follows(uint32_t page_size, unsigned rounds)
{
    struct wal_world w;

    wal_world_begin(&w, page_size);
    wal_world_attach(&w);
    assert_int_equal(wal_reader_page_size(w.reader), page_size);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t commits = w.commits;
        uint32_t before = index_of(&w).change_count;

        assert_int_equal(sql_child_call(&w.app, wal_world_random, page_size + i, 12), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_int_equal(w.commits - commits, index_of(&w).change_count - before);
        assert_witness(&w);
        wal_world_check(&w);
        assert_int_equal(wal_reader_log_frames(w.reader), w.pos.frame);
        assert_int_equal(wal_reader_page_count(w.reader), w.page_count);
    }
    /* One transaction of several batches. */
    sql(&w, "BEGIN; WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < 600) "
            "INSERT INTO t(a, b) SELECT i, randomblob(1000) FROM c; COMMIT");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);
    assert_true(w.split_commits > 0);
    assert_true(w.biggest_batch <= wal_reader_batch_max(w.reader));
    wal_world_end(&w);
}

static void small_pages(void **state)
{
    (void)state;
    follows(512, 12);
}

static void usual_pages(void **state)
{
    (void)state;
    follows(4096, 12);
}

static void large_pages(void **state)
{
    (void)state;
    follows(65536, 4);
}

/* Everything that was written before we came is in the page map, nothing of it is delivered twice. */
static void goes_on_where_it_was(void **state)
{
    struct wal_world w;
    uint8_t *pages;

    (void)state;
    wal_world_begin(&w, 1024);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t commits;

        assert_int_equal(sql_child_call(&w.app, wal_world_random, i + 1, 20), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        commits = w.commits;
        wal_world_detach(&w);
        sql(&w, "INSERT INTO t(a) VALUES (1)");
        sql(&w, "INSERT INTO t(a) VALUES (2)");
        assert_int_equal(wal_world_resume(&w).how, WAL_RESUME_GO_ON);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_int_equal(w.commits - commits, 2);
        assert_witness(&w);
        wal_world_check(&w);
        pages = malloc((size_t)w.page_count * w.page_size);
        assert_non_null(pages);
        assert_ok_err(wal_image_current(w.reader, 1, w.page_count, pages, &err), &err);
        assert_memory_equal(pages, w.pages, (size_t)w.page_count * w.page_size);
        free(pages);
    }
    wal_world_end(&w);
}

/* --- previous, superseded --------------------------------------------------------------------------------------- */

/* A small cache makes SQLite write pages early and again, so that a page comes more than once in a commit. */
static void image_before(void **state)
{
    struct wal_world w;
    unsigned with_previous = 0;

    (void)state;
    wal_world_begin(&w, 1024);
    wal_world_attach(&w);
    sql(&w, "PRAGMA cache_size=5");
    for (unsigned round = 0; round < 60; round++) {
        struct wal_reader_batch batch;
        enum wal_reader_state what;

        sql(&w, "BEGIN; INSERT INTO t(a, b) VALUES (abs(random()) % 1000, randomblob(3000)); UPDATE t SET a = a + 1 "
                "WHERE id % 3 = abs(random()) % 3; UPDATE t SET a = a + 1; COMMIT");
        assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
        assert_int_equal(what, WAL_READER_MORE);
        assert_ok_err(wal_reader_next(w.reader, &batch, &err), &err);
        for (uint32_t i = 0; i < batch.count; i++) {
            const struct wal_reader_frame *f = &batch.frames[i];
            uint8_t image[1024];

            if (f->superseded)
                continue;
            /* The model is at the state before the commit (one commit a round): exactly what `previous` has. */
            if (f->previous != 0) {
                with_previous++;
                assert_ok_err(wal_image_fetch(w.reader, f->previous, f->pgno, image, &err), &err);
                assert_memory_equal(image, w.pages + (size_t)(f->pgno - 1) * 1024, 1024);
            }
            for (uint32_t k = i + 1; k < batch.count; k++)
                assert_int_not_equal(batch.frames[k].pgno, f->pgno);
        }
        assert_int_equal(batch.frames[batch.count - 1].commit_page_count, wal_reader_page_count(w.reader));
        assert_false(batch.frames[batch.count - 1].superseded);
        for (uint32_t i = 0; i < batch.count; i++) {
            const struct wal_reader_frame *f = &batch.frames[i];

            if (!f->superseded) {
                w.pages = realloc(w.pages, 4096 * 1024);
                w.room = 4096;
                memcpy(w.pages + (size_t)(f->pgno - 1) * 1024, f->page, 1024);
            }
        }
        w.page_count = wal_reader_page_count(w.reader);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
    }
    assert_true(with_previous > 100);
    wal_world_end(&w);
}

/* --- generations ------------------------------------------------------------------------------------------------- */

static void another_generation(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 10; i++) {
        uint32_t salt;

        assert_int_equal(sql_child_call(&w.app, wal_world_random, i + 1, 5), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_true(wal_reader_follows(w.reader));
        salt = index_of(&w).salt[0];
        open_checkpoint_close(&w, "INSERT INTO t(a) VALUES (1); INSERT INTO t(a) VALUES (2)");
        assert_int_equal(index_of(&w).salt[0], salt + 1);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_true(wal_reader_follows(w.reader));
        assert_witness(&w);
        wal_world_check(&w);
    }
    wal_world_end(&w);
}

/* TRUNCATE leaves an empty log: its counter must stand where ours does. */
static void emptied(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    open_checkpoint_close(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_true(wal_reader_caught_up(w.reader));
    assert_false(wal_reader_follows(w.reader));
    wal_world_check(&w);
    sql(&w, "INSERT INTO t(a) VALUES (2)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_witness(&w);
    wal_world_check(&w);

    open_checkpoint_close(&w, "INSERT INTO t(a) VALUES (3); PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_LOST);
    wal_world_end(&w);
}

/* Commits come and are overwritten while the gate is open: two resets. */
static void overwritten(void **state)
{
    struct wal_world w;
    enum wal_reader_state what;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    open_checkpoint_close(
        &w, "INSERT INTO t(a) VALUES (2); PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES (3)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_LOST);
    assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
    assert_int_equal(what, WAL_READER_LOST); /* and it stays so */
    wal_world_end(&w);
}

/* The same with commits that were committed but not read when the gate was opened. */
static void not_read_in_time(void **state)
{
    struct wal_world w;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "INSERT INTO t(a) VALUES (1)");
    open_checkpoint_close(&w, "INSERT INTO t(a) VALUES (2)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_LOST);
    wal_world_end(&w);
}

/* --- damage ---------------------------------------------------------------------------------------------------------
 */

static void damaged_frame(void **state)
{
    struct wal_world w;

    (void)state;
    for (unsigned at = 0; at < 24 + 512; at += 41) {
        struct wal_reader_batch batch;
        enum wal_reader_state what;
        struct rc rc;
        uint32_t frame;
        uint64_t offset;
        uint8_t *log;
        size_t size;
        char want[200];

        wal_world_begin(&w, 512);
        wal_world_attach(&w);
        frame = w.pos.frame + 2;
        sql(&w, "BEGIN; INSERT INTO t(b) VALUES (randomblob(3000)); COMMIT");
        log = wal_world_file_read(w.wal_path, &size);
        offset = wal_fmt_frame_offset(512, frame) + at;
        log[offset] ^= 1;
        wal_world_file_patch(w.wal_path, offset, &log[offset], 1);
        free(log);
        assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
        assert_int_equal(what, WAL_READER_MORE);
        do { /* the good frame before it may come first */
            rc = wal_reader_next(w.reader, &batch, &err);
        } while (!rc_failed(rc) && batch.count > 0);
        assert_fails(rc, E_CORRUPT);
        (void)snprintf(want, sizeof want, "%s: committed frame %u does not verify", w.wal_path, frame);
        assert_string_equal(err.msg, want);
        wal_world_end(&w);
    }
}

/* Attaching to a log whose committed frames are damaged below our feet. */
static void damaged_before(void **state)
{
    const struct wal_resume start = {.how = WAL_RESUME_COMPARE};
    struct wal_reader *r = NULL;
    struct wal_resume on;
    struct wal_world w;
    uint8_t *log;
    size_t size;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "INSERT INTO t(b) VALUES (randomblob(30000))");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    log = wal_world_file_read(w.wal_path, &size);
    log[5000] ^= 1;
    wal_world_file_patch(w.wal_path, 5000, &log[5000], 1);
    assert_fails(wal_reader_open(&r, w.conn, &start, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "a committed frame does not verify"));
    on = (struct wal_resume){.how = WAL_RESUME_GO_ON, .pos = w.pos};
    assert_fails(wal_reader_open(&r, w.conn, &on, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "frame 2 does not verify"));
    log[5000] ^= 1;
    wal_world_file_patch(w.wal_path, 5000, &log[5000], 1);
    on.pos.cksum[0] ^= 1;
    assert_fails(wal_reader_open(&r, w.conn, &on, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "is not the one that was shipped"));

    /* The header: another page size, well summed; and no header at all. */
    log[10] = 0x20;
    uint32_t sum[2] = {0, 0};
    wal_fmt_checksum(log[3] == 0x83, log, 24, sum);
    for (size_t i = 0; i < 8; i++)
        log[24 + i] = (uint8_t)(sum[i / 4] >> (24 - 8 * (i % 4)));
    wal_world_file_patch(w.wal_path, 0, log, 32);
    assert_fails(wal_reader_open(&r, w.conn, &start, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "but the database has 4096"));
    memset(log, 0, 32);
    wal_world_file_patch(w.wal_path, 0, log, 32);
    assert_fails(wal_reader_open(&r, w.conn, &start, &err), E_BUSY);
    free(log);
    assert_null(r);
    wal_world_end(&w);
}

/* A log that is shorter than the index says. */
static void cut_log(void **state)
{
    struct wal_world w;
    struct wal_reader_batch batch;
    enum wal_reader_state what;
    uint8_t *log;
    size_t size;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "INSERT INTO t(b) VALUES (randomblob(30000))");
    log = wal_world_file_read(w.wal_path, &size);
    wal_world_file_write(w.wal_path, log, size - 2000);
    free(log);
    assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
    assert_int_equal(what, WAL_READER_MORE);
    assert_fails(wal_reader_next(w.reader, &batch, &err), E_CORRUPT);
    wal_world_end(&w);
}

/* --- the counter ----------------------------------------------------------------------------------------------------
 */

/* A writer died while it changed the index; the next one recovers it from the log, and the counter starts anew. */
static void counter_starts_anew(void **state)
{
    struct wal_world w;
    uint32_t count;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    assert_int_equal(sql_child_call(&w.app, wal_world_random, 1, 20), 0);
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    count = index_of(&w).change_count;
    ((volatile uint8_t *)w.conn->shm)[16] ^= 0xff; /* the copies differ: nobody can read it but by recovery */
    sql(&w, "INSERT INTO t(a) VALUES (4)");
    assert_true(index_of(&w).change_count < count);
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_check(&w);
    assert_witness(&w);
    sql(&w, "INSERT INTO t(a) VALUES (5)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    open_checkpoint_close(&w, "INSERT INTO t(a) VALUES (6)");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    assert_witness(&w);
    wal_world_check(&w);
    wal_world_end(&w);
}

static void unreadable_for_a_moment(void **state)
{
    struct wal_world w;
    enum wal_reader_state what;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    sql(&w, "BEGIN IMMEDIATE");
    ((volatile uint8_t *)w.conn->shm)[16] ^= 1;
    assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
    assert_int_equal(what, WAL_READER_LATER); /* whoever has the write lock may be at work in there */
    ((volatile uint8_t *)w.conn->shm)[16] ^= 1;
    sql(&w, "ROLLBACK");
    assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
    wal_world_end(&w);
}

/* An application dies between the two copies of the header that its commit writes, and nobody else comes: the commit is
 * in the log, and only recovery makes it one. */
static void writer_dies_in_mid_change(void **state)
{
    struct wal_world w;
    uint32_t before[12];
    uint64_t commits;

    (void)state;
    wal_world_begin(&w, 4096);
    wal_world_attach(&w);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(sql_child_call(&w.app, wal_world_random, i, 3), 0);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        commits = w.commits;
        for (size_t k = 0; k < 12; k++)
            before[k] = ((volatile uint32_t *)w.conn->shm)[k];
        sql(&w, "INSERT INTO t(a) VALUES (7)");
        for (size_t k = 0; k < 12; k++)
            ((volatile uint32_t *)w.conn->shm)[k] = before[k];
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        assert_int_equal(w.commits - commits, 1);
        wal_world_check(&w);
        assert_witness(&w);
    }
    wal_world_end(&w);
}

/* --- padding --------------------------------------------------------------------------------------------------------
 */

/* Without power-safe overwrite the last frame of a commit is repeated up to the end of the disk sector. */
static void padded(uint32_t page_size)
{
    struct wal_world w;
    char uri[160];
    uint64_t counted = 0;

    wal_world_begin(&w, page_size);
    assert_int_equal(sql_child_close(&w.app, 0), 0);
    (void)snprintf(uri, sizeof uri, "file:%s?psow=0", w.path);
    assert_int_equal(sql_child_open(&w.app, 0, uri), 0);
    sql(&w, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; INSERT INTO t(a) VALUES (0)");
    wal_world_attach(&w);
    counted = index_of(&w).change_count;
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(sql_child_call(&w.app, wal_world_random, 10 * round + i, 1), 0);
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        }
        wal_world_check(&w);
        /* Several padded commits wait in the new generation when it is first looked at. */
        open_checkpoint_close(
            &w, "INSERT INTO t(a) VALUES (1); INSERT INTO t(a) VALUES (2); INSERT INTO t(a) VALUES (3)");
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_check(&w);
    }
    /* All the padding of the past hides no lost commit: two dozen are overwritten here. */
    assert_true(w.commits - (index_of(&w).change_count - counted) > 24);
    sql(&w, "PRAGMA wal_checkpoint(PASSIVE)");
    wal_gate_open(w.conn);
    for (unsigned i = 0; i < 24; i++)
        sql(&w, "INSERT INTO t(a) VALUES (2)");
    sql(&w, "PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES (3)");
    assert_ok_err(wal_gate_close(w.conn, &err), &err);
    assert_int_equal(wal_world_drain(&w), WAL_READER_LOST);
    wal_world_end(&w);
}

static void padded_small(void **state)
{
    (void)state;
    padded(512);
}

static void padded_usual(void **state)
{
    (void)state;
    padded(4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pages),
        cmocka_unit_test(usual_pages),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(goes_on_where_it_was),
        cmocka_unit_test(image_before),
        cmocka_unit_test(another_generation),
        cmocka_unit_test(emptied),
        cmocka_unit_test(overwritten),
        cmocka_unit_test(not_read_in_time),
        cmocka_unit_test(damaged_frame),
        cmocka_unit_test(damaged_before),
        cmocka_unit_test(cut_log),
        cmocka_unit_test(counter_starts_anew),
        cmocka_unit_test(unreadable_for_a_moment),
        cmocka_unit_test(writer_dies_in_mid_change),
        cmocka_unit_test(padded_small),
        cmocka_unit_test(padded_usual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
