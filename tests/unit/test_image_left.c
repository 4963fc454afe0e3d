/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "fault_fsys.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 512, PAGES = 20, PATH_SIZE = 256 };

static struct {
    char dir[64], target[96];
    struct err err;
} kit;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(kit.dir, sizeof kit.dir, "/tmp/weir-image-left-XXXXXX");
    assert_non_null(mkdtemp(kit.dir));
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    image_left_clean(&fsys_real, kit.target);
    (void)unlink(kit.target);
    return rmdir(kit.dir);
}

static void fill(uint8_t *page, uint32_t pgno, uint8_t version)
{
    memset(page, (int)(pgno * 7 + version), PAGE);
}

static void write_pages(struct image *im, uint32_t first, uint32_t last, uint8_t version)
{
    uint8_t page[PAGE];

    for (uint32_t p = first; p <= last; p++) {
        fill(page, p, version);
        assert_ok_err(image_write(im, p, page, &kit.err), &kit.err);
    }
}

static const struct image_left_note some_note = {
    .database = {{1, 2, 3}}, .timeline = 4, .txid = 5, .checksum = 6, .page_size = PAGE, .page_count = PAGES};

/* What a restore leaves that wrote pages up to `last`. */
static void leave(uint32_t last, const struct image_left_note *note)
{
    struct image *im = NULL;

    assert_ok_err(image_create(&im, &fsys_real, kit.target, PAGE, PAGES, &kit.err), &kit.err);
    write_pages(im, 1, last, 0);
    assert_ok_err(image_leave(im, note, &kit.err), &kit.err);
    image_free(im);
}

static void test_note(void **state)
{
    struct image_left left;
    struct image_left_note note;
    bool found;

    (void)state;
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1);
    leave(PAGES, &some_note);
    image_left_take(&fsys_real, kit.target, &left);
    assert_true(left.fd >= 0);
    assert_ok_err(image_left_read_note(&left, &note, &found, &kit.err), &kit.err);
    assert_true(found);
    assert_true(nonce_equal(&note.database, &some_note.database));
    assert_int_equal(note.timeline, 4);
    assert_int_equal(note.txid, 5);
    assert_int_equal(note.checksum, 6);
    assert_int_equal(note.page_size, PAGE);
    assert_int_equal(note.page_count, PAGES);
    image_left_fini(&left);
}

/* Any bit of it, and any other length of the file. */
static void test_damaged_note(void **state)
{
    struct image_left left;
    struct image_left_note note;
    bool found;

    (void)state;
    leave(PAGES, &some_note);
    image_left_take(&fsys_real, kit.target, &left);
    for (int i = 0; i < IMAGE_LEFT_NOTE_SIZE; i++) {
        off_t at = PAGES * PAGE + i;
        uint8_t byte, bad;

        assert_int_equal(pread(left.fd, &byte, 1, at), 1);
        bad = byte ^ 0x10;
        assert_int_equal(pwrite(left.fd, &bad, 1, at), 1);
        assert_ok_err(image_left_read_note(&left, &note, &found, &kit.err), &kit.err);
        assert_false(found);
        assert_int_equal(pwrite(left.fd, &byte, 1, at), 1);
    }
    assert_ok_err(image_left_read_note(&left, &note, &found, &kit.err), &kit.err);
    assert_true(found);
    image_left_fini(&left);
    leave(PAGES, NULL);
    image_left_take(&fsys_real, kit.target, &left);
    assert_ok_err(image_left_read_note(&left, &note, &found, &kit.err), &kit.err);
    assert_false(found);
    image_left_fini(&left);
}

static void make(const char *name, const char *text)
{
    char path[PATH_SIZE];
    int fd;

    (void)snprintf(path, sizeof path, "%s%s", kit.target, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

/* Nothing but an ordinary file with one name that nobody uses. */
static void test_not_taken(void **state)
{
    char path[PATH_SIZE], other[PATH_SIZE];
    struct image_left left, again;

    (void)state;
    (void)snprintf(path, sizeof path, "%s.weir-tmp-0123456789abcdef", kit.target);
    (void)snprintf(other, sizeof other, "%s/other", kit.dir);
    make(".weir-tmp-0123456789abcdef", "");
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1); /* empty */
    make(".weir-tmp-0123456789abcdef", "text");
    assert_int_equal(link(path, other), 0);
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1); /* another name */
    assert_int_equal(unlink(other), 0);
    image_left_take(&fsys_real, kit.target, &left);
    assert_true(left.fd >= 0);
    assert_string_equal(left.path, path);
    image_left_take(&fsys_real, kit.target, &again);
    assert_int_equal(again.fd, -1); /* in use */
    image_left_fini(&left);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1); /* a symbolic link */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1); /* a pipe */
    assert_int_equal(unlink(path), 0);
}

static void test_the_newest(void **state)
{
    static const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[PATH_SIZE];
    struct image_left left;

    (void)state;
    for (int i = 0; i < 2; i++) {
        make(".weir-tmp-000000000000000a", "a");
        make(".weir-tmp-000000000000000b", "b");
        (void)snprintf(path, sizeof path, "%s.weir-tmp-000000000000000%c", kit.target, i == 0 ? 'a' : 'b');
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        image_left_take(&fsys_real, kit.target, &left);
        assert_true(left.fd >= 0);
        assert_string_not_equal(left.path, path);
        image_left_fini(&left);
    }
}

/* Pages count only when they are kept or written; what is published is the file itself, without the note. */
static void test_create_over(void **state)
{
    uint8_t page[PAGE], want[PAGE];
    struct image_left left;
    struct image *im = NULL;
    struct stat st;

    (void)state;
    leave(10, &some_note);
    image_left_take(&fsys_real, kit.target, &left);
    assert_ok_err(image_create_over(&im, kit.target, &left, PAGE, PAGES - 1, &kit.err), &kit.err);
    assert_int_equal(left.fd, -1);
    assert_true(image_checksum(im) == 0);
    for (uint32_t p = 1; p <= 10; p++) {
        fill(page, p, 0);
        assert_ok_err(image_keep(im, p, digest_page(p, page, PAGE), &kit.err), &kit.err);
    }
    write_pages(im, 5, PAGES - 1, 3);
    for (uint32_t p = 1; p < PAGES; p++) {
        fill(want, p, p < 5 ? 0 : 3);
        assert_ok_err(image_read(im, p, page, &kit.err), &kit.err);
        assert_memory_equal(page, want, PAGE);
    }
    assert_ok_err(image_verify(im, &kit.err), &kit.err);
    assert_ok_err(image_publish(im, &kit.err), &kit.err);
    image_free(im);
    assert_int_equal(stat(kit.target, &st), 0);
    assert_int_equal(st.st_size, (PAGES - 1) * PAGE);
    assert_int_equal(st.st_mode & 0777, 0600);
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(left.fd, -1);
}

/* A page that is said to be kept, and is not what was said. */
static void test_kept_in_vain(void **state)
{
    struct image_left left;
    struct image *im = NULL;
    uint8_t page[PAGE];

    (void)state;
    leave(10, NULL);
    image_left_take(&fsys_real, kit.target, &left);
    assert_ok_err(image_create_over(&im, kit.target, &left, PAGE, PAGES, &kit.err), &kit.err);
    assert_ok_err(image_keep(im, 3, 17, &kit.err), &kit.err);
    assert_fails(image_read(im, 3, page, &kit.err), E_CORRUPT);
    assert_fails(image_keep(im, PAGES + 1, 17, &kit.err), E_CORRUPT);
    image_free(im);
}

/* The table of a file system that can share blocks: a copy does the same. */
static int copying_clone(const struct fsys *fs, int to, int from)
{
    char bytes[PAGE];

    (void)fs;
    for (off_t at = 0;; at += PAGE) {
        ssize_t n = pread(from, bytes, sizeof bytes, at);

        if (n <= 0)
            return 0;
        assert_int_equal(pwrite(to, bytes, (size_t)n, at), n);
    }
}

static void test_clone(void **state)
{
    struct fsys fs = fsys_real;
    uint8_t page[PAGE], want[PAGE];
    struct image *im = NULL;
    bool cloned = false;
    struct stat st;
    int from;

    (void)state;
    assert_ok_err(image_create(&im, &fs, kit.target, PAGE, 2 * PAGES, &kit.err), &kit.err);
    write_pages(im, 1, 2 * PAGES, 0);
    assert_ok_err(image_publish(im, &kit.err), &kit.err);
    image_free(im);
    from = open(kit.target, O_RDONLY);
    assert_true(from >= 0);
    fs.clone = NULL;
    assert_ok_err(image_create(&im, &fs, kit.target, PAGE, PAGES, &kit.err), &kit.err);
    assert_ok_err(image_clone(im, from, &cloned, &kit.err), &kit.err);
    assert_false(cloned);
    image_free(im);
    fs.clone = copying_clone;
    assert_ok_err(image_create(&im, &fs, kit.target, PAGE, PAGES, &kit.err), &kit.err);
    assert_ok_err(image_clone(im, from, &cloned, &kit.err), &kit.err);
    assert_true(cloned);
    write_pages(im, 1, 1, 9);
    for (uint32_t p = 2; p <= PAGES; p++) {
        fill(want, p, 0);
        assert_ok_err(image_keep(im, p, digest_page(p, want, PAGE), &kit.err), &kit.err);
        assert_ok_err(image_read(im, p, page, &kit.err), &kit.err);
        assert_memory_equal(page, want, PAGE);
    }
    assert_ok_err(image_verify(im, &kit.err), &kit.err);
    assert_ok_err(image_publish(im, &kit.err), &kit.err);
    image_free(im);
    assert_int_equal(close(from), 0);
    assert_int_equal(stat(kit.target, &st), 0);
    assert_int_equal(st.st_size, PAGES * PAGE);
}

/* The lock page is zeros in a restored file, whatever stood there. */
static void test_lock_page(void **state)
{
    const uint32_t lock = dbfmt_lock_page(65536);
    const uint8_t mark = 1;
    struct image_left left;
    struct image *im = NULL;
    uint8_t *page = malloc(65536);

    (void)state;
    make(".weir-tmp-000000000000000a", "a");
    image_left_take(&fsys_real, kit.target, &left);
    assert_int_equal(pwrite(left.fd, &mark, 1, (off_t)1 << 30), 1);
    assert_int_equal(ftruncate(left.fd, ((off_t)1 << 30) + 3 * 65536), 0);
    {
        struct fsys fs = fsys_real;

        fs.fallocate = NULL; /* a gigabyte would be reserved */
        left.fs = &fs;
        assert_ok_err(image_create_over(&im, kit.target, &left, 65536, lock + 1, &kit.err), &kit.err);
        assert_ok_err(image_read(im, lock, page, &kit.err), &kit.err);
        image_free(im);
    }
    free(page);
}

static void test_faults(void **state)
{
    struct fault_fsys f;
    long n;

    (void)state;
    for (n = 1;; n++) {
        struct image_left left;
        struct image *im = NULL;
        struct rc rc = RC_OK;

        leave(10, &some_note);
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        image_left_take(&f.fs, kit.target, &left);
        if (left.fd >= 0)
            rc = image_create_over(&im, kit.target, &left, PAGE, PAGES, &kit.err);
        if (!rc_failed(rc) && im != NULL)
            rc = image_leave(im, &some_note, &kit.err);
        image_free(im);
        image_left_fini(&left);
        assert_int_equal(f.open_fds, 0);
        image_left_clean(&fsys_real, kit.target);
        if (f.fired == 0)
            break;
        if (rc_failed(rc))
            assert_non_null(strstr(kit.err.msg, strerrordesc_np(EIO)));
    }
    assert_in_range(n, 8, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_newest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_create_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_in_vain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
