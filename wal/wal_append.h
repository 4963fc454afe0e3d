/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_append - whole transactions, made of page images, into a database that others read at the same time.
 *
 *     wal_append_open(&a, conn, err)
 *     wal_append_begin(a, &changed, err)              the write lock; `changed`: somebody else has committed
 *     wal_append_read(a, pgno, page, err)             as this transaction sees it
 *     wal_append_page(a, pgno, page, err)             any number of pages, also the same one again
 *     wal_append_commit(a, page_count, err)           on the disk, then visible, at once and as a whole
 *     ... or wal_append_abort(a)
 *     wal_append_restart(a, frames, &done, err)       copy the log into the database and begin it anew
 *     wal_append_close(a)
 *
 * What SQLite's own writer does, in the same order and under the same lock: frames with the log's salts and running
 * checksum behind those that count, the last one marked as a commit; fsync; the hash tables of the WAL index; its
 * header, which is the moment at which readers that begin see the new state.  Those that have begun stay with theirs.
 * Checkpoints, and starting the log over, are left to SQLite.
 *
 * A process that dies at any point leaves the state before, or the whole transaction: without the commit mark nobody,
 * recovery included, counts the frames, and the mark is written last.  Where only the header of the index is half
 * written, SQLite recovers it from the log.
 *
 * The index's counter of commits tells whether somebody else has written: `changed`.  Whoever starts the log over
 * leaves it as it is, so that is no change.  A recovery by SQLite (a process died in the middle of writing) begins it
 * anew: then only a comparison of all pages tells.
 *
 * Failures: after one in begin, read, page or commit the transaction is to be aborted (commit does it itself); nothing
 * of it is visible.
 *
 * Threads: one at a time.  Memory: a frame, and wal_table.h.
 */
#ifndef WAL_APPEND_H
#define WAL_APPEND_H

#include "wal_conn.h"

struct wal_append;

MUST_USE struct rc wal_append_open(struct wal_append **out, struct wal_conn *conn, struct err *err);
void wal_append_close(struct wal_append *a);
void wal_append_closep(struct wal_append **a);

/* E_BUSY: somebody else holds the write lock.  The first time nothing counts as changed. */
MUST_USE struct rc wal_append_begin(struct wal_append *a, bool *changed, struct err *err);
/* In a transaction: take what is there for one's own from now on. */
void wal_append_accept(struct wal_append *a);
/* Without a transaction, and without disturbing anybody: has somebody else committed?  False also while that cannot be
 * told. */
bool wal_append_changed(const struct wal_append *a);

/* Pages of the database, in a transaction: before it, until something was appended. */
uint32_t wal_append_page_count(const struct wal_append *a);
/* E_CORRUPT: the file ends before the page. */
MUST_USE struct rc wal_append_read(struct wal_append *a, uint32_t pgno, uint8_t *page, struct err *err);
/* `count` pages at once; what lies beyond the end of the file and is in no frame is zeros. */
MUST_USE struct rc wal_append_read_run(
    struct wal_append *a, uint32_t first, uint32_t count, uint8_t *pages, struct err *err);

MUST_USE struct rc wal_append_page(struct wal_append *a, uint32_t pgno, const uint8_t *page, struct err *err);
/* The database has so many pages now.  A transaction without pages that changes nothing is no commit. */
MUST_USE struct rc wal_append_commit(struct wal_append *a, uint32_t page_count, struct err *err);
void wal_append_abort(struct wal_append *a);

/* Frames of the log that count. */
uint32_t wal_append_log_frames(const struct wal_append *a);
/* Outside of a transaction: checkpoint when the log has so many frames, and start it over if no reader needs it.
 * *done false: not needed, or readers are in the way; that is no error. */
MUST_USE struct rc wal_append_restart(struct wal_append *a, uint32_t frames, bool *done, struct err *err);

#endif
