/* SPDX-License-Identifier: Apache-2.0 */
/* What is shipped is noted in the local state, and what becomes of that when it cannot be written. */
#include "live_kit.h"

static uint64_t now_us;

static uint64_t told_us(const struct clock *c)
{
    (void)c;
    return now_us;
}

static int64_t told_wall_ms(const struct clock *c)
{
    (void)c;
    return 1700000000000 + (int64_t)(now_us / 1000);
}

static const struct clock told = {told_wall_ms, told_us};

static void begin(struct live *g)
{
    live_begin(g, 1024, "SELECT 1");
    g->l->clock = &told;
}

static void disk_is(struct live *g, bool full)
{
    g->f.mode = full ? FAULT_FOREVER : FAULT_ONCE;
    g->f.ops = FAULT_PWRITE;
    g->f.sys = ENOSPC;
    g->f.countdown = full ? 1 : 0;
}

/* One commit is shipped and acknowledged; what the state says of it is in `step`. */
static void ship_one(struct live *g, struct db_step *step)
{
    const struct err before = step->local_err;

    live_sql(g, "INSERT INTO t(a) VALUES (1)");
    *step = (struct db_step){.due = true, .may_finish = true, .local_err = before};
    live_step(g, step);
    assert_non_null(step->ready);
    *step = (struct db_step){.may_finish = true, .local_err = step->local_err, .acknowledged = step->ready};
    live_step(g, step);
    assert_null(step->ready);
    live_free_all(step->acknowledged);
    step->acknowledged = NULL;
}

/* A step in which nothing happens. */
static void idle(struct live *g, struct db_step *step)
{
    *step = (struct db_step){.may_finish = true, .local_err = step->local_err};
    live_step(g, step);
    assert_null(step->ready);
}

/* The state on disk is that of the last commit. */
static void check_noted(struct live *g)
{
    struct local_state_content content;
    struct page_hash *hashes = page_hash_new();
    enum local_state_found found;

    assert_ok_err(local_state_load(g->local, &content, hashes, &found, &g->err), &g->err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_int_equal(content.pos.txid, g->txid);
    assert_int_equal(content.pos.checksum, page_hash_checksum(g->l->hashes));
    page_hash_free(hashes);
}

static void test_failure_stays_told(void **state)
{
    struct db_step step = {.may_finish = true};
    struct live g;

    (void)state;
    begin(&g);
    ship_one(&g, &step);
    assert_int_equal(step.local_err.code, E_OK);
    disk_is(&g, true);
    ship_one(&g, &step);
    assert_int_equal(step.local_err.code, E_NOSPACE);
    for (int i = 0; i < 5; i++) {
        idle(&g, &step);
        assert_int_equal(step.local_err.code, E_NOSPACE);
        now_us += 60 * 1000 * 1000;
    }
    disk_is(&g, false);
    ship_one(&g, &step);
    assert_int_equal(step.local_err.code, E_OK);
    check_noted(&g);
    live_end(&g);
}

/* Nobody commits any more: it is written all the same once that is possible, but not tried at each step. */
static void test_mended_while_idle(void **state)
{
    struct db_step step = {.may_finish = true};
    struct live g;
    long tried;

    (void)state;
    begin(&g);
    disk_is(&g, true);
    ship_one(&g, &step);
    assert_int_equal(step.local_err.code, E_NOSPACE);
    tried = g.f.fired;
    for (int i = 0; i < 9; i++) {
        now_us += 1000 * 1000;
        idle(&g, &step);
    }
    assert_int_equal(g.f.fired, tried);
    disk_is(&g, false);
    idle(&g, &step);
    assert_int_equal(step.local_err.code, E_NOSPACE);
    now_us += 1000 * 1000;
    idle(&g, &step);
    assert_int_equal(step.local_err.code, E_OK);
    check_noted(&g);
    live_end(&g);
}

/* While a commit waits to be shipped, the index is ahead of what counts and must not be written as that. */
static void test_not_while_something_waits(void **state)
{
    struct db_step step = {.may_finish = true};
    struct live g;

    (void)state;
    begin(&g);
    disk_is(&g, true);
    ship_one(&g, &step);
    live_sql(&g, "INSERT INTO t(a) VALUES (2)");
    disk_is(&g, false);
    for (int i = 0; i < 4; i++) {
        idle(&g, &step);
        assert_int_equal(step.open_commits, 1);
        assert_int_equal(step.local_err.code, E_NOSPACE);
        now_us += 60 * 1000 * 1000;
    }
    ship_one(&g, &step);
    assert_int_equal(step.local_err.code, E_OK);
    check_noted(&g);
    live_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_stays_told),
        cmocka_unit_test(test_mended_while_idle),
        cmocka_unit_test(test_not_while_something_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
