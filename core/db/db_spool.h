/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_spool - the actor's side of the spool: when segments go to the local disk, and how they come back for their
 * upload.
 *
 * The log itself is the first buffer: while the replica does not answer the gate holds it.  Only when it has reached
 * its limit are segments finished into the spool, so that the log can be started over; from then on, until the replica
 * has caught up, everything passes through the spool in order.  When the spool is full, too, exact history stops
 * (db_spool_exhausted): the database is compared with the replica's last state once it answers again.
 *
 * What is not to be shipped before somebody asks for it (db_trigger.h) waits here, too.
 */
#ifndef DB_SPOOL_H
#define DB_SPOOL_H

#include "db.h"

MUST_USE struct rc db_spool_open(struct db *db, struct err *err);
void db_spool_close(struct db *db);

/* Around a step: freeze the queue and let the lane spool what waits there, if that is due; take note of the outcome. */
void db_spool_before(struct db *db);
void db_spool_after(struct db *db);

/* It takes what comes, as far as is known. */
bool db_spool_works(const struct db *db);
/* What waits to be asked for is to go there now. */
bool db_spool_must_keep(const struct db *db);

/* The log is at its limit, the replica takes nothing and the spool can take no more. */
bool db_spool_exhausted(const struct db *db);

/* A shipper event: read the segment's bytes back. */
void db_spool_load(void *ctx, struct db_segment *s);

#endif
