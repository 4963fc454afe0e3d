/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap - a snapshot object: all pages of a database at one txid, as independent zstd frames with an index behind them
 * (docs/format.md, "Snapshots").
 *
 * Writing is streaming and does not know the end at the beginning: pages are added in batches, in page order; pages
 * that changed meanwhile are added again at the end, and the later image counts.  Compression runs in threads of the
 * caller's: snap_frame_encode() is pure, snap_writer_add() appends its result.
 *
 *     snap_writer_new(&opts)
 *     snap_frame_encode(z, page_size, pgnos, pages, count, &frame, err)        in any thread
 *     snap_writer_add(w, &frame, &bytes, err)                                  in one thread; append `bytes` to the
 * object snap_writer_finish(w, &meta, &bytes, err)
 *
 * Reading: the last SNAP_TAIL_SIZE bytes (or all, if it is smaller) open the index; then any frame can be fetched by
 * range.
 *
 *     snap_index_open(&ix, tail, object size, &need, err)      `need` > 0: fetch that many bytes from the end, try
 * again snap_index_frame(ix, i)                                  offset, size, pages snap_frame_decode(z, ix, i, bytes,
 * pages out, err)       in any thread: checks hash, fills count * page_size bytes
 *
 * Limits: a frame holds at most SNAP_FRAME_PAGES_MAX pages and SNAP_FRAME_RAW_MAX bytes of pages.
 */
#ifndef SNAP_H
#define SNAP_H

#include "pack.h"
#include "zstr.h"

enum {
    SNAP_FRAME_RAW_MAX = 256 << 10,
    SNAP_FRAME_PAGES_MAX = 512,
    SNAP_TAIL_SIZE = 128 << 10,
    SNAP_INDEX_MAX = 512 << 20, /* a reader's bound: about 1 TB of database in 4 KiB pages */
};

/* Pages that one frame takes at most, for this page size. */
unsigned snap_frame_pages(uint32_t page_size);

struct snap_frame {
    uint32_t *pgnos; /* owned; ascending */
    uint32_t page_count;
    struct buf stored; /* owned: the zstd frame */
    uint64_t hash;     /* of the stored bytes */
};
void snap_frame_fini(struct snap_frame *f);
/* `pages` holds `count` pages, one after the other, in the order of `pgnos` (ascending). */
MUST_USE struct rc snap_frame_encode(struct zstr_enc *z, uint32_t page_size, const uint32_t *pgnos,
    const uint8_t *pages, uint32_t count, struct snap_frame *out, struct err *err);

struct snap_meta {
    struct nonce database, writer;
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    uint32_t page_size;
    uint32_t page_count;
    uint64_t checksum; /* state checksum */
};

struct snap_writer;
struct snap_writer *snap_writer_new(const struct nonce *database, const struct nonce *writer, uint32_t page_size);
void snap_writer_free(struct snap_writer *w);
void snap_writer_freep(struct snap_writer **w);
/* Append what belongs into the object next to `bytes`: the header comes with the first frame. */
MUST_USE struct rc snap_writer_add(
    struct snap_writer *w, const struct snap_frame *frame, struct buf *bytes, struct err *err);
/* Index and trailer. */
MUST_USE struct rc snap_writer_finish(
    struct snap_writer *w, const struct snap_meta *meta, struct buf *bytes, struct err *err);

struct snap_index_frame {
    uint64_t offset;
    uint32_t size; /* stored bytes */
    uint64_t hash;
    uint32_t page_count;
    const uint32_t *pgnos;     /* borrowed from the index */
    const uint8_t *superseded; /* one byte per page: 1 when a later frame has the page too, or it lies beyond the end */
};

struct snap_index;
/* `tail`: the object's last bytes; `object_size`: all of them.  On RC_OK with *need > 0 nothing was made. */
MUST_USE struct rc snap_index_open(
    struct snap_index **out, struct span tail, uint64_t object_size, uint64_t *need, struct err *err);
void snap_index_free(struct snap_index *ix);
void snap_index_freep(struct snap_index **ix);
const struct snap_meta *snap_index_meta(const struct snap_index *ix);
size_t snap_index_frame_count(const struct snap_index *ix);
struct snap_index_frame snap_index_frame(const struct snap_index *ix, size_t i);
/* E_CORRUPT unless every page 1..page_count (but the lock page) is in some frame.  snap_index_open() has checked it. */

MUST_USE struct rc snap_frame_decode(
    struct zstr_dec *z, const struct snap_index *ix, size_t i, struct span stored, uint8_t *pages, struct err *err);

#endif
