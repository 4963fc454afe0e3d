/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dbfmt.h"
#include "digest.h"
#include "fault_fsys.h"
#include "restore_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 1024, PAGES = 700, LOOSE = 100 };

static struct {
    char path[64];
    uint8_t *bytes;
    int fd;
    struct err err;
} kit;

static int set_up(void **state)
{
    uint64_t seed = 7;

    (void)state;
    (void)snprintf(kit.path, sizeof kit.path, "/tmp/weir-restore-local-XXXXXX");
    kit.fd = mkstemp(kit.path);
    assert_true(kit.fd >= 0);
    kit.bytes = malloc(PAGES * PAGE + LOOSE);
    for (size_t i = 0; i < PAGES * PAGE + LOOSE; i++)
        kit.bytes[i] = (uint8_t)check_random(&seed);
    assert_int_equal(write(kit.fd, kit.bytes, PAGES * PAGE + LOOSE), PAGES * PAGE + LOOSE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(kit.bytes);
    assert_int_equal(close(kit.fd), 0);
    return unlink(kit.path);
}

static struct restore_local file(const struct fsys *fs)
{
    return (struct restore_local){.fs = fs, .path = strdup(kit.path), .fd = kit.fd, .size = PAGES * PAGE + LOOSE};
}

static uint64_t hash_at(uint32_t pgno, uint32_t page_size)
{
    return digest_page(pgno, kit.bytes + (size_t)(pgno - 1) * page_size, page_size);
}

static void test_hashes(void **state)
{
    struct restore_local l = file(&fsys_real);
    uint64_t sum = 0;

    (void)state;
    assert_ok_err(restore_local_hash(&l, PAGE, &kit.err), &kit.err);
    assert_int_equal(l.page_count, PAGES);
    for (uint32_t p = 1; p <= PAGES; p++) {
        assert_true(l.hashes[p - 1] == hash_at(p, PAGE));
        sum ^= l.hashes[p - 1];
        assert_true(restore_local_checksum(&l, p) == sum);
    }
    assert_true(restore_local_checksum(&l, PAGES + 1) == 0);
    assert_ok_err(restore_local_hash(&l, 512, &kit.err), &kit.err); /* in other pages */
    assert_int_equal(l.page_count, 2 * PAGES);
    assert_true(l.hashes[2 * PAGES - 1] == hash_at(2 * PAGES, 512));
    restore_local_fini(&l);
}

/* Pages that have changed meanwhile are not handed out. */
static void test_read(void **state)
{
    struct restore_local l = file(&fsys_real);
    uint8_t *pages = malloc(10 * PAGE);
    bool same = false;

    (void)state;
    assert_ok_err(restore_local_hash(&l, PAGE, &kit.err), &kit.err);
    restore_local_read(&l, 300, 10, pages, &same);
    assert_true(same);
    assert_memory_equal(pages, kit.bytes + 299 * PAGE, 10 * PAGE);
    assert_int_equal(pwrite(kit.fd, "x", 1, 308 * PAGE + 5), 1);
    restore_local_read(&l, 300, 10, pages, &same);
    assert_false(same);
    restore_local_read(&l, 300, 9, pages, &same);
    assert_true(same);
    assert_int_equal(ftruncate(kit.fd, 301 * PAGE), 0);
    restore_local_read(&l, 300, 9, pages, &same);
    assert_false(same);
    free(pages);
    restore_local_fini(&l);
}

/* A disk that fails in the midst of it: what was read until then counts. */
static void test_unreadable(void **state)
{
    (void)state;
    for (long n = 1; n <= 3; n++) {
        struct fault_fsys f;
        struct restore_local l;

        fault_fsys_init(&f, FAULT_FOREVER, n, EIO);
        l = file(&f.fs);
        assert_ok_err(restore_local_hash(&l, PAGE, &kit.err), &kit.err);
        assert_int_equal(l.page_count, (n - 1) * 256);
        assert_true(l.page_count == 0 || l.hashes[l.page_count - 1] == hash_at(l.page_count, PAGE));
        restore_local_fini(&l);
    }
}

/* Whatever stands in the lock page, it has no hash. */
static void test_lock_page(void **state)
{
    const uint32_t lock = dbfmt_lock_page(65536);
    struct restore_local l;
    uint8_t *page = malloc(65536);
    bool same = true;

    (void)state;
    assert_int_equal(pwrite(kit.fd, "x", 1, ((off_t)1 << 30) + 65536), 1);
    assert_int_equal(ftruncate(kit.fd, ((off_t)1 << 30) + 2 * 65536), 0);
    l = file(&fsys_real);
    l.size = ((uint64_t)1 << 30) + 2 * 65536;
    assert_ok_err(restore_local_hash(&l, 65536, &kit.err), &kit.err);
    assert_int_equal(l.page_count, lock + 1);
    assert_true(l.hashes[lock - 1] == 0);
    assert_true(l.hashes[lock] != 0);
    restore_local_read(&l, lock + 1, 1, page, &same);
    assert_true(same);
    free(page);
    restore_local_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_page, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
