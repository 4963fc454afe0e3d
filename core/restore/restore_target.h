/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_target - the place where a restored database goes, and what may already be there.
 *
 *     restore_target_open(&t, fs, opts, err)            refuse at once what cannot be replaced
 *     ...                                               the image is built, proven and synced
 *     restore_target_check_file(temp, full, err)        SQLite's own checks, if wanted
 *     restore_target_publish(t, image, content, ...)    replace; the local state follows
 *     restore_target_free(t)
 *
 * A log or journal of the replaced database must never be replayed into the new one, and a crash at any point must
 * leave the old database whole or the new one whole.  So publishing goes in this order:
 *
 *     1. the old file is locked through SQLite, exclusively, which proves that nobody has it open; the lock stays until
 *        the end, so nobody can open it meanwhile
 *     2. SQLite copies the old log into the old file (or rolls its journal back): from here on it is whole without them
 *     3. the old local state is discarded (without it, a daemon proves a file by its checksum)
 *     4. if it is to be kept, the old file gets its second name (restore_keep.h)
 *     5. -wal, -shm and -journal are removed, and the directory is synced
 *     6. the new file is renamed over the old one, and the directory is synced
 *     7. the new local state is written
 *
 * A file that SQLite cannot read (not a database, or damaged beyond use) cannot be in use by SQLite either and is
 * replaced without 1 and 2.  Side files without a database are what SQLite itself would throw away.
 *
 * Limits: a process that has a database in rollback mode open without a transaction holds no lock and cannot be seen.
 */
#ifndef RESTORE_TARGET_H
#define RESTORE_TARGET_H

#include "image.h"
#include "restore.h"

#include <stdatomic.h>

struct restore_target;

/* Of the options count where to, what may be replaced, and where the local state is; they are borrowed.
 * E_EXISTS a file is there and may not be replaced; E_BUSY it is in use, or a weir daemon replicates it; E_CONFIG it
 * cannot be a database file (a directory, a missing folder). */
MUST_USE struct rc restore_target_open(
    struct restore_target **out, const struct fsys *fs, const struct restore_opts *opts, struct err *err);
void restore_target_free(struct restore_target *t);
void restore_target_freep(struct restore_target **t);
/* The file that will be replaced: symbolic links are followed. */
const char *restore_target_path(const struct restore_target *t);

/* There is a file that will be replaced. */
bool restore_target_exists(const struct restore_target *t);
/* Keep it under another name, and say which: "" when there was none. */
void restore_target_keep_old(struct restore_target *t);
const char *restore_target_kept(const struct restore_target *t);

/* PRAGMA quick_check, or integrity_check; leaves no side files.  E_CORRUPT with the first finding. */
MUST_USE struct rc restore_target_check_file(const char *path, bool full, struct err *err);

/* The same, until somebody sets `stop`: E_CANCELED. */
MUST_USE struct rc restore_target_check_until(const char *path, bool full, const atomic_bool *stop, struct err *err);

/*
 * Replace the target by the image.  Where there was no file, one that has come up meanwhile stays: E_EXISTS.  `content`
 * is the local state that goes with it, NULL for none.  Once the file is in place, a local state that could not be
 * written is no failure: `warning` then says so (ERR_MSG_SIZE).
 */
MUST_USE struct rc restore_target_publish(struct restore_target *t, struct image *image,
    const struct local_state_content *content, char *warning, struct err *err);

#endif
