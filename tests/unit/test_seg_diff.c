/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "page_model.h"
#include "seg_diff.h"

#include <string.h>

/* The same by the definition: byte for byte. */
static bool plain_next(const uint8_t *a, const uint8_t *b, uint32_t size, uint32_t from, struct seg_range *out)
{
    uint32_t last;

    while (from < size && a[from] == b[from])
        from++;
    if (from == size)
        return false;
    last = from;
    for (uint32_t i = from; i < size && i - last <= SEG_DIFF_GAP; i++)
        if (a[i] != b[i])
            last = i;
    *out = (struct seg_range){from, last + 1};
    return true;
}

static void compare(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    struct seg_range got = {0}, want = {0};
    bool more = true;

    while (more) {
        uint32_t from = got.end;

        more = seg_diff_next(a, b, size, from, &got);
        assert_int_equal(more, plain_next(a, b, size, from, &want));
        if (more) {
            assert_int_equal(got.start, want.start);
            assert_int_equal(got.end, want.end);
        }
    }
}

static void test_random_pages(void **state)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 65536};

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct page_model now, before;

        page_model_init(&now, sizes[s], 1, 17 + s);
        page_model_copy(&before, &now);
        for (int i = 0; i < 300; i++) {
            memcpy(before.pages, now.pages, sizes[s]);
            page_model_change(&now, 1);
            compare(now.pages, before.pages, sizes[s]);
        }
        page_model_fini(&now);
        page_model_fini(&before);
    }
}

/* Every pair of places: around words, around the gap, at both ends. */
static void test_two_bytes(void **state)
{
    uint8_t a[512] = {0}, b[512] = {0};

    (void)state;
    for (uint32_t i = 0; i < 512; i += i < 80 ? 1 : 7) {
        for (uint32_t k = i; k < 512; k += k < i + 60 ? 1 : 13) {
            a[i] = a[k] = 1;
            compare(a, b, sizeof a);
            a[i] = a[k] = 0;
        }
    }
    a[511] = 1;
    compare(a, b, sizeof a);
}

/* The limit itself: SEG_DIFF_GAP equal bytes part two ranges, one fewer does not. */
static void test_gap(void **state)
{
    uint8_t a[512] = {0}, b[512] = {0};
    struct seg_range r;

    (void)state;
    a[100] = a[100 + SEG_DIFF_GAP] = 1;
    assert_true(seg_diff_next(a, b, sizeof a, 0, &r));
    assert_int_equal(r.start, 100);
    assert_int_equal(r.end, 100 + SEG_DIFF_GAP + 1);
    assert_false(seg_diff_next(a, b, sizeof a, r.end, &r));
    a[100 + SEG_DIFF_GAP] = 0;
    a[100 + SEG_DIFF_GAP + 1] = 1;
    assert_true(seg_diff_next(a, b, sizeof a, 0, &r));
    assert_int_equal(r.end, 101);
    assert_true(seg_diff_next(a, b, sizeof a, r.end, &r));
    assert_int_equal(r.start, 100 + SEG_DIFF_GAP + 1);
}

static void test_same_and_different(void **state)
{
    uint8_t a[512], b[512];
    struct seg_range r;

    (void)state;
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_false(seg_diff_next(a, b, sizeof a, 0, &r));
    memset(b, 8, sizeof b);
    assert_true(seg_diff_next(a, b, sizeof a, 0, &r));
    assert_int_equal(r.start, 0);
    assert_int_equal(r.end, sizeof a);
    assert_false(seg_diff_next(a, b, sizeof a, r.end, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_pages),
        cmocka_unit_test(test_two_bytes),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_same_and_different),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
