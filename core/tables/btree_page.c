/* SPDX-License-Identifier: Apache-2.0 */
#include "btree_page.h"

#include <string.h>

enum {
    OFF_RESERVED = 20,
    OFF_FIRST_TRUNK = 32,
    OFF_LARGEST_ROOT = 52, /* 0 without auto_vacuum */
    OFF_ENCODING = 56,

    TYPE_INDEX_INTERIOR = 2,
    TYPE_TABLE_INTERIOR = 5,
    TYPE_INDEX_LEAF = 10,
    TYPE_TABLE_LEAF = 13,

    LEAF_HEADER = 8,
    INTERIOR_HEADER = 12,
    VARINT_MAX = 9,
};

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool btree_page_file(const uint8_t *page1, uint32_t page_size, struct btree_page_file *out)
{
    struct dbfmt_header h;
    struct err ignored;

    if (rc_failed(dbfmt_decode_header(span_of(page1, page_size), &h, &ignored)) || h.page_size != page_size)
        return false;
    *out = (struct btree_page_file){
        .page_size = page_size,
        .usable = page_size - page1[OFF_RESERVED],
        .auto_vacuum = get32(page1 + OFF_LARGEST_ROOT) != 0,
        .encoding = get32(page1 + OFF_ENCODING),
        .first_trunk = get32(page1 + OFF_FIRST_TRUNK),
    };
    return true;
}

/* Pointer maps stand at regular distances from page 2 on; the lock page pushes one to the page behind it. */
bool btree_page_is_pointer_map(const struct btree_page_file *f, uint32_t pgno)
{
    uint32_t stride = f->usable / 5 + 1, at;

    if (!f->auto_vacuum || pgno < 2)
        return false;
    at = (pgno - 2) / stride * stride + 2;
    if (at == dbfmt_lock_page(f->page_size))
        at++;
    return at == pgno;
}

/* --- b-tree pages --------------------------------------------------------------------------------------------------
 */

bool btree_page_open(const struct btree_page_file *f, uint32_t pgno, const uint8_t *page, struct btree_page *out)
{
    struct btree_page p = {.file = f, .page = page, .header = pgno == 1 ? DBFMT_HEADER_SIZE : 0};
    const uint8_t *h = page + p.header;
    uint32_t size;

    p.type = h[0];
    p.interior = p.type == TYPE_INDEX_INTERIOR || p.type == TYPE_TABLE_INTERIOR;
    p.table = p.type == TYPE_TABLE_LEAF || p.type == TYPE_TABLE_INTERIOR;
    if (!p.interior && !p.table && p.type != TYPE_INDEX_LEAF)
        return false;
    size = p.interior ? INTERIOR_HEADER : LEAF_HEADER;
    p.cell_count = get16(h + 3);
    if (p.header + size + 2 * p.cell_count > f->usable)
        return false;
    if (p.interior)
        p.right = get32(h + 8);
    *out = p;
    return true;
}

/* SQLite's varint: big-endian, 7 bits a byte, all 8 of a ninth one. */
static bool take_varint(const struct btree_page *p, uint32_t *at, uint64_t *out)
{
    uint64_t v = 0;

    for (int i = 0; i < VARINT_MAX; i++) {
        uint8_t byte;

        if (*at >= p->file->usable)
            return false;
        byte = p->page[(*at)++];
        if (i == VARINT_MAX - 1) {
            *out = v << 8 | byte;
            return true;
        }
        v = v << 7 | (byte & 0x7f);
        if ((byte & 0x80) == 0)
            break;
    }
    *out = v;
    return true;
}

/* How much of a payload of this size stands in the page itself. */
static uint32_t local_size(const struct btree_page *p, uint64_t payload)
{
    const uint32_t u = p->file->usable, min = (u - 12) * 32 / 255 - 23;
    const uint32_t max = p->table ? u - 35 : (u - 12) * 64 / 255 - 23;
    uint32_t k;

    if (payload <= max)
        return (uint32_t)payload;
    k = min + (uint32_t)((payload - min) % (u - 4));
    return k <= max ? k : min;
}

bool btree_page_cell(const struct btree_page *p, uint32_t i, struct btree_page_cell *out)
{
    const uint32_t usable = p->file->usable;
    const uint32_t first = p->header + (p->interior ? INTERIOR_HEADER : LEAF_HEADER);
    struct btree_page_cell c = {0};
    uint32_t at, local;
    uint64_t row;

    if (i >= p->cell_count)
        return false;
    at = get16(p->page + first + (size_t)2 * i);
    if (p->interior) {
        if (at + 4 > usable)
            return false;
        c.child = get32(p->page + at);
        at += 4;
    }
    if (!p->interior || !p->table) {
        if (!take_varint(p, &at, &c.payload_size) || (p->table && !take_varint(p, &at, &row)))
            return false;
        local = local_size(p, c.payload_size);
        if (at > usable || local > usable - at)
            return false;
        c.local = span_of(p->page + at, local);
        at += local;
        if (local < c.payload_size) {
            if (at + 4 > usable)
                return false;
            c.overflow = get32(p->page + at);
        }
    }
    *out = c;
    return true;
}

/* --- other pages ---------------------------------------------------------------------------------------------------
 */

bool btree_page_trunk(const struct btree_page_file *f, const uint8_t *page, uint32_t *next, uint32_t *leaf_count)
{
    *next = get32(page);
    *leaf_count = get32(page + 4);
    return *leaf_count <= f->usable / 4 - 2;
}

uint32_t btree_page_trunk_leaf(const uint8_t *page, uint32_t i)
{
    return get32(page + 8 + (size_t)4 * i);
}

uint32_t btree_page_overflow_next(const uint8_t *page)
{
    return get32(page);
}
