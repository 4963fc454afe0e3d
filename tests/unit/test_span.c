/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "buf.h"
#include "span.h"

#include <string.h>

static void test_reads_in_order(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x80, 1, 'x', 'y'};
    struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
    struct span s;
    struct err err;

    (void)state;
    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_u16(&c), 0x0302);
    assert_int_equal(cursor_u32(&c), 0x07060504);
    assert_true(cursor_u64(&c) == 0x0f0e0d0c0b0a0908u);
    assert_int_equal(cursor_varint(&c), 128);
    assert_int_equal(cursor_left(&c), 2);
    assert_ok(cursor_check(&c, "thing", &err));
    assert_fails(cursor_finish(&c, "thing", &err), E_CORRUPT);
    assert_string_equal(err.msg, "thing: 2 bytes left over at the end");
    s = cursor_bytes(&c, 2);
    assert_memory_equal(s.data, "xy", 2);
    assert_ok(cursor_finish(&c, "thing", &err));
}

static void test_sticky(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
    struct err err;

    (void)state;
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.bad);
    assert_int_equal(cursor_u8(&c), 0); /* there are bytes, but the first failure stays */
    assert_int_equal(cursor_left(&c), 0);
    assert_null(cursor_bytes(&c, 1).data);
    assert_fails(cursor_check(&c, "thing", &err), E_CORRUPT);
    assert_string_equal(err.msg, "thing: cut short or malformed");
    assert_fails(cursor_finish(&c, "thing", &err), E_CORRUPT);
}

static void test_empty(void **state)
{
    struct cursor c = cursor_of(span_of(NULL, 0));
    struct err err;

    (void)state;
    assert_int_equal(cursor_bytes(&c, 0).size, 0);
    assert_ok(cursor_finish(&c, "nothing", &err));
    assert_int_equal(cursor_bytes(&c, SIZE_MAX).size, 0);
    assert_true(c.bad);
}

static void test_varint_round_trip(void **state)
{
    struct buf b;
    uint64_t seed = 1;

    (void)state;
    buf_init(&b, 100);
    for (int i = 0; i < 2000; i++) {
        uint64_t v = i == 0 ? 0 : i == 1 ? UINT64_MAX : check_random(&seed) >> (i % 64);
        struct cursor c;

        buf_clear(&b);
        buf_varint(&b, v);
        c = cursor_of(buf_span(&b));
        assert_true(cursor_varint(&c) == v);
        assert_false(c.bad);
        assert_int_equal(cursor_left(&c), 0);
        for (size_t cut = 0; cut < b.size; cut++) {
            c = cursor_of(span_of(b.data, cut));
            assert_int_equal(cursor_varint(&c), 0);
            assert_true(c.bad);
        }
    }
    buf_fini(&b);
}

static void test_bad_varints(void **state)
{
    static const struct {
        uint8_t bytes[12];
        size_t size;
    } cases[] = {
        {{0x80, 0x00}, 2},                                                           /* 0 in two bytes */
        {{0xff, 0x80, 0x00}, 3},                                                     /* not the shortest form */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10},          /* 65 bits */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00}, 11},    /* 11 bytes */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, 12}, /* 12 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cursor c = cursor_of(span_of(cases[i].bytes, cases[i].size));

        assert_int_equal(cursor_varint(&c), 0);
        assert_true(c.bad);
    }
}

static void test_varint_max(void **state)
{
    static const uint8_t bytes[] = {100, 101};
    struct cursor c = cursor_of(span_of(bytes, sizeof bytes));

    (void)state;
    assert_int_equal(cursor_varint_max(&c, 100), 100);
    assert_false(c.bad);
    assert_int_equal(cursor_varint_max(&c, 100), 0);
    assert_true(c.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_in_order),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_varint_round_trip),
        cmocka_unit_test(test_bad_varints),
        cmocka_unit_test(test_varint_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
