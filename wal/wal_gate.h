/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_gate - the lock that keeps the log from being reset before weir has read it.
 *
 * A reset needs an exclusive lock on all of the read slots 1 to 4; a checkpoint copies frames only up to the smallest
 * mark among the locked slots.  The gate is a SHARED lock on slot 4 while its mark says "not used": no reset can
 * happen, and every checkpoint runs to its end as if nobody were there.  No reader takes the slot meanwhile: it would
 * need it exclusively to set the mark.
 *
 * A reader that already sits in slot 4 keeps its mark there.  The gate is then taken beside it: resets are impossible
 * all the same, only checkpoints stop at that mark until wal_gate_improve() finds the reader gone.
 *
 * The gate belongs to the connection and is open only inside wal_reset.c.
 *
 * While it is open a process that is not given the processor could miss any number of resets.  Two locks of others are
 * needed for a second one, so whoever opens the gate holds one of them: the checkpoint lock, or, when that is
 * another's, the pin.  The pin is a SHARED lock on slot 0, which a checkpoint wants exclusively while it copies.  So
 * nothing is copied under the pin, a commit that was not copied before stays in the log, and what begins after a reset
 * is not reset again.
 */
#ifndef WAL_GATE_H
#define WAL_GATE_H

#include "wal_conn.h"

/* Take the gate.  E_BUSY when somebody holds the slot exclusively for longer than a moment. */
MUST_USE struct rc wal_gate_close(struct wal_conn *c, struct err *err);
void wal_gate_open(struct wal_conn *c);
/* False: a checkpoint is copying now. */
bool wal_gate_pin(struct wal_conn *c);
void wal_gate_unpin(struct wal_conn *c);
/* Get rid of a reader's mark.  Call it only pinned, with everything read: the gate is open for an instant. */
MUST_USE struct rc wal_gate_improve(struct wal_conn *c, struct err *err);

#endif
