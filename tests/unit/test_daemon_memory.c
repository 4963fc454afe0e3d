/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "daemon_memory.h"

#include <stdio.h>
#include <unistd.h>

enum { SIZE = 1 << 20, PAGE = 4096 };

/* In the program's file, one in a segment that nobody can write to, one in one that has been written to. */
static const uint8_t constant[SIZE] = {[0] = 7, [SIZE / 2] = 8, [SIZE - 1] = 9};
static uint8_t variable[SIZE] = {[0] = 1, [SIZE - 1] = 2};

static long long file_pages_kb(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    long long kb = -1;
    char line[256];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "RssFile: %lld", &kb);
    (void)fclose(f);
    assert_true(kb >= 0);
    return kb;
}

static unsigned sum_of(const uint8_t *bytes)
{
    const volatile uint8_t *at = bytes; /* really read */
    unsigned sum = 0;

    for (size_t i = 0; i < SIZE; i++)
        sum += at[i];
    return sum;
}

static void test_started(void **state)
{
    long long before;

    (void)state;
    for (size_t i = 0; i < SIZE; i += PAGE)
        variable[i] = 3;
    assert_int_equal(sum_of(constant), 7 + 8 + 9);
    before = file_pages_kb();
    assert_true(before >= SIZE >> 10);
    daemon_memory_started();
    assert_true(file_pages_kb() <= before - (SIZE >> 10) * 3 / 4); /* what is read on the way comes back at once */
    assert_int_equal(sum_of(constant), 7 + 8 + 9);
    assert_int_equal(sum_of(variable), SIZE / PAGE * 3 + 2);
    daemon_memory_started(); /* any number of times */
    assert_int_equal(sum_of(constant), 7 + 8 + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
