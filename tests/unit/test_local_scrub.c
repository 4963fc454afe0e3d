/* SPDX-License-Identifier: Apache-2.0 */
#include "local_kit.h"

#include "local_scrub.h"

static struct local_scrub some(void)
{
    return (struct local_scrub){.next = UINT64_C(1) << 32,
        .began_ms = 1790000000001,
        .passed_ms = 1790000000002,
        .passed_pages = UINT32_MAX,
        .due_ms = 1790000000003,
        .inode = 77,
        .unlisted = 5,
        .unlisted_last = 9};
}

static void assert_first(const struct local_scrub *n)
{
    assert_int_equal(n->next, 1);
    assert_int_equal(n->passed_ms, 0);
    assert_int_equal(n->count, 0);
    assert_null(n->pages);
    assert_int_equal(local_scrub_damaged(n), 0);
}

static void test_round_trip(void **state)
{
    struct local_scrub n = some(), got;
    struct local_scrub_page *p;
    struct err err;

    (void)state;
    local_scrub_read(&fsys_real, dir, &got);
    assert_first(&got);
    p = local_scrub_add(&n, 3);
    *p = (struct local_scrub_page){3, UINT64_MAX, 1, UINT64_C(1) << 40, 1790000000000, LOCAL_SCRUB_DAMAGED, true};
    p = local_scrub_add(&n, UINT32_MAX);
    p->want = 2;
    p = local_scrub_add(&n, 4);   /* between them */
    p->fate = LOCAL_SCRUB_MENDED; /* told, or nearly: nothing to keep */
    assert_ptr_equal(local_scrub_find(&n, 4), &n.pages[1]);
    assert_null(local_scrub_find(&n, 5));
    assert_int_equal(local_scrub_damaged(&n), 11);
    assert_ok_err(local_scrub_write(&fsys_real, dir, &n, &err), &err);
    local_scrub_read(&fsys_real, dir, &got);
    assert_int_equal(got.count, 2);
    assert_memory_equal(&got, &n, offsetof(struct local_scrub, pages));
    n.pages[0].told = false;
    assert_memory_equal(&got.pages[0], &n.pages[0], sizeof *p);
    assert_memory_equal(&got.pages[1], &n.pages[2], sizeof *p);
    assert_ptr_equal(local_scrub_find(&got, UINT32_MAX), &got.pages[1]);
    assert_null(local_scrub_find(&got, 4));
    local_scrub_fini(&got);
    local_scrub_fini(&n);
}

static void test_bounded(void **state)
{
    struct local_scrub n = {.next = 1}, got;
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < LOCAL_SCRUB_PAGES_MAX; i++)
        *local_scrub_add(&n, UINT32_MAX - i) = (struct local_scrub_page){
            UINT32_MAX - i, UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MAX, LOCAL_SCRUB_DAMAGED, false};
    assert_null(local_scrub_add(&n, 7));
    assert_ok_err(local_scrub_write(&fsys_real, dir, &n, &err), &err);
    local_scrub_read(&fsys_real, dir, &got);
    assert_int_equal(got.count, LOCAL_SCRUB_PAGES_MAX);
    assert_memory_equal(got.pages, n.pages, LOCAL_SCRUB_PAGES_MAX * sizeof *n.pages);
    local_scrub_fini(&got);
    local_scrub_fini(&n);
}

#define HEAD "weir scrubbed 1\nnext 1\nbegan 2\npassed 3\npassed-pages 4\ndue 5\ninode 6\nunlisted 7\nunlisted-last 8\n"

static void test_nonsense_is_nothing(void **state)
{
    static const char *const texts[] = {"", "weir scrubbed 1\n", "weir scrubbed 2\nnext 1\n", HEAD, HEAD "end",
        HEAD "end\nmore\n", HEAD "damaged\nend\n", HEAD "damaged 1 2 3 4\nend\n", HEAD "damaged 1 2 3 4 5 6\nend\n",
        HEAD "damaged 0 2 3 4 5\nend\n", HEAD "damaged 4294967296 2 3 4 5\nend\n", HEAD "damaged 1 x 3 4 5\nend\n",
        HEAD "damaged 1 2 3 4 5\ndamaged 1 2 3 4 5\nend\n", HEAD "damaged 1 2 3 4 9223372036854775808\nend\n",
        HEAD "torn 1 2 3 4 5\nend\n", "weir scrubbed 1\nbegan 2\nnext 1\n"};
    struct local_scrub got;

    (void)state;
    put("scrubbed", HEAD "damaged 9 2 3 4 5\nend\n", sizeof HEAD "damaged 9 2 3 4 5\nend\n" - 1);
    local_scrub_read(&fsys_real, dir, &got);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.pages[0].pgno, 9);
    local_scrub_fini(&got);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("scrubbed", texts[i], strlen(texts[i]));
        local_scrub_read(&fsys_real, dir, &got);
        assert_first(&got);
    }
    put("scrubbed", HEAD "end\n\0", sizeof HEAD "end\n");
    local_scrub_read(&fsys_real, dir, &got);
    assert_first(&got);
}

static struct rc write_some(const struct fsys *fs, bool after, struct err *err)
{
    struct local_scrub n = some();

    n.next += after;
    return local_scrub_write(fs, dir, &n, err);
}

static bool is_some(bool after)
{
    struct local_scrub got;

    local_scrub_read(&fsys_real, dir, &got);
    return got.next == some().next + after;
}

static void test_faults(void **state)
{
    (void)state;
    replaced_whatever_fails(write_some, is_some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_bounded, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_nonsense_is_nothing, make_dir_in_memory, remove_dir),
        cmocka_unit_test_setup_teardown(test_faults, make_dir_in_memory, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
