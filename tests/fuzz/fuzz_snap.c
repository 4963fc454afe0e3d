/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a snapshot object: its index from tails of different lengths, then all frames.  What opens must keep the
 * promises of snap_index.h.
 *
 * All hashes are put right first, those of the frames too, so that a fuzzer gets past them.
 */
#include "alloc.h"
#include "snap_kit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Open with the last `have` bytes and whatever is asked for then; NULL when it is refused. */
static struct snap_index *open_from(const uint8_t *object, size_t size, size_t have)
{
    struct snap_index *ix = NULL;
    uint64_t need = have;
    struct err err;

    do {
        size_t n = (size_t)need;
        uint8_t *tail = malloc(n > 0 ? n : 1); /* exactly as long, for the sanitizers */
        struct rc rc;

        memcpy(tail, object + (size - n), n);
        rc = snap_index_open(&ix, span_of(tail, n), size, &need, &err);
        free(tail);
        if (rc_failed(rc)) {
            require(ix == NULL && err.msg[0] != 0);
            return NULL;
        }
        require(need == 0 || (need > n && need <= size));
    } while (need > 0);
    require(ix != NULL);
    return ix;
}

/* Of the pages that it has: a merge may claim any number. */
static uint32_t highest_page(const struct snap_index *ix)
{
    uint32_t highest = 0;

    for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        if (f.pgnos[f.page_count - 1] > highest)
            highest = f.pgnos[f.page_count - 1];
    }
    return highest;
}

static void check_promises(const struct snap_index *ix, size_t size)
{
    const struct snap_meta *m = snap_index_meta(ix);
    uint64_t end = PACK_HEADER_SIZE, counted = 0;
    uint8_t *met = mem_new((size_t)highest_page(ix) / 8 + 1);

    for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        require(f.offset == end && f.size <= size - end);
        require(f.page_count > 0 && f.page_count <= snap_frame_pages(m->page_size));
        end += f.size;
        for (uint32_t k = 0; k < f.page_count; k++) {
            uint32_t p = f.pgnos[k];

            require(p > 0 && p != dbfmt_lock_page(m->page_size) && (k == 0 || p > f.pgnos[k - 1]));
            require(p <= m->page_count || f.superseded[k]);
            if (f.superseded[k])
                continue;
            require((met[p / 8] >> (p % 8) & 1) == 0);
            met[p / 8] |= (uint8_t)(1u << (p % 8));
            counted++;
        }
    }
    if (m->level == 0)
        require(counted == m->page_count - (uint64_t)(dbfmt_lock_page(m->page_size) <= m->page_count));
    else
        require(m->base_txid > 0 && m->base_txid < m->txid);
    mem_free(met);
}

/* The hashes of the frames are the end of a plain index; where it is not plain, this is only more damage. */
static void fix_frames(const struct snap_index *ix, uint8_t *object, size_t size)
{
    size_t footer = (size_t)kit_get(object + (size - PACK_TRAILER_SIZE - SNAP_FOOTER_END), 4);
    size_t n = snap_index_frame_count(ix), end = size - PACK_TRAILER_SIZE - footer;

    for (size_t i = 0; i < n && (n - i) * 8 <= end; i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        kit_set(object + (end - (n - i) * 8), digest_bytes(object + f.offset, f.size), 8);
    }
    kit_fix(object, size);
}

static void decode_all(const struct snap_index *ix, const uint8_t *object)
{
    CLEANUP(zstr_dec_freep) struct zstr_dec *z = zstr_dec_new();

    for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);
        uint8_t *pages = malloc((size_t)f.page_count * snap_index_meta(ix)->page_size);
        uint8_t *stored = malloc(f.size);
        struct err err;

        memcpy(stored, object + f.offset, f.size);
        rc_ignore(snap_frame_decode(z, ix, i, span_of(stored, f.size), pages, &err), "the sanitizers look");
        free(stored);
        free(pages);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(mem_freep) uint8_t *object = NULL;
    struct snap_index *ix, *again;

    if (size > INPUT_MAX)
        return 0;
    object = mem_new(size + 1);
    memcpy(object, data, size);
    if (size >= PACK_HEADER_SIZE)
        kit_set(object + 14, PACK_HEADER_SIZE, 2); /* another size would need another hash */
    kit_fix(object, size);
    ix = open_from(object, size, size);
    again = open_from(object, size, size / 2);
    require(ix == NULL || again != NULL); /* from the tail alone it is less strict: the begin is not looked at */
    snap_index_free(again);
    if (ix == NULL)
        return 0;
    check_promises(ix, size);
    fix_frames(ix, object, size);
    snap_index_free(ix);
    ix = open_from(object, size, 0);
    if (ix != NULL)
        decode_all(ix, object);
    snap_index_free(ix);
    return 0;
}
