/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_trigger - what makes a database ship: so much time behind a commit, so many commits, somebody who asks, its end.
 *
 * While there is an interval, everything that is read may be sent, and what is open is finished when its time has come.
 * Without one (DB_INTERVAL_OFF) what is read waits until something lets it through:
 *
 *     db_trigger_ask()      somebody asks: everything that is committed at that moment
 *     db_trigger_read()     after each step: so many commits wait, or a limit is reached
 *     the state             any but RUNNING: to stop, and to attach anew, everything that was read is shipped first
 *     a snapshot            is behind the log that leads to it; those that are due wait until something is let through
 *
 * What waits must neither be lost with this process nor hold up the log, which SQLite starts over every 1,000 frames.
 * So it is finished into the spool (db_spool.h) before the log has gone too far for a crash to find the way back
 * (wal_resume.h), the log is not started over before that, and what was read of its old end goes there at once.  Where
 * the spool takes nothing, segments are shipped when they are full.
 *
 * Limits: half of the spool, so that the other half is there for a replica that does not answer, and
 * DB_TRIGGER_SEGMENTS_MAX segments.  Whatever waits is let through then.
 *
 * Threads: the loop's.
 */
#ifndef DB_TRIGGER_H
#define DB_TRIGGER_H

#include "db.h"

/* A sync that takes its time: each is a request. */
enum { DB_TRIGGER_SEGMENTS_MAX = 1000, DB_TRIGGER_FRAMES_MAX = DB_LIVE_RESET_FRAMES * 3 / 4 };

/* What is committed waits until something lets it through. */
bool db_trigger_waits(const struct db *db);
/* The open segment is to be finished after so long; UINT64_MAX: not by itself. */
uint64_t db_trigger_due_in_ms(const struct db *db);
/* With so many commits; 0: however many. */
uint64_t db_trigger_commit_limit(const struct db *db);
/* What is open waits, and is to go to the spool now. */
bool db_trigger_must_spool(const struct db *db);
/* A snapshot or merge that nobody asked for may begin. */
bool db_trigger_may_merge(struct db *db);
/* Everything up to the request is shipped, so that a snapshot that was asked for may begin. */
bool db_trigger_is_through(const struct db *db);

/* Somebody wants everything to be shipped that is committed now; the txid of that comes with db_trigger_let(). */
void db_trigger_ask(struct db *db);
void db_trigger_let(struct db *db, uint64_t txid);
/* After a step; `spool_works`: what waits can go there. */
void db_trigger_read(struct db *db, bool spool_works);
/* Tell the shipper what may be sent; after whatever changes that. */
void db_trigger_apply(struct db *db);

#endif
