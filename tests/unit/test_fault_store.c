/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_store.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>

struct kit {
    struct store_wait w; /* its store is the one with the faults */
    struct fault_store f;
    char dir[STORE_WAIT_PATH_SIZE];
    struct err err;
};

static void kit_open(struct kit *k)
{
    store_wait_scratch(k->dir);
    store_wait_open(&k->w, &fsys_real, k->dir);
    fault_store_init(&k->f, &k->w.loop, k->w.store);
    k->w.store = &k->f.base;
}

static void kit_close(struct kit *k)
{
    store_wait_close(&k->w);
    store_wait_unscratch(k->dir);
}

static struct rc put(struct kit *k, const char *key)
{
    return store_wait_put(&k->w, key, "0123456789", true, &k->err);
}

/* What is there, "" when nothing is. */
static const char *get(struct kit *k, const char *key)
{
    static char text[100];
    struct buf got;
    struct rc rc;

    buf_init(&got, 99);
    rc = store_wait_get(&k->w, key, &got, &k->err);
    (void)snprintf(text, sizeof text, "%s", rc_failed(rc) ? "" : buf_str(&got));
    buf_fini(&got);
    return text;
}

/* Without faults it is the store below, with all that requests and answers hold. */
static void test_passes_on(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(k.f.base.part_size, k.f.below->part_size);
    assert_string_equal(k.f.base.url, k.f.below->url);
    assert_ok(put(&k, "a/1"));
    assert_ok(put(&k, "a/2"));
    assert_ok(put(&k, "b"));
    assert_fails(put(&k, "b"), E_EXISTS); /* create_only */
    assert_ok(store_wait_put(&k.w, "b", "other", false, &k.err));
    assert_string_equal(get(&k, "b"), "other");

    store_req_init(&req, STORE_GET, "a/1", NULL, NULL);
    req.offset = 3;
    req.length = 4;
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &req, &k.err));
    assert_int_equal(req.data.size, 4);
    assert_memory_equal(req.data.data, "3456", 4);
    assert_int_equal(req.size, 10);
    store_req_fini(&req);

    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    (void)snprintf(req.after, sizeof req.after, "a");
    req.by_folder = true;
    req.limit = 1;
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &req, &k.err));
    assert_int_equal(req.entry_count, 1);
    assert_string_equal(req.entries[0].key, "a/");
    assert_true(req.more);
    store_req_fini(&req);

    assert_ok(store_wait_delete(&k.w, "b", &k.err));
    assert_string_equal(get(&k, "b"), "");
    assert_int_equal(k.err.code, E_NOTFOUND);
    assert_int_equal(k.f.fired, 0);
    assert_int_equal(k.f.requests, 10);
    assert_int_equal(k.f.base.counts.requests[STORE_PUT], 5);
    assert_int_equal(k.f.below->counts.requests[STORE_PUT], 5);
    kit_close(&k);
}

static void test_upload_passes(void **state)
{
    struct store_req req;
    struct kit k;
    char *id;

    (void)state;
    kit_open(&k);
    store_req_init(&req, STORE_UPLOAD_START, "u", NULL, NULL);
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &req, &k.err));
    id = MOVE(req.upload_id);
    store_req_fini(&req);
    store_req_init(&req, STORE_UPLOAD_PART, "u", NULL, NULL);
    req.upload = id;
    req.part = 1;
    req.body = span_of("text", 4);
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &req, &k.err));
    req.verb = STORE_UPLOAD_FINISH;
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &req, &k.err));
    store_req_fini(&req);
    assert_string_equal(get(&k, "u"), "text");
    mem_free(id);
    kit_close(&k);
}

static void test_refused(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    fault_store_arm(&k.f, FAULT_STORE_REFUSED, 2, false);
    assert_ok(put(&k, "a"));
    assert_fails(put(&k, "b"), E_NETWORK);
    assert_string_equal(k.err.msg, "put b: refused");
    assert_int_equal(k.f.fired, 1);
    assert_string_equal(get(&k, "b"), ""); /* nothing happened */
    assert_ok(put(&k, "b"));               /* only once */

    fault_store_arm(&k.f, FAULT_STORE_REFUSED, 2, true);
    assert_ok(put(&k, "c"));
    assert_fails(put(&k, "d"), E_NETWORK);
    assert_fails(put(&k, "d"), E_NETWORK);
    assert_int_equal(k.f.fired, 2);
    fault_store_disarm(&k.f);
    assert_ok(put(&k, "d"));
    assert_int_equal(k.f.base.counts.outcomes[STORE_PUT][STORE_OUTCOME_NETWORK], 3);
    assert_int_equal(k.f.below->counts.outcomes[STORE_PUT][STORE_OUTCOME_NETWORK], 0);
    kit_close(&k);
}

static void test_throttled(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    fault_store_arm(&k.f, FAULT_STORE_THROTTLED, 1, false);
    assert_fails(put(&k, "a"), E_THROTTLED);
    assert_string_equal(k.err.msg, "put a: slow down");
    assert_string_equal(get(&k, "a"), "");
    kit_close(&k);
}

static void test_lost_answer(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    fault_store_arm(&k.f, FAULT_STORE_LOST, 1, false);
    assert_fails(put(&k, "a"), E_TIMEOUT);
    assert_string_equal(k.err.msg, "put a: the answer got lost");
    assert_string_equal(get(&k, "a"), "0123456789"); /* but it is there */
    assert_fails(put(&k, "a"), E_EXISTS);

    fault_store_arm(&k.f, FAULT_STORE_LOST, 1, true);
    assert_string_equal(get(&k, "a"), "");
    assert_int_equal(k.err.code, E_TIMEOUT);
    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_TIMEOUT);
    assert_int_equal(req.entry_count, 0);
    store_req_fini(&req);
    store_req_init(&req, STORE_UPLOAD_START, "u", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_TIMEOUT);
    assert_null(req.upload_id);
    store_req_fini(&req);
    assert_fails(store_wait_delete(&k.w, "a", &k.err), E_TIMEOUT);
    fault_store_disarm(&k.f);
    assert_string_equal(get(&k, "a"), "");
    assert_int_equal(k.err.code, E_NOTFOUND); /* it was deleted */
    kit_close(&k);
}

static void test_bodies(void **state)
{
    const char *got;
    struct kit k;
    int wrong = 0;

    (void)state;
    kit_open(&k);
    assert_ok(put(&k, "a"));
    fault_store_arm(&k.f, FAULT_STORE_HALF_BODY, 1, false);
    assert_ok(put(&k, "b")); /* has no body in its answer, so does not count */
    assert_string_equal(get(&k, "a"), "01234");
    assert_string_equal(get(&k, "a"), "0123456789");
    assert_int_equal(k.f.fired, 1);

    fault_store_arm(&k.f, FAULT_STORE_WRONG_BODY, 1, true);
    for (int i = 0; i < 5; i++) {
        wrong = 0;
        got = get(&k, "a");
        assert_int_equal(strlen(got), 10);
        for (int at = 0; at < 10; at++)
            wrong += got[at] != '0' + at;
        assert_int_equal(wrong, 1);
    }
    fault_store_disarm(&k.f);
    assert_string_equal(get(&k, "a"), "0123456789"); /* the object itself is sound */
    kit_close(&k);
}

static void test_narrowed(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    fault_store_arm(&k.f, FAULT_STORE_REFUSED, 2, false);
    k.f.verbs = 1u << STORE_PUT;
    k.f.prefix = "t/";
    k.f.code = E_DENIED;
    assert_ok(put(&k, "a"));
    assert_ok(put(&k, "t/1"));
    assert_ok(put(&k, "b"));
    assert_string_equal(get(&k, "t/1"), "0123456789");
    assert_fails(put(&k, "t/2"), E_DENIED);
    assert_int_equal(k.f.requests, 2);
    kit_close(&k);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

struct crowd {
    struct store_req req[6];
    unsigned done_count;
    bool stopped;
};

static void on_done(struct store_req *req)
{
    struct crowd *c = req->ctx;

    assert_false(c->stopped);
    c->done_count++;
}

static void on_stopped(void *ctx)
{
    struct crowd *c = ctx;

    assert_int_equal(c->done_count, 6);
    c->stopped = true;
}

/* Everybody comes back before the store is gone: those below and those that were refused here. */
static void test_stop_under_load(void **state)
{
    struct crowd c = {.done_count = 0};
    char key[16];
    struct kit k;

    (void)state;
    kit_open(&k);
    fault_store_arm(&k.f, FAULT_STORE_REFUSED, 4, true);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        store_req_init(&c.req[i], STORE_PUT, key, on_done, &c);
        store_submit(k.w.store, &c.req[i]);
    }
    store_stop(k.w.store, on_stopped, &c);
    assert_int_equal(c.done_count, 0);
    assert_int_equal(uv_run(&k.w.loop, UV_RUN_DEFAULT), 0);
    assert_true(c.stopped);
    for (int i = 0; i < 6; i++) {
        if (i >= 3)
            assert_int_equal(c.req[i].err.code, E_NETWORK);
        else if (c.req[i].err.code != E_CANCELED)
            assert_int_equal(c.req[i].err.code, E_OK);
        store_req_fini(&c.req[i]);
    }
    assert_int_equal(uv_loop_close(&k.w.loop), 0);
    store_wait_unscratch(k.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_on),
        cmocka_unit_test(test_upload_passes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_throttled),
        cmocka_unit_test(test_lost_answer),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_narrowed),
        cmocka_unit_test(test_stop_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
