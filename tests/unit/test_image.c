/* SPDX-License-Identifier: Apache-2.0 */
#include "image_kit.h"

/* --- the ordinary way -------------------------------------------------------------------------------------------- */

static void test_whole(void **state)
{
    enum { PAGES = 300 };
    uint8_t *all = malloc(PAGES * SIZE), page[SIZE];
    uint64_t checksum = 0;
    struct image *im;
    struct err err;

    (void)state;
    write_file(target, "the old database");
    im = create(&fsys_real, SIZE, PAGES);
    assert_int_equal(image_page_count(im), PAGES);
    assert_int_equal(image_checksum(im), 0);
    assert_memory_equal(image_temp_path(im), target, strlen(target));
    for (uint32_t i = 0; i < PAGES; i++) {
        page_of(all + i * SIZE, SIZE, i + 1, 0);
        checksum ^= digest_page(i + 1, all + i * SIZE, SIZE);
    }
    assert_ok_err(image_put(im, 101, all + 100 * SIZE, PAGES - 100, &err), &err);
    assert_ok_err(image_put(im, 1, all, 100, &err), &err);
    assert_true(image_checksum(im) == checksum);
    assert_ok_err(image_verify(im, &err), &err);
    assert_ok_err(image_read(im, 300, page, &err), &err);
    assert_memory_equal(page, all + 299 * SIZE, SIZE);
    assert_ok_err(image_sync(im, &err), &err);
    assert_true(file_is(target, "the old database", 16));
    assert_int_equal(count_files(true), 1);
    assert_ok_err(image_publish(im, &err), &err);
    assert_true(file_is(target, all, PAGES * SIZE));
    image_free(im);
    assert_true(file_is(target, all, PAGES * SIZE));
    assert_int_equal(count_files(false), 1);
    free(all);
}

static void test_not_published(void **state)
{
    struct image *im = create(&fsys_real, SIZE, 3);
    struct err err;

    (void)state;
    assert_ok_err(put(im, SIZE, 1, 3, 0, &err), &err);
    assert_int_equal(count_files(true), 1);
    image_freep(&im);
    assert_null(im);
    image_free(NULL);
    assert_int_equal(count_files(false), 0);
}

/* Whatever changed since the last sync is synced again, and nothing else. */
static void test_syncs(void **state)
{
    struct fault_fsys f;
    struct image *im;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    f.ops = FAULT_FSYNC;
    im = create(&f.fs, SIZE, 3);
    assert_ok_err(put(im, SIZE, 1, 3, 0, &err), &err);
    assert_ok_err(image_sync(im, &err), &err);
    assert_ok_err(image_sync(im, &err), &err);
    assert_int_equal(f.calls, 1);
    assert_ok_err(image_resize(im, 2, &err), &err);
    assert_ok_err(image_sync(im, &err), &err);
    assert_int_equal(f.calls, 2);
    assert_ok_err(put(im, SIZE, 2, 1, 1, &err), &err);
    assert_ok_err(image_publish(im, &err), &err);
    assert_int_equal(f.calls, 4); /* the file and the directory */
    image_free(im);
}

static void test_publish_new(void **state)
{
    struct image *im = create(&fsys_real, SIZE, 1), *late = create(&fsys_real, SIZE, 1);
    struct err err;

    (void)state;
    (void)unlink(target);
    assert_ok_err(image_publish_new(im, &err), &err);
    assert_fails(image_publish_new(late, &err), E_EXISTS);
    image_free(im);
    image_free(late);
    assert_int_equal(count_files(false), 1);
    assert_int_equal(count_files(true), 0);
}

static mode_t published_mode(void)
{
    struct image *im = create(&fsys_real, SIZE, 1);
    struct stat st;
    struct err err;

    assert_ok_err(image_publish(im, &err), &err);
    image_free(im);
    assert_int_equal(stat(target, &st), 0);
    return st.st_mode & 07777;
}

static void test_mode(void **state)
{
    (void)state;
    assert_int_equal(published_mode(), 0600);
    assert_int_equal(chmod(target, 0640), 0);
    assert_int_equal(published_mode(), 0640);
}

/* An operator who restores as root must not take the file away from its application. */
static void test_owner(void **state)
{
    struct stat st;

    (void)state;
    if (geteuid() != 0)
        check_skip("only root gives files away");
    assert_int_equal(published_mode(), 0600);
    assert_int_equal(chown(target, 1234, 2345), 0);
    assert_int_equal(chmod(target, 0666), 0);
    assert_int_equal(published_mode(), 0666); /* whatever the umask is */
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 2345);
}

/* A random walk of put, write, read and resize against plain memory. */
static void walk(uint32_t page_size, uint64_t *seed)
{
    enum { PAGES_MAX = 60, STEPS = 300 };
    uint32_t pages = (uint32_t)(check_random(seed) % PAGES_MAX) + 1;
    struct image *im = create(&fsys_real, page_size, pages);
    struct page_hash *h = page_hash_new();
    uint64_t version[PAGES_MAX + 1] = {0}, checksum = 0; /* 0: never written */
    uint8_t *page = malloc(page_size), *want = malloc(page_size);
    struct err err;

    for (uint64_t step = 1; step <= STEPS; step++) {
        uint32_t pgno = (uint32_t)(check_random(seed) % pages) + 1;
        uint32_t n = (uint32_t)(check_random(seed) % (pages - pgno + 1)) + 1;

        switch (check_random(seed) % 8) {
        case 0:
            pages = (uint32_t)(check_random(seed) % PAGES_MAX) + 1;
            assert_ok_err(image_resize(im, pages, &err), &err);
            for (uint32_t p = pages + 1; p <= PAGES_MAX; p++)
                version[p] = 0;
            break;
        case 1:
        case 2:
            assert_ok_err(put(im, page_size, pgno, n, step, &err), &err);
            for (uint32_t p = pgno; p < pgno + n; p++)
                version[p] = step;
            break;
        default:
            page_of(page, page_size, pgno, step);
            assert_ok_err(image_write(im, pgno, page, &err), &err);
            version[pgno] = step;
            break;
        }
    }
    for (uint32_t p = 1; p <= pages; p++) {
        memset(want, 0, page_size);
        if (version[p] != 0) {
            page_of(want, page_size, p, version[p]);
            checksum ^= digest_page(p, want, page_size);
        }
        assert_ok_err(image_read(im, p, page, &err), &err);
        assert_memory_equal(page, want, page_size);
    }
    assert_int_equal(image_page_count(im), pages);
    assert_true(image_checksum(im) == checksum);
    assert_ok_err(image_verify(im, &err), &err);
    assert_ok_err(page_hash_set(h, 1000, 5, &err), &err); /* what the index held before is forgotten */
    assert_ok_err(image_hashes(im, h, &err), &err);
    assert_int_equal(page_hash_count(h), pages);
    assert_true(page_hash_checksum(h) == checksum);
    page_hash_free(h);
    image_free(im);
    free(page);
    free(want);
}

static void test_walks(void **state)
{
    uint64_t seed = 3;

    (void)state;
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2)
        walk(page_size, &seed);
}

/* --- threads ----------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, PARALLEL_PAGES = 20000, RUN = 64 };

struct lane {
    struct image *im;
    uint32_t *next; /* shared */
    uint64_t checksum;
};

static void *put_runs(void *arg)
{
    struct lane *l = arg;
    uint8_t *pages = malloc(RUN * SIZE);
    struct err err;

    for (;;) {
        uint32_t first = __atomic_fetch_add(l->next, RUN, __ATOMIC_RELAXED), n = RUN;

        if (first > PARALLEL_PAGES)
            break;
        n = PARALLEL_PAGES - first + 1 < n ? PARALLEL_PAGES - first + 1 : n;
        for (uint32_t i = 0; i < n; i++) {
            page_of(pages + i * SIZE, SIZE, first + i, 9);
            l->checksum ^= digest_page(first + i, pages + i * SIZE, SIZE);
        }
        if (rc_failed(image_put(l->im, first, pages, n, &err))) {
            print_error("%s\n", err.msg);
            abort();
        }
    }
    free(pages);
    return NULL;
}

static void test_parallel(void **state)
{
    uint32_t next = 1;
    uint64_t checksum = 0;
    struct lane lanes[THREADS];
    pthread_t threads[THREADS];
    uint8_t page[SIZE], want[SIZE];
    struct fault_fsys f;
    struct image *im;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    f.short_io = true; /* every write in many pieces, so that the threads meet */
    im = create(&f.fs, SIZE, PARALLEL_PAGES);
    for (int i = 0; i < THREADS; i++) {
        lanes[i] = (struct lane){.im = im, .next = &next};
        assert_int_equal(pthread_create(&threads[i], NULL, put_runs, &lanes[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        checksum ^= lanes[i].checksum;
    }
    assert_true(image_checksum(im) == checksum);
    assert_ok_err(image_verify(im, &err), &err);
    for (uint32_t p = 1; p <= PARALLEL_PAGES; p += 997) {
        page_of(want, SIZE, p, 9);
        assert_ok_err(image_read(im, p, page, &err), &err);
        assert_memory_equal(page, want, SIZE);
    }
    image_free(im);
    assert_int_equal(f.open_fds, 0);
}

/* --- what the image cannot have ---------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    struct image *im = create(&fsys_real, SIZE, 10);
    uint8_t pages[3 * SIZE] = {1};
    struct err err;
    char want[256];

    (void)state;
    assert_fails(image_put(im, 0, pages, 1, &err), E_CORRUPT);
    (void)snprintf(want, sizeof want, "write pages 0 to 0 of %s: it has 10 pages", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_fails(image_put(im, 9, pages, 3, &err), E_CORRUPT);
    (void)snprintf(want, sizeof want, "write pages 9 to 11 of %s: it has 10 pages", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_fails(image_write(im, 11, pages, &err), E_CORRUPT);
    assert_fails(image_write(im, UINT32_MAX, pages, &err), E_CORRUPT);
    assert_fails(image_read(im, 0, pages, &err), E_CORRUPT);
    assert_fails(image_read(im, 11, pages, &err), E_CORRUPT);
    (void)snprintf(want, sizeof want, "read page 11 of %s: it has 10 pages", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_fails(image_resize(im, UINT32_MAX, &err), E_CORRUPT);
    assert_int_equal(image_checksum(im), 0);
    assert_ok_err(image_verify(im, &err), &err);
    assert_ok_err(image_resize(im, 0, &err), &err);
    assert_fails(image_write(im, 1, pages, &err), E_CORRUPT);
    assert_ok_err(image_publish(im, &err), &err); /* none of this has broken it */
    image_free(im);
    assert_true(file_is(target, "", 0));
    im = NULL;
    assert_fails(image_create(&im, &fsys_real, target, SIZE, UINT32_MAX, &err), E_CORRUPT);
    assert_fails(image_create(&im, &fsys_real, "/nowhere/at/all", SIZE, 1, &err), E_NOTFOUND);
    assert_null(im);
}

/* The lock page at 1 GiB: with 64 KiB it is page 16385.  A table without fallocate leaves the file sparse. */
static void test_lock_page(void **state)
{
    enum { BIG = 65536, LOCK = 16385 };
    struct fsys sparse = fsys_real;
    uint8_t *pages = malloc(3 * BIG);
    struct image *im;
    struct stat st;
    struct err err;
    char want[256];

    (void)state;
    sparse.fallocate = NULL;
    im = create(&sparse, BIG, LOCK + 3);
    assert_ok_err(put(im, BIG, LOCK - 2, 2, 1, &err), &err);
    assert_ok_err(put(im, BIG, LOCK + 1, 3, 1, &err), &err);
    (void)snprintf(want, sizeof want, "write page 16385 of %s: it is the lock page", image_temp_path(im));
    assert_fails(put(im, BIG, LOCK - 1, 3, 1, &err), E_CORRUPT);
    assert_string_equal(err.msg, want);
    assert_fails(put(im, BIG, LOCK, 1, 1, &err), E_CORRUPT);
    assert_string_equal(err.msg, want);
    assert_fails(put(im, BIG, LOCK - 1, 2, 1, &err), E_CORRUPT);
    assert_ok_err(image_read(im, LOCK, pages, &err), &err);
    memset(pages + BIG, 0, BIG);
    assert_memory_equal(pages, pages + BIG, BIG);
    for (uint32_t p = LOCK + 1; p <= LOCK + 3; p++) {
        assert_ok_err(image_read(im, p, pages, &err), &err);
        page_of(pages + BIG, BIG, p, 1);
        assert_memory_equal(pages, pages + BIG, BIG);
    }
    assert_int_equal(stat(image_temp_path(im), &st), 0);
    assert_int_equal(st.st_size, (LOCK + 3ll) * BIG);
    assert_true(st.st_blocks < 16 << 10); /* of 512 bytes: 8 MiB */
    image_free(im);
    free(pages);
}

/* --- damage to the file ------------------------------------------------------------------------------------------ */

static void test_damage(void **state)
{
    struct image *im = create(&fsys_real, SIZE, 500);
    uint8_t page[SIZE];
    struct err err;
    char want[256];

    (void)state;
    assert_ok_err(put(im, SIZE, 1, 499, 1, &err), &err); /* page 500 stays zeros */
    assert_ok_err(image_verify(im, &err), &err);
    scribble(image_temp_path(im), 499 * SIZE + 700);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    (void)snprintf(
        want, sizeof want, "verify %s: page 500 does not hold the bytes that were written", image_temp_path(im));
    assert_string_equal(err.msg, want);
    scribble(image_temp_path(im), 332 * SIZE);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    (void)snprintf(
        want, sizeof want, "verify %s: page 333 does not hold the bytes that were written", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_fails(image_read(im, 333, page, &err), E_CORRUPT);
    (void)snprintf(want, sizeof want, "read page 333 of %s: not the bytes that were written", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_ok_err(image_read(im, 334, page, &err), &err);
    assert_int_equal(truncate(image_temp_path(im), 499 * SIZE), 0);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    (void)snprintf(want, sizeof want, "verify %s: 510976 bytes, not 512000", image_temp_path(im));
    assert_string_equal(err.msg, want);
    assert_fails(image_read(im, 500, page, &err), E_CORRUPT);
    image_free(im);
}

/* --- left-overs -------------------------------------------------------------------------------------------------- */

static void test_left_overs(void **state)
{
    static const struct {
        const char *end;
        bool stays;
    } all[] = {
        {".weir-tmp-0123456789abcdef", false},
        {".weir-tmp-ffffffffffffffff", false},
        {".weir-tmp-00000000000000aa", true}, /* locked by another restore */
        {".weir-tmp-00000000000000bb", true}, /* a directory */
        {".weir-tmp-00000000000000cc", true}, /* a symbolic link */
        {".weir-tmp-00000000000000dd", true}, /* a pipe */
        {".weir-tmp-0123456789abcde", true},  /* names that we do not make */
        {".weir-tmp-0123456789abcdef0", true},
        {".weir-tmp-0123456789ABCDEF", true},
        {"2.weir-tmp-0123456789abcdef", true}, /* of another database */
        {"-wal", true},
    };
    enum { COUNT = sizeof all / sizeof all[0] };
    char path[COUNT][128];
    struct stat st;
    struct image *im;
    int fd = -1;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        (void)snprintf(path[i], sizeof path[i], "%s%s", target, all[i].end);
    for (int i = 0; i < COUNT; i++) {
        if (i == 3)
            assert_int_equal(mkdir(path[i], 0700), 0);
        else if (i == 4)
            assert_int_equal(symlink(path[COUNT - 1], path[i]), 0);
        else if (i == 5)
            assert_int_equal(mkfifo(path[i], 0600), 0);
        else
            write_file(path[i], "left over");
        if (i == 2) {
            fd = open(path[i], O_RDONLY | O_CLOEXEC);
            assert_int_equal(flock(fd, LOCK_EX), 0);
        }
    }
    im = create(&fsys_real, SIZE, 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(lstat(path[i], &st) == 0, all[i].stays);
    (void)close(fd);
    image_free(im);
}

/* Two restores of one target at the same time do not take each other's file away. */
static void test_two_at_once(void **state)
{
    struct image *a = create(&fsys_real, SIZE, 2), *b = create(&fsys_real, SIZE, 2);
    struct err err;

    (void)state;
    assert_int_equal(count_files(true), 2);
    assert_ok_err(put(a, SIZE, 1, 2, 1, &err), &err);
    assert_ok_err(put(b, SIZE, 1, 2, 2, &err), &err);
    assert_ok_err(image_publish(a, &err), &err);
    assert_ok_err(image_publish(b, &err), &err);
    image_free(a);
    image_free(b);
    assert_int_equal(count_files(false), 1);
}

/* A table in which another restore's clean-up comes between creation and lock: it holds the lock, or has already
 * removed the file. */
static int thefts;

static int stealing_flock(const struct fsys *fs, int fd, int operation)
{
    char link[32], path[128] = {0};

    (void)fs;
    if (thefts-- > 0) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        assert_true(readlink(link, path, sizeof path - 1) > 0);
        assert_int_equal(unlink(path), 0);
        if (thefts % 2 == 0) {
            errno = EWOULDBLOCK;
            return -1;
        }
    }
    return flock(fd, operation);
}

static void test_taken_away(void **state)
{
    struct fsys stealing = fsys_real;
    struct image *im;
    struct err err;

    (void)state;
    stealing.flock = stealing_flock;
    thefts = 5;
    im = create(&stealing, SIZE, 2);
    assert_ok_err(put(im, SIZE, 1, 2, 1, &err), &err);
    assert_int_equal(count_files(true), 1);
    assert_ok_err(image_publish(im, &err), &err);
    image_free(im);
    im = NULL;
    thefts = 100;
    assert_fails(image_create(&im, &stealing, target, SIZE, 2, &err), E_BUSY);
    assert_int_equal(count_files(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_whole, empty_dir),
        cmocka_unit_test_setup(test_not_published, empty_dir),
        cmocka_unit_test_setup(test_mode, empty_dir),
        cmocka_unit_test_setup(test_owner, empty_dir),
        cmocka_unit_test_setup(test_syncs, empty_dir),
        cmocka_unit_test_setup(test_publish_new, empty_dir),
        cmocka_unit_test_setup(test_walks, empty_dir),
        cmocka_unit_test_setup(test_parallel, empty_dir),
        cmocka_unit_test_setup(test_refused, empty_dir),
        cmocka_unit_test_setup(test_lock_page, empty_dir),
        cmocka_unit_test_setup(test_damage, empty_dir),
        cmocka_unit_test_setup(test_left_overs, empty_dir),
        cmocka_unit_test_setup(test_two_at_once, empty_dir),
        cmocka_unit_test_setup(test_taken_away, empty_dir),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
