/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder on objects that no encoder makes: every number that may be wrong is, with the hashes right. */
#include "seg_kit.h"

/* --- hostile objects, made by hand -------------------------------------------------------------------------- */

struct head {
    uint64_t timeline, page_size_log, base_txid, commits, parts, time;
};
static const struct head HEAD = {1, 10, 10, 1, 0, 1000};

static void put_head(struct buf *b, const struct head *h)
{
    const struct pack_header pack = {.kind = PACK_SEGMENT};

    buf_init(b, SEG_OBJECT_MAX);
    pack_put_header(b, &pack);
    buf_varint(b, h->timeline);
    buf_varint(b, h->page_size_log);
    buf_varint(b, h->base_txid);
    buf_u64(b, 0);
    buf_varint(b, h->commits);
    buf_varint(b, h->parts);
    buf_varint(b, h->time);
}

static void put_plain(struct buf *b, const struct buf *content)
{
    buf_varint(b, (uint64_t)content->size << 1);
    if (content->size > 0)
        buf_put(b, content->data, content->size);
}

/* One commit with `changes` pages, then the block.  Accepted when there is no `message`, and then `reads` pages were
 * asked for: whole pages need none. */
static void check_block(uint64_t changes, const struct buf *dir, size_t data_size, uint64_t reads, const char *message)
{
    CLEANUP(buf_fini) struct buf b, data;
    struct fixture f;
    struct err err;

    set_up(&f, 3);
    put_head(&b, &HEAD);
    buf_u64(&b, 1);                             /* checksum */
    buf_varint(&b, 2 * (changes < 64 ? 3 : 4)); /* commit table, plainly */
    buf_varint(&b, changes << 1);
    buf_varint(&b, 0);
    buf_varint(&b, 0);
    put_plain(&b, dir);
    buf_init(&data, SEG_OBJECT_MAX);
    memset(buf_grow(&data, data_size + 1), 7, data_size + 1);
    buf_trim(&data, data_size);
    put_plain(&b, &data);
    pack_put_trailer(&b);
    if (message != NULL) {
        assert_fails(decode(&f, buf_span(&b), &err), E_CORRUPT);
        assert_string_equal(err.msg, message);
        assert_int_equal(f.writes, 0);
    } else {
        assert_ok_err(decode(&f, buf_span(&b), &err), &err);
        assert_int_equal(f.writes, changes);
        assert_int_equal(f.reads, reads);
    }
    tear_down(&f);
}

static void assert_refused(uint64_t changes, const struct buf *dir, size_t data_size, const char *message)
{
    check_block(changes, dir, data_size, 0, message);
}

/* A directory from its numbers. */
static void put_dir(struct buf *b, const uint64_t *numbers, size_t count)
{
    buf_init(b, SEG_OBJECT_MAX);
    for (size_t i = 0; i < count; i++)
        buf_varint(b, numbers[i]);
}

#define DIR(...)                              \
    const uint64_t numbers[] = {__VA_ARGS__}; \
    CLEANUP(buf_fini) struct buf dir;         \
    put_dir(&dir, numbers, sizeof numbers / sizeof numbers[0])
#define PAGE(delta)  (seg_block_zigzag(delta) << 1)
#define WHOLE(delta) (seg_block_zigzag(delta) << 1 | 1)
#define LAST(size)   ((uint64_t)(size) << 1)
#define MORE(size)   ((uint64_t)(size) << 1 | 1)

static const char MALFORMED[] = "directory of a block: cut short or malformed";

/* First that the hand-made objects are right where they are meant to be. */
static void test_by_hand(void **state)
{
    (void)state;
    {
        DIR(PAGE(5), 10, LAST(3));
        check_block(1, &dir, 3, 1, NULL);
    }
    {
        DIR(PAGE(5), 0, MORE(3), 0, LAST(PAGE_SIZE - 3), WHOLE(-2), PAGE(2), 0, 0, PAGE(0), PAGE_SIZE - 1, LAST(1));
        check_block(4, &dir, 2 * PAGE_SIZE + 1, 1, NULL);
    }
    {
        DIR(WHOLE(DBFMT_PAGE_COUNT_MAX));
        check_block(1, &dir, PAGE_SIZE, 0, NULL);
    }
}

static void test_page_numbers(void **state)
{
    const int64_t bad[] = {0, -1, INT32_MIN, dbfmt_lock_page(PAGE_SIZE), UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        DIR(WHOLE(bad[i]));
        assert_refused(1, &dir, PAGE_SIZE, MALFORMED);
    }
    DIR(WHOLE(DBFMT_PAGE_COUNT_MAX), WHOLE(1));
    assert_refused(2, &dir, 2 * PAGE_SIZE, MALFORMED);
}

static void test_page_number_too_long(void **state)
{
    DIR(UINT64_MAX);
    (void)state;
    assert_refused(1, &dir, PAGE_SIZE, MALFORMED);
}

static void test_ranges(void **state)
{
    (void)state;
    {
        DIR(PAGE(1), PAGE_SIZE, LAST(1));
        assert_refused(1, &dir, 1, MALFORMED);
    }
    {
        DIR(PAGE(1), PAGE_SIZE + 1, LAST(1));
        assert_refused(1, &dir, 1, MALFORMED);
    }
    {
        DIR(PAGE(1), 1, LAST(PAGE_SIZE));
        assert_refused(1, &dir, PAGE_SIZE, MALFORMED);
    }
    {
        DIR(PAGE(1), 0, MORE(PAGE_SIZE), 0, LAST(1));
        assert_refused(1, &dir, PAGE_SIZE + 1, MALFORMED);
    }
    {
        DIR(PAGE(1), 1, LAST(0)); /* empty, but not the way it is written */
        assert_refused(1, &dir, 0, MALFORMED);
    }
    {
        DIR(PAGE(1), 0, MORE(0), 0, LAST(1));
        assert_refused(1, &dir, 1, MALFORMED);
    }
    {
        DIR(PAGE(1), 0, MORE(5)); /* and no more there */
        assert_refused(1, &dir, 5, MALFORMED);
    }
    {
        DIR(PAGE(1), UINT64_MAX, UINT64_MAX);
        assert_refused(1, &dir, 5, MALFORMED);
    }
}

static void test_sums(void **state)
{
    (void)state;
    {
        DIR(PAGE(1), 0, LAST(5));
        assert_refused(1, &dir, 6, "block: 6 bytes of data, its directory says 5");
    }
    {
        DIR(PAGE(1), 0, LAST(5));
        assert_refused(1, &dir, 4, "block: 4 bytes of data, its directory says 5");
    }
    {
        DIR(PAGE(1), 0, LAST(5), PAGE(1), 0, LAST(5));
        assert_refused(1, &dir, 10, "directory of a block: more pages than the commits have");
    }
    {
        DIR(PAGE(1), 0, LAST(5), PAGE(1), 0, LAST(5));
        assert_refused(0, &dir, 10, "directory of a block: more pages than the commits have");
    }
    {
        CLEANUP(buf_fini) struct buf dir;

        buf_init(&dir, 10);
        assert_refused(1, &dir, 0, "directory of a block: empty");
    }
}

static void test_ends_within_a_commit(void **state)
{
    CLEANUP(buf_fini) struct buf b, pages;
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 3);
    put_head(&b, &HEAD);
    buf_u64(&b, 1);
    buf_put(&b, (const uint8_t[]){6, 4, 0, 0}, 4); /* two pages, and no blocks */
    pack_put_trailer(&b);
    assert_fails(decode(&f, buf_span(&b), &err), E_CORRUPT);
    assert_string_equal(err.msg, "segment: ends within commit 1 of 1");
    buf_init(&pages, 100);
    assert_fails(list(buf_span(&b), &pages, &err), E_CORRUPT);
    assert_string_equal(err.msg, "segment: ends within commit 1 of 1");
    tear_down(&f);
}

/* The limits of a block, each by one too many. */
static void test_block_limits(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++) {
        CLEANUP(buf_fini) struct buf dir;
        uint32_t changes = SEG_BLOCK_CHANGES_MAX + (uint32_t)over;

        buf_init(&dir, SEG_BLOCK_DIR_MAX);
        for (uint32_t i = 0; i < changes; i++) {
            buf_varint(&dir, PAGE(i == 0));
            buf_put(&dir, (const uint8_t[]){0, 0}, 2);
        }
        check_block(changes, &dir, 0, 1, over ? "directory of a block: more than 4096 changes" : NULL);
    }
    for (int over = 0; over <= 1; over++) {
        CLEANUP(buf_fini) struct buf dir;
        uint32_t pages = SEG_BLOCK_IMAGES_MAX / PAGE_SIZE + (uint32_t)over;

        buf_init(&dir, SEG_BLOCK_DIR_MAX);
        for (uint32_t i = 0; i < pages; i++)
            buf_put(&dir, (const uint8_t[]){(uint8_t)PAGE(1), 0, 0}, 3);
        check_block(pages, &dir, 0, pages, over ? "directory of a block: more than 512 pages" : NULL);
    }
    for (int over = 0; over <= 1; over++) {
        CLEANUP(buf_fini) struct buf dir;
        uint32_t pages = SEG_BLOCK_DATA_MAX / PAGE_SIZE + (uint32_t)over;

        buf_init(&dir, SEG_BLOCK_DIR_MAX);
        for (uint32_t i = 0; i < pages; i++)
            buf_varint(&dir, WHOLE(i == 0));
        /* The length of the stream is refused before the directory is looked at. */
        assert_refused(pages, &dir, (size_t)pages * PAGE_SIZE, over ? "block: cut short or malformed" : NULL);
        assert_refused(
            pages, &dir, SEG_BLOCK_DATA_MAX, over ? "directory of a block: more than 524288 bytes of data" : NULL);
    }
}

/* A directory that unpacks to more than it may. */
static void test_bomb(void **state)
{
    struct zstr_enc *z = zstr_enc_new(3);
    CLEANUP(buf_fini) struct buf b, zeros, scratch;
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 3);
    put_head(&b, &HEAD);
    buf_u64(&b, 1);
    buf_put(&b, (const uint8_t[]){6, 2, 0, 0}, 4);
    buf_init(&zeros, SEG_OBJECT_MAX);
    buf_init(&scratch, SEG_OBJECT_MAX);
    memset(buf_grow(&zeros, 8 << 20), 0, 8 << 20);
    assert_ok_err(zstr_compress(z, span_of(NULL, 0), buf_span(&zeros), &scratch, &err), &err);
    /* It claims the most that is allowed; the frame holds more. */
    buf_varint(&b, (uint64_t)SEG_BLOCK_DIR_MAX << 1 | 1);
    buf_varint(&b, scratch.size);
    buf_put(&b, scratch.data, scratch.size);
    buf_varint(&b, 0);
    pack_put_trailer(&b);
    assert_fails(decode(&f, buf_span(&b), &err), E_CORRUPT);
    assert_string_equal(err.msg, "directory of a block: compressed data: 8388608 bytes inside, expected 131072");
    zstr_enc_free(z);
    tear_down(&f);
}

/* `head`, 8 bytes of checksum, and `table` as the only content. */
static void assert_head_refused(
    const struct head *h, const uint8_t *table, size_t table_size, enum err_code code, const char *message)
{
    CLEANUP(buf_fini) struct buf b;
    struct seg_dec *d = NULL;
    struct err err;

    put_head(&b, h);
    buf_u64(&b, 1);
    buf_put(&b, table, table_size);
    pack_put_trailer(&b);
    assert_fails(seg_dec_open(&d, buf_span(&b), &err), code);
    assert_string_equal(err.msg, message);
    assert_null(d);
}

static void test_heads(void **state)
{
    static const uint8_t table[] = {6, 0, 0, 0};
    static const char malformed[] = "head of the segment: cut short or malformed";
    struct head h;

    (void)state;
    h = HEAD, h.timeline = 1ull << 32;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
    h = HEAD, h.page_size_log = 17;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
    h = HEAD, h.page_size_log = 8;
    assert_head_refused(&h, table, 4, E_CORRUPT, "head of the segment: page size 256");
    h = HEAD, h.base_txid = UINT64_MAX;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
    h = HEAD, h.commits = 0;
    assert_head_refused(&h, table, 4, E_CORRUPT, "head of the segment: no commits");
    h = HEAD, h.commits = SEG_COMMIT_COUNT_MAX;
    assert_head_refused(&h, table, 4, E_CORRUPT, "head of the segment: 65536 commits in 12 bytes");
    h = HEAD, h.commits = SEG_COMMIT_COUNT_MAX + 1;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
    h = HEAD, h.parts = SEG_PART_COUNT_MAX;
    assert_head_refused(&h, table, 4, E_CORRUPT, "head of the segment: 65536 parts in 12 bytes");
    h = HEAD, h.parts = UINT64_MAX;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
    h = HEAD, h.time = UINT64_MAX;
    assert_head_refused(&h, table, 4, E_CORRUPT, malformed);
}

static void test_tables(void **state)
{
    static const uint8_t long_time[] = {22, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0};
    struct head two = HEAD;
    CLEANUP(buf_fini) struct buf b;
    struct seg_dec *d = NULL;
    struct err err;

    (void)state;
    assert_head_refused(&HEAD, (const uint8_t[]){6, 0, 0}, 3, E_CORRUPT, "head of the segment: cut short or malformed");
    assert_head_refused(&HEAD, (const uint8_t[]){4, 0, 0}, 3, E_CORRUPT, "commit table: cut short or malformed");
    assert_head_refused(
        &HEAD, (const uint8_t[]){8, 0, 0, 0, 0}, 5, E_CORRUPT, "commit table: 1 bytes left over at the end");
    assert_head_refused(&HEAD, (const uint8_t[]){6, 0, 0, 1}, 4, E_CORRUPT, "commit table: commit 0 has -1 pages");
    assert_head_refused(
        &HEAD, (const uint8_t[]){8, 1, 64, 0, 0}, 5, E_UNSUPPORTED, "commit table: flags 0x40 need a newer weir");
    assert_head_refused(&HEAD, (const uint8_t[]){8, 3, SEG_SNAPSHOT, 0, 0}, 5, E_CORRUPT,
        "commit table: commit 0 is in a snapshot, but has pages here");
    assert_head_refused(&HEAD, long_time, sizeof long_time, E_CORRUPT, "commit table: time of commit 0 overflows");
    /* Two commits: the page count of the second is the difference. */
    two.commits = 2;
    put_head(&b, &two);
    buf_u64(&b, 1);
    buf_u64(&b, 2);
    buf_put(&b, (const uint8_t[]){12, 0, 0, 20, 0, 5, 3}, 7);
    pack_put_trailer(&b);
    assert_ok_err(seg_dec_open(&d, buf_span(&b), &err), &err);
    assert_int_equal(seg_dec_info(d)->commits[0].page_count, 10);
    assert_int_equal(seg_dec_info(d)->commits[1].page_count, 8);
    assert_int_equal(seg_dec_info(d)->commits[0].time_ms, 1000);
    assert_int_equal(seg_dec_info(d)->commits[1].time_ms, 1005);
    assert_int_equal(seg_dec_info(d)->commits[1].txid, 12);
    assert_int_equal(seg_dec_info(d)->commits[1].checksum, 2);
    seg_dec_free(d);
}

/* --- parts ------------------------------------------------------------------------------------------------------ */

static void make_part(struct buf *part, uint32_t pgno)
{
    const struct pack_header pack = {.kind = PACK_PART};

    buf_init(part, 4096);
    pack_put_header(part, &pack);
    buf_varint(part, 2 * 3); /* directory: one page, one byte at 0 */
    buf_varint(part, PAGE(pgno));
    buf_put(part, (const uint8_t[]){0, 2}, 2);
    buf_varint(part, 2 * 1);
    buf_u8(part, (uint8_t)(0xc0 + pgno));
    pack_put_trailer(part);
}

static void list_part(struct buf *b, const struct buf *part)
{
    buf_varint(b, part->size);
    buf_put(b, part->data + part->size - PACK_TRAILER_SIZE, PACK_TRAILER_SIZE);
}

struct two_parts {
    struct fixture f;
    struct buf parts[2], object;
    struct seg_dec *d;
    struct seg_apply_ops ops;
};

static void set_up_parts(struct two_parts *t)
{
    struct head h = HEAD;
    struct err err;

    set_up(&t->f, 3);
    make_part(&t->parts[0], 5);
    make_part(&t->parts[1], 6);
    h.parts = 2;
    put_head(&t->object, &h);
    list_part(&t->object, &t->parts[0]);
    list_part(&t->object, &t->parts[1]);
    buf_u64(&t->object, 1);
    buf_put(&t->object, (const uint8_t[]){6, 4, 0, 0}, 4); /* two pages */
    pack_put_trailer(&t->object);
    assert_ok_err(seg_dec_open(&t->d, buf_span(&t->object), &err), &err);
    t->ops = (struct seg_apply_ops){on_read, on_write, on_commit, &t->f};
}

static void tear_down_parts(struct two_parts *t)
{
    seg_dec_free(t->d);
    buf_fini(&t->parts[0]);
    buf_fini(&t->parts[1]);
    buf_fini(&t->object);
    tear_down(&t->f);
}

static void test_parts_in_order(void **state)
{
    CLEANUP(buf_fini) struct buf pages;
    struct two_parts t;
    bool stopped = true;
    struct err err;

    (void)state;
    set_up_parts(&t);
    buf_init(&pages, 100);
    for (int i = 0; i < 2; i++) {
        assert_ok_err(seg_dec_apply_part(t.d, buf_span(&t.parts[i]), &t.ops, &stopped, &err), &err);
        assert_int_equal(t.f.commits, i); /* as soon as its last page is there */
    }
    assert_ok_err(seg_dec_apply_tail(t.d, &t.ops, &stopped, &err), &err);
    assert_false(stopped);
    assert_int_equal(t.f.commits, 1);
    assert_int_equal(page_model_page(&t.f.now, 5)[0], 0xc5);
    assert_int_equal(page_model_page(&t.f.now, 6)[0], 0xc6);
    /* Listing is independent of applying. */
    for (int i = 0; i < 2; i++)
        assert_ok_err(seg_dec_pages_part(t.d, buf_span(&t.parts[i]), on_page, &pages, &err), &err);
    assert_ok_err(seg_dec_pages_tail(t.d, on_page, &pages, &err), &err);
    assert_int_equal(pages.size, t.f.log.size);
    assert_memory_equal(pages.data, t.f.log.data, pages.size);
    assert_fails(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), E_BUG);
    assert_string_equal(err.msg, "segment: it has no part 2");
    tear_down_parts(&t);
}

static void test_wrong_parts(void **state)
{
    struct two_parts t;
    bool stopped;
    struct err err;

    (void)state;
    set_up_parts(&t);
    assert_fails(seg_dec_apply_part(t.d, buf_span(&t.parts[1]), &t.ops, &stopped, &err), E_CORRUPT);
    assert_string_equal(err.msg, "part 0: not the one that the segment lists");
    assert_fails(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), E_BUG);
    assert_string_equal(err.msg, "segment: read on after a failure");
    tear_down_parts(&t);

    set_up_parts(&t);
    assert_ok_err(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), &err);
    assert_fails(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), E_CORRUPT);
    assert_string_equal(err.msg, "part 1: not the one that the segment lists");
    assert_int_equal(t.f.writes, 1);
    tear_down_parts(&t);

    set_up_parts(&t);
    assert_ok_err(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), &err);
    assert_fails(seg_dec_apply_tail(t.d, &t.ops, &stopped, &err), E_BUG);
    assert_string_equal(err.msg, "segment: its end after 1 of 2 parts");
    tear_down_parts(&t);

    set_up_parts(&t);
    for (size_t n = 0; n < t.parts[0].size; n++) {
        struct rc rc = seg_dec_pages_part(t.d, span_of(t.parts[0].data, n), on_page, &t.f.log, &err);

        assert_fails(rc, E_CORRUPT);
    }
    t.parts[0].data[61] ^= 1;
    assert_fails(seg_dec_apply_part(t.d, buf_span(&t.parts[0]), &t.ops, &stopped, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "part 0: object: checksum mismatch"));
    tear_down_parts(&t);
}

static void test_stopped_stays_stopped(void **state)
{
    struct two_parts t;
    bool stopped = false;
    struct err err;

    (void)state;
    set_up_parts(&t);
    t.f.stop_at = 1;
    for (int i = 0; i < 2; i++)
        assert_ok_err(seg_dec_apply_part(t.d, buf_span(&t.parts[i]), &t.ops, &stopped, &err), &err);
    assert_true(stopped);
    stopped = false;
    assert_ok_err(seg_dec_apply_tail(t.d, &t.ops, &stopped, &err), &err);
    assert_true(stopped);
    assert_int_equal(t.f.commits, 1);
    tear_down_parts(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_page_numbers),
        cmocka_unit_test(test_page_number_too_long),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_ends_within_a_commit),
        cmocka_unit_test(test_block_limits),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_parts_in_order),
        cmocka_unit_test(test_wrong_parts),
        cmocka_unit_test(test_stopped_stays_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
