/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_reset - starting the log over, in the only moments when that loses nothing.
 *
 * While the gate is held nobody can reset the log, so weir does it when the log has grown: everything is backfilled
 * into the database and copied by weir, writers held off for that moment, and then B writes one page (user_version with
 * the value it has), inside which SQLite resets the log.  The checkpoint lock is held meanwhile: no checkpointer can be
 * half-way with an older header (SQLite's WAL-reset bug), and at most one reset can happen while the gate is open.
 * Nothing is added to the user's schema; what other connections notice is a foreign commit.
 *
 * An application's own RESTART or TRUNCATE checkpoint waits for the reader slots while it holds the write lock.
 * wal_reset_waiter() recognises it, wal_reset_tend_gate() opens the gate for it, pinned (wal_gate.h), so that one reset
 * can happen and no second one; the reader's witness then decides whether anything was missed.
 */
#ifndef WAL_RESET_H
#define WAL_RESET_H

#include "wal_reader.h"

enum wal_reset_outcome {
    WAL_RESET_DONE,   /* the log was started over, by our own commit (or by another writer's in that moment) */
    WAL_RESET_LATER,  /* not now: a reader, a writer or a checkpointer is in the way */
    WAL_RESET_READER, /* a reader that was there at the last try already is in the way; nobody was held off */
};

/* Copies all committed frames; *all is true when it got to the end of the log.  Called with the write lock held, so the
 * end does not move; it must be quick. */
typedef struct rc (*wal_reset_copy_fn)(void *ctx, bool *all, struct err *err);

/*
 * Try to start the log over.  Blocks writers for `hold_us` at most, and as long again for `copy`.  The gate is held
 * before and after; E_BUSY in the rare case that it could not be taken again: treat the log as unwatched.
 */
enum { WAL_RESET_WAIT_US = 50000 };
MUST_USE struct rc wal_reset_try(struct wal_conn *c, wal_reset_copy_fn copy, void *ctx, uint32_t hold_us,
    enum wal_reset_outcome *outcome, const char **reason, struct err *err);

/*
 * Hold writers off for a moment, so that a reader that cannot keep up with them gets on: the log would grow without
 * bound otherwise.  False: the write lock was not to be had in time.
 */
bool wal_reset_hold_writers(struct wal_conn *c);
void wal_reset_release_writers(struct wal_conn *c);

/* Is another process waiting for the reader slots: write and checkpoint lock held by others, everything backfilled? */
bool wal_reset_waiter(const struct wal_conn *c);

/*
 * For the moments when everything seems to be read: get rid of a reader's mark on the gate (wal_gate_improve), and open
 * it until a waiter is through or `limit_us` passed.  Does nothing when a commit has come since that is not read, or
 * when a checkpoint is copying.
 */
MUST_USE struct rc wal_reset_tend_gate(
    struct wal_conn *c, const struct wal_reader *r, uint32_t limit_us, struct err *err);

#endif
