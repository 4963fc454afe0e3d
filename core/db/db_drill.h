/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_drill - when a database's actor proves that it can be restored (drill.h): a while after a start, then once per
 * interval, counted over restarts; and what came of it, which a failed drill keeps until a good one.
 *
 * Nothing waits for a drill.  It has a store of its own, which is paced, held while the replica is behind, and canceled
 * when the actor detaches; and one thread at the lowest priority.  Only one at a time runs in a process.
 */
#ifndef DB_DRILL_H
#define DB_DRILL_H

#include "drill.h"
#include "local_drill.h"

struct db;

/* What all databases of a process share. */
struct db_drill_turn {
    const struct db *running; /* NULL: none */
};

struct db_drill {
    struct db_drill_turn *turn; /* borrowed; NULL: the database is alone */
    struct work_item item;
    struct drill_opts opts;
    char *folder;        /* owned while it runs */
    struct store *store; /* its own; owned while it runs */
    atomic_bool stop;    /* the job reads it, too */
    bool running, recalled;
    bool begun;         /* due_ms counts */
    uint64_t due_ms;    /* monotonic */
    uint64_t behind_ms; /* monotonic: since when it is held; 0: it is not */
    struct drill_report report;
    struct rc rc;
    struct err job_err; /* the job's until it is done */

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

#endif
