/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "retention_period.h"
#include "strx.h"

static int64_t at(const char *text)
{
    struct err err;
    int64_t ms = 0;

    assert_ok_err(strx_time_ms(text, &ms, &err), &err);
    return ms;
}

static void assert_begins(enum retention_kind kind, const char *time, const char *begin)
{
    char text[STRX_TIME_SIZE];

    assert_string_equal(
        strx_format_time(retention_period_begin(kind, retention_period_of(kind, at(time))), text), begin);
}

static void test_begins(void **state)
{
    (void)state;
    assert_begins(RETENTION_DAY, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000Z");
    assert_begins(RETENTION_DAY, "2026-02-28T23:59:59.999Z", "2026-02-28T00:00:00.000Z");
    assert_begins(RETENTION_WEEK, "2026-03-01T12:00:00Z", "2026-02-23T00:00:00.000Z"); /* a Sunday */
    assert_begins(RETENTION_WEEK, "2026-03-02T00:00:00Z", "2026-03-02T00:00:00.000Z"); /* a Monday */
    assert_begins(RETENTION_WEEK, "1970-01-01T00:00:00Z", "1969-12-29T00:00:00.000Z");
    assert_begins(RETENTION_MONTH, "2024-02-29T23:59:59Z", "2024-02-01T00:00:00.000Z");
    assert_begins(RETENTION_MONTH, "2025-12-31T23:59:59Z", "2025-12-01T00:00:00.000Z");
    assert_begins(RETENTION_MONTH, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z");
    assert_begins(RETENTION_MONTH, "2000-03-01T00:00:00Z", "2000-03-01T00:00:00.000Z");
    assert_begins(RETENTION_MONTH, "2100-03-01T00:00:00Z", "2100-03-01T00:00:00.000Z");
}

/* One after the other, without gaps, and each time in its own. */
static void test_periods_have_no_gaps(void **state)
{
    (void)state;
    for (int kind = 0; kind < RETENTION_KIND_COUNT; kind++)
        for (int64_t p = -3000; p < 3000; p++) {
            int64_t begin = retention_period_begin((enum retention_kind)kind, p);

            assert_true(begin < retention_period_begin((enum retention_kind)kind, p + 1));
            assert_int_equal(retention_period_of((enum retention_kind)kind, begin), p);
            assert_int_equal(retention_period_of((enum retention_kind)kind, begin - 1), p - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins),
        cmocka_unit_test(test_periods_have_no_gaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
