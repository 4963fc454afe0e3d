/* SPDX-License-Identifier: Apache-2.0 */
/* Folds both ways; every byte damaged, cut at every place, and tables that lie with hashes that fit. */
#include "check.h"

#include "alloc.h"
#include "digest.h"
#include "fold.h"
#include "seg.h"

#include <string.h>

enum { BYTES = 100 };

/* Fold of `count` "segments"; the decoder does not look into them. */
static void make(struct fold *f, struct fold_row *rows, size_t count, struct buf *out)
{
    uint8_t bytes[BYTES + FOLD_SEGMENT_COUNT_MAX];
    struct err err;

    *f = (struct fold){.pack = {.database = {{1, 2}}, .writer = {{3, 4}}}, .timeline = 7, .rows = rows, .count = count};
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct fold_row){.first_txid = i == 0 ? 1000 : rows[i - 1].last_txid + 1,
            .last_txid = i == 0 ? 1000 : rows[i - 1].last_txid + 1 + i % 5,
            .time_ms = 1790000000000 + (int64_t)(i * 1000) - (i == 3 ? 5000 : 0),
            .size = BYTES + i};
    buf_init(out, 1 << 20);
    assert_ok_err(fold_begin(f, out, &err), &err);
    for (size_t i = 0; i < count; i++) {
        memset(bytes, (int)i, sizeof bytes);
        buf_put(out, bytes, rows[i].size);
    }
    assert_ok_err(fold_end(f, out, &err), &err);
}

static void check_same(const struct fold *a, const struct fold *b, const struct buf *object)
{
    assert_int_equal(a->timeline, b->timeline);
    assert_int_equal(a->count, b->count);
    assert_true(nonce_equal(&a->pack.database, &b->pack.database));
    assert_true(nonce_equal(&a->pack.writer, &b->pack.writer));
    for (size_t i = 0; i < a->count; i++) {
        assert_memory_equal(&a->rows[i], &b->rows[i], sizeof a->rows[i]);
        for (size_t k = 0; k < b->rows[i].size; k++)
            assert_int_equal(object->data[b->rows[i].offset + k], (uint8_t)i);
    }
}

static void test_round_trip(void **state)
{
    static struct fold_row rows[FOLD_SEGMENT_COUNT_MAX];
    static const size_t counts[] = {1, 2, 32, FOLD_SEGMENT_COUNT_MAX};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        CLEANUP(buf_fini) struct buf b;
        struct fold f, got;
        size_t head;

        make(&f, rows, counts[i], &b);
        assert_ok_err(fold_decode(buf_span(&b), &got, &err), &err);
        check_same(&f, &got, &b);
        fold_fini(&got);
        head = rows[0].offset;
        assert_true(head <= FOLD_HEAD_MAX);
        assert_ok_err(fold_decode_head(span_of(b.data, head), b.size, &got, &err), &err);
        check_same(&f, &got, &b);
        fold_fini(&got);
        for (size_t n = 0; n < head; n += n < 200 ? 1 : 97)
            assert_fails(fold_decode_head(span_of(b.data, n), b.size, &got, &err), E_CORRUPT);
    }
}

static void test_find(void **state)
{
    struct fold_row rows[40];
    CLEANUP(buf_fini) struct buf b;
    struct fold f;

    (void)state;
    make(&f, rows, 40, &b);
    assert_null(fold_find(&f, 0));
    assert_null(fold_find(&f, 999));
    for (uint64_t txid = 1000; txid <= rows[39].last_txid; txid++) {
        const struct fold_row *row = fold_find(&f, txid);

        assert_non_null(row);
        assert_true(row->first_txid <= txid && txid <= row->last_txid);
    }
    assert_null(fold_find(&f, rows[39].last_txid + 1));
    assert_null(fold_find(&f, UINT64_MAX));
}

static void test_damage(void **state)
{
    struct fold_row rows[5];
    CLEANUP(buf_fini) struct buf b;
    struct fold f, got;
    struct err err;

    (void)state;
    make(&f, rows, 5, &b);
    for (size_t n = 0; n < b.size; n++)
        assert_fails(fold_decode(span_of(b.data, n), &got, &err), E_CORRUPT);
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_fails(fold_decode(buf_span(&b), &got, &err), E_CORRUPT);
        if (i / 8 < rows[0].offset) /* the head alone shows it, too */
            assert_fails(fold_decode_head(span_of(b.data, rows[0].offset), b.size, &got, &err), E_CORRUPT);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_fails(fold_decode_head(buf_span(&b), b.size + 1, &got, &err), E_CORRUPT);
    assert_fails(fold_decode_head(buf_span(&b), (uint64_t)FOLD_OBJECT_MAX + 1, &got, &err), E_CORRUPT);
}

static void test_no_memory(void **state)
{
    struct fold_row rows[5];
    CLEANUP(buf_fini) struct buf b;
    struct fold f, got;
    struct err err;

    (void)state;
    make(&f, rows, 5, &b);
    mem_fail_after(1, true);
    assert_fails(fold_decode(buf_span(&b), &got, &err), E_NOMEM);
    mem_fail_after(0, false);
}

/* A table made by hand: numbers as varints, then the hash; no segments behind it but `rest` bytes. */
static void lie(const uint64_t *numbers, size_t count, size_t rest, const char *message)
{
    CLEANUP(buf_fini) struct buf b;
    struct pack_header h = {.kind = PACK_FOLD};
    struct fold got;
    struct err err;

    buf_init(&b, 1 << 20);
    pack_put_header(&b, &h);
    for (size_t i = 0; i < count; i++)
        buf_varint(&b, numbers[i]);
    buf_u64(&b, digest_bytes(b.data, b.size));
    memset(buf_grow(&b, rest), 0, rest);
    pack_put_trailer(&b);
    assert_fails(fold_decode(buf_span(&b), &got, &err), E_CORRUPT);
    assert_string_equal(err.msg, message);
}
#define LIE(rest, message, ...)                                             \
    do {                                                                    \
        const uint64_t numbers_[] = {__VA_ARGS__};                          \
        lie(numbers_, sizeof numbers_ / sizeof numbers_[0], rest, message); \
    } while (0)

static void test_lies(void **state)
{
    (void)state;
    LIE(64, "fold: timeline 0", 0, 1, 1, 1, 0, 64);
    LIE(64, "fold: 0 segments from txid 1", 1, 1, 0);
    LIE(64, "fold: 1 segments from txid 0", 1, 0, 1, 1, 0, 64);
    LIE(64, "fold: table: cut short or malformed", 1, 1, FOLD_SEGMENT_COUNT_MAX + 1, 1, 0, 64);
    LIE(64, "fold: table: cut short or malformed", (uint64_t)UINT32_MAX + 1, 1, 1, 1, 0, 64);
    LIE(64, "fold: 0 commits from txid 1", 1, 1, 1, 0, 0, 64);
    LIE(64, "fold: 2 commits from txid 18446744073709551615", 1, UINT64_MAX, 1, 2, 0, 64);
    LIE(64, "fold: 1 commits from txid 18446744073709551615", 1, UINT64_MAX, 1, 1, 0, 64);
    LIE(64, "fold: segment at txid 1: too many commits for one segment", 1, 1, 1, SEG_COMMIT_COUNT_MAX + 1, 0, 64);
    LIE(64, "fold: segment at txid 1: a time before 1970", 1, 1, 1, 1, 1, 64);
    LIE(128, "fold: segment at txid 2: a time out of range", 1, 1, 2, 1, UINT64_MAX - 1, 64, 1, UINT64_MAX - 1, 64);
    LIE(63, "fold: segment at txid 1: a size that no segment has", 1, 1, 1, 1, 0, 63);
    LIE(64, "fold: segment at txid 1: a size that no segment has", 1, 1, 1, 1, 0, SEG_OBJECT_MAX + 1);
    LIE(65, "fold: its segments end at byte 134 of 143", 1, 1, 1, 1, 0, 64);
    LIE(63, "fold: its segments end at byte 134 of 141", 1, 1, 1, 1, 0, 64);
}

static void refuse(struct fold *f, const char *message)
{
    CLEANUP(buf_fini) struct buf b;
    struct err err;

    buf_init(&b, 1 << 20);
    assert_fails(fold_begin(f, &b, &err), E_BUG);
    assert_string_equal(err.msg, message);
}

static void test_refused_by_the_encoder(void **state)
{
    struct fold_row rows[3] = {
        {.first_txid = 5, .last_txid = 5, .size = 100}, {.first_txid = 6, .last_txid = 8, .size = 100}};
    struct fold f = {.timeline = 1, .rows = rows, .count = 0};
    CLEANUP(buf_fini) struct buf b;
    struct err err;

    (void)state;
    refuse(&f, "fold of 0 segments of timeline 1");
    f.count = 2;
    rows[1].first_txid = 7;
    refuse(&f, "fold: segment at txid 7: not behind the one before it");
    rows[1].first_txid = 6;
    rows[1].size = 10;
    refuse(&f, "fold: segment at txid 6: a size that no segment has");
    rows[1].size = 100;
    rows[0].first_txid = 6;
    refuse(&f, "fold: segment at txid 6: too many commits for one segment");
    rows[0].first_txid = 5;
    f.timeline = 0;
    refuse(&f, "fold of 2 segments of timeline 0");
    f.timeline = 1;
    buf_init(&b, 1 << 20);
    assert_ok_err(fold_begin(&f, &b, &err), &err);
    assert_fails(fold_end(&f, &b, &err), E_BUG); /* no segments behind the table */
    buf_fini(&b);
    buf_init(&b, 60);
    assert_fails(fold_begin(&f, &b, &err), E_NOSPACE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_refused_by_the_encoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
