/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_snapshot - when a database's actor takes a snapshot or makes a merge: by intervals if anything changed
 * (core/merge), and snapshots on demand.
 */
#ifndef DB_SNAPSHOT_H
#define DB_SNAPSHOT_H

#include "db.h"

/* At the end of a start, in its job: what an earlier run left to build merges on.  A base that the replica cannot have
 * is removed. */
void db_snapshot_recall(struct db *db);
/* And then on the loop. */
void db_snapshot_started(struct db *db);

void db_snapshot_if_due(struct db *db);
/* Take one soon; answers, later and on the loop, when it is in the replica. */
void db_snapshot_wait(struct db *db, struct db_waiter *w);

#endif
