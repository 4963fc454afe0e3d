/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seed - the first content of a database that is nowhere yet: a copy of a database file, or what a program makes.
 *
 *     seed_run(&(struct seed){.fs = fs, .source = "/app/seed.db", .path = "/data/app.db", .dir = dir}, err)
 *
 * The database is built in `<dir>/seed/`, checked (PRAGMA quick_check), synced, and only then gets its name, never over
 * a file that came up meanwhile.  So whatever happens half-way, there is no database, and the next start begins anew.
 *
 * What begins like a SQLite database is copied, a log beside it included, and stays as it is.  Any other file that may
 * be executed is run, with the name of the file that it has to make as its only argument, without input, and with its
 * output on standard error; exit status 0 means that it is made.
 *
 * Runs in a job's thread: blocking.  `stop` ends a program that runs (SIGTERM to its process group, SIGKILL after
 * SEED_PATIENCE_MS).
 *
 * Errors: E_NOTFOUND, E_DENIED the source; E_CONFIG it is neither of the two, or made no database; E_EXISTS there is a
 * database by now; E_CORRUPT it is damaged; E_CANCELED; E_IO, E_NOSPACE.
 */
#ifndef SEED_H
#define SEED_H

#include "fsys.h"

#include <stdatomic.h>

enum { SEED_PATIENCE_MS = 5000 };

struct seed {
    const struct fsys *fs;
    const char *source, *path;
    const char *dir;         /* of the local state; it exists */
    const atomic_bool *stop; /* NULL: never */
};

MUST_USE struct rc seed_run(const struct seed *s, struct err *err);

/* Remove what a crash left of an earlier one. */
MUST_USE struct rc seed_clear(const struct fsys *fs, const char *dir, struct err *err);

#endif
