/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_keep - the database that a restore replaces, kept beside the new one as `<file>.<time>`, like
 * `app.db.20261121T020121Z`.
 *
 *     restore_keep_make(&k, fs, "app.db", side files too, now, err)
 *     ...                                     the new file is renamed over the old name
 *     restore_keep_undo(k)                    if it was not: as if nothing had been
 *     restore_keep_free(k)
 *
 * The kept name is a second name of the same file (link), so the old name is never without a file.  Only where the file
 * system has no links the file is renamed, and the old name is missing until the new file is there.  A kept name never
 * replaces anything: when it is taken, `-2`, `-3` ... is appended.
 *
 * Side files (-wal, -journal) are kept for a database whose log SQLite could not copy into it: under the kept name, so
 * that whoever opens it gets what SQLite would have made of both.
 */
#ifndef RESTORE_KEEP_H
#define RESTORE_KEEP_H

#include "fsys.h"

struct restore_keep;

MUST_USE struct rc restore_keep_make(struct restore_keep **out, const struct fsys *fs, const char *path,
    bool side_files, int64_t now_ms, struct err *err);
const char *restore_keep_path(const struct restore_keep *k);
void restore_keep_undo(struct restore_keep *k);
void restore_keep_free(struct restore_keep *k);
void restore_keep_freep(struct restore_keep **k);

#endif
