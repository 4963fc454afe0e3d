/* SPDX-License-Identifier: Apache-2.0 */
/* capture_kit - for tests: a capture and, on the other side, a copy that is fed by what it makes. */
#ifndef CAPTURE_KIT_H
#define CAPTURE_KIT_H

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

static inline uint64_t checksum_of(const uint8_t *pages, uint32_t count, uint32_t page_size)
{
    uint64_t sum = 0;

    for (uint32_t p = 1; p <= count; p++) {
        if (p != dbfmt_lock_page(page_size))
            sum ^= digest_page(p, pages + (size_t)(p - 1) * page_size, page_size);
    }
    return sum;
}

/* Note the state that SQLite shows now. */
static inline void note(struct rig *g)
{
    sqlite3_int64 size;
    uint8_t *image = sqlite3_serialize(g->w.conn->back, "main", &size, 0);

    assert_non_null(image);
    assert_true(g->expected_count < COMMITS_MAX);
    g->expected_pages[g->expected_count] = (uint32_t)(size / g->w.page_size);
    g->expected[g->expected_count++] = checksum_of(image, (uint32_t)(size / g->w.page_size), g->w.page_size);
    sqlite3_free(image);
}

static inline void sql(struct rig *g, const char *text)
{
    if (sql_child_sql(&g->w.app, 0, "%s", text) != 0)
        fail_msg("%s", text);
}

static inline void commit(struct rig *g, const char *text)
{
    sql(g, text);
    note(g);
}

/* --- what the capture calls ------------------------------------------------------------------------------------- */

static inline struct rc on_page(void *ctx, uint32_t pgno, uint64_t hash, struct err *e)
{
    struct rig *g = ctx;

    return page_hash_set(g->told, pgno, hash, e);
}

static inline struct rc on_block(void *ctx, struct err *e)
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

static inline bool has_room(void *ctx)
{
    const struct rig *g = ctx;

    return !g->no_room;
}

static inline struct seg_enc_opts opts_of(const struct rig *g)
{
    return (struct seg_enc_opts){.timeline = 1,
        .page_size = g->w.page_size,
        .base_txid = g->cap.txid,
        .base_checksum = page_hash_checksum(g->hashes)};
}

static inline void begin_with(struct rig *g, uint32_t page_size, const char *setup)
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

static inline void begin(struct rig *g, uint32_t page_size)
{
    begin_with(g, page_size, "INSERT INTO t(a, b) VALUES (1, zeroblob(5000))");
}

static inline void end(struct rig *g)
{
    wal_capture_fini(&g->cap);
    seg_enc_free(g->enc);
    page_hash_free(g->hashes);
    page_hash_free(g->told);
    for (unsigned i = 0; i < PARTS_MAX; i++)
        buf_fini(&g->parts[i]);
    wal_world_end(&g->w);
}

static inline void step_to_end(struct rig *g)
{
    enum wal_reader_state state = WAL_READER_MORE;

    while (state != WAL_READER_QUIET) {
        assert_ok_err(wal_capture_step(&g->cap, 1000, &state, &err), &err);
        assert_int_not_equal(state, WAL_READER_LOST);
    }
    assert_false(g->cap.inside);
}

/* --- the copy --------------------------------------------------------------------------------------------------- */

static inline uint8_t *copy_page(struct rig *g, uint32_t pgno)
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

static inline struct rc apply_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *e)
{
    struct rig *g = ctx;

    (void)e;
    memcpy(page, copy_page(g, pgno), g->w.page_size);
    return RC_OK;
}

static inline struct rc apply_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *e)
{
    struct rig *g = ctx;

    (void)e;
    memcpy(copy_page(g, pgno), page, g->w.page_size);
    return RC_OK;
}

static inline struct rc apply_commit(void *ctx, const struct seg_commit *c, bool *stop, struct err *e)
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
static inline void ship(struct rig *g)
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

/* --- the database shrinks and grows ---------------------------------------------------------------------------------
 */

#define FILL                                                                        \
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < 200) " \
    "INSERT INTO t(a, b) SELECT i, randomblob(700) FROM c"

#endif
