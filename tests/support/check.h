/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - cmocka with the headers it needs, in the order it needs them, and what tests share.  Tests include this
 * first.
 */
#ifndef CHECK_H
#define CHECK_H

/* cmocka.h 1.1.5 does not include what it uses, so the order matters. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "rc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The result is looked at once, so the expression may be a call. */
#define assert_ok(rc)          assert_int_equal((rc).code, E_OK)
#define assert_fails(rc, want) assert_int_equal((rc).code, want)
/* Like assert_ok(), and prints the message first when it fails. */
#define assert_ok_err(rc, err)                                          \
    do {                                                                \
        if (rc_failed(rc)) {                                            \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, (err)->msg); \
            fail();                                                     \
        }                                                               \
    } while (0)

/*
 * What a machine cannot try is passed over with a reason: `check_skip("not root")` leaves the test.  cmocka's skip()
 * writes "not ok", which is a failure for whoever reads TAP; but the name of a test is written behind its run, and
 * there TAP wants the word and the reason, so the name gets them.
 */
enum { CHECK_TESTS_MAX = 128, CHECK_NAME_SIZE = 300 };
static struct CMUnitTest check_tests[CHECK_TESTS_MAX];
static size_t check_test_count;

static inline void check_note_skipped(const char *test, const char *why)
{
    static char names[CHECK_TESTS_MAX][CHECK_NAME_SIZE];

    for (size_t i = 0; i < check_test_count; i++) {
        if (strcmp(check_tests[i].name, test) != 0)
            continue;
        (void)snprintf(names[i], sizeof names[i], "%s # SKIP %s", test, why); /* a long reason is cut */
        check_tests[i].name = names[i];
        return;
    }
    fail_msg("%s is no test, so it cannot be passed over: %s", test, why);
}

#define check_skip(why)                    \
    do {                                   \
        check_note_skipped(__func__, why); \
        return;                            \
    } while (0)

static inline int check_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
    CMFixtureFunction teardown)
{
    assert(count <= CHECK_TESTS_MAX);
    memcpy(check_tests, tests, count * sizeof *tests);
    check_test_count = count;
    return _cmocka_run_group_tests(group, check_tests, count, setup, teardown);
}

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown) \
    check_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

/* The next number of a seeded sequence (splitmix64), so that a failing walk can be repeated. */
static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
