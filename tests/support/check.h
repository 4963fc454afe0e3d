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

/* The next number of a seeded sequence (splitmix64), so that a failing walk can be repeated. */
static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
