/* SPDX-License-Identifier: Apache-2.0 */
/* A process that slept looks whether another one wrote meanwhile, before it goes on. */
#include "shipper_kit.h"

/* --- after a sleep ------------------------------------------------------------------------------------------------ */

static unsigned lists(const struct rig *g)
{
    return (unsigned)store_counts_of(&g->store.base)->requests[STORE_LIST];
}

/* The history's end was looked at so long ago that it may be another's by now. */
static void sleep_long(struct rig *g)
{
    g->s.look_after_ms = 60000;
    g->s.known_mono_ms = clock_mono_ms(&clock_real);
    g->s.known_wall_ms = clock_wall_ms(&clock_real) - 60001;
}

static void put_other(struct rig *g, const char *key)
{
    struct store_req req;
    static const uint8_t byte = 1;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = span_of(&byte, 1);
    assert_ok_err(store_wait_run(&g->loop, &g->store.base, &req, &err), &err);
    store_req_fini(&req);
}

static void looks_after_a_sleep(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    put_other(&g, "t/00000007/fold/0000000000000001-0000000000000009");
    put_other(&g, "t/00000006/log/0000000000000099");
    sleep_long(&g);
    shipper_put(&g.s, make(10, "ten"));
    run_until(&g, &g.shipped, 1);
    assert_int_equal(lists(&g), 3);
    shipper_put(&g.s, make(11, "eleven")); /* now it is known */
    run_until(&g, &g.shipped, 2);
    assert_int_equal(lists(&g), 3);
    end(&g);
}

static void fenced_after_a_sleep(void **state)
{
    static const char *const others[] = {"t/00000007/log/000000000000000b", "t/00000008/timeline.json",
        "t/00000007/fold/000000000000000a-0000000000000010", "t/00000007/fold/0000000000000005-000000000000000a"};

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct rig g;

        begin(&g);
        put_other(&g, others[i]);
        g.s.fold_first_txid = 5;
        sleep_long(&g);
        shipper_put(&g.s, make(10, "ten"));
        run_until(&g, &g.fenced, 1);
        assert_int_equal(g.shipped, 0);
        assert_int_equal(store_counts_of(&g.store.base)->requests[STORE_PUT], 1); /* that of the other */
        assert_non_null(strstr(g.fence.msg, "slept"));
        end(&g);
    }
}

/* The PUT itself may have slept: what it stored does not count when another went on meanwhile. */
static void looks_behind_a_slow_put(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    put_other(&g, "t/00000007/fold/0000000000000002-0000000000000014");
    g.s.fold_first_txid = 2;
    g.s.look_after_ms = 60000;
    shipper_know(&g.s);
    shipper_put(&g.s, make(10, "ten"));
    assert_true(g.s.in_flight);
    g.s.sent_wall_ms -= 60001;
    run_until(&g, &g.fenced, 1);
    assert_int_equal(g.shipped, 0);
    assert_int_equal(lists(&g), 3);
    end(&g);
}

/* What cannot be found out is tried again, and a stop does not wait for it. */
static void a_look_that_fails(void **state)
{
    struct rig g;

    (void)state;
    for (long n = 1; n <= 3; n++) {
        begin(&g);
        sleep_long(&g);
        fault_store_arm(&g.store, FAULT_STORE_REFUSED, n, false);
        shipper_put(&g.s, make(10, "ten"));
        run_until(&g, &g.shipped, 1);
        assert_int_equal(g.trouble, 2); /* it began and ended */
        assert_int_equal(lists(&g), 6);
        end(&g);
        begin(&g);
        sleep_long(&g);
        shipper_put(&g.s, make(10, "ten"));
        end(&g);
        assert_int_equal(g.shipped, 0);
    }
}

/* While the queue is frozen the answer waits. */
static void a_look_over_a_pause(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    sleep_long(&g);
    shipper_put(&g.s, make(10, "ten"));
    assert_non_null(shipper_pause(&g.s));
    while (!g.s.looked)
        assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.s.looked);
    assert_int_equal(g.shipped, 0);
    shipper_resume(&g.s);
    run_until(&g, &g.shipped, 1);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_after_a_sleep),
        cmocka_unit_test(fenced_after_a_sleep),
        cmocka_unit_test(looks_behind_a_slow_put),
        cmocka_unit_test(a_look_that_fails),
        cmocka_unit_test(a_look_over_a_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
