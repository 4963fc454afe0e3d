/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_store.h"
#include "fence.h"
#include "layout.h"
#include "store_wait.h"

#include <string.h>

/* A store with weak conditions over one with good ones. */
enum weakness { STRONG, IGNORES, REFUSES, REFUSES_ALL, TWO_WIN, FIRST_ANSWERS_LOST };

struct weak {
    struct store base; /* must be first */
    struct store *below;
    enum weakness weakness;
    unsigned puts;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

struct passage {
    struct store_req inner;
    struct store_req *outer;
    struct weak *store;
    unsigned number;
};

static void on_passed(struct store_req *inner)
{
    struct passage *p = inner->ctx;
    struct weak *w = p->store;
    struct store_req *outer = p->outer;

    store_req_take(outer, inner);
    if (outer->verb == STORE_PUT && (w->weakness == REFUSES_ALL || (w->weakness == REFUSES && outer->create_only)))
        rc_ignore(rc_raise(&outer->err, E_UNSUPPORTED, "not implemented"), "it is the answer");
    if (outer->verb == STORE_PUT && w->weakness == FIRST_ANSWERS_LOST && p->number <= 3)
        rc_ignore(rc_raise(&outer->err, E_SERVER, "500"), "it is the answer");
    mem_free(p);
    store_complete(&w->base, outer);
}

static void weak_submit(struct store *s, struct store_req *req)
{
    struct weak *w = (struct weak *)s;
    struct passage *p = mem_new(sizeof *p);

    p->outer = req;
    p->store = w;
    store_req_forward(&p->inner, req, on_passed, p);
    if (req->verb == STORE_PUT) {
        p->number = ++w->puts;
        p->inner.create_only = req->create_only && w->weakness != IGNORES && !(w->weakness == TWO_WIN && w->puts <= 2);
    }
    store_submit(w->below, &p->inner);
}

static void weak_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    store_stop(((struct weak *)s)->below, on_stopped, ctx);
}

static const struct store_ops weak_ops = {.submit = weak_submit, .stop = weak_stop};

struct rig {
    struct work_item item; /* must be first */
    uv_loop_t loop;
    char root[STORE_WAIT_PATH_SIZE];
    struct work *work;
    struct fault_store faults;
    struct weak weak;
    bool check_newer;
    uint32_t timeline;
    enum fence fence;
    struct rc rc;
    bool done;
};

static struct err err;

static void begin(struct rig *g, enum weakness weakness)
{
    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    fault_store_begin(&g->faults, &g->loop, g->root);
    g->weak = (struct weak){.base = {.ops = &weak_ops, .url = g->root, .part_size = 1 << 20},
        .below = &g->faults.base,
        .weakness = weakness};
    g->work = work_new(&g->loop, 1);
}

static void end(struct rig *g)
{
    work_stop(g->work);
    store_wait_end(&g->loop, &g->weak.base);
    store_wait_unscratch(g->root);
}

static void run(struct work_item *item)
{
    struct rig *g = (struct rig *)item;

    if (g->check_newer)
        g->rc = fence_check_newer(g->work, &g->weak.base, g->timeline, &err);
    else
        g->rc = fence_probe(g->work, &g->weak.base, &g->fence, &err);
}

static void done(struct work_item *item)
{
    ((struct rig *)item)->done = true;
}

static struct rc do_it(struct rig *g)
{
    g->item = (struct work_item){.run = run, .done = done};
    g->done = false;
    work_job(g->work, &g->item);
    while (!g->done)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || g->done);
    return g->rc;
}

static size_t objects(struct rig *g)
{
    struct store_req req;
    size_t count;

    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_ok_err(store_wait_run(&g->loop, g->faults.below, &req, &err), &err);
    count = req.entry_count;
    store_req_fini(&req);
    return count;
}

static void test_every_kind_of_store(void **state)
{
    static const struct {
        enum weakness weakness;
        enum fence want;
        bool weak;
    } cases[] = {
        {STRONG, FENCE_KEPT, false},
        {IGNORES, FENCE_IGNORED, true},
        {REFUSES, FENCE_REFUSED, true},
        {TWO_WIN, FENCE_RACY, true},
        {FIRST_ANSWERS_LOST, FENCE_KEPT, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig g;

        begin(&g, cases[i].weakness);
        assert_ok_err(do_it(&g), &err);
        assert_string_equal(fence_name(g.fence), fence_name(cases[i].want));
        assert_int_equal(fence_weakness(g.fence) != NULL, cases[i].weak);
        assert_int_equal(objects(&g), 0);
        end(&g);
    }
}

/* A store that refuses every PUT has something else against it. */
static void test_refused_for_another_reason(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, REFUSES_ALL);
    assert_fails(do_it(&g), E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "try to write (probe/"));
    end(&g);
}

/* No failure of the store passes for a good fence, nor for a bad one. */
static void test_failures(void **state)
{
    long n;

    (void)state;
    for (n = 1;; n++) {
        struct rig g;
        struct rc rc;
        long fired;

        begin(&g, STRONG);
        fault_store_arm(&g.faults, FAULT_STORE_REFUSED, n, true);
        rc = do_it(&g);
        fired = g.faults.fired;
        if (rc_failed(rc))
            assert_non_null(strstr(err.msg, "try conditional writes (probe/"));
        else
            assert_int_equal(g.fence, FENCE_KEPT);
        end(&g);
        if (fired == 0)
            break;
        assert_true(rc_failed(rc) || n == 6); /* only the deletion may fail */
    }
    assert_int_equal(n, 7);
}

static void put(struct rig *g, const char *key)
{
    struct store_req req;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = (struct span){(const uint8_t *)"x", 1};
    assert_ok_err(store_wait_run(&g->loop, g->faults.below, &req, &err), &err);
    store_req_fini(&req);
}

static void test_newer_timeline(void **state)
{
    struct rig g;
    layout_text key;

    (void)state;
    begin(&g, IGNORES);
    g.check_newer = true;
    g.timeline = 3;
    for (uint32_t t = 1; t <= 3; t++) {
        layout_timeline(key, t);
        put(&g, key);
        layout_log(key, t, 1);
        put(&g, key);
    }
    assert_ok_err(do_it(&g), &err);
    layout_timeline(key, 5);
    put(&g, key);
    assert_fails(do_it(&g), E_FENCED);
    assert_non_null(strstr(err.msg, "another writer has begun timeline 5, while this one was writing timeline 3"));
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_store),
        cmocka_unit_test(test_refused_for_another_reason),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_newer_timeline),
    };

    return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
