/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "pace.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>

enum { MANY = 20 };

struct rig {
    struct store_wait w; /* the store in it is taken by `paced` */
    struct store *paced;
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_req reqs[MANY];
    unsigned done, canceled, most; /* answers; the most that were under way below */
};

static void begin(struct rig *g, uint64_t rate)
{
    struct err err;

    *g = (struct rig){.done = 0};
    store_wait_scratch(g->dir);
    store_wait_open(&g->w, &fsys_real, g->dir);
    assert_ok_err(store_wait_put(&g->w, "a", "0123456789", true, &err), &err);
    g->paced = pace_new(&g->w.loop, g->w.store, rate);
    g->w.store = g->paced;
}

static void end(struct rig *g)
{
    for (int i = 0; i < MANY; i++)
        store_req_fini(&g->reqs[i]);
    store_wait_close(&g->w);
    store_wait_unscratch(g->dir);
}

static void on_done(struct store_req *req)
{
    struct rig *g = req->ctx;
    const struct store_counts *below = store_counts_of(g->paced);
    uint64_t outcomes = below->outcomes[STORE_GET][STORE_OUTCOME_OK];

    g->done++;
    if (req->err.code == E_CANCELED) {
        g->canceled++;
        return;
    }
    assert_int_equal(req->err.code, E_OK);
    assert_int_equal(req->data.size, 10);
    if (below->requests[STORE_GET] - outcomes > g->most)
        g->most = (unsigned)(below->requests[STORE_GET] - outcomes);
}

static void ask_all(struct rig *g)
{
    for (int i = 0; i < MANY; i++) {
        store_req_init(&g->reqs[i], STORE_GET, "a", on_done, g);
        store_submit(g->paced, &g->reqs[i]);
    }
    assert_int_equal(g->done, 0);
}

static void run_until(struct rig *g, unsigned done)
{
    while (g->done < done)
        (void)uv_run(&g->w.loop, UV_RUN_ONCE);
}

/* All are answered, few at a time. */
static void test_passes_on(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 0);
    ask_all(&g);
    run_until(&g, MANY);
    assert_in_range(g.most, 0, PACE_IN_FLIGHT - 1); /* beside the one that just came back */
    assert_int_equal(g.canceled, 0);
    end(&g);
}

/* A byte in a second: the first ones are answered, and nothing else is asked while they are paid for. */
static void test_rate(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1);
    ask_all(&g);
    run_until(&g, PACE_IN_FLIGHT);
    for (int i = 0; i < 100; i++)
        (void)uv_run(&g.w.loop, UV_RUN_NOWAIT);
    assert_int_equal(g.done, PACE_IN_FLIGHT);
    assert_int_equal(store_counts_of(g.paced)->requests[STORE_GET], PACE_IN_FLIGHT);
    store_cancel(g.paced);
    run_until(&g, MANY);
    assert_int_equal(g.canceled, MANY - PACE_IN_FLIGHT);
    end(&g);
}

static void test_hold(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 0);
    pace_hold(g.paced, true);
    ask_all(&g);
    for (int i = 0; i < 100; i++)
        (void)uv_run(&g.w.loop, UV_RUN_NOWAIT);
    assert_int_equal(g.done, 0);
    assert_int_equal(store_counts_of(g.paced)->requests[STORE_GET], 0);
    pace_hold(g.paced, false);
    run_until(&g, MANY);
    assert_int_equal(g.canceled, 0);
    end(&g);
}

/* What waits, and what comes later, also while it is held. */
static void test_cancel(void **state)
{
    struct rig g;
    struct store_req *late;

    (void)state;
    begin(&g, 0);
    pace_hold(g.paced, true);
    ask_all(&g);
    store_cancel(g.paced);
    store_cancel(g.paced);
    run_until(&g, MANY);
    assert_int_equal(g.canceled, MANY);
    late = &g.reqs[0];
    store_req_init(late, STORE_GET, "a", on_done, &g);
    store_submit(g.paced, late);
    assert_int_equal(g.done, MANY);
    run_until(&g, MANY + 1);
    assert_int_equal(late->err.code, E_CANCELED);
    assert_string_equal(late->err.msg, "stopping");
    end(&g);
}

/* Stopped with requests in every state: each is answered before the store is gone. */
static void test_stop(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 1);
    ask_all(&g);
    run_until(&g, 1);
    store_wait_stop(&g.w.loop, g.paced);
    assert_int_equal(g.done, MANY);
    for (int i = 0; i < MANY; i++)
        store_req_fini(&g.reqs[i]);
    assert_int_equal(uv_loop_close(&g.w.loop), 0);
    store_wait_unscratch(g.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_on),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
