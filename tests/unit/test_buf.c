/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "buf.h"

#include <string.h>

static void test_appends(void **state)
{
    static const uint8_t want[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 0xac, 2, 'a', 'b', '-', '9'};
    struct buf b;
    struct err err;

    (void)state;
    buf_init(&b, 1000);
    assert_string_equal(buf_str(&b), "");
    buf_u8(&b, 1);
    buf_u16(&b, 0x0203);
    buf_u32(&b, 0x04050607);
    buf_u64(&b, 0x08090a0b0c0d0e0fu);
    buf_varint(&b, 300);
    buf_text(&b, "ab");
    buf_put(&b, NULL, 0);
    buf_printf(&b, "-%d", 9);
    assert_ok(buf_check(&b, "thing", &err));
    assert_int_equal(b.size, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    buf_trim(&b, 1);
    buf_text(&b, "bc");
    assert_string_equal(buf_str(&b), "\001bc");
    assert_int_equal(b.size, 3);
    buf_clear(&b);
    assert_string_equal(buf_str(&b), "");
    buf_fini(&b);
    buf_fini(&b);
    buf_text(&b, "again");
    assert_string_equal(buf_str(&b), "again");
    buf_fini(&b);
}

static void test_maximum(void **state)
{
    struct buf b;
    struct err err;

    (void)state;
    buf_init(&b, 200);
    for (int i = 0; i < 20; i++)
        buf_text(&b, "0123456789");
    assert_ok(buf_check(&b, "thing", &err));
    assert_int_equal(strlen(buf_str(&b)), 200); /* even full there is room for the 0 */
    assert_in_range(b.room, 201, 201);
    buf_u8(&b, 'x');
    assert_int_equal(b.size, 200);
    assert_fails(buf_check(&b, "thing", &err), E_NOSPACE);
    assert_string_equal(err.msg, "thing: longer than the limit of 200 bytes");
    assert_string_equal(buf_str(&b), "");
    buf_trim(&b, 0);
    buf_u8(&b, 'x'); /* there would be room, but it is sticky */
    assert_int_equal(b.size, 0);
    assert_null(buf_grow(&b, SIZE_MAX));
    buf_clear(&b);
    buf_u8(&b, 'x');
    assert_string_equal(buf_str(&b), "x");
    assert_null(buf_grow(&b, SIZE_MAX));
    assert_int_equal(b.failed, E_NOSPACE);
    buf_fini(&b);
}

/* The room is there before the content, and no more of it than was asked for. */
static void test_reserve(void **state)
{
    const uint8_t *at;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_u8(&b, 'x');
    buf_reserve(&b, 700);
    assert_int_equal(b.size, 1);
    assert_int_equal(b.room, 702);
    at = b.data;
    for (int i = 0; i < 700; i++)
        buf_u8(&b, (uint8_t)i);
    assert_ptr_equal(b.data, at);
    assert_int_equal(b.room, 702);
    assert_int_equal(b.data[0], 'x');
    assert_int_equal(b.data[700], 699 % 256);
    buf_reserve(&b, 299);
    assert_int_equal(b.failed, E_OK);
    buf_reserve(&b, 300);
    assert_int_equal(b.failed, E_NOSPACE);
    buf_fini(&b);
}

static void test_printf_over_the_maximum(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 9);
    buf_printf(&b, "%s", "123456789");
    assert_string_equal(buf_str(&b), "123456789");
    buf_printf(&b, "%s", "0");
    assert_int_equal(b.failed, E_NOSPACE);
    assert_int_equal(b.size, 9);
    buf_fini(&b);
}

static void test_zeroed_struct(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_put(&b, NULL, 0);
    assert_int_equal(b.failed, E_OK);
    buf_u8(&b, 1);
    assert_int_equal(b.failed, E_NOSPACE);
    buf_fini(&b);
}

/* Every single allocation fails once: the content stays what it was before the failing append. */
static void test_no_memory(void **state)
{
    int n = 1;

    (void)state;
    for (bool met = true; met; n++) {
        struct buf b;
        struct err err;
        size_t before = 0;

        buf_init(&b, 100000);
        mem_fail_after(n, false);
        for (int i = 0; i < 300 && b.failed == E_OK; i++) {
            before = b.size;
            buf_printf(&b, "line %03d\n", i);
        }
        mem_fail_after(0, false);
        met = b.failed == E_NOMEM;
        if (met) {
            assert_int_equal(b.size, before);
            assert_fails(buf_check(&b, "lines", &err), E_NOMEM);
            assert_non_null(strstr(err.msg, "lines: no memory"));
        } else
            assert_int_equal(b.size, 300 * strlen("line 000\n"));
        buf_fini(&b);
    }
    assert_in_range(n, 5, 30);
}

static void test_grow_in_place(void **state)
{
    struct buf b;
    uint64_t seed = 3;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t total = 0; total < 100000;) {
        size_t n = check_random(&seed) % 3000;
        uint8_t *at = buf_grow(&b, n);

        assert_non_null(at);
        memset(at, (int)(total & 0xff), n);
        total += n;
        assert_int_equal(b.size, total);
        assert_true(b.room > b.size);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_printf_over_the_maximum),
        cmocka_unit_test(test_zeroed_struct),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_grow_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
