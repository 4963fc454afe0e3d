/* SPDX-License-Identifier: Apache-2.0 */
/* Segments that wait in the spool: they come back in order, whatever fails meanwhile. */
#include "shipper_kit.h"

/* --- the spool ---------------------------------------------------------------------------------------------------- */

/* The replica is away; three segments and a part of one wait. */
static void wait_in_vain(struct rig *g)
{
    fault_store_arm(&g->store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g->s, make(1, "one"));
    shipper_put(&g->s, make_part(2, 0));
    shipper_put(&g->s, make(2, "two"));
    shipper_put(&g->s, make(3, "three"));
    run_until(g, &g->trouble, 1);
    assert_false(shipper_has_room(&g->s));
}

static void spooled_segments_come_back_in_order(void **state)
{
    static const uint64_t want[] = {1, 1000, 2, 3, 4};
    static const char *const texts[] = {"one", "part", "two", "three"};
    struct db_segment *seg;
    unsigned seen = 0;
    struct rig g;

    (void)state;
    begin(&g);
    wait_in_vain(&g);
    for (seg = shipper_pause(&g.s); seg != NULL; seg = seg->next) {
        assert_true(seg->bytes.size > 0);
        seg->spooled = true;
        seen++;
    }
    assert_int_equal(seen, 4);
    shipper_resume(&g.s);
    assert_int_equal(g.s.spooled_count, 3);
    assert_int_equal(g.s.segment_count, 0);
    assert_true(shipper_has_room(&g.s));
    shipper_put(&g.s, make(4, "four")); /* behind them, in memory */

    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 0, false);
    for (unsigned i = 0; i < 4; i++) {
        run_until(&g, &g.loads, i + 1);
        assert_int_equal(g.shipped, i);
        give(&g, texts[i]);
        run_until(&g, &g.shipped, i + 1);
    }
    run_until(&g, &g.shipped, 5);
    assert_memory_equal(g.order, want, sizeof want);
    assert_int_equal(g.loads, 4);
    assert_int_equal(g.s.spooled_count, 0);
    assert_object(&g, 1, "one");
    assert_object(&g, 3, "three");
    assert_object(&g, 4, "four");
    end(&g);
}

/* What nothing has asked for waits, its parts, too, and does not stand for a replica that does not answer. */
static void what_may_not_go_waits(void **state)
{
    static const uint64_t want[] = {1, 1000, 4, 9};
    struct rig g;

    (void)state;
    begin(&g);
    shipper_allow(&g.s, 3);
    shipper_put(&g.s, make(1, "one"));
    assert_false(shipper_holds(&g.s));
    shipper_put(&g.s, make_part(4, 0));
    assert_true(shipper_holds(&g.s));
    shipper_put(&g.s, make(4, "four"));
    run_until(&g, &g.shipped, 1);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT); /* there is nothing left to wait for */
    assert_int_equal(g.shipped, 1);
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 1);
    assert_false(shipper_idle(&g.s));
    shipper_put(&g.s, make(9, "nine"));
    shipper_allow(&g.s, 8);
    assert_true(shipper_holds(&g.s));
    run_until(&g, &g.shipped, 3);
    assert_false(shipper_idle(&g.s));
    shipper_allow(&g.s, UINT64_MAX);
    assert_false(shipper_holds(&g.s));
    run_until(&g, &g.shipped, 4);
    assert_memory_equal(g.order, want, sizeof want);
    assert_true(shipper_idle(&g.s));

    shipper_allow(&g.s, 9); /* what waits on the disk is not read, and holds nothing up */
    shipper_put(&g.s, make(10, "ten"));
    assert_true(shipper_holds(&g.s));
    shipper_pause(&g.s)->spooled = true;
    shipper_resume(&g.s);
    assert_false(shipper_holds(&g.s));
    assert_int_equal(g.loads, 0);
    shipper_allow(&g.s, 10);
    assert_int_equal(g.loads, 1);
    give(&g, "ten");
    run_until(&g, &g.shipped, 5);
    assert_object(&g, 10, "ten");
    end(&g);
}

/* What comes back while the queue is frozen is looked at afterwards; the bytes in flight stay where they are. */
static void a_pause_holds_answers(void **state)
{
    struct db_segment *first;
    struct rig g;

    (void)state;
    begin(&g);
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    first = shipper_pause(&g.s);
    while (!g.s.answered)
        assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.s.answered);
    assert_int_equal(g.shipped, 0);
    assert_memory_equal(first->bytes.data, "one", 3);
    first->spooled = true;
    shipper_resume(&g.s);
    run_until(&g, &g.shipped, 2);
    assert_int_equal(g.loads, 0);
    assert_int_equal(g.order[0], 1);
    assert_object(&g, 1, "one");
    assert_object(&g, 2, "two");
    end(&g);
}

static void a_spool_that_cannot_be_read(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    wait_in_vain(&g);
    for (struct db_segment *seg = shipper_pause(&g.s); seg != NULL; seg = seg->next)
        seg->spooled = true;
    shipper_resume(&g.s);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 0, false);
    run_until(&g, &g.loads, 1);
    g.wanted = NULL;
    rc_ignore(rc_raise(&err, E_IO, "spool: no disk"), "it is the answer");
    shipper_loaded(&g.s, &err);
    assert_string_equal(g.s.last_error.msg, "spool: no disk");
    run_until(&g, &g.loads, 2); /* tried again */
    give(&g, "one");
    run_until(&g, &g.shipped, 1);
    run_until(&g, &g.loads, 3);
    shipper_drop(&g.s); /* waits for what is being read */
    assert_int_equal(g.dropped, 0);
    give(&g, "part");
    assert_int_equal(g.dropped, 1);
    assert_true(shipper_idle(&g.s));
    end(&g);
}

static void fenced_from_outside(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    rc_ignore(rc_raise(&err, E_FENCED, "a newer timeline"), "it is the reason");
    shipper_fence(&g.s, &err);
    shipper_fence(&g.s, &err);
    assert_int_equal(g.fenced, 1);
    assert_string_equal(g.fence.msg, "a newer timeline");
    shipper_put(&g.s, make(1, "one"));
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 0);
    end(&g);
}

static void a_start_clears_the_trouble(void **state)
{
    unsigned before;
    struct rig g;

    (void)state;
    begin(&g);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    shipper_drop(&g.s);
    assert_int_equal(g.s.last_error.code, E_NETWORK);
    before = g.trouble;
    shipper_follow(&g.s, 7, &us);
    assert_int_equal(g.s.last_error.code, E_OK);
    assert_int_equal(g.trouble, before + 1);
    shipper_follow(&g.s, 8, &us);
    assert_int_equal(g.trouble, before + 1);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spooled_segments_come_back_in_order),
        cmocka_unit_test(what_may_not_go_waits),
        cmocka_unit_test(a_pause_holds_answers),
        cmocka_unit_test(a_spool_that_cannot_be_read),
        cmocka_unit_test(fenced_from_outside),
        cmocka_unit_test(a_start_clears_the_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
