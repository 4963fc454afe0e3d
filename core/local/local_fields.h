/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_fields - a small text file beside the database: a first line that says what it is, then lines "name value".
 *
 *     local_fields_write(&text, head, names, count, values)         what else belongs into it is the caller's
 *
 *     at = local_fields_read(fs, path, head, &text)
 *     local_fields_take(&at, names, count, values)                   then what else is there, by local_fields_line()
 *
 * Such files may be lost, so one that cannot be understood is none, and is not an error.
 */
#ifndef LOCAL_FIELDS_H
#define LOCAL_FIELDS_H

#include "buf.h"
#include "fsys.h"

void local_fields_write(
    struct buf *text, const char *head, const char *const *names, size_t count, const uint64_t *values);

/* What stands behind the first line, which is `head` with its line feed.  It lies in `text`, whose maximum is the
 * caller's.  NULL: there is no such file. */
char *local_fields_read(const struct fsys *fs, const char *path, const char *head, struct buf *text);
/* The values of these names, each in its place, from 0 to INT64_MAX; *at is moved on behind them. */
MUST_USE bool local_fields_take(char **at, const char *const *names, size_t count, uint64_t *values);
/* The line at *at, which is moved on behind it; NULL: there is no whole one. */
char *local_fields_line(char **at);

#endif
