/* SPDX-License-Identifier: Apache-2.0 */
#include "shipper_kit.h"

/* --- what works ----------------------------------------------------------------------------------------------------
 */

static void in_order(void **state)
{
    static const uint64_t want[] = {1000, 1001, 1, 5};
    struct rig g;

    (void)state;
    begin(&g);
    assert_true(shipper_idle(&g.s));
    shipper_put(&g.s, make_part(1, 0));
    shipper_put(&g.s, make_part(1, 1));
    assert_true(shipper_has_room(&g.s)); /* parts do not count */
    shipper_put(&g.s, make(1, "one"));
    assert_true(shipper_has_room(&g.s));
    shipper_put(&g.s, make(5, "five"));
    assert_false(shipper_has_room(&g.s));
    assert_false(shipper_idle(&g.s));
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 1); /* one at a time */
    run_until(&g, &g.shipped, 4);
    assert_memory_equal(g.order, want, sizeof want);
    assert_true(shipper_idle(&g.s));
    assert_true(shipper_has_room(&g.s));
    assert_int_equal(g.s.put_count, 4);
    assert_int_equal(g.s.put_bytes, 4 + 4 + 3 + 4);
    assert_int_equal(g.s.raw_bytes, 4 * 4096);
    assert_int_equal(g.trouble, 0);
    assert_object(&g, 1, "one");
    assert_object(&g, 5, "five");
    end(&g);
}

static void put_next(struct rig *g)
{
    if (g->shipped < 5)
        shipper_put(&g->s, make(g->shipped + 1, "next"));
}

static void from_the_callback(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    g.then = put_next;
    shipper_put(&g.s, make(1, "next"));
    run_until(&g, &g.shipped, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(g.order[i], i + 1);
    end(&g);
}

/* --- failures -------------------------------------------------------------------------------------------------------
 */

static void tries_again(void **state)
{
    static const enum fault_store_kind kinds[] = {FAULT_STORE_REFUSED, FAULT_STORE_THROTTLED};
    struct rig g;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        begin(&g);
        fault_store_arm(&g.store, kinds[k], 1, true);
        shipper_put(&g.s, make(1, "one"));
        shipper_put(&g.s, make(2, "two"));
        while (g.trouble < 4) {
            run_until(&g, &g.trouble, g.trouble + 1);
            assert_true(g.s.waiting);
            assert_int_equal(g.s.failure_count, g.trouble);
            assert_int_not_equal(g.s.last_error.code, E_OK);
            assert_int_not_equal(g.s.error_since_ms, 0);
            assert_int_equal(g.store.requests, g.trouble);
            if (g.trouble < 4)
                shipper_hurry(&g.s); /* without waiting for the pause */
        }
        assert_int_equal(g.shipped, 0);
        fault_store_disarm(&g.store);
        run_until(&g, &g.shipped, 2); /* by itself, after its pause */
        assert_int_equal(g.order[0], 1);
        assert_int_equal(g.order[1], 2);
        assert_int_equal(g.s.last_error.code, E_OK);
        assert_int_equal(g.trouble, g.s.failure_count + 1); /* and told when it was over */
        shipper_hurry(&g.s);                                /* nothing to hurry */
        end(&g);
    }
}

/* It was carried out, but the answer got lost: what is there are our own bytes. */
static void lost_answers(void **state)
{
    struct rig g;

    (void)state;
    for (long n = 1; n <= 4; n++) {
        begin(&g);
        fault_store_arm(&g.store, FAULT_STORE_LOST, n, false);
        shipper_put(&g.s, make_part(1, 0));
        shipper_put(&g.s, make(1, "one"));
        shipper_put(&g.s, make(2, "two"));
        while (g.shipped < 3) {
            assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.shipped == 3);
            shipper_hurry(&g.s);
        }
        assert_int_equal(g.fenced, 0);
        assert_int_equal(g.store.fired, n < 4);
        assert_int_equal(g.order[1], 1);
        assert_int_equal(g.order[2], 2);
        assert_object(&g, 1, "one");
        assert_object(&g, 2, "two");
        end(&g);
    }
}

/* A part's key that is taken is read as well: the same bytes are ours, others are no success. */
static void taken_part(void **state)
{
    struct store_req req;
    struct rig g;
    layout_text key;

    (void)state;
    for (int same = 0; same < 2; same++) {
        begin(&g);
        layout_part(key, 7, 1, &us, 0);
        store_req_init(&req, STORE_PUT, key, NULL, NULL);
        req.body = span_of(same ? "part" : "trap", 4);
        assert_ok_err(store_wait_run(&g.loop, g.store.below, &req, &err), &err);
        store_req_fini(&req);
        shipper_put(&g.s, make_part(1, 0));
        if (same) {
            run_until(&g, &g.shipped, 1);
            assert_int_equal(g.s.last_error.code, E_OK);
        } else {
            run_until(&g, &g.trouble, 1);
            assert_int_equal(g.shipped, 0);
            assert_int_equal(g.s.last_error.code, E_CORRUPT);
            assert_non_null(strstr(g.s.last_error.msg, "holds other bytes than were sent there"));
        }
        assert_int_equal(g.fenced, 0);
        assert_int_equal(g.store.base.counts.requests[STORE_GET], 1);
        end(&g);
    }
}

/* ... and reading them back fails as well. */
static void lost_twice(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, false);
    g.store.verbs = 1u << STORE_GET;
    shipper_hurry(&g.s);
    run_until(&g, &g.trouble, 2);
    assert_int_equal(g.store.fired, 1);
    shipper_hurry(&g.s);
    run_until(&g, &g.shipped, 1);
    assert_int_equal(g.fenced, 0);
    end(&g);
}

/* --- other writers ---------------------------------------------------------------------------------------------------
 */

static void assert_fenced(struct rig *g, const char *one, const char *two)
{
    shipper_put(&g->s, make(3, "mine"));
    shipper_put(&g->s, make(4, "behind"));
    run_until(g, &g->fenced, 1);
    assert_int_equal(g->fence.code, E_FENCED);
    assert_non_null(strstr(g->fence.msg, one));
    assert_non_null(strstr(g->fence.msg, two));
    assert_int_equal(g->shipped, 0);
    assert_false(shipper_has_room(&g->s));
    shipper_put(&g->s, make(5, "later"));
    shipper_hurry(&g->s);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);                         /* only gives it a chance */
    assert_int_equal(g->store.base.counts.requests[STORE_PUT], 1); /* nothing more is sent */
    assert_int_equal(g->fenced, 1);
    assert_object(g, 4, NULL);
}

static void foreign_segment(void **state)
{
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    make_segment(&bytes, &them, 3);
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    assert_fenced(&g, "run 09090000000000000000000000000000", "log/0000000000000003 was written by another writer");
    end(&g);
}

static void sealed(void **state)
{
    const struct seal seal = {.pack = {.kind = PACK_SEAL, .writer = them},
        .timeline = 7,
        .successor = 8,
        .txid = 3,
        .time_ms = 1,
        .owner = "beta (process 4711)"};
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    buf_init(&bytes, 1 << 20);
    assert_ok_err(seal_encode(&seal, &bytes, &err), &err);
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    assert_fenced(&g, "was sealed by beta (process 4711), which writes timeline 8 now", "--fork");
    end(&g);
}

/* What stands there cannot be read: nobody knows whose it is, so it is not overwritten, and not given up either. */
static void garbage(void **state)
{
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    buf_init(&bytes, 1 << 20);
    buf_text(&bytes, "not one of ours");
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    shipper_put(&g.s, make(3, "mine"));
    run_until(&g, &g.trouble, 1);
    assert_int_equal(g.s.last_error.code, E_CORRUPT);
    assert_non_null(strstr(g.s.last_error.msg, "log/0000000000000003 is taken"));
    assert_int_equal(g.fenced, 0);
    assert_object(&g, 3, "not one of ours");
    end(&g);
}

/* --- stopping and dropping -------------------------------------------------------------------------------------------
 */

static void drops(void **state)
{
    struct rig g;

    (void)state;
    begin(&g); /* in flight: waited for, then told */
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    shipper_drop(&g.s);
    assert_false(shipper_idle(&g.s));
    assert_int_equal(g.dropped, 0);
    run_until(&g, &g.dropped, 1);
    assert_true(shipper_idle(&g.s));
    assert_int_equal(g.shipped, 0);
    shipper_put(&g.s, make(9, "nine")); /* and on */
    run_until(&g, &g.shipped, 1);
    assert_int_equal(g.order[0], 9);
    assert_object(&g, 2, NULL);

    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true); /* in a pause: at once */
    shipper_put(&g.s, make(10, "ten"));
    run_until(&g, &g.trouble, 1);
    shipper_drop(&g.s);
    assert_true(shipper_idle(&g.s));
    assert_true(shipper_has_room(&g.s));
    assert_int_equal(g.dropped, 1);
    fault_store_disarm(&g.store);
    shipper_put(&g.s, make(11, "eleven"));
    run_until(&g, &g.shipped, 2);
    assert_object(&g, 10, NULL);
    end(&g);
}

static void stops_at_any_time(void **state)
{
    struct rig g;

    (void)state;
    begin(&g); /* idle */
    end(&g);

    begin(&g); /* in flight */
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    shipper_stop(&g.s);
    assert_int_equal(g.closed, 0);
    end(&g);

    begin(&g); /* in a pause */
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    end(&g);

    begin(&g); /* while reading back */
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    shipper_hurry(&g.s);
    while (g.store.base.counts.requests[STORE_GET] == 0)
        assert_int_not_equal(uv_run(&g.loop, UV_RUN_ONCE), 0);
    shipper_stop(&g.s);
    assert_int_equal(g.closed, 0);
    end(&g);
    assert_int_equal(g.shipped, 0);

    begin(&g); /* dropped, then stopped */
    shipper_put(&g.s, make(1, "one"));
    shipper_drop(&g.s);
    shipper_stop(&g.s);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(from_the_callback),
        cmocka_unit_test(tries_again),
        cmocka_unit_test(lost_answers),
        cmocka_unit_test(taken_part),
        cmocka_unit_test(lost_twice),
        cmocka_unit_test(foreign_segment),
        cmocka_unit_test(sealed),
        cmocka_unit_test(garbage),
        cmocka_unit_test(drops),
        cmocka_unit_test(stops_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
