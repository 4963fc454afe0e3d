/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_kit - snapshots for tests: pages whose content follows from their number and version, objects built from lists
 * of pages, and damage with correct hashes, so that it reaches the checks behind them.
 */
#ifndef SNAP_KIT_H
#define SNAP_KIT_H

#include "dbfmt.h"
#include "digest.h"
#include "snap_writer.h"

#include <stdlib.h>
#include <string.h>

enum { KIT_OBJECT_MAX = 64 << 20 };

static const struct nonce kit_database UNUSED = {{1, 2, 3}}, kit_writer UNUSED = {{9, 8, 7}};

/* Half of it compresses well, half does not at all. */
static inline void kit_page(uint8_t *page, uint32_t page_size, uint32_t pgno, uint32_t version)
{
    uint64_t z = (uint64_t)pgno << 32 | version;

    memset(page, (int)(pgno & 0xff), page_size);
    for (uint32_t i = 0; i + 8 <= page_size / 2; i += 8) {
        uint64_t noise;

        z += 0x9e3779b97f4a7c15u;
        noise = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        noise = (noise ^ noise >> 27) * 0x94d049bb133111ebu;
        memcpy(page + i, &noise, sizeof noise);
    }
}

/* A frame of these pages, all in this version. */
static inline struct rc kit_frame(struct zstr_enc *z, uint32_t page_size, const uint32_t *pgnos, uint32_t count,
    uint32_t version, struct snap_frame *out, struct err *err)
{
    uint8_t *pages = malloc((size_t)count * page_size);
    struct rc rc;

    for (uint32_t i = 0; i < count; i++)
        kit_page(pages + (size_t)i * page_size, page_size, pgnos[i], version);
    rc = snap_frame_encode(z, page_size, pgnos, pages, count, out, err);
    free(pages);
    return rc;
}

/* Add `count` pages, as many to a frame as fit. */
static inline struct rc kit_add(struct snap_writer *w, uint32_t page_size, const uint32_t *pgnos, uint32_t count,
    uint32_t version, struct buf *object, struct err *err)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);

    for (uint32_t done = 0; done < count;) {
        uint32_t n = snap_frame_pages(page_size) < count - done ? snap_frame_pages(page_size) : count - done;
        struct snap_frame f = {0};
        struct rc rc;

        TRY(kit_frame(z, page_size, pgnos + done, n, version, &f, err));
        rc = snap_writer_add(w, &f, object, err);
        snap_frame_fini(&f);
        TRY(rc);
        done += n;
    }
    return RC_OK;
}

/* The same for the pages from..to, without the lock page. */
static inline struct rc kit_add_range(struct snap_writer *w, uint32_t page_size, uint32_t from, uint32_t to,
    uint32_t version, struct buf *object, struct err *err)
{
    uint32_t *pgnos = malloc((to - from + 1) * sizeof *pgnos), n = 0;
    struct rc rc;

    for (uint32_t p = from; p <= to; p++)
        if (p != dbfmt_lock_page(page_size))
            pgnos[n++] = p;
    rc = kit_add(w, page_size, pgnos, n, version, object, err);
    free(pgnos);
    return rc;
}

static inline struct snap_meta kit_meta(uint32_t page_size, uint32_t page_count)
{
    return (struct snap_meta){.database = kit_database,
        .writer = kit_writer,
        .timeline = 3,
        .txid = 77,
        .time_ms = 1790000000000,
        .page_size = page_size,
        .page_count = page_count,
        .checksum = 0x1122334455667788};
}

/* --- damage with correct hashes ---------------------------------------------------------------------------------- */

static inline uint64_t kit_get(const uint8_t *at, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

static inline void kit_set(uint8_t *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

/* Make all hashes of the object right again, as far as sizes and places in it allow. */
static inline void kit_fix(uint8_t *object, size_t size)
{
    uint64_t footer_size, offset, n;
    uint8_t *footer;

    if (size < PACK_HEADER_SIZE + SNAP_FOOTER_SIZE + PACK_TRAILER_SIZE)
        return;
    kit_set(object + 48, digest_bytes(object, 48), 8);
    footer_size = kit_get(object + size - PACK_TRAILER_SIZE - SNAP_FOOTER_END, 4);
    if (footer_size >= SNAP_FOOTER_SIZE && footer_size <= size - PACK_TRAILER_SIZE) {
        footer = object + (size - PACK_TRAILER_SIZE - footer_size);
        kit_set(footer + 48, digest_bytes(footer, 48), 8);
        offset = kit_get(footer + 96, 8);
        n = kit_get(footer + 104, 8);
        if (offset <= size && n <= size - offset)
            kit_set(footer + 120, digest_bytes(object + offset, n), 8);
        kit_set(footer + (footer_size - 8), digest_bytes(footer, footer_size - 8), 8);
    }
    kit_set(object + size - PACK_TRAILER_SIZE, digest_bytes(object, size - PACK_TRAILER_SIZE), 8);
}

#endif
