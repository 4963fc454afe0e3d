/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_hash - the page-hash index: one 64-bit hash per page of a database state, in memory, and their XOR, which is the
 * state checksum.  Kept up to date in O(changed pages).
 *
 * Memory: 8 bytes a page in chunks of PAGE_HASH_CHUNK pages, allocated on first use (a 1 GB database with 4 KiB pages:
 * 2 MiB); the first chunk grows with the database, so that a small one costs less than a kilobyte.
 *
 * Threads: used by one thread at a time.
 */
#ifndef PAGE_HASH_H
#define PAGE_HASH_H

#include "dbfmt.h"
#include "fsys.h"

enum { PAGE_HASH_CHUNK = 65536 };

struct page_hash;

struct page_hash *page_hash_new(void);
void page_hash_free(struct page_hash *h);
void page_hash_freep(struct page_hash **h);

/* Forget all pages. */
void page_hash_clear(struct page_hash *h);
/* Number of pages of the state. */
uint32_t page_hash_count(const struct page_hash *h);
/* XOR of all entries. */
uint64_t page_hash_checksum(const struct page_hash *h);
/* The hash of page `pgno`, 0 when it has none (beyond the end, the lock page, or never set). */
uint64_t page_hash_get(const struct page_hash *h, uint32_t pgno);
/* Set it; grows the count when `pgno` is beyond it (pages between have hash 0).  E_NOMEM. */
MUST_USE struct rc page_hash_set(struct page_hash *h, uint32_t pgno, uint64_t hash, struct err *err);
/* The state now has `count` pages: entries beyond are dropped out of the checksum; new ones have hash 0. */
MUST_USE struct rc page_hash_resize(struct page_hash *h, uint32_t count, struct err *err);

/*
 * Write all entries (8 bytes each, little-endian) to `fd` from `off` on / replace the content by `count` entries read
 * from there.  No checks beyond the size: the caller (core/local_state) guards the file with its own header and
 * compares page_hash_checksum() with what it expects.
 */
MUST_USE struct rc page_hash_write(
    const struct page_hash *h, const struct fsys *fs, int fd, const char *path, uint64_t off, struct err *err);
MUST_USE struct rc page_hash_read(struct page_hash *h, const struct fsys *fs, int fd, const char *path, uint64_t off,
    uint32_t count, struct err *err);

#endif
