/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that are on their way to the disk, and read back, while others still come. */
#include "image_kit.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_write_early, empty_dir),
        cmocka_unit_test_setup(test_verify_early, empty_dir),
        cmocka_unit_test_setup(test_reserve, empty_dir),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
