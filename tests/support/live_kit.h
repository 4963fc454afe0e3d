/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live_kit - a database that weir is attached to (db_live), and the replica's side of it: a copy that is made of
 * nothing but the segments, every commit of it compared with the checksum that the segment states.
 *
 *     live_begin(&g, page_size, setup)     application, attached, index and copy are the state as it is; txid 100
 *     live_sql(&g, "INSERT ...")
 *     live_step(&g, &step)                 and what becomes ready is applied to the copy
 *     live_check(&g)                       the copy is what SQLite reads
 *     live_end(&g)
 */
#ifndef LIVE_KIT_H
#define LIVE_KIT_H

#include "check.h"
#include "db_copy.h"
#include "digest.h"
#include "fault_fsys.h"
#include "wal_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVE_FIRST_TXID = 101, LIVE_PARTS_MAX = 32 };

struct live {
    struct wal_world w;  /* its application and folder; weir's connection is in `l` */
    struct fault_fsys f; /* what `l` and the local state work with; no faults unless the test sets some */
    struct db_live *l;
    struct local_state *local;
    struct err err;

    uint8_t *copy;
    uint32_t copy_count, room, page_size;
    struct buf parts[LIVE_PARTS_MAX]; /* of the segment that is still to come */
    uint32_t part_count;
    uint64_t txid, commits; /* applied */
    unsigned last_flags;
};

static inline void live_sql(struct live *g, const char *text)
{
    if (sql_child_sql(&g->w.app, 0, "%s", text) != 0)
        fail_msg("%s: %s", text, g->w.app.answer);
}

static inline uint8_t *live_page(struct live *g, uint32_t pgno)
{
    if (pgno > g->room) {
        uint32_t room = pgno * 2;

        g->copy = realloc(g->copy, (size_t)room * g->page_size);
        assert_non_null(g->copy);
        memset(g->copy + (size_t)g->room * g->page_size, 0, (size_t)(room - g->room) * g->page_size);
        g->room = room;
    }
    return g->copy + (size_t)(pgno - 1) * g->page_size;
}

/* What SQLite reads through weir's connection; to be freed with sqlite3_free. */
static inline uint8_t *live_source(struct live *g, uint32_t *count)
{
    sqlite3_int64 size;
    uint8_t *image = sqlite3_serialize(g->l->conn->back, "main", &size, 0);

    assert_non_null(image);
    *count = (uint32_t)(size / g->page_size);
    return image;
}

static inline uint64_t live_checksum(const struct live *g, const uint8_t *pages, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t p = 1; p <= count; p++)
        sum ^= digest_page(p, pages + (size_t)(p - 1) * g->page_size, g->page_size);
    return sum;
}

static inline void live_check(struct live *g)
{
    uint32_t count;
    uint8_t *image = live_source(g, &count);

    assert_int_equal(g->copy_count, count);
    assert_memory_equal(g->copy, image, (size_t)count * g->page_size);
    assert_int_equal(page_hash_checksum(g->l->hashes), live_checksum(g, image, count));
    sqlite3_free(image);
}

/* The copy becomes what SQLite reads: for what is not shipped as a segment. */
static inline void live_adopt(struct live *g)
{
    uint32_t count;
    uint8_t *image = live_source(g, &count);

    (void)live_page(g, count);
    memcpy(g->copy, image, (size_t)count * g->page_size);
    g->copy_count = count;
    sqlite3_free(image);
}

/* --- the replica's side ------------------------------------------------------------------------------------------- */

static inline struct rc live_on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct live *g = ctx;

    (void)err;
    memcpy(page, live_page(g, pgno), g->page_size);
    return RC_OK;
}

static inline struct rc live_on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct live *g = ctx;

    (void)err;
    memcpy(live_page(g, pgno), page, g->page_size);
    return RC_OK;
}

static inline struct rc live_on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct live *g = ctx;

    (void)stop;
    (void)err;
    assert_int_equal(commit->txid, g->txid + 1);
    (void)live_page(g, commit->page_count);
    assert_int_equal(live_checksum(g, g->copy, commit->page_count), commit->checksum);
    g->txid = commit->txid;
    g->copy_count = commit->page_count;
    g->last_flags = commit->flags;
    g->commits++;
    return RC_OK;
}

/* A part or segment arrives; it stays the caller's. */
static inline void live_apply(struct live *g, const struct db_segment *s)
{
    const struct seg_apply_ops ops = {live_on_read, live_on_write, live_on_commit, g};
    struct seg_dec *d;
    bool stopped = false;

    assert_int_equal(s->first_txid, g->txid + 1);
    if (s->is_part) {
        assert_int_equal(s->part_number, g->part_count);
        assert_true(g->part_count < LIVE_PARTS_MAX);
        buf_init(&g->parts[g->part_count], SEG_OBJECT_MAX);
        buf_put(&g->parts[g->part_count++], s->bytes.data, s->bytes.size);
        return;
    }
    assert_ok_err(seg_dec_open(&d, buf_span(&s->bytes), &g->err), &g->err);
    assert_int_equal(seg_dec_info(d)->base_checksum, live_checksum(g, g->copy, g->copy_count));
    assert_int_equal(seg_dec_info(d)->part_count, g->part_count);
    assert_int_equal(seg_dec_info(d)->commit_count, s->commit_count);
    for (uint32_t i = 0; i < g->part_count; i++) {
        assert_ok_err(seg_dec_apply_part(d, buf_span(&g->parts[i]), &ops, &stopped, &g->err), &g->err);
        buf_fini(&g->parts[i]);
    }
    g->part_count = 0;
    assert_ok_err(seg_dec_apply_tail(d, &ops, &stopped, &g->err), &g->err);
    seg_dec_free(d);
    assert_int_equal(g->txid, s->pos.txid);
    assert_int_equal(live_checksum(g, g->copy, g->copy_count), s->pos.checksum);
}

static inline void live_free_all(struct db_segment *s)
{
    while (s != NULL) {
        struct db_segment *next = s->next;

        db_live_free_segment(s);
        s = next;
    }
}

/* One step; what is ready goes to the copy and stays in step->ready for the test to free. */
static inline void live_step(struct live *g, struct db_step *step)
{
    assert_ok_err(db_live_step(g->l, step, &g->err), &g->err);
    for (const struct db_segment *s = step->ready; s != NULL; s = s->next)
        live_apply(g, s);
}

/* Steps until everything is in the copy, each part and segment durable at once. */
static inline void live_ship(struct live *g)
{
    struct db_segment *sent = NULL;
    unsigned parts = 0;

    for (int i = 0; i < 10000; i++) {
        struct db_step step = {.due = true, .may_finish = true, .acknowledged = sent, .parts_done = parts};
        bool segment = false;

        live_step(g, &step);
        live_free_all(sent);
        sent = NULL;
        parts = 0;
        while (step.ready != NULL) {
            struct db_segment *s = step.ready;

            step.ready = s->next;
            s->next = NULL;
            parts += s->is_part;
            segment = segment || !s->is_part;
            if (s->is_part)
                db_live_free_segment(s);
            else
                sent = s;
        }
        if (step.state == WAL_READER_QUIET && !segment && parts == 0 && step.open_commits == 0) {
            live_free_all(sent);
            return;
        }
    }
    fail_msg("it never comes to an end");
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

static inline void live_attach(struct live *g)
{
    bool absent = true;

    assert_ok_err(db_live_open(&g->l, &g->f.fs, &clock_real, g->w.path, false, &absent, &g->err), &g->err);
    assert_false(absent);
    g->l->timeline = 1;
    g->l->database = (struct nonce){{7}};
    g->l->run = (struct nonce){{8}};
}

/* The index becomes that of the file as it is, at this txid. */
static inline void live_follow(struct live *g, uint64_t txid)
{
    const struct wal_resume anew = {.how = WAL_RESUME_COMPARE};
    struct pos pos = {.timeline = 1, .txid = txid};
    struct db_copy copy = {.live = g->l};

    assert_ok_err(db_live_follow(g->l, &anew, &pos, &g->err), &g->err);
    assert_ok_err(db_copy_hash(&copy, &g->err), &g->err);
    assert_ok_err(db_live_begin_segment(g->l, txid, page_hash_checksum(g->l->hashes), &g->err), &g->err);
}

static inline void live_begin(struct live *g, uint32_t page_size, const char *setup)
{
    struct local_state_content content = {.database = {{7}}};
    char dir[128];

    memset(g, 0, sizeof *g);
    fault_fsys_init(&g->f, FAULT_ONCE, 0, EIO);
    wal_world_begin(&g->w, page_size);
    g->page_size = page_size;
    live_sql(g, setup);
    live_attach(g);
    live_follow(g, LIVE_FIRST_TXID - 1);
    g->txid = LIVE_FIRST_TXID - 1;
    live_adopt(g);
    (void)snprintf(dir, sizeof dir, "%s-weir", g->w.path);
    assert_ok_err(local_state_open(&g->local, &g->f.fs, dir, &g->err), &g->err);
    content.pos = db_live_pos(g->l);
    assert_ok_err(local_state_checkpoint(g->local, &content, g->l->hashes, &g->err), &g->err);
    g->l->local = g->local;
    g->l->content = content;
    live_check(g);
}

static inline void live_end(struct live *g)
{
    db_live_close(g->l, false);
    local_state_close(g->local);
    assert_int_equal(g->f.open_fds, 0);
    for (uint32_t i = 0; i < g->part_count; i++)
        buf_fini(&g->parts[i]);
    free(g->copy);
    wal_world_end(&g->w);
}

#define LIVE_FILL(rows, size)                                                             \
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < " #rows ") " \
    "INSERT INTO t(a, b) SELECT i, randomblob(" #size ") FROM c"

#endif
