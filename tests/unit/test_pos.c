/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "pos.h"

#include <string.h>

static struct pos example(uint64_t seed)
{
    return (struct pos){
        .timeline = (uint32_t)check_random(&seed),
        .txid = check_random(&seed),
        .time_ms = (int64_t)check_random(&seed),
        .checksum = check_random(&seed),
        .page_size = 512u << check_random(&seed) % 8,
        .page_count = (uint32_t)check_random(&seed) & 0x7fffffff,
        .wal =
            {
                .salt = {(uint32_t)check_random(&seed), (uint32_t)check_random(&seed)},
                .change_count = (uint32_t)check_random(&seed),
                .page_size = 512u << check_random(&seed) % 8,
                .frame = (uint32_t)check_random(&seed),
                .cksum = {(uint32_t)check_random(&seed), (uint32_t)check_random(&seed)},
                .big_endian = (check_random(&seed) & 1) != 0,
                .valid = (check_random(&seed) & 1) != 0,
            },
    };
}

static void assert_same(const struct pos *a, const struct pos *b)
{
    assert_int_equal(a->timeline, b->timeline);
    assert_true(a->txid == b->txid);
    assert_true(a->time_ms == b->time_ms);
    assert_true(a->checksum == b->checksum);
    assert_int_equal(a->page_size, b->page_size);
    assert_int_equal(a->page_count, b->page_count);
    assert_int_equal(a->wal.salt[0], b->wal.salt[0]);
    assert_int_equal(a->wal.salt[1], b->wal.salt[1]);
    assert_int_equal(a->wal.change_count, b->wal.change_count);
    assert_int_equal(a->wal.page_size, b->wal.page_size);
    assert_int_equal(a->wal.frame, b->wal.frame);
    assert_int_equal(a->wal.cksum[0], b->wal.cksum[0]);
    assert_int_equal(a->wal.cksum[1], b->wal.cksum[1]);
    assert_int_equal(a->wal.big_endian, b->wal.big_endian);
    assert_int_equal(a->wal.valid, b->wal.valid);
}

static void test_round_trip(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct pos p = seed == 0 ? (struct pos){0} : example(seed), back;
        struct cursor c;

        buf_clear(&b);
        pos_encode(&p, &b);
        assert_int_equal(b.size, POS_ENCODED_SIZE);
        c = cursor_of(buf_span(&b));
        pos_decode(&c, &back);
        assert_false(c.bad);
        assert_int_equal(cursor_left(&c), 0);
        assert_same(&p, &back);
    }
    buf_fini(&b);
}

static void assert_bad(const uint8_t *bytes, size_t n)
{
    static const struct pos nothing;
    struct cursor c = cursor_of(span_of(bytes, n));
    struct pos back;

    memset(&back, 0xff, sizeof back);
    pos_decode(&c, &back);
    assert_true(c.bad);
    assert_same(&back, &nothing);
}

static void test_nonsense(void **state)
{
    struct pos p = example(1);
    struct buf b;

    (void)state;
    p.wal.valid = true;
    buf_init(&b, 1000);
    pos_encode(&p, &b);
    for (size_t n = 0; n < b.size; n++)
        assert_bad(b.data, n);
    b.data[64] |= 4; /* a flag that nobody knows */
    assert_bad(b.data, b.size);
    b.data[64] &= 3;
    b.data[67] = 1;
    assert_bad(b.data, b.size);

    for (int i = 0; i < 5; i++) {
        struct pos bad = p;

        if (i == 0)
            bad.page_size = 1000;
        if (i == 1)
            bad.page_size = 131072;
        if (i == 2)
            bad.wal.page_size = 0; /* but valid */
        if (i == 3)
            bad.page_count = UINT32_MAX;
        if (i == 4)
            bad.page_size = 0; /* but pages */
        buf_clear(&b);
        pos_encode(&bad, &b);
        assert_bad(b.data, b.size);
    }
    buf_fini(&b);
}

/* The layout is stored, so it must not change by accident. */
static void test_layout(void **state)
{
    static const uint8_t want[POS_ENCODED_SIZE] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0, 4, 0,
        0, 11, 0, 0, 0, 12, 0, 0, 0, 13, 0, 0, 0, 3, 0, 0, 0};
    const struct pos p = {1, 2, -3, 4, 512, 6, {{7, 8}, 9, 1024, 11, {12, 13}, true, true}};
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    pos_encode(&p, &b);
    assert_int_equal(b.size, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    buf_fini(&b);
}

static void test_nonce(void **state)
{
    static const char *const bad[] = {"", "0123", "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef 123456789abcdef",
        "0123456789abcdef-123456789abcdef"};
    struct nonce a = nonce_new(), b = nonce_new(), back;
    char text[NONCE_TEXT_SIZE];

    (void)state;
    assert_false(nonce_equal(&a, &b));
    assert_true(nonce_equal(&a, &a));
    assert_true(nonce_parse(nonce_format(&a, text), &back));
    assert_true(nonce_equal(&a, &back));
    assert_true(nonce_parse("00112233445566778899aabbccddeeff", &back));
    assert_int_equal(back.bytes[1], 0x11);
    assert_int_equal(back.bytes[15], 0xff);
    assert_string_equal(nonce_format(&back, text), "00112233445566778899aabbccddeeff");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(nonce_parse(bad[i], &back));
    assert_int_equal(back.bytes[15], 0xff); /* unchanged */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_nonce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
