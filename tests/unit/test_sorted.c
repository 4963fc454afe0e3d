/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "sorted.h"

struct thing {
    uint8_t before;
    uint64_t wide;
    uint32_t narrow;
    uint8_t behind;
};

enum { THINGS = 40 };

/* The same by looking at each. */
static size_t plainly(const struct thing *things, size_t count, uint64_t key)
{
    size_t at = 0;

    while (at < count && things[at].wide < key)
        at++;
    return at;
}

/* Every number of items, every key that is there, beside it, and beyond; some numbers stand several times. */
static void test_is_the_first_not_below(void **state)
{
    struct thing things[THINGS];

    (void)state;
    for (uint32_t i = 0; i < THINGS; i++)
        things[i] = (struct thing){0xff, 3 * (i / 2) + 2, 3 * (i / 2) + 2, 0xff};
    for (size_t count = 0; count <= THINGS; count++)
        for (uint32_t key = 0; key < 3 * THINGS / 2 + 4; key++) {
            const size_t want = plainly(things, count, key);

            assert_int_equal(SORTED_AT(things, count, wide, key), want);
            assert_int_equal(SORTED_AT(things, count, narrow, key), want);
        }
}

static void test_ends(void **state)
{
    const struct thing *none = NULL, last[] = {{.wide = 1}, {.wide = UINT64_MAX, .narrow = UINT32_MAX}};

    (void)state;
    assert_int_equal(SORTED_AT(none, 0, wide, 7), 0);
    assert_int_equal(SORTED_AT(last, 2, wide, UINT64_MAX), 1);
    assert_int_equal(SORTED_AT(last, 2, wide, UINT64_MAX - 1), 1);
    assert_int_equal(SORTED_AT(last, 2, narrow, UINT32_MAX), 1);
    assert_int_equal(SORTED_AT(last, 2, narrow, (uint64_t)UINT32_MAX + 1), 2); /* above all that it can be */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_the_first_not_below),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
