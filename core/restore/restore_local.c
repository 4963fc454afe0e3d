/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_local.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"

#include <assert.h>
#include <inttypes.h>

enum { READ_SIZE = 256 << 10 }; /* half a second-level cache */

static uint64_t hash_of(uint32_t pgno, const uint8_t *page, uint32_t page_size)
{
    return pgno == dbfmt_lock_page(page_size) ? 0 : digest_page(pgno, page, page_size);
}

struct rc restore_local_hash(struct restore_local *l, uint32_t page_size, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(READ_SIZE);
    uint64_t count = l->size / page_size;
    struct err ignored;

    assert(dbfmt_page_size_ok(page_size));
    if (l->page_size == page_size)
        return RC_OK;
    count = count > DBFMT_PAGE_COUNT_MAX ? DBFMT_PAGE_COUNT_MAX : count;
    mem_free(l->hashes);
    l->page_count = 0;
    l->page_size = page_size;
    l->hashes = mem_try((size_t)count + 1, sizeof *l->hashes);
    if (l->hashes == NULL) {
        l->page_size = 0;
        return rc_raise(err, E_NOMEM, "hashes of %" PRIu64 " pages of %s", count, l->path);
    }
    while (l->page_count < count) {
        uint64_t left = count - l->page_count;
        uint32_t n = left < READ_SIZE / page_size ? (uint32_t)left : READ_SIZE / page_size;

        if (rc_failed(fsys_read_at(
                l->fs, l->fd, l->path, chunk, (size_t)n * page_size, (uint64_t)l->page_count * page_size, &ignored)))
            break;
        for (uint32_t i = 0; i < n; i++, l->page_count++)
            l->hashes[l->page_count] = hash_of(l->page_count + 1, chunk + (size_t)i * page_size, page_size);
    }
    return RC_OK;
}

uint64_t restore_local_checksum(const struct restore_local *l, uint32_t page_count)
{
    uint64_t checksum = 0;

    for (uint32_t i = 0; page_count <= l->page_count && i < page_count; i++)
        checksum ^= l->hashes[i];
    return checksum;
}

void restore_local_read(const struct restore_local *l, uint32_t first, uint32_t count, uint8_t *pages, bool *same)
{
    struct err ignored;

    assert(first > 0);
    assert(count <= l->page_count);
    assert(first - 1 <= l->page_count - count);
    *same = !rc_failed(fsys_read_at(
        l->fs, l->fd, l->path, pages, (size_t)count * l->page_size, (uint64_t)(first - 1) * l->page_size, &ignored));
    for (uint32_t i = 0; *same && i < count; i++)
        *same = hash_of(first + i, pages + (size_t)i * l->page_size, l->page_size) == l->hashes[first - 1 + i];
}

void restore_local_fini(struct restore_local *l)
{
    mem_free(l->path);
    mem_free(l->hashes);
    *l = (struct restore_local){.fd = -1};
}
