/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge_base - the page-hash index as it was where the last merge or snapshot ended, kept on the local disk: the pages
 * whose hashes differ from it now are those of the next merge.  So nothing is noted while commits come in, and a
 * restart loses nothing.
 *
 *     merge_base_stage(fs, dir, hashes, &entries_hash, err)             the index, in a temporary file
 *     merge_base_adopt(fs, dir, level, &info, entries_hash, err)        once the object is in the replica
 *     merge_base_peek(fs, dir, level, &info, err)                       which state it is
 *     merge_base_load(fs, dir, level, &info, hashes, err)               and its index
 *
 * `<database>-weir/merge.<level>`, one for each level.  A merge of a level also is the base of the lower ones, so their
 * files are removed then; a level without a file goes by the next higher one.  A snapshot counts as the highest level.
 *
 *     0    8   "weir-mrg"                       128  8   bytes of the merges from there to here
 *     8    4   version: 1                       136  8   bytes of the log from there to here
 *     12   4   features to know: 0              144  8   and from the last merge of level 2
 *     16   16  id of the history                152  4   number of pages
 *     32   68  position, without a WAL          156  4   zeros
 *     100  4   zeros                            160  8   XXH3-64 of all entries
 *     104  8   txid of the last snapshot        168  8   XXH3-64 of bytes 0 to 167
 *     112  8   its time                         176  8 each  page hashes, from page 1 on
 *     120  8   bytes of that snapshot
 *
 * The file is a help and no more: a damaged or missing one makes the next object a snapshot.  A wrong one cannot do
 * harm, because a merge says on which state checksum it builds.
 *
 * Errors: E_NOTFOUND there is none; E_CORRUPT, E_UNSUPPORTED it cannot be used; E_IO, E_NOSPACE.
 */
#ifndef MERGE_BASE_H
#define MERGE_BASE_H

#include "page_hash.h"
#include "pos.h"

enum { MERGE_BASE_LEVELS = 2 };

struct merge_base_info {
    struct nonce database;
    struct pos pos; /* the state */
    uint64_t snapshot_txid;
    int64_t snapshot_time_ms;
    uint64_t snapshot_bytes;
    uint64_t merge_bytes;               /* what a restore of this state reads behind that snapshot */
    uint64_t log_bytes, log_bytes_long; /* shipped since that snapshot, and since the last merge of level 2 */
};

MUST_USE struct rc merge_base_stage(
    const struct fsys *fs, const char *dir, const struct page_hash *hashes, uint64_t *entries_hash, struct err *err);
MUST_USE struct rc merge_base_adopt(const struct fsys *fs, const char *dir, unsigned level,
    const struct merge_base_info *info, uint64_t entries_hash, struct err *err);
/* What was staged is of no use. */
void merge_base_unstage(const struct fsys *fs, const char *dir);

MUST_USE struct rc merge_base_peek(
    const struct fsys *fs, const char *dir, unsigned level, struct merge_base_info *out, struct err *err);
/* `hashes` is owned by the caller then. */
MUST_USE struct rc merge_base_load(const struct fsys *fs, const char *dir, unsigned level, struct merge_base_info *out,
    struct page_hash **hashes, struct err *err);
/* Remove the file of this level; what stays does no harm. */
void merge_base_drop(const struct fsys *fs, const char *dir, unsigned level);

#endif
