/* SPDX-License-Identifier: Apache-2.0 */
#include "snap_index.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "snap_frame.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_HEADER_SIZE = 8,
    HASH_SIZE = 8,
    PAGES_ROOM_MIN = SNAP_FRAME_PAGES_MAX,
    /* Size, number of runs, one run, hash / as many runs as there can be pages, every varint at its longest. */
    FRAME_RAW_MIN = 1 + 1 + 2 + HASH_SIZE,
    FRAME_RAW_MAX = 3 + 2 + SNAP_FRAME_PAGES_MAX * (5 + 2) + HASH_SIZE,
};

struct frame {
    uint64_t offset;
    uint64_t hash;
    uint64_t first; /* of its pages in snap_index.pgnos */
    uint32_t size;
    uint32_t page_count;
};

struct snap_index {
    struct snap_meta meta;
    struct frame *frames; /* owned */
    size_t frame_count;
    uint32_t *pgnos;     /* owned: of all frames, one after the other */
    uint8_t *superseded; /* owned: as many */
    size_t total, room;  /* pages in `pgnos`, and for how many there is memory */
};

/* The footer's fields that only the opening needs. */
struct footer {
    struct snap_meta meta;
    bool partial; /* a merge */
    uint16_t header_size;
    uint32_t frame_count;
    uint64_t index_offset, index_size, raw_size, index_hash;
};

void snap_index_free(struct snap_index *ix)
{
    if (ix == NULL)
        return;
    mem_free(ix->frames);
    mem_free(ix->pgnos);
    mem_free(ix->superseded);
    mem_free(ix);
}

void snap_index_freep(struct snap_index **ix)
{
    snap_index_free(*ix);
    *ix = NULL;
}

const struct snap_meta *snap_index_meta(const struct snap_index *ix)
{
    return &ix->meta;
}

size_t snap_index_frame_count(const struct snap_index *ix)
{
    return ix->frame_count;
}

struct snap_index_frame snap_index_frame(const struct snap_index *ix, size_t i)
{
    const struct frame *f = &ix->frames[i];

    assert(i < ix->frame_count);
    return (struct snap_index_frame){
        .offset = f->offset,
        .size = f->size,
        .hash = f->hash,
        .page_count = f->page_count,
        .pgnos = ix->pgnos + f->first,
        .superseded = ix->superseded + f->first,
    };
}

void snap_index_skip(struct snap_index *ix, size_t i, uint32_t k)
{
    assert(i < ix->frame_count);
    assert(k < ix->frames[i].page_count);
    ix->superseded[ix->frames[i].first + k] = 1;
}

/* --- footer ---------------------------------------------------------------------------------------------------- */

static struct span last(struct span bytes, size_t n)
{
    assert(n <= bytes.size);
    if (n == bytes.size)
        return bytes; /* which may have no address */
    return span_of(bytes.data + (bytes.size - n), n);
}

/* The footer's size from its end, and that it is a footer at all. */
static struct rc find_footer(struct span tail, uint64_t object_size, size_t *out, struct err *err)
{
    struct cursor c = cursor_of(last(tail, SNAP_FOOTER_END + PACK_TRAILER_SIZE));
    uint32_t size = cursor_u32(&c), magic = cursor_u32(&c);

    if (magic != SNAP_FOOTER_MAGIC)
        return rc_raise(err, E_CORRUPT, "snapshot: no footer at the end of %" PRIu64 " bytes", object_size);
    if (size < SNAP_FOOTER_SIZE || size > SNAP_FOOTER_MAX || size > object_size - PACK_HEADER_SIZE - PACK_TRAILER_SIZE)
        return rc_raise(
            err, E_CORRUPT, "snapshot footer: a size of %" PRIu32 " bytes in an object of %" PRIu64, size, object_size);
    *out = size;
    return RC_OK;
}

/* A merge leads from one state to a later one. */
static struct rc check_base(const struct snap_meta *m, struct err *err)
{
    if (m->level == 0 || m->level > SNAP_LEVEL_MAX)
        return rc_raise(err, E_CORRUPT, "merge footer: level %u", m->level);
    if (m->base_txid == 0 || m->base_txid >= m->txid)
        return rc_raise(err, E_CORRUPT, "merge footer: from txid %" PRIu64 " to txid %" PRIu64, m->base_txid, m->txid);
    return RC_OK;
}

/* Sizes against each other and against the object; `end` is where the footer begins. */
static struct rc check_footer(const struct footer *f, uint64_t end, struct err *err)
{
    uint64_t body;

    if (!dbfmt_page_size_ok(f->meta.page_size))
        return rc_raise(err, E_CORRUPT, "snapshot footer: page size %" PRIu32, f->meta.page_size);
    if (f->meta.page_count > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(
            err, E_CORRUPT, "snapshot footer: %" PRIu32 " pages are more than SQLite can have", f->meta.page_count);
    if (f->index_offset < f->header_size || f->index_offset > end || f->index_size != end - f->index_offset)
        return rc_raise(err, E_CORRUPT,
            "snapshot footer: an index of %" PRIu64 " bytes at %" PRIu64 " does not end at the footer at %" PRIu64,
            f->index_size, f->index_offset, end);
    if (f->index_size > SNAP_INDEX_MAX || f->raw_size > SNAP_INDEX_MAX)
        return rc_raise(err, E_CORRUPT,
            "snapshot footer: an index of %" PRIu64 " bytes, %" PRIu64 " raw, is over the limit of %d", f->index_size,
            f->raw_size, SNAP_INDEX_MAX);
    body = f->index_offset - f->header_size;
    if (f->frame_count > body / SNAP_FRAME_STORED_MIN)
        return rc_raise(
            err, E_CORRUPT, "snapshot footer: %" PRIu32 " frames cannot be in %" PRIu64 " bytes", f->frame_count, body);
    if (f->raw_size < (uint64_t)f->frame_count * FRAME_RAW_MIN
        || f->raw_size > (uint64_t)f->frame_count * FRAME_RAW_MAX)
        return rc_raise(err, E_CORRUPT,
            "snapshot footer: %" PRIu32 " frames do not fit a raw index of %" PRIu64 " bytes", f->frame_count,
            f->raw_size);
    return f->partial ? check_base(&f->meta, err) : RC_OK;
}

static struct rc read_footer(struct span bytes, struct footer *f, struct err *err)
{
    struct cursor c = cursor_of(last(bytes, HASH_SIZE));
    struct pack_header pack;

    if (cursor_u64(&c) != digest_bytes(bytes.data, bytes.size - HASH_SIZE))
        return rc_raise(err, E_CORRUPT, "snapshot footer: checksum mismatch over %zu bytes", bytes.size);
    TRY_CTX(pack_decode_header(bytes, PACK_SNAPSHOT, SNAP_PARTIAL, &pack, err), err, "snapshot footer");
    c = cursor_of(bytes);
    (void)cursor_bytes(&c, pack.size);
    f->header_size = pack.size;
    f->partial = (pack.required & SNAP_PARTIAL) != 0;
    f->meta.hashed = (pack.optional & SNAP_HASHED) != 0;
    f->meta.database = pack.database;
    f->meta.writer = pack.writer;
    f->meta.timeline = cursor_u32(&c);
    f->meta.page_size = cursor_u32(&c);
    f->meta.txid = cursor_u64(&c);
    f->meta.time_ms = (int64_t)cursor_u64(&c);
    f->meta.page_count = cursor_u32(&c);
    f->frame_count = cursor_u32(&c);
    f->meta.checksum = cursor_u64(&c);
    f->index_offset = cursor_u64(&c);
    f->index_size = cursor_u64(&c);
    f->raw_size = cursor_u64(&c);
    f->index_hash = cursor_u64(&c);
    if (f->partial) {
        f->meta.base_txid = cursor_u64(&c);
        f->meta.base_checksum = cursor_u64(&c);
        f->meta.level = cursor_u32(&c);
        (void)cursor_u32(&c);
    }
    if (cursor_left(&c) < SNAP_FOOTER_END)
        c.bad = true; /* a longer header in a footer that did not grow with it */
    return cursor_check(&c, "snapshot footer", err);
}

/* --- index ----------------------------------------------------------------------------------------------------- */

static struct rc unpack_block(struct zstr_dec *z, struct cursor *c, uint64_t room, struct buf *raw, struct err *err)
{
    size_t raw_size = cursor_u32(c), stored_size = cursor_u32(c);
    struct span stored;
    uint8_t *at;

    TRY(cursor_check(c, "block", err));
    if (raw_size == 0 || raw_size > SNAP_INDEX_BLOCK || raw_size > room || stored_size > raw_size)
        return rc_raise(
            err, E_CORRUPT, "block: %zu bytes, %zu raw, with %" PRIu64 " raw bytes to go", stored_size, raw_size, room);
    stored = cursor_bytes(c, stored_size);
    TRY(cursor_check(c, "block", err));
    at = buf_grow(raw, raw_size);
    if (at == NULL)
        return buf_check(raw, "raw", err);
    if (stored_size < raw_size)
        return zstr_decompress(z, (struct span){NULL, 0}, stored, at, raw_size, err);
    memcpy(at, stored.data, raw_size);
    return RC_OK;
}

/* All blocks, one behind the other, in `raw`. */
static struct rc unpack(struct span index, const struct footer *f, struct buf *raw, struct err *err)
{
    CLEANUP(zstr_dec_freep) struct zstr_dec *z = zstr_dec_new();
    struct cursor c = cursor_of(index);

    while (cursor_left(&c) > 0)
        TRY_CTX(unpack_block(z, &c, f->raw_size - raw->size, raw, err), err, "snapshot index");
    if (raw->size != f->raw_size)
        return rc_raise(
            err, E_CORRUPT, "snapshot index: %zu raw bytes, the footer says %" PRIu64, raw->size, f->raw_size);
    return RC_OK;
}

static struct rc add_run(struct snap_index *ix, struct frame *f, uint64_t first, uint64_t count, struct err *err)
{
    uint32_t lock = dbfmt_lock_page(ix->meta.page_size), limit = snap_frame_pages(ix->meta.page_size);

    if (first == 0)
        return rc_raise(err, E_CORRUPT, "page 0");
    if (count > limit - f->page_count)
        return rc_raise(err, E_CORRUPT, "%" PRIu64 " pages where %" PRIu32 " fit", f->page_count + count, limit);
    if (first > DBFMT_PAGE_COUNT_MAX || count > DBFMT_PAGE_COUNT_MAX - first + 1)
        return rc_raise(err, E_CORRUPT, "page %" PRIu64 ", which SQLite cannot have", first + count - 1);
    if (first <= lock && lock < first + count)
        return rc_raise(err, E_CORRUPT, "page %" PRIu32 ", which is the lock page", lock);
    if (ix->room - ix->total < count) {
        size_t room = ix->room == 0 ? PAGES_ROOM_MIN : ix->room * 2;
        uint32_t *pgnos = mem_resize(ix->pgnos, room, sizeof *pgnos);

        if (pgnos == NULL)
            return rc_raise(err, E_NOMEM, "memory for %zu page numbers", room);
        ix->pgnos = pgnos;
        ix->room = room;
    }
    for (uint64_t k = 0; k < count; k++)
        ix->pgnos[ix->total++] = (uint32_t)(first + k);
    f->page_count += (uint32_t)count;
    return RC_OK;
}

/* `*next` is the page behind the last one of the frame before, then of this one. */
static struct rc read_runs(struct snap_index *ix, struct frame *f, struct cursor *c, uint64_t *next, struct err *err)
{
    uint64_t runs = cursor_varint_max(c, SNAP_FRAME_PAGES_MAX);

    TRY(cursor_check(c, "number of runs", err));
    if (runs == 0)
        return rc_raise(err, E_CORRUPT, "no pages");
    for (uint64_t k = 0; k < runs; k++) {
        uint64_t step = cursor_varint_max(c, (uint64_t)DBFMT_PAGE_COUNT_MAX * 2 + 1);
        uint64_t count = cursor_varint_max(c, SNAP_FRAME_PAGES_MAX - 1) + 1, first;

        TRY(cursor_check(c, "run of pages", err));
        if (k > 0 && step == 0)
            return rc_raise(err, E_CORRUPT, "two runs of pages touch before page %" PRIu64, *next);
        if (k > 0)
            first = *next + step;
        else if ((step & 1) == 0)
            first = *next + step / 2;
        else if (step / 2 + 1 <= *next)
            first = *next - (step / 2 + 1);
        else
            return rc_raise(err, E_CORRUPT, "a page number below 0");
        TRY(add_run(ix, f, first, count, err));
        *next = first + count;
    }
    return RC_OK;
}

/* A frame at `f->offset`, which may reach to `end` at most. */
static struct rc read_frame(
    struct snap_index *ix, struct frame *f, uint64_t end, struct cursor *c, uint64_t *next, struct err *err)
{
    uint64_t size = cursor_varint(c);

    TRY(cursor_check(c, "stored size", err));
    if (size < SNAP_FRAME_STORED_MIN || size > SNAP_FRAME_STORED_MAX)
        return rc_raise(err, E_CORRUPT, "a stored size of %" PRIu64 " bytes", size);
    if (size > end - f->offset)
        return rc_raise(err, E_CORRUPT, "%" PRIu64 " bytes at %" PRIu64 " reach over the end of all frames at %" PRIu64,
            size, f->offset, end);
    f->size = (uint32_t)size;
    return read_runs(ix, f, c, next, err);
}

static struct rc read_frames(struct snap_index *ix, const struct footer *foot, struct span raw, struct err *err)
{
    size_t hashes_size = (size_t)foot->frame_count * HASH_SIZE;
    struct cursor c = cursor_of(span_of(raw.data, raw.size - hashes_size)), hashes = cursor_of(last(raw, hashes_size));
    uint64_t offset = foot->header_size, next = 1;

    for (size_t i = 0; i < foot->frame_count; i++) {
        struct frame *f = &ix->frames[i];

        *f = (struct frame){.offset = offset, .hash = cursor_u64(&hashes), .first = ix->total};
        TRY_CTX(read_frame(ix, f, foot->index_offset, &c, &next, err), err, "snapshot index: frame %zu of %" PRIu32, i,
            foot->frame_count);
        offset += f->size;
    }
    if (offset != foot->index_offset)
        return rc_raise(err, E_CORRUPT, "snapshot index: frames end at %" PRIu64 ", the index begins at %" PRIu64,
            offset, foot->index_offset);
    return cursor_finish(&c, "snapshot index", err);
}

/* The first page that no frame has; there is one. */
static uint32_t first_missing(const uint8_t *seen, uint32_t lock)
{
    uint32_t pgno = 1;

    while (pgno == lock || (seen[pgno / 8] >> (pgno % 8) & 1) != 0)
        pgno++;
    return pgno;
}

/* From the last frame to the first: the first image met of a page within the database is the one that counts. */
static struct rc supersede(struct snap_index *ix, struct err *err)
{
    uint32_t pages = ix->meta.page_count, lock = dbfmt_lock_page(ix->meta.page_size);
    uint64_t expected = pages - (uint64_t)(lock <= pages), found = 0;
    CLEANUP(mem_freep) uint8_t *seen = NULL;

    /* Before there is memory for a claimed page count, there must be as many pages. */
    if (expected > ix->total)
        return rc_raise(err, E_CORRUPT,
            "snapshot index: a database of %" PRIu32 " pages with %zu pages in all frames together", pages, ix->total);
    seen = mem_try((size_t)pages / 8 + 1, 1);
    ix->superseded = mem_try(ix->total + 1, 1);
    if (seen == NULL || ix->superseded == NULL)
        return rc_raise(err, E_NOMEM, "snapshot index: memory for %zu pages", ix->total);
    for (size_t i = ix->total; i-- > 0;) {
        uint32_t pgno = ix->pgnos[i];
        uint8_t bit = (uint8_t)(1u << (pgno % 8));

        if (pgno > pages || (seen[pgno / 8] & bit) != 0) {
            ix->superseded[i] = 1;
            continue;
        }
        seen[pgno / 8] |= bit;
        found++;
    }
    if (found != expected)
        return rc_raise(err, E_CORRUPT, "snapshot index: page %" PRIu32 " of %" PRIu32 " is in no frame",
            first_missing(seen, lock), pages);
    return RC_OK;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/*
 * The same for a merge, where pages may be missing, so that nothing speaks for the page count that it claims: memory is
 * taken for the pages that it has.
 */
static struct rc supersede_partial(struct snap_index *ix, struct err *err)
{
    CLEANUP(mem_freep) uint64_t *places = NULL; /* page number, place in `pgnos` */

    if (ix->total > UINT32_MAX)
        return rc_raise(err, E_UNSUPPORTED, "merge index: %zu pages are too many", ix->total);
    places = mem_try(ix->total + 1, sizeof *places);
    ix->superseded = mem_try(ix->total + 1, 1);
    if (places == NULL || ix->superseded == NULL)
        return rc_raise(err, E_NOMEM, "merge index: memory for %zu pages", ix->total);
    for (size_t i = 0; i < ix->total; i++)
        places[i] = (uint64_t)ix->pgnos[i] << 32 | i;
    qsort(places, ix->total, sizeof *places, by_value);
    for (size_t i = 0; i < ix->total; i++) {
        uint32_t pgno = (uint32_t)(places[i] >> 32);

        if (pgno > ix->meta.page_count || (i + 1 < ix->total && places[i + 1] >> 32 == pgno))
            ix->superseded[(uint32_t)places[i]] = 1;
    }
    return RC_OK;
}

static struct rc read_index(
    struct snap_index *ix, const struct footer *f, struct span index, struct buf *raw, struct err *err)
{
    if (digest_bytes(index.data, index.size) != f->index_hash)
        return rc_raise(err, E_CORRUPT, "snapshot index: checksum mismatch over %zu bytes", index.size);
    TRY(unpack(index, f, raw, err));
    ix->meta = f->meta;
    ix->frame_count = f->frame_count;
    ix->frames = mem_try((size_t)f->frame_count + 1, sizeof *ix->frames);
    if (ix->frames == NULL)
        return rc_raise(err, E_NOMEM, "snapshot index: memory for %" PRIu32 " frames", f->frame_count);
    TRY(read_frames(ix, f, buf_span(raw), err));
    return f->partial ? supersede_partial(ix, err) : supersede(ix, err);
}

/* Somebody has the whole object in hand: then its begin and its trailer can be held against the footer. */
static struct rc check_whole(struct span object, const struct footer *f, struct err *err)
{
    struct pack_header pack;
    struct span body;

    TRY_CTX(pack_open(object, PACK_SNAPSHOT, SNAP_PARTIAL, &pack, &body, err), err, "snapshot");
    if (pack.size != f->header_size || ((pack.required & SNAP_PARTIAL) != 0) != f->partial
        || !nonce_equal(&pack.database, &f->meta.database) || !nonce_equal(&pack.writer, &f->meta.writer))
        return rc_raise(err, E_CORRUPT, "snapshot: the header and the footer's copy of it differ");
    return RC_OK;
}

static struct rc ask_for(uint64_t wanted, uint64_t *need)
{
    *need = wanted;
    return RC_OK;
}

struct rc snap_index_open(
    struct snap_index **out, struct span tail, uint64_t object_size, uint64_t *need, struct err *err)
{
    const uint64_t min = PACK_HEADER_SIZE + SNAP_FOOTER_SIZE + PACK_TRAILER_SIZE;
    CLEANUP(snap_index_freep) struct snap_index *ix = NULL;
    struct footer f = {0};
    size_t footer_size;
    struct buf raw;
    uint64_t wanted;
    struct rc rc;

    if (object_size < min)
        return rc_raise(err, E_CORRUPT, "snapshot: %" PRIu64 " bytes are too few", object_size);
    if (tail.size > object_size)
        return rc_raise(
            err, E_CORRUPT, "snapshot: a tail of %zu bytes from an object of %" PRIu64, tail.size, object_size);
    wanted = object_size < SNAP_TAIL_SIZE ? object_size : SNAP_TAIL_SIZE;
    if (tail.size < SNAP_FOOTER_END + PACK_TRAILER_SIZE)
        return ask_for(wanted, need);
    TRY(find_footer(tail, object_size, &footer_size, err));
    if (tail.size < footer_size + PACK_TRAILER_SIZE)
        return ask_for(wanted, need);
    TRY(read_footer(last(span_of(tail.data, tail.size - PACK_TRAILER_SIZE), footer_size), &f, err));
    TRY(check_footer(&f, object_size - PACK_TRAILER_SIZE - footer_size, err));
    wanted = object_size - f.index_offset;
    if (tail.size < wanted)
        return ask_for(wanted, need);
    if (tail.size == object_size)
        TRY(check_whole(tail, &f, err));
    ix = mem_new(sizeof *ix);
    buf_init(&raw, SNAP_INDEX_MAX);
    rc = read_index(ix, &f, span_of(tail.data + (tail.size - wanted), (size_t)f.index_size), &raw, err);
    buf_fini(&raw);
    TRY(rc);
    *out = MOVE(ix);
    *need = 0;
    return RC_OK;
}
