/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "dbfmt.h"
#include "page_model.h"
#include "seg.h"
#include "seg_diff.h"

#include <string.h>

enum { PARTS_MAX = 8, COMMITS_MAX = 300 };

/* One history: the model goes ahead, the segment follows, `start` is where both began. */
struct walk {
    struct page_model now, start;
    struct seg_enc *enc;
    struct seg_commit commits[COMMITS_MAX];
    uint64_t hashes[COMMITS_MAX]; /* of the whole model, after each commit */
    size_t commit_count;
    struct buf parts[PARTS_MAX], object;
    size_t part_count;
    /* While decoding. */
    struct page_model replayed;
    size_t replayed_count;
    uint64_t seen;
};

static struct seg_enc_opts opts_of(uint32_t page_size)
{
    return (struct seg_enc_opts){
        .database = {{1, 2, 3}},
        .writer = {{9, 8, 7}},
        .timeline = 3,
        .page_size = page_size,
        .base_txid = 1000,
        .base_checksum = 0x123456789abcdef0,
    };
}

static void walk_init(struct walk *w, uint32_t page_size, uint32_t room, uint64_t seed)
{
    struct seg_enc_opts opts = opts_of(page_size);

    memset(w, 0, sizeof *w);
    page_model_init(&w->now, page_size, room, seed);
    for (uint32_t pgno = 1; pgno <= room / 2; pgno++)
        page_model_change(&w->now, pgno);
    page_model_copy(&w->start, &w->now);
    w->enc = seg_enc_new(&opts);
    buf_init(&w->object, SEG_OBJECT_MAX);
    for (size_t i = 0; i < PARTS_MAX; i++)
        buf_init(&w->parts[i], 0);
}

static void walk_fini(struct walk *w)
{
    page_model_fini(&w->now);
    page_model_fini(&w->start);
    seg_enc_freep(&w->enc);
    buf_fini(&w->object);
    for (size_t i = 0; i < PARTS_MAX; i++)
        buf_fini(&w->parts[i]);
}

static void take_parts(struct walk *w)
{
    uint32_t number = 99;

    while (seg_enc_take_part(w->enc, &w->parts[w->part_count], &number)) {
        assert_int_equal(number, w->part_count);
        w->part_count++;
        assert_in_range(w->part_count, 1, PARTS_MAX - 1);
    }
}

/* Change a page of the model and tell the encoder; `based`: with its image before. */
static void walk_page(struct walk *w, uint32_t pgno, bool based)
{
    uint8_t *base = mem_new(w->now.page_size);
    struct err err;

    memcpy(base, page_model_page(&w->now, pgno), w->now.page_size);
    page_model_change(&w->now, pgno);
    assert_ok_err(seg_enc_page(w->enc, pgno, page_model_page(&w->now, pgno), based ? base : NULL, &err), &err);
    mem_free(base);
    take_parts(w);
}

static void walk_commit(struct walk *w, uint32_t flags)
{
    struct seg_commit *c = &w->commits[w->commit_count];
    struct err err;

    assert_in_range(w->commit_count, 0, COMMITS_MAX - 1);
    *c = (struct seg_commit){
        .txid = 1001 + w->commit_count,
        .time_ms = 1700000000000 + (int64_t)(w->commit_count * w->commit_count * 100),
        .page_count = w->now.count + page_model_random(&w->now, 3),
        .flags = flags,
        .checksum = check_random(&w->now.seed),
        .change_count = seg_enc_pending(w->enc),
    };
    w->hashes[w->commit_count++] = page_model_hash(&w->now);
    assert_ok_err(seg_enc_commit(w->enc, c, &err), &err);
    take_parts(w);
}

static void walk_finish(struct walk *w)
{
    uint64_t stored = 0;
    struct err err;

    assert_int_equal(seg_enc_commit_count(w->enc), w->commit_count);
    assert_int_equal(seg_enc_pending(w->enc), 0);
    assert_ok_err(seg_enc_finish(w->enc, &w->object, &err), &err);
    for (size_t i = 0; i < w->part_count; i++)
        stored += w->parts[i].size;
    assert_int_equal(seg_enc_stored_size(w->enc), stored + w->object.size);
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct walk *w = ctx;

    (void)err;
    memcpy(page, page_model_page(&w->replayed, pgno), w->replayed.page_size);
    return RC_OK;
}

static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct walk *w = ctx;

    (void)err;
    memcpy(page_model_page(&w->replayed, pgno), page, w->replayed.page_size);
    w->seen++;
    return RC_OK;
}

static void assert_commit(const struct seg_commit *got, const struct seg_commit *want)
{
    assert_int_equal(got->txid, want->txid);
    assert_int_equal(got->time_ms, want->time_ms);
    assert_int_equal(got->page_count, want->page_count);
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->checksum, want->checksum);
    assert_int_equal(got->change_count, want->change_count);
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct walk *w = ctx;

    (void)stop;
    (void)err;
    assert_in_range(w->replayed_count, 0, w->commit_count - 1);
    assert_commit(commit, &w->commits[w->replayed_count]);
    assert_int_equal(w->seen, commit->change_count);
    assert_int_equal(page_model_hash(&w->replayed), w->hashes[w->replayed_count]);
    w->replayed_count++;
    w->seen = 0;
    return RC_OK;
}

/* Decode all from the start, and compare with the model at every commit. */
static void walk_replay(struct walk *w)
{
    const struct seg_apply_ops ops = {on_read, on_write, on_commit, w};
    struct seg_enc_opts opts = opts_of(w->now.page_size);
    const struct seg_info *info;
    struct seg_dec *d;
    bool stopped = true;
    struct err err;

    assert_ok_err(seg_dec_open(&d, buf_span(&w->object), &err), &err);
    info = seg_dec_info(d);
    assert_true(nonce_equal(&info->pack.database, &opts.database));
    assert_true(nonce_equal(&info->pack.writer, &opts.writer));
    assert_int_equal(info->timeline, opts.timeline);
    assert_int_equal(info->page_size, opts.page_size);
    assert_int_equal(info->base_txid, opts.base_txid);
    assert_int_equal(info->base_checksum, opts.base_checksum);
    assert_int_equal(info->commit_count, w->commit_count);
    assert_int_equal(info->part_count, w->part_count);
    for (size_t i = 0; i < info->commit_count; i++)
        assert_commit(&info->commits[i], &w->commits[i]);
    page_model_copy(&w->replayed, &w->start);
    w->replayed_count = w->seen = 0;
    for (size_t i = 0; i < w->part_count; i++) {
        assert_int_equal(info->parts[i].size, w->parts[i].size);
        assert_ok_err(seg_dec_apply_part(d, buf_span(&w->parts[i]), &ops, &stopped, &err), &err);
        assert_false(stopped);
    }
    assert_ok_err(seg_dec_apply_tail(d, &ops, &stopped, &err), &err);
    assert_false(stopped);
    assert_int_equal(w->replayed_count, w->commit_count);
    page_model_fini(&w->replayed);
    seg_dec_free(d);
}

static void test_one_commit(void **state)
{
    struct walk w;

    (void)state;
    walk_init(&w, 4096, 10, 1);
    walk_page(&w, 2, true);
    assert_int_equal(seg_enc_pending(w.enc), 1);
    assert_int_equal(seg_enc_raw_size(w.enc), 4096);
    walk_commit(&w, 0);
    walk_finish(&w);
    walk_replay(&w);
    walk_fini(&w);
}

/* Commits of all shapes: pages more than once in a commit and in a block, whole and delta, commits without pages, a
 * database that grows. */
static void random_walk(uint32_t page_size, uint32_t room, size_t commits, uint64_t seed)
{
    struct walk w;

    walk_init(&w, page_size, room, seed);
    for (size_t i = 0; i < commits; i++) {
        uint32_t changes = page_model_random(&w.now, 8) == 0 ? 0 : 1 + page_model_random(&w.now, 12);

        for (uint32_t k = 0; k < changes; k++) {
            uint32_t pgno = 1 + page_model_random(&w.now, page_model_random(&w.now, 2) == 0 ? 4 : room);

            walk_page(&w, pgno, page_model_random(&w.now, 5) != 0);
        }
        walk_commit(&w, page_model_random(&w.now, 9) == 0 ? SEG_RESYNC : 0);
        if (page_model_random(&w.now, 20) == 0 && w.commit_count < commits)
            walk_commit(&w, SEG_SNAPSHOT);
    }
    walk_finish(&w);
    walk_replay(&w);
    walk_fini(&w);
}

static void test_random_walks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        random_walk(512, 2500, 150, seed); /* more pages than a block can hold */
        random_walk(1024, 40, 100, seed);
        random_walk(4096, 20, 5, seed);
        random_walk(4096, 300, 150, seed);
        random_walk(65536, 20, 25, seed);
    }
}

/* More changes than a block may have, and then more ranges than its directory can hold. */
static void test_small_changes(void **state)
{
    struct walk w;
    struct err err;
    uint8_t *base = mem_new(65536);

    (void)state;
    walk_init(&w, 65536, 8, 3);
    for (uint32_t i = 0; i < 9000; i++) {
        uint8_t *page = page_model_page(&w.now, 1 + i % 2);

        memcpy(base, page, 65536);
        page[i]++;
        assert_ok_err(seg_enc_page(w.enc, 1 + i % 2, page, base, &err), &err);
    }
    walk_commit(&w, 0);
    for (uint32_t i = 0; i < 40; i++) {
        uint8_t *page = page_model_page(&w.now, 1 + i % 5);

        memcpy(base, page, 65536);
        for (uint32_t at = i; at < 65536; at += SEG_DIFF_GAP + 1)
            page[at]++;
        assert_ok_err(seg_enc_page(w.enc, 1 + i % 5, page, base, &err), &err);
    }
    walk_commit(&w, 0);
    walk_finish(&w);
    walk_replay(&w);
    walk_fini(&w);
    mem_free(base);
}

/* A transaction of several parts, with commits before and after it in the same segment. */
static void big_walk(struct walk *w, uint32_t page_size, uint64_t bytes)
{
    uint32_t room = 64;

    walk_init(w, page_size, room, page_size);
    walk_page(w, 3, true);
    walk_commit(w, 0);
    for (uint64_t done = 0; done < bytes; done += page_size) {
        uint32_t pgno = 1 + page_model_random(&w->now, room);
        struct err err;

        for (uint32_t i = 0; i < page_size; i += 8) {
            uint64_t r = check_random(&w->now.seed);

            memcpy(page_model_page(&w->now, pgno) + i, &r, 8);
        }
        w->now.count = room;
        assert_ok_err(seg_enc_page(w->enc, pgno, page_model_page(&w->now, pgno), NULL, &err), &err);
        take_parts(w);
    }
    walk_commit(w, 0);
    walk_page(w, 5, true);
    walk_commit(w, 0);
    walk_finish(w);
}

static void test_parts(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};
    struct walk w;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        big_walk(&w, sizes[i], 11 << 20);
        assert_int_equal(w.part_count, 2);
        for (size_t p = 0; p < w.part_count; p++)
            assert_in_range(w.parts[p].size, SEG_PART_SIZE, SEG_PART_SIZE + (1 << 20));
        walk_replay(&w);
        walk_fini(&w);
    }
}

static void test_part_not_taken(void **state)
{
    struct seg_enc_opts opts = opts_of(4096);
    struct seg_enc *e = seg_enc_new(&opts);
    uint8_t page[4096];
    uint64_t seed = 1;
    struct rc rc = RC_OK;
    struct err err;
    uint32_t n = 0;

    (void)state;
    for (; n < 4096 && !rc_failed(rc); n++) {
        for (size_t i = 0; i < sizeof page; i++)
            page[i] = (uint8_t)check_random(&seed);
        rc = seg_enc_page(e, n + 1, page, NULL, &err);
    }
    assert_in_range(n, 1024 + 1, 1024 + 300);
    assert_fails(rc, E_BUG);
    assert_string_equal(err.msg, "segment: part 0 was not taken");
    assert_fails(seg_enc_page(e, 1, page, NULL, &err), E_BUG);
    assert_string_equal(err.msg, "segment: used again after a failure");
    seg_enc_reset(e, &opts);
    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    seg_enc_free(e);
}

/* The stored size of `commits` commits that change ten bytes of one page each, to random values. */
static size_t size_of_small_commits(size_t commits)
{
    struct walk w;
    size_t size;

    walk_init(&w, 4096, 300, 9);
    for (size_t i = 0; i < commits; i++) {
        uint32_t pgno = 1 + page_model_random(&w.now, 150);
        uint8_t base[4096];
        struct err err;

        memcpy(base, page_model_page(&w.now, pgno), sizeof base);
        for (uint32_t k = 1000; k < 1010; k++)
            page_model_page(&w.now, pgno)[k] = (uint8_t)check_random(&w.now.seed);
        assert_ok_err(seg_enc_page(w.enc, pgno, page_model_page(&w.now, pgno), base, &err), &err);
        walk_commit(&w, 0);
    }
    walk_finish(&w);
    walk_replay(&w);
    size = w.object.size;
    walk_fini(&w);
    return size;
}

/* What a row costs is the reason for all this: 18 bytes of random content and checksum, and little besides. */
static void test_sizes(void **state)
{
    (void)state;
    assert_in_range(size_of_small_commits(1), 64 + 18, 64 + 18 + 40);
    assert_in_range(size_of_small_commits(200) / 200, 18, 18 + 10);
}

/* The same input gives the same bytes, and an encoder remembers nothing of the segment before. */
static void test_reset(void **state)
{
    struct walk a, b;
    struct seg_enc_opts opts = opts_of(4096);
    uint8_t page[4096];
    struct err err;

    (void)state;
    walk_init(&a, 4096, 60, 4);
    walk_init(&b, 4096, 60, 4);
    for (uint32_t i = 0; i < 2000; i++) { /* a part is waiting when the reset comes */
        for (size_t k = 0; k < sizeof page; k++)
            page[k] = (uint8_t)check_random(&b.start.seed);
        if (rc_failed(seg_enc_page(b.enc, 1 + i, page, NULL, &err)))
            break;
    }
    seg_enc_reset(b.enc, &opts);
    assert_int_equal(seg_enc_raw_size(b.enc), 0);
    for (uint32_t i = 0; i < 50; i++) {
        walk_page(&a, 1 + i, true);
        walk_page(&b, 1 + i, true);
        walk_commit(&a, 0);
        walk_commit(&b, 0);
    }
    walk_finish(&a);
    walk_finish(&b);
    assert_int_equal(b.part_count, 0);
    assert_int_equal(a.object.size, b.object.size);
    assert_memory_equal(a.object.data, b.object.data, a.object.size);
    walk_replay(&b);
    walk_fini(&a);
    walk_fini(&b);
}

static void assert_refused(struct seg_enc *e, const struct seg_commit *c, const char *message)
{
    struct seg_enc_opts opts = opts_of(4096);
    const struct seg_commit good = {.txid = 1001, .time_ms = 5000, .page_count = 1};
    struct err err;

    seg_enc_reset(e, &opts);
    assert_ok_err(seg_enc_commit(e, &good, &err), &err);
    assert_fails(seg_enc_commit(e, c, &err), E_BUG);
    assert_string_equal(err.msg, message);
}

static void test_refused_commits(void **state)
{
    struct seg_enc_opts opts = opts_of(4096);
    struct seg_enc *e = seg_enc_new(&opts);
    static const uint8_t page[4096];
    struct seg_commit c;
    struct err err;

    (void)state;
    c = (struct seg_commit){.txid = 1003, .time_ms = 5000};
    assert_refused(e, &c, "segment: commit 1003 after 1001");
    c = (struct seg_commit){.txid = 1002, .time_ms = 4999};
    assert_refused(e, &c, "segment: time of commit 1002 goes back to 4999");
    c = (struct seg_commit){.txid = 1002, .time_ms = 5000, .page_count = UINT32_MAX};
    assert_refused(e, &c, "segment: commit 1002 has 4294967295 pages");
    c = (struct seg_commit){.txid = 1002, .time_ms = 5000, .flags = 64};
    assert_refused(e, &c, "segment: commit 1002 has flags 0x40");
    seg_enc_reset(e, &opts);
    c = (struct seg_commit){.txid = 1001, .time_ms = 5000, .flags = SEG_SNAPSHOT};
    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    assert_fails(seg_enc_commit(e, &c, &err), E_BUG);
    assert_string_equal(err.msg, "segment: commit 1001 is in a snapshot, but has pages here");
    seg_enc_free(e);
}

static void test_refused_pages(void **state)
{
    const uint32_t numbers[] = {0, dbfmt_lock_page(4096), UINT32_MAX};
    struct seg_enc_opts opts = opts_of(4096);
    struct seg_enc *e = seg_enc_new(&opts);
    static const uint8_t page[4096];
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        seg_enc_reset(e, &opts);
        assert_fails(seg_enc_page(e, numbers[i], page, NULL, &err), E_BUG);
        assert_non_null(strstr(err.msg, "cannot be stored"));
    }
    seg_enc_reset(e, &opts);
    assert_ok_err(seg_enc_page(e, DBFMT_PAGE_COUNT_MAX, page, NULL, &err), &err);
    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    seg_enc_free(e);
}

static void test_refused_ends(void **state)
{
    struct seg_enc_opts opts = opts_of(4096);
    struct seg_enc *e = seg_enc_new(&opts);
    const struct seg_commit c = {.txid = 1001, .time_ms = 5000, .page_count = 1};
    static const uint8_t page[4096];
    CLEANUP(buf_fini) struct buf object;
    struct err err;

    (void)state;
    buf_init(&object, 1 << 20);
    assert_fails(seg_enc_finish(e, &object, &err), E_BUG);
    assert_string_equal(err.msg, "segment: finished with 0 commits and 0 pages of the next");
    seg_enc_reset(e, &opts);
    assert_ok_err(seg_enc_commit(e, &c, &err), &err);
    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    assert_fails(seg_enc_finish(e, &object, &err), E_BUG);
    assert_string_equal(err.msg, "segment: finished with 1 commits and 1 pages of the next");
    seg_enc_reset(e, &opts);
    assert_ok_err(seg_enc_commit(e, &c, &err), &err);
    assert_ok_err(seg_enc_finish(e, &object, &err), &err);
    assert_fails(seg_enc_page(e, 1, page, NULL, &err), E_BUG);
    assert_string_equal(err.msg, "segment: used again after it was finished");
    seg_enc_free(e);
}

static void test_commit_limit(void **state)
{
    struct seg_enc_opts opts = opts_of(512);
    struct seg_enc *e = seg_enc_new(&opts);
    struct seg_commit c = {.txid = 1001, .page_count = 1};
    CLEANUP(buf_fini) struct buf object;
    struct seg_dec *d;
    struct err err;

    (void)state;
    for (int i = 0; i < SEG_COMMIT_COUNT_MAX; i++, c.txid++)
        assert_ok_err(seg_enc_commit(e, &c, &err), &err);
    buf_init(&object, SEG_OBJECT_MAX);
    assert_ok_err(seg_enc_finish(e, &object, &err), &err);
    assert_ok_err(seg_dec_open(&d, buf_span(&object), &err), &err);
    assert_int_equal(seg_dec_info(d)->commit_count, SEG_COMMIT_COUNT_MAX);
    seg_dec_free(d);
    c.txid = 1001;
    seg_enc_reset(e, &opts);
    for (int i = 0; i < SEG_COMMIT_COUNT_MAX; i++, c.txid++)
        assert_ok_err(seg_enc_commit(e, &c, &err), &err);
    assert_fails(seg_enc_commit(e, &c, &err), E_UNSUPPORTED);
    assert_string_equal(err.msg, "segment: more than 65536 commits");
    seg_enc_free(e);
}

/* Every allocation fails once: an error, nothing leaks, and the encoder works again after a reset. */
static void test_no_memory(void **state)
{
    struct seg_enc_opts opts = opts_of(4096);
    const struct seg_commit c = {.txid = 1001, .time_ms = 5000, .page_count = 3};
    static uint8_t page[4096], base[4096];
    uint64_t seed = 2;
    long n;

    (void)state;
    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (uint8_t)check_random(&seed);
    for (n = 1;; n++) {
        struct seg_enc *e = seg_enc_new(&opts);
        CLEANUP(buf_fini) struct buf object;
        struct rc rc;
        struct err err;

        buf_init(&object, 1 << 20);
        mem_fail_after(n, false);
        rc = seg_enc_page(e, 1, page, NULL, &err);
        for (uint32_t pgno = 2; pgno < 40 && !rc_failed(rc); pgno++)
            rc = seg_enc_page(e, pgno, page, base, &err);
        if (!rc_failed(rc))
            rc = seg_enc_commit(e, &c, &err);
        if (!rc_failed(rc))
            rc = seg_enc_finish(e, &object, &err);
        mem_fail_after(0, false);
        if (!rc_failed(rc)) {
            seg_enc_free(e);
            break;
        }
        assert_fails(rc, E_NOMEM);
        seg_enc_reset(e, &opts);
        assert_ok_err(seg_enc_page(e, 1, page, base, &err), &err);
        assert_ok_err(seg_enc_commit(e, &c, &err), &err);
        assert_ok_err(seg_enc_finish(e, &object, &err), &err);
        seg_enc_free(e);
    }
    assert_in_range(n, 8, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_commit),
        cmocka_unit_test(test_random_walks),
        cmocka_unit_test(test_small_changes),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_part_not_taken),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_refused_commits),
        cmocka_unit_test(test_refused_pages),
        cmocka_unit_test(test_refused_ends),
        cmocka_unit_test(test_commit_limit),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
