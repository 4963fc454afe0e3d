/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dashboard.h"

static void parts(void **state)
{
    (void)state;
    assert_true(dashboard_has("/"));
    assert_true(dashboard_has("/dashboard/main.js"));
    assert_true(dashboard_has("/dashboard/app.css"));
    assert_true(dashboard_has("/dashboard/uplot.js"));
    assert_false(dashboard_has(""));
    assert_false(dashboard_has("/dashboard"));
    assert_false(dashboard_has("/dashboard/"));
    assert_false(dashboard_has("/dashboard/../main.js"));
    assert_false(dashboard_has("/dashboard/embed.py"));
    assert_false(dashboard_has("/index.html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
