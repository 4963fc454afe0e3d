/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub_parked - does the file of a parked database still hold what was committed?  One pass over all of it, without
 * opening the database: neither SQLite, nor the log, nor the replica is asked, and nobody notices.
 *
 * What proves a damaged page is the mark (park_mark.h).  When it was taken the file held the state whose page hashes
 * the local state has; whoever commits from then on writes to the log first, and whoever writes to the file changes its
 * times before its content.  So a page that differs, while both still look like the mark *after* it was read, was
 * changed by nobody.  It is read twice, with a pause in between, before it is told.
 *
 * Nobody in this process may have the database open meanwhile: closing a descriptor would drop SQLite's locks.
 *
 * Blocking, in a job's thread, at the lowest priority, no faster than `rate`; `stop` ends it within some milliseconds
 * and a read.  Memory: 8 bytes a page, and a chunk.
 */
#ifndef SCRUB_PARKED_H
#define SCRUB_PARKED_H

#include "clock.h"
#include "local_scrub.h"
#include "park_mark.h"

#include <stdatomic.h>

enum {
    SCRUB_PARKED_CHUNK_SIZE = 256 << 10, /* read at a time */
    SCRUB_PARKED_CONFIRM_MS = 200,       /* between two reads of a page that differs */
};

enum scrub_parked_end {
    SCRUB_PARKED_STOPPED,
    SCRUB_PARKED_MOVED, /* the file, or the local state, is not what the mark says: nothing can be proven */
    SCRUB_PARKED_PASSED,
};

struct scrub_parked {
    /* In. */
    const struct fsys *fs;
    const struct clock *clock;
    const char *path, *state_dir;
    struct park_mark mark;
    uint64_t interval_ms, rate; /* bytes in a second; 0: no limit */
    const atomic_bool *stop;

    /* Out. */
    enum scrub_parked_end end;
    struct local_scrub note; /* as it was written, but for what is told; of scrub_parked_fini() */
    uint64_t page_count;     /* read */
};

/* The next pass goes on where one that was stopped was.  Errors: the file or the local state cannot be read, or the
 * note not be written. */
MUST_USE struct rc scrub_parked_run(struct scrub_parked *s, struct err *err);
void scrub_parked_fini(struct scrub_parked *s);

#endif
