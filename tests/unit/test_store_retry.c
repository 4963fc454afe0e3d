/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_store.h"
#include "store_dir.h"
#include "store_retry.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>

/* --- a store that answers what the test says ---------------------------------------------------------------------- */

enum { PLAN_MAX = 16 };

struct fake {
    struct store base; /* must be first */
    uv_timer_t timer;
    enum err_code plan[PLAN_MAX]; /* E_OK when it is over */
    uint32_t retry_after_ms;
    bool sent_twice;
    const char *object; /* what a GET finds */
    struct store_req *held[PLAN_MAX];
    size_t held_count;
    enum store_verb verbs[64];
    size_t count;
    bool hang;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static void on_timer(uv_timer_t *timer)
{
    struct fake *f = timer->data;
    struct store_req *req;
    enum err_code code;

    while (f->held_count > 0 && !f->hang) {
        req = f->held[0];
        memmove(f->held, f->held + 1, --f->held_count * sizeof f->held[0]);
        code = f->plan[0];
        memmove(f->plan, f->plan + 1, (PLAN_MAX - 1) * sizeof f->plan[0]);
        if (code != E_OK)
            rc_ignore(rc_raise(&req->err, code, "%s %s: answer %zu", store_verb_name(req->verb), req->key, f->count),
                "as told");
        req->retry_after_ms = f->retry_after_ms;
        req->sent_twice = f->sent_twice;
        if (code == E_OK && req->verb == STORE_GET) {
            buf_init(&req->data, 100);
            buf_text(&req->data, f->object);
            req->size = strlen(f->object);
            (void)snprintf(req->etag, sizeof req->etag, "etag");
        }
        store_complete(&f->base, req);
    }
}

static void fake_submit(struct store *s, struct store_req *req)
{
    struct fake *f = (struct fake *)s;

    f->held[f->held_count++] = req;
    f->verbs[f->count++ % 64] = req->verb;
    (void)uv_timer_start(&f->timer, on_timer, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct fake *f = handle->data;

    f->on_stopped(f->ctx);
}

static void fake_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    struct fake *f = (struct fake *)s;

    f->on_stopped = on_stopped;
    f->ctx = ctx;
    while (f->held_count > 0) {
        struct store_req *req = f->held[--f->held_count];

        rc_ignore(rc_raise(&req->err, E_CANCELED, "stopping"), "as told");
        store_complete(&f->base, req);
    }
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

static void fake_cancel(struct store *s)
{
    struct fake *f = (struct fake *)s;

    f->hang = false;
    for (size_t i = 0; i < PLAN_MAX; i++)
        f->plan[i] = E_CANCELED;
    (void)uv_timer_start(&f->timer, on_timer, 0, 0);
}

static const struct store_ops fake_ops = {.submit = fake_submit, .stop = fake_stop, .cancel = fake_cancel};

struct kit {
    uv_loop_t loop;
    struct fake fake;
    struct store *store;
    struct err err;
};

static void begin(struct kit *k, uint32_t within_ms)
{
    const struct store_retry_opts opts = {.base_ms = 2, .max_ms = 8, .within_ms = within_ms};

    memset(k, 0, sizeof *k);
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->fake.base = (struct store){.ops = &fake_ops, .url = (char *)(uintptr_t) "fake://", .part_size = 100};
    (void)uv_timer_init(&k->loop, &k->fake.timer);
    k->fake.timer.data = &k->fake;
    k->store = store_retry_new(&k->loop, &k->fake.base, &opts);
}

static void end(struct kit *k)
{
    store_wait_end(&k->loop, k->store);
}

static void plan(struct kit *k, size_t count, const enum err_code *codes)
{
    memset(k->fake.plan, 0, sizeof k->fake.plan);
    memcpy(k->fake.plan, codes, count * sizeof codes[0]);
    k->fake.count = 0;
}

#define PLAN(k, ...)                                       \
    do {                                                   \
        const enum err_code codes_[] = {__VA_ARGS__};      \
        plan(k, sizeof codes_ / sizeof codes_[0], codes_); \
    } while (0)

static struct rc ask(struct kit *k, enum store_verb verb, bool create_only, bool once)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, verb, "k", NULL, NULL);
    req.create_only = create_only;
    req.once = once;
    req.body = span_of("mine", verb == STORE_PUT ? 4 : 0);
    rc = store_wait_run(&k->loop, k->store, &req, &k->err);
    store_req_fini(&req);
    return rc;
}

/* --- what is repeated --------------------------------------------------------------------------------------------- */

static void test_repeats(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, 0);
    k.fake.object = "mine";
    PLAN(&k, E_NETWORK, E_TIMEOUT, E_SERVER, E_THROTTLED);
    assert_ok_err(ask(&k, STORE_GET, false, false), &k.err);
    assert_int_equal(k.fake.count, 5);
    PLAN(&k, E_BUSY, E_IO);
    assert_ok_err(ask(&k, STORE_PUT, false, false), &k.err);
    assert_int_equal(k.fake.count, 3);
    for (int verb = 0; verb < STORE_VERB_COUNT; verb++) {
        static const char *const keys[] = {"k"};
        struct store_req req;

        PLAN(&k, E_SERVER);
        store_req_init(&req, (enum store_verb)verb, verb == STORE_DELETE_MANY ? "" : "k", NULL, NULL);
        req.upload = (char *)(uintptr_t) "id";
        req.part = 1;
        req.keys = keys;
        req.key_count = verb == STORE_DELETE_MANY;
        assert_ok_err(store_wait_run(&k.loop, k.store, &req, &k.err), &k.err);
        assert_int_equal(k.fake.count, 2);
        store_req_fini(&req);
    }
    end(&k);
}

static void test_not_repeated(void **state)
{
    static const enum err_code codes[] = {E_NOTFOUND, E_EXISTS, E_DENIED, E_CORRUPT, E_CONFIG, E_UNSUPPORTED, E_NOSPACE,
        E_NOMEM, E_CANCELED, E_FENCED, E_BUG};
    struct kit k;

    (void)state;
    begin(&k, 0);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        PLAN(&k, codes[i], codes[i]);
        assert_fails(ask(&k, STORE_PUT, true, false), codes[i]);
        assert_string_equal(k.err.msg, "put k: answer 1");
        assert_int_equal(k.fake.count, 1);
    }
    end(&k);
}

/* Whoever has a schedule of retries is told at once. */
static void test_once(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, 0);
    PLAN(&k, E_NETWORK);
    assert_fails(ask(&k, STORE_PUT, true, true), E_NETWORK);
    assert_string_equal(k.err.msg, "put k: answer 1");
    assert_int_equal(k.fake.count, 1);
    assert_ok(ask(&k, STORE_PUT, true, true));
    end(&k);
}

/* The message begins with the first cause and counts the others. */
static void test_gives_up(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, 0);
    PLAN(&k, E_NETWORK, E_TIMEOUT, E_SERVER, E_TIMEOUT, E_TIMEOUT, E_OK);
    assert_fails(ask(&k, STORE_GET, false, false), E_TIMEOUT);
    assert_int_equal(k.fake.count, STORE_RETRY_TRIES);
    assert_ptr_equal(strstr(k.err.msg, "get k: answer 1 (5 tries in "), k.err.msg);
    assert_non_null(strstr(k.err.msg, " ms, then: 3 x timed out, 1 x server failure)"));

    PLAN(&k, E_NETWORK, E_DENIED);
    assert_fails(ask(&k, STORE_GET, false, false), E_DENIED);
    assert_string_equal(k.err.msg, "get k: answer 2 (the first of 2 tries: get k: answer 1)");
    end(&k);
}

static void test_time_is_bounded(void **state)
{
    struct kit k;
    uint64_t before;

    (void)state;
    begin(&k, 60);
    k.fake.retry_after_ms = 25; /* longer than our own pauses, and kept */
    do {
        PLAN(&k, E_THROTTLED, E_THROTTLED, E_THROTTLED, E_THROTTLED, E_THROTTLED);
        before = uv_now(&k.loop); /* timers go by the loop's clock, which may be behind the real one */
        assert_fails(ask(&k, STORE_GET, false, false), E_THROTTLED);
        assert_true(uv_now(&k.loop) - before >= 25ull * (k.fake.count - 1));
    } while (k.fake.count == 1 && uv_now(&k.loop) - before > 60 - 25); /* the machine stood still: no time was left */
    assert_in_range(k.fake.count, 2, 3);

    k.fake.retry_after_ms = 1000; /* longer than we may wait */
    PLAN(&k, E_THROTTLED);
    assert_fails(ask(&k, STORE_GET, false, false), E_THROTTLED);
    assert_int_equal(k.fake.count, 1);
    end(&k);
}

/* In an outage every request is sent once, and what works again fills the budget. */
static void test_budget(void **state)
{
    enum { OUTAGE = 40 };
    struct kit k;
    size_t sent = 0;

    (void)state;
    begin(&k, 0);
    k.fake.object = "";
    for (int i = 0; i < OUTAGE; i++) {
        PLAN(&k, E_SERVER, E_SERVER, E_SERVER, E_SERVER, E_SERVER);
        assert_fails(ask(&k, STORE_GET, false, false), E_SERVER);
        sent += k.fake.count;
    }
    assert_int_equal(sent, OUTAGE + STORE_RETRY_BUDGET / STORE_RETRY_COST);
    PLAN(&k, E_SERVER);
    assert_fails(ask(&k, STORE_GET, false, false), E_SERVER);
    for (int i = 0; i < STORE_RETRY_COST; i++) {
        PLAN(&k, E_OK);
        assert_ok(ask(&k, STORE_GET, false, false));
    }
    PLAN(&k, E_SERVER);
    assert_ok_err(ask(&k, STORE_GET, false, false), &k.err);
    assert_int_equal(k.fake.count, 2);
    end(&k);
}

/* --- a key that is taken after an unknown outcome ----------------------------------------------------------------- */

static void test_own_object(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, 0);
    k.fake.object = "mine";
    PLAN(&k, E_TIMEOUT, E_EXISTS, E_OK);
    assert_ok_err(ask(&k, STORE_PUT, true, false), &k.err);
    assert_int_equal(k.fake.count, 3);
    assert_int_equal(k.fake.verbs[2], STORE_GET);

    PLAN(&k, E_TIMEOUT, E_EXISTS, E_NETWORK, E_OK); /* reading back may need another try */
    assert_ok_err(ask(&k, STORE_PUT, true, false), &k.err);
    assert_int_equal(k.fake.count, 4);

    PLAN(&k, E_TIMEOUT, E_EXISTS, E_NOTFOUND, E_OK); /* deleted meanwhile */
    assert_ok_err(ask(&k, STORE_PUT, true, false), &k.err);
    assert_int_equal(k.fake.verbs[3], STORE_PUT);

    k.fake.object = "other";
    PLAN(&k, E_TIMEOUT, E_EXISTS, E_OK);
    assert_fails(ask(&k, STORE_PUT, true, false), E_EXISTS);
    assert_string_equal(k.err.msg, "put k: the object exists already");
    k.fake.object = "minx";
    PLAN(&k, E_TIMEOUT, E_EXISTS, E_OK);
    assert_fails(ask(&k, STORE_PUT, true, false), E_EXISTS);

    PLAN(&k, E_EXISTS); /* nothing was unknown */
    k.fake.object = "mine";
    assert_fails(ask(&k, STORE_PUT, true, false), E_EXISTS);
    assert_int_equal(k.fake.count, 1);
    k.fake.sent_twice = true; /* by the connection, below */
    PLAN(&k, E_EXISTS, E_OK);
    assert_ok_err(ask(&k, STORE_PUT, true, false), &k.err);
    assert_int_equal(k.fake.count, 2);
    end(&k);
}

/* The same over a store whose answers get lost, at each request in turn. */
static void test_lost_answers(void **state)
{
    char root[STORE_WAIT_PATH_SIZE];
    const struct store_retry_opts opts = {.base_ms = 1, .max_ms = 2};
    long n;

    (void)state;
    for (n = 1;; n++) {
        struct fault_store f;
        struct store *below, *s;
        struct store_req req;
        uv_loop_t loop;
        struct err err;

        store_wait_scratch(root);
        assert_int_equal(uv_loop_init(&loop), 0);
        assert_ok_err(store_dir_open(&loop, &fsys_real, root, &below, &err), &err);
        fault_store_init(&f, &loop, below);
        s = store_retry_new(&loop, &f.base, &opts);
        fault_store_arm(&f, FAULT_STORE_LOST, n, false);
        for (int i = 0; i < 3; i++) {
            store_req_init(&req, STORE_PUT, i == 0 ? "a" : i == 1 ? "b" : "c", NULL, NULL);
            req.body = span_of("body", 4);
            req.create_only = true;
            assert_ok_err(store_wait_run(&loop, s, &req, &err), &err);
            store_req_fini(&req);
        }
        store_wait_end(&loop, s);
        store_wait_unscratch(root);
        if (f.fired == 0)
            break;
    }
    assert_int_equal(n, 4); /* each of the three PUTs had its turn */
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void on_done(struct store_req *req)
{
    ++*(int *)req->ctx;
}

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

/* One that waits for its next try, and one that is below. */
static void test_stop(void **state)
{
    struct store_req waiting, below;
    bool stopped = false;
    int done = 0;
    struct kit k;

    (void)state;
    begin(&k, 0);
    k.fake.retry_after_ms = 20000;
    PLAN(&k, E_SERVER);
    store_req_init(&waiting, STORE_GET, "w", on_done, &done);
    store_submit(k.store, &waiting);
    while (k.fake.held_count > 0)
        (void)uv_run(&k.loop, UV_RUN_NOWAIT); /* ONCE would wait for the next try */
    assert_int_equal(done, 0);
    k.fake.hang = true;
    store_req_init(&below, STORE_GET, "b", on_done, &done);
    store_submit(k.store, &below);
    assert_int_equal(done, 0);
    store_stop(k.store, on_stopped, &stopped);
    while (!stopped)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    assert_int_equal(done, 2);
    assert_int_equal(waiting.err.code, E_CANCELED);
    assert_int_equal(below.err.code, E_CANCELED);
    store_req_fini(&waiting);
    store_req_fini(&below);
    assert_int_equal(uv_run(&k.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&k.loop), 0);
}

/* Nobody waits any longer, but the store is still open. */
static void test_cancel(void **state)
{
    struct store_req waiting, below;
    int done = 0;
    struct kit k;

    (void)state;
    begin(&k, 0);
    k.fake.retry_after_ms = 20000;
    PLAN(&k, E_SERVER);
    store_req_init(&waiting, STORE_GET, "w", on_done, &done);
    store_submit(k.store, &waiting);
    while (k.fake.held_count > 0)
        (void)uv_run(&k.loop, UV_RUN_NOWAIT); /* ONCE would wait for the next try */
    k.fake.hang = true;
    store_req_init(&below, STORE_GET, "b", on_done, &done);
    store_submit(k.store, &below);
    store_cancel(k.store);
    store_cancel(k.store);
    assert_int_equal(done, 0);
    while (done < 2)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    assert_int_equal(waiting.err.code, E_CANCELED);
    assert_int_equal(below.err.code, E_CANCELED);
    store_req_fini(&waiting);
    store_req_fini(&below);
    plan(&k, 1, (const enum err_code[]){E_SERVER}); /* it is not tried again */
    assert_fails(ask(&k, STORE_GET, false, false), E_SERVER);
    assert_int_equal(k.fake.count, 1);
    end(&k);
}

/* What the store below has to say, its own. */
static void test_looks_like_the_store_below(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, 0);
    assert_string_equal(k.store->url, "fake://");
    assert_int_equal(k.store->part_size, 100);
    assert_ptr_equal(store_counts_of(k.store), &k.fake.base.counts);
    PLAN(&k, E_SERVER, E_SERVER);
    k.fake.object = "";
    assert_ok(ask(&k, STORE_GET, false, false));
    assert_int_equal(store_counts_of(k.store)->requests[STORE_GET], 3);
    assert_int_equal(store_counts_of(k.store)->outcomes[STORE_GET][STORE_OUTCOME_FAILED], 2);
    end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_not_repeated),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_time_is_bounded),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_own_object),
        cmocka_unit_test(test_lost_answers),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_looks_like_the_store_below),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
