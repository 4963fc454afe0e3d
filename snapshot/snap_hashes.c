/* SPDX-License-Identifier: Apache-2.0 */
#include "snap_hashes.h"

#include "alloc.h"

#include <assert.h>
#include <inttypes.h>

enum { HASH_SIZE = 8, PRESENT = 1 /* stands in an entry until its hash comes */ };

struct snap_hashes {
    const struct snap_index *index; /* borrowed */
    struct page_hash *out;          /* borrowed */
    struct zstr_dec *zstd;          /* owned */
    uint8_t *pages;                 /* owned; SNAP_FRAME_RAW_MAX */
    size_t first;                   /* of the frames with hashes */
    uint32_t next;                  /* the page behind the last one that got its hash */
};

uint64_t snap_hashes_pages(uint32_t page_size, uint64_t entries)
{
    const uint64_t per_page = page_size / HASH_SIZE;

    return entries / per_page + (entries % per_page > 0);
}

uint32_t snap_hashes_number(uint32_t page_size, uint32_t page_count, uint64_t i)
{
    const uint64_t lock = dbfmt_lock_page(page_size);
    uint64_t number = (uint64_t)page_count + 1 + i;

    if (page_count < lock && number >= lock)
        number++;
    return number > DBFMT_PAGE_COUNT_MAX ? 0 : (uint32_t)number;
}

void snap_hashes_close(struct snap_hashes *r)
{
    if (r == NULL)
        return;
    zstr_dec_free(r->zstd);
    mem_free(r->pages);
    mem_free(r);
}

void snap_hashes_closep(struct snap_hashes **r)
{
    snap_hashes_close(*r);
    *r = NULL;
}

/* Which pages the object has an image of that counts: those within the database that are in any frame. */
static struct rc mark_pages(const struct snap_index *ix, struct page_hash *out, uint64_t *entries, struct err *err)
{
    const uint32_t page_count = snap_index_meta(ix)->page_count;

    page_hash_clear(out);
    *entries = 0;
    for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        for (uint32_t k = 0; k < f.page_count; k++) {
            if (f.pgnos[k] > page_count || page_hash_get(out, f.pgnos[k]) != 0)
                continue;
            TRY(page_hash_set(out, f.pgnos[k], PRESENT, err));
            ++*entries;
        }
    }
    return RC_OK;
}

/* The last frames hold exactly the pages that the hashes must stand in. */
static bool find_frames(const struct snap_index *ix, uint64_t pages, size_t *first)
{
    const struct snap_meta *m = snap_index_meta(ix);
    size_t at = snap_index_frame_count(ix);

    if (pages == 0 || snap_hashes_number(m->page_size, m->page_count, pages - 1) == 0)
        return false;
    while (pages > 0 && at > 0) {
        struct snap_index_frame f = snap_index_frame(ix, --at);

        if (f.page_count > pages)
            return false;
        for (uint32_t k = f.page_count; k-- > 0;)
            if (f.pgnos[k] != snap_hashes_number(m->page_size, m->page_count, --pages))
                return false;
    }
    *first = at;
    return pages == 0;
}

struct rc snap_hashes_open(
    struct snap_hashes **out, const struct snap_index *ix, struct page_hash *hashes, struct err *err)
{
    CLEANUP(snap_hashes_closep) struct snap_hashes *r = NULL;
    uint64_t entries = 0;
    size_t first = 0;

    *out = NULL;
    if (!snap_index_meta(ix)->hashed)
        return RC_OK;
    TRY(mark_pages(ix, hashes, &entries, err));
    if (!find_frames(ix, snap_hashes_pages(snap_index_meta(ix)->page_size, entries), &first))
        return RC_OK;
    r = mem_new(sizeof *r);
    r->index = ix;
    r->out = hashes;
    r->first = first;
    r->next = 1;
    r->zstd = zstr_dec_new();
    r->pages = mem_try(SNAP_FRAME_RAW_MAX, 1);
    if (r->pages == NULL)
        return rc_raise(err, E_NOMEM, "page hashes of a snapshot");
    *out = MOVE(r);
    return RC_OK;
}

size_t snap_hashes_first(const struct snap_hashes *r)
{
    return r->first;
}

struct rc snap_hashes_take(struct snap_hashes *r, size_t i, struct span stored, struct err *err)
{
    const struct snap_index_frame f = snap_index_frame(r->index, i);
    struct cursor c;

    assert(i >= r->first);
    TRY(snap_frame_decode(r->zstd, r->index, i, stored, r->pages, err));
    c = cursor_of(span_of(r->pages, (size_t)f.page_count * snap_index_meta(r->index)->page_size));
    for (; r->next <= page_hash_count(r->out) && cursor_left(&c) > 0; r->next++) {
        uint64_t hash;

        if (page_hash_get(r->out, r->next) == 0)
            continue;
        hash = cursor_u64(&c);
        if (hash == 0)
            return rc_raise(err, E_CORRUPT, "page hashes in frame %zu: that of page %" PRIu32 " is 0", i, r->next);
        TRY(page_hash_set(r->out, r->next, hash, err));
    }
    return RC_OK;
}
