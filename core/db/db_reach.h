/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_reach - reading on in the log, with an end that writers cannot put off.
 *
 * "To the end of the log" is a place that moves: whoever commits as fast as it is read is never overtaken.  What is
 * reached here was there when the call came.
 *
 * For a job or a lane that has the database to itself and lets pages only be hashed (no encoder, wal_capture.h);
 * blocking.
 */
#ifndef DB_REACH_H
#define DB_REACH_H

#include "db_live.h"

/* Read at least what is committed at this moment, and to the end of a commit: whatever the database file held before
 * this call has been met then. */
MUST_USE struct rc db_reach_now(struct db_live *l, struct err *err);
/* Read for as long as this, one step at least; *end is true when the log was read to its end. */
MUST_USE struct rc db_reach_for(struct db_live *l, uint64_t us, bool *end, struct err *err);

#endif
