/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest_app - the application of `weir selftest`: a scratch database that is written to by SQLite as applications
 * do it, and exact copies of it.
 *
 * The load is small transactions of different kinds: rows that come, change, grow over several pages and go, with an
 * index and, now and then, a table that is made or dropped.
 */
#ifndef SELFTEST_APP_H
#define SELFTEST_APP_H

#include "fsys.h"

struct selftest_app;

/* Make the database, in WAL mode; there must be none. */
MUST_USE struct rc selftest_app_open(struct selftest_app **out, const char *path, struct err *err);
void selftest_app_close(struct selftest_app *a);
void selftest_app_closep(struct selftest_app **a);

/* One transaction. */
MUST_USE struct rc selftest_app_commit(struct selftest_app *a, struct err *err);
/* So far. */
uint64_t selftest_app_commits(const struct selftest_app *a);
uint64_t selftest_app_rows(const struct selftest_app *a);

/* The database as readers see it now, every byte, into a new file; its size. */
MUST_USE struct rc selftest_app_copy(
    struct selftest_app *a, const struct fsys *fs, const char *path, uint64_t *size, struct err *err);

/* Two files, byte by byte.  E_CORRUPT: they differ, and where. */
MUST_USE struct rc selftest_app_compare(const struct fsys *fs, const char *copy, const char *restored, struct err *err);

#endif
