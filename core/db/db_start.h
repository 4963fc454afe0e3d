/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_start - from a path and a replica to a database that is being followed: the whole story in one place.
 *
 *     attach to the database and hold the gate
 *     load the local state, look at the replica, decide the lineage        (lineage.h)
 *     begin a history or a timeline where that is due                      (timeline.h)
 *     find our place in the log                                            (wal_resume.h)
 *       go on / read the old generation's tail / retrace / compare all pages / first snapshot
 *
 * A job: linear, blocking, with the database to itself.  Whatever fails leaves replica and local state as they were or
 * further on, and the whole start can be tried again.
 */
#ifndef DB_START_H
#define DB_START_H

#include "db_live.h"
#include "db_survey.h"
#include "fence.h"
#include "park_mark.h"

#include <stdatomic.h>

/* Commits that could not be told apart: the one with `txid` stands for all after `after_txid`. */
struct db_gap {
    uint64_t after_txid, txid; /* 0: there was none */
    int64_t after_ms, time_ms;
};

struct db_start {
    struct work *work;
    struct store *store;
    const struct fsys *fs;
    const struct clock *clock;
    const char *path;
    const char *state_dir;     /* where its local state is */
    struct local_state *local; /* borrowed, locked */
    struct spool *spool;       /* borrowed */
    uint64_t log_limit;        /* while the replica does not answer the log is held up to this size */
    void (*on_wait)(void *ctx, const struct err *err); /* that it does not; on the loop */
    void *ctx;
    bool may_switch, fork, adopt;
    bool replace_unbegun; /* see lineage.h */
    bool require_fence;   /* refuse a store that cannot keep a second writer out */
    uint64_t
        look_at_ms; /* monotonic: from then on whose the history's end is must be asked again (ship_look.h); 0: never */
    bool must_compare; /* the log is known to have a hole, or could not be read: trust no position in it */
    const atomic_bool *stop;
    struct park_mark *mark; /* in and out, with `marked`: of when it was parked (park_mark.h); NULL: it never is */
    bool *marked;

    /* Out. */
    struct db_live *live; /* owned by the receiver; NULL when absent or failed */
    bool absent;
    enum fence fence;   /* in, too: what is known already */
    struct pos shipped; /* what the replica has */
    bool took_snapshot;
    int64_t snapshot_ms;
    bool resynced;
    struct db_gap gap; /* if so */
};

MUST_USE struct rc db_start_run(struct db_start *s, struct err *err);

#endif
