/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "check_report.h"

#include <string.h>

static void test_lines(void **state)
{
    struct check_report r = {0};

    (void)state;
    check_report_add(&r, "put", CHECK_OK, "%s", "fine");
    check_report_add(&r, "get", CHECK_FAILED, "first\nsecond\t\x1b[31m");
    check_report_add(&r, "list", CHECK_WARNING, "%d", 7);
    check_report_add(&r, "clock", CHECK_SKIPPED, "no");
    assert_int_equal(r.count, 4);
    assert_int_equal(check_report_count(&r, CHECK_FAILED), 1);
    assert_int_equal(check_report_count(&r, CHECK_WARNING), 1);
    assert_string_equal(check_report_find(&r, "get")->text, "first second  [31m"); /* one line, no control characters */
    assert_string_equal(check_report_find(&r, "list")->text, "7");
    assert_null(check_report_find(&r, "pu"));
    assert_string_equal(check_report_word(CHECK_FAILED), "failed");
    assert_string_equal(check_report_word(CHECK_SKIPPED), "skipped");
    check_report_fini(&r);
    assert_int_equal(r.count, 0);
}

/* What somebody else said may be of any length. */
static void test_long_text(void **state)
{
    struct check_report r = {0};
    char text[2 * CHECK_REPORT_TEXT_MAX];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    check_report_add(&r, "put", CHECK_OK, "%s", text);
    assert_int_equal(strlen(r.items[0].text), CHECK_REPORT_TEXT_MAX - 1);
    for (int i = 1; i < CHECK_REPORT_MAX; i++)
        check_report_add(&r, "more", CHECK_OK, "%d", i);
    assert_int_equal(check_report_count(&r, CHECK_OK), CHECK_REPORT_MAX);
    check_report_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
