/* SPDX-License-Identifier: Apache-2.0 */
/* log_tables - for `weir log`: which tables and indexes each commit touched, and only those commits that are asked for.
 */
#ifndef LOG_TABLES_H
#define LOG_TABLES_H

#include "progress.h"
#include "scratch.h"
#include "trace.h"

#include <jansson.h>

enum { LOG_TABLES_MAX = 64 };

struct log_tables {
    bool asked;                        /* --tables */
    const char *names[LOG_TABLES_MAX]; /* --table */
    bool met[LOG_TABLES_MAX];
    size_t count;
    const char *scratch_dir;
    const struct fsys *fs;
    struct scratch *scratch; /* owned */
    struct progress progress;
    bool pipe_closed; /* nobody reads any more */

    /* Commits to look at; first_txid 0: none. */
    uint64_t first_txid, last_txid;
};

/* For a table of options: one more --table. */
MUST_USE struct rc log_tables_name(const char *text, void *target, struct err *err);
static inline bool log_tables_on(const struct log_tables *t)
{
    return t->asked || t->count > 0;
}

/* Before any thread is started, if log_tables_on(). */
MUST_USE struct rc log_tables_open(struct log_tables *t, const struct fsys *fs, struct err *err);
/* Removes the scratch folder; tells of names that no commit had; ends the process like `cat` when nobody reads. */
void log_tables_close(struct log_tables *t, const char *command, bool complete);

MUST_USE struct rc log_tables_run(struct log_tables *t, struct work *w, struct store *s, const struct catalog *c,
    uint32_t timeline, trace_fn fn, void *ctx, struct err *err);

/* Is this commit asked for? */
bool log_tables_wants(struct log_tables *t, const struct trace_commit *c);
/* "users, by_mail, schema", with + for what was created and - for what was dropped; on stdout. */
void log_tables_print(const struct trace_commit *c);
/* An array, or null when they are unknown. */
json_t *log_tables_json(const struct trace_commit *c);
/* What was printed is out; false: it cannot be, so there is no use in going on. */
bool log_tables_flush(struct log_tables *t);

#endif
