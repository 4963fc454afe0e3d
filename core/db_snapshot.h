/* SPDX-License-Identifier: Apache-2.0 */
/* db_snapshot - when a database's actor takes a snapshot: by interval if anything changed, and on demand. */
#ifndef DB_SNAPSHOT_H
#define DB_SNAPSHOT_H

#include "db.h"

void db_snapshot_if_due(struct db *db);
/* Take one soon; answers, later and on the loop, when it is in the replica. */
void db_snapshot_wait(struct db *db, struct db_waiter *w);

#endif
