/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_page - one page of a SQLite database, taken apart (sqlite.org/fileformat2.html): the file header, the cells of
 * a b-tree page with the pages they refer to, a trunk page of the freelist.
 *
 *     btree_page_file(page 1, page size, &f)          what the header says; false: not a database's
 *     btree_page_open(&f, pgno, page, &p)             false: not a b-tree page
 *     for (i = 0; i < p.cell_count; i++) btree_page_cell(&p, i, &cell)
 *
 * Pure.  Pages are distrusted: whatever they say, nothing outside of them is read, and what cannot be is `false`.
 */
#ifndef BTREE_PAGE_H
#define BTREE_PAGE_H

#include "dbfmt.h"

enum { BTREE_PAGE_UTF8 = 1, BTREE_PAGE_UTF16LE = 2, BTREE_PAGE_UTF16BE = 3 };

struct btree_page_file {
    uint32_t page_size, usable;
    bool auto_vacuum;     /* there are pointer-map pages */
    unsigned encoding;    /* of texts */
    uint32_t first_trunk; /* of the freelist; 0: it is empty */
};

/* `page1` has `page_size` bytes. */
bool btree_page_file(const uint8_t *page1, uint32_t page_size, struct btree_page_file *out);
/* Pages of which only the place decides what they are. */
bool btree_page_is_pointer_map(const struct btree_page_file *f, uint32_t pgno);

struct btree_page {
    const struct btree_page_file *file;
    const uint8_t *page; /* borrowed */
    uint8_t type;
    bool interior, table; /* table: rows by number, without keys in interior pages */
    uint32_t header;      /* offset of the b-tree header: 100 in page 1, else 0 */
    uint32_t cell_count;
    uint32_t right; /* interior: the last child */
};

struct btree_page_cell {
    uint32_t child; /* interior pages */
    uint64_t payload_size;
    struct span local; /* what of the payload is in this page; borrowed */
    uint32_t overflow; /* the page with the rest; 0: there is none */
};

bool btree_page_open(const struct btree_page_file *f, uint32_t pgno, const uint8_t *page, struct btree_page *out);
bool btree_page_cell(const struct btree_page *p, uint32_t i, struct btree_page_cell *out);

/* A trunk page of the freelist: the next one, and how many numbers of free pages it has. */
bool btree_page_trunk(const struct btree_page_file *f, const uint8_t *page, uint32_t *next, uint32_t *leaf_count);
uint32_t btree_page_trunk_leaf(const uint8_t *page, uint32_t i);
/* An overflow page: the next one, or 0. */
uint32_t btree_page_overflow_next(const uint8_t *page);

#endif
