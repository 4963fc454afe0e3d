/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a WAL file: the header, then frames, strictly and over breaks in the chain. */
#include "wal_fmt.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(struct wal_pos pos, const uint8_t *data, size_t size, bool over_breaks)
{
    size_t frame_size = WAL_FMT_FRAME_HEADER_SIZE + pos.page_size, frames = 0;
    struct wal_fmt_chain chain = {0};
    struct wal_fmt_frame f;

    for (size_t at = WAL_FMT_HEADER_SIZE; size - at >= frame_size; at += frame_size, frames++) {
        struct wal_pos before = pos;
        bool ok = over_breaks ? wal_fmt_chain_step(&chain, &pos, data + at, &f) : wal_fmt_step(&pos, data + at, &f);

        if (!ok) {
            assert(pos.frame == before.frame);
            break;
        }
        assert(pos.frame == before.frame + 1);
        assert(f.pgno != 0);
    }
    return frames;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_pos pos;
    struct err err;
    size_t strict, loose;

    if (rc_failed(wal_fmt_decode_header(span_of(data, size), &pos, &err)))
        return 0;
    strict = walk(pos, data, size, false);
    loose = walk(pos, data, size, true);
    assert(loose >= strict); /* what follows strictly follows over breaks, too */
    return 0;
}
