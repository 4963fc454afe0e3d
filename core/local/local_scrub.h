/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_scrub - how far the scrub of a database got and which pages it found damaged, in `<database>-weir/scrubbed`: a
 * restart goes on where it was, forgets no damage, and does not take it for a change (db_copy.h).
 */
#ifndef LOCAL_SCRUB_H
#define LOCAL_SCRUB_H

#include "fsys.h"

enum { LOCAL_SCRUB_PAGES_MAX = 1000 /* damaged pages that are kept by number; more are only counted */ };

enum local_scrub_fate {
    LOCAL_SCRUB_DAMAGED,
    LOCAL_SCRUB_MENDED,  /* it is again what was committed */
    LOCAL_SCRUB_WRITTEN, /* a commit wrote it, or cut it off */
};

struct local_scrub_page {
    uint32_t pgno;
    uint64_t want, have; /* hashes: what was committed, and what is there (0: it cannot be read) */
    uint64_t txid;       /* the state in which it was found */
    int64_t found_ms;
    /* Not on the disk. */
    enum local_scrub_fate fate;
    bool told;
};

struct local_scrub {
    uint64_t next;                  /* the pass goes on with this page; 1: it begins */
    int64_t began_ms;               /* the pass */
    int64_t passed_ms;              /* the last one that came to its end; 0: none has */
    uint64_t passed_pages;          /* of the database then */
    int64_t due_ms;                 /* when the next pages are due */
    uint64_t inode;                 /* of the database file */
    uint64_t unlisted;              /* damaged pages of this pass beyond those below ... */
    uint64_t unlisted_last;         /* ... and of the last one */
    struct local_scrub_page *pages; /* owned; in order; room for LOCAL_SCRUB_PAGES_MAX, or NULL */
    uint32_t count;
};

void local_scrub_fini(struct local_scrub *n);

/* `dir` is that of the local state. */
MUST_USE struct rc local_scrub_write(
    const struct fsys *fs, const char *dir, const struct local_scrub *n, struct err *err);
/* The beginning of a first pass when there is none, or one that cannot be read. */
void local_scrub_read(const struct fsys *fs, const char *dir, struct local_scrub *out);

/* A place for one more, which must not be listed yet; NULL: there are too many.  It moves others: they are in order. */
struct local_scrub_page *local_scrub_add(struct local_scrub *n, uint32_t pgno);
/* The entry of this page; NULL: it is not listed. */
struct local_scrub_page *local_scrub_find(const struct local_scrub *n, uint32_t pgno);
/* Damaged pages, as far as is known. */
uint64_t local_scrub_damaged(const struct local_scrub *n);

#endif
