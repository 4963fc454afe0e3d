/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_files - the files of the local state as a whole: finding, reading, replacing, clearing away.  Appending to the
 * log is local_state's.
 *
 * A checkpoint's files have a random id in their names, and `current` tells which id is valid.  So a new checkpoint
 * never touches the old one's files before it is complete and durable.
 */
#ifndef LOCAL_FILES_H
#define LOCAL_FILES_H

#include "local_log.h"

/* `<dir>/pages.<id>`, `<dir>/log.<id>`; owned by the caller. */
char *local_files_pages_path(const char *dir, uint64_t id);
char *local_files_log_path(const char *dir, uint64_t id);

/* E_NOTFOUND when there is no `current`. */
MUST_USE struct rc local_files_read_current(
    const struct fsys *fs, const char *dir, struct local_fmt_current *out, struct err *err);
/* The index of the checkpoint, with the hash that `cur` promises. */
MUST_USE struct rc local_files_read_pages(const struct fsys *fs, const char *dir, const struct local_fmt_current *cur,
    struct page_hash *hashes, struct err *err);
/* Whether an error of reading means that what is there cannot be used, so that trying again would not help. */
bool local_files_broken(const struct err *err);

/*
 * Write `content` and `hashes` as a new checkpoint and make it the current one, durably.  On success `log` and `fd` are
 * its empty log, open for appending, and `id` its id.  After a failure the old checkpoint or the new one is current,
 * which of them is not known; both are whole.
 */
MUST_USE struct rc local_files_write(const struct fsys *fs, const char *dir, const struct local_state_content *content,
    const struct page_hash *hashes, struct local_log *log, struct fsys_fd *fd, uint64_t *id, struct err *err);

/* Remove the files of other checkpoints than `keep`.  They do no harm but for their size, and the next start tries
 * again, so failures do not matter.  Other files are left alone. */
void local_files_sweep(const struct fsys *fs, const char *dir, uint64_t keep);
/* Remove all, `current` first. */
MUST_USE struct rc local_files_discard(const struct fsys *fs, const char *dir, struct err *err);

#endif
