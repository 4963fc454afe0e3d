/* SPDX-License-Identifier: Apache-2.0 */
#include "page_hash.h"

#include "alloc.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum {
    ENTRY_SIZE = 8,
    FIRST_ROOM_MIN = 64,
    BLOCK_ENTRIES = 8192, /* read and written at once: 64 KiB */
};

/*
 * Entries beyond `count` are always 0, also in chunks that stay allocated.  A chunk that holds only zeros may be
 * missing. The first chunk starts small and grows, so that a small database costs little; all others have their full
 * size.
 */
struct page_hash {
    uint64_t **chunk;    /* owned; NULL entries allowed */
    uint32_t chunk_room; /* entries in `chunk` */
    uint32_t first_room; /* entries in chunk[0] */
    uint32_t count;
    uint64_t checksum;
};

struct page_hash *page_hash_new(void)
{
    return mem_new(sizeof(struct page_hash));
}

void page_hash_clear(struct page_hash *h)
{
    for (uint32_t i = 0; i < h->chunk_room; i++)
        mem_free(h->chunk[i]);
    mem_free(h->chunk);
    *h = (struct page_hash){0};
}

void page_hash_free(struct page_hash *h)
{
    if (h == NULL)
        return;
    page_hash_clear(h);
    mem_free(h);
}

void page_hash_freep(struct page_hash **h)
{
    page_hash_free(*h);
    *h = NULL;
}

uint32_t page_hash_count(const struct page_hash *h)
{
    return h->count;
}

uint64_t page_hash_checksum(const struct page_hash *h)
{
    return h->checksum;
}

/* How many entries chunk `ci` has memory for. */
static uint32_t room_of(const struct page_hash *h, uint32_t ci)
{
    if (ci >= h->chunk_room || h->chunk[ci] == NULL)
        return 0;
    return ci == 0 ? h->first_room : PAGE_HASH_CHUNK;
}

/* The entry with this index, or NULL when it has no memory (and so is 0). */
static uint64_t *entry_at(const struct page_hash *h, uint32_t index)
{
    uint32_t ci = index / PAGE_HASH_CHUNK, at = index % PAGE_HASH_CHUNK;

    return at < room_of(h, ci) ? &h->chunk[ci][at] : NULL;
}

uint64_t page_hash_get(const struct page_hash *h, uint32_t pgno)
{
    const uint64_t *entry = pgno > 0 && pgno <= h->count ? entry_at(h, pgno - 1) : NULL;

    return entry == NULL ? 0 : *entry;
}

static bool grow_directory(struct page_hash *h, uint32_t ci)
{
    uint32_t room = h->chunk_room;
    uint64_t **chunk;

    if (ci < room)
        return true;
    room = ci + 1 > 2 * room ? ci + 1 : 2 * room;
    chunk = mem_resize(h->chunk, room, sizeof *chunk);
    if (chunk == NULL)
        return false;
    memset(chunk + h->chunk_room, 0, (room - h->chunk_room) * sizeof *chunk);
    h->chunk = chunk;
    h->chunk_room = room;
    return true;
}

static bool grow_first(struct page_hash *h, uint32_t at)
{
    uint32_t room = h->first_room > 0 ? h->first_room : FIRST_ROOM_MIN;
    uint64_t *first;

    while (room <= at)
        room *= 2;
    assert(room <= PAGE_HASH_CHUNK);
    first = mem_resize(h->chunk[0], room, ENTRY_SIZE);
    if (first == NULL)
        return false;
    memset(first + h->first_room, 0, (size_t)(room - h->first_room) * ENTRY_SIZE);
    h->chunk[0] = first;
    h->first_room = room;
    return true;
}

/* Memory for the entry with this index. */
static uint64_t *make_entry(struct page_hash *h, uint32_t index)
{
    uint32_t ci = index / PAGE_HASH_CHUNK, at = index % PAGE_HASH_CHUNK;

    if (!grow_directory(h, ci))
        return NULL;
    if (at >= room_of(h, ci)) {
        if (ci == 0 && !grow_first(h, at))
            return NULL;
        if (ci > 0 && (h->chunk[ci] = mem_try(PAGE_HASH_CHUNK, ENTRY_SIZE)) == NULL)
            return NULL;
    }
    return &h->chunk[ci][at];
}

struct rc page_hash_set(struct page_hash *h, uint32_t pgno, uint64_t hash, struct err *err)
{
    uint64_t *entry;

    if (pgno == 0 || pgno > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "page hashes: page number %u", pgno);
    entry = entry_at(h, pgno - 1);
    if (entry == NULL && hash != 0) {
        entry = make_entry(h, pgno - 1);
        if (entry == NULL)
            return rc_raise(err, E_NOMEM, "page hashes: no memory for page %u", pgno);
    }
    if (entry != NULL) {
        h->checksum ^= *entry ^ hash;
        *entry = hash;
    }
    if (pgno > h->count)
        h->count = pgno;
    return RC_OK;
}

struct rc page_hash_resize(struct page_hash *h, uint32_t count, struct err *err)
{
    if (count > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "page hashes: %u pages", count);
    if (count >= h->count) { /* beyond the count everything is 0 already; this is every commit's way */
        h->count = count;
        return RC_OK;
    }
    for (uint32_t ci = count / PAGE_HASH_CHUNK; ci < h->chunk_room; ci++) {
        uint32_t room = room_of(h, ci), keep = ci == count / PAGE_HASH_CHUNK ? count % PAGE_HASH_CHUNK : 0;

        for (uint32_t i = keep; i < room; i++) {
            h->checksum ^= h->chunk[ci][i];
            h->chunk[ci][i] = 0;
        }
        if (keep == 0 && ci > 0) {
            mem_free(h->chunk[ci]);
            h->chunk[ci] = NULL;
        }
    }
    h->count = count;
    return RC_OK;
}

/* How many entries come at once from `index` on, of `count`: never over the end of a chunk. */
static uint32_t block_at(uint32_t index, uint32_t count)
{
    uint32_t left = count - index;

    _Static_assert(PAGE_HASH_CHUNK % BLOCK_ENTRIES == 0, "a block lies in one chunk");
    return left < BLOCK_ENTRIES ? left : BLOCK_ENTRIES;
}

struct rc page_hash_write(
    const struct page_hash *h, const struct fsys *fs, int fd, const char *path, uint64_t off, struct err *err)
{
    CLEANUP(mem_freep) uint64_t *block = mem_new(BLOCK_ENTRIES * sizeof *block);

    for (uint32_t index = 0, n; index < h->count; index += n) {
        n = block_at(index, h->count);
        for (uint32_t i = 0; i < n; i++)
            block[i] = htole64(page_hash_get(h, index + i + 1));
        TRY(fsys_write_at(fs, fd, path, block, (size_t)n * ENTRY_SIZE, off + (uint64_t)index * ENTRY_SIZE, err));
    }
    return RC_OK;
}

struct rc page_hash_read(
    struct page_hash *h, const struct fsys *fs, int fd, const char *path, uint64_t off, uint32_t count, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *fresh = page_hash_new();
    CLEANUP(mem_freep) uint64_t *block = mem_new(BLOCK_ENTRIES * sizeof *block);
    struct page_hash old;

    TRY(page_hash_resize(fresh, count, err));
    for (uint32_t index = 0, n; index < count; index += n) {
        n = block_at(index, count);
        TRY(fsys_read_at(fs, fd, path, block, (size_t)n * ENTRY_SIZE, off + (uint64_t)index * ENTRY_SIZE, err));
        for (uint32_t i = 0; i < n; i++)
            TRY(page_hash_set(fresh, index + i + 1, le64toh(block[i]), err));
    }
    old = *h; /* the old content is freed with `fresh` */
    *h = *fresh;
    *fresh = old;
    return RC_OK;
}
