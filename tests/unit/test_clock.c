/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "clock.h"

#include <time.h>

static void test_wall_is_the_system_time(void **state)
{
    int64_t before = (int64_t)time(NULL) * 1000, now = clock_wall_ms(&clock_real),
            after = (int64_t)(time(NULL) + 1) * 1000;

    (void)state;
    /* time() may be a tick behind. */
    assert_true(now >= before - 1000);
    assert_true(now <= after + 1000);
}

static uint64_t system_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* As many as pass by the system's clock, which is asked before and behind: the machine may stand still in between. */
static void test_mono_counts_microseconds(void **state)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t before = system_us(), a = clock_mono_us(&clock_real), ms = clock_mono_ms(&clock_real), b;

    (void)state;
    assert_int_equal(nanosleep(&pause, NULL), 0);
    b = clock_mono_us(&clock_real);
    assert_in_range(b - a, 20000, system_us() - before + 1);
    assert_in_range(ms, a / 1000, b / 1000);
}

static int64_t fixed_wall(const struct clock *c)
{
    (void)c;
    return -5;
}

static uint64_t fixed_mono(const struct clock *c)
{
    (void)c;
    return 123456;
}

static void test_replaceable(void **state)
{
    const struct clock c = {fixed_wall, fixed_mono};

    (void)state;
    assert_true(clock_wall_ms(&c) == -5);
    assert_int_equal(clock_mono_us(&c), 123456);
    assert_int_equal(clock_mono_ms(&c), 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wall_is_the_system_time),
        cmocka_unit_test(test_mono_counts_microseconds),
        cmocka_unit_test(test_replaceable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
