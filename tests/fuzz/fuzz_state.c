/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as files of the local state.  The first byte chooses:
 *
 *     'c'  `current`                     'C'  the same with a hash that fits
 *     'p'  the header of the page hashes
 *     'l'  a log                         'L'  records of a log: type, two bytes of size, payload; made whole here
 *
 * What decodes must encode to the same bytes.  A log must give the same state each time it is read, must not count more
 * than there is, and the end of one must not change what came before it.
 */
#include "digest.h"
#include "local_log.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID = 7, INPUT_MAX = 1 << 20, PAGES_MAX = 1 << 16 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* --- current, pages -------------------------------------------------------------------------------------------------
 */

static void put_hash(uint8_t *data, size_t size)
{
    uint64_t hash = htole64(digest_bytes(data, size - sizeof hash));

    memcpy(data + size - sizeof hash, &hash, sizeof hash);
}

static void try_current(struct span bytes)
{
    struct local_fmt_current cur;
    struct err err;
    struct buf again;

    if (rc_failed(local_fmt_decode_current(bytes, &cur, &err)))
        return;
    buf_init(&again, LOCAL_FMT_CURRENT_SIZE_MAX);
    local_fmt_encode_current(&cur, &again);
    must(again.size == bytes.size);
    must(memcmp(again.data, bytes.data, bytes.size) == 0);
    buf_fini(&again);
}

static void try_pages(struct span bytes)
{
    struct err err;
    struct buf again;

    buf_init(&again, LOCAL_FMT_PAGES_HEADER_SIZE);
    local_fmt_encode_pages_header(ID, 3, 4, &again);
    if (!rc_failed(local_fmt_decode_pages_header(bytes, ID, 3, 4, &err))) {
        must(again.size == bytes.size);
        must(memcmp(again.data, bytes.data, bytes.size) == 0);
    }
    buf_fini(&again);
}

/* --- the log
 * ---------------------------------------------------------------------------------------------------------- */

/* A file in memory, of which every read gives as much as it likes. */
struct memory {
    struct fsys fs; /* must be first */
    struct span bytes;
};

static ssize_t memory_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    const struct memory *m = (const struct memory *)(const void *)fs;
    size_t left = (size_t)off < m->bytes.size ? m->bytes.size - (size_t)off : 0;

    (void)fd;
    n = n < left ? n : left;
    if (n > 1000)
        n = n / 2 + 1;
    if (n > 0)
        memcpy(buf, m->bytes.data + off, n);
    return (ssize_t)n;
}

struct reading {
    struct local_log log;
    struct local_state_content content;
    bool scanned, replayed;
    uint64_t checksum;
};

static void read_log(struct span bytes, struct reading *r)
{
    struct memory m = {.fs = {.pread = memory_pread}, .bytes = bytes};
    struct page_hash *hashes = page_hash_new();
    struct err err;
    uint32_t count;

    memset(r, 0, sizeof *r);
    local_log_init(&r->log);
    r->scanned = !rc_failed(local_log_scan(&r->log, &m.fs, 0, "log", ID, &r->content, &err));
    must(r->log.end <= bytes.size || !r->scanned);
    must(r->log.acked <= r->log.end);
    must(r->log.void_count <= LOCAL_LOG_VOIDS_MAX);
    must(r->content.run_count <= LOCAL_STATE_RUNS_MAX);
    for (size_t i = 0; i < r->log.void_count; i++) {
        must(r->log.voids[i].from < r->log.voids[i].to);
        must(i == 0 || r->log.voids[i - 1].to < r->log.voids[i].from);
    }
    count = r->content.pos.page_count;
    if (r->scanned && count <= PAGES_MAX) {
        r->replayed = !rc_failed(local_log_replay(&r->log, &m.fs, 0, "log", ID, count, hashes, &err));
        must(!r->replayed || page_hash_count(hashes) == count);
        r->checksum = page_hash_checksum(hashes);
    }
    local_log_fini(&r->log);
    page_hash_free(hashes);
}

static void try_log(struct span bytes)
{
    struct reading whole, again;

    read_log(bytes, &whole);
    if (!whole.scanned)
        return;
    read_log(span_of(bytes.data, (size_t)whole.log.end), &again); /* what is behind the good end is nothing */
    must(again.scanned);
    must(again.log.end == whole.log.end);
    must(again.log.chain == whole.log.chain);
    must(again.log.acked == whole.log.acked);
    must(again.replayed == whole.replayed);
    must(again.checksum == whole.checksum);
    if (bytes.size > LOCAL_FMT_LOG_HEADER_SIZE) {
        read_log(span_of(bytes.data, (size_t)whole.log.end - 1), &again); /* one record less, if there is one */
        must(again.log.end < whole.log.end || !again.scanned);
        must(again.log.acked <= whole.log.acked);
    }
}

/* The input's records with everything around them right, so that the fuzzer gets past the hashes. */
static void make_log(struct span input, struct buf *out)
{
    struct cursor c = cursor_of(input);
    uint64_t chain = 0;

    local_fmt_encode_log_header(ID, out, &chain);
    while (cursor_left(&c) > 0) {
        uint32_t type = cursor_u8(&c), size = cursor_u16(&c);
        size_t begin = out->size, left = cursor_left(&c);
        struct span payload = cursor_bytes(&c, size < left ? size : left);

        buf_u32(out, type);
        buf_u32(out, (uint32_t)payload.size);
        buf_put(out, payload.data, payload.size);
        if (out->failed != E_OK)
            break;
        buf_u64(out, digest_bytes(out->data + begin - LOCAL_FMT_CHAIN_SIZE, out->size - begin + LOCAL_FMT_CHAIN_SIZE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest;
    struct buf b;

    if (size == 0 || size > INPUT_MAX)
        return 0;
    rest = span_of(data + 1, size - 1);
    buf_init(&b, 16 * INPUT_MAX);
    switch (data[0]) {
    case 'C':
        buf_put(&b, rest.data, rest.size);
        if (b.size >= 8)
            put_hash(b.data, b.size);
        try_current(buf_span(&b));
        break;
    case 'c':
        try_current(rest);
        break;
    case 'p':
        try_pages(rest);
        break;
    case 'L':
        make_log(rest, &b);
        try_log(buf_span(&b));
        break;
    case 'l':
        try_log(rest);
        break;
    default:
        break;
    }
    buf_fini(&b);
    return 0;
}
