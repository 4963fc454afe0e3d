/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_fmt - the bytes of a WAL file (sqlite.org/fileformat2.html#walformat): a 32-byte header, then frames of a 24-byte
 * header and one page each.
 *
 * Every frame repeats the two salts of its generation and carries a checksum that runs over all frames since the
 * header, so a frame is proven by the position before it.  The words of the checksum are summed in the byte order that
 * the header's magic names; the stored fields are always big-endian.
 */
#ifndef WAL_FMT_H
#define WAL_FMT_H

#include "pos.h"

enum {
    WAL_FMT_HEADER_SIZE = 32,
    WAL_FMT_FRAME_HEADER_SIZE = 24,
};

struct wal_fmt_frame {
    uint32_t pgno;
    uint32_t commit_page_count; /* pages in the database after this commit; 0: not the last frame of a transaction */
    uint32_t salt[2];
    uint32_t cksum[2];
};

/* The position before the first frame of the generation that this header begins.  E_CORRUPT with the reason otherwise.
 */
MUST_USE struct rc wal_fmt_decode_header(struct span head, struct wal_pos *out, struct err *err);

/* Only the fields; `head` has WAL_FMT_FRAME_HEADER_SIZE bytes. */
void wal_fmt_decode_frame(const uint8_t *head, struct wal_fmt_frame *out);

/*
 * If `frame` (header and page, WAL_FMT_FRAME_HEADER_SIZE + pos->page_size bytes) is the one that follows `pos`, step
 * `pos` over it and return true.  Otherwise leave `pos` alone: salts of another generation, a broken checksum, or page
 * number 0.
 */
bool wal_fmt_step(struct wal_pos *pos, const uint8_t *frame, struct wal_fmt_frame *out);

/*
 * The same along a chain that SQLite itself may have broken (wal_reader.h): blank frames, without salts and checksum,
 * and behind them, or at the beginning of a commit, a frame that does not follow from the one before: its own checksum
 * is the running one then.  The caller proves the end of the chain.
 */
struct wal_fmt_chain {
    bool inside; /* in the middle of a commit */
    bool blank;  /* the last frame was blank */
    bool broken; /* there was a break */
};
bool wal_fmt_chain_step(struct wal_fmt_chain *c, struct wal_pos *pos, const uint8_t *frame, struct wal_fmt_frame *out);

/* SQLite's running checksum over `n` bytes (a multiple of 8). */
void wal_fmt_checksum(bool big_endian, const uint8_t *data, size_t n, uint32_t sum[2]);

static inline uint64_t wal_fmt_frame_offset(uint32_t page_size, uint32_t frame /* from 1 */)
{
    return WAL_FMT_HEADER_SIZE + (uint64_t)(frame - 1) * (WAL_FMT_FRAME_HEADER_SIZE + (uint64_t)page_size);
}

#endif
