/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_sync - what a database's actor does while it replicates: wake up by file events, take steps in the lane, hand
 * finished segments to the shipper, pass acknowledgements back.
 *
 * After an event the watch is set aside while the log is looked at by a timer, so a busy writer does not wake us for
 * every write.  When the log is quiet the watch is armed again, and the log looked at once more, so that nothing falls
 * between.  A slow timer stays: an application that waits in a checkpoint of its own gives no event.
 *
 * The first commit after a quiet time is shipped at once; from then on one segment per sync interval.
 */
#ifndef DB_SYNC_H
#define DB_SYNC_H

#include "db.h"

/* RUNNING was entered. */
void db_sync_begin(struct db *db);
/* Take a step soon. */
void db_sync_kick(struct db *db);
void db_sync_unwatch(struct db *db);
/* A shipper event: the segment is durable.  Takes it. */
void db_sync_shipped(void *ctx, struct db_segment *s);

/* Answers, later and on the loop, when everything committed before the call is durable in the replica. */
void db_sync_wait(struct db *db, struct db_waiter *w);

#endif
