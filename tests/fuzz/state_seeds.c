/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_seeds - writes the first inputs of fuzz_state: run it again when the format changes.
 *
 *     state_seeds tests/fuzz/corpus
 */
#include "local_fmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID = 7 };

static void save(const char *dir, const char *name, char mode, struct span bytes)
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/state/%s", dir, name);
    f = fopen(path, "wb");
    if (f == NULL || fputc(mode, f) == EOF || fwrite(bytes.data, 1, bytes.size, f) != bytes.size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static struct pos some_pos(uint64_t txid)
{
    return (struct pos){.timeline = 1,
        .txid = txid,
        .time_ms = 1795227681000,
        .page_size = 4096,
        .page_count = 5,
        .checksum = 6,
        .wal = {.page_size = 4096, .valid = true, .frame = 3}};
}

/* A log as the target's 'L' takes it, and whole for 'l'. */
struct log {
    struct buf bare, whole;
    uint64_t chain;
};

static void add(struct log *l, const struct local_fmt_record *record)
{
    struct buf b;
    size_t size;

    buf_init(&b, LOCAL_FMT_CHAIN_SIZE + LOCAL_FMT_RECORD_SIZE_MAX);
    local_fmt_encode_record(record, &l->chain, &b);
    buf_put(&l->whole, b.data + 8, b.size - 8);
    size = b.size - 8 - 8 - 8; /* without chain, type and size, hash */
    buf_u8(&l->bare, (uint8_t)record->type);
    buf_u16(&l->bare, (uint16_t)size);
    buf_put(&l->bare, b.data + 16, size);
    buf_fini(&b);
}

static void add_page(struct log *l, uint32_t pgno, uint64_t hash)
{
    struct local_fmt_record r = {.type = LOCAL_FMT_PAGES};
    struct buf entries;

    buf_init(&entries, 100);
    local_fmt_put_entry(&entries, pgno, hash);
    local_fmt_put_entry(&entries, pgno + 1, hash + 1);
    r.entries = buf_span(&entries);
    add(l, &r);
    buf_fini(&entries);
}

static void make_log(const char *dir)
{
    struct log l = {.chain = 0};
    uint64_t mark;

    buf_init(&l.bare, 100000);
    buf_init(&l.whole, 100000);
    local_fmt_encode_log_header(ID, &l.whole, &l.chain);
    add(&l, &(struct local_fmt_record){.type = LOCAL_FMT_RUN, .run = {{1, 2, 3}}});
    for (uint64_t life = 0; life < 3; life++) {
        add_page(&l, 1, 10 + life);
        mark = l.whole.size;
        add_page(&l, 4, 20 + life);
        add(&l, &(struct local_fmt_record){.type = LOCAL_FMT_POSITION, .mark = mark, .pos = some_pos(life)});
        add(&l, &(struct local_fmt_record){.type = LOCAL_FMT_SESSION, .mark = mark, .salt = life});
    }
    save(dir, "log", 'l', buf_span(&l.whole));
    save(dir, "log_torn", 'l', span_of(l.whole.data, l.whole.size - 5));
    save(dir, "log_empty", 'l', span_of(l.whole.data, LOCAL_FMT_LOG_HEADER_SIZE));
    save(dir, "records", 'L', buf_span(&l.bare));
    buf_fini(&l.bare);
    buf_fini(&l.whole);
}

int main(int argc, char **argv)
{
    struct local_fmt_current cur = {.id = ID, .pages_hash = 4, .content = {.run_count = 2}};
    struct buf b;

    if (argc != 2)
        return 2;
    cur.content.pos = some_pos(9);
    cur.content.restored = true;
    memset(cur.content.runs, 0xab, sizeof cur.content.runs);
    buf_init(&b, LOCAL_FMT_CURRENT_SIZE_MAX);
    local_fmt_encode_current(&cur, &b);
    save(argv[1], "current", 'c', buf_span(&b));
    save(argv[1], "current_resealed", 'C', buf_span(&b));
    local_fmt_encode_pages_header(ID, 3, 4, &b);
    save(argv[1], "pages", 'p', buf_span(&b));
    buf_fini(&b);
    make_log(argv[1]);
    return 0;
}
