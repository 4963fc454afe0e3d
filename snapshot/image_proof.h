/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_proof - which pages of an image have been read back and compared since they were written last.
 *
 *     image_proof_new(&p, page_count, err)
 *     image_proof_open(p)                          before a stretch is read back: is it worth it?
 *     image_proof_set(p, first, count)             it was, and every page was right
 *     image_proof_clear(p, first, count)           before pages are written again
 *     image_proof_run(p, page, page_count, &first) what is left to be compared
 *
 * With the first page that is written a second time the proof is closed: from then on nothing is proven any more, and
 * what is written loses its proof.  So a comparison that ran beside such a write proves nothing by mistake.
 *
 * Threads: any, but for image_proof_run(), which is for when nobody writes.
 *
 * Memory: a bit a page, and 256 KiB while pages are compared.
 */
#ifndef IMAGE_PROOF_H
#define IMAGE_PROOF_H

#include "fsys.h"

/* Where pages and hashes are.  All borrowed. */
struct image_proof_pages {
    const struct fsys *fs;
    int fd;
    const char *path;
    uint32_t page_size;
    const uint64_t *hashes; /* of page 1 and so on; 0: never written, so zeros */
};

bool image_proof_page_ok(uint64_t hash, uint32_t pgno, const uint8_t *page, uint32_t page_size);
/* Read `count` pages and compare them with their hashes; *bad is the first that differs, 0 when all are right. */
MUST_USE struct rc image_proof_compare(
    const struct image_proof_pages *pages, uint32_t first_pgno, uint32_t count, uint32_t *bad, struct err *err);

struct image_proof;
MUST_USE struct rc image_proof_new(struct image_proof **out, uint32_t page_count, struct err *err);
void image_proof_free(struct image_proof *p);

bool image_proof_open(const struct image_proof *p);
/* Pages behind `page_count` are never proven. */
void image_proof_set(struct image_proof *p, uint32_t first_pgno, uint32_t count);
void image_proof_clear(struct image_proof *p, uint32_t first_pgno, uint32_t count);

/* The number of pages, one after the other from *first on, that are not proven; *first is the first of them from `pgno`
 * on.  0: there are none up to `page_count`. */
uint32_t image_proof_run(const struct image_proof *p, uint32_t pgno, uint32_t page_count, uint32_t *first);

#endif
