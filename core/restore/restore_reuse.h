/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_reuse - what a restore need not fetch, because it is on this machine already: in the temporary file that an
 * earlier restore of the same target left, or (opts->in_place) in the database that is to be replaced.
 *
 * In two ways:
 *
 * - a file that is as a whole a state of the history.  The left-over says so in a note, the database in its local
 *   state; it counts when its pages have that state's checksum.  Then it is offered to the plan as if it were a
 *   snapshot without size (restore_reuse_offer), and what is read is the log behind it, or merges.
 * - single pages, by their hashes, which snapshots and merges carry (snap_hashes.h): what the newest source of a page
 *   says is in one of the files is taken from there, and frames of which no page is wanted any more are not fetched.
 *
 * The new file is the left-over itself, or a clone of the database where the file system can (restore_reuse_image),
 * and a new file otherwise.  The database that is to be replaced is only read.
 *
 * Nothing here is trusted: the state checksum decides, as ever.  When it does not agree after pages were taken from
 * here, the restore begins again without them before any object is blamed.
 */
#ifndef RESTORE_REUSE_H
#define RESTORE_REUSE_H

#include "restore_index.h"
#include "restore_intern.h"

/* Look for the files.  What cannot be opened is not used. */
void restore_reuse_open(struct restore_job *j);
/* Before the target is published: our descriptor of the old database must not be closed while SQLite holds its locks,
 * because that would drop them. */
void restore_reuse_close(struct restore_job *j);

/* Put the states that the files hold, up to `txid`, into the catalog of `j`.  E_NOMEM. */
MUST_USE struct rc restore_reuse_offer(struct restore_job *j, uint64_t txid, struct err *err);
/* Is this one of them? */
bool restore_reuse_is_state(const struct plan_base *b);
bool restore_reuse_is_key(const struct layout_key *k);
/* Make it the image. */
MUST_USE struct rc restore_reuse_load(struct restore_job *j, const struct plan_base *b, struct err *err);

MUST_USE struct rc restore_reuse_image(struct restore_job *j, uint32_t page_size, uint32_t page_count, struct err *err);
/* Put pages that are at hand into the image (without one: only count them), and skip them in the indexes. */
MUST_USE struct rc restore_reuse_pages(struct restore_job *j, struct restore_sources *all, struct err *err);
/* Of a dry run: how much of the first stage of the plan is at hand. */
MUST_USE struct rc restore_reuse_estimate(struct restore_job *j, struct err *err);

/* The restore has failed with `rc`: keep what it has for the next one, if that may succeed. */
void restore_reuse_leave(struct restore_job *j, struct rc rc);

#endif
