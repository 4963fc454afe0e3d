/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drill_job - one drill (drill.h) as a job, with a store of its own that is paced, and what its outcome means: it is
 * noted in the local state and in the log.  For an open database (db_drill.h) and for one that is parked.
 *
 *     drill_job_begin(&j, &site, ...)
 *     drill_job_hold(), drill_job_stop()      meanwhile
 *     on_done(ctx)                            drill_job_judge(); the store can still be looked at
 *     on_over(ctx)                            j may be used again, or freed
 *
 * Loop thread only.
 */
#ifndef DRILL_JOB_H
#define DRILL_JOB_H

#include "drill.h"
#include "local_drill.h"

struct db_settings;

/* Whose drill it is.  Everything is borrowed until it is over. */
struct drill_job_site {
    uv_loop_t *loop;
    struct work *work;
    const struct fsys *fs;
    struct store_env *env;
    const struct clock *clock;
    const struct db_settings *settings;
    const char *state_dir;
    uint32_t timeline;
    uint64_t tip_txid; /* the newest commit that is known to be in the replica, and its time */
    int64_t tip_ms;
};

enum drill_outcome {
    DRILL_STOPPED, /* before it came to something */
    DRILL_GOOD,
    DRILL_DAMAGED, /* the commit cannot be restored as it should */
    DRILL_SKIPPED, /* the report says why */
    DRILL_UNDONE,  /* it could not be carried out; `err` says why */
};

struct drill_job {
    struct drill_job_site site;
    struct work_item item;
    struct drill_opts opts;
    char *folder;        /* owned while it runs */
    struct store *store; /* owned while it runs */
    atomic_bool stop;    /* the job reads it, too */
    bool running;
    struct drill_report report;
    struct rc rc;
    struct err err; /* the job's until on_done */
    void (*on_done)(void *ctx);
    void (*on_over)(void *ctx);
    void *ctx;
};

/* `again_txid`: drill_opts.  What fails here is an outcome like DRILL_UNDONE, without on_done and on_over. */
MUST_USE struct rc drill_job_begin(
    struct drill_job *j, const struct drill_job_site *site, uint64_t again_txid, struct err *err);
/* Ask for nothing more, or go on. */
void drill_job_hold(struct drill_job *j, bool held);
/* At once; on_over comes soon. */
void drill_job_stop(struct drill_job *j);
/* What it came to: told in the log, put into `last`, and noted in the local state.  Once, in on_done. */
enum drill_outcome drill_job_judge(const struct drill_job *j, struct local_drill *last);
/* That it could not be carried out. */
void drill_job_tell_undone(const struct drill_job_site *site, const struct err *why);
/* The alert that these drills make; code E_OK: none. */
void drill_job_alert(const struct local_drill *last, struct err *alert);
/* Where the drills of a database leave their files: owned by the caller. */
char *drill_job_folder(const char *state_dir);

#endif
