/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_fmt.h"

#include "dbfmt.h"

#include <assert.h>
#include <string.h>

enum { MAGIC_LITTLE = 0x377f0682, MAGIC_BIG = 0x377f0683, FILE_VERSION = 3007000 };

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool host_is_big_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* Two loops, so that the common case (same order as the host) has no swap in it. */
void wal_fmt_checksum(bool big_endian, const uint8_t *data, size_t n, uint32_t sum[2])
{
    uint32_t a = sum[0], b = sum[1], x, y;

    assert(n % 8 == 0);
    if (big_endian == host_is_big_endian()) {
        for (const uint8_t *p = data; p < data + n; p += 8) {
            memcpy(&x, p, 4);
            memcpy(&y, p + 4, 4);
            a += x + b;
            b += y + a;
        }
    } else {
        for (const uint8_t *p = data; p < data + n; p += 8) {
            memcpy(&x, p, 4);
            memcpy(&y, p + 4, 4);
            a += __builtin_bswap32(x) + b;
            b += __builtin_bswap32(y) + a;
        }
    }
    sum[0] = a;
    sum[1] = b;
}

struct rc wal_fmt_decode_header(struct span head, struct wal_pos *out, struct err *err)
{
    struct wal_pos pos = {.valid = true};
    uint32_t magic, version;

    if (head.size < WAL_FMT_HEADER_SIZE)
        return rc_raise(err, E_CORRUPT, "wal header: %zu bytes, need %d", head.size, WAL_FMT_HEADER_SIZE);
    magic = get_be32(head.data);
    if (magic != MAGIC_LITTLE && magic != MAGIC_BIG)
        return rc_raise(err, E_CORRUPT, "wal header: bad magic %08x", magic);
    version = get_be32(head.data + 4);
    if (version != FILE_VERSION)
        return rc_raise(err, E_CORRUPT, "wal header: unknown version %u", version);
    pos.big_endian = magic == MAGIC_BIG;
    pos.page_size = get_be32(head.data + 8);
    if (!dbfmt_page_size_ok(pos.page_size))
        return rc_raise(err, E_CORRUPT, "wal header: impossible page size %u", pos.page_size);
    pos.salt[0] = get_be32(head.data + 16);
    pos.salt[1] = get_be32(head.data + 20);
    wal_fmt_checksum(pos.big_endian, head.data, 24, pos.cksum);
    if (pos.cksum[0] != get_be32(head.data + 24) || pos.cksum[1] != get_be32(head.data + 28))
        return rc_raise(err, E_CORRUPT, "wal header: checksum mismatch");
    *out = pos;
    return RC_OK;
}

void wal_fmt_decode_frame(const uint8_t *head, struct wal_fmt_frame *out)
{
    out->pgno = get_be32(head);
    out->commit_page_count = get_be32(head + 4);
    out->salt[0] = get_be32(head + 8);
    out->salt[1] = get_be32(head + 12);
    out->cksum[0] = get_be32(head + 16);
    out->cksum[1] = get_be32(head + 20);
}

bool wal_fmt_step(struct wal_pos *pos, const uint8_t *frame, struct wal_fmt_frame *out)
{
    uint32_t sum[2] = {pos->cksum[0], pos->cksum[1]};

    wal_fmt_decode_frame(frame, out);
    if (out->salt[0] != pos->salt[0] || out->salt[1] != pos->salt[1] || out->pgno == 0)
        return false;
    wal_fmt_checksum(pos->big_endian, frame, 8, sum);
    wal_fmt_checksum(pos->big_endian, frame + WAL_FMT_FRAME_HEADER_SIZE, pos->page_size, sum);
    if (sum[0] != out->cksum[0] || sum[1] != out->cksum[1])
        return false;
    pos->cksum[0] = sum[0];
    pos->cksum[1] = sum[1];
    pos->frame++;
    return true;
}

static bool is_blank(const struct wal_fmt_frame *f)
{
    return f->salt[0] == 0 && f->salt[1] == 0 && f->cksum[0] == 0 && f->cksum[1] == 0;
}

bool wal_fmt_chain_step(struct wal_fmt_chain *c, struct wal_pos *pos, const uint8_t *frame, struct wal_fmt_frame *out)
{
    bool blank = false;

    if (!wal_fmt_step(pos, frame, out)) {
        bool ours = out->salt[0] == pos->salt[0] && out->salt[1] == pos->salt[1];

        blank = is_blank(out);
        if (out->pgno == 0 || !(blank || (ours && (c->blank || !c->inside))))
            return false;
        pos->cksum[0] = out->cksum[0];
        pos->cksum[1] = out->cksum[1];
        pos->frame++;
        c->broken = true;
    }
    c->blank = blank;
    c->inside = out->commit_page_count == 0;
    return true;
}
