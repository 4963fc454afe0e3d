/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drill - a restore of a random recent commit to a scratch file, to know that it can be done: the whole way of a real
 * one (plan, fetch, decode, state checksum), then SQLite's quick_check, and the file is gone.
 *
 * What a restore would work around counts as a failure, because the next damage may leave no way around.  Pruning
 * deletes objects while a drill reads, which looks like damage: so what was found is looked at a second time before it
 * is told.  A directory in which there is nothing at all is a disk that is not mounted, not damage.
 *
 * Disk: the database once.  Memory: 8 bytes a page, and that of a restore by one thread (at most about 40 MiB).
 *
 * Runs in a job thread: blocking, at the lowest priority.
 */
#ifndef DRILL_H
#define DRILL_H

#include "restore.h"

#include <stdatomic.h>

struct drill_opts {
    const struct fsys *fs;
    const char *path;   /* of the live database: how much room the scratch file needs */
    const char *folder; /* for the scratch file; made, and removed with all files in it, also before */
    uint32_t timeline;
    uint64_t tip_txid; /* the newest commit that is known to be in the replica, and its time */
    int64_t tip_ms;
    uint64_t window_ms;  /* how far behind it the commit may lie; 0: it is the one */
    uint64_t again_txid; /* one that failed: it is tried again while it is in the window; 0: none */
    uint64_t max_size;   /* of the database; 0: no limit */
    const atomic_bool *stop;
};

struct drill_report {
    uint64_t txid; /* that was chosen; 0: it did not come so far */
    struct restore_report restore;
    char skipped[ERR_MSG_SIZE]; /* "" or why nothing was done */
};

/*
 * E_OK: the commit can be restored, or the drill was skipped.  E_CORRUPT: it cannot, or only by a way around damage:
 * the message names txid, object and cause.  E_CANCELED: stopped.  Any other failure says nothing about the replica.
 */
MUST_USE struct rc drill_run(
    struct work *w, struct store *s, const struct drill_opts *opts, struct drill_report *report, struct err *err);
/* Remove what a drill that was killed has left. */
void drill_tidy(const struct fsys *fs, const char *folder);

#endif
