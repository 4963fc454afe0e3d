/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_reader_intern - what a wal_reader is made of, for its two halves: wal_reader.c follows the chain, wal_image.c
 * fetches images of pages from what was followed.
 */
#ifndef WAL_READER_INTERN_H
#define WAL_READER_INTERN_H

#include "wal_map.h"
#include "wal_reader.h"

/* Commits that go by, and which of them only repeat the frame of the commit before. */
struct wal_reader_tally {
    uint64_t commits;
    uint64_t repeats;      /* of them, exact repeats */
    uint32_t commit_first; /* first frame of the commit that is going by */
    uint32_t last_pgno;    /* of the last frame, if it ended a commit; else 0 */
    uint64_t last_sum;
};

struct wal_reader {
    struct wal_conn *conn; /* borrowed */
    struct wal_map *map;   /* owned: pages of all delivered frames of this generation */
    struct wal_pos pos;    /* after the last delivered frame; !valid: the log has had no header yet */
    struct wal_index_header index;
    uint32_t tail_end; /* not 0: still reading what is left of the generation before, up to this frame */
    uint32_t frame_size;

    uint8_t *buffer; /* owned; room for batch_max frames */
    struct wal_reader_frame *frames;
    uint32_t batch_max;
    uint32_t buffered; /* frames in the buffer, the last of them is pos.frame; 0: something else is there */

    /* The witness. */
    uint32_t base_count;               /* iChange at our first position, and from then on: */
    struct wal_reader_tally delivered; /* what was delivered */
    uint64_t break_count;
    bool broken;                /* there is a break in this generation */
    struct wal_fmt_chain chain; /* behind a break, up to: */
    uint32_t proven_end;
    uint32_t proven_cksum[2]; /* what the index named for it */
    uint64_t proven_delivered, proven_counted;
};

#endif
