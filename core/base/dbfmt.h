/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dbfmt - what weir needs to know of the SQLite database file (sqlite.org/fileformat2.html).
 *
 * Pages are numbered from 1.  The page that holds byte 2^30 (the lock-byte page) never holds data: SQLite does not
 * write it, weir does not ship it, its hash counts as 0, and a restored file has zeros there.
 */
#ifndef DBFMT_H
#define DBFMT_H

#include "span.h"

enum {
    DBFMT_HEADER_SIZE = 100,
    DBFMT_PAGE_SIZE_MIN = 512,
    DBFMT_PAGE_SIZE_MAX = 65536,
};
/* SQLite's own limit (SQLITE_MAX_PAGE_COUNT). */
#define DBFMT_PAGE_COUNT_MAX 4294967294u

struct dbfmt_header {
    uint32_t page_size;
    bool wal;                /* read and write version are 2 */
    uint32_t change_counter; /* bytes 24..27 */
    uint32_t page_count;     /* bytes 28..31; 0 when stale (the change counter is not the version-valid-for) */
};

enum dbfmt_kind {
    DBFMT_SQLITE,
    DBFMT_EMPTY,   /* no bytes at all: a database that its application has not written yet */
    DBFMT_DUCKDB,  /* recognised so that the message can say so */
    DBFMT_JOURNAL, /* a rollback journal or WAL was given in place of the database */
    DBFMT_OTHER,
};

/* What the first bytes of a file say. */
enum dbfmt_kind dbfmt_recognise(struct span head);
/* E_CORRUPT with the reason when these are not a valid header. */
MUST_USE struct rc dbfmt_decode_header(struct span head, struct dbfmt_header *out, struct err *err);

static inline bool dbfmt_page_size_ok(uint64_t n)
{
    return n >= DBFMT_PAGE_SIZE_MIN && n <= DBFMT_PAGE_SIZE_MAX && (n & (n - 1)) == 0;
}

/* The number of the lock-byte page for this page size. */
static inline uint32_t dbfmt_lock_page(uint32_t page_size)
{
    return (uint32_t)(0x40000000u / page_size) + 1;
}

#endif
