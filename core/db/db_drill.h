/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_drill - when a database's actor proves that it can be restored (drill.h): a while after a start, then once per
 * interval, counted over restarts; and what came of it, which a failed drill keeps until a good one.
 *
 * Nothing waits for a drill.  It has a store of its own, which is paced, held while the replica is behind, and canceled
 * when the actor detaches; and one thread at the lowest priority.  Only one at a time runs in a process.
 *
 * A database of a folder may have one from the time when it was parked, which is its daemon's and goes on when it is
 * opened: `elsewhere`.
 */
#ifndef DB_DRILL_H
#define DB_DRILL_H

#include "drill_job.h"

struct db;

/* What all databases of a process share. */
struct db_drill_turn {
    bool taken;
};

struct db_drill {
    struct db_drill_turn *turn; /* borrowed; NULL: the database is alone */
    struct drill_job job;
    bool running, recalled;
    bool elsewhere;
    bool begun;         /* due_ms counts */
    uint64_t due_ms;    /* monotonic */
    uint64_t behind_ms; /* monotonic: since when it is held; 0: it is not */
    uint64_t known_ms;  /* monotonic: since when drills could be made; 0: not yet */

    /* Published. */
    struct err err; /* why the last run could not be carried out; code E_OK: it could */
    struct local_drill last;
    struct err alert;           /* code E_OK: no drill failed since the last good one */
    char skipped[ERR_MSG_SIZE]; /* "" or why the last one did nothing */
    uint64_t good_count, failed_count;
    uint64_t bytes_read; /* of this process */
    uint64_t news_count; /* outcomes, of any kind */
};

void db_drill_if_due(struct db *db);
/* Once a step: hold it while the replica is behind. */
void db_drill_tend(struct db *db);
/* At once; `running` is false soon. */
void db_drill_stop(struct db *db);
/* Uploads fail or wait: a drill would be in the way. */
bool db_drill_must_wait(const struct db *db);
/* What an earlier process, or this one before the database was parked, knew and left. */
void db_drill_recall(struct db *db);
/* An outcome becomes what is published. */
void db_drill_take(
    struct db *db, const struct drill_job *j, enum drill_outcome outcome, const struct local_drill *last);

#endif
