/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_seeds - writes the first inputs of fuzz_seg, fuzz_seg_enc and fuzz_seal: run it again when the format
 * changes.
 *
 *     seg_seeds tests/fuzz/corpus
 */
#include "seal.h"
#include "seg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 1;

static uint32_t next(uint32_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % bound;
}

static void save(const char *dir, const char *target, const char *name, struct span bytes)
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s/%s", dir, target, name);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes.data, 1, bytes.size, f) != bytes.size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void must(struct rc rc, const struct err *err)
{
    if (rc_failed(rc)) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

/* `kind`: 0 deltas, 1 whole pages, 2 both with flags and commits without pages. */
static void make_segment(const char *dir, const char *name, uint32_t page_size, uint32_t commits, int kind)
{
    const struct seg_enc_opts opts = {.timeline = 1, .page_size = page_size, .base_txid = 7};
    static uint8_t pages[8][65536], base[65536];
    struct seg_enc *e = seg_enc_new(&opts);
    CLEANUP(buf_fini) struct buf object;
    struct err err;

    memset(pages, 0, sizeof pages);
    buf_init(&object, SEG_OBJECT_MAX);
    for (uint32_t i = 0; i < commits; i++) {
        struct seg_commit c = {.txid = 8 + i, .time_ms = 1000 * i, .page_count = 8, .checksum = i};

        for (uint32_t k = 0; k < 3 && !(kind == 2 && i % 3 == 0); k++) {
            uint32_t pgno = 1 + next(8), at = next(page_size - 60), n = 1 + next(40);
            uint8_t *page = pages[pgno - 1];

            memcpy(base, page, page_size);
            memset(page + at, 'a' + (int)next(26), n);
            page[at] = (uint8_t)next(256);
            must(seg_enc_page(e, pgno, page, kind == 1 || (kind == 2 && k == 0) ? NULL : base, &err), &err);
        }
        c.flags = kind != 2 ? 0 : i % 3 == 0 ? SEG_SNAPSHOT : i % 3 == 1 ? SEG_RESYNC : 0;
        must(seg_enc_commit(e, &c, &err), &err);
    }
    must(seg_enc_finish(e, &object, &err), &err);
    save(dir, "seg", name, buf_span(&object));
    seg_enc_free(e);
}

/* One block. */
static void make_part(const char *dir)
{
    const struct pack_header h = {.kind = PACK_PART};
    /* Directory: page 2, bytes 5 to 8 and 18 to 19; page 2 again, unchanged.  Data: six bytes. */
    static const uint8_t blocks[] = {2 * 8, 8, 5, 4 * 2 + 1, 9, 2 * 2, 0, 0, 0, 2 * 6, 'o', 'r', 'd', 'e', 'r', 's'};
    CLEANUP(buf_fini) struct buf part;

    buf_init(&part, 4096);
    pack_put_header(&part, &h);
    buf_put(&part, blocks, sizeof blocks);
    pack_put_trailer(&part);
    save(dir, "seg", "part", buf_span(&part));
}

static void make_seal(const char *dir)
{
    const struct seal s = {
        .timeline = 1, .successor = 2, .txid = 99, .time_ms = 1700000000000, .owner = "host weir[1]"};
    CLEANUP(buf_fini) struct buf out;
    struct err err;

    buf_init(&out, 4096);
    must(seal_encode(&s, &out, &err), &err);
    save(dir, "seal", "seal", buf_span(&out));
    buf_trim(&out, out.size - 12);
    save(dir, "seal", "short", buf_span(&out));
}

int main(int argc, char **argv)
{
    uint8_t steps[400];

    if (argc != 2) {
        (void)fprintf(stderr, "usage: seg_seeds <corpus directory>\n");
        return 2;
    }
    make_segment(argv[1], "one_commit", 4096, 1, 0);
    make_segment(argv[1], "deltas", 1024, 20, 0);
    make_segment(argv[1], "whole", 512, 3, 1);
    make_segment(argv[1], "mixed", 4096, 12, 2);
    make_segment(argv[1], "large_pages", 65536, 4, 0);
    make_part(argv[1]);
    make_seal(argv[1]);
    for (size_t i = 0; i < sizeof steps; i++)
        steps[i] = (uint8_t)next(256);
    save(argv[1], "seg_enc", "random", span_of(steps, sizeof steps));
    save(argv[1], "seg_enc", "short", span_of(steps, 9));
    return 0;
}
