/* SPDX-License-Identifier: Apache-2.0 */
#include "snap_writer.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "page_hash.h"
#include "snap_hashes.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>

enum {
    INDEX_LEVEL = 3,        /* for all of the index once: not worth a thought */
    INDEX_SMALL = 256,      /* raw bytes that compression could not make much smaller */
    INDEX_BLOCK_HEADER = 8, /* raw size, stored size */
    BLOCK_ROOM = 8 << 10,   /* more than zstd adds to an incompressible block */
};

struct snap_writer {
    struct pack_header pack;
    uint32_t page_size;
    uint64_t size; /* bytes of the object so far */
    uint64_t next; /* the page behind the last frame's last one */
    uint32_t frame_count;
    struct buf runs;       /* the raw index's first part: sizes and pages */
    struct buf hashes;     /* and its second */
    struct digest *digest; /* owned: over all bytes so far */
    /* Of the pages that were added.  Both NULL: the object carries no page hashes. */
    struct page_hash *pages;       /* owned; noted frame by frame */
    const struct page_hash *known; /* borrowed: the caller notes them */
    uint64_t hash_pages;           /* that were written */
    uint32_t next_hash;            /* the first page whose hash was not written */
};

struct snap_writer *snap_writer_new(const struct nonce *database, const struct nonce *writer, uint32_t page_size)
{
    struct snap_writer *w = mem_new(sizeof *w);

    assert(dbfmt_page_size_ok(page_size));
    w->pack = (struct pack_header){.kind = PACK_SNAPSHOT, .database = *database, .writer = *writer};
    w->page_size = page_size;
    w->next = 1;
    buf_init(&w->runs, SNAP_INDEX_MAX);
    buf_init(&w->hashes, SNAP_INDEX_MAX);
    w->digest = digest_new();
    return w;
}

void snap_writer_free(struct snap_writer *w)
{
    if (w == NULL)
        return;
    buf_fini(&w->runs);
    buf_fini(&w->hashes);
    digest_free(w->digest);
    page_hash_free(w->pages);
    mem_free(w);
}

void snap_writer_partial(struct snap_writer *w)
{
    assert(w->size == 0);
    w->pack.required |= SNAP_PARTIAL;
}

void snap_writer_hashing(struct snap_writer *w, const struct page_hash *known)
{
    assert(w->size == 0);
    w->pack.optional |= SNAP_HASHED;
    w->known = known;
    w->pages = known == NULL ? page_hash_new() : NULL;
    w->next_hash = 1;
}

static const struct page_hash *hashes_of(const struct snap_writer *w)
{
    return w->known != NULL ? w->known : w->pages;
}

static bool is_partial(const struct snap_writer *w)
{
    return (w->pack.required & SNAP_PARTIAL) != 0;
}

void snap_writer_freep(struct snap_writer **w)
{
    snap_writer_free(*w);
    *w = NULL;
}

uint64_t snap_writer_size(const struct snap_writer *w)
{
    return w->size;
}

/* What was appended to `bytes` since it had `before` is part of the object now. */
static struct rc account(struct snap_writer *w, struct buf *bytes, size_t before, struct err *err)
{
    TRY(buf_check(bytes, "snapshot", err));
    if (bytes->size == before)
        return RC_OK;
    digest_update(w->digest, bytes->data + before, bytes->size - before);
    w->size += bytes->size - before;
    return RC_OK;
}

static struct rc put_header(const struct snap_writer *w, struct buf *bytes, struct err *err)
{
    struct buf header;
    struct rc rc;

    buf_init(&header, PACK_HEADER_SIZE);
    pack_put_header(&header, &w->pack);
    rc = buf_check(&header, "snapshot header", err);
    if (!rc_failed(rc))
        buf_put(bytes, header.data, header.size);
    buf_fini(&header);
    return rc;
}

static uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

/* The numbers of a frame as runs; see snap_index.h. */
static void put_runs(struct snap_writer *w, const struct snap_frame *f)
{
    uint32_t count = 1;

    for (uint32_t i = 1; i < f->page_count; i++)
        count += f->pgnos[i] != f->pgnos[i - 1] + 1;
    buf_varint(&w->runs, count);
    for (uint32_t i = 0, end; i < f->page_count; i = end) {
        for (end = i + 1; end < f->page_count && f->pgnos[end] == f->pgnos[end - 1] + 1;)
            end++;
        if (i == 0)
            buf_varint(&w->runs, zigzag((int64_t)f->pgnos[i] - (int64_t)w->next));
        else
            buf_varint(&w->runs, f->pgnos[i] - w->next);
        buf_varint(&w->runs, end - i - 1);
        w->next = (uint64_t)f->pgnos[end - 1] + 1;
    }
}

static void check_frame(const struct snap_writer *w, const struct snap_frame *f)
{
    assert(f->page_count > 0);
    assert(f->page_count <= snap_frame_pages(w->page_size));
    assert(f->pgnos[0] > 0);
    assert(f->pgnos[f->page_count - 1] <= DBFMT_PAGE_COUNT_MAX);
    for (uint32_t i = 0; i < f->page_count; i++) {
        assert(i == 0 || f->pgnos[i] > f->pgnos[i - 1]);
        assert(f->pgnos[i] != dbfmt_lock_page(w->page_size));
    }
}

/* Of several images of a page the last one counts. */
static struct rc note_hashes(struct snap_writer *w, const struct snap_frame *f, struct err *err)
{
    for (uint32_t i = 0; i < f->page_count; i++)
        TRY(page_hash_set(w->pages, f->pgnos[i], f->page_hashes[i], err));
    return RC_OK;
}

static struct rc add(struct snap_writer *w, const struct snap_frame *frame, struct buf *bytes, struct err *err)
{
    size_t before = bytes->size;

    check_frame(w, frame);
    if (w->frame_count == UINT32_MAX)
        return rc_raise(err, E_NOSPACE, "snapshot: more than %" PRIu32 " frames", w->frame_count);
    if (w->size == 0)
        TRY(put_header(w, bytes, err));
    buf_put(bytes, frame->stored.data, frame->stored.size);
    buf_varint(&w->runs, frame->stored.size);
    put_runs(w, frame);
    buf_u64(&w->hashes, frame->hash);
    TRY(buf_check(&w->runs, "snapshot index", err));
    TRY(buf_check(&w->hashes, "snapshot index", err));
    w->frame_count++;
    return account(w, bytes, before, err);
}

struct rc snap_writer_add(struct snap_writer *w, const struct snap_frame *frame, struct buf *bytes, struct err *err)
{
    assert(w->hash_pages == 0);
    if (w->pages != NULL)
        TRY(note_hashes(w, frame, err));
    return add(w, frame, bytes, err);
}

/* Hashes from w->next_hash on into one page, zeros behind them.  False: there are none left. */
static bool fill_hash_page(struct snap_writer *w, uint8_t *page)
{
    const struct page_hash *hashes = hashes_of(w);
    size_t used = 0;

    memset(page, 0, w->page_size);
    for (; w->next_hash <= page_hash_count(hashes) && used < w->page_size; w->next_hash++) {
        uint64_t hash = htole64(page_hash_get(hashes, w->next_hash));

        if (hash == 0)
            continue;
        memcpy(page + used, &hash, sizeof hash);
        used += sizeof hash;
    }
    return used > 0;
}

struct rc snap_writer_hashes(
    struct snap_writer *w, struct zstr_enc *z, uint32_t page_count, struct buf *bytes, bool *more, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *pages = mem_new(SNAP_FRAME_RAW_MAX);
    const uint32_t most = snap_frame_pages(w->page_size);
    CLEANUP(snap_frame_fini) struct snap_frame frame = {0};
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX], n = 0;

    assert(hashes_of(w) != NULL);
    *more = false;
    if (w->pages != NULL)
        TRY(page_hash_resize(w->pages, page_count, err)); /* the database shrank */
    assert(page_hash_count(hashes_of(w)) == page_count);
    if (snap_hashes_number(w->page_size, page_count, snap_hashes_pages(w->page_size, page_count)) == 0)
        return RC_OK; /* no numbers are left for them */
    while (n < most && fill_hash_page(w, pages + (size_t)n * w->page_size))
        pgnos[n++] = snap_hashes_number(w->page_size, page_count, w->hash_pages++);
    if (n == 0)
        return RC_OK;
    *more = w->next_hash <= page_count;
    TRY(snap_frame_encode(z, w->page_size, pgnos, pages, n, &frame, err));
    return add(w, &frame, bytes, err);
}

/* One block of the index; compressed only if `z` is there and it helps. */
static struct rc put_block(struct zstr_enc *z, struct span raw, struct buf *index, struct err *err)
{
    struct span stored = raw;
    struct buf small;
    struct rc rc = RC_OK;

    buf_init(&small, raw.size + BLOCK_ROOM);
    if (z != NULL) {
        rc = zstr_compress(z, (struct span){NULL, 0}, raw, &small, err);
        if (small.size < raw.size)
            stored = buf_span(&small);
    }
    if (!rc_failed(rc)) {
        buf_u32(index, (uint32_t)raw.size);
        buf_u32(index, (uint32_t)stored.size);
        buf_put(index, stored.data, stored.size);
        rc = buf_check(index, "snapshot index", err);
    }
    buf_fini(&small);
    return rc;
}

static struct rc put_blocks(struct zstr_enc *z, const struct buf *raw, struct buf *index, struct err *err)
{
    for (size_t at = 0; at < raw->size; at += SNAP_INDEX_BLOCK) {
        size_t n = raw->size - at < SNAP_INDEX_BLOCK ? raw->size - at : SNAP_INDEX_BLOCK;

        TRY(put_block(z, span_of(raw->data + at, n), index, err));
    }
    return RC_OK;
}

/* Hashes are random bytes: only the runs are worth compressing. */
static struct rc put_index(const struct snap_writer *w, struct buf *index, struct err *err)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = w->runs.size > INDEX_SMALL ? zstr_enc_new(INDEX_LEVEL) : NULL;

    if (w->runs.size + w->hashes.size > SNAP_INDEX_MAX)
        return rc_raise(err, E_NOSPACE, "snapshot index: %zu bytes are more than the limit of %d",
            w->runs.size + w->hashes.size, SNAP_INDEX_MAX);
    TRY(put_blocks(z, &w->runs, index, err));
    return put_blocks(NULL, &w->hashes, index, err);
}

static struct rc put_footer(const struct snap_writer *w, const struct snap_meta *meta, uint64_t index_offset,
    const struct buf *index, struct buf *footer, struct err *err)
{
    TRY(put_header(w, footer, err));
    buf_u32(footer, meta->timeline);
    buf_u32(footer, meta->page_size);
    buf_u64(footer, meta->txid);
    buf_u64(footer, (uint64_t)meta->time_ms);
    buf_u32(footer, meta->page_count);
    buf_u32(footer, w->frame_count);
    buf_u64(footer, meta->checksum);
    buf_u64(footer, index_offset);
    buf_u64(footer, index->size);
    buf_u64(footer, w->runs.size + w->hashes.size);
    buf_u64(footer, digest_bytes(index->data, index->size));
    if (is_partial(w)) {
        buf_u64(footer, meta->base_txid);
        buf_u64(footer, meta->base_checksum);
        buf_u32(footer, meta->level);
        buf_u32(footer, 0);
    }
    buf_u32(footer, is_partial(w) ? SNAP_FOOTER_SIZE_PARTIAL : SNAP_FOOTER_SIZE);
    buf_u32(footer, SNAP_FOOTER_MAGIC);
    TRY(buf_check(footer, "snapshot footer", err));
    buf_u64(footer, digest_bytes(footer->data, footer->size));
    TRY(buf_check(footer, "snapshot footer", err));
    assert(footer->size == (is_partial(w) ? SNAP_FOOTER_SIZE_PARTIAL : SNAP_FOOTER_SIZE));
    return RC_OK;
}

/* A snapshot that nobody can read is worse than none: what stands at the end must open, and hold every page. */
static struct rc read_back(const struct snap_writer *w, struct span tail, struct err *err)
{
    CLEANUP(snap_index_freep) struct snap_index *ix = NULL;
    uint64_t need;
    struct err inner;
    struct rc rc = snap_index_open(&ix, tail, w->size, &need, &inner);

    if (rc_failed(rc) && inner.code == E_CORRUPT)
        return rc_raise(err, E_BUG, "finish: %s", inner.msg);
    if (rc_failed(rc)) {
        *err = inner;
        return rc_of(err);
    }
    assert(need == 0);
    return RC_OK;
}

struct rc snap_writer_finish(struct snap_writer *w, const struct snap_meta *meta, struct buf *bytes, struct err *err)
{
    size_t before = bytes->size, start;
    struct buf index, footer;
    struct rc rc;

    assert(nonce_equal(&meta->database, &w->pack.database));
    assert(nonce_equal(&meta->writer, &w->pack.writer));
    assert(meta->page_size == w->page_size);
    assert((meta->level > 0) == is_partial(w));
    page_hash_free(MOVE(w->pages)); /* they are written, and what is read back below takes almost as much */
    w->known = NULL;
    if (w->size == 0)
        TRY(put_header(w, bytes, err));
    start = bytes->size;
    TRY(account(w, bytes, before, err));
    buf_init(&index, SNAP_INDEX_MAX);
    buf_init(&footer, SNAP_FOOTER_SIZE_PARTIAL);
    rc = put_index(w, &index, err);
    if (!rc_failed(rc))
        rc = put_footer(w, meta, w->size, &index, &footer, err);
    buf_put(bytes, index.data, index.size);
    buf_put(bytes, footer.data, footer.size);
    buf_fini(&index);
    buf_fini(&footer);
    TRY(rc);
    TRY(account(w, bytes, start, err));
    buf_u64(bytes, digest_value(w->digest));
    TRY(buf_check(bytes, "snapshot trailer", err));
    w->size += PACK_TRAILER_SIZE;
    return read_back(w, span_of(bytes->data + start, bytes->size - start), err);
}
