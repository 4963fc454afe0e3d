/* SPDX-License-Identifier: Apache-2.0 */
/* Segments kept for folds: which folds come of them, over restarts, damaged files and failing disks.  Whatever happens,
 * a fold has exactly the bytes of consecutive segments. */
#include "check.h"

#include "fault_fsys.h"
#include "fold.h"
#include "fold_keep.h"
#include "seg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, COUNT = 4, LARGE = COUNT * COUNT, SEGMENTS_MAX = 300, AGE = 1000, PATH_MAX_ = 128 };

static char top[] = "/tmp/test_fold_keep.XXXXXX";
static char dir[PATH_MAX_], file[PATH_MAX_ + 8];
static const struct nonce database = {{1, 2, 3}}, run = {{4, 5}};
static struct buf segments[SEGMENTS_MAX]; /* by first txid: what the replica has */
static struct {
    unsigned smalls, larges;
    uint64_t reached; /* the last txid in a large fold */
} made;

/* --- segments ----------------------------------------------------------------------------------------------------- */

static uint64_t seed = 1;

/* One commit, with so many random pages. */
static struct span segment(uint64_t txid, uint32_t pages)
{
    struct seg_enc_opts opts = {database, {{9}}, 1, PAGE_SIZE, txid - 1, 77};
    struct seg_commit commit = {
        .txid = txid, .time_ms = 1790000000000 + (int64_t)txid, .page_count = pages, .checksum = 5};
    struct buf *out = &segments[txid];
    struct seg_enc *e = seg_enc_new(&opts);
    uint8_t page[PAGE_SIZE];
    struct err err;

    for (uint32_t p = 1; p <= pages; p++) {
        for (size_t i = 0; i < sizeof page; i++)
            page[i] = (uint8_t)check_random(&seed);
        assert_ok_err(seg_enc_page(e, p, page, NULL, &err), &err);
    }
    assert_ok_err(seg_enc_commit(e, &commit, &err), &err);
    buf_fini(out);
    buf_init(out, 1 << 20);
    assert_ok_err(seg_enc_finish(e, out, &err), &err);
    seg_enc_free(e);
    return buf_span(out);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    (void)snprintf(dir, sizeof dir, "%s/fold", top);
    (void)snprintf(file, sizeof file, "%s/kept", dir);
    return 0;
}

static int clean(void **state)
{
    char tmp[PATH_MAX_ + 16];

    (void)state;
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", file);
    (void)unlink(file);
    (void)unlink(tmp);
    (void)rmdir(dir);
    memset(&made, 0, sizeof made);
    for (size_t i = 0; i < SEGMENTS_MAX; i++)
        buf_fini(&segments[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(top);
}

static struct fold_keep_opts options(const struct fsys *fs)
{
    return (struct fold_keep_opts){
        .fs = fs, .dir = dir, .database = database, .timeline = 1, .count = COUNT, .delete_after_ms = AGE};
}

static struct fold_keep *open_keep(uint64_t now)
{
    struct fold_keep_opts opts = options(&fsys_real);
    struct fold_keep *k;
    struct err err;

    assert_ok_err(fold_keep_open(&k, &opts, now, &err), &err);
    return k;
}

static void add(struct fold_keep *k, uint64_t txid, uint32_t pages, uint64_t now)
{
    struct err err;

    assert_ok_err(fold_keep_add(k, segment(txid, pages), now, &err), &err);
}

/* --- folds -------------------------------------------------------------------------------------------------------- */

/* It is what its key says, and its segments are those that were shipped, byte for byte. */
static void check_fold(const struct fold_keep_next *n)
{
    struct fold f;
    struct err err;

    assert_ok_err(fold_decode(buf_span(&n->object), &f, &err), &err);
    assert_int_equal(f.timeline, n->timeline);
    assert_true(nonce_equal(&f.pack.database, &database));
    assert_true(nonce_equal(&f.pack.writer, &run));
    assert_int_equal(f.rows[0].first_txid, n->first_txid);
    assert_int_equal(f.rows[f.count - 1].last_txid, n->last_txid);
    assert_in_range(f.count, 2, n->level == 1 ? COUNT : LARGE);
    for (size_t i = 0; i < f.count; i++) {
        const struct buf *s = &segments[f.rows[i].first_txid];

        assert_int_equal(f.rows[i].size, s->size);
        assert_memory_equal(n->object.data + f.rows[i].offset, s->data, s->size);
        assert_int_equal(f.rows[i].time_ms, 1790000000000 + (int64_t)f.rows[i].last_txid);
    }
    fold_fini(&f);
}

/* Store all that is due.  Returns how many. */
static unsigned store_due(struct fold_keep *k, uint64_t now)
{
    unsigned n = 0;

    for (;; n++) {
        struct fold_keep_next next;
        struct err err;

        assert_ok_err(fold_keep_next(k, &run, &next, &err), &err);
        if (next.level == 0)
            return n;
        check_fold(&next);
        made.smalls += next.level == 1;
        made.larges += next.level == 2;
        if (next.level == 2)
            made.reached = next.last_txid;
        buf_fini(&next.object);
        assert_ok_err(fold_keep_folded(k, &next, now, &err), &err);
    }
}

static void test_two_levels(void **state)
{
    struct fold_keep *k = open_keep(0);

    (void)state;
    for (uint64_t txid = 1; txid <= 4 * LARGE + 6; txid++) {
        add(k, txid, 1, txid);
        (void)store_due(k, txid);
    }
    assert_int_equal(made.smalls, 4 * COUNT + 1);
    assert_int_equal(made.larges, 4);
    assert_int_equal(made.reached, 4 * LARGE);
    assert_int_equal(fold_keep_member_count(k), 6);
    assert_int_equal(fold_keep_first_txid(k), 4 * LARGE + 1);
    /* 17 small folds' segments, and 16 small folds. */
    assert_int_equal(fold_keep_trash_count(k), 17 * COUNT + 4 * COUNT);
    fold_keep_close(k);
}

/* Where a segment is missing a fold ends; what is alone then stays alone. */
static void test_breaks(void **state)
{
    struct fold_keep *k = open_keep(0);

    (void)state;
    for (uint64_t txid = 1; txid <= 100; txid++) {
        if (txid == 4 || txid == 6 || txid == 27 || txid == 28 || txid == 40)
            continue;
        add(k, txid, 1, txid);
        (void)store_due(k, txid);
    }
    /* 1-3, [5], 7-10 11-14 15-18 19-22 23-26 (large: 7-22), 29-32 33-36 37-39 (large: 29-39), from 41 on 15 (3 large)
     */
    assert_int_equal(made.smalls, 1 + 5 + 3 + 15);
    assert_int_equal(made.larges, 1 + 1 + 3);
    assert_int_equal(fold_keep_member_count(k), 12);
    fold_keep_close(k);
}

static void test_too_large(void **state)
{
    struct fold_keep *k = open_keep(0);

    (void)state;
    add(k, 1, 1, 0);
    add(k, 2, FOLD_KEEP_SEGMENT_MAX / PAGE_SIZE + 1, 0); /* not kept */
    add(k, 3, 1, 0);
    assert_int_equal(fold_keep_member_count(k), 2);
    fold_keep_close(k);
}

/* A large fold has at most FOLD_KEEP_FOLD_MAX bytes. */
static void test_size_limit(void **state)
{
    struct fold_keep_opts opts = options(&fsys_real);
    struct fold_keep *k;
    struct err err;

    (void)state;
    opts.count = 8;
    assert_ok_err(fold_keep_open(&k, &opts, 0, &err), &err);
    for (uint64_t txid = 1; txid <= 41; txid++) {
        struct fold_keep_next next;

        add(k, txid, 480, txid); /* 240 KiB: 34 of them fit */
        for (;;) {
            assert_ok_err(fold_keep_next(k, &run, &next, &err), &err);
            if (next.level == 0)
                break;
            assert_true(next.object.size < FOLD_KEEP_FOLD_MAX + FOLD_HEAD_MAX);
            if (next.level == 2) {
                assert_int_equal(next.first_txid, 1);
                assert_int_equal(next.last_txid, 32);
                made.larges++;
            }
            buf_fini(&next.object);
            assert_ok_err(fold_keep_folded(k, &next, txid, &err), &err);
        }
    }
    assert_int_equal(made.larges, 1);
    fold_keep_close(k);
}

static void test_restarts(void **state)
{
    struct fold_keep *k = open_keep(0);

    (void)state;
    for (uint64_t txid = 1; txid <= 5 * LARGE; txid++) {
        size_t members, trash;

        add(k, txid, 1, txid);
        if (txid % 3 == 0) {
            fold_keep_close(k);
            k = open_keep(txid);
        }
        (void)store_due(k, txid);
        members = fold_keep_member_count(k);
        trash = fold_keep_trash_count(k);
        if (txid % 2 == 0) {
            fold_keep_close(k);
            k = open_keep(txid);
            assert_int_equal(fold_keep_member_count(k), members);
            assert_int_equal(fold_keep_trash_count(k), trash);
            assert_int_equal(store_due(k, txid), 0); /* nothing is made twice */
        }
    }
    assert_int_equal(made.larges, 5);
    fold_keep_close(k);
}

static void test_of_another(void **state)
{
    struct fold_keep_opts opts = options(&fsys_real);
    struct fold_keep *k = open_keep(0);
    struct err err;

    (void)state;
    add(k, 1, 1, 0);
    fold_keep_close(k);
    opts.timeline = 2;
    assert_ok_err(fold_keep_open(&k, &opts, 0, &err), &err);
    assert_int_equal(fold_keep_member_count(k), 0);
    assert_ok_err(fold_keep_add(k, segment(2, 1), 0, &err), &err); /* a segment of timeline 1 */
    assert_int_equal(fold_keep_member_count(k), 0);
    fold_keep_close(k);
    opts.timeline = 1;
    opts.database.bytes[0]++;
    assert_ok_err(fold_keep_open(&k, &opts, 0, &err), &err);
    assert_int_equal(fold_keep_member_count(k), 0);
    fold_keep_close(k);
}

static void test_skip(void **state)
{
    struct fold_keep *k = open_keep(0);
    struct fold_keep_next next;
    struct err err;

    (void)state;
    for (uint64_t txid = 1; txid <= COUNT; txid++)
        add(k, txid, 1, 0);
    assert_ok_err(fold_keep_next(k, &run, &next, &err), &err);
    assert_int_equal(next.level, 1);
    buf_fini(&next.object);
    assert_ok_err(fold_keep_skip(k, &next, &err), &err);
    assert_int_equal(store_due(k, 0), 0);
    assert_int_equal(fold_keep_trash_count(k), 0);
    for (uint64_t txid = COUNT + 1; txid <= COUNT + LARGE + 1; txid++)
        add(k, txid, 1, 0);
    (void)store_due(k, 0);
    assert_int_equal(made.larges, 1);
    assert_int_equal(made.reached, COUNT + LARGE);
    fold_keep_close(k);
}

/* --- deletion ----------------------------------------------------------------------------------------------------- */

static void test_due(void **state)
{
    static layout_text keys[100];
    struct fold_keep *k = open_keep(0);
    struct err err;
    size_t n;

    (void)state;
    for (uint64_t txid = 1; txid <= LARGE - COUNT; txid++)
        add(k, txid, 1, txid);
    (void)store_due(k, 50);
    assert_int_equal(fold_keep_trash_count(k), LARGE - COUNT);
    assert_int_equal(fold_keep_due(k, AGE - 1, 100, keys, 100), 0);
    assert_int_equal(fold_keep_due(k, AGE + 3, 100, keys, 100), 0); /* 3 are too few for a request */
    n = fold_keep_due(k, AGE + 5, 100, keys, 100);
    assert_int_equal(n, 5);
    assert_string_equal(keys[0], "t/00000001/log/0000000000000001");
    assert_string_equal(keys[4], "t/00000001/log/0000000000000005");
    assert_int_equal(fold_keep_due(k, AGE + 5, 5, keys, 100), 4); /* never the last one */
    assert_int_equal(fold_keep_due(k, AGE + 5, 100, keys, 4), 4);
    assert_ok_err(fold_keep_deleted(k, 5, &err), &err);
    fold_keep_close(k);
    k = open_keep(20);
    assert_int_equal(fold_keep_trash_count(k), LARGE - COUNT - 5);
    assert_int_equal(fold_keep_due(k, AGE + 19, 100, keys, 100), 0); /* a new process waits anew */
    for (uint64_t txid = LARGE - COUNT + 1; txid <= LARGE; txid++)
        add(k, txid, 1, 21);
    (void)store_due(k, 22);
    assert_int_equal(made.larges, 1);
    n = fold_keep_due(k, 2 * AGE, 100, keys, 100);
    assert_int_equal(n, LARGE - 5 + COUNT);
    assert_string_equal(keys[n - 1], "t/00000001/fold/000000000000000d-0000000000000010");
    fold_keep_forbid(k);
    assert_int_equal(fold_keep_due(k, 2 * AGE, 100, keys, 100), 0);
    fold_keep_close(k);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static void read_file(struct buf *out)
{
    struct err err;

    buf_init(out, 64 << 20);
    assert_ok_err(fsys_read_file(&fsys_real, file, out, &err), &err);
}

static void write_file(const uint8_t *data, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
}

/* Go on with the file that is there: what is still made is right (check_fold). */
static void go_on(uint64_t txid)
{
    struct fold_keep *k = open_keep(0);

    for (unsigned i = 0; i < LARGE + COUNT; i++) {
        struct err err;

        assert_ok_err(fold_keep_add(k, buf_span(&segments[txid + i]), 0, &err), &err);
        (void)store_due(k, 0);
    }
    assert_true(fold_keep_member_count(k) <= LARGE + COUNT);
    fold_keep_close(k);
}

static void test_damage(void **state)
{
    const uint64_t first = LARGE + 2 * COUNT + 2;
    struct fold_keep *k = open_keep(0);
    struct buf good;

    (void)state;
    for (uint64_t txid = 1; txid < first; txid++) {
        add(k, txid, 1, 0);
        (void)store_due(k, 0);
    }
    fold_keep_close(k);
    for (uint64_t txid = first; txid < first + LARGE + COUNT; txid++)
        (void)segment(txid, 1);
    read_file(&good);
    for (size_t i = 0; i < good.size; i += 7) {
        good.data[i] ^= (uint8_t)(1u << i % 8);
        write_file(good.data, good.size);
        go_on(first);
        good.data[i] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < good.size; n += 31) {
        write_file(good.data, n);
        go_on(first);
    }
    buf_fini(&good);
}

/* --- failing disks ------------------------------------------------------------------------------------------------ */

static struct rc life(struct fold_keep *k, struct err *err)
{
    for (uint64_t txid = 1; txid <= LARGE + COUNT + 1; txid++) {
        struct fold_keep_next next;

        TRY(fold_keep_add(k, buf_span(&segments[txid]), txid, err));
        TRY(fold_keep_next(k, &run, &next, err));
        for (; next.level != 0;) {
            check_fold(&next);
            buf_fini(&next.object);
            TRY(fold_keep_folded(k, &next, txid, err));
            TRY(fold_keep_next(k, &run, &next, err));
        }
    }
    return fold_keep_deleted(k, 3, err);
}

static void walk_faults(enum fault_mode mode)
{
    long n;

    for (uint64_t txid = 1; txid <= LARGE + COUNT + 1; txid++)
        (void)segment(txid, 1);
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct fold_keep_opts opts = options(&f.fs);
        struct fold_keep *k = NULL;
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, mode, n, EIO);
        f.short_io = true;
        rc = fold_keep_open(&k, &opts, 0, &err);
        if (!rc_failed(rc))
            rc = life(k, &err);
        if (rc_failed(rc))
            assert_non_null(strstr(err.msg, strerrordesc_np(EIO)));
        if (n % 2 == 0)
            fold_keep_close(k);
        else
            fold_keep_drop(k);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0)
            break;
        fold_keep_close(open_keep(0)); /* whatever is left can be opened */
        (void)unlink(file);
    }
    assert_in_range(n, 40, 2000);
}

static void test_faults(void **state)
{
    (void)state;
    walk_faults(FAULT_ONCE);
}

static void test_faults_forever(void **state)
{
    (void)state;
    walk_faults(FAULT_FOREVER);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_two_levels, clean),
        cmocka_unit_test_teardown(test_breaks, clean),
        cmocka_unit_test_teardown(test_too_large, clean),
        cmocka_unit_test_teardown(test_size_limit, clean),
        cmocka_unit_test_teardown(test_restarts, clean),
        cmocka_unit_test_teardown(test_of_another, clean),
        cmocka_unit_test_teardown(test_skip, clean),
        cmocka_unit_test_teardown(test_due, clean),
        cmocka_unit_test_teardown(test_damage, clean),
        cmocka_unit_test_teardown(test_faults, clean),
        cmocka_unit_test_teardown(test_faults_forever, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
