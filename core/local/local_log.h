/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_log - what the records of the local state's log add up to.
 *
 *     local_log_init(&log);
 *     local_log_scan(&log, fs, fd, path, id, &content, err)       which records count, and the position behind them
 *     local_log_replay(&log, fs, fd, path, id, content.pos.page_count, hashes, err)
 *     local_log_fini(&log);
 *
 * The log is read twice with a window of fixed size, because which page records count is known only at its end: those
 * up to the mark of the last position record, but for the ones that a process left behind unacknowledged when it ended
 * and a later process declared void.
 *
 * A log ends at the first record that is not whole; what follows does not count.  E_CORRUPT: a whole record that makes
 * no sense.
 */
#ifndef LOCAL_LOG_H
#define LOCAL_LOG_H

#include "local_fmt.h"

enum {
    /* Void ranges that are kept in mind; one appears when a process ended with unacknowledged pages, and a checkpoint
     * clears them all, so this many are never there by right. */
    LOCAL_LOG_VOIDS_MAX = 4096,
};

struct local_log_void {
    uint64_t from, to;
};

struct local_log {
    uint64_t end;   /* offset behind the last good record */
    uint64_t chain; /* its hash */
    uint64_t acked; /* mark of the last position record; the header's size when there is none */

    uint64_t pages_end;           /* behind the last record of pages */
    uint64_t session_at;          /* where the last session began */
    struct local_log_void *voids; /* owned; in order, none touching the next */
    size_t void_count, void_room;
};

void local_log_init(struct local_log *log);
void local_log_fini(struct local_log *log);

/* Count the record of `size` bytes that stands at log->end.  Position and runs go into `content`. */
MUST_USE struct rc local_log_take(struct local_log *log, const struct local_fmt_record *record, size_t size,
    struct local_state_content *content, struct err *err);

/* Count all records of the file.  `content` holds the checkpoint's before, the log's end's afterwards. */
MUST_USE struct rc local_log_scan(struct local_log *log, const struct fsys *fs, int fd, const char *path, uint64_t id,
    struct local_state_content *content, struct err *err);

/* Apply the page records that count to `hashes`, and bring it to the page count of the position.  The caller compares
 * the checksum. */
MUST_USE struct rc local_log_replay(const struct local_log *log, const struct fsys *fs, int fd, const char *path,
    uint64_t id, uint32_t page_count, struct page_hash *hashes, struct err *err);

/* The pages of one record: those that the final state does not have are left out, which bounds the memory. */
MUST_USE struct rc local_log_apply(struct span entries, uint32_t page_count, struct page_hash *hashes, struct err *err);

#endif
