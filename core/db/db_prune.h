/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_prune - when a database's actor carries out its retention: a while after a start, then once per interval, in a job
 * of its own.  Without a policy nothing is ever deleted.
 */
#ifndef DB_PRUNE_H
#define DB_PRUNE_H

#include "prune.h"

struct db;

struct db_prune {
    struct work_item item;
    struct prune_opts opts;
    atomic_bool stop; /* the job reads it, too */
    bool running;
    bool begun;         /* due_ms counts */
    uint64_t due_ms;    /* monotonic */
    bool uploads_noted; /* that unfinished ones cannot be looked for */
    struct prune_report report;
    struct rc rc;
    struct err job_err; /* the job's until it is done */

    /* Published. */
    struct err failed; /* why the last run that came to something failed; code E_OK: it went well, or there was none */
    int64_t time_ms;   /* of the last one that went well; 0: none */
    uint64_t deleted_count, kept_bytes;
};

void db_prune_if_due(struct db *db);
/* The actor detaches: this gives up, and so does a drill (db_drill.h). */
void db_prune_stop(struct db *db);

#endif
