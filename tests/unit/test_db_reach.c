/* SPDX-License-Identifier: Apache-2.0 */
#include "db_reach.h"

#include "outrun.h"

#define SETUP "INSERT INTO t(id, a) VALUES (1, 1); PRAGMA wal_checkpoint(TRUNCATE)"

static const char *const change = "UPDATE t SET b = randomblob(2000000) WHERE id = 1";

/* Pages are only hashed, into the index. */
static void absorb(struct live *g)
{
    g->l->cap.enc = NULL;
    g->l->cap.absorbing = true;
}

static void begin(struct live *g)
{
    live_begin(g, 1024, SETUP);
    absorb(g);
    live_sql(g, change);
}

/* The index is that of the database at the end of its log. */
static void check_index(struct live *g)
{
    live_adopt(g);
    live_check(g);
}

static void test_nobody_writes(void **state)
{
    struct live g;
    bool end = false;

    (void)state;
    begin(&g);
    assert_ok_err(db_reach_now(g.l, &g.err), &g.err);
    check_index(&g);
    assert_ok_err(db_reach_now(g.l, &g.err), &g.err); /* nothing is left */
    live_sql(&g, change);
    assert_ok_err(db_reach_for(g.l, UINT32_MAX, &end, &g.err), &g.err); /* the end comes long before that */
    assert_true(end);
    check_index(&g);
    live_end(&g);
}

/* The end runs away; the place where it was does not.  What was read is whole commits. */
static void test_now_beside_a_faster_writer(void **state)
{
    struct outrun o;
    struct live g;
    uint32_t before;

    (void)state;
    begin(&g);
    before = wal_reader_pos(g.l->reader)->frame + 2000; /* what `change` has written, about */
    outrun_begin(&o, &g);
    assert_ok_err(db_reach_now(g.l, &g.err), &g.err);
    outrun_end(&o);
    assert_true(wal_reader_pos(g.l->reader)->frame >= before - 100);
    assert_false(g.l->cap.inside);
    assert_false(wal_reader_at_end(g.l->reader));
    assert_ok_err(db_reach_now(g.l, &g.err), &g.err);
    check_index(&g);
    live_end(&g);
}

static void test_a_time_beside_a_faster_writer(void **state)
{
    struct outrun o;
    struct live g;
    bool end = true;

    (void)state;
    begin(&g);
    outrun_begin(&o, &g);
    assert_ok_err(db_reach_for(g.l, 0, &end, &g.err), &g.err);
    outrun_end(&o);
    assert_false(end);
    assert_ok_err(db_reach_now(g.l, &g.err), &g.err);
    check_index(&g);
    live_end(&g);
}

/* A log that was started over on the way is past any place in the one before. */
static void test_log_starts_over(void **state)
{
    struct live g;

    (void)state;
    begin(&g);
    for (uint64_t resets = g.l->reset_count, i = 0; g.l->reset_count == resets; i++) {
        assert_true(i < 1000);
        live_sql(&g, change);
        assert_ok_err(db_reach_now(g.l, &g.err), &g.err);
    }
    check_index(&g);
    live_end(&g);
}

static void test_reading_fails(void **state)
{
    struct live g;
    bool end;

    (void)state;
    begin(&g);
    g.f.ops = FAULT_PREAD;
    g.f.countdown = 1;
    assert_fails(db_reach_now(g.l, &g.err), E_IO);
    g.f.countdown = 1;
    assert_fails(db_reach_for(g.l, 0, &end, &g.err), E_IO);
    live_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_writes),
        cmocka_unit_test(test_now_beside_a_faster_writer),
        cmocka_unit_test(test_a_time_beside_a_faster_writer),
        cmocka_unit_test(test_log_starts_over),
        cmocka_unit_test(test_reading_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
