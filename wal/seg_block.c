/* SPDX-License-Identifier: Apache-2.0 */
#include "seg_block.h"

#include <assert.h>
#include <string.h>

void seg_block_begin(struct seg_block_map *m, uint32_t page_size)
{
    assert(dbfmt_page_size_ok(page_size));
    m->page_size = page_size;
    m->slot_max = SEG_BLOCK_IMAGES_MAX / page_size;
    m->count = 0;
    memset(m->index, 0, sizeof m->index);
}

static uint32_t hash(uint32_t pgno)
{
    return (pgno * 2654435761u) >> 21; /* Knuth's multiplier; the upper 11 bits */
}
_Static_assert(SEG_BLOCK_INDEX_SIZE == 1 << 11, "hash() yields 11 bits");

int seg_block_find(const struct seg_block_map *m, uint32_t pgno)
{
    for (uint32_t i = hash(pgno); m->index[i] != 0; i = (i + 1) % SEG_BLOCK_INDEX_SIZE) {
        int slot = m->index[i] - 1;

        if (m->slots[slot].pgno == pgno)
            return slot;
    }
    return -1;
}

uint32_t seg_block_add(struct seg_block_map *m, uint32_t pgno, bool based)
{
    uint32_t i = hash(pgno);

    assert(m->count < m->slot_max);
    while (m->index[i] != 0)
        i = (i + 1) % SEG_BLOCK_INDEX_SIZE;
    m->slots[m->count] = (struct seg_block_slot){.pgno = pgno, .based = based};
    m->index[i] = (uint16_t)(m->count + 1);
    return m->count++;
}

void seg_block_mark(struct seg_block_map *m, uint32_t slot, uint32_t start, uint32_t end)
{
    uint32_t granule = m->page_size / SEG_BLOCK_GRANULES;
    uint32_t first = (start < SEG_BLOCK_WIDEN ? 0 : start - SEG_BLOCK_WIDEN) / granule;
    uint32_t last = (end - 1 + SEG_BLOCK_WIDEN) / granule;

    assert(start < end);
    assert(end <= m->page_size);
    if (last >= SEG_BLOCK_GRANULES)
        last = SEG_BLOCK_GRANULES - 1;
    m->slots[slot].marks |= (UINT64_MAX << first) & (UINT64_MAX >> (SEG_BLOCK_GRANULES - 1 - last));
}

void seg_block_prefix(const struct seg_block_map *m, const uint8_t *images, struct buf *out)
{
    uint32_t granule = m->page_size / SEG_BLOCK_GRANULES;

    for (uint32_t slot = 0; slot < m->count; slot++) {
        const uint8_t *image = images + (size_t)slot * m->page_size;
        uint64_t marks = m->slots[slot].based ? m->slots[slot].marks : 0;

        while (marks != 0) {
            unsigned first = (unsigned)__builtin_ctzll(marks);
            uint64_t rest = ~(marks >> first); /* its lowest bit set tells the length of the run */
            unsigned count = rest == 0 ? SEG_BLOCK_GRANULES : (unsigned)__builtin_ctzll(rest);

            buf_put(out, image + first * granule, count * granule);
            marks = first + count >= SEG_BLOCK_GRANULES ? 0 : marks & (UINT64_MAX << (first + count));
        }
    }
}

bool seg_block_pgno_ok(uint32_t pgno, uint32_t page_size)
{
    return pgno != 0 && pgno <= DBFMT_PAGE_COUNT_MAX && pgno != dbfmt_lock_page(page_size);
}

struct rc seg_block_put_stream(
    struct buf *out, struct zstr_enc *z, struct buf *scratch, struct span prefix, struct span data, struct err *err)
{
    buf_clear(scratch);
    if (data.size >= SEG_BLOCK_STREAM_MIN || prefix.size > 0)
        TRY(zstr_compress(z, prefix, data, scratch, err));
    if (scratch->size > 0 && scratch->size < data.size) {
        buf_varint(out, (uint64_t)data.size << 1 | 1);
        buf_varint(out, scratch->size);
        buf_put(out, scratch->data, scratch->size);
    } else {
        buf_varint(out, (uint64_t)data.size << 1);
        buf_put(out, data.data, data.size);
    }
    return buf_check(out, "blocks of a segment", err);
}

void seg_block_take_stream(struct cursor *c, size_t max, struct seg_block_stream *out)
{
    uint64_t head = cursor_varint_max(c, (uint64_t)max << 1 | 1);

    out->size = (size_t)(head >> 1);
    out->compressed = (head & 1) != 0;
    /* What is compressed is smaller than its content, or it would not be. */
    out->stored = cursor_bytes(c, out->compressed ? (size_t)cursor_varint_max(c, out->size) : out->size);
}

struct rc seg_block_open_stream(const struct seg_block_stream *s, struct zstr_dec *z, struct span prefix,
    struct buf *room, struct span *out, struct err *err)
{
    uint8_t *at;

    if (!s->compressed) {
        *out = s->stored;
        return RC_OK;
    }
    buf_clear(room);
    at = buf_grow(room, s->size);
    if (at == NULL)
        return buf_check(room, "content of a block", err);
    TRY(zstr_decompress(z, prefix, s->stored, at, s->size, err));
    *out = span_of(at, s->size);
    return RC_OK;
}
