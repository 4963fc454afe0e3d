/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_seg - what the segment codec stores and costs, on pages that a real SQLite wrote, beside the simpler ways.
 *
 *     bench_seg [workload] [commits per segment]
 *
 * One core, processor time.  MB/s are page bytes of the changes.  The candidates do no more than they must; the codec
 * makes whole segments with header, commit table and hashes, and its decoder is checked against the pages.
 */
#include "page_stream.h"
#include "seg.h"
#include "zstr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_LZ4
#include <lz4.h>
#endif

enum { BLOCK_PAGES = 128, LEVEL = 3 };

struct bench {
    const struct page_stream *s;
    size_t per_segment;
    struct zstr_enc *zstd;
    struct zstr_dec *zstd_dec;
    struct buf prefix, data, out;
    struct seg_enc *enc;
    uint8_t *db; /* for the decoder */
    size_t db_pages;
    struct buf *segments; /* what codec() made, for decode() */
    size_t segment_count;
};

static void must(struct rc rc, const struct err *err)
{
    if (rc_failed(rc)) {
        (void)fprintf(stderr, "bench_seg: %s\n", err->msg);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* there is no reason to fail */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#ifdef HAVE_LZ4
/* Every page by itself, as the LTX format does. */
static size_t lz4_pages(struct bench *b)
{
    char out[LZ4_COMPRESSBOUND(65536)];
    size_t size = 0;

    for (size_t i = 0; i < b->s->change_count; i++)
        size += (size_t)LZ4_compress_default(
            (const char *)b->s->changes[i].page, out, (int)b->s->page_size, (int)sizeof out);
    return size;
}
#endif

/* Every page by itself. */
static size_t zstd_pages(struct bench *b)
{
    size_t size = 0;
    struct err err;

    for (size_t i = 0; i < b->s->change_count; i++) {
        buf_clear(&b->out);
        must(zstr_compress(b->zstd, span_of(NULL, 0), span_of(b->s->changes[i].page, b->s->page_size), &b->out, &err),
            &err);
        size += b->out.size;
    }
    return size;
}

static size_t flush_full(struct bench *b)
{
    struct err err;

    buf_clear(&b->out);
    if (b->data.size > 0)
        must(zstr_compress(b->zstd, buf_span(&b->prefix), buf_span(&b->data), &b->out, &err), &err);
    buf_clear(&b->prefix);
    buf_clear(&b->data);
    return b->out.size;
}

/* The new pages of a block as they are, the old ones as the prefix. */
static size_t full_pages(struct bench *b)
{
    size_t size = 0, first = 0;

    for (size_t c = 0; c < b->s->commit_count; c++) {
        for (size_t i = b->s->first[c]; i < b->s->first[c + 1]; i++) {
            const struct page_change *change = &b->s->changes[i];
            bool known = change->base == NULL;

            for (size_t k = first; k < i && !known; k++)
                known = b->s->changes[k].pgno == change->pgno;
            if (!known)
                buf_put(&b->prefix, change->base, b->s->page_size);
            buf_put(&b->data, change->page, b->s->page_size);
            if (b->data.size >= BLOCK_PAGES * b->s->page_size) {
                size += flush_full(b);
                first = i + 1;
            }
        }
        if ((c + 1) % b->per_segment == 0) {
            size += flush_full(b);
            first = b->s->first[c + 1];
        }
    }
    return size + flush_full(b);
}

static void finish(struct bench *b, size_t *size, uint64_t txid)
{
    const struct seg_enc_opts opts = {.timeline = 1, .page_size = b->s->page_size, .base_txid = txid};
    struct buf *object = &b->segments[b->segment_count++];
    struct err err;

    buf_clear(object);
    must(seg_enc_finish(b->enc, object, &err), &err);
    *size += object->size;
    seg_enc_reset(b->enc, &opts);
}

/* Workloads are small enough to give no parts. */
static size_t codec(struct bench *b)
{
    const struct seg_enc_opts opts = {.timeline = 1, .page_size = b->s->page_size};
    size_t size = 0;
    struct err err;

    b->segment_count = 0;
    seg_enc_reset(b->enc, &opts);
    for (size_t c = 0; c < b->s->commit_count; c++) {
        struct seg_commit commit = {.txid = c + 1,
            .time_ms = 1700000000000 + (int64_t)c * 3,
            .page_count = b->s->page_count[c],
            .checksum = (c + 1) * 0x9e3779b97f4a7c15u};

        for (size_t i = b->s->first[c]; i < b->s->first[c + 1]; i++) {
            const struct page_change *change = &b->s->changes[i];

            must(seg_enc_page(b->enc, change->pgno, change->page, change->base, &err), &err);
        }
        must(seg_enc_commit(b->enc, &commit, &err), &err);
        if ((c + 1) % b->per_segment == 0 || c + 1 == b->s->commit_count
            || seg_enc_stored_size(b->enc) > SEG_PART_SIZE / 2)
            finish(b, &size, c + 1);
    }
    return size;
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct bench *b = ctx;

    (void)err;
    memcpy(page, b->db + (size_t)(pgno - 1) * b->s->page_size, b->s->page_size);
    return RC_OK;
}

static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct bench *b = ctx;

    (void)err;
    memcpy(b->db + (size_t)(pgno - 1) * b->s->page_size, page, b->s->page_size);
    return RC_OK;
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    (void)ctx;
    (void)commit;
    (void)stop;
    (void)err;
    return RC_OK;
}

static size_t decode_with(struct bench *b, struct zstr_dec *zstd)
{
    const struct seg_apply_ops ops = {on_read, on_write, on_commit, b};
    size_t size = 0;
    bool stopped;
    struct err err;

    memset(b->db, 0, b->db_pages * b->s->page_size);
    memcpy(b->db, b->s->start, b->s->start_size);
    for (size_t i = 0; i < b->segment_count; i++) {
        struct seg_dec *d;

        if (zstd != NULL)
            must(seg_dec_open_with(&d, buf_span(&b->segments[i]), zstd, &err), &err);
        else
            must(seg_dec_open(&d, buf_span(&b->segments[i]), &err), &err);
        must(seg_dec_apply_tail(d, &ops, &stopped, &err), &err);
        seg_dec_free(d);
        size += b->segments[i].size;
    }
    return size;
}

static size_t decode(struct bench *b)
{
    return decode_with(b, b->zstd_dec);
}

static size_t decode_alone(struct bench *b)
{
    return decode_with(b, NULL);
}

static void check(const struct bench *b)
{
    for (size_t i = b->s->change_count; i-- > 0;) {
        const struct page_change *change = &b->s->changes[i];
        bool last = true;

        for (size_t k = i + 1; k < b->s->change_count && last; k++)
            last = b->s->changes[k].pgno != change->pgno;
        if (last && memcmp(b->db + (size_t)(change->pgno - 1) * b->s->page_size, change->page, b->s->page_size) != 0) {
            (void)fprintf(stderr, "bench_seg: page %u came out wrong\n", change->pgno);
            exit(1);
        }
    }
}

static void measure(struct bench *b, const char *name, size_t (*run)(struct bench *))
{
    double begin = now(), spent;
    size_t size, rounds = 0;

    do {
        size = run(b);
        rounds++;
        spent = now() - begin;
    } while (spent < 0.3);
    printf("  %-28s %9.1f B/commit %8.1f B/page %8.0f MB/s %8.1f us/commit\n", name,
        (double)size / (double)b->s->commit_count, (double)size / (double)b->s->change_count,
        (double)b->s->change_count * b->s->page_size * (double)rounds / spent / 1e6,
        spent * 1e6 / (double)rounds / (double)b->s->commit_count);
}

static void run(const char *name, size_t per_segment)
{
    struct page_stream s;
    struct bench b = {.s = &s, .per_segment = per_segment};
    const struct seg_enc_opts opts = {.timeline = 1, .page_size = 4096};
    char dir[] = "/tmp/bench_seg.XXXXXX";

    if (mkdtemp(dir) == NULL) {
        perror(dir);
        exit(1);
    }
    page_stream_make(&s, dir, name);
    (void)rmdir(dir); /* empty again */
    b.zstd = zstr_enc_new(LEVEL);
    b.zstd_dec = zstr_dec_new();
    b.enc = seg_enc_new(&opts);
    buf_init(&b.prefix, ZSTR_MAX);
    buf_init(&b.data, ZSTR_MAX);
    buf_init(&b.out, ZSTR_MAX);
    b.db_pages = s.start_size / s.page_size + s.change_count + 1;
    b.db = malloc(b.db_pages * s.page_size);
    b.segments = calloc(s.commit_count, sizeof *b.segments);
    if (b.db == NULL || b.segments == NULL)
        exit(1);
    for (size_t i = 0; i < s.commit_count; i++)
        buf_init(&b.segments[i], SEG_OBJECT_MAX);
    printf("%s: %zu commits of %.1f pages, %zu commits a segment\n", name, s.commit_count,
        (double)s.change_count / (double)s.commit_count, per_segment);
#ifdef HAVE_LZ4
    measure(&b, "lz4, page by page", lz4_pages);
#endif
    measure(&b, "zstd, page by page", zstd_pages);
    measure(&b, "zstd, old pages as prefix", full_pages);
    measure(&b, "seg_enc", codec);
    measure(&b, "seg_dec, a context for each", decode_alone);
    measure(&b, "seg_dec", decode);
    check(&b);
    for (size_t i = 0; i < s.commit_count; i++)
        buf_fini(&b.segments[i]);
    free(b.segments);
    free(b.db);
    buf_fini(&b.prefix);
    buf_fini(&b.data);
    buf_fini(&b.out);
    seg_enc_free(b.enc);
    zstr_enc_free(b.zstd);
    zstr_dec_free(b.zstd_dec);
    page_stream_free(&s);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 10, 100};

    for (size_t i = 0; page_stream_names[i] != NULL; i++) {
        if (argc > 1 && strcmp(argv[1], page_stream_names[i]) != 0)
            continue;
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            if (argc <= 2 || sizes[k] == strtoul(argv[2], NULL, 10))
                run(page_stream_names[i], sizes[k]);
        }
    }
    return 0;
}
