/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub - does the live database's file still hold what was committed?  It is read slowly, page by page, and each
 * page's hash compared with the page-hash index.
 *
 *     struct scrub s = {.note.next = 1};
 *     scrub_step(&s, live, &step)          in the database's lane, when the log has been read to its end
 *     scrub_fini(&s)
 *
 * A page that agrees is done with.  Of one that does not, nothing is said before it is proven (wal_still.h), twice,
 * with a pause in between; until then it is a suspect.  What is proven is listed in `note`, and looked at again and
 * again until it is right, or a commit has written the page.
 *
 * Memory: 64 suspects, and once there is damage the list (local_scrub.h).
 */
#ifndef SCRUB_H
#define SCRUB_H

#include "db_live.h"
#include "local_scrub.h"

enum {
    SCRUB_CHUNK_SIZE = 256 << 10, /* read at a time */
    SCRUB_SUSPECTS_MAX = 64,      /* the pass waits when there are more */
    SCRUB_CONFIRM_US = 200000,    /* between two proofs */
    SCRUB_SLICE_US = 5000,        /* a step's share of the lane; a chunk is read to its end */
};

struct scrub_suspect {
    uint32_t pgno;
    uint64_t want; /* at the first proof; 0: there was none yet */
    uint64_t due_us;
};

struct scrub {
    struct local_scrub note;
    struct scrub_suspect *suspects; /* owned; NULL: there never was one */
    uint32_t suspect_count;
};

struct scrub_step {
    /* In. */
    uint32_t budget; /* pages that may be read; what a chunk has more is read, too */
    bool recheck;    /* look at the damaged pages */
    uint32_t hint;   /* a page that somebody met damaged; 0: none */
    /* Out. */
    uint32_t read;  /* pages of the pass */
    uint32_t pages; /* of the database */
    bool passed;    /* the pass came to its end */
    bool news;      /* the list of damaged pages is another */
    struct err err; /* code E_OK: reading worked */
};

void scrub_fini(struct scrub *s);
void scrub_step(struct scrub *s, struct db_live *l, struct scrub_step *step);

#endif
