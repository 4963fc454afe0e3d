/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_missing - what becomes of a database that is not there when weir starts.
 *
 *     the file is there                                   nothing to do
 *     the replica has a history                           restore its newest state     (restore-if-missing)
 *     it has none, and there is a seed                    make the database of it      (seed)
 *     neither                                             the application makes one
 *
 * Whether the replica has a history is never guessed: as long as it cannot be asked this fails, so that nobody begins
 * with an empty database because of a network that is down.
 *
 * A part of a start's job, before db_start: blocking.  `done` is set last and may be read by the loop at any time.
 *
 * Errors: those of restore.h and seed.h; E_CANCELED when `stop` was set.
 */
#ifndef DB_MISSING_H
#define DB_MISSING_H

#include "restore.h"

enum db_missing_done {
    DB_MISSING_UNDECIDED,
    DB_MISSING_THERE,    /* there was a database */
    DB_MISSING_RESTORED, /* as of `txid` */
    DB_MISSING_SEEDED,
    DB_MISSING_EMPTY, /* there is none, and the replica has no commit */
    DB_MISSING_LEFT,  /* there is none, and nothing was to be done about it */
};

struct db_missing {
    struct work *work;
    struct store *store;
    const struct fsys *fs;
    const char *path;
    const char *state_base;    /* of its local state (local_state.h); NULL: beside it */
    struct local_state *local; /* borrowed, locked */
    const char *seed;          /* NULL: none */
    bool restore;
    const atomic_bool *stop;

    /* Out. */
    _Atomic enum db_missing_done done;
};

MUST_USE struct rc db_missing_run(struct db_missing *m, struct err *err);

#endif
