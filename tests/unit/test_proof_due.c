/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "proof_due.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static const int64_t now = 1790000000000;

static void test_when(void **state)
{
    (void)state;
    assert_int_equal(proof_due_in_ms(now, DAY_MS, now), DAY_MS);
    assert_int_equal(proof_due_in_ms(now - DAY_MS / 4, DAY_MS, now), DAY_MS / 4 * 3);
    assert_int_equal(proof_due_in_ms(now - DAY_MS, DAY_MS, now), 0);
    assert_true(proof_due_in_ms(now - 9 * (int64_t)DAY_MS, DAY_MS, now) == -8 * (int64_t)DAY_MS);
}

/* Of those that are due, one that never was comes first. */
static void test_never(void **state)
{
    (void)state;
    assert_true(proof_due_in_ms(0, DAY_MS, now) < proof_due_in_ms(1, DAY_MS, now));
    assert_true(proof_due_in_ms(0, UINT64_MAX, now) < 0);
}

/* A clock that was ahead when it was noted is no reason to do without. */
static void test_clock_set_back(void **state)
{
    (void)state;
    assert_int_equal(proof_due_in_ms(now + 1, DAY_MS, now), 0);
    assert_int_equal(proof_due_in_ms(INT64_MAX, DAY_MS, now), 0);
}

static void test_at_most(void **state)
{
    (void)state;
    assert_int_equal(proof_due_at_most(PROOF_DUE_RETRY_MS, 100), 100);
    assert_int_equal(proof_due_at_most(PROOF_DUE_RETRY_MS, DAY_MS), PROOF_DUE_RETRY_MS);
}

static void test_overdue(void **state)
{
    const uint64_t limit = 2ULL * DAY_MS + PROOF_DUE_FIRST_MS;

    (void)state;
    assert_true(proof_due_is_overdue(0, DAY_MS, now, limit + 1));
    assert_false(proof_due_is_overdue(0, DAY_MS, now, limit)); /* it had no chance yet */
    assert_false(proof_due_is_overdue(0, 0, now, limit + 1));  /* there are none */
    assert_true(proof_due_is_overdue(now - (int64_t)limit - 1, DAY_MS, now, limit + 1));
    assert_false(proof_due_is_overdue(now - (int64_t)limit, DAY_MS, now, limit + 1));
    assert_false(proof_due_is_overdue(now - (int64_t)limit - 1, DAY_MS, now, limit)); /* the daemon did not run */
    assert_false(proof_due_is_overdue(now + 5, DAY_MS, now, limit + 1));
    assert_false(proof_due_is_overdue(0, UINT64_MAX, now, limit + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_clock_set_back),
        cmocka_unit_test(test_at_most),
        cmocka_unit_test(test_overdue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
