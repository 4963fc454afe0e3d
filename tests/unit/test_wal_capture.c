/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dbfmt.h"
#include "digest.h"
#include "wal_capture.h"
#include "wal_image.h"
#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMITS_MAX = 400, PARTS_MAX = 8 };

/* A capture and, on the other side, a copy that is fed by what it makes. */
struct rig {
    struct wal_world w; /* its model is the copy */
    struct page_hash *hashes;
    struct seg_enc *enc;
    struct wal_capture cap;
    struct buf parts[PARTS_MAX];
    uint32_t part_count;
    uint64_t base_txid, base_checksum;
    bool no_room;

    /* What SQLite showed after each commit. */
    uint64_t expected[COMMITS_MAX];
    uint32_t expected_pages[COMMITS_MAX];
    unsigned expected_count, applied;

    /* What on_page told. */
    struct page_hash *told;
};

static struct err err;

static uint64_t checksum_of(const uint8_t *pages, uint32_t count, uint32_t page_size)
{
    uint64_t sum = 0;

    for (uint32_t p = 1; p <= count; p++) {
        if (p != dbfmt_lock_page(page_size))
            sum ^= digest_page(p, pages + (size_t)(p - 1) * page_size, page_size);
    }
    return sum;
}

/* Note the state that SQLite shows now. */
static void note(struct rig *g)
{
    sqlite3_int64 size;
    uint8_t *image = sqlite3_serialize(g->w.conn->back, "main", &size, 0);

    assert_non_null(image);
    assert_true(g->expected_count < COMMITS_MAX);
    g->expected_pages[g->expected_count] = (uint32_t)(size / g->w.page_size);
    g->expected[g->expected_count++] = checksum_of(image, (uint32_t)(size / g->w.page_size), g->w.page_size);
    sqlite3_free(image);
}

static void sql(struct rig *g, const char *text)
{
    if (sql_child_sql(&g->w.app, 0, "%s", text) != 0)
        fail_msg("%s", text);
}

static void commit(struct rig *g, const char *text)
{
    sql(g, text);
    note(g);
}

/* --- what the capture calls ------------------------------------------------------------------------------------- */

static struct rc on_page(void *ctx, uint32_t pgno, uint64_t hash, struct err *e)
{
    struct rig *g = ctx;

    return page_hash_set(g->told, pgno, hash, e);
}

static struct rc on_block(void *ctx, struct err *e)
{
    struct rig *g = ctx;
    uint32_t number;

    (void)e;
    while (seg_enc_take_part(g->enc, &g->parts[g->part_count], &number)) {
        assert_int_equal(number, g->part_count);
        g->part_count++;
        assert_true(g->part_count < PARTS_MAX);
    }
    return RC_OK;
}

static bool has_room(void *ctx)
{
    const struct rig *g = ctx;

    return !g->no_room;
}

static struct seg_enc_opts opts_of(const struct rig *g)
{
    return (struct seg_enc_opts){.timeline = 1,
        .page_size = g->w.page_size,
        .base_txid = g->cap.txid,
        .base_checksum = page_hash_checksum(g->hashes)};
}

static void begin_with(struct rig *g, uint32_t page_size, const char *setup)
{
    memset(g, 0, sizeof *g);
    wal_world_begin(&g->w, page_size);
    sql(g, setup);
    wal_world_attach(&g->w);
    g->hashes = page_hash_new();
    g->told = page_hash_new();
    for (uint32_t p = 1; p <= g->w.page_count; p++)
        assert_ok(
            page_hash_set(g->hashes, p, digest_page(p, g->w.pages + (size_t)(p - 1) * page_size, page_size), &err));
    for (unsigned i = 0; i < PARTS_MAX; i++)
        buf_init(&g->parts[i], SEG_OBJECT_MAX);
    g->cap = (struct wal_capture){.reader = g->w.reader,
        .hashes = g->hashes,
        .clock = &clock_real,
        .on_page = on_page,
        .on_block = on_block,
        .has_room = has_room,
        .ctx = g,
        .txid = 100,
        .pos = g->w.pos};
    g->base_txid = 100;
    g->base_checksum = page_hash_checksum(g->hashes);
    struct seg_enc_opts opts = opts_of(g);

    g->enc = g->cap.enc = seg_enc_new(&opts);
}

static void begin(struct rig *g, uint32_t page_size)
{
    begin_with(g, page_size, "INSERT INTO t(a, b) VALUES (1, zeroblob(5000))");
}

static void end(struct rig *g)
{
    wal_capture_fini(&g->cap);
    seg_enc_free(g->enc);
    page_hash_free(g->hashes);
    page_hash_free(g->told);
    for (unsigned i = 0; i < PARTS_MAX; i++)
        buf_fini(&g->parts[i]);
    wal_world_end(&g->w);
}

static void step_to_end(struct rig *g)
{
    enum wal_reader_state state = WAL_READER_MORE;

    while (state != WAL_READER_QUIET) {
        assert_ok_err(wal_capture_step(&g->cap, 1000, &state, &err), &err);
        assert_int_not_equal(state, WAL_READER_LOST);
    }
    assert_false(g->cap.inside);
}

/* --- the copy --------------------------------------------------------------------------------------------------- */

static uint8_t *copy_page(struct rig *g, uint32_t pgno)
{
    struct wal_world *w = &g->w;

    if (pgno > w->room) {
        w->pages = realloc(w->pages, (size_t)pgno * 2 * w->page_size);
        assert_non_null(w->pages);
        memset(w->pages + (size_t)w->room * w->page_size, 0, (size_t)(pgno * 2 - w->room) * w->page_size);
        w->room = pgno * 2;
    }
    return w->pages + (size_t)(pgno - 1) * w->page_size;
}

static struct rc apply_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *e)
{
    struct rig *g = ctx;

    (void)e;
    memcpy(page, copy_page(g, pgno), g->w.page_size);
    return RC_OK;
}

static struct rc apply_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *e)
{
    struct rig *g = ctx;

    (void)e;
    memcpy(copy_page(g, pgno), page, g->w.page_size);
    return RC_OK;
}

static struct rc apply_commit(void *ctx, const struct seg_commit *c, bool *stop, struct err *e)
{
    struct rig *g = ctx;

    (void)e;
    *stop = false;
    (void)copy_page(g, c->page_count);
    g->w.page_count = c->page_count;
    assert_int_equal(c->checksum, checksum_of(g->w.pages, c->page_count, g->w.page_size));
    if ((c->flags & SEG_RESYNC) == 0 && g->expected_count > 0) {
        assert_true(g->applied < g->expected_count);
        assert_int_equal(c->page_count, g->expected_pages[g->applied]);
        assert_int_equal(c->checksum, g->expected[g->applied]);
    }
    g->applied++;
    return RC_OK;
}

/* Finish the segment, apply it to the copy, begin the next one. */
static void ship(struct rig *g)
{
    const struct seg_apply_ops ops = {.read = apply_read, .write = apply_write, .commit = apply_commit, .ctx = g};
    struct seg_enc_opts opts = opts_of(g);
    struct seg_dec *d = NULL;
    struct buf object;
    bool stopped = false;

    buf_init(&object, SEG_OBJECT_MAX);
    assert_ok_err(seg_enc_finish(g->enc, &object, &err), &err);
    assert_ok_err(seg_dec_open(&d, buf_span(&object), &err), &err);
    assert_int_equal(seg_dec_info(d)->base_txid, g->base_txid);
    assert_int_equal(seg_dec_info(d)->base_checksum, g->base_checksum);
    assert_int_equal(seg_dec_info(d)->part_count, g->part_count);
    for (uint32_t i = 0; i < g->part_count; i++)
        assert_ok_err(seg_dec_apply_part(d, buf_span(&g->parts[i]), &ops, &stopped, &err), &err);
    assert_ok_err(seg_dec_apply_tail(d, &ops, &stopped, &err), &err);
    seg_dec_free(d);
    buf_fini(&object);
    g->part_count = 0;
    g->base_txid = g->cap.txid;
    g->base_checksum = page_hash_checksum(g->hashes);
    seg_enc_reset(g->enc, &opts);
    wal_world_check(&g->w);
}

/* --- exact ----------------------------------------------------------------------------------------------------------
 */

static void every_commit(uint32_t page_size)
{
    struct rig g;

    begin(&g, page_size);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 15; i++) {
            uint32_t before, after;
            struct wal_index_header h;

            assert_true(wal_index_read(g.w.conn->shm, &h));
            before = h.change_count;
            assert_int_equal(sql_child_call(&g.w.app, wal_world_random, 100 * round + i, 1), 0);
            assert_true(wal_index_read(g.w.conn->shm, &h));
            after = h.change_count;
            if (after != before) /* it was not rolled back */
                note(&g);
        }
        step_to_end(&g);
        assert_int_equal(g.cap.txid, 100 + g.expected_count);
        assert_int_equal(g.cap.commit_count, g.expected_count);
        assert_int_equal(g.cap.pos.frame, wal_reader_pos(g.w.reader)->frame);
        ship(&g);
        assert_int_equal(g.applied, g.expected_count);
    }
    assert_true(g.cap.delta_count > 0);
    assert_true(g.cap.whole_count > 0);
    end(&g);
}

static void small_pages(void **state)
{
    (void)state;
    every_commit(512);
}

static void usual_pages(void **state)
{
    (void)state;
    every_commit(4096);
}

static void large_pages(void **state)
{
    (void)state;
    every_commit(65536);
}

/* Random bytes do not compress: the transaction sheds parts. */
static void big_transaction(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 4096);
    commit(&g, "BEGIN; WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < 3000) "
               "INSERT INTO t(a, b) SELECT i, randomblob(3500) FROM c; COMMIT");
    commit(&g, "UPDATE t SET a = a + 1");
    step_to_end(&g);
    assert_true(g.part_count > 0);
    ship(&g);
    end(&g);
}

/* A page that was written but not changed is not worth a byte. */
static void unchanged_pages(void **state)
{
    struct rig g;
    uint64_t pages;

    (void)state;
    begin(&g, 4096);
    commit(&g, "UPDATE t SET a = a");
    step_to_end(&g);
    pages = g.cap.delta_count + g.cap.whole_count;
    assert_int_equal(g.cap.txid, 101);
    assert_true(g.cap.frame_count > pages);
    ship(&g);
    end(&g);
}

/* --- the database shrinks and grows ---------------------------------------------------------------------------------
 */

static void sizes(const char *setup, const char *const *steps, unsigned count)
{
    struct rig g;

    begin_with(&g, 1024, setup);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < count; i++) {
            commit(&g, steps[i]);
            if (round % 2 == 0) { /* one by one, or all at once */
                step_to_end(&g);
                ship(&g);
            }
        }
        if (round % 2 == 1) {
            step_to_end(&g);
            ship(&g);
        }
        sql(&g, "PRAGMA wal_checkpoint(PASSIVE)");
    }
    assert_int_equal(g.applied, g.expected_count);
    end(&g);
}

#define FILL                                                                        \
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < 200) " \
    "INSERT INTO t(a, b) SELECT i, randomblob(700) FROM c"

static void vacuum(void **state)
{
    static const char *const steps[] = {
        FILL, "DELETE FROM t WHERE id % 3 < 2", "VACUUM", FILL, "DELETE FROM t", "VACUUM"};

    (void)state;
    sizes("SELECT 1", steps, sizeof steps / sizeof *steps);
}

static void incremental_vacuum(void **state)
{
    static const char *const steps[] = {
        FILL,
        "DELETE FROM t WHERE id % 3 < 2",
        "PRAGMA incremental_vacuum(20)",
        "BEGIN; DELETE FROM t; PRAGMA incremental_vacuum; " FILL "; COMMIT",
        "BEGIN; DELETE FROM t WHERE id % 2 = 0; PRAGMA incremental_vacuum; CREATE TABLE u AS SELECT * FROM t; COMMIT",
        "BEGIN; DROP TABLE u; SAVEPOINT s; PRAGMA incremental_vacuum; ROLLBACK TO s; DELETE FROM t; COMMIT",
        "PRAGMA incremental_vacuum",
    };

    (void)state;
    sizes("PRAGMA auto_vacuum=INCREMENTAL; VACUUM", steps, sizeof steps / sizeof *steps);
}

static void full_auto_vacuum(void **state)
{
    static const char *const steps[] = {FILL, "DELETE FROM t WHERE id % 3 < 2", FILL, "DELETE FROM t",
        "BEGIN; " FILL "; DELETE FROM t WHERE id % 2 = 0; COMMIT"};

    (void)state;
    sizes("PRAGMA auto_vacuum=FULL; VACUUM", steps, sizeof steps / sizeof *steps);
}

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

/* --- other modes -------------------------------------------------------------------------------------------------- */

/* Many commits become one. */
static void absorbing(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1024);
    for (unsigned round = 0; round < 5; round++) {
        uint8_t page[1024];

        g.cap.absorbing = true;
        assert_int_equal(sql_child_call(&g.w.app, wal_world_random, round, 10), 0);
        step_to_end(&g);
        assert_int_equal(g.cap.txid, 100 + round); /* not yet */
        /* Pages looked at on the side: those that the index knows add nothing. */
        for (uint32_t p = 1; p <= wal_reader_page_count(g.w.reader); p++) {
            uint64_t pending = seg_enc_pending(g.enc);

            assert_ok_err(wal_image_current(g.w.reader, p, 1, page, &err), &err);
            assert_ok_err(wal_capture_page(&g.cap, p, page, &err), &err);
            assert_int_equal(seg_enc_pending(g.enc), pending);
        }
        assert_ok_err(wal_capture_fold(&g.cap, SEG_RESYNC, 0, &err), &err);
        assert_int_equal(g.cap.txid, 101 + round);
        g.cap.absorbing = false;
        ship(&g);
    }
    end(&g);
}

/* The index is wrong about some pages: a comparison finds exactly those. */
static void comparing(void **state)
{
    struct rig g;
    uint8_t page[1024];

    (void)state;
    begin_with(&g, 1024, FILL);
    assert_true(g.w.page_count > 40);
    for (uint32_t p = 10; p <= 30; p += 10) {
        copy_page(&g, p)[500] ^= 1; /* what was shipped differs there */
        assert_ok(page_hash_set(g.hashes, p, digest_page(p, copy_page(&g, p), 1024), &err));
    }
    g.base_checksum = page_hash_checksum(g.hashes);
    struct seg_enc_opts opts = opts_of(&g);

    seg_enc_reset(g.enc, &opts);
    g.cap.absorbing = true;
    step_to_end(&g);
    for (uint32_t p = 1; p <= g.w.page_count; p++) {
        assert_ok_err(wal_image_current(g.w.reader, p, 1, page, &err), &err);
        assert_ok_err(wal_capture_page(&g.cap, p, page, &err), &err);
    }
    assert_int_equal(seg_enc_pending(g.enc), 3);
    assert_ok_err(wal_capture_fold(&g.cap, SEG_RESYNC, 0, &err), &err);
    ship(&g);
    end(&g);
}

/* The replica has some of the commits already; they are read again, and must be the same. */
static void retracing(void **state)
{
    struct rig g;

    (void)state;
    for (unsigned wrong = 0; wrong <= 3; wrong++) {
        uint64_t stored[3];
        struct wal_world *w = &g.w;
        enum wal_reader_state what;

        begin(&g, 1024);
        for (unsigned i = 0; i < 5; i++)
            commit(&g, "INSERT INTO t(a, b) VALUES (abs(random()), randomblob(900))");
        memcpy(stored, g.expected, sizeof stored);
        if (wrong > 0)
            stored[wrong - 1] ^= 1;
        g.cap.enc = NULL;
        g.cap.enc_later = g.enc;
        g.cap.retrace_txid = 103;
        g.cap.retrace_first = 101;
        g.cap.retrace_checksums = stored;
        if (wrong == 0) {
            struct seg_enc_opts opts = opts_of(&g);

            opts.base_txid = g.base_txid = 103;
            opts.base_checksum = g.base_checksum = stored[2];
            seg_enc_reset(g.enc, &opts);
            step_to_end(&g);
            assert_false(g.cap.diverged);
            assert_int_equal(g.cap.retrace_txid, 0);
            assert_int_equal(g.cap.txid, 105);
            assert_int_equal(seg_enc_commit_count(g.enc), 2);
            wal_world_adopt(w); /* the replica's side is not played here */
        } else {
            assert_ok_err(wal_capture_step(&g.cap, 1000000, &what, &err), &err);
            assert_true(g.cap.diverged);
            assert_int_equal(g.cap.txid, 100 + wrong);
            assert_int_equal(seg_enc_commit_count(g.enc), 0);
        }
        end(&g);
    }
}

/* No room for what would come: nothing more is read, and it goes on later. */
static void no_room(void **state)
{
    struct rig g;
    enum wal_reader_state what;

    (void)state;
    begin(&g, 1024);
    commit(&g, "INSERT INTO t(a) VALUES (2)");
    g.no_room = true;
    assert_ok_err(wal_capture_step(&g.cap, 1000000, &what, &err), &err);
    assert_int_equal(what, WAL_READER_MORE);
    assert_int_equal(g.cap.txid, 100);
    g.no_room = false;
    step_to_end(&g);
    assert_int_equal(g.cap.txid, 101);
    ship(&g);
    end(&g);
}

/* Time stands still, runs, and jumps back: the history's does not. */
static int64_t fake_now;

static int64_t fake_wall(const struct clock *c)
{
    (void)c;
    return fake_now;
}

static uint64_t fake_mono(const struct clock *c)
{
    static uint64_t us;

    (void)c;
    return us += 1000;
}

static void times(void **state)
{
    static const struct clock fake = {.wall_ms = fake_wall, .mono_us = fake_mono};
    struct rig g;

    (void)state;
    begin(&g, 1024);
    g.cap.clock = &fake;
    g.cap.time_ms = 5000;
    fake_now = 6000;
    commit(&g, "INSERT INTO t(a) VALUES (2)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6000);
    fake_now = 4000;
    commit(&g, "INSERT INTO t(a) VALUES (3)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6000);
    fake_now = 6001;
    commit(&g, "INSERT INTO t(a) VALUES (4)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6001);
    ship(&g);
    end(&g);
}

/* What on_page told makes the same index: that is what the local state is made of. */
static void every_change_is_told(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1024);
    for (uint32_t p = 1; p <= page_hash_count(g.hashes); p++)
        assert_ok(page_hash_set(g.told, p, page_hash_get(g.hashes, p), &err));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(sql_child_call(&g.w.app, wal_world_random, i, 6), 0);
        sql(&g, i % 2 == 0 ? "VACUUM" : "DELETE FROM t WHERE id % 2 = 0");
        step_to_end(&g);
        assert_ok(page_hash_resize(g.told, page_hash_count(g.hashes), &err));
        assert_int_equal(page_hash_checksum(g.told), page_hash_checksum(g.hashes));
    }
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pages),
        cmocka_unit_test(usual_pages),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(big_transaction),
        cmocka_unit_test(unchanged_pages),
        cmocka_unit_test(vacuum),
        cmocka_unit_test(incremental_vacuum),
        cmocka_unit_test(full_auto_vacuum),
        cmocka_unit_test(pages_without_a_frame),
        cmocka_unit_test(lock_page),
        cmocka_unit_test(absorbing),
        cmocka_unit_test(comparing),
        cmocka_unit_test(retracing),
        cmocka_unit_test(no_room),
        cmocka_unit_test(times),
        cmocka_unit_test(every_change_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
