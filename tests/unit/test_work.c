/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_store.h"
#include "store_wait.h"
#include "work.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rig {
    uv_loop_t loop;
    struct work *work;
    pthread_t thread; /* of the loop */
    struct store *store;
};

static void begin(struct rig *g, unsigned lanes)
{
    memset(g, 0, sizeof *g);
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->work = work_new(&g->loop, lanes);
    g->thread = pthread_self();
}

static void end(struct rig *g)
{
    work_stop(g->work);
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&g->loop), 0);
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

enum { ITEMS = 400 };

struct entry {
    struct work_item item; /* must be first */
    unsigned lane, number, again;
    bool ran, done, inside;
    pthread_t ran_in;
};

static struct entry entries[ITEMS];
static unsigned lane_next[WORK_LANES_MAX]; /* each used by its own lane only */
static unsigned done_count;

static void run_entry(struct work_item *item)
{
    struct entry *e = (struct entry *)item;

    e->inside = e->number == lane_next[e->lane]; /* in order */
    lane_next[e->lane]++;
    e->ran_in = pthread_self();
    e->ran = true;
}

static void entry_done(struct work_item *item)
{
    struct entry *e = (struct entry *)item;
    struct rig *g = item->owner;

    assert_true(pthread_equal(pthread_self(), g->thread));
    assert_true(e->ran);
    assert_false(e->done);
    e->done = true;
    done_count++;
}

static void lanes_keep_order(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 3);
    assert_int_equal(work_lane_count(g.work), 3);
    memset(lane_next, 0, sizeof lane_next);
    done_count = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        entries[i] =
            (struct entry){.item = {.run = run_entry, .done = entry_done, .owner = &g}, .lane = i % 3, .number = i / 3};
        work_lane(g.work, i % 3, &entries[i].item);
        assert_false(entries[i].done); /* never from inside the submitting call */
    }
    assert_int_equal(uv_run(&g.loop, UV_RUN_DEFAULT), 0); /* ends by itself when nothing is under way */
    assert_int_equal(done_count, ITEMS);
    for (unsigned i = 0; i < ITEMS; i++) {
        assert_true(entries[i].inside);
        assert_true(pthread_equal(entries[i].ran_in, entries[i % 3].ran_in)); /* always the same thread */
        assert_false(pthread_equal(entries[i].ran_in, g.thread));
    }
    assert_false(pthread_equal(entries[0].ran_in, entries[1].ran_in));
    end(&g);
}

static void count_run(struct work_item *item)
{
    ((struct entry *)item)->number++;
}

static void submit_again(struct work_item *item)
{
    struct entry *e = (struct entry *)item;
    struct rig *g = item->owner;

    if (--e->again > 0)
        work_lane(g->work, 0, item);
}

static void done_may_submit_again(void **state)
{
    struct rig g;
    struct entry e = {.item = {.run = count_run, .done = submit_again}, .again = 50};

    (void)state;
    begin(&g, 1);
    e.item.owner = &g;
    work_lane(g.work, 0, &e.item);
    assert_int_equal(uv_run(&g.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(e.number, 50);
    assert_int_equal(e.again, 0);
    end(&g);
}

static void lane_counts(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 0);
    assert_in_range(work_lane_count(g.work), 1, WORK_LANES_MAX);
    end(&g);
    begin(&g, 100);
    assert_int_equal(work_lane_count(g.work), WORK_LANES_MAX);
    end(&g);
}

/* --- jobs -----------------------------------------------------------------------------------------------------------
 */

struct job {
    struct work_item item; /* must be first */
    struct rig *rig;
    struct rc rc;
    struct err err;
    unsigned steps;
    bool done;
};

static void job_done(struct work_item *item)
{
    ((struct job *)item)->done = true;
}

static void run_job(struct rig *g, struct job *j, void (*run)(struct work_item *item))
{
    *j = (struct job){.item = {.run = run, .done = job_done}, .rig = g};
    work_job(g->work, &j->item);
    assert_false(j->done);
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    assert_true(j->done);
}

static void slow_run(struct work_item *item)
{
    (void)usleep(1000);
    ((struct entry *)item)->ran_in = pthread_self();
    ((struct entry *)item)->ran = true;
}

/* A job hands steps to lanes and waits: done() of those is not called. */
static void waits_for_lanes(struct work_item *item)
{
    struct job *j = (struct job *)item;
    struct entry e[9];
    struct work_item *items[9];

    for (unsigned i = 0; i < 9; i++) {
        e[i] = (struct entry){.item = {.run = slow_run}};
        items[i] = &e[i].item;
    }
    work_lane_wait(j->rig->work, 1, items[0]);
    j->steps += e[0].ran;
    e[0].ran = false;
    work_spread_wait(j->rig->work, items, 9);
    for (unsigned i = 0; i < 9; i++)
        j->steps +=
            e[i].ran && pthread_equal(e[i].ran_in, e[i % 2].ran_in) && !pthread_equal(e[i].ran_in, pthread_self());
    j->steps += !pthread_equal(e[0].ran_in, e[1].ran_in); /* side by side */
    work_spread_wait(j->rig->work, items, 0);
}

static void job_with_lanes(void **state)
{
    struct rig g;
    struct job j;

    (void)state;
    begin(&g, 2);
    run_job(&g, &j, waits_for_lanes);
    assert_int_equal(j.steps, 1 + 9 + 1);
    end(&g);
}

static void note_thread(void *ctx)
{
    struct job *j = ctx;

    j->steps += pthread_equal(pthread_self(), j->rig->thread) != 0;
}

static void visits_the_loop(struct work_item *item)
{
    struct job *j = (struct job *)item;

    for (unsigned i = 0; i < 20; i++)
        work_on_loop(j->rig->work, note_thread, j);
}

static void errands(void **state)
{
    struct job jobs[6];
    struct rig g;

    (void)state;
    begin(&g, 1);
    for (unsigned i = 0; i < 6; i++) { /* several at once */
        jobs[i] = (struct job){.item = {.run = visits_the_loop, .done = job_done}, .rig = &g};
        work_job(g.work, &jobs[i].item);
    }
    assert_int_equal(uv_run(&g.loop, UV_RUN_DEFAULT), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_true(jobs[i].done && jobs[i].steps == 20);
    end(&g);
}

/* --- requests --------------------------------------------------------------------------------------------------------
 */

static void puts_and_gets(struct work_item *item)
{
    struct job *j = (struct job *)item;
    struct store_req reqs[5];
    char keys[5][8];

    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k/%u", i);
        store_req_init(&reqs[i], STORE_PUT, keys[i], NULL, NULL);
        reqs[i].body = span_of(keys[i], strlen(keys[i]));
        reqs[i].create_only = true;
    }
    j->rc = work_store_all(j->rig->work, j->rig->store, reqs, 5, &j->err);
    for (unsigned i = 0; i < 5; i++)
        store_req_fini(&reqs[i]);
    if (rc_failed(j->rc))
        return;
    for (unsigned i = 0; i < 5; i++) {
        store_req_init(&reqs[0], STORE_GET, keys[i], NULL, NULL);
        j->rc = work_store(j->rig->work, j->rig->store, &reqs[0], &j->err);
        j->steps += !rc_failed(j->rc) && reqs[0].data.size == 3 && memcmp(reqs[0].data.data, keys[i], 3) == 0;
        store_req_fini(&reqs[0]);
    }
    j->rc = work_store_all(j->rig->work, j->rig->store, reqs, 0, &j->err);
}

static void requests(void **state)
{
    char root[STORE_WAIT_PATH_SIZE];
    char folder[STORE_WAIT_PATH_SIZE + 8];
    struct store_env *env;
    struct store *below;
    struct fault_store f;
    struct store_wait w;
    struct err err;
    struct rig g;
    struct job j;

    (void)state;
    store_wait_scratch(root);
    begin(&g, 1);
    store_wait_open(&w, &fsys_real, root); /* only to see that there is nothing */
    store_wait_close(&w);
    {
        char url[STORE_WAIT_PATH_SIZE + 8];

        (void)snprintf(url, sizeof url, "file://%s", root);
        env = store_env_new(&g.loop, &fsys_real);
        assert_ok_err(store_open(env, url, NULL, 0, &below, &err), &err);
    }
    fault_store_init(&f, &g.loop, below);
    g.store = &f.base;
    fault_store_arm(&f, FAULT_STORE_REFUSED, 3, false); /* one of five: all come back, the failure is told */
    run_job(&g, &j, puts_and_gets);
    assert_fails(j.rc, E_NETWORK);
    assert_int_equal(f.requests, 5);
    fault_store_disarm(&f);
    run_job(&g, &j, puts_and_gets); /* four of the keys are taken now */
    assert_fails(j.rc, E_EXISTS);
    (void)snprintf(folder, sizeof folder, "%s/k", root);
    store_wait_unscratch(folder);
    run_job(&g, &j, puts_and_gets);
    assert_ok_err(j.rc, &j.err);
    assert_int_equal(j.steps, 5);
    store_wait_stop(&g.loop, g.store);
    store_wait_stop_env(&g.loop, env);
    end(&g);
    store_wait_unscratch(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_keep_order),
        cmocka_unit_test(done_may_submit_again),
        cmocka_unit_test(lane_counts),
        cmocka_unit_test(job_with_lanes),
        cmocka_unit_test(errands),
        cmocka_unit_test(requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
