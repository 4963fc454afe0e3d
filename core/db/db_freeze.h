/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_freeze - the file stands still, for a snapshot that cannot keep up with the writers.
 *
 * Under the pin (wal_gate.h) no checkpoint copies anything into the file.  Once the log is read as far as the file has
 * it, and capturing is paused, each page can be read in its state at the reader's position: from the log where the
 * reader has met it, else from the file.  Nothing that writers do is in the way of that, and they go on.  The price is
 * a log that is not copied and grows meanwhile, and that a checkpoint somebody asks for waits or is turned away.
 *
 * Call it in the database's lane.
 */
#ifndef DB_FREEZE_H
#define DB_FREEZE_H

#include "db_live.h"

/* *frozen is false when a checkpoint copies at this moment, or what was read must be shipped first: try again later.
 * Nothing is done when it is true already. */
MUST_USE struct rc db_freeze_begin(struct db_live *l, bool *frozen, struct err *err);
/* Also when it is not frozen. */
void db_freeze_end(struct db_live *l);

#endif
