/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_copy - walking over all pages of a live database, while its application writes on: to hash it, or to compare it
 * with the page-hash index and ship what differs.
 *
 * A page that the log has is read from the log, any other from the database file.  What the file has may be newer than
 * what was read from the log so far (a checkpoint was faster), but then the log has it too and it comes again when the
 * walk reads on in the log, which it does after every group of pages.  Behind the walk the log is read as far as it was
 * then: every page was seen in its state there.
 *
 * A comparison makes the index of what is there in this way and notes which pages differ.  Then it ships these, in
 * rounds, because writers go on: a page that changes again is noted again.  Nothing of the log itself is shipped, so a
 * page costs its bytes once a round, however often it was written.  The rounds end when few pages are left, or when
 * they stop getting much shorter; then the file stands still (db_freeze.h) while the rest is shipped.  So a comparison
 * ends, and ships no more than a few times what differs, whatever the writers do.
 *
 * For a job or a lane that has the database to itself; blocking.
 */
#ifndef DB_COPY_H
#define DB_COPY_H

#include "db_live.h"
#include "local_scrub.h"

#include <stdatomic.h>

/* Ship a finished part or segment; takes it. */
typedef struct rc (*db_copy_ship_fn)(void *ctx, struct db_segment *s, struct err *err);

struct db_copy {
    struct db_live *live;
    db_copy_ship_fn ship; /* of a comparison */
    void *ctx;
    const atomic_bool *stop; /* give up with E_CANCELED; may be NULL */
    /*
     * Pages that were proven to be damaged (scrub.h); may be NULL.  One that still has the very content it was found
     * with, where the index has what was committed, was not changed by anybody since: it is no change, and left out.
     */
    const struct local_scrub *known;

    /* Out. */
    uint32_t left_out;       /* how many known pages */
    bool changed;            /* a comparison has found something */
    uint64_t bytes;          /* of all that it made of that */
    struct db_segment *last; /* then, owned by the receiver: the end of what it found, which is not shipped yet */
};

/* The database's index becomes that of the file as it is now.  No segment is made. */
MUST_USE struct rc db_copy_hash(struct db_copy *c, struct err *err);

/*
 * Put every page that differs from the index into the open segment, and end it as one commit flagged SEG_RESYNC.  No
 * commit is made when the state is the one that the open segment begins with.
 */
MUST_USE struct rc db_copy_compare(struct db_copy *c, struct err *err);

#endif
