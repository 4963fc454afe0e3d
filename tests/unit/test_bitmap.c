/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "bitmap.h"

#include <string.h>

enum { MEMBERS = 20000 };

static struct err err;

static void compare(const struct bitmap *b, const bool *model)
{
    uint32_t count = 0, at, from = 0;

    for (uint32_t n = 0; n < MEMBERS; n++) {
        assert_int_equal(bitmap_has(b, n), model[n]);
        count += model[n];
    }
    assert_int_equal(bitmap_count(b), count);
    for (uint32_t n = 0; n < MEMBERS; n++) { /* walking meets the members, in order, and nothing else */
        if (!model[n])
            continue;
        assert_true(bitmap_next(b, from, &at));
        assert_int_equal(at, n);
        assert_true(bitmap_next(b, n, &at)); /* "at or after" */
        assert_int_equal(at, n);
        from = n + 1;
    }
    assert_false(bitmap_next(b, from, &at));
}

static void like_an_array(void **state)
{
    static bool model[MEMBERS];
    struct bitmap *b = bitmap_new();
    uint64_t seed = 5;

    (void)state;
    compare(b, model);
    for (int i = 0; i < 5000; i++) {
        uint32_t n = (uint32_t)(check_random(&seed) % (i < 200 ? 130 : MEMBERS));

        if (check_random(&seed) % 3 == 0) {
            bitmap_remove(b, n);
            model[n] = false;
        } else {
            assert_ok(bitmap_add(b, n, &err));
            model[n] = true;
        }
        if (i % 500 == 0)
            compare(b, model);
    }
    compare(b, model);
    bitmap_free(b);
}

static void edges(void **state)
{
    static const uint32_t members[] = {0, 63, 64, 127, 128, 4095, 4096, UINT32_MAX - 1, UINT32_MAX};
    enum { COUNT = sizeof members / sizeof *members };
    struct bitmap *b = bitmap_new();
    uint32_t at;

    (void)state;
    assert_false(bitmap_next(b, 0, &at));
    assert_false(bitmap_has(b, UINT32_MAX));
    bitmap_remove(b, UINT32_MAX); /* of what is not there: nothing */
    for (unsigned i = 0; i < COUNT; i++) {
        assert_ok(bitmap_add(b, members[i], &err));
        assert_ok(bitmap_add(b, members[i], &err)); /* twice counts once */
        assert_int_equal(bitmap_count(b), i + 1);
    }
    for (unsigned i = 0; i + 1 < COUNT; i++) {
        assert_true(bitmap_next(b, members[i] + 1, &at));
        assert_int_equal(at, members[i + 1]);
    }
    bitmap_remove(b, UINT32_MAX);
    bitmap_remove(b, UINT32_MAX);
    assert_int_equal(bitmap_count(b), COUNT - 1);
    assert_false(bitmap_next(b, UINT32_MAX, &at));
    bitmap_free(b);
    bitmap_free(NULL);
}

static void no_memory(void **state)
{
    struct bitmap *b = bitmap_new();

    (void)state;
    assert_ok(bitmap_add(b, 7, &err));
    mem_fail_after(1, true);
    assert_fails(bitmap_add(b, 1000000, &err), E_NOMEM);
    mem_fail_after(0, false);
    assert_non_null(strstr(err.msg, "no memory for page 10000"));
    assert_int_equal(bitmap_count(b), 1);
    assert_true(bitmap_has(b, 7));
    assert_false(bitmap_has(b, 1000000));
    assert_ok(bitmap_add(b, 1000000, &err));
    assert_int_equal(bitmap_count(b), 2);
    bitmap_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_an_array),
        cmocka_unit_test(edges),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
