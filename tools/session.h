/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - for commands that read a replica: a loop, workers and a store, and the command's work as one job.
 *
 * A source is a URL, or a database of the configuration (settings.h).
 */
#ifndef SESSION_H
#define SESSION_H

#include "fsys.h"
#include "work.h"

typedef struct rc (*session_fn)(void *ctx, struct work *w, struct store *s, struct err *err);

/* Open the store that `source` names, run `fn` in a job's thread, and clean up. */
MUST_USE struct rc session_run(const struct fsys *fs, const char *source, session_fn fn, void *ctx, struct err *err);
/* The same with the configuration that `-c` named; NULL: it was not given. */
MUST_USE struct rc session_run_with(
    const struct fsys *fs, const char *file, const char *source, session_fn fn, void *ctx, struct err *err);
/* The same where URL and options are known. */
struct session_place {
    const char *url;
    const struct store_option *options;
    size_t option_count;
};
MUST_USE struct rc session_run_at(
    const struct fsys *fs, const struct session_place *place, session_fn fn, void *ctx, struct err *err);

#endif
