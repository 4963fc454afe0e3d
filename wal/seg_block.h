/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_block - what the two sides of a block have in common (docs/format.md, "Segments"): its limits, its streams, and
 * the prefix that both must build alike.
 *
 * A block is a directory (which pages, which byte ranges) and the data (the new bytes of those ranges), each one
 * stream.  The data is compressed against a prefix that is not stored: pieces of the old images of the block's pages.
 * The directory alone tells which pieces, so the decoder can fetch them before it decompresses anything:
 *
 *     seg_block_begin(m, page_size)
 *     slot = seg_block_find() or seg_block_add()     for every change, in order
 *     seg_block_mark(m, slot, start, end)            for every range
 *     seg_block_prefix(m, images, out)               images[slot * page_size]: the page before the block
 *
 * Used by seg_enc and seg_dec only.
 */
#ifndef SEG_BLOCK_H
#define SEG_BLOCK_H

#include "dbfmt.h"
#include "seg.h"
#include "zstr.h"

enum {
    /* What one block may hold.  More pages compress better (page splits: 16 to 22 % from 256 to 512 KiB, 0 to 4 % from
     * to 1 MiB), fewer need less memory; both sides need about three times this. */
    SEG_BLOCK_IMAGES_MAX = 512 << 10, /* bytes of different pages */
    SEG_BLOCK_DATA_MAX = 512 << 10,
    SEG_BLOCK_DIR_MAX = 128 << 10,
    SEG_BLOCK_CHANGES_MAX = 4096, /* bounds the work that a few hostile bytes can ask for */

    SEG_BLOCK_SLOTS_MAX = 1024, /* SEG_BLOCK_IMAGES_MAX in pages of 512 bytes */
    SEG_BLOCK_INDEX_SIZE = 2048,
    SEG_BLOCK_GRANULES = 64,   /* a page's marks are the bits of a word */
    SEG_BLOCK_WIDEN = 64,      /* bytes before and after a range that go into the prefix */
    SEG_BLOCK_STREAM_MIN = 48, /* shorter streams are not worth an attempt to compress them */
    SEG_BLOCK_LEVEL = 3,
};
_Static_assert(SEG_BLOCK_SLOTS_MAX *DBFMT_PAGE_SIZE_MIN == SEG_BLOCK_IMAGES_MAX, "slots for the smallest pages");
_Static_assert(SEG_BLOCK_INDEX_SIZE >= 2 * SEG_BLOCK_SLOTS_MAX, "half of the index stays free");

struct seg_block_map {
    uint32_t page_size, slot_max;
    uint32_t count;
    uint16_t index[SEG_BLOCK_INDEX_SIZE]; /* slot + 1, by the hash of the page number */
    struct seg_block_slot {
        uint64_t marks; /* 64ths of the page that belong into the prefix */
        uint32_t pgno;
        bool based; /* its first change in the block has a base */
    } slots[SEG_BLOCK_SLOTS_MAX];
};

/* An empty block. */
void seg_block_begin(struct seg_block_map *m, uint32_t page_size);
/* The slot of a page, or -1. */
int seg_block_find(const struct seg_block_map *m, uint32_t pgno);
/* A new slot for a page that has none; there must be room (count < slot_max). */
uint32_t seg_block_add(struct seg_block_map *m, uint32_t pgno, bool based);
/* Bytes start to end - 1 of the page change. */
void seg_block_mark(struct seg_block_map *m, uint32_t slot, uint32_t start, uint32_t end);
/* Append the marked pieces of all based pages to `out`. */
void seg_block_prefix(const struct seg_block_map *m, const uint8_t *images, struct buf *out);

/* True for a page number that a segment can hold: not 0, within SQLite's limit, not the lock page. */
bool seg_block_pgno_ok(uint32_t pgno, uint32_t page_size);

/* Signed numbers as varints: 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
static inline uint64_t seg_block_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t seg_block_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/*
 * A stream: varint size * 2 + compressed, then for a compressed one varint stored size, then the bytes.  Compressed
 * only when that is smaller; `scratch` is overwritten.
 */
MUST_USE struct rc seg_block_put_stream(
    struct buf *out, struct zstr_enc *z, struct buf *scratch, struct span prefix, struct span data, struct err *err);

/* A stream as it is stored. */
struct seg_block_stream {
    size_t size; /* of the content */
    bool compressed;
    struct span stored;
};
/* Sets the cursor's `bad` when the stream is malformed or its content longer than `max`. */
void seg_block_take_stream(struct cursor *c, size_t max, struct seg_block_stream *out);
/* The content: borrowed where it is stored plainly, else decompressed into `room`. */
MUST_USE struct rc seg_block_open_stream(const struct seg_block_stream *s, struct zstr_dec *z, struct span prefix,
    struct buf *room, struct span *out, struct err *err);

#endif
