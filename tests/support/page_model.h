/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_model - a database as an array of pages, changed at random the way SQLite changes pages: a few bytes here and
 * there, cells moved up or down, a page filled anew.  Seeded, so that a failing walk can be repeated.
 */
#ifndef PAGE_MODEL_H
#define PAGE_MODEL_H

#include "span.h"

struct page_model {
    uint32_t page_size;
    uint32_t room;  /* pages it can hold */
    uint32_t count; /* pages that have been written at least once are 1 to count */
    uint8_t *pages; /* owned */
    uint64_t seed;
};

void page_model_init(struct page_model *m, uint32_t page_size, uint32_t room, uint64_t seed);
void page_model_fini(struct page_model *m);
/* A copy of its own memory. */
void page_model_copy(struct page_model *to, const struct page_model *from);
uint32_t page_model_random(struct page_model *m, uint32_t bound); /* 0 to bound - 1 */
uint8_t *page_model_page(const struct page_model *m, uint32_t pgno);
/* Change page `pgno` in one of many ways, also not at all. */
void page_model_change(struct page_model *m, uint32_t pgno);
/* Over all pages that there is room for. */
uint64_t page_model_hash(const struct page_model *m);

#endif
