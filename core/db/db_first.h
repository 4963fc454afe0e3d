/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_first - what a database begins with, and the part of its first start that may make it (db_missing.h).  That is
 * tried until it has come to a decision, and never again: what is removed later was removed by somebody.
 */
#ifndef DB_FIRST_H
#define DB_FIRST_H

#include "db.h"

/* Loop thread, once: the local state with its lock, the spool, the store.  E_FENCED when another process holds the
 * lock. Nothing is open after a failure. */
MUST_USE struct rc db_first_open(struct db *db, struct err *err);
/* Loop thread: before the start's job, and behind it. */
void db_first_prepare(struct db *db);
void db_first_done(struct db *db);
/* The start's job. */
MUST_USE struct rc db_first_run(struct db *db, struct err *err);
/* This start, or a later one, has come to something, or waits: whoever waits for that is told.  It may stop the
 * database, so it is the last thing that is done. */
void db_first_settled(struct db *db);
/* Loop thread, no undecided job under way: the application begins, and a database that is not there is its own. */
void db_first_leave(struct db *db);

#endif
