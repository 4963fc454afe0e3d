/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "rng.h"

#include <string.h>

static void test_every_byte_is_filled(void **state)
{
    enum { SIZE = 1000, ROUNDS = 8 };
    uint8_t seen[SIZE] = {0}, bytes[SIZE + 1];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        memset(bytes, 0, sizeof bytes);
        rng_bytes(bytes, SIZE);
        assert_int_equal(bytes[SIZE], 0);
        for (size_t k = 0; k < SIZE; k++)
            seen[k] |= bytes[k];
    }
    for (size_t k = 0; k < SIZE; k++)
        assert_int_not_equal(seen[k], 0); /* by chance once in 10^16 */
    rng_bytes(bytes, 0);
}

static void test_numbers_differ(void **state)
{
    uint64_t ones = 0, zeros = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        uint64_t v = rng_u64();

        ones |= v;
        zeros |= ~v;
    }
    assert_true(ones == UINT64_MAX);
    assert_true(zeros == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_is_filled),
        cmocka_unit_test(test_numbers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
