/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "fault_fsys.h"
#include "fault_power.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/test_image.XXXXXX", target[64];

enum { SIZE = 1024 }; /* of a page, where nothing else is said */

/* --- helpers ----------------------------------------------------------------------------------------------------- */

static void page_of(uint8_t *page, uint32_t size, uint32_t pgno, uint64_t version)
{
    uint64_t seed = (uint64_t)pgno << 32 ^ version;

    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t v = check_random(&seed);

        memcpy(page + i, &v, 8);
    }
}

static struct image *create(const struct fsys *fs, uint32_t page_size, uint32_t pages)
{
    struct image *im = NULL;
    struct err err;

    assert_ok_err(image_create(&im, fs, target, page_size, pages, &err), &err);
    return im;
}

/* Pages first .. first + count - 1 in one call. */
static struct rc put(
    struct image *im, uint32_t page_size, uint32_t first, uint32_t count, uint64_t version, struct err *err)
{
    uint8_t *pages = malloc((size_t)count * page_size);
    struct rc rc;

    for (uint32_t i = 0; i < count; i++)
        page_of(pages + (size_t)i * page_size, page_size, first + i, version);
    rc = image_put(im, first, pages, count, err);
    free(pages);
    return rc;
}

/* Names in the directory, `.` and `..` not counted; with `temp` only temporary files. */
static int count_files(bool temp)
{
    DIR *d = opendir(dir);
    int n = 0;

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.' && (!temp || strstr(e->d_name, ".weir-tmp-") != NULL);
    (void)closedir(d);
    return n;
}

static int empty_dir(void **state)
{
    char command[96];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s/*", dir);
    return system(command);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static bool file_is(const char *path, const void *data, size_t size)
{
    uint8_t *have = malloc(size + 1);
    FILE *f = fopen(path, "rb");
    bool same;

    assert_non_null(f);
    same = fread(have, 1, size + 1, f) == size && memcmp(have, data, size) == 0;
    (void)fclose(f);
    free(have);
    return same;
}

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

static void scribble(const char *path, off_t at)
{
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, "x", 1, at), 1);
    assert_int_equal(close(fd), 0);
}

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

/* --- writing back early ------------------------------------------------------------------------------------------ */

enum { EARLY = 32 << 20, EARLY_PAGE = 65536, EARLY_RUN = 1 << 20 };

static int early_calls, early_errno;
static uint64_t early_stretches;

static int counting_write_early(const struct fsys *fs, int fd, off_t off, off_t n)
{
    (void)fs;
    (void)fd;
    early_calls++;
    assert_int_equal(off % EARLY, 0);
    assert_int_equal(n, EARLY);
    early_stretches |= 1u << (off / EARLY);
    errno = early_errno;
    return early_errno == 0 ? 0 : -1;
}

/* Write 2.5 stretches in some order; returns the result of the last write. */
static struct rc fill(struct image *im, uint32_t pages, const uint8_t *zeros, struct err *err)
{
    const uint32_t run = EARLY_RUN / EARLY_PAGE, runs = pages / run;

    for (uint32_t i = 0; i < runs; i++)
        TRY(image_put(im, (i * 37 % runs) * run + 1, zeros, run, err));
    return RC_OK;
}

static void test_write_early(void **state)
{
    const uint32_t pages = EARLY / EARLY_PAGE * 5 / 2;
    struct fsys counting = fsys_real;
    uint8_t *zeros = calloc(1, EARLY_RUN);
    struct image *im;
    struct err err;

    (void)state;
    counting.write_early = counting_write_early;
    early_calls = early_errno = 0;
    early_stretches = 0;
    im = create(&counting, EARLY_PAGE, pages);
    assert_ok_err(fill(im, pages, zeros, &err), &err);
    assert_int_equal(early_calls, 2); /* each whole stretch once, the rest by the sync */
    assert_int_equal(early_stretches, 3);
    assert_ok_err(fill(im, pages, zeros, &err), &err);
    assert_int_equal(early_calls, 2);
    image_free(im);

    early_errno = EOPNOTSUPP; /* not there: done without, and not asked again */
    early_calls = 0;
    im = create(&counting, EARLY_PAGE, pages);
    assert_ok_err(fill(im, pages, zeros, &err), &err);
    assert_int_equal(early_calls, 1);
    image_free(im);

    early_errno = EIO;
    im = create(&counting, EARLY_PAGE, pages);
    assert_fails(fill(im, pages, zeros, &err), E_IO);
    assert_non_null(strstr(err.msg, "write back "));
    assert_fails(image_publish(im, &err), E_IO);
    image_free(im);
    assert_int_equal(count_files(false), 0);
    free(zeros);
}

/* The order of the pages of fill() says where a stretch ends; reads of the file are counted. */
static int early_reads;
static off_t early_read_end;

static ssize_t counting_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    early_reads++;
    early_read_end = off + (off_t)n;
    return fsys_real.pread(fs, fd, buf, n, off);
}

static void test_verify_early(void **state)
{
    const uint32_t pages = EARLY / EARLY_PAGE * 5 / 2;
    struct fsys counting = fsys_real;
    uint8_t *bytes = calloc(1, EARLY_RUN);
    char want[256];
    struct image *im;
    struct err err;
    int before;

    (void)state;
    counting.pread = counting_pread;
    counting.write_early = NULL; /* stretches are counted without it, too */
    early_reads = 0;
    im = create(&counting, EARLY_PAGE, pages);
    assert_ok_err(image_verify_early(im, &err), &err);
    assert_ok_err(fill(im, pages, bytes, &err), &err);
    before = early_reads;
    assert_true(before >= 2); /* two stretches were whole and have been read */
    early_reads = 0;
    assert_ok_err(image_verify(im, &err), &err);
    assert_true(early_reads > 0);
    assert_true(early_reads < before); /* what was left: half a stretch */

    early_reads = 0; /* what is written again loses its proof, and nothing else does */
    assert_ok_err(image_write(im, 3, bytes, &err), &err);
    assert_ok_err(image_verify(im, &err), &err);
    scribble(image_temp_path(im), 2 * EARLY_PAGE + 11);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    (void)snprintf(
        want, sizeof want, "verify %s: page 3 does not hold the bytes that were written", image_temp_path(im));
    assert_string_equal(err.msg, want);
    image_free(im);

    /* Damaged before its stretch is whole: it gets no proof then. */
    im = create(&counting, EARLY_PAGE, pages);
    assert_ok_err(image_verify_early(im, &err), &err);
    assert_ok_err(image_put(im, 1, bytes, EARLY_RUN / EARLY_PAGE, &err), &err);
    scribble(image_temp_path(im), 5);
    for (uint32_t i = 1; i < EARLY / EARLY_RUN; i++)
        assert_ok_err(image_put(im, i * (EARLY_RUN / EARLY_PAGE) + 1, bytes, EARLY_RUN / EARLY_PAGE, &err), &err);
    assert_true(early_read_end <= EARLY);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "page 1 does not hold"));

    /* Smaller and larger again: zeros, and nobody has looked at them. */
    assert_ok_err(image_resize(im, 4, &err), &err);
    assert_ok_err(image_put(im, 1, bytes, 4, &err), &err);
    assert_ok_err(image_resize(im, 8, &err), &err);
    assert_ok_err(image_verify(im, &err), &err);
    scribble(image_temp_path(im), 7 * EARLY_PAGE);
    assert_fails(image_verify(im, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "page 8 does not hold"));
    image_free(im);
    free(bytes);
}

static int no_fallocate(const struct fsys *fs, int fd, off_t off, off_t n)
{
    (void)fs;
    (void)fd;
    (void)off;
    (void)n;
    errno = early_errno;
    return -1;
}

static void test_reserve(void **state)
{
    struct fsys other = fsys_real;
    struct image *im;
    struct err err;

    (void)state;
    other.fallocate = no_fallocate;
    early_errno = EOPNOTSUPP;
    im = create(&other, SIZE, 5);
    assert_ok_err(image_verify(im, &err), &err); /* which looks at the size */
    image_free(im);
    im = NULL;
    early_errno = ENOSPC;
    assert_fails(image_create(&im, &other, target, SIZE, 5, &err), E_NOSPACE);
    assert_non_null(strstr(err.msg, "reserve 5120 bytes for "));
    assert_int_equal(count_files(false), 0);
}

/* --- faults ------------------------------------------------------------------------------------------------------ */

enum { FAULT_PAGES = 9, FAULT_END = 7 };

static const char old_text[] = "the old database";
static uint8_t new_file[FAULT_END * SIZE];

/* A whole restore in small: all pages, a change, a shrink. */
static struct rc restore(const struct fsys *fs, struct err *err)
{
    CLEANUP(image_freep) struct image *im = NULL;
    uint8_t page[SIZE];

    TRY(image_create(&im, fs, target, SIZE, FAULT_PAGES, err));
    TRY(put(im, SIZE, 1, 5, 0, err));
    TRY(put(im, SIZE, 6, 4, 0, err));
    TRY(image_read(im, 3, page, err));
    page_of(page, SIZE, 3, 1);
    TRY(image_write(im, 3, page, err));
    TRY(image_resize(im, FAULT_END, err));
    TRY(image_verify(im, err));
    TRY(image_sync(im, err));
    return image_publish(im, err);
}

static void expect(void)
{
    for (uint32_t p = 1; p <= FAULT_END; p++)
        page_of(new_file + (p - 1) * SIZE, SIZE, p, p == 3);
}

/* Old, as before, or complete. */
static bool assert_old_or_new(bool had_old)
{
    if (access(target, F_OK) != 0) {
        assert_false(had_old);
        return false;
    }
    if (file_is(target, new_file, sizeof new_file))
        return true;
    assert_true(had_old);
    assert_true(file_is(target, old_text, strlen(old_text)));
    return false;
}

/* With `ops` all kinds of call but those that may fail without harm; those are tried by themselves. */
static void every_fault(enum fault_mode mode, int sys, bool had_old, bool short_io, unsigned ops, bool harmless)
{
    long n;

    for (n = 1;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;
        bool is_new;

        (void)unlink(target);
        if (had_old)
            write_file(target, old_text);
        fault_fsys_init(&f, mode, n, sys);
        f.short_io = short_io;
        f.ops = ops;
        rc = restore(&f.fs, &err);
        assert_int_equal(f.open_fds, 0);
        assert_int_equal(count_files(true), 0);
        is_new = assert_old_or_new(had_old);
        if (f.fired == 0)
            break;
        assert_int_equal(rc_failed(rc), !harmless);
        if (harmless)
            assert_true(is_new);
        else
            assert_non_null(strstr(err.msg, strerrordesc_np(sys)));
    }
    assert_true(file_is(target, new_file, sizeof new_file));
    if (!harmless)
        assert_in_range(n, 15, 400);
    else
        assert_in_range(n, 2, 4);
}

static void test_faults(void **state)
{
    /* Closing comes after the sync, removing is for failures, and the clean-up does what it can. */
    const unsigned harmless = FAULT_CLOSE | FAULT_UNLINK | FAULT_OPENDIR;

    (void)state;
    expect();
    for (int had_old = 0; had_old < 2; had_old++)
        for (int short_io = 0; short_io < 2; short_io++) {
            every_fault(FAULT_ONCE, EIO, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
            every_fault(FAULT_FOREVER, EIO, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
            every_fault(FAULT_ONCE, ENOSPC, had_old != 0, short_io != 0, FAULT_ALL & ~harmless, false);
        }
    every_fault(FAULT_ONCE, EIO, true, false, FAULT_OPENDIR, true);
}

/* Closing the file after all is done may fail without harm; closing the directory is part of publishing. */
static void test_close_faults(void **state)
{
    struct fault_fsys f;
    struct err err;

    (void)state;
    expect();
    fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
    f.ops = FAULT_CLOSE;
    assert_fails(restore(&f.fs, &err), E_IO);
    assert_non_null(strstr(err.msg, "close directory"));
    assert_true(assert_old_or_new(false));
    fault_fsys_init(&f, FAULT_ONCE, 2, EIO);
    f.ops = FAULT_CLOSE;
    assert_ok_err(restore(&f.fs, &err), &err);
    assert_int_equal(f.fired, 1);
    assert_true(assert_old_or_new(false));
    assert_int_equal(f.open_fds, 0);
}

/* A sync that has failed once must not be believed the second time. */
static void test_failed_sync(void **state)
{
    struct fault_fsys f;
    struct image *im;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
    f.ops = FAULT_FSYNC;
    im = create(&f.fs, SIZE, 2);
    assert_ok_err(put(im, SIZE, 1, 2, 0, &err), &err);
    assert_fails(image_sync(im, &err), E_IO);
    assert_fails(image_sync(im, &err), E_IO);
    assert_non_null(strstr(err.msg, "an earlier write or sync of it did not succeed"));
    assert_fails(image_publish(im, &err), E_IO);
    image_free(im);
    assert_int_equal(count_files(false), 0);
}

/* Killed at any call: the target is old or new, and the next restore finds and removes what is left. */
static void test_killed(void **state)
{
    int status = -1, left = 0;

    (void)state;
    expect();
    for (int n = 1; status != 0; n++) {
        struct err err;
        pid_t pid;

        write_file(target, old_text);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            fault_fsys_init(&f, FAULT_KILL, n, 0);
            f.ops = FAULT_CHANGES;
            _exit(rc_failed(restore(&f.fs, &err)));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(status == 0 || WTERMSIG(status) == SIGKILL);
        (void)assert_old_or_new(true);
        left += count_files(true);
        assert_ok_err(restore(&fsys_real, &err), &err);
        assert_int_equal(count_files(false), 1);
    }
    assert_in_range(left, 5, 50);
}

/* The power goes at any call, with any part of what was not synced on the disk. */
static void test_power_cut(void **state)
{
    bool done = false;

    (void)state;
    expect();
    for (long n = 1; !done; n++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct fault_power *p = fault_power_new();
            struct fault_fsys f;
            struct err err;
            struct rc rc;

            (void)empty_dir(NULL);
            write_file(target, old_text);
            fault_fsys_init(&f, FAULT_FOREVER, n, EIO);
            f.ops = FAULT_CHANGES;
            fault_power_under(&f, p);
            rc = restore(&f.fs, &err);
            done = f.fired == 0;
            fault_power_cut(p, seed);
            if (!rc_failed(rc))
                assert_true(assert_old_or_new(true)); /* what was reported as published is there */
            else
                (void)assert_old_or_new(true);
            fault_power_free(p);
            assert_ok_err(restore(&fsys_real, &err), &err);
            assert_int_equal(count_files(false), 1);
        }
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
        cmocka_unit_test_setup(test_write_early, empty_dir),
        cmocka_unit_test_setup(test_verify_early, empty_dir),
        cmocka_unit_test_setup(test_reserve, empty_dir),
        cmocka_unit_test_setup(test_faults, empty_dir),
        cmocka_unit_test_setup(test_close_faults, empty_dir),
        cmocka_unit_test_setup(test_failed_sync, empty_dir),
        cmocka_unit_test_setup(test_killed, empty_dir),
        cmocka_unit_test_setup(test_power_cut, empty_dir),
    };
    int failed;

    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(target, sizeof target, "%s/app.db", dir);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)empty_dir(NULL);
    (void)rmdir(dir);
    return failed;
}
