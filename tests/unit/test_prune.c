/* SPDX-License-Identifier: Apache-2.0 */
/* Retention carried out on real objects: what is there afterwards restores, whatever went wrong on the way. */
#include "check.h"

#include "prune_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct prune_world w;
static const struct prune_world_fault none;

static int set_up(void **state)
{
    (void)state;
    prune_world_init(&w, 7);
    prune_world_live(&w, 20 * PRUNE_WORLD_DAY);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prune_world_fini(&w);
    return 0;
}

static struct prune_opts options(void)
{
    return (struct prune_opts){
        .policy = {PRUNE_WORLD_DAY, {5, 2, 1}},
        .grace_ms = PRUNE_GRACE_MS,
        .local_ms = w.h.time_ms,
    };
}

static void assert_prunes(void)
{
    const struct prune_opts opts = options();
    enum err_code code = prune_world_prune(&w, &opts, none);

    if (code != E_OK)
        fail_msg("%s", w.err.msg);
}

/* Each promised state, and the exact part as a whole. */
static void assert_promises(void)
{
    const struct prune_opts opts = options();
    struct prune_opts look = opts;
    const struct make_history_state *now = prune_world_now(&w);

    look.dry_run = true;
    assert_int_equal(prune_world_prune(&w, &look, none), E_OK);
    for (size_t i = 0; i < w.report.decision.point_count; i++) {
        const struct retention_point p = w.report.decision.points[i];

        if (prune_world_restore(&w, p.timeline, p.txid, none) != E_OK)
            fail_msg("txid %" PRIu64 ": %s", p.txid, w.err.msg);
        assert_string_equal(w.restored.warning, "");
    }
    for (size_t i = 0; i < w.h.count; i++)
        if (w.h.states[i].time_ms >= now->time_ms - PRUNE_WORLD_DAY && i % 3 == 0
            && prune_world_restore(&w, w.h.timeline, w.h.states[i].txid, none) != E_OK)
            fail_msg("txid %" PRIu64 ": %s", w.h.states[i].txid, w.err.msg);
    assert_int_equal(prune_world_restore(&w, w.h.timeline, now->txid, none), E_OK);
}

static void test_prunes(void **state)
{
    const size_t before = prune_world_count(&w, "t");

    (void)state;
    assert_prunes();
    assert_true(w.report.deleted > 50);
    assert_int_equal(prune_world_count(&w, "t/00000001/pruned"), 1);
    assert_int_equal(prune_world_count(&w, "t"), before + 1 - w.report.deleted);
    assert_int_equal(prune_world_count(&w, "probe"), 0);
    assert_promises();
    assert_prunes();
    assert_int_equal(w.report.deleted, 0);
    prune_world_live(&w, 3 * PRUNE_WORLD_DAY);
    assert_prunes();
    assert_true(w.report.deleted > 5);
    assert_int_equal(prune_world_count(&w, "t/00000001/pruned"), 1);
    assert_promises();
}

static void test_dry_run_changes_nothing(void **state)
{
    const size_t before = prune_world_count(&w, "");
    struct prune_opts opts = options();

    (void)state;
    opts.dry_run = true;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
    assert_true(w.report.decision.drop_count > 50);
    assert_int_equal(w.report.deleted, 0);
    assert_int_equal(prune_world_count(&w, ""), before);
}

static void test_not_allowed_to_delete(void **state)
{
    const size_t before = prune_world_count(&w, "t");
    const struct prune_opts opts = options();
    const struct prune_world_fault denied = {FAULT_STORE_REFUSED, 1, true, 1u << STORE_DELETE_MANY, E_DENIED};

    (void)state;
    assert_int_equal(prune_world_prune(&w, &opts, denied), E_DENIED);
    assert_non_null(strstr(w.err.msg, "nothing can be deleted at file://"));
    assert_non_null(strstr(w.err.msg, "nothing was changed"));
    assert_int_equal(prune_world_count(&w, "t"), before);
    assert_int_equal(prune_world_count(&w, "probe"), 1);
    assert_int_equal(prune_world_prune(&w, &opts, denied), E_DENIED);
    assert_int_equal(prune_world_count(&w, "probe"), 1);
}

/* Each request in turn fails, or is the last one before a crash; the state of affairs goes on from there. */
static void walk(enum fault_store_kind kind, bool forever)
{
    const struct prune_opts opts = options();
    long n;

    for (n = 1;; n++) {
        const struct prune_world_fault fault = {kind, n, forever, 0, E_OK};
        enum err_code code = prune_world_prune(&w, &opts, fault);

        if (w.fired == 0) {
            assert_int_equal(code, E_OK);
            break;
        }
        assert_int_equal(prune_world_restore(&w, w.h.timeline, prune_world_now(&w)->txid, none), E_OK);
    }
    assert_in_range(n, 8, 120);
    assert_promises();
    assert_prunes();
    assert_int_equal(w.report.deleted, 0);
}

static void test_crash_at_every_request(void **state)
{
    (void)state;
    walk(FAULT_STORE_REFUSED, true);
}

static void test_lost_answer_at_every_request(void **state)
{
    (void)state;
    walk(FAULT_STORE_LOST, false);
}

/* A prune that ends between its note and the last deletion: what is still there is out of reach, and no obstacle. */
static void test_cut_short(void **state)
{
    const struct prune_opts opts = options();

    (void)state;
    for (long n = 2; n < 5; n++) {
        const struct prune_world_fault crash = {FAULT_STORE_REFUSED, n, true, 1u << STORE_DELETE_MANY, E_OK};

        if (prune_world_prune(&w, &opts, crash) == E_OK)
            break;
        assert_promises();
    }
    assert_prunes();
    assert_promises();
}

static void test_newer_timeline_stops_it(void **state)
{
    struct prune_opts opts = options();
    size_t before;

    (void)state;
    opts.timeline = 1;
    prune_world_take_over(&w, 3);
    before = prune_world_count(&w, "");
    assert_int_equal(prune_world_prune(&w, &opts, none), E_FENCED);
    assert_int_equal(prune_world_count(&w, ""), before);
}

/* It may have left anywhere. */
static void test_newer_timeline_between_plan_and_execution(void **state)
{
    const struct prune_opts opts = options();
    const size_t before = prune_world_count(&w, "");

    (void)state;
    w.intrude = true;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_FENCED);
    assert_non_null(strstr(w.err.msg, "a new timeline has begun"));
    assert_int_equal(prune_world_count(&w, ""), before + 1);
}

static void test_all_timelines_keep_what_they_promise(void **state)
{
    (void)state;
    prune_world_take_over(&w, 30);
    prune_world_live(&w, 2 * PRUNE_WORLD_DAY);
    prune_world_take_over(&w, 0);
    prune_world_live(&w, PRUNE_WORLD_DAY);
    assert_prunes();
    assert_promises();
    prune_world_live(&w, 30 * PRUNE_WORLD_DAY);
    assert_prunes();
    assert_promises();
    /* Of the first one its end is left, and what months ask for. */
    assert_true(prune_world_has(&w, "t/00000001/timeline.json"));
    assert_in_range(prune_world_count(&w, "t/00000001/log") + prune_world_count(&w, "t/00000001/fold"), 2, 6);
}

/* A restore that began before has its objects taken away, lists again, and goes another way. */
static void test_restore_meanwhile(void **state)
{
    struct prune_opts opts = options();

    (void)state;
    for (int i = 0; i < 6; i++) {
        size_t n;

        prune_world_live(&w, 2 * PRUNE_WORLD_DAY);
        opts.local_ms = w.h.time_ms;
        opts.dry_run = true;
        assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
        opts.dry_run = false;
        n = prune_world_pick(&w, w.report.decision.point_count);
        w.during = &opts;
        if (prune_world_restore(&w, w.report.decision.points[n].timeline, w.report.decision.points[n].txid, none)
            != E_OK)
            fail_msg("%s", w.err.msg);
        w.during = NULL;
    }
}

static void replace_bases(struct prune_world *world)
{
    char path[STORE_WAIT_PATH_SIZE + 64];

    (void)snprintf(path, sizeof path, "%s/t/00000001/snap", world->root);
    store_wait_unscratch(path);
    (void)snprintf(path, sizeof path, "%s/t/00000001/merge", world->root);
    store_wait_unscratch(path);
    make_history_snapshot_of(&world->h, prune_world_now(world), world->h.time_ms);
}

/* What it listed is gone, and what is there now was made behind its listing. */
static void test_restore_lists_again(void **state)
{
    const uint64_t tip = prune_world_now(&w)->txid;

    (void)state;
    assert_true(prune_world_count(&w, "t/00000001/merge") > 3);
    w.meanwhile = replace_bases;
    if (prune_world_restore(&w, 1, tip, none) != E_OK)
        fail_msg("%s", w.err.msg);
    assert_null(w.meanwhile);
    assert_true(w.restored.warning[0] != 0);
}

static void test_times_that_were_pruned(void **state)
{
    const struct make_history_state *s;

    (void)state;
    assert_prunes();
    /* A time in the exact part is exact, one before gets what was kept, and is told so. */
    s = prune_world_now(&w);
    assert_int_equal(prune_world_restore_time(&w, s->time_ms - PRUNE_WORLD_HOUR), E_OK);
    assert_string_equal(w.restored.warning, "");
    assert_int_equal(prune_world_restore_time(&w, s->time_ms - 3 * PRUNE_WORLD_DAY), E_OK);
    assert_non_null(strstr(w.restored.warning, "not every commit of that time was kept"));
    assert_true(w.restored.time_ms <= s->time_ms - 3 * PRUNE_WORLD_DAY);
    assert_true(w.restored.time_ms > s->time_ms - 5 * PRUNE_WORLD_DAY);
    assert_int_equal(prune_world_restore(&w, 1, 40, none), E_NOTFOUND);
    assert_non_null(strstr(w.err.msg, "retention no longer keeps every commit of that time"));
}

/*
 * A fold that begins before what is kept exactly stays for its end, and so do its first commits, to which nothing leads
 * any more.  They are as good as pruned: by their txid that is said, and by their time what was kept before is given.
 */
static void test_commits_that_are_cut_off(void **state)
{
    const struct make_history_state *first;
    uint64_t refused = 0, earlier = 0;

    (void)state;
    w.segments_per_fold = 40;
    prune_world_live(&w, 12 * PRUNE_WORLD_DAY);
    assert_prunes();
    assert_prunes(); /* whose catalog knows what the first one did */
    first = make_history_find(&w.h, 1, w.report.decision.points[0].txid);
    for (size_t i = 0; i < w.report.decision.point_count; i++)
        if (w.report.decision.points[i].txid < first->txid)
            first = make_history_find(&w.h, 1, w.report.decision.points[i].txid);
    for (const struct make_history_state *s = first; s <= prune_world_now(&w); s++) {
        if (prune_world_restore(&w, 1, s->txid, none) == E_OK)
            continue;
        refused++;
        assert_int_equal(w.err.code, E_NOTFOUND);
        if (strstr(w.err.msg, "retention no longer keeps every commit of that time") == NULL)
            fail_msg("txid %" PRIu64 ": %s", s->txid, w.err.msg);
        if (prune_world_restore_time(&w, s->time_ms) != E_OK)
            fail_msg("the time of txid %" PRIu64 ": %s", s->txid, w.err.msg);
        assert_true(w.restored.txid < s->txid);
        assert_non_null(strstr(w.restored.warning, "not every commit of that time was kept"));
        earlier += catalog_pruned_to(&w.report.catalog->timelines[0], s->txid) == 0;
    }
    assert_true(refused > 50);
    assert_true(earlier > 5); /* which the log still has */
}

static void test_clocks(void **state)
{
    struct prune_opts opts = options();
    size_t drops;

    (void)state;
    opts.dry_run = true;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
    drops = w.report.decision.drop_count;
    /* Years ahead: the history says what time it is. */
    opts.local_ms = w.h.time_ms + 10 * 365 * PRUNE_WORLD_DAY;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
    assert_int_equal(w.report.decision.drop_count, drops);
    /* Years back: nothing is old. */
    opts.local_ms = w.h.time_ms - 10 * 365 * PRUNE_WORLD_DAY;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
    assert_int_equal(w.report.decision.drop_count, 0);
    /* The writer's clock jumped, and it went on committing with that time. */
    prune_world_idle(&w, 3650 * PRUNE_WORLD_DAY);
    prune_world_live(&w, PRUNE_WORLD_DAY);
    opts.local_ms = w.h.time_ms;
    assert_int_equal(prune_world_prune(&w, &opts, none), E_OK);
    assert_true(w.report.now_ms < w.h.time_ms - 3600 * PRUNE_WORLD_DAY);
}

/*
 * With a short exact part and only weeks or months, a run may take away the commits by which the next one could tell
 * the time; that one counts from an earlier time, and deletes too little.  But what a run counted from is two days old
 * two days later, and nothing behind it went meanwhile: so one that counts from the newest commit comes within that
 * time.
 */
static void test_lags_two_days_at_most(void **state)
{
    static const struct retention_policy policies[] = {
        {PRUNE_WORLD_HOUR, {0, 2, 0}}, {PRUNE_WORLD_HOUR, {0, 0, 1}}, {0, {0, 0, 2}}, {PRUNE_WORLD_HOUR, {0, 0, 0}}};

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        int64_t counted_ms;
        unsigned lagging = 0, deleting = 0;

        prune_world_fini(&w);
        prune_world_init(&w, 7 + i);
        w.merge_ms[0] = 12 * PRUNE_WORLD_DAY;
        w.merge_ms[1] = w.merge_ms[2] = 0;
        counted_ms = w.h.time_ms;
        for (int day = 0; day < 40; day++) {
            struct prune_opts opts = options();

            prune_world_live(&w, PRUNE_WORLD_DAY);
            opts.local_ms = w.h.time_ms;
            opts.policy = policies[i];
            if (prune_world_prune(&w, &opts, none) != E_OK)
                fail_msg("%s", w.err.msg);
            if (w.report.now_ms > w.h.time_ms - PRUNE_WORLD_DAY / 4) {
                deleting += w.report.deleted > 0;
                counted_ms = w.h.time_ms;
            } else {
                lagging++;
                assert_true(w.h.time_ms - counted_ms < RETENTION_TRUST_MS + PRUNE_WORLD_DAY);
            }
        }
        assert_in_range(lagging, 2, 12); /* the first day, and behind snapshots */
        assert_in_range(deleting, 2, 40);
    }
}

static void test_leftovers(void **state)
{
    layout_text orphan, coming, key;
    const uint64_t tip = prune_world_now(&w)->txid;
    uint64_t inside = tip;

    (void)state;
    for (layout_log(key, 1, inside); prune_world_has(&w, key); layout_log(key, 1, inside))
        inside--;
    layout_part(orphan, 1, inside, &w.h.writer, 0);
    layout_part(coming, 1, tip + 1, &w.h.writer, 0);
    prune_world_put(&w, orphan, 0);
    prune_world_put(&w, coming, 5 * PRUNE_WORLD_DAY);
    prune_world_put(&w, "probe/00000000000000000000000000000001", 2 * PRUNE_WORLD_DAY);
    prune_world_put(&w, "probe/00000000000000000000000000000002", PRUNE_WORLD_HOUR);
    assert_prunes();
    assert_false(prune_world_has(&w, orphan));
    assert_true(prune_world_has(&w, coming));
    assert_false(prune_world_has(&w, "probe/00000000000000000000000000000001"));
    assert_true(prune_world_has(&w, "probe/00000000000000000000000000000002"));
    assert_int_equal(w.report.leftovers.objects, 1);
}

static void test_zero_policy_is_refused(void **state)
{
    struct prune_opts opts = options();

    (void)state;
    opts.policy = (struct retention_policy){0};
    assert_int_equal(prune_world_prune(&w, &opts, none), E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prunes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dry_run_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_allowed_to_delete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash_at_every_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_answer_at_every_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newer_timeline_stops_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newer_timeline_between_plan_and_execution, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_timelines_keep_what_they_promise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restore_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restore_lists_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times_that_were_pruned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_commits_that_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lags_two_days_at_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_zero_policy_is_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
