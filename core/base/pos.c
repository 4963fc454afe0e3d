/* SPDX-License-Identifier: Apache-2.0 */
#include "pos.h"

#include "dbfmt.h"
#include "rng.h"
#include "strx.h"

#include <string.h>

enum { FLAG_BIG_ENDIAN = 1, FLAG_VALID = 2 };

static void encode_wal(const struct wal_pos *w, struct buf *out)
{
    buf_u32(out, w->salt[0]);
    buf_u32(out, w->salt[1]);
    buf_u32(out, w->change_count);
    buf_u32(out, w->page_size);
    buf_u32(out, w->frame);
    buf_u32(out, w->cksum[0]);
    buf_u32(out, w->cksum[1]);
    buf_u32(out, (w->big_endian ? FLAG_BIG_ENDIAN : 0u) | (w->valid ? FLAG_VALID : 0u));
}

void pos_encode(const struct pos *p, struct buf *out)
{
    buf_u32(out, p->timeline);
    buf_u64(out, p->txid);
    buf_u64(out, (uint64_t)p->time_ms);
    buf_u64(out, p->checksum);
    buf_u32(out, p->page_size);
    buf_u32(out, p->page_count);
    encode_wal(&p->wal, out);
}

/* 0 stands for "not known yet". */
static bool page_size_ok(uint32_t n)
{
    return n == 0 || dbfmt_page_size_ok(n);
}

static bool decode_wal(struct cursor *c, struct wal_pos *w)
{
    uint32_t flags;

    w->salt[0] = cursor_u32(c);
    w->salt[1] = cursor_u32(c);
    w->change_count = cursor_u32(c);
    w->page_size = cursor_u32(c);
    w->frame = cursor_u32(c);
    w->cksum[0] = cursor_u32(c);
    w->cksum[1] = cursor_u32(c);
    flags = cursor_u32(c);
    w->big_endian = (flags & FLAG_BIG_ENDIAN) != 0;
    w->valid = (flags & FLAG_VALID) != 0;
    return (flags & ~(uint32_t)(FLAG_BIG_ENDIAN | FLAG_VALID)) == 0 && page_size_ok(w->page_size)
           && (!w->valid || w->page_size != 0);
}

void pos_decode(struct cursor *c, struct pos *out)
{
    struct pos p = {0};
    bool ok;

    p.timeline = cursor_u32(c);
    p.txid = cursor_u64(c);
    p.time_ms = (int64_t)cursor_u64(c);
    p.checksum = cursor_u64(c);
    p.page_size = cursor_u32(c);
    p.page_count = cursor_u32(c);
    ok = decode_wal(c, &p.wal) && page_size_ok(p.page_size) && p.page_count <= DBFMT_PAGE_COUNT_MAX
         && (p.page_size != 0 || p.page_count == 0);
    if (!ok)
        c->bad = true;
    *out = c->bad ? (struct pos){0} : p;
}

struct nonce nonce_new(void)
{
    struct nonce n;

    rng_bytes(n.bytes, sizeof n.bytes);
    return n;
}

bool nonce_equal(const struct nonce *a, const struct nonce *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

const char *nonce_format(const struct nonce *n, char out[NONCE_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof n->bytes; i++) {
        out[2 * i] = digits[n->bytes[i] >> 4];
        out[2 * i + 1] = digits[n->bytes[i] & 15];
    }
    out[2 * sizeof n->bytes] = 0;
    return out;
}

bool nonce_parse(const char *text, struct nonce *out)
{
    struct nonce n;

    if (strlen(text) != 2 * sizeof n.bytes)
        return false;
    for (size_t i = 0; i < sizeof n.bytes; i++) {
        uint64_t byte;

        if (!strx_hex_fixed(text + 2 * i, 2, &byte))
            return false;
        n.bytes[i] = (uint8_t)byte;
    }
    *out = n;
    return true;
}
