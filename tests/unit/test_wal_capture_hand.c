/* SPDX-License-Identifier: Apache-2.0 */
/* Logs made by hand, that SQLite makes seldom or only in large databases. */
#include "capture_kit.h"

/* --- a log made by hand ------------------------------------------------------------------------------------------- */

/* Append a frame to a log in memory. */
static void put_frame(struct buf *log, struct wal_pos *pos, uint32_t pgno, uint32_t count, const uint8_t *page)
{
    uint32_t words[4] = {pgno, count, pos->salt[0], pos->salt[1]};
    size_t at = log->size;
    uint8_t *f = buf_grow(log, WAL_FMT_FRAME_HEADER_SIZE + pos->page_size);

    assert_non_null(f);
    for (size_t i = 0; i < 16; i++)
        f[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
    memcpy(f + WAL_FMT_FRAME_HEADER_SIZE, page, pos->page_size);
    wal_fmt_checksum(pos->big_endian, log->data + at, 8, pos->cksum);
    wal_fmt_checksum(pos->big_endian, log->data + at + WAL_FMT_FRAME_HEADER_SIZE, pos->page_size, pos->cksum);
    for (size_t i = 0; i < 8; i++)
        f[16 + i] = (uint8_t)(pos->cksum[i / 4] >> (24 - 8 * (i % 4)));
    pos->frame++;
}

/* A commit that writes page 1 with this size of the database in it. */
static void put_size(struct buf *log, struct wal_pos *pos, uint8_t *image, uint32_t count)
{
    for (size_t i = 0; i < 4; i++)
        image[28 + i] = (uint8_t)(count >> (24 - 8 * i));
    put_frame(log, pos, 1, count, image);
}

static void expect(struct rig *g, const uint8_t *image, uint32_t count)
{
    g->expected_pages[g->expected_count] = count;
    g->expected[g->expected_count++] = checksum_of(image, count, g->w.page_size);
}

/*
 * A database is cut and grows again, and no frame of that commit holds the new pages.  What SQLite reads there is an
 * older frame of the log, if there is one, else what the file has, or zeros.
 */
static void make_log_with_holes(struct rig *g, uint8_t *image, uint32_t count)
{
    struct wal_pos pos;
    struct buf log;
    uint8_t *old, *hole = image + (size_t)(count - 2) * 1024; /* page count - 1 */
    size_t size;

    old = wal_world_file_read(g->w.wal_path, &size);
    buf_init(&log, 1 << 20);
    buf_put(&log, old, 32);
    assert_ok_err(wal_fmt_decode_header(span_of(old, 32), &pos, &err), &err);
    free(old);

    memset(hole, 0x5a, 1024);
    put_frame(&log, &pos, count - 1, 0, hole);
    put_size(&log, &pos, image, count);
    expect(g, image, count);
    put_size(&log, &pos, image, count - 5);
    expect(g, image, count - 5);
    put_size(&log, &pos, image, count + 3);
    expect(g, image, count + 3);
    memset(hole, 0x77, 1024); /* in the same batch, so the commit before must not see it */
    put_frame(&log, &pos, count - 1, count + 3, hole);
    expect(g, image, count + 3);
    wal_world_file_write(g->w.wal_path, log.data, log.size);
    buf_fini(&log);
}

static void pages_without_a_frame(void **state)
{
    const struct wal_resume start = {.how = WAL_RESUME_COMPARE};
    struct rig g;
    uint8_t *file, *image;
    char shm[128];
    size_t size;
    uint32_t count;

    (void)state;
    begin_with(&g, 1024, FILL);
    wal_world_detach(&g.w);
    sql(&g, "PRAGMA wal_checkpoint(RESTART)");
    sql(&g, "INSERT INTO t(a) VALUES (1)");
    sql_child_kill(&g.w.app);
    file = wal_world_file_read(g.w.path, &size);
    count = (uint32_t)(size / 1024);
    image = calloc(count + 3, 1024);
    assert_non_null(image);
    memcpy(image, file, size);
    make_log_with_holes(&g, image, count);
    (void)snprintf(shm, sizeof shm, "%s-shm", g.w.path);
    assert_int_equal(remove(shm), 0);

    /* The copy is the file as it is; SQLite recovers the index from the log. */
    page_hash_clear(g.hashes);
    for (uint32_t p = 1; p <= count; p++) {
        memcpy(copy_page(&g, p), file + (size_t)(p - 1) * 1024, 1024);
        assert_ok(page_hash_set(g.hashes, p, digest_page(p, file + (size_t)(p - 1) * 1024, 1024), &err));
    }
    wal_world_connect(&g.w);
    assert_ok_err(wal_reader_open(&g.w.reader, g.w.conn, &start, &err), &err);
    g.cap.reader = g.w.reader;
    g.base_checksum = page_hash_checksum(g.hashes);
    struct seg_enc_opts opts = opts_of(&g);

    seg_enc_reset(g.enc, &opts);
    step_to_end(&g);
    assert_int_equal(g.cap.commit_count, 4);
    ship(&g); /* every commit as expected, and at the end what SQLite reads */
    assert_memory_equal(g.w.pages, image, (size_t)(count + 3) * 1024);
    free(file);
    free(image);
    end(&g);
}

/* SQLite never writes the page at 1 GiB; a log that has it is not SQLite's. */
static void lock_page(void **state)
{
    struct rig g;
    struct wal_pos pos;
    struct buf log;
    enum wal_reader_state what;
    uint8_t *old, *page = calloc(1, 65536);
    char shm[128];
    size_t size;
    const struct wal_resume start = {.how = WAL_RESUME_COMPARE};

    (void)state;
    assert_non_null(page);
    begin(&g, 65536);
    wal_world_detach(&g.w);
    sql_child_kill(&g.w.app);
    old = wal_world_file_read(g.w.wal_path, &size);
    buf_init(&log, 1 << 20);
    buf_put(&log, old, 32);
    assert_ok_err(wal_fmt_decode_header(span_of(old, 32), &pos, &err), &err);
    put_frame(&log, &pos, 1, 0, old + 32 + WAL_FMT_FRAME_HEADER_SIZE);
    put_frame(&log, &pos, dbfmt_lock_page(65536), 20000, page);
    wal_world_file_write(g.w.wal_path, log.data, log.size);
    buf_fini(&log);
    free(old);
    free(page);
    (void)snprintf(shm, sizeof shm, "%s-shm", g.w.path);
    assert_int_equal(remove(shm), 0);
    wal_world_connect(&g.w);
    assert_ok_err(wal_reader_open(&g.w.reader, g.w.conn, &start, &err), &err);
    g.cap.reader = g.w.reader;
    assert_fails(wal_capture_step(&g.cap, 1000, &what, &err), E_CORRUPT);
    assert_string_equal(err.msg, "the log holds page 16385, which SQLite never writes (the lock page)");
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_without_a_frame),
        cmocka_unit_test(lock_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
