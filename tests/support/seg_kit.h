/* SPDX-License-Identifier: Apache-2.0 */
/* seg_kit - for tests: a small database, a segment over it, and what the decoder makes of it. */
#ifndef SEG_KIT_H
#define SEG_KIT_H

#include "check.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "page_model.h"
#include "seg.h"
#include "seg_block.h"

#include <string.h>

enum { PAGE_SIZE = 1024, ROOM = 40 };

/* --- a small database, a segment over it, and what the decoder does with it ---------------------------------- */

struct fixture {
    struct page_model start, now;
    struct buf object;
    /* Decoding. */
    uint64_t reads, writes, commits;
    uint64_t fail_at; /* which call fails, counted over all; 0: none */
    uint64_t stop_at; /* after which commit to stop; 0: none */
    struct buf log;   /* page numbers and commit indexes in order */
};

static inline struct rc maybe_fail(struct fixture *f, struct err *err)
{
    if (f->fail_at != 0 && f->reads + f->writes + f->commits == f->fail_at)
        return rc_raise(err, E_IO, "as told");
    return RC_OK;
}

static inline struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct fixture *f = ctx;

    f->reads++;
    assert_true(seg_block_pgno_ok(pgno, PAGE_SIZE));
    if (pgno <= ROOM)
        memcpy(page, page_model_page(&f->now, pgno), PAGE_SIZE);
    else
        memset(page, 0x5a, PAGE_SIZE); /* somebody made the number up */
    return maybe_fail(f, err);
}

static inline struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct fixture *f = ctx;

    f->writes++;
    assert_true(seg_block_pgno_ok(pgno, PAGE_SIZE));
    if (pgno <= ROOM)
        memcpy(page_model_page(&f->now, pgno), page, PAGE_SIZE);
    buf_u32(&f->log, pgno);
    return maybe_fail(f, err);
}

static inline struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct fixture *f = ctx;

    (void)commit;
    f->commits++;
    *stop = f->stop_at != 0 && f->commits == f->stop_at;
    return maybe_fail(f, err);
}

static const struct seg_enc_opts OPTS = {
    .database = {{1}}, .writer = {{2}}, .timeline = 1, .page_size = PAGE_SIZE, .base_txid = 10};

static inline void rewind_to_start(struct fixture *f)
{
    memcpy(f->now.pages, f->start.pages, (size_t)PAGE_SIZE * ROOM);
    f->reads = f->writes = f->commits = f->fail_at = f->stop_at = 0;
    buf_clear(&f->log);
}

/* `commits` commits of a few pages each; the first and the last have none. */
static inline void set_up(struct fixture *f, uint64_t commits)
{
    struct seg_enc *e = seg_enc_new(&OPTS);
    struct err err;

    memset(f, 0, sizeof *f);
    page_model_init(&f->now, PAGE_SIZE, ROOM, 77);
    for (uint32_t pgno = 1; pgno <= ROOM; pgno++)
        page_model_change(&f->now, pgno);
    page_model_copy(&f->start, &f->now);
    buf_init(&f->object, SEG_OBJECT_MAX);
    buf_init(&f->log, 1 << 20);
    for (uint64_t i = 0; i < commits; i++) {
        struct seg_commit c = {.txid = 11 + i, .time_ms = (int64_t)(1000 * i), .page_count = ROOM, .checksum = i};

        for (int k = 0; k < 3 && i > 0 && i < commits - 1; k++) {
            uint32_t pgno = 1 + page_model_random(&f->now, ROOM);
            uint8_t base[PAGE_SIZE];

            memcpy(base, page_model_page(&f->now, pgno), sizeof base);
            page_model_change(&f->now, pgno);
            assert_ok_err(seg_enc_page(e, pgno, page_model_page(&f->now, pgno), k < 2 ? base : NULL, &err), &err);
        }
        assert_ok_err(seg_enc_commit(e, &c, &err), &err);
    }
    assert_ok_err(seg_enc_finish(e, &f->object, &err), &err);
    seg_enc_free(e);
    rewind_to_start(f);
}

static inline void tear_down(struct fixture *f)
{
    page_model_fini(&f->now);
    page_model_fini(&f->start);
    buf_fini(&f->object);
    buf_fini(&f->log);
}

static inline void on_page(void *ctx, size_t commit_index, uint32_t pgno)
{
    (void)commit_index;
    buf_u32(ctx, pgno);
}

static inline struct rc decode(struct fixture *f, struct span object, struct err *err)
{
    const struct seg_apply_ops ops = {on_read, on_write, on_commit, f};
    CLEANUP(seg_dec_freep) struct seg_dec *d = NULL;
    bool stopped = false;

    TRY(seg_dec_open(&d, object, err));
    if (seg_dec_info(d)->part_count > 0)
        return rc_raise(err, E_NOTFOUND, "parts that nobody made");
    TRY(seg_dec_apply_tail(d, &ops, &stopped, err));
    assert_int_equal(stopped, f->stop_at != 0);
    return RC_OK;
}

static inline struct rc list(struct span object, struct buf *pages, struct err *err)
{
    CLEANUP(seg_dec_freep) struct seg_dec *d = NULL;

    TRY(seg_dec_open(&d, object, err));
    return seg_dec_pages_tail(d, on_page, pages, err);
}

static inline void fix_hashes(struct buf *b)
{
    uint64_t hash = digest_bytes(b->data, 48);

    for (int i = 0; i < 8; i++)
        b->data[48 + i] = (uint8_t)(hash >> (8 * i));
    buf_trim(b, b->size - PACK_TRAILER_SIZE);
    pack_put_trailer(b);
}

#endif
