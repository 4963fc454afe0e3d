/* SPDX-License-Identifier: Apache-2.0 */
/* bitmap - a set of page numbers that grows as needed: one bit a page, 32 KiB for each GB of 4 KiB pages. */
#ifndef BITMAP_H
#define BITMAP_H

#include "rc.h"

#include <stdint.h>

struct bitmap;

struct bitmap *bitmap_new(void);
void bitmap_free(struct bitmap *b);
MUST_USE struct rc bitmap_add(struct bitmap *b, uint32_t n, struct err *err);
void bitmap_remove(struct bitmap *b, uint32_t n);
bool bitmap_has(const struct bitmap *b, uint32_t n);
uint32_t bitmap_count(const struct bitmap *b);
/* The smallest member at or after `n`; false when there is none. */
bool bitmap_next(const struct bitmap *b, uint32_t n, uint32_t *out);

#endif
