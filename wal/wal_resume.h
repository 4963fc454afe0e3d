/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_resume - what happened to the log while nobody watched it: never assume, look.
 *
 *   1. The same generation, and the frame at our position carries the checksum that we remember: go on there.
 *   2. Exactly one reset since: salt-1 is one higher (every reset adds one), and the end of our generation still lies
 * in the file behind the frames of the new one, our own last frame included, its chain unbroken, and no frame of the
 * new one behind ours (only a power cut leaves that).  Read it, then the new one.
 *   3. Anything else: compare every page with the page-hash index.
 *
 * The checkpoint counter of the WAL header is no evidence: SQLite keeps it per connection, and a connection that did
 * not run recovery starts it at zero.  A file that ends with the old generation may have been cut by
 * journal_size_limit, behind a commit as well as inside one; it counts as a tail only if the index's commit counter,
 * saved with the position, has grown by just the commits found.
 */
#ifndef WAL_RESUME_H
#define WAL_RESUME_H

#include "wal_conn.h"
#include "wal_fmt.h"

enum wal_resume_how {
    WAL_RESUME_GO_ON,
    WAL_RESUME_TAIL,
    WAL_RESUME_COMPARE,
};

struct wal_resume {
    enum wal_resume_how how;
    struct wal_pos pos; /* where to read on (GO_ON, TAIL) */
    uint32_t tail_end;  /* TAIL: last frame of the old generation's last commit */
    const char *reason; /* for the log; static */
    bool lost_commits;  /* the log is known to lack commits that were read before: a machine crash */
};

/* Decide where to read on after `saved`.  The gate is held, so the log is not reset meanwhile. */
MUST_USE struct rc wal_resume_decide(
    struct wal_conn *conn, const struct wal_pos *saved, struct wal_resume *out, struct err *err);

#endif
