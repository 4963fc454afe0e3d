/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"

#include <string.h>

/* Values of the xxhash project: the stored formats depend on them. */
static void test_known_values(void **state)
{
    (void)state;
    assert_true(digest_bytes("", 0) == 0x2d06800538d394c2u);
    assert_true(digest_bytes(NULL, 0) == 0x2d06800538d394c2u);
    assert_true(digest_bytes("a", 1) == 0xe6c632b61e964e1fu);
    assert_true(digest_bytes("abc", 3) == 0x78af5f94892f3950u);
}

static void test_pieces(void **state)
{
    uint8_t bytes[5000];
    uint64_t seed = 5;
    struct digest *d = digest_new();

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)check_random(&seed);
    for (size_t n = 0; n <= sizeof bytes; n += n < 300 ? 1 : 777) {
        digest_reset(d);
        digest_update(d, NULL, 0);
        for (size_t at = 0, step; at < n; at += step) {
            step = check_random(&seed) % 400;
            step = step < n - at ? step : n - at;
            digest_update(d, bytes + at, step);
        }
        assert_true(digest_value(d) == digest_bytes(bytes, n));
        assert_true(digest_value(d) == digest_bytes(bytes, n)); /* asking does not change it */
    }
    digest_free(d);
    digest_free(NULL);
}

static void test_pages(void **state)
{
    uint8_t page[4096] = {0};

    (void)state;
    assert_true(digest_page(1, page, sizeof page) != digest_page(2, page, sizeof page));
    assert_true(digest_page(0, page, sizeof page) == digest_bytes(page, sizeof page)); /* seed 0 is no seed */
    /* Part of the format: computed with xxhsum's library, XXH3_64bits_withSeed(4096 zeros, 7). */
    assert_true(digest_page(7, page, sizeof page) == 0x73ca3cc0d1a2e107u);
    for (size_t i = 0; i < sizeof page; i += 13) {
        uint64_t before = digest_page(9, page, sizeof page);

        page[i] ^= 0x40;
        assert_true(digest_page(9, page, sizeof page) != before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
