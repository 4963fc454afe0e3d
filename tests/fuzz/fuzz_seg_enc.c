/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input as a list of changes to a small database: what was encoded must decode to the same pages at every commit.
 * Each change is four bytes: what, page, place, length or value.
 */
#include "digest.h"
#include "seg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAGE_SIZE = 512, PAGES = 16, STEPS_MAX = 2000 };

struct state {
    uint8_t pages[PAGES][PAGE_SIZE];
    uint64_t hashes[STEPS_MAX];
    size_t commits;
};

static void edit(uint8_t *page, const uint8_t *step)
{
    uint32_t at = step[2] * 2u, n = step[3] + 1u, room = PAGE_SIZE - at;

    if (n > room)
        n = room;
    switch (step[0] / 8 % 4) {
    case 0:
        page[at] = step[3];
        break;
    case 1:
        memset(page + at, step[1], n);
        break;
    case 2:
        memmove(page + at, page, n);
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            page[at + i] = (uint8_t)digest_bytes(step, 4 - i % 4);
        break;
    }
}

static void must(struct rc rc)
{
    if (rc_failed(rc))
        abort();
}

static void encode(struct state *s, const uint8_t *data, size_t size, struct buf *object)
{
    const struct seg_enc_opts opts = {.timeline = 1, .page_size = PAGE_SIZE};
    struct seg_enc *e = seg_enc_new(&opts);
    struct seg_commit c = {.page_count = PAGES};
    struct err err;

    for (size_t i = 0; i + 4 <= size && i / 4 < STEPS_MAX - 1; i += 4) {
        const uint8_t *step = data + i;
        uint8_t *page = s->pages[step[1] % PAGES], base[PAGE_SIZE];

        memcpy(base, page, sizeof base);
        edit(page, step);
        must(seg_enc_page(e, step[1] % PAGES + 1u, page, step[0] & 1 ? NULL : base, &err));
        if ((step[0] & 6) == 6) {
            c.txid++;
            must(seg_enc_commit(e, &c, &err));
            s->hashes[s->commits++] = digest_bytes(s->pages, sizeof s->pages);
        }
    }
    c.txid++;
    must(seg_enc_commit(e, &c, &err));
    s->hashes[s->commits++] = digest_bytes(s->pages, sizeof s->pages);
    must(seg_enc_finish(e, object, &err));
    seg_enc_free(e);
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct state *s = ctx;

    (void)err;
    memcpy(page, s->pages[pgno - 1], PAGE_SIZE);
    return RC_OK;
}

static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct state *s = ctx;

    (void)err;
    memcpy(s->pages[pgno - 1], page, PAGE_SIZE);
    return RC_OK;
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct state *s = ctx;

    (void)stop;
    (void)err;
    if (digest_bytes(s->pages, sizeof s->pages) != s->hashes[commit->txid - 1])
        abort();
    s->commits--;
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct state s;
    const struct seg_apply_ops ops = {on_read, on_write, on_commit, &s};
    CLEANUP(buf_fini) struct buf object;
    struct seg_dec *d;
    bool stopped;
    struct err err;

    memset(&s, 0, sizeof s);
    buf_init(&object, SEG_OBJECT_MAX);
    encode(&s, data, size, &object);
    memset(s.pages, 0, sizeof s.pages);
    must(seg_dec_open(&d, buf_span(&object), &err));
    must(seg_dec_apply_tail(d, &ops, &stopped, &err));
    seg_dec_free(d);
    if (s.commits != 0)
        abort();
    return 0;
}
