/* SPDX-License-Identifier: Apache-2.0 */
/* The power cut itself: what it may take, and what it must not. */
#include "check.h"

#include "fault_power.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEDS = 60 };

static char dir[] = "/tmp/test_fault_power.XXXXXX";
static struct fault_power *p;
static const struct fsys *fs;

static const char *in_dir(const char *name)
{
    static char path[8][300];
    static unsigned next;
    char *out = path[next++ % 8];

    (void)snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    return where->level == 0 ? 0 : remove(path);
}

/* Each seed starts with an empty directory. */
static void begin(void)
{
    assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    p = fault_power_new();
    fs = fault_power_fsys(p);
}

static void cut(uint64_t seed)
{
    fault_power_cut(p, seed);
    assert_int_equal(fault_power_pending(p), 0);
    fault_power_free(p);
}

static void write_file(const struct fsys *by, const char *name, const char *text, bool sync)
{
    int fd = by->open(by, in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);

    assert_true(fd >= 0);
    assert_int_equal(by->pwrite(by, fd, text, strlen(text), 0), strlen(text));
    if (sync)
        assert_int_equal(by->fsync(by, fd), 0);
    assert_int_equal(by->close(by, fd), 0);
}

static void sync_dir(const char *name)
{
    struct err err;

    assert_ok_err(fsys_sync_dir(fs, in_dir(name), &err), &err);
}

/* The content, "-" for no file.  Zeros show as dots. */
static const char *content(const char *name)
{
    static char text[100000];
    struct err err;
    struct buf b;
    struct rc rc;

    buf_init(&b, sizeof text - 1);
    rc = fsys_read_file(&fsys_real, in_dir(name), &b, &err);
    if (rc_failed(rc)) {
        assert_fails(rc, E_NOTFOUND);
        return "-";
    }
    for (size_t i = 0; i < b.size; i++)
        text[i] = b.data[i] == 0 ? '.' : (char)b.data[i];
    text[b.size] = 0;
    buf_fini(&b);
    return text;
}

/* Which of the outcomes it is, as a bit; any other fails the test. */
static unsigned outcome(const char *found, const char *const *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(found, outcomes[i]) == 0)
            return 1u << i;
    fail_msg("not possible: %s", found);
    return 0;
}

static void test_synced_is_safe(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        write_file(fs, "a", "hello", true);
        write_file(fs, "b", "other", true);
        assert_int_equal(fs->rename(fs, in_dir("b"), in_dir("c")), 0);
        sync_dir(".");
        assert_int_equal(fault_power_pending(p), 0);
        cut(seed);
        assert_string_equal(content("a"), "hello");
        assert_string_equal(content("b"), "-");
        assert_string_equal(content("c"), "other");
    }
}

static void test_new_file(void **state)
{
    static const char *const any[] = {"-", "", "hello", "....."}, *const data_safe[] = {"-", "hello"},
                             *const name_safe[] = {"", "hello", "....."};
    unsigned seen[3] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        write_file(fs, "a", "hello", false);
        cut(seed);
        seen[0] |= outcome(content("a"), any, 4);
        begin();
        write_file(fs, "a", "hello", true);
        cut(seed);
        seen[1] |= outcome(content("a"), data_safe, 2);
        begin();
        write_file(fs, "a", "hello", false);
        sync_dir(".");
        cut(seed);
        seen[2] |= outcome(content("a"), name_safe, 3);
    }
    assert_int_equal(seen[0], 15); /* every outcome occurs */
    assert_int_equal(seen[1], 3);
    assert_int_equal(seen[2], 7);
}

/* The mistake that this is for: a rename before the data is safe. */
static void test_rename_without_fsync(void **state)
{
    static const char *const outcomes[] = {"old", "new text", "........", ""};
    unsigned seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        write_file(&fsys_real, "state", "old", true);
        write_file(fs, "tmp", "new text", false);
        assert_int_equal(fs->rename(fs, in_dir("tmp"), in_dir("state")), 0);
        sync_dir(".");
        cut(seed);
        assert_string_equal(content("tmp"), "-");
        seen |= outcome(content("state"), outcomes, 4);
    }
    assert_int_equal(seen, 2 | 4 | 8); /* the name is safe, so never the old one; but lost or empty */
}

static void test_rename_without_directory_sync(void **state)
{
    static const char *const outcomes[] = {"old", "new text"};
    unsigned seen = 0, left = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        write_file(&fsys_real, "state", "old", true);
        write_file(fs, "tmp", "new text", true);
        assert_int_equal(fs->rename(fs, in_dir("tmp"), in_dir("state")), 0);
        cut(seed);
        seen |= outcome(content("state"), outcomes, 2);
        if (strcmp(content("tmp"), "-") != 0) {
            assert_string_equal(content("tmp"), "new text");
            assert_string_equal(content("state"), "old"); /* one rename is atomic */
            left++;
        }
    }
    assert_int_equal(seen, 3);
    assert_true(left > 0);
}

static void test_unlink_and_link(void **state)
{
    unsigned back = 0, gone = 0, linked = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct stat a, b;

        begin();
        write_file(&fsys_real, "a", "kept", true);
        write_file(&fsys_real, "b", "text", true);
        assert_int_equal(fs->unlink(fs, in_dir("a")), 0);
        assert_int_equal(fs->link(fs, in_dir("b"), in_dir("c")), 0);
        cut(seed);
        assert_string_equal(content("b"), "text");
        if (strcmp(content("a"), "-") == 0)
            gone++;
        else {
            assert_string_equal(content("a"), "kept");
            assert_int_equal(stat(in_dir("a"), &a), 0);
            assert_int_equal(a.st_mode & 0777, 0640);
            back++;
        }
        if (strcmp(content("c"), "-") != 0) {
            assert_int_equal(stat(in_dir("b"), &a) | stat(in_dir("c"), &b), 0);
            assert_int_equal(a.st_ino, b.st_ino);
            linked++;
        }
    }
    assert_true(back > 5 && gone > 5);
    assert_in_range(linked, 5, SEEDS - 5);
}

static void test_directories(void **state)
{
    unsigned lost = 0, kept = 0, inner = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        assert_int_equal(fs->mkdir(fs, in_dir("d"), 0700), 0);
        write_file(fs, "d/a", "inside", true);
        write_file(&fsys_real, "d/foreign", "by others", true);
        sync_dir("d");
        write_file(fs, "d/b", "more", true);
        cut(seed);
        if (access(in_dir("d"), F_OK) != 0) {
            lost++; /* and all that was in it, synced or not */
            continue;
        }
        kept++;
        assert_string_equal(content("d/a"), "inside");
        assert_string_equal(content("d/foreign"), "by others");
        inner += strcmp(content("d/b"), "more") == 0;
    }
    assert_true(lost > 5);
    assert_in_range(inner, 1, kept - 1);

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin();
        assert_int_equal(mkdir(in_dir("d"), 0700), 0);
        write_file(&fsys_real, "d/a", "inside", true);
        assert_int_equal(fs->unlink(fs, in_dir("d/a")), 0);
        sync_dir("d");
        assert_int_equal(fs->rmdir(fs, in_dir("d")), 0);
        cut(seed);
        assert_string_equal(content("d/a"), "-"); /* whether the directory came back or not */
    }
}

/* A torn write: old and new sectors, in any mixture, but each sector whole; a part before it that was synced stays. */
static void test_torn_write(void **state)
{
    static char text[4097];
    unsigned mixed = 0, reordered = 0, whole = 0, none = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *found;
        int fd, fresh = 0;
        bool gap = false, late = false;

        begin();
        memset(text, 'o', 4096);
        write_file(fs, "a", text, true);
        sync_dir(".");
        fd = fs->open(fs, in_dir("a"), O_RDWR, 0);
        assert_true(fd >= 0);
        memset(text, 'n', 4096);
        assert_int_equal(fs->pwrite(fs, fd, text, 3584, 256), 3584);
        assert_int_equal(fs->close(fs, fd), 0);
        cut(seed);
        found = content("a");
        assert_int_equal(strlen(found), 4096);
        for (size_t i = 0; i < 256; i++)
            assert_true(found[i] == 'o' && found[4095 - i] == 'o');
        for (size_t s = 0; s < 8; s++) {
            size_t from = s == 0 ? 256 : s * 512, to = s == 7 ? 3840 : (s + 1) * 512;

            for (size_t i = from; i < to; i++)
                assert_int_equal(found[i], found[from]);
            assert_true(found[from] == 'o' || found[from] == 'n');
            fresh += found[from] == 'n';
            late = late || (gap && found[from] == 'n');
            gap = gap || found[from] == 'o';
        }
        whole += fresh == 8;
        none += fresh == 0;
        mixed += fresh > 0 && fresh < 8;
        reordered += late;
    }
    assert_true(whole > 5);
    assert_true(none > 5);
    assert_true(mixed > 5);
    assert_true(reordered > 5);
}

/* A later synced write wins over an earlier one that was never synced, and truncation counts. */
static void test_order_and_truncation(void **state)
{
    static const char *const outcomes[] = {"short", "sho", "sho.."};
    unsigned seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        int fd;

        begin();
        write_file(fs, "a", "first and long", false);
        write_file(fs, "a", "short", true); /* with O_TRUNC */
        sync_dir(".");
        fd = fs->open(fs, in_dir("a"), O_RDWR, 0);
        assert_int_equal(fs->ftruncate(fs, fd, 3), 0);
        assert_int_equal(fs->ftruncate(fs, fd, 5), 0);
        assert_int_equal(fs->close(fs, fd), 0);
        cut(seed);
        seen |= outcome(content("a"), outcomes, 3);
    }
    assert_int_equal(seen, 7);
}

/* After a failed fsync the data is gone, and one that succeeds does not bring it back. */
static void test_failed_fsync(void **state)
{
    static const char *const outcomes[] = {"old text", "........"};
    unsigned seen = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fault_fsys f;
        int fd;

        begin();
        write_file(&fsys_real, "a", "old text", true);
        fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
        f.ops = FAULT_FSYNC;
        fault_power_under(&f, p);
        fd = f.fs.open(&f.fs, in_dir("a"), O_RDWR, 0);
        assert_int_equal(f.fs.pwrite(&f.fs, fd, "new", 3, 0), 3);
        assert_int_equal(f.fs.fsync(&f.fs, fd), -1);
        assert_int_equal(f.fs.fsync(&f.fs, fd), 0);
        assert_int_equal(f.fs.close(&f.fs, fd), 0);
        assert_int_equal(f.open_fds, 0);
        assert_string_equal(content("a"), "new text");
        cut(seed);
        seen |= outcome(content("a"), outcomes, 2);
    }
    assert_int_equal(seen, 1);
}

/* Files that others write stay as they are, also when they were read or removed through the table's directory. */
static void test_files_of_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct stat before, after;
        int fd;

        begin();
        write_file(&fsys_real, "db", "one", true);
        write_file(&fsys_real, "wal", "frames", true);
        fd = fs->open(fs, in_dir("db"), O_RDONLY, 0);
        assert_int_equal(fs->close(fs, fd), 0);
        fd = fs->open(fs, in_dir("wal"), O_RDONLY, 0);
        assert_int_equal(fs->close(fs, fd), 0);
        write_file(&fsys_real, "db", "two two", true);
        assert_int_equal(unlink(in_dir("wal")), 0);
        assert_int_equal(stat(in_dir("db"), &before), 0);
        cut(seed);
        assert_string_equal(content("db"), "two two");
        assert_string_equal(content("wal"), "-");
        assert_int_equal(stat(in_dir("db"), &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
    }
}

static void test_goes_on_after_a_cut(void **state)
{
    (void)state;
    begin();
    write_file(fs, "a", "one", false);
    fault_power_cut(p, 3);
    write_file(fs, "a", "two", true);
    sync_dir(".");
    write_file(fs, "b", "three", true);
    fault_power_cut(p, 4);
    assert_string_equal(content("a"), "two");
    cut(5);
    assert_string_equal(content("a"), "two");
}

static void test_same_seed_same_outcome(void **state)
{
    char first[100];

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (int round = 0; round < 2; round++) {
            begin();
            write_file(fs, "a", "hello", false);
            write_file(fs, "b", "hello", false);
            cut(seed);
            if (round == 0)
                (void)snprintf(first, sizeof first, "%.40s", content("a"));
            else
                assert_string_equal(content("a"), first);
        }
}

static int clean_up(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) | rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synced_is_safe),
        cmocka_unit_test(test_new_file),
        cmocka_unit_test(test_rename_without_fsync),
        cmocka_unit_test(test_rename_without_directory_sync),
        cmocka_unit_test(test_unlink_and_link),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_torn_write),
        cmocka_unit_test(test_order_and_truncation),
        cmocka_unit_test(test_failed_fsync),
        cmocka_unit_test(test_files_of_others),
        cmocka_unit_test(test_goes_on_after_a_cut),
        cmocka_unit_test(test_same_seed_same_outcome),
    };

    if (mkdtemp(dir) == NULL)
        return 1;
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
