/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_frame - pages to and from one frame of a snapshot: a zstd frame that depends on nothing else, with the hash of
 * its stored bytes and the numbers of its pages in the index.
 *
 *     snap_frame_encode(z, page_size, pgnos, pages, count, &frame, err)
 *     snap_frame_fini(&frame)
 *
 *     snap_frame_decode(z, index, i, stored bytes, pages, err)
 *
 * Threads: both are pure; any thread with a zstr context of its own.  They take 90 % of a snapshot's and a restore's
 * processor time, so they are where to use all cores.
 *
 * Limits: a frame holds 1 to snap_frame_pages() pages.
 */
#ifndef SNAP_FRAME_H
#define SNAP_FRAME_H

#include "snap_index.h"
#include "zstr.h"

/*
 * The zstd level for zstr_enc_new().  Measured on 256 MiB out of a 1 GiB database of text-like rows and random blobs,
 * in frames of 256 KiB, one core: level 1 leaves 51.7 % at 309 MB/s, level 2 49.7 % at 241, level 3 48.7 % at 197.
 * So the last twentieth of the size would cost half as much processor time again, on the machine of the application.
 */
enum { SNAP_FRAME_LEVEL = 1 };

/* Pages that one frame takes at most, for this page size. */
unsigned snap_frame_pages(uint32_t page_size);

struct snap_frame {
    uint32_t *pgnos; /* owned; ascending */
    uint32_t page_count;
    struct buf stored;     /* owned: the zstd frame */
    uint64_t hash;         /* of the stored bytes */
    uint64_t *page_hashes; /* owned; of each page */
};

/* Frees; fine on a zeroed struct. */
void snap_frame_fini(struct snap_frame *f);

/* `pages` holds `count` pages, one after the other, in the order of `pgnos` (ascending, none of them the lock page).
 * `out` is overwritten: it holds nothing before. */
MUST_USE struct rc snap_frame_encode(struct zstr_enc *z, uint32_t page_size, const uint32_t *pgnos,
    const uint8_t *pages, uint32_t count, struct snap_frame *out, struct err *err);

/*
 * Fill `pages` with all pages of frame `i` (page_count * page_size bytes, at most SNAP_FRAME_RAW_MAX), superseded ones
 * too.  E_CORRUPT when `stored` is not what the index says; `pages` holds rubbish then.
 */
MUST_USE struct rc snap_frame_decode(
    struct zstr_dec *z, const struct snap_index *ix, size_t i, struct span stored, uint8_t *pages, struct err *err);

#endif
