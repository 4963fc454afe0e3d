/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history - what a replica holds, in one bounded document for a dashboard (docs/http.md, "History"): restorable ranges,
 * snapshots, merges, timelines, pruned stretches.
 *
 * It costs one listing, one small object for each timeline, the last object of each, and a few more where the time of a
 * commit is not in a key.  What is left out, because there is too much, is marked.
 *
 * Runs in a job thread: blocking, through work_store().
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "db_start.h"

enum {
    HISTORY_LIST_MAX = 1000,      /* ranges, snapshots, merges, pruned stretches, each in all timelines together */
    HISTORY_TIMELINES_MAX = 100,  /* in the document */
    HISTORY_READS_MAX = 16,       /* segments that are read for the time of a commit */
    HISTORY_PLANS_MAX = 500,      /* that are made to find out what can be restored */
    HISTORY_GAPS_MAX = 64,        /* that the daemon remembers */
    HISTORY_SIZE_MAX = 1 << 20,   /* of the document */
    HISTORY_FOLDER_MAX = 50000,   /* keys of a kind on a timeline that are listed, and a page */
    HISTORY_OBJECTS_MAX = 500000, /* keys in all */
    HISTORY_ORIGINS_MAX = 1000,   /* timelines that are listed */
};

/* A place in the history where commits cannot be told apart. */
struct history_gap {
    uint32_t timeline;
    struct db_gap gap;
};

struct history_opts {
    const char *path;         /* of the database */
    int64_t now_ms, since_ms; /* wall clock; since when gaps were noted */
    struct history_gap gaps[HISTORY_GAPS_MAX];
    size_t gap_count;
    bool gaps_cut;           /* there were more before these */
    const atomic_bool *stop; /* give up with E_CANCELED */
};

/* Append the document.  No replica is an empty history. */
MUST_USE struct rc history_read(
    struct work *w, struct store *s, const struct history_opts *opts, struct buf *out, struct err *err);

#endif
