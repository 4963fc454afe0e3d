/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - the hashes of the stored formats (XXH3-64, xxhash 0.8) in one place.
 *
 * A page's hash covers its number and its bytes, so that equal pages at different places do not cancel out in the state
 * checksum, which is the XOR over all pages of a database.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include "span.h"

/* XXH3-64 of the bytes, with `seed` 0. */
uint64_t digest_bytes(const void *data, size_t n);
/* XXH3-64 of the page's bytes, seeded with its number.  Never 0 (0 stands for "no page"): a 0 becomes 1. */
uint64_t digest_page(uint32_t pgno, const void *page, size_t page_size);

/* The same over pieces. */
struct digest;
struct digest *digest_new(void);
void digest_reset(struct digest *d);
void digest_update(struct digest *d, const void *data, size_t n);
uint64_t digest_value(const struct digest *d);
void digest_free(struct digest *d);

#endif
