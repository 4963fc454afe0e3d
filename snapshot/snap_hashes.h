/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_hashes - the hashes of the pages of a snapshot or merge, stored in it, so that whoever has a file that is much
 * like it need not fetch the pages that he has (docs/format.md, "Page hashes").
 *
 * They stand in frames behind all others, as the content of pages behind the end of the database.  Pages there count
 * nowhere, so a reader that does not know of them passes them over, and one that does asks for them only when it has
 * use for them.  The optional feature SNAP_HASHED says that they may be there.
 *
 * Writing is a matter of snap_writer (snap_writer_hashing).  Reading:
 *
 *     snap_hashes_open(&r, index, out, err)          r NULL: the object has none
 *     for (i = snap_hashes_first(r); i < snap_index_frame_count(index); i++)
 *         snap_hashes_take(r, i, stored bytes, err)
 *     snap_hashes_close(r)
 *
 * Nothing is proven by them: a wrong hash only makes a state that its checksum refuses.
 *
 * Memory: 8 bytes a page.
 */
#ifndef SNAP_HASHES_H
#define SNAP_HASHES_H

#include "page_hash.h"
#include "snap_frame.h"

/* Pages that so many hashes take. */
uint64_t snap_hashes_pages(uint32_t page_size, uint64_t entries);
/* The number under which hash page `i` (from 0) of a database with `page_count` pages stands; 0: SQLite has no number
 * that large, so there are none. */
uint32_t snap_hashes_number(uint32_t page_size, uint32_t page_count, uint64_t i);

struct snap_hashes;

/* `out` is filled by what follows: entries of pages that the object does not have stay 0.  Both are borrowed until
 * closed. */
MUST_USE struct rc snap_hashes_open(
    struct snap_hashes **r, const struct snap_index *ix, struct page_hash *out, struct err *err);
size_t snap_hashes_first(const struct snap_hashes *r);
/* Frame `i`, in order.  E_CORRUPT: `out` is of no use. */
MUST_USE struct rc snap_hashes_take(struct snap_hashes *r, size_t i, struct span stored, struct err *err);
void snap_hashes_close(struct snap_hashes *r);
void snap_hashes_closep(struct snap_hashes **r);

#endif
