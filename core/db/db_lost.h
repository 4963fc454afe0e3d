/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_lost - did the database lose commits that were replicated?  After a crash of the machine the log may have begun
 * anew, so that it does not tell.  But a file that is what it was at an earlier commit lacks those behind it.
 *
 * Runs in a job thread: blocking.
 */
#ifndef DB_LOST_H
#define DB_LOST_H

#include "store.h"
#include "work.h"

enum { DB_LOST_LOOK_BACK = 1000 /* commits among which the file is looked for */ };

/* The latest commit before `tip_txid` of this timeline (or the ones it came from) with this state checksum. *txid is 0
 * when it is none of the last DB_LOST_LOOK_BACK. */
MUST_USE struct rc db_lost_find(struct work *w, struct store *s, uint32_t timeline, uint64_t tip_txid,
    uint64_t checksum, uint64_t *txid, struct err *err);

#endif
