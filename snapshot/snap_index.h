/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_index - what a snapshot object holds and where, from its last bytes; any frame can then be fetched by range.
 *
 *     need = SNAP_TAIL_SIZE, or the object's size if that is less
 *     do {
 *         tail = the last `need` bytes of the object
 *         snap_index_open(&ix, tail, object size, &need, err)
 *     } while (need > 0)                                      a second round only for more than about 3 GB
 *     for (i = 0; i < snap_index_frame_count(ix); i++)
 *         snap_index_frame(ix, i)                             offset, size, pages: fetch, snap_frame_decode()
 *     snap_index_free(ix)
 *
 * The raw index: for each frame, in the order of the object,
 *
 *     varint  stored size
 *     varint  number of runs of consecutive pages, at least 1
 *     per run: varint first page: in the first run of a frame the zigzag difference to the page behind the frame before
 *                     (to 1 in the first frame), in any later one the pages between it and the run before, at least 1
 *              varint pages - 1
 *
 * and then the XXH3-64 of each frame's stored bytes, 8 bytes each: apart, because they cannot be compressed and the
 * rest can, to almost nothing.  Frames have no stored offsets, so they cannot overlap; their sizes must add up exactly.
 * Which images are superseded is not stored either but follows from the order.
 *
 * A successful open means: every page 1..page_count but the lock page has exactly one image that counts (in a merge: at
 * most one), every frame lies within the object, all sizes are within their limits, and every byte of the tail that was
 * used is covered by a hash.  When `tail` is the whole object, header and trailer are checked as well.
 *
 * Threads: read-only once open, so any number of them.
 *
 * Memory: 5 bytes a page and 32 a frame.
 */
#ifndef SNAP_INDEX_H
#define SNAP_INDEX_H

#include "snap.h"

struct snap_index_frame {
    uint64_t offset;
    uint32_t size; /* stored bytes */
    uint64_t hash;
    uint32_t page_count;
    const uint32_t *pgnos;     /* ascending; borrowed from the index */
    const uint8_t *superseded; /* one byte per page: 1 when a later frame has the page too, it lies beyond the end, or
                                  it is skipped */
};

struct snap_index;

/*
 * `tail`: the object's last bytes; `object_size`: all of them.  On RC_OK with *need > 0 nothing was made: *need is then
 * more than tail.size and at most object_size.  Errors: E_CORRUPT says what; E_UNSUPPORTED: made by a newer weir;
 * E_NOMEM.
 */
MUST_USE struct rc snap_index_open(
    struct snap_index **out, struct span tail, uint64_t object_size, uint64_t *need, struct err *err);
void snap_index_free(struct snap_index *ix);
void snap_index_freep(struct snap_index **ix);

const struct snap_meta *snap_index_meta(const struct snap_index *ix);
size_t snap_index_frame_count(const struct snap_index *ix);
/* `i` must be less than the count. */
struct snap_index_frame snap_index_frame(const struct snap_index *ix, size_t i);
/* Image `k` of frame `i` is not wanted (a newer merge has the page): it counts as superseded from now on.  Before other
 * threads read the index. */
void snap_index_skip(struct snap_index *ix, size_t i, uint32_t k);

#endif
