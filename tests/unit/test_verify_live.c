/* SPDX-License-Identifier: Apache-2.0 */
/* Verifications while a daemon writes, and of a store that fails. */
#include "verify_kit.h"

/* --- a daemon that goes on -----------------------------------------------------------------------------------------
 */

/* Documents are read behind the first listing: what happens now was not listed. */
static void cut_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    make_history_cut(&kit.h);
}

static void seal_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    bool *sealed = ctx;

    (void)done;
    (void)total;
    if (*sealed)
        return;
    *sealed = true;
    make_history_seal(&kit.h, 5);
    make_history_timeline(&kit.h, 4, 20);
}

static void test_while_it_is_written(void **state)
{
    const struct make_history_state *s;
    bool sealed = false;
    layout_text key;

    (void)state;
    insert(0); /* captured, not shipped */
    s = &kit.h.states[kit.h.count - 1];
    make_history_snapshot_of(&kit.h, s, s->time_ms);
    layout_snapshot(key, 4, s->txid, s->time_ms);
    verify();
    assert_finding("a snapshot ahead of its log", VERIFY_UNEXPECTED, key);
    kit.opts.on_progress = cut_meanwhile;
    verify();
    assert_findings("its segment comes", VERIFY_UNEXPECTED, NULL, 0);
    kit.opts = (struct verify_opts){.on_progress = seal_meanwhile, .ctx = &sealed};
    verify();
    assert_findings("a takeover", VERIFY_UNEXPECTED, NULL, 0);
    assert_true(sealed);
    kit.opts = (struct verify_opts){0};
    verify();
    assert_findings("after a takeover", VERIFY_UNEXPECTED, NULL, 0);
    assert_int_equal(kit.report.timeline_count, 5);
    remove_key("t/00000005/timeline.json");
    verify();
    assert_finding("half a takeover", VERIFY_MISSING, "t/00000005/timeline.json");
}

/* --- a store that fails --------------------------------------------------------------------------------------------
 */

struct faulty {
    struct work_item item; /* must be first */
    struct work *work;
    struct fault_store store;
    struct rc rc;
};

static void run_faulty(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    f->rc = verify_run(f->work, &f->store.base, &kit.opts, &kit.report, &kit.err);
}

static void on_stopped(void *ctx)
{
    (void)ctx;
}

static void on_faulty_done(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    store_stop(&f->store.base, on_stopped, NULL);
    work_stop(f->work);
}

static long verify_with_fault(enum fault_store_kind kind, long n, bool forever, struct rc *rc)
{
    struct faulty f = {.item = {.run = run_faulty, .done = on_faulty_done}};
    struct store_wait below;

    store_wait_open(&below, &fsys_real, kit.root);
    fault_store_init(&f.store, &below.loop, below.store);
    fault_store_arm(&f.store, kind, n, forever);
    f.work = work_new(&below.loop, 2);
    verify_fini(&kit.report);
    work_job(f.work, &f.item);
    assert_int_equal(uv_run(&below.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&below.loop), 0);
    *rc = f.rc;
    return f.store.fired;
}

static void test_every_request_fails(void **state)
{
    static const enum err_code wanted[] = {
        [FAULT_STORE_REFUSED] = E_NETWORK, [FAULT_STORE_THROTTLED] = E_THROTTLED, [FAULT_STORE_LOST] = E_TIMEOUT};

    (void)state;
    for (size_t kind = 0; kind < sizeof wanted / sizeof wanted[0]; kind++)
        for (long n = 1;; n++) {
            struct rc rc;

            if (verify_with_fault((enum fault_store_kind)kind, n, false, &rc) == 0) {
                assert_ok_err(rc, &kit.err);
                assert_true(n > (long)kit.key_count);
                break;
            }
            assert_int_equal(rc.code, wanted[kind]);
        }
}

/* Bytes that were spoilt on their way once are no damage; spoilt every time they are, and never called good. */
static void test_spoilt_answers(void **state)
{
    (void)state;
    for (size_t kind = FAULT_STORE_HALF_BODY; kind <= FAULT_STORE_WRONG_BODY; kind++)
        for (long n = 1;; n++) {
            struct rc rc;

            if (verify_with_fault((enum fault_store_kind)kind, n, false, &rc) == 0)
                break;
            if (!rc_failed(rc) && verify_failed(&kit.report))
                print_findings();
            assert_ok_err(rc, &kit.err);
            assert_false(verify_failed(&kit.report));
            assert_true(verify_with_fault((enum fault_store_kind)kind, n, true, &rc) > 0);
            assert_true(rc_failed(rc) || verify_failed(&kit.report));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_fails),
        cmocka_unit_test(test_spoilt_answers),
        cmocka_unit_test(test_while_it_is_written),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
