/* SPDX-License-Identifier: Apache-2.0 */
#include "folder_kit.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "local_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *in_dir(const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static bool exists(const char *name)
{
    CLEANUP(mem_freep) char *path = in_dir(name);
    struct stat st;

    return lstat(path, &st) == 0;
}

static void put(const char *path, const void *data, size_t n)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, data, n, 0600, &err), &err);
}

static void touch(const char *name)
{
    CLEANUP(mem_freep) char *path = in_dir(name);

    put(path, "x", 1);
}

/* A checkpoint of `count` pages; the hashes are `hashes` afterwards. */
static uint64_t make(struct page_hash *hashes, uint32_t count, uint64_t txid)
{
    struct local_state_content content = {.run_count = 2};
    struct fsys_fd fd = {&fsys_real, -1};
    struct local_log log;
    struct err err;
    uint64_t id;

    page_hash_clear(hashes);
    for (uint32_t pgno = 1; pgno <= count; pgno++)
        assert_ok_err(page_hash_set(hashes, pgno, txid * 1000 + pgno, &err), &err);
    content.pos =
        (struct pos){.txid = txid, .page_size = 512, .page_count = count, .checksum = page_hash_checksum(hashes)};
    local_log_init(&log);
    assert_ok_err(local_files_write(&fsys_real, dir, &content, hashes, &log, &fd, &id, &err), &err);
    assert_int_equal(log.end, LOCAL_FMT_LOG_HEADER_SIZE);
    fsys_closep(&fd);
    return id;
}

static void checkpoint_comes_back(void **state)
{
    static const uint32_t counts[] = {0, 1, 17, 70000};
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new(), *back = page_hash_new();

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t id = make(hashes, counts[i], i + 1);
        struct local_fmt_current cur;
        struct err err;

        assert_ok_err(local_files_read_current(&fsys_real, dir, &cur, &err), &err);
        assert_int_equal(cur.id, id);
        assert_int_equal(cur.content.pos.txid, i + 1);
        assert_int_equal(cur.content.run_count, 2);
        assert_ok_err(local_files_read_pages(&fsys_real, dir, &cur, back, &err), &err);
        assert_int_equal(page_hash_count(back), counts[i]);
        for (uint32_t pgno = 1; pgno <= counts[i]; pgno++)
            assert_int_equal(page_hash_get(back, pgno), page_hash_get(hashes, pgno));
    }
}

static void only_our_left_overs_go(void **state)
{
    static const char *const ours[] = {"pages.0123456789abcdef", "log.0123456789abcdef", "current.tmp"};
    static const char *const others[] = {"lock", "spool", "pages.123", "pages.0123456789ABCDEF", "log.0123456789abcdeg",
        "log.0123456789abcdef0", "pages.0123456789abcdef.bak", "current.tmp2", "xlog.0123456789abcdef"};
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    CLEANUP(mem_freep) char *pages = NULL, *log = NULL, *old_log = NULL, *old_pages = NULL;
    struct err err;
    struct stat st;
    uint64_t id;

    (void)state;
    id = make(hashes, 3, 1);
    old_pages = local_files_pages_path(dir, id);
    old_log = local_files_log_path(dir, id);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        touch(ours[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        touch(others[i]);
    id = make(hashes, 3, 2);
    pages = local_files_pages_path(dir, id);
    log = local_files_log_path(dir, id);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        assert_false(exists(ours[i]));
    assert_true(stat(old_pages, &st) != 0);
    assert_true(stat(old_log, &st) != 0);
    assert_int_equal(stat(pages, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, LOCAL_FMT_PAGES_HEADER_SIZE + 3 * 8);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok_err(local_files_discard(&fsys_real, dir, &err), &err);
    assert_false(exists("current"));
    assert_true(stat(pages, &st) != 0);
    assert_true(stat(log, &st) != 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_true(exists(others[i]));
}

/* The whole directory as a daemon would load it. */
static enum local_state_found load(struct local_state_content *content, struct page_hash *hashes, struct err *err)
{
    enum local_state_found found;
    struct local_state *ls;

    assert_ok_err(local_state_open(&ls, &fsys_real, dir, err), err);
    assert_ok_err(local_state_load(ls, content, hashes, &found, err), err);
    local_state_close(ls);
    return found;
}

/* Every byte of the file wrong in turn, and the file cut at every length: broken, with a reason, and never good. */
static void damage(const char *path)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    CLEANUP(buf_fini) struct buf whole;
    struct local_state_content content;
    struct err err;

    buf_init(&whole, 100000);
    assert_ok_err(fsys_read_file(&fsys_real, path, &whole, &err), &err);
    for (size_t i = 0; i < 2 * whole.size; i++) {
        size_t at = i / 2;

        if (i % 2 == 0) {
            whole.data[at] ^= 0x40;
            put(path, whole.data, whole.size);
            whole.data[at] ^= 0x40;
        } else
            put(path, whole.data, at);
        err.msg[0] = 0;
        assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_BROKEN);
        assert_non_null(strstr(err.msg, dir));
        assert_int_equal(page_hash_count(hashes), 0);
    }
    put(path, whole.data, whole.size);
    assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_GOOD);
    assert_int_equal(page_hash_count(hashes), 3);
}

static void damage_is_found(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    uint64_t id = make(hashes, 3, 7);
    CLEANUP(mem_freep) char *pages = local_files_pages_path(dir, id), *log = local_files_log_path(dir, id);
    CLEANUP(mem_freep) char *current = in_dir("current");

    (void)state;
    damage(current);
    damage(pages);
    damage(log);
}

/* Two entries change places: the XOR cannot tell, the file's hash does. */
static void exchanged_entries_are_found(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    CLEANUP(mem_freep) char *path = local_files_pages_path(dir, make(hashes, 3, 7));
    CLEANUP(buf_fini) struct buf b;
    struct local_state_content content;
    uint8_t entry[8], *first, *third;
    struct err err;

    (void)state;
    buf_init(&b, 1000);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &err), &err);
    first = b.data + LOCAL_FMT_PAGES_HEADER_SIZE;
    third = first + 16;
    memcpy(entry, first, 8);
    memcpy(first, third, 8);
    memcpy(third, entry, 8);
    put(path, b.data, b.size);
    assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_BROKEN);
    assert_non_null(strstr(err.msg, "hash of the content is wrong"));
}

static void missing_files_are_found(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content;
    enum local_state_found found;
    struct err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        uint64_t id = make(hashes, 3, 7);
        CLEANUP(mem_freep) char *path = i == 0 ? local_files_pages_path(dir, id) : local_files_log_path(dir, id);

        assert_int_equal(unlink(path), 0);
        assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_BROKEN);
        assert_non_null(strstr(err.msg, path));
        assert_int_equal(content.pos.txid, 7);
        assert_ok_err(local_state_peek(&fsys_real, dir, &content, &found, &err), &err);
        assert_int_equal(found, i == 0 ? LOCAL_STATE_GOOD : LOCAL_STATE_BROKEN); /* it does not read the index */
        assert_int_equal(content.pos.txid, 7);
    }
    assert_ok_err(local_files_discard(&fsys_real, dir, &err), &err);
    assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_NONE);
    assert_int_equal(content.pos.txid, 0);
    assert_ok_err(local_state_peek(&fsys_real, dir, &content, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_NONE);
    assert_ok_err(local_state_peek(&fsys_real, "/tmp/no-such-place", &content, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_NONE);
}

/* Files of one checkpoint do not pass for those of another. */
static void mixed_files_are_found(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct buf old[2];
    struct local_state_content content;
    struct err err;
    uint64_t id;

    (void)state;
    id = make(hashes, 3, 7);
    for (int i = 0; i < 2; i++) {
        CLEANUP(mem_freep) char *path = i == 0 ? local_files_pages_path(dir, id) : local_files_log_path(dir, id);

        buf_init(&old[i], 1000);
        assert_ok_err(fsys_read_file(&fsys_real, path, &old[i], &err), &err);
    }
    for (int i = 0; i < 2; i++) {
        id = make(hashes, 3, 7); /* the same content */
        CLEANUP(mem_freep) char *path = i == 0 ? local_files_pages_path(dir, id) : local_files_log_path(dir, id);

        put(path, old[i].data, old[i].size);
        assert_int_equal(load(&content, hashes, &err), LOCAL_STATE_BROKEN);
        assert_non_null(strstr(err.msg, "not the file that was written with this checkpoint"));
    }
    buf_fini(&old[0]);
    buf_fini(&old[1]);
}

/* What cannot be read for a reason that may pass is an error; what will not pass is broken. */
static void errors_are_told_apart(void **state)
{
    static const struct {
        int sys;
        bool broken;
    } list[] = {{EIO, true}, {EACCES, false}, {EMFILE, false}, {ENOMEM, false}, {ELOOP, true}};
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct err err;

    (void)state;
    (void)make(hashes, 3, 7);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        enum local_state_found found = LOCAL_STATE_GOOD;
        struct local_state_content content;
        struct fault_fsys f;
        struct local_state *ls;
        struct rc rc;

        fault_fsys_init(&f, FAULT_FOREVER, 0, list[i].sys);
        assert_ok_err(local_state_open(&ls, &f.fs, dir, &err), &err);
        f.ops = FAULT_OPEN;
        f.countdown = 1;
        rc = local_state_load(ls, &content, hashes, &found, &err);
        assert_int_equal(rc_failed(rc), !list[i].broken);
        assert_int_equal(err.sys, list[i].sys);
        assert_int_equal(found, list[i].broken ? LOCAL_STATE_BROKEN : LOCAL_STATE_GOOD);
        assert_false(local_state_ok(ls));
        f.fired = 0;
        f.countdown = 0;
        assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
        assert_int_equal(found, LOCAL_STATE_GOOD);
        assert_true(local_state_ok(ls));
        local_state_close(ls);
    }
    assert_ok_err(local_files_discard(&fsys_real, dir, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_comes_back),
        cmocka_unit_test(only_our_left_overs_go),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(exchanged_entries_are_found),
        cmocka_unit_test(missing_files_are_found),
        cmocka_unit_test(mixed_files_are_found),
        cmocka_unit_test(errors_are_told_apart),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
