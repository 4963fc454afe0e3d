/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_park - letting go of a database that has been quiet for long, so that it costs nothing but a file event
 * (docs/mechanism.md, "Parking").
 *
 * Parking is an orderly stop that leaves a mark behind (park_mark.h): with everything shipped and copied into the
 * database file, connections, gate, descriptors and memory are given up.  Waking is an ordinary start, which trusts
 * nothing but the local state, the log, and the mark.
 */
#ifndef DB_PARK_H
#define DB_PARK_H

#include "db.h"

/* How long nothing has happened; 0: it is not quiet, or something is under way.  What waits to be asked for
 * (db_trigger.h) keeps a database open, but not when others press for its place. */
uint64_t db_park_idle_ms(const struct db *db, bool pressed);
/* Stop, and leave a mark: `marked` tells whether that could be done. */
void db_park_begin(struct db *db);

/* --- for db.c ----------------------------------------------------------------------------------------------------- */

/* Is the state at which the database is closed one that is worth a mark? */
bool db_park_may_mark(const struct db *db);
/* In the lane: detach, and leave a mark if it is wanted and true. */
void db_park_close(struct work_item *item);

/* --- for db_start.c ----------------------------------------------------------------------------------------------- */

/* From here on the mark is no more than a memory: what is on the disk must not outlive what happens now. */
MUST_USE struct rc db_park_take_mark(const struct db_start *s, struct err *err);
/* Nothing has gone from the log into the database file since this position, so the log holds all that came after. */
bool db_park_mark_holds(const struct db_start *s, const struct db_live *l, const struct pos *pos);

#endif
