/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_capture - from frames to a segment: where a commit of the log becomes page deltas and a state checksum.
 *
 *     struct wal_capture c = {.reader = r, .hashes = h, .enc = e, .clock = k, .txid = ..., .time_ms = ...};
 *     wal_capture_step(&c, limit, &state, err)     again and again
 *
 * For every page of a commit the image before is looked up (an earlier frame, else the database file) and used as the
 * base of the delta only if its hash is the one in the page-hash index; otherwise the page goes whole.  The index then
 * takes the new hash, and at the end of the commit its XOR is the commit's state checksum.
 *
 * Two modes.  Exact: every commit is one commit of the segment.  Absorbing: commits are folded into one change that
 * wal_capture_fold() ends, for a resynchronisation or a first copy, where what lies between cannot be told apart.
 *
 * Every change of the index is reported to on_page, in order, and every commit to on_commit.
 */
#ifndef WAL_CAPTURE_H
#define WAL_CAPTURE_H

#include "clock.h"
#include "page_hash.h"
#include "seg.h"
#include "wal_reader.h"

/*
 * Images at hand: the few pages that nearly every commit changes need no reading, and are still there when a checkpoint
 * has overwritten them in the database file before they were looked at.
 */
enum { WAL_CAPTURE_RECENT_SIZE = 1 << 20 };
struct wal_capture_recent {
    uint32_t pgno; /* 0: empty */
    uint64_t hash;
};

struct wal_capture {
    /* Set by the owner; all borrowed. */
    struct wal_reader *reader;
    struct page_hash *hashes;
    struct seg_enc *enc; /* NULL: pages are only hashed (first copy) */
    const struct clock *clock;
    bool absorbing;
    bool to_commit; /* a step that is cut short by its time ends behind a commit, not inside one */
    /* A page has a new hash. */
    struct rc (*on_page)(void *ctx, uint32_t pgno, uint64_t hash, struct err *err);
    /* seg_enc_take_part() may have something. */
    struct rc (*on_block)(void *ctx, struct err *err);
    /* May another batch be read (is there room for what it becomes)? */
    bool (*has_room)(void *ctx);
    void *ctx;

    /*
     * Retracing: the commits after `txid` up to `retrace_txid` are in the replica already (a crash came between the
     * upload and its acknowledgement).  They are only hashed, and each must give the checksum that is stored there:
     * retrace_checksums[0] belongs to the first.  From the next commit on `enc_later` is the encoder.
     */
    uint64_t retrace_txid; /* 0: not retracing */
    const uint64_t *retrace_checksums;
    uint64_t retrace_first;
    struct seg_enc *enc_later;
    bool diverged; /* a commit was not the one that the replica has: compare all pages */

    /* The state after the last whole commit. */
    uint64_t txid;
    int64_t time_ms;
    struct wal_pos pos;   /* in the log, after it */
    uint32_t image_count; /* pages of the database then */

    /* Inside a commit. */
    uint32_t old_count; /* pages of the database before it */
    bool inside;

    /* Counted since the start. */
    uint64_t commit_count, frame_count, whole_count, delta_count;

    uint8_t *base;                     /* scratch, owned; see wal_capture_fini */
    uint8_t *extra;                    /* likewise */
    struct wal_capture_recent *recent; /* owned: pages taken lately, by page number modulo their count */
    uint8_t *recent_images;            /* owned: of each */
    uint32_t recent_count;
};

void wal_capture_fini(struct wal_capture *c);

/*
 * Deliver committed frames into the segment: at least one batch, and no new batch once `limit_us` microseconds passed
 * or the segment is full (SEG_COMMIT_COUNT_MAX).  *state tells what is left: WAL_READER_QUIET when the end of the log
 * was reached. After an error other than E_BUSY the encoder and the index are useless: go back to the last kept state.
 */
MUST_USE struct rc wal_capture_step(
    struct wal_capture *c, uint64_t limit_us, enum wal_reader_state *state, struct err *err);

/* In absorbing mode: add the page as the database holds it now, if its hash is not the one in the index. */
MUST_USE struct rc wal_capture_page(struct wal_capture *c, uint32_t pgno, const uint8_t *page, struct err *err);

/* End an absorbed change as the next txid, with these flags (SEG_RESYNC, SEG_SNAPSHOT).  The reader is caught up.
 * `time_ms` is its time (0: now), for one that stands in a snapshot already. */
MUST_USE struct rc wal_capture_fold(struct wal_capture *c, uint32_t flags, int64_t time_ms, struct err *err);

#endif
