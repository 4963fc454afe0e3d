/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_copy - walking over all pages of a live database, while its application writes on: to hash it, or to compare it
 * with the page-hash index and ship what differs.
 *
 * A page that the log has is read from the log, any other from the database file.  What the file has may be newer than
 * what was read from the log so far (a checkpoint was faster), but then the log has it too and it comes again when the
 * walk reads on in the log, which it does after every group of pages.  At the end of the walk the log was read to its
 * end: every page was seen in its state there.
 *
 * For a job or a lane that has the database to itself; blocking.
 */
#ifndef DB_COPY_H
#define DB_COPY_H

#include "db_live.h"
#include "local_scrub.h"

/* The database's index becomes that of the file as it is now.  No segment is made. */
MUST_USE struct rc db_copy_hash(struct db_live *l, struct err *err);

/* Ship a finished part or segment; takes it. */
typedef struct rc (*db_copy_ship_fn)(void *ctx, struct db_segment *s, struct err *err);

/*
 * Put every page that differs from the index into the open segment, and end it as one commit flagged SEG_RESYNC.
 * *changed is false, and no commit made, when the state is the one that the open segment begins with.  The last segment
 * is not shipped: it is in *out.
 *
 * `known` (or NULL) are pages that were proven to be damaged (scrub.h).  One that still has the very content it was
 * found with, where the index has what was committed, was not changed by anybody since: it is no change, and left out.
 */
struct db_copy_known {
    const struct local_scrub *note; /* borrowed */
    uint32_t left_out;              /* out: how many of its pages */
};
MUST_USE struct rc db_copy_compare(struct db_live *l, struct db_copy_known *known, db_copy_ship_fn ship, void *ctx,
    bool *changed, struct db_segment **out, struct err *err);

#endif
