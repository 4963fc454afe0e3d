/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include "alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

struct digest {
    XXH3_state_t *state; /* owned; must be aligned, so the library allocates it */
};

uint64_t digest_bytes(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

uint64_t digest_page(uint32_t pgno, const void *page, size_t page_size)
{
    uint64_t hash = XXH3_64bits_withSeed(page, page_size, pgno);

    return hash == 0 ? 1 : hash;
}

struct digest *digest_new(void)
{
    struct digest *d = mem_new(sizeof *d);

    d->state = XXH3_createState();
    if (d->state == NULL)
        abort(); /* as mem_new() does */
    digest_reset(d);
    return d;
}

void digest_reset(struct digest *d)
{
    XXH_errorcode code = XXH3_64bits_reset(d->state);

    assert(code == XXH_OK); /* fails for a NULL state only */
}

void digest_update(struct digest *d, const void *data, size_t n)
{
    if (n > 0) {
        XXH_errorcode code = XXH3_64bits_update(d->state, data, n);

        assert(code == XXH_OK);
    }
}

uint64_t digest_value(const struct digest *d)
{
    return XXH3_64bits_digest(d->state);
}

void digest_free(struct digest *d)
{
    if (d == NULL)
        return;
    (void)XXH3_freeState(d->state); /* always XXH_OK */
    mem_free(d);
}
