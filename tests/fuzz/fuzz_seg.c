/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a segment, or as the only part of one.  Page numbers that come out must be possible ones. */
#include "fuzz_object.h"
#include "seg.h"
#include "seg_block.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
    uint32_t page_size;
    size_t commit_count, commits;
    uint64_t listed, written;
};

static void check_pgno(const struct state *s, uint32_t pgno)
{
    if (!seg_block_pgno_ok(pgno, s->page_size))
        abort();
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct state *s = ctx;

    (void)err;
    check_pgno(s, pgno);
    for (uint32_t i = 0; i < s->page_size; i++)
        page[i] = (uint8_t)(pgno + i / 3);
    return RC_OK;
}

static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct state *s = ctx;
    volatile uint8_t sum = 0;

    (void)err;
    check_pgno(s, pgno);
    for (uint32_t i = 0; i < s->page_size; i += 16)
        sum = (uint8_t)(sum + page[i]);
    s->written++;
    return RC_OK;
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct state *s = ctx;

    (void)commit;
    (void)stop;
    (void)err;
    s->commits++;
    return RC_OK;
}

static void on_page(void *ctx, size_t commit_index, uint32_t pgno)
{
    struct state *s = ctx;

    check_pgno(s, pgno);
    if (commit_index >= s->commit_count)
        abort();
    s->listed++;
}

/* A segment of one commit, whose only part `part` is. */
static void wrap_part(struct buf *object, const struct buf *part)
{
    const struct pack_header h = {.kind = PACK_SEGMENT};

    buf_init(object, FUZZ_OBJECT_MAX);
    pack_put_header(object, &h);
    buf_put(object, (const uint8_t[]){1, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}, 14);
    buf_varint(object, part->size);
    buf_put(object, part->data + part->size - PACK_TRAILER_SIZE, PACK_TRAILER_SIZE);
    buf_u64(object, 0);
    buf_put(object, (const uint8_t[]){8, 0xa0, 0x1f, 0, 0}, 5); /* commit table: 2000 pages */
    pack_put_trailer(object);
}

static void decode(const struct buf *object, const struct buf *part)
{
    CLEANUP(seg_dec_freep) struct seg_dec *d = NULL;
    struct state s = {0};
    const struct seg_apply_ops ops = {on_read, on_write, on_commit, &s};
    struct rc listed, applied;
    bool stopped;
    struct err err;

    listed = seg_dec_open(&d, buf_span(object), &err);
    if (rc_failed(listed)) {
        if (part != NULL)
            abort(); /* our own segment */
        return;
    }
    s.page_size = seg_dec_info(d)->page_size;
    s.commit_count = seg_dec_info(d)->commit_count;
    if (part != NULL) {
        listed = seg_dec_pages_part(d, buf_span(part), on_page, &s, &err);
        applied = seg_dec_apply_part(d, buf_span(part), &ops, &stopped, &err);
    } else {
        listed = seg_dec_pages_tail(d, on_page, &s, &err);
        applied = seg_dec_apply_tail(d, &ops, &stopped, &err);
    }
    /* Applying sees all that listing sees, and the data besides. */
    if (rc_failed(listed) && !rc_failed(applied))
        abort();
    if (!rc_failed(applied) && s.listed != s.written)
        abort();
    if (!rc_failed(applied) && part == NULL && s.commits != s.commit_count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_fini) struct buf object;

    fuzz_object_init(&object, data, size);
    if (size >= PACK_HEADER_SIZE + PACK_TRAILER_SIZE && memcmp(data, "weirpart", 8) == 0 && object.failed == E_OK) {
        CLEANUP(buf_fini) struct buf segment;

        wrap_part(&segment, &object);
        decode(&segment, &object);
    } else {
        decode(&object, NULL);
    }
    return 0;
}
