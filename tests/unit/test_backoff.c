/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backoff.h"

static void test_grows_to_the_maximum(void **state)
{
    static const uint32_t full[] = {100, 200, 400, 800, 1000, 1000, 1000};

    (void)state;
    for (int round = 0; round < 50; round++) {
        struct backoff b = {.base_ms = 100, .max_ms = 1000};

        for (size_t i = 0; i < sizeof full / sizeof full[0]; i++)
            assert_in_range(backoff_next_ms(&b), full[i] / 2, full[i]);
        assert_int_equal(b.failure_count, sizeof full / sizeof full[0]);
        backoff_reset(&b);
        assert_int_equal(b.failure_count, 0);
        assert_in_range(backoff_next_ms(&b), 50, 100);
    }
}

static void test_jitter(void **state)
{
    uint32_t least = UINT32_MAX, most = 0;

    (void)state;
    for (int i = 0; i < 500; i++) {
        struct backoff b = {.base_ms = 1000, .max_ms = 1000};
        uint32_t ms = backoff_next_ms(&b);

        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_in_range(least, 500, 550);
    assert_in_range(most, 950, 1000);
}

static void test_extremes(void **state)
{
    struct backoff none = {0}, huge = {.base_ms = UINT32_MAX, .max_ms = UINT32_MAX, .failure_count = UINT32_MAX};
    struct backoff below = {.base_ms = 500, .max_ms = 100};

    (void)state;
    assert_int_equal(backoff_next_ms(&none), 0);
    assert_int_equal(backoff_next_ms(&none), 0);
    assert_in_range(backoff_next_ms(&huge), UINT32_MAX / 2, UINT32_MAX);
    assert_int_equal(huge.failure_count, UINT32_MAX);
    assert_in_range(backoff_next_ms(&below), 50, 100);
    for (int i = 0; i < 100; i++)
        assert_in_range(backoff_next_ms(&below), 50, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_to_the_maximum),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
