/* SPDX-License-Identifier: Apache-2.0 */
#include "live_kit.h"

/* What the local state says when it is opened anew. */
static struct local_state_content reload(struct live *g, enum local_state_found want)
{
    struct local_state_content content;
    struct page_hash *hashes = page_hash_new();
    enum local_state_found found;

    assert_ok_err(local_state_load(g->local, &content, hashes, &found, &g->err), &g->err);
    assert_int_equal(found, want);
    if (found == LOCAL_STATE_GOOD)
        assert_int_equal(page_hash_checksum(hashes), content.pos.checksum);
    page_hash_free(hashes);
    return content;
}

/* --- segments ------------------------------------------------------------------------------------------------------
 */

static void test_finished_when_due(void **state)
{
    struct db_step step = {.may_finish = true};
    struct live g;

    (void)state;
    live_begin(&g, 4096, "SELECT 1");
    for (int i = 0; i < 3; i++)
        live_sql(&g, "INSERT INTO t(a, b) VALUES (1, randomblob(300))");
    live_step(&g, &step);
    assert_null(step.ready);
    assert_int_equal(step.open_commits, 3);
    assert_int_equal(step.state, WAL_READER_QUIET);
    assert_int_equal(step.txid, 103);
    step.due = true;
    step.may_finish = false;
    live_step(&g, &step);
    assert_null(step.ready); /* the shipper has no room */
    step.may_finish = true;
    live_step(&g, &step);
    assert_non_null(step.ready);
    assert_null(step.ready->next);
    assert_int_equal(step.ready->first_txid, 101);
    assert_int_equal(step.ready->commit_count, 3);
    assert_int_equal(step.open_commits, 0);
    assert_int_equal(g.txid, 103);
    live_check(&g);
    live_free_all(step.ready);
    step.ready = NULL;
    live_step(&g, &step);
    assert_null(step.ready); /* nothing is no segment */
    live_end(&g);
}

static void test_commit_limit(void **state)
{
    struct db_step step = {.may_finish = true, .commit_limit = 4};
    struct live g;

    (void)state;
    live_begin(&g, 1024, "SELECT 1");
    for (int i = 1; i <= 4; i++) {
        live_sql(&g, "INSERT INTO t(a) VALUES (1)");
        live_step(&g, &step);
        assert_int_equal(step.ready != NULL, i == 4);
    }
    live_free_all(step.ready);
    live_check(&g);
    live_end(&g);
}

/* Every commit, whatever it does, and weir's own when it starts the log over. */
static void test_history_over_resets(void **state)
{
    struct live g;
    uint64_t commits;

    (void)state;
    live_begin(&g, 512, "SELECT 1");
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(sql_child_call(&g.w.app, wal_world_random, i, 30), 0);
        live_ship(&g);
        live_check(&g);
    }
    commits = g.commits;
    assert_true(g.l->reset_count > 0);
    assert_true(wal_reader_log_frames(g.l->reader) < DB_LIVE_RESET_FRAMES);
    assert_int_equal(g.txid, 100 + commits);
    assert_null(g.l->reset_obstacle);
    live_end(&g);
}

/* What is not shipped on purpose is found again after a crash: the log is not started over before its end is near what
 * is known to be ours, and then at once. */
static void test_careful_reset(void **state)
{
    struct db_step step = {.may_finish = true, .careful = true};
    struct live g;

    (void)state;
    live_begin(&g, 512, "SELECT 1");
    live_ship(&g);
    live_sql(&g, LIVE_FILL(900, 600));
    for (int i = 0; i < 20; i++)
        live_step(&g, &step);
    assert_null(step.ready);
    assert_int_equal(step.open_commits, 1);
    assert_true(step.open_frames >= DB_LIVE_RESET_FRAMES);
    assert_true(step.log_frames >= DB_LIVE_RESET_FRAMES);
    assert_int_equal(step.reset_count, 0);
    step.due = true;
    live_step(&g, &step);
    assert_non_null(step.ready);
    assert_int_equal(step.open_frames, 0);
    assert_int_equal(step.reset_count, 0);
    step = (struct db_step){.may_finish = true, .careful = true, .acknowledged = step.ready};
    live_step(&g, &step);
    assert_int_equal(step.reset_count, 1);
    assert_true(step.log_frames < DB_LIVE_RESET_FRAMES);
    live_free_all(step.acknowledged);
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* A reader that stays makes a reset impossible; it is tried again, later and later, and works when the reader is gone.
 */
static void test_reset_waits_for_reader(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 512, "SELECT 1");
    assert_int_equal(sql_child_open(&g.w.app, 1, g.w.path), 0);
    live_sql(&g, LIVE_FILL(50, 400));
    assert_int_equal(sql_child_sql(&g.w.app, 1, "BEGIN; SELECT count(*) FROM t"), 0);
    live_sql(&g, LIVE_FILL(900, 600));
    live_ship(&g);
    assert_int_equal(g.l->reset_count, 0);
    assert_non_null(g.l->reset_obstacle);
    assert_true(g.l->reset_pause_ms > 0);
    assert_int_equal(sql_child_sql(&g.w.app, 1, "COMMIT"), 0);
    g.l->reset_due_us = 0; /* as if the time had passed */
    live_ship(&g);
    assert_int_equal(g.l->reset_count, 1);
    assert_null(g.l->reset_obstacle);
    assert_int_equal(g.l->reset_pause_ms, 0);
    live_check(&g);
    live_end(&g);
}

/* Try again and again, without the pauses; how long the last one would have been. */
static uint32_t pause_after(struct live *g, unsigned tries)
{
    for (unsigned i = 0; i < tries; i++) {
        g->l->reset_due_us = 0;
        live_ship(g);
        assert_int_equal(g->l->reset_count, 0);
    }
    return g->l->reset_pause_ms;
}

/* Only what lasts is waited for long: under a load that mostly lets no try succeed the log would grow meanwhile. */
static void test_pauses(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 512, "SELECT 1");
    assert_int_equal(sql_child_open(&g.w.app, 1, g.w.path), 0);
    live_sql(&g, LIVE_FILL(50, 400));
    g.l->reset_due_us = UINT64_MAX;
    live_sql(&g, LIVE_FILL(900, 600));
    live_ship(&g);
    assert_int_equal(sql_child_sql(&g.w.app, 1, "BEGIN IMMEDIATE"), 0);
    assert_int_equal(pause_after(&g, 9), 100);
    assert_int_equal(sql_child_sql(&g.w.app, 1, "COMMIT; BEGIN; SELECT count(*) FROM t"), 0);
    live_sql(&g, "INSERT INTO t(a) VALUES (1)");
    assert_int_equal(pause_after(&g, 12), 5000);
    assert_int_equal(sql_child_sql(&g.w.app, 1, "COMMIT"), 0);
    g.l->reset_due_us = 0;
    live_ship(&g);
    assert_int_equal(g.l->reset_count, 1);
    live_check(&g);
    live_end(&g);
}

/* A transaction that is larger than what may wait: capturing pauses until parts are durable. */
static void test_parts_wait_for_room(void **state)
{
    struct db_step step = {.due = true, .may_finish = true};
    struct live g;
    unsigned waiting = 0;

    (void)state;
    live_begin(&g, 4096, "SELECT 1");
    live_sql(&g, LIVE_FILL(16, 1000000));
    for (int i = 0; i < 200; i++) {
        live_step(&g, &step);
        for (const struct db_segment *s = step.ready; s != NULL; s = s->next)
            waiting += s->is_part;
        live_free_all(step.ready);
    }
    assert_int_equal(waiting, DB_LIVE_PARTS_MAX);
    assert_int_equal(g.l->parts_waiting, DB_LIVE_PARTS_MAX);
    assert_int_equal(step.state, WAL_READER_MORE);
    assert_int_equal(g.commits, 0);
    db_live_part_done(g.l);
    step.parts_done = 1;
    live_step(&g, &step);
    live_free_all(step.ready);
    live_ship(&g);
    assert_true(g.commits >= 1);
    live_check(&g);
    live_end(&g);
}

/* While a snapshot reads its last pages nothing is captured, and what was is finished. */
static void test_hold(void **state)
{
    struct db_step step = {.may_finish = true};
    struct live g;

    (void)state;
    live_begin(&g, 4096, "SELECT 1");
    live_sql(&g, "INSERT INTO t(a) VALUES (1)");
    live_step(&g, &step);
    assert_int_equal(step.open_commits, 1);
    g.l->hold = true;
    live_sql(&g, "INSERT INTO t(a) VALUES (2)");
    live_step(&g, &step);
    assert_true(step.paused);
    assert_int_equal(step.state, WAL_READER_MORE); /* the log was not read to its end */
    assert_non_null(step.ready);
    assert_int_equal(g.txid, 101);
    live_free_all(step.ready);
    g.l->hold = false;
    live_ship(&g);
    assert_int_equal(g.txid, 102);
    live_check(&g);
    live_end(&g);
}

/* Pages that changed since a snapshot began are noted for it. */
static void test_changed_pages_are_noted(void **state)
{
    struct bitmap *changed = bitmap_new();
    struct live g;
    uint32_t pages;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(100, 300));
    g.l->changed = changed;
    live_sql(&g, "UPDATE t SET b = randomblob(300) WHERE id = 50");
    live_ship(&g);
    assert_in_range(bitmap_count(changed), 1, 4);
    assert_ok_err(db_live_page_count(g.l, &pages, &g.err), &g.err);
    assert_int_equal(pages, g.copy_count);
    g.l->changed = NULL;
    bitmap_free(changed);
    live_end(&g);
}

/* --- the local state ------------------------------------------------------------------------------------------------
 */

static void test_acknowledged_is_remembered(void **state)
{
    struct db_step step = {.due = true, .may_finish = true};
    struct live g;

    (void)state;
    live_begin(&g, 1024, "SELECT 1");
    live_sql(&g, "INSERT INTO t(a) VALUES (1)");
    live_step(&g, &step);
    assert_int_equal(reload(&g, LOCAL_STATE_GOOD).pos.txid, 100); /* shipped is not acknowledged */
    live_end(&g);
    live_free_all(step.ready);

    live_begin(&g, 1024, "SELECT 1");
    for (int i = 0; i < 5; i++) {
        live_sql(&g, LIVE_FILL(20, 500));
        live_ship(&g);
    }
    assert_true(local_state_ok(g.local));
    assert_int_equal(reload(&g, LOCAL_STATE_GOOD).pos.txid, g.txid);
    live_end(&g);
}

/* Whatever fails there, replication goes on, it is told, and the next acknowledgement makes the state good again. */
static void test_local_state_fails(void **state)
{
    long n = 1;

    (void)state;
    for (;; n++) {
        struct db_step step = {.due = true, .may_finish = true};
        struct db_segment *sent;
        struct live g;
        long fired;

        live_begin(&g, 1024, "SELECT 1");
        live_sql(&g, LIVE_FILL(30, 700));
        live_step(&g, &step);
        sent = step.ready;
        assert_non_null(sent);
        g.f.calls = g.f.fired = 0;
        g.f.mode = FAULT_ONCE;
        g.f.ops = FAULT_PWRITE | FAULT_FSYNC | FAULT_RENAME | FAULT_FTRUNCATE;
        g.f.countdown = n;
        step = (struct db_step){.due = true, .may_finish = true, .acknowledged = sent};
        live_sql(&g, "INSERT INTO t(a) VALUES (1)");
        live_step(&g, &step);
        fired = g.f.fired;
        g.f.countdown = 0;
        live_free_all(sent);
        if (fired > 0 && step.local_err.code != E_OK)
            assert_int_equal(step.local_err.code, E_IO);
        sent = step.ready;
        step = (struct db_step){.due = true, .may_finish = true, .acknowledged = sent};
        live_step(&g, &step);
        live_free_all(step.ready);
        live_free_all(sent);
        live_ship(&g);
        live_sql(&g, "INSERT INTO t(a) VALUES (2)");
        live_ship(&g);
        live_check(&g);
        assert_true(local_state_ok(g.local));
        assert_int_equal(reload(&g, LOCAL_STATE_GOOD).pos.txid, g.txid);
        live_end(&g);
        if (fired == 0)
            break;
    }
    assert_in_range(n, 2, 40);
}

/* --- the spool -------------------------------------------------------------------------------------------------------
 */

static void test_spooled(void **state)
{
    struct db_step step = {.due = true, .may_finish = true, .to_spool = true};
    struct db_segment *first;
    struct live g;
    char dir[128];

    (void)state;
    live_begin(&g, 1024, "SELECT 1");
    (void)snprintf(dir, sizeof dir, "%s-weir/spool", g.w.path);
    assert_ok_err(spool_open(&g.l->spool, &g.f.fs, dir, 1 << 20, &g.err), &g.err);
    live_sql(&g, LIVE_FILL(10, 300));
    live_step(&g, &step);
    first = step.ready;
    assert_non_null(first);
    assert_true(first->spooled);
    assert_int_equal(step.spool_err.code, E_OK);
    assert_true(step.spool_bytes > 0);
    assert_int_equal(reload(&g, LOCAL_STATE_GOOD).pos.txid, 101); /* it counts, though the replica has nothing of it */
    step = (struct db_step){.due = true, .may_finish = true, .acknowledged = first};
    live_step(&g, &step);
    assert_int_equal(spool_bytes(g.l->spool), 0);
    live_free_all(step.ready);
    live_free_all(first);
    spool_close(g.l->spool);

    /* Full: the segment waits in memory and does not count. */
    assert_ok_err(spool_open(&g.l->spool, &g.f.fs, dir, 100, &g.err), &g.err);
    live_sql(&g, LIVE_FILL(10, 300));
    step = (struct db_step){.due = true, .may_finish = true, .to_spool = true};
    live_step(&g, &step);
    assert_non_null(step.ready);
    assert_false(step.ready->spooled);
    assert_int_equal(step.spool_err.code, E_NOSPACE);
    assert_int_equal(reload(&g, LOCAL_STATE_GOOD).pos.txid, 101);
    live_check(&g);
    live_free_all(step.ready);
    spool_close(g.l->spool);
    g.l->spool = NULL;
    live_end(&g);
}

/* --- attach and detach
 * ------------------------------------------------------------------------------------------------ */

/* Whatever fails, nothing stays behind: no descriptor, and the application can reset its log. */
static void test_open_fails(void **state)
{
    struct wal_world w;
    struct err err;
    long n = 1;

    (void)state;
    wal_world_begin(&w, 4096);
    for (;; n++) {
        struct db_live *l = NULL;
        struct fault_fsys f;
        bool absent = false;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = db_live_open(&l, &f.fs, &clock_real, w.path, false, &absent, &err);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            assert_true(l->conn->gate_held);
            db_live_close(l, false);
            assert_int_equal(f.open_fds, 0);
            break;
        }
        if (rc_failed(rc))
            assert_null(l);
        db_live_close(l, false);
        assert_int_equal(f.open_fds, 0);
        assert_int_equal(sql_child_sql(&w.app, 0, "INSERT INTO t(a) VALUES (1); PRAGMA wal_checkpoint(TRUNCATE)"), 0);
        assert_string_equal(w.app.answer, "0|0|0\n");
    }
    assert_in_range(n, 4, 40);
    wal_world_end(&w);
}

static void test_absent(void **state)
{
    struct db_live *l = NULL;
    bool absent = false;
    struct err err;

    (void)state;
    assert_ok_err(
        db_live_open(&l, &fsys_real, &clock_real, "/tmp/weir-no-such-database.db", false, &absent, &err), &err);
    assert_true(absent);
    assert_null(l);
}

/* The last one to leave in order copies the log, so that the file is complete; beside others it does not. */
static void test_tidy(void **state)
{
    struct live g;
    size_t size;
    uint8_t *file;

    (void)state;
    for (int alone = 0; alone < 2; alone++) {
        live_begin(&g, 4096, "SELECT 1");
        live_sql(&g, LIVE_FILL(20, 3000));
        live_ship(&g);
        if (alone != 0)
            sql_child_kill(&g.w.app);
        db_live_close(g.l, true);
        g.l = NULL;
        file = wal_world_file_read(g.w.path, &size);
        assert_int_equal(size == (size_t)g.copy_count * 4096 && memcmp(file, g.copy, size) == 0, alone != 0);
        free(file);
        live_end(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finished_when_due),
        cmocka_unit_test(test_commit_limit),
        cmocka_unit_test(test_history_over_resets),
        cmocka_unit_test(test_careful_reset),
        cmocka_unit_test(test_reset_waits_for_reader),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_parts_wait_for_room),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_changed_pages_are_noted),
        cmocka_unit_test(test_acknowledged_is_remembered),
        cmocka_unit_test(test_local_state_fails),
        cmocka_unit_test(test_spooled),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_tidy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
