/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_writer - a snapshot object, written as a stream by someone who does not know the end at the beginning: pages are
 * added in frames, in page order; pages that changed meanwhile are added again at the end, and the later image counts.
 * Pages beyond the final page count (the database shrank) may be among them.
 *
 *     w = snap_writer_new(&database, &writer, page_size)
 *     snap_frame_encode(z, page_size, pgnos, pages, count, &frame, err)     in any thread
 *     snap_writer_add(w, &frame, &bytes, err)                               in one thread; `bytes` go into the object
 *     ...
 *     do snap_writer_hashes(w, z, page_count, &bytes, &more, err) while (more)    if snap_writer_hashing() was called
 *     snap_writer_finish(w, &meta, &bytes, err)                             the end of the object
 *     snap_writer_free(w)
 *
 * Frames go into the object in the order in which they are added.  After a failure the writer is only good to be freed.
 *
 * Memory: about 14 bytes a frame, plus 5 bytes a page while finishing; with page hashes that nobody else keeps 8 bytes
 * a page more until then.
 */
#ifndef SNAP_WRITER_H
#define SNAP_WRITER_H

#include "page_hash.h"
#include "snap_frame.h"

struct snap_writer;
struct snap_writer *snap_writer_new(const struct nonce *database, const struct nonce *writer, uint32_t page_size);
void snap_writer_free(struct snap_writer *w);
/* It becomes a merge: pages may be missing, and the `meta` at the end says what it builds on.  Before the first frame.
 */
void snap_writer_partial(struct snap_writer *w);
/*
 * It is to carry the hashes of its pages (snap_hashes.h).  Before the first frame.  `known`: where the caller has them
 * anyway, borrowed until snap_writer_finish(); from the first snap_writer_hashes() on it holds those of the final pages
 * and stands still.  NULL: the writer notes them.
 */
void snap_writer_hashing(struct snap_writer *w, const struct page_hash *known);
void snap_writer_freep(struct snap_writer **w);

/* Append what belongs into the object next to `bytes`: the header comes with the first frame. */
MUST_USE struct rc snap_writer_add(
    struct snap_writer *w, const struct snap_frame *frame, struct buf *bytes, struct err *err);

/* Behind the last frame: the next frame of page hashes.  *more: there are others. */
MUST_USE struct rc snap_writer_hashes(
    struct snap_writer *w, struct zstr_enc *z, uint32_t page_count, struct buf *bytes, bool *more, struct err *err);

/* Bytes of the object so far. */
uint64_t snap_writer_size(const struct snap_writer *w);

/*
 * Append index, footer and trailer.  Ids and page size of `meta` must be those of the writer; a merge has a level. What
 * was written is read back: E_BUG when a page 1..page_count is in no frame, with its number.
 */
MUST_USE struct rc snap_writer_finish(
    struct snap_writer *w, const struct snap_meta *meta, struct buf *bytes, struct err *err);

#endif
