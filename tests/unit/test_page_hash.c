/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "page_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_MAX = 3 * PAGE_HASH_CHUNK };

/* The same, naively. */
struct model {
    uint64_t hash[PAGES_MAX + 1];
    uint32_t count;
};

static struct model model;

static void model_resize(uint32_t count)
{
    for (uint32_t i = count + 1; i <= model.count; i++)
        model.hash[i] = 0;
    model.count = count;
}

static void assert_like_model(const struct page_hash *h, uint64_t *seed)
{
    uint64_t sum = 0;

    assert_int_equal(page_hash_count(h), model.count);
    for (uint32_t i = 1; i <= model.count; i++)
        sum ^= model.hash[i];
    assert_true(page_hash_checksum(h) == sum);
    for (int i = 0; i < 500; i++) {
        uint32_t pgno = (uint32_t)(check_random(seed) % (PAGES_MAX + 1));

        assert_true(page_hash_get(h, pgno) == model.hash[pgno]);
    }
}

static void assert_all_like_model(const struct page_hash *h)
{
    for (uint32_t i = 0; i <= PAGES_MAX; i++)
        if (page_hash_get(h, i) != model.hash[i])
            fail_msg("page %u", i);
}

static void test_random_walk(void **state)
{
    struct page_hash *h = page_hash_new();
    uint64_t seed = 1;
    struct err err;

    (void)state;
    memset(&model, 0, sizeof model);
    for (int step = 0; step < 2000; step++) {
        uint64_t what = check_random(&seed) % 100;
        /* Mostly near the end and near chunk borders, where the mistakes would be. */
        uint32_t span = what % 2 == 0 ? 300 : PAGES_MAX, base = what % 3 == 0 ? PAGE_HASH_CHUNK - 150 : 0;
        uint32_t pgno = 1 + (uint32_t)((base + check_random(&seed) % span) % PAGES_MAX);

        if (what < 2) {
            page_hash_clear(h);
            model_resize(0);
        } else if (what < 12) {
            assert_ok(page_hash_resize(h, pgno, &err));
            model_resize(pgno);
        } else {
            uint64_t hash = what < 20 ? 0 : check_random(&seed);

            assert_ok(page_hash_set(h, pgno, hash, &err));
            model.hash[pgno] = hash;
            if (pgno > model.count)
                model.count = pgno;
        }
        if (step % 20 == 0)
            assert_like_model(h, &seed);
    }
    assert_all_like_model(h);
    page_hash_freep(&h);
    assert_null(h);
    page_hash_free(NULL);
}

static void test_shrinking_forgets(void **state)
{
    struct page_hash *h = page_hash_new();
    struct err err;

    (void)state;
    assert_ok(page_hash_set(h, 10, 0xa0, &err));
    assert_ok(page_hash_set(h, 20, 0xb0, &err));
    assert_true(page_hash_checksum(h) == (0xa0 ^ 0xb0));
    assert_ok(page_hash_resize(h, 19, &err));
    assert_true(page_hash_checksum(h) == 0xa0);
    assert_int_equal(page_hash_get(h, 20), 0);
    assert_ok(page_hash_resize(h, 30, &err));
    assert_int_equal(page_hash_get(h, 20), 0); /* it does not come back */
    assert_true(page_hash_checksum(h) == 0xa0);
    page_hash_free(h);
}

static void test_limits(void **state)
{
    struct page_hash *h = page_hash_new();
    struct err err;

    (void)state;
    assert_fails(page_hash_set(h, 0, 1, &err), E_CORRUPT);
    assert_fails(page_hash_set(h, UINT32_MAX, 1, &err), E_CORRUPT);
    assert_fails(page_hash_resize(h, UINT32_MAX, &err), E_CORRUPT);
    assert_int_equal(page_hash_count(h), 0);
    assert_ok(page_hash_resize(h, DBFMT_PAGE_COUNT_MAX, &err)); /* costs nothing */
    assert_int_equal(page_hash_get(h, DBFMT_PAGE_COUNT_MAX), 0);
    assert_ok(page_hash_set(h, DBFMT_PAGE_COUNT_MAX, 5, &err));
    assert_true(page_hash_get(h, DBFMT_PAGE_COUNT_MAX) == 5);
    assert_int_equal(page_hash_get(h, UINT32_MAX), 0);
    assert_ok(page_hash_resize(h, 1, &err));
    assert_int_equal(page_hash_checksum(h), 0);
    page_hash_free(h);
}

/* Each allocation fails once; what was there before stays. */
static void test_no_memory(void **state)
{
    static const uint32_t pages[] = {1, 64, 65, 1000, PAGE_HASH_CHUNK, PAGE_HASH_CHUNK + 1, 10 * PAGE_HASH_CHUNK};
    int n = 1;

    (void)state;
    for (bool met = true; met; n++) {
        struct page_hash *h = page_hash_new();
        uint64_t sum = 0;
        struct err err;

        met = false;
        mem_fail_after(n, false);
        for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
            uint32_t before = page_hash_count(h);
            struct rc rc = page_hash_set(h, pages[i], 1u << i, &err);

            if (rc_failed(rc)) {
                met = true;
                assert_fails(rc, E_NOMEM);
                assert_int_equal(page_hash_count(h), before);
                assert_true(page_hash_checksum(h) == sum);
                assert_ok(page_hash_set(h, pages[i], 1u << i, &err)); /* the next try works */
            }
            sum ^= 1u << i;
        }
        mem_fail_after(0, false);
        assert_true(page_hash_checksum(h) == sum);
        page_hash_free(h);
    }
    assert_in_range(n, 5, 30);
}

static int make_file(void)
{
    char path[] = "/tmp/test_page_hash.XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    return fd;
}

static void test_file_round_trip(void **state)
{
    static const uint32_t counts[] = {0, 1, 2, 8191, 8192, 8193, PAGE_HASH_CHUNK, PAGE_HASH_CHUNK + 1, 150000};
    struct page_hash *back = page_hash_new();
    uint64_t seed = 7;
    struct err err;

    (void)state;
    assert_ok(page_hash_set(back, 5, 5, &err)); /* is replaced */
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct page_hash *h = page_hash_new();
        int fd = make_file();
        struct fault_fsys f;

        memset(&model, 0, sizeof model);
        assert_ok(page_hash_resize(h, counts[i], &err));
        model_resize(counts[i]);
        for (uint32_t k = 1; k <= counts[i]; k += 1 + (uint32_t)(check_random(&seed) % 3)) {
            model.hash[k] = check_random(&seed);
            assert_ok(page_hash_set(h, k, model.hash[k], &err));
        }
        fault_fsys_init(&f, FAULT_ONCE, 0, 0);
        f.short_io = true;
        assert_ok_err(page_hash_write(h, &f.fs, fd, "hashes", 64, &err), &err);
        assert_ok_err(page_hash_read(back, &f.fs, fd, "hashes", 64, counts[i], &err), &err);
        assert_like_model(back, &seed);
        assert_all_like_model(back);
        assert_int_equal(lseek(fd, 0, SEEK_END), counts[i] == 0 ? 0 : 64 + (off_t)counts[i] * 8);
        assert_int_equal(close(fd), 0);
        page_hash_free(h);
    }
    page_hash_free(back);
}

static void test_file_layout(void **state)
{
    static const uint8_t want[16] = {8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0x80};
    struct page_hash *h = page_hash_new();
    uint8_t bytes[16];
    struct err err;
    int fd = make_file();

    (void)state;
    assert_ok(page_hash_set(h, 1, 0x0102030405060708, &err));
    assert_ok(page_hash_set(h, 2, 1ull << 63, &err));
    assert_ok(page_hash_write(h, &fsys_real, fd, "hashes", 3, &err));
    assert_int_equal(pread(fd, bytes, 16, 3), 16);
    assert_memory_equal(bytes, want, 16);
    assert_int_equal(close(fd), 0);
    page_hash_free(h);
}

static void test_failing_files(void **state)
{
    struct page_hash *h = page_hash_new(), *back = page_hash_new();
    struct err err;
    int fd = make_file(), n;

    (void)state;
    assert_ok(page_hash_set(h, 20000, 77, &err));
    assert_ok(page_hash_set(back, 3, 33, &err));
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = page_hash_write(h, &f.fs, fd, "hashes", 0, &err);
        if (!rc_failed(rc))
            rc = page_hash_read(back, &f.fs, fd, "hashes", 0, 20000, &err);
        if (f.fired == 0)
            break;
        assert_fails(rc, E_IO);
        assert_true(page_hash_get(back, 3) == 33); /* what was there before stays */
        assert_int_equal(page_hash_count(back), 3);
    }
    assert_int_equal(n, 3 + 3 + 1);
    assert_true(page_hash_checksum(back) == 77);
    assert_fails(page_hash_read(back, &fsys_real, fd, "hashes", 0, 20001, &err), E_CORRUPT);
    assert_true(page_hash_checksum(back) == 77);
    assert_fails(page_hash_read(back, &fsys_real, fd, "hashes", 0, DBFMT_PAGE_COUNT_MAX, &err), E_CORRUPT);
    assert_fails(page_hash_read(back, &fsys_real, fd, "hashes", 0, UINT32_MAX, &err), E_CORRUPT);
    assert_int_equal(page_hash_count(back), 20000);
    assert_int_equal(close(fd), 0);
    page_hash_free(h);
    page_hash_free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_shrinking_forgets),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_file_round_trip),
        cmocka_unit_test(test_file_layout),
        cmocka_unit_test(test_failing_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
