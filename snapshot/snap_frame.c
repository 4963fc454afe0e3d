/* SPDX-License-Identifier: Apache-2.0 */
#include "snap_frame.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

_Static_assert(
    SNAP_FRAME_PAGES_MAX == SNAP_FRAME_RAW_MAX / DBFMT_PAGE_SIZE_MIN, "the smallest pages fill a frame exactly");

unsigned snap_frame_pages(uint32_t page_size)
{
    assert(dbfmt_page_size_ok(page_size));
    return SNAP_FRAME_RAW_MAX / page_size;
}

void snap_frame_fini(struct snap_frame *f)
{
    mem_free(f->pgnos);
    mem_free(f->page_hashes);
    buf_fini(&f->stored);
    *f = (struct snap_frame){0};
}

struct rc snap_frame_encode(struct zstr_enc *z, uint32_t page_size, const uint32_t *pgnos, const uint8_t *pages,
    uint32_t count, struct snap_frame *out, struct err *err)
{
    struct span raw = span_of(pages, (size_t)count * page_size);
    struct buf stored;
    struct rc rc;

    assert(count > 0);
    assert(count <= snap_frame_pages(page_size));
    buf_init(&stored, SNAP_FRAME_STORED_MAX);
    rc = zstr_compress(z, (struct span){NULL, 0}, raw, &stored, err);
    if (rc_failed(rc)) {
        buf_fini(&stored);
        return rc_wrap(err, "frame of %" PRIu32 " pages from %" PRIu32, count, pgnos[0]);
    }
    out->pgnos = mem_new(count * sizeof *pgnos);
    memcpy(out->pgnos, pgnos, count * sizeof *pgnos);
    out->page_hashes = mem_new(count * sizeof *out->page_hashes);
    for (uint32_t i = 0; i < count; i++)
        out->page_hashes[i] = digest_page(pgnos[i], pages + (size_t)i * page_size, page_size);
    out->page_count = count;
    out->stored = stored;
    out->hash = digest_bytes(stored.data, stored.size);
    return RC_OK;
}

struct rc snap_frame_decode(
    struct zstr_dec *z, const struct snap_index *ix, size_t i, struct span stored, uint8_t *pages, struct err *err)
{
    struct snap_index_frame f = snap_index_frame(ix, i);
    size_t size = (size_t)f.page_count * snap_index_meta(ix)->page_size;

    if (stored.size != f.size)
        return rc_raise(err, E_CORRUPT, "snapshot frame %zu: %zu bytes, not %" PRIu32, i, stored.size, f.size);
    if (digest_bytes(stored.data, stored.size) != f.hash)
        return rc_raise(err, E_CORRUPT, "snapshot frame %zu: checksum mismatch over %zu bytes at %" PRIu64, i,
            stored.size, f.offset);
    TRY_CTX(zstr_decompress(z, (struct span){NULL, 0}, stored, pages, size, err), err, "snapshot frame %zu", i);
    return RC_OK;
}
