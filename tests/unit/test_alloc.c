/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"

#include <string.h>

static void test_zeroed(void **state)
{
    static const uint8_t zeros[100];
    uint8_t *a = mem_new(100), *b = mem_try(20, 5), *c = mem_new(0), *d = mem_try(0, 8);

    (void)state;
    assert_memory_equal(a, zeros, 100);
    assert_memory_equal(b, zeros, 100);
    assert_non_null(c);
    assert_non_null(d);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
    mem_free(NULL);
}

static void test_overflow_is_refused(void **state)
{
    char *p = mem_strdup("kept");

    (void)state;
    assert_null(mem_try(SIZE_MAX / 2, 3));
    assert_null(mem_try(SIZE_MAX, 1));
    assert_null(mem_resize(p, SIZE_MAX / 2, 3));
    assert_null(mem_resize(p, PTRDIFF_MAX, 2));
    assert_string_equal(p, "kept");
    p = mem_resize(p, 100, 2);
    assert_string_equal(p, "kept");
    p = mem_resize(p, 0, 2); /* not a free */
    assert_non_null(p);
    mem_free(p);
}

static void test_one_more(void **state)
{
    CLEANUP(mem_freep) uint32_t *items = NULL;
    size_t count = 0, room = 0, resized = 0, full = SIZE_MAX / 2 + 1;

    (void)state;
    for (; count < 1000; count++) {
        size_t before = room;

        assert_true(mem_grow(&items, count, &room, sizeof *items));
        assert_true(room > count && room >= before);
        resized += room != before;
        items[count] = (uint32_t)(count * 7);
    }
    assert_true(resized < 10); /* it doubles */
    for (size_t i = 0; i < count; i++)
        assert_int_equal(items[i], i * 7);
    assert_false(mem_grow(&items, full, &full, sizeof *items)); /* twice of that is no number */
    while (count < room)
        items[count++] = 1;
    mem_fail_after(1, true);
    assert_false(mem_grow(&items, count, &room, sizeof *items));
    mem_fail_after(0, false);
    assert_int_equal(room, count); /* as before */
    assert_int_equal(items[999], 6993);
}

static void test_strings(void **state)
{
    char *a = mem_strdup("abc"), *b = mem_printf("%s-%d", a, 7);

    (void)state;
    assert_string_equal(b, "abc-7");
    mem_freep(&a);
    assert_null(a);
    mem_freep(&a);
    mem_free(b);
}

/* Which of ten calls fail. */
static unsigned failing(long n, bool forever)
{
    unsigned bits = 0;

    mem_fail_after(n, forever);
    for (int i = 0; i < 10; i++) {
        void *p = i % 2 == 0 ? mem_try(1, 1) : mem_resize(NULL, 1, 1);

        if (p == NULL)
            bits |= 1u << i;
        mem_free(p);
    }
    mem_fail_after(0, false);
    return bits;
}

static void test_told_to_fail(void **state)
{
    (void)state;
    assert_int_equal(failing(0, false), 0);
    assert_int_equal(failing(0, true), 0);
    assert_int_equal(failing(1, false), 1);
    assert_int_equal(failing(4, false), 1 << 3);
    assert_int_equal(failing(10, false), 1 << 9);
    assert_int_equal(failing(11, false), 0);
    assert_int_equal(failing(1, true), 0x3ff);
    assert_int_equal(failing(4, true), 0x3f8);
    assert_int_equal(failing(0, false), 0); /* switched off again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_overflow_is_refused),
        cmocka_unit_test(test_one_more),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_told_to_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
