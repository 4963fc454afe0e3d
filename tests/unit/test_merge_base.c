/* SPDX-License-Identifier: Apache-2.0 */
/* The saved index: round trips, damage, failures at every file operation. */
#include "folder_kit.h"
#include "kill_kit.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "merge_base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES = 300, HEADER = 176 };

static char *in_dir(const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static bool exists(const char *name)
{
    CLEANUP(mem_freep) char *path = in_dir(name);

    return access(path, F_OK) == 0;
}

/* --- states --------------------------------------------------------------------------------------------------------
 */

static struct page_hash *make_index(uint64_t seed)
{
    struct page_hash *h = page_hash_new();
    struct err err;

    for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
        assert_ok_err(page_hash_set(h, pgno, seed * 1000003 + pgno * 7919, &err), &err);
    return h;
}

static struct merge_base_info make_info(const struct page_hash *h, uint64_t txid)
{
    return (struct merge_base_info){
        .database = {{1, 2, 3}},
        .pos =
            {
                .timeline = 4,
                .txid = txid,
                .time_ms = 1790000000000,
                .checksum = page_hash_checksum(h),
                .page_size = 4096,
                .page_count = page_hash_count(h),
            },
        .snapshot_txid = 3,
        .snapshot_time_ms = 1780000000000,
        .snapshot_bytes = 123456,
        .merge_bytes = 789,
        .log_bytes = 4321,
        .log_bytes_long = 99,
    };
}

static struct rc save(const struct fsys *fs, unsigned level, uint64_t txid, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *h = make_index(txid);
    const struct merge_base_info info = make_info(h, txid);
    uint64_t entries_hash = 0;

    TRY(merge_base_stage(fs, dir, h, &entries_hash, err));
    return merge_base_adopt(fs, dir, level, &info, entries_hash, err);
}

/* The txid of what is there, proven; 0: nothing usable. */
static uint64_t load(unsigned level)
{
    CLEANUP(page_hash_freep) struct page_hash *h = NULL;
    CLEANUP(page_hash_freep) struct page_hash *want = NULL;
    struct merge_base_info info = {0}, peeked = {0};
    struct err err;
    struct rc rc = merge_base_load(&fsys_real, dir, level, &info, &h, &err);

    if (rc_failed(rc)) {
        assert_null(h);
        return 0;
    }
    assert_ok_err(merge_base_peek(&fsys_real, dir, level, &peeked, &err), &err);
    assert_memory_equal(&peeked.database, &info.database, sizeof info.database);
    assert_int_equal(peeked.pos.txid, info.pos.txid);
    want = make_index(info.pos.txid);
    assert_int_equal(page_hash_count(h), PAGES);
    for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
        assert_true(page_hash_get(h, pgno) == page_hash_get(want, pgno));
    assert_int_equal(info.pos.timeline, 4);
    assert_int_equal(info.pos.page_size, 4096);
    assert_int_equal(info.pos.time_ms, 1790000000000);
    assert_int_equal(info.snapshot_txid, 3);
    assert_int_equal(info.snapshot_time_ms, 1780000000000);
    assert_int_equal(info.snapshot_bytes, 123456);
    assert_int_equal(info.merge_bytes, 789);
    assert_int_equal(info.log_bytes, 4321);
    assert_int_equal(info.log_bytes_long, 99);
    return info.pos.txid;
}

static void drop_all(void)
{
    merge_base_drop(&fsys_real, dir, 1);
    merge_base_drop(&fsys_real, dir, 2);
    merge_base_unstage(&fsys_real, dir);
}

/* --- tests ---------------------------------------------------------------------------------------------------------
 */

static void test_levels(void **state)
{
    struct merge_base_info info;
    struct err err;

    (void)state;
    assert_fails(merge_base_peek(&fsys_real, dir, 1, &info, &err), E_NOTFOUND);
    assert_ok_err(save(&fsys_real, 2, 10, &err), &err);
    assert_int_equal(load(1), 0);
    assert_int_equal(load(2), 10);
    assert_ok_err(save(&fsys_real, 1, 20, &err), &err);
    assert_int_equal(load(1), 20);
    assert_int_equal(load(2), 10);
    assert_ok_err(save(&fsys_real, 2, 30, &err), &err); /* is the base of both */
    assert_int_equal(load(1), 0);
    assert_int_equal(load(2), 30);
    assert_false(exists("merge.tmp"));
    drop_all();
    assert_int_equal(load(2), 0);
}

static void test_staged_only(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *h = make_index(9);
    uint64_t hash;
    struct err err;

    (void)state;
    assert_ok_err(save(&fsys_real, 1, 5, &err), &err);
    assert_ok_err(merge_base_stage(&fsys_real, dir, h, &hash, &err), &err);
    assert_true(exists("merge.tmp"));
    assert_int_equal(load(1), 5);
    merge_base_unstage(&fsys_real, dir);
    assert_false(exists("merge.tmp"));
    assert_int_equal(load(1), 5);
    drop_all();
}

static void read_file(struct buf *out)
{
    CLEANUP(mem_freep) char *path = in_dir("merge.1");
    struct err err;

    buf_init(out, 1 << 20);
    assert_ok_err(fsys_read_file(&fsys_real, path, out, &err), &err);
}

static void write_file(const void *data, size_t n)
{
    CLEANUP(mem_freep) char *path = in_dir("merge.1");
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, data, n, 0600, &err), &err);
}

/* Every byte of the header, many of the entries, every length. */
static void test_damaged(void **state)
{
    struct buf b;
    struct err err;

    (void)state;
    assert_ok_err(save(&fsys_real, 1, 5, &err), &err);
    read_file(&b);
    assert_int_equal(b.size, HEADER + PAGES * 8);
    for (size_t i = 0; i < b.size; i += i < HEADER ? 1 : 53) {
        b.data[i] ^= 0x20;
        write_file(b.data, b.size);
        assert_int_equal(load(1), 0);
        b.data[i] ^= 0x20;
    }
    for (size_t n = 0; n < b.size; n += n < HEADER + 8 ? 1 : 97) {
        write_file(b.data, n);
        assert_int_equal(load(1), 0);
    }
    buf_u8(&b, 0);
    write_file(b.data, b.size);
    assert_int_equal(load(1), 0);
    write_file(b.data, b.size - 1);
    assert_int_equal(load(1), 5);
    buf_fini(&b);
    drop_all();
}

/* Whole, but the index is not the one of the state that it names. */
static void test_of_another_state(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *h = make_index(9);
    struct merge_base_info info = make_info(h, 9);
    struct page_hash *found = NULL;
    uint64_t hash;
    struct err err;

    (void)state;
    info.pos.checksum ^= 1;
    assert_ok_err(merge_base_stage(&fsys_real, dir, h, &hash, &err), &err);
    assert_ok_err(merge_base_adopt(&fsys_real, dir, 1, &info, hash, &err), &err);
    assert_fails(merge_base_load(&fsys_real, dir, 1, &info, &found, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "its state checksum is"));
    info = make_info(h, 9);
    info.pos.page_count++;
    assert_ok_err(merge_base_stage(&fsys_real, dir, h, &hash, &err), &err);
    assert_ok_err(merge_base_adopt(&fsys_real, dir, 1, &info, hash, &err), &err);
    assert_fails(merge_base_load(&fsys_real, dir, 1, &info, &found, &err), E_CORRUPT);
    assert_null(found);
    drop_all();
}

static void test_faults(void **state)
{
    unsigned n = 1;

    (void)state;
    for (enum fault_mode mode = FAULT_ONCE; mode <= FAULT_FOREVER; mode++)
        for (n = 1;; n++) {
            struct fault_fsys f;
            struct err err;
            struct rc rc;

            drop_all();
            assert_ok_err(save(&fsys_real, 1, 5, &err), &err);
            fault_fsys_init(&f, mode, n, EIO);
            rc = save(&f.fs, 1, 6, &err);
            assert_int_equal(f.open_fds, 0);
            assert_true(load(1) == 5 || load(1) == 6);
            if (f.fired == 0)
                break;
            if (rc_failed(rc))
                assert_non_null(strstr(err.msg, "Input/output error"));
            else
                assert_int_equal(load(1), 6);
        }
    assert_in_range(n, 8, 40);
    drop_all();
}

/* Killed anywhere, the old base or the new one is there, and the next run works. */
static struct rc save_second(const struct fsys *fs, void *err)
{
    return save(fs, 2, 6, err);
}

static void test_killed(void **state)
{
    struct err err;
    unsigned n = 1;

    (void)state;
    for (n = 1;; n++) {
        bool killed;

        drop_all();
        assert_ok_err(save(&fsys_real, 1, 5, &err), &err);
        killed = killed_at(n, save_second, &err);
        assert_true(load(1) == 5 || load(2) == 6);
        assert_true(load(2) == 0 || load(2) == 6);
        assert_ok_err(save(&fsys_real, 2, 7, &err), &err);
        assert_int_equal(load(2), 7);
        assert_int_equal(load(1), 0);
        if (!killed)
            break;
    }
    assert_in_range(n, 6, 40);
    drop_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_staged_only),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_of_another_state),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
