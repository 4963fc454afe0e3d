/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow_copy - a database file that is kept up to date from a replica while others read it: what is applied becomes
 * visible by whole transactions (wal/wal_append.h), each proven by the state checksum of its last commit.
 *
 *     follow_copy_open(&c, fs, path, err)
 *     follow_copy_hash(c, err)                        every page is read; follow_copy_is(c, pos) compares
 *     follow_copy_settle(c, &pos, err)                where the file stands, when that is not what it remembers
 *     follow_copy_begin(c, err)
 *     follow_copy_segment(c, info, last_txid)         then seg_dec_apply_*() with follow_copy_ops(c)
 *     ... or follow_copy_page(c, ...), follow_copy_become(c, &pos, err)
 *     follow_copy_commit(c, err)                      or follow_copy_abort(c, err)
 *     follow_copy_tend(c, err)                        now and then
 *     follow_copy_close(c)
 *
 * The page-hash index of the copy is in memory, and in its local state `<path>-weir/` (core/local/local_state.h), whose
 * position is that of the last transaction: written behind it, so after a crash the file may be ahead, never behind.
 * The state stays that of a restored file, so a writer may take over from it (core/db/lineage.h).
 *
 * A page that a delta builds on must have the hash that the index knows.  So whoever writes to the copy is found out:
 * at the next look at the WAL index, at the next change of the page, or at the next start at the latest.
 * follow_copy_is_foreign() tells such a failure from a damaged replica.
 *
 * Threads: one job's thread; blocking.  Memory: 8 bytes a page, and 1 MiB.
 */
#ifndef FOLLOW_COPY_H
#define FOLLOW_COPY_H

#include "local_state.h"
#include "seg.h"

struct follow_copy;

/* E_NOTFOUND no such file; E_EXISTS it is none that can be followed, with the reason; E_BUSY another process keeps it,
 * replicates it, or has it open exclusively. */
MUST_USE struct rc follow_copy_open(
    struct follow_copy **out, const struct fsys *fs, const char *path, const char *state_base, struct err *err);
/* The log is copied into the file, and removed when nobody else has it open. */
void follow_copy_close(struct follow_copy *c);
void follow_copy_closep(struct follow_copy **c);

/* What the local state says: the history, and the last position.  `page_count` 0: it says none that can be trusted. */
const struct local_state_content *follow_copy_content(const struct follow_copy *c);
const char *follow_copy_path(const struct follow_copy *c);
uint32_t follow_copy_page_size(const struct follow_copy *c);

/* Read all pages. */
MUST_USE struct rc follow_copy_hash(struct follow_copy *c, struct err *err);
uint64_t follow_copy_checksum(const struct follow_copy *c);
uint32_t follow_copy_page_count(const struct follow_copy *c);
/* The file, as it was hashed, is at `pos`, and goes on from there. */
MUST_USE struct rc follow_copy_settle(struct follow_copy *c, const struct pos *pos, struct err *err);

/* Failures between begin and commit: abort. */
MUST_USE struct rc follow_copy_begin(struct follow_copy *c, struct err *err);
/* Commits of this segment come next, up to `last_txid`.  `info` is borrowed until they are applied. */
void follow_copy_segment(struct follow_copy *c, const struct seg_info *info, uint64_t last_txid);
struct seg_apply_ops follow_copy_ops(struct follow_copy *c);
/* The last commit of the segment that was wanted has been applied. */
bool follow_copy_reached(const struct follow_copy *c);
/* One page of a state that is not given by commits; one that the copy has already changes nothing. */
MUST_USE struct rc follow_copy_page(struct follow_copy *c, uint32_t pgno, const uint8_t *page, struct err *err);
/* With these pages it is at `pos`. */
MUST_USE struct rc follow_copy_become(struct follow_copy *c, const struct pos *pos, struct err *err);
/* Pages written since the beginning. */
uint64_t follow_copy_pending(const struct follow_copy *c);
/* The position that a commit would give. */
const struct pos *follow_copy_next(const struct follow_copy *c);
/* Visible and on the disk when it returns; `warning` (ERR_MSG_SIZE): "", or the position could not be kept. */
MUST_USE struct rc follow_copy_commit(struct follow_copy *c, char *warning, struct err *err);
/* Back to the last commit. */
MUST_USE struct rc follow_copy_abort(struct follow_copy *c, struct err *err);

/*
 * Is everything as it should be?  E_CORRUPT: somebody else has written; E_EXISTS: the file was removed or replaced.
 * Checkpoints and starts the log over when it is long.
 */
MUST_USE struct rc follow_copy_tend(struct follow_copy *c, struct err *err);
uint32_t follow_copy_log_frames(const struct follow_copy *c);

/* The last failure was that the copy is not what was written to it. */
bool follow_copy_is_foreign(const struct follow_copy *c);

#endif
