/* SPDX-License-Identifier: Apache-2.0 */
/* A capture that absorbs, compares or goes over known commits again; that has no room; and the times it tells. */
#include "capture_kit.h"

/* --- other modes -------------------------------------------------------------------------------------------------- */

/* Many commits become one. */
static void absorbing(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1024);
    for (unsigned round = 0; round < 5; round++) {
        uint8_t page[1024];

        g.cap.absorbing = true;
        assert_int_equal(sql_child_call(&g.w.app, wal_world_random, round, 10), 0);
        step_to_end(&g);
        assert_int_equal(g.cap.txid, 100 + round); /* not yet */
        /* Pages looked at on the side: those that the index knows add nothing. */
        for (uint32_t p = 1; p <= wal_reader_page_count(g.w.reader); p++) {
            uint64_t pending = seg_enc_pending(g.enc);

            assert_ok_err(wal_image_current(g.w.reader, p, 1, page, &err), &err);
            assert_ok_err(wal_capture_page(&g.cap, p, page, &err), &err);
            assert_int_equal(seg_enc_pending(g.enc), pending);
        }
        assert_ok_err(wal_capture_fold(&g.cap, SEG_RESYNC, 0, &err), &err);
        assert_int_equal(g.cap.txid, 101 + round);
        g.cap.absorbing = false;
        ship(&g);
    }
    end(&g);
}

/* The index is wrong about some pages: a comparison finds exactly those. */
static void comparing(void **state)
{
    struct rig g;
    uint8_t page[1024];

    (void)state;
    begin_with(&g, 1024, FILL);
    assert_true(g.w.page_count > 40);
    for (uint32_t p = 10; p <= 30; p += 10) {
        copy_page(&g, p)[500] ^= 1; /* what was shipped differs there */
        assert_ok(page_hash_set(g.hashes, p, digest_page(p, copy_page(&g, p), 1024), &err));
    }
    g.base_checksum = page_hash_checksum(g.hashes);
    struct seg_enc_opts opts = opts_of(&g);

    seg_enc_reset(g.enc, &opts);
    g.cap.absorbing = true;
    step_to_end(&g);
    for (uint32_t p = 1; p <= g.w.page_count; p++) {
        assert_ok_err(wal_image_current(g.w.reader, p, 1, page, &err), &err);
        assert_ok_err(wal_capture_page(&g.cap, p, page, &err), &err);
    }
    assert_int_equal(seg_enc_pending(g.enc), 3);
    assert_ok_err(wal_capture_fold(&g.cap, SEG_RESYNC, 0, &err), &err);
    ship(&g);
    end(&g);
}

/* The replica has some of the commits already; they are read again, and must be the same. */
static void retracing(void **state)
{
    struct rig g;

    (void)state;
    for (unsigned wrong = 0; wrong <= 3; wrong++) {
        uint64_t stored[3];
        struct wal_world *w = &g.w;
        enum wal_reader_state what;

        begin(&g, 1024);
        for (unsigned i = 0; i < 5; i++)
            commit(&g, "INSERT INTO t(a, b) VALUES (abs(random()), randomblob(900))");
        memcpy(stored, g.expected, sizeof stored);
        if (wrong > 0)
            stored[wrong - 1] ^= 1;
        g.cap.enc = NULL;
        g.cap.enc_later = g.enc;
        g.cap.retrace_txid = 103;
        g.cap.retrace_first = 101;
        g.cap.retrace_checksums = stored;
        if (wrong == 0) {
            struct seg_enc_opts opts = opts_of(&g);

            opts.base_txid = g.base_txid = 103;
            opts.base_checksum = g.base_checksum = stored[2];
            seg_enc_reset(g.enc, &opts);
            step_to_end(&g);
            assert_false(g.cap.diverged);
            assert_int_equal(g.cap.retrace_txid, 0);
            assert_int_equal(g.cap.txid, 105);
            assert_int_equal(seg_enc_commit_count(g.enc), 2);
            wal_world_adopt(w); /* the replica's side is not played here */
        } else {
            assert_ok_err(wal_capture_step(&g.cap, 1000000, &what, &err), &err);
            assert_true(g.cap.diverged);
            assert_int_equal(g.cap.txid, 100 + wrong);
            assert_int_equal(seg_enc_commit_count(g.enc), 0);
        }
        end(&g);
    }
}

/* No room for what would come: nothing more is read, and it goes on later. */
static void no_room(void **state)
{
    struct rig g;
    enum wal_reader_state what;

    (void)state;
    begin(&g, 1024);
    commit(&g, "INSERT INTO t(a) VALUES (2)");
    g.no_room = true;
    assert_ok_err(wal_capture_step(&g.cap, 1000000, &what, &err), &err);
    assert_int_equal(what, WAL_READER_MORE);
    assert_int_equal(g.cap.txid, 100);
    g.no_room = false;
    step_to_end(&g);
    assert_int_equal(g.cap.txid, 101);
    ship(&g);
    end(&g);
}

/* Time stands still, runs, and jumps back: the history's does not. */
static int64_t fake_now;

static int64_t fake_wall(const struct clock *c)
{
    (void)c;
    return fake_now;
}

static uint64_t fake_mono(const struct clock *c)
{
    static uint64_t us;

    (void)c;
    return us += 1000;
}

static void times(void **state)
{
    static const struct clock fake = {.wall_ms = fake_wall, .mono_us = fake_mono};
    struct rig g;

    (void)state;
    begin(&g, 1024);
    g.cap.clock = &fake;
    g.cap.time_ms = 5000;
    fake_now = 6000;
    commit(&g, "INSERT INTO t(a) VALUES (2)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6000);
    fake_now = 4000;
    commit(&g, "INSERT INTO t(a) VALUES (3)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6000);
    fake_now = 6001;
    commit(&g, "INSERT INTO t(a) VALUES (4)");
    step_to_end(&g);
    assert_int_equal(g.cap.time_ms, 6001);
    ship(&g);
    end(&g);
}

/* What on_page told makes the same index: that is what the local state is made of. */
static void every_change_is_told(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1024);
    for (uint32_t p = 1; p <= page_hash_count(g.hashes); p++)
        assert_ok(page_hash_set(g.told, p, page_hash_get(g.hashes, p), &err));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(sql_child_call(&g.w.app, wal_world_random, i, 6), 0);
        sql(&g, i % 2 == 0 ? "VACUUM" : "DELETE FROM t WHERE id % 2 = 0");
        step_to_end(&g);
        assert_ok(page_hash_resize(g.told, page_hash_count(g.hashes), &err));
        assert_int_equal(page_hash_checksum(g.told), page_hash_checksum(g.hashes));
    }
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absorbing),
        cmocka_unit_test(comparing),
        cmocka_unit_test(retracing),
        cmocka_unit_test(no_room),
        cmocka_unit_test(times),
        cmocka_unit_test(every_change_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
