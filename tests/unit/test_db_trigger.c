/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "db_trigger.h"

#include <string.h>

static uint64_t now_us;

static int64_t wall(const struct clock *c)
{
    (void)c;
    return (int64_t)(now_us / 1000);
}

static uint64_t mono(const struct clock *c)
{
    (void)c;
    return now_us;
}

static const struct clock clock_here = {wall, mono};

struct rig {
    struct db db;
    struct db_settings settings;
};

static void begin(struct rig *g, uint64_t interval_ms, uint64_t commits)
{
    memset(g, 0, sizeof *g);
    now_us = 50 * 1000000;
    g->settings = (struct db_settings){
        .path = NULL, .sync_interval_ms = interval_ms, .sync_commits = commits, .spool_limit = 1 << 20};
    g->db.settings = &g->settings;
    g->db.clock = &clock_here;
    g->db.state = DB_RUNNING;
    g->db.txid = g->db.shipped_txid = 100;
}

/* A step has read these, into the segment that is open or into one that was finished. */
static void read_commits(struct rig *g, uint64_t open, uint64_t finished)
{
    g->db.txid += open + finished;
    g->db.open_commits = finished > 0 ? open : g->db.open_commits + open;
    db_trigger_read(&g->db, true);
    db_trigger_apply(&g->db);
}

static void test_interval(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1000, 0);
    assert_int_equal(db_trigger_due_in_ms(&g.db), 0); /* the first one after a quiet time does not wait */
    g.db.shipper.last_put_us = now_us - 300000;
    assert_int_equal(db_trigger_due_in_ms(&g.db), 700);
    g.db.shipper.last_put_us = now_us - 2000000;
    assert_int_equal(db_trigger_due_in_ms(&g.db), 0);
    read_commits(&g, 5, 0);
    assert_false(db_trigger_waits(&g.db));
    assert_true(g.db.shipper.allowed_txid == UINT64_MAX);
    assert_int_equal(db_trigger_commit_limit(&g.db), 0);
    assert_true(db_trigger_may_merge(&g.db));
    assert_true(db_trigger_may_merge(&g.db));
    g.settings.sync_commits = 9;
    assert_int_equal(db_trigger_commit_limit(&g.db), 9);
    g.db.open_frames = 100000;
    assert_false(db_trigger_must_spool(&g.db));
}

/* Nothing goes before somebody asks; then what was committed by then goes, and nothing more. */
static void test_asked(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, DB_INTERVAL_OFF, 0);
    read_commits(&g, 3, 0);
    assert_true(db_trigger_waits(&g.db));
    assert_true(db_trigger_due_in_ms(&g.db) == UINT64_MAX);
    assert_true(g.db.shipper.allowed_txid <= 100);
    db_trigger_ask(&g.db);
    assert_false(db_trigger_waits(&g.db)); /* what is finished until it is known is a part of it */
    g.db.trigger.asked = false;
    g.db.goal_pending = true;
    assert_false(db_trigger_waits(&g.db));
    assert_false(db_trigger_is_through(&g.db));
    g.db.goal_pending = false;
    db_trigger_let(&g.db, 103);
    db_trigger_apply(&g.db);
    assert_int_equal(g.db.shipper.allowed_txid, 103);
    assert_int_equal(db_trigger_due_in_ms(&g.db), 0);
    assert_false(db_trigger_is_through(&g.db));
    assert_false(db_trigger_may_merge(&g.db));
    read_commits(&g, 2, 3);
    assert_int_equal(g.db.shipper.allowed_txid, 103);
    assert_true(db_trigger_due_in_ms(&g.db) == UINT64_MAX); /* these wait again */
    g.db.shipped_txid = 103;
    assert_true(db_trigger_is_through(&g.db));
    assert_true(db_trigger_may_merge(&g.db)); /* once */
    assert_false(db_trigger_may_merge(&g.db));
    db_trigger_let(&g.db, 50); /* never back */
    assert_int_equal(g.db.trigger.through_txid, 103);
}

/* So many commits, counted from what was shipped or let through last, whatever they are finished into. */
static void test_number(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, DB_INTERVAL_OFF, 10);
    assert_int_equal(db_trigger_commit_limit(&g.db), 10);
    read_commits(&g, 4, 0);
    assert_int_equal(db_trigger_commit_limit(&g.db), 10);
    read_commits(&g, 1, 0);
    g.db.open_commits = 0; /* five of them are in the spool now */
    assert_int_equal(db_trigger_commit_limit(&g.db), 5);
    read_commits(&g, 4, 0);
    assert_int_equal(g.db.trigger.through_txid, 0);
    g.db.open_commits = 0;
    assert_int_equal(db_trigger_commit_limit(&g.db), 1);
    read_commits(&g, 2, 1); /* finished with the tenth, and read on */
    assert_int_equal(g.db.trigger.through_txid, 110);
    assert_int_equal(g.db.shipper.allowed_txid, 110);
    assert_int_equal(
        db_trigger_commit_limit(&g.db), 10); /* while it is on its way the next ones count for themselves */
    assert_true(db_trigger_due_in_ms(&g.db) == UINT64_MAX);
    g.db.shipped_txid = 110;
    read_commits(&g, 9, 0); /* there was no room to finish them */
    assert_int_equal(g.db.trigger.through_txid, 121);
    assert_int_equal(db_trigger_due_in_ms(&g.db), 0);
}

/* Whatever is not ordinary running ships; a snapshot has the log behind it. */
static void test_states(void **state)
{
    static const enum db_state others[] = {DB_WAITING, DB_STARTING, DB_CLOSING, DB_RETRYING, DB_STOPPING};
    struct rig g;

    (void)state;
    begin(&g, DB_INTERVAL_OFF, 0);
    read_commits(&g, 1, 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        g.db.state = others[i];
        db_trigger_apply(&g.db);
        assert_true(g.db.shipper.allowed_txid == UINT64_MAX);
    }
    g.db.state = DB_RUNNING;
    db_trigger_apply(&g.db);
    assert_int_equal(g.db.shipper.allowed_txid, 0);
    g.db.in_snap = true;
    db_trigger_apply(&g.db);
    assert_true(g.db.shipper.allowed_txid == UINT64_MAX);
}

/* What was due while there was an interval goes also when that is switched off. */
static void test_switched_off(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1000, 0);
    read_commits(&g, 2, 5);
    g.settings.sync_interval_ms = DB_INTERVAL_OFF;
    db_trigger_apply(&g.db);
    assert_int_equal(g.db.shipper.allowed_txid, 105);
    read_commits(&g, 1, 0);
    assert_int_equal(g.db.shipper.allowed_txid, 105);
}

static void test_limits(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, DB_INTERVAL_OFF, 0);
    read_commits(&g, 5, 0);
    assert_false(db_trigger_must_spool(&g.db));
    g.db.open_frames = DB_TRIGGER_FRAMES_MAX;
    assert_true(db_trigger_must_spool(&g.db));
    g.db.open_frames = 1;
    g.db.open_is_old = true; /* the log was started over */
    assert_true(db_trigger_must_spool(&g.db));
    g.db.open_is_old = false;
    g.db.open_bytes = DB_LIVE_SEGMENT_SIZE;
    assert_true(db_trigger_must_spool(&g.db));
    db_trigger_read(&g.db, true);
    assert_int_equal(g.db.trigger.through_txid, 0);
    db_trigger_read(&g.db, false); /* there is no spool: what is full is shipped */
    assert_int_equal(g.db.trigger.through_txid, 106);

    begin(&g, DB_INTERVAL_OFF, 0);
    g.db.spool_bytes = (1 << 19) - 1;
    read_commits(&g, 5, 0);
    assert_int_equal(g.db.trigger.through_txid, 0);
    g.db.spool_bytes++;
    read_commits(&g, 0, 0);
    assert_int_equal(g.db.trigger.through_txid, 106);

    begin(&g, DB_INTERVAL_OFF, 0);
    g.db.shipper.spooled_count = DB_TRIGGER_SEGMENTS_MAX;
    read_commits(&g, 1, 0);
    assert_int_equal(g.db.trigger.through_txid, 102);

    begin(&g, DB_INTERVAL_OFF, 0); /* something is in memory that may not go, and the spool takes nothing */
    g.db.shipper.memory_count = 1;
    g.db.shipper.last_txid = 101;
    read_commits(&g, 1, 0);
    assert_int_equal(g.db.trigger.through_txid, 0);
    db_trigger_read(&g.db, false);
    assert_int_equal(g.db.trigger.through_txid, 102);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_asked),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
