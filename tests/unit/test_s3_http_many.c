/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests at once, connections that are kept, servers that say nothing, and the end of it all. */
#include "http_kit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* --- what never reaches a server --------------------------------------------------------------------------------- */

static void test_not_sent(void **state)
{
    static const struct {
        const char *url;
        enum err_code code;
        const char *text;
    } table[] = {
        {"http://127.0.0.1:1/key", E_NETWORK, "Connection refused"},
        {"http://no-such-host.invalid/key", E_NETWORK, "resolve host"},
        {"ftp://127.0.0.1/key", E_CONFIG, "curl 1"},
        {"http://user:pass@127.0.0.1:1/key", E_CONFIG, "GET http://...@127.0.0.1:1/key: "},
        {"http://[::1/key", E_CONFIG, "curl 3"},
        {"http://127.0.0.1:1/a\r\nX: y", E_CONFIG, "line break"},
    };
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kit_ask_url(&k, &a, "GET", table[i].url);
        kit_run(&k, &a);
        assert_failure(&a, table[i].code, table[i].text);
        assert_null(strstr(a.req.err.msg, "pass"));
        assert_false(a.req.maybe_sent);
        s3_http_req_fini(&a.req);
    }
    kit_ask(&k, &a, "GET", "/key");
    s3_http_header(&a.req, "X-Class", "STANDARD\r\nX-More: secret");
    kit_run(&k, &a);
    assert_failure(&a, E_CONFIG, "header X-Class has a line break");
    assert_null(strstr(a.req.err.msg, "secret"));
    assert_false(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    assert_int_equal(http_script_count(k.script), 0);
    kit_end(&k);
}

/* A connection that nobody accepts: the backlog of a listener is full. */
static void test_connect_timeout(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    uint64_t began;
    struct http_kit k;
    struct http_ask a;
    char *url;

    (void)state;
    assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    for (size_t i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (const struct sockaddr *)&at, sizeof at);
        assert_int_equal(poll(&waiting, 1, -1), 1); /* the first is there: it is full from now on */
    }
    kit_begin(&k, &(struct s3_http_opts){.connect_ms = 300});
    url = mem_printf("http://127.0.0.1:%d/key", ntohs(at.sin_port));
    kit_ask_url(&k, &a, "PUT", url);
    mem_free(url);
    began = now_ms();
    kit_run(&k, &a);
    assert_true(now_ms() - began >= 290);
    assert_failure(&a, E_TIMEOUT, "curl 28");
    assert_false(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
    for (size_t i = 0; i < 8; i++)
        (void)close(fill[i]);
    (void)close(listener);
}

/* False: the machine stood still, and nothing was seen. */
static bool stall(uint8_t *data)
{
    struct http_ask asks[3], patient;
    struct http_kit k;
    unsigned seen = 0;

    kit_begin(&k, &(struct s3_http_opts){.stall_ms = 1000});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HALF_HANG, .body = "half of this"});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_EARLY_HANG});
    http_script_add(k.script, &(struct http_answer){.delay_ms = 4000, .body = "that was hard"});
    for (unsigned i = 0; i < 3; i++) {
        kit_ask(&k, &asks[i], "PUT", "/key");
        asks[i].req.body = span_of(data, i == 2 ? 32 << 20 : 10);
        seen += seen == i && kit_submit_seen(&k, &asks[i]);
    }
    if (seen < 3) {
        kit_end(&k);
        for (unsigned i = 0; i < 3; i++)
            s3_http_req_fini(&asks[i].req);
        return false;
    }
    kit_ask(&k, &patient, "POST", "/key");
    patient.req.stall_ms = 600000;
    s3_http_submit(k.http, &patient.req);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < 3; i++) {
        assert_failure(&asks[i], E_TIMEOUT, "the last 1 seconds");
        assert_non_null(strstr(asks[i].req.err.msg, "(curl 28)"));
        assert_true(asks[i].req.maybe_sent);
        assert_true(asks[i].req.total_us >= 1000000);
        s3_http_req_fini(&asks[i].req);
    }
    assert_status(&patient, 200);
    s3_http_req_fini(&patient.req);
    kit_end(&k);
    return true;
}

/* Nothing moves: before the answer, in its middle, and where the server does not read on. */
static void test_stalled(void **state)
{
    uint8_t *data = calloc(1, 32 << 20);

    (void)state;
    while (!stall(data))
        ;
    free(data);
}

/* A body that moves is not stalled, however long it takes; a limit on the whole counts all the same. */
static void test_slow_is_not_stalled(void **state)
{
    static const struct http_answer slow = {
        .how = HTTP_BYTES, .drip_ms = 50, .body = "slow, but not stalled: it moves"};
    struct http_kit k;
    struct http_ask a;
    bool seen = false, stood_still;

    (void)state;
    kit_begin(&k, &(struct s3_http_opts){.stall_ms = 1000});
    do {
        http_script_add(k.script, &slow); /* about 30 bytes */
        kit_ask(&k, &a, "GET", "/key");
        s3_http_submit(k.http, &a.req);
        stood_still = kit_settle(&k) > STOOD_STILL_MS && a.req.err.code == E_TIMEOUT;
        if (!stood_still) {
            assert_status(&a, 200);
            assert_true(a.req.total_us >= 1000000);
        }
        s3_http_req_fini(&a.req);
    } while (stood_still);
    while (!seen) {
        http_script_add(k.script, &slow);
        kit_ask(&k, &a, "GET", "/key");
        a.req.total_ms = 400;
        seen = kit_submit_seen(&k, &a);
        (void)uv_run(&k.loop, UV_RUN_DEFAULT);
        assert_failure(&a, E_TIMEOUT, "curl 28");
        assert_true(a.req.maybe_sent || !seen);
        s3_http_req_fini(&a.req);
    }
    kit_end(&k);
}

/* --- many at once ------------------------------------------------------------------------------------------------ */

struct most {
    struct http_kit *k;
    size_t open;
};

static void count_open(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    struct most *m = ctx;

    if (http_script_open(m->k->script) > m->open)
        m->open = http_script_open(m->k->script);
    answer->delay_ms = 5;
    answer->body = seen->target;
}

static void test_parallel(void **state)
{
    enum { COUNT = 200 };
    struct http_ask *asks = calloc(COUNT, sizeof *asks);
    struct http_kit k;
    struct most most = {.k = &k};

    (void)state;
    kit_begin(&k, &(struct s3_http_opts){.parallel_max = 5});
    http_script_on_request(k.script, count_open, &most);
    for (unsigned i = 0; i < COUNT; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "/key-%u", i);
        kit_ask(&k, &asks[i], "GET", path);
        s3_http_submit(k.http, &asks[i].req);
    }
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < COUNT; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "/key-%u", i);
        assert_int_equal(asks[i].done, 1);
        assert_status(&asks[i], 200);
        assert_body(&asks[i], path);
        s3_http_req_fini(&asks[i].req);
    }
    assert_int_equal(most.open, 5);
    assert_int_equal(http_script_connections(k.script), 5); /* kept and used again */
    assert_int_equal(http_script_open(k.script), 5);
    kit_end(&k);
    free(asks);
}

/* As many as time out come back: libcurl's own example loses the last one. */
static void test_all_time_out(void **state)
{
    enum { COUNT = 16 };
    struct http_ask asks[COUNT];
    struct http_kit k;

    (void)state;
    kit_begin(&k, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
        kit_ask(&k, &asks[i], "GET", "/key");
        asks[i].req.total_ms = 200;
        s3_http_submit(k.http, &asks[i].req);
    }
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(asks[i].done, 1);
        assert_failure(&asks[i], E_TIMEOUT, "curl 28");
        s3_http_req_fini(&asks[i].req);
    }
    kit_end(&k);
}

static void test_queue_is_bounded(void **state)
{
    enum { COUNT = S3_HTTP_QUEUE_MAX + 2 };
    struct http_ask *asks = calloc(COUNT, sizeof *asks);
    struct http_kit k;
    unsigned busy = 0;

    (void)state;
    kit_begin(&k, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        kit_ask(&k, &asks[i], "GET", "/key");
        s3_http_submit(k.http, &asks[i].req);
    }
    for (unsigned i = 0; i < S3_HTTP_QUEUE_MAX; i++)
        s3_http_cancel(k.http, &asks[i].req);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(asks[i].done, 1);
        busy += asks[i].req.err.code == E_BUSY;
        assert_false(asks[i].req.maybe_sent);
        s3_http_req_fini(&asks[i].req);
    }
    assert_int_equal(busy, 2);
    assert_int_equal(http_script_count(k.script), 0);
    kit_end(&k);
    free(asks);
}

/* --- kept connections -------------------------------------------------------------------------------------------- */

/* The server may close a kept connection at any time: the next request does not fail. */
static void test_kept_connection_closed(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    for (unsigned i = 0; i < 3; i++) {
        http_script_add(k.script, &(struct http_answer){.body = "fine"});
        kit_ask(&k, &a, "PUT", "/key");
        a.req.body = span_of("data", 4);
        kit_run(&k, &a);
        assert_status(&a, 200);
        s3_http_req_fini(&a.req);
        assert_int_equal(http_script_open(k.script), 1);
        http_script_drop_idle(k.script);
        (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(http_script_connections(k.script), 3);
    kit_end(&k);
}

/* Closed with the next request already on its way: libcurl sends it once more, whole, and it can be seen. */
static void test_resent(void **state)
{
    uint8_t *data = calloc(1, 200000);
    struct http_kit k;
    struct http_ask a;

    (void)state;
    memset(data, 'x', 200000);
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.body = "fine"});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_CLOSE});
    http_script_add(k.script, &(struct http_answer){.status = 412, .body = "it is there already"});
    kit_get(&k, &a, "/key");
    assert_status(&a, 200);
    s3_http_req_fini(&a.req);
    kit_ask(&k, &a, "PUT", "/key");
    a.req.body = span_of(data, 200000);
    kit_run(&k, &a);
    assert_status(&a, 412);
    assert_true(a.req.resent);
    assert_int_equal(http_script_count(k.script), 3);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(http_script_seen(k.script, i)->body_size, 200000);
        assert_memory_equal(http_script_seen(k.script, i)->body, data, 200000);
    }
    s3_http_req_fini(&a.req);
    /* The second attempt finds no server: the first may have been carried out all the same. */
    http_script_add(k.script, &(struct http_answer){.how = HTTP_CLOSE});
    kit_ask(&k, &a, "PUT", "/key");
    a.req.body = span_of(data, 200000);
    http_script_deafen(k.script);
    kit_run(&k, &a);
    assert_failure(&a, E_NETWORK, "Connection refused");
    assert_true(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
    free(data);
}

/* With connections kept, nothing of ours keeps the loop awake. */
static void test_idle_loop(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    assert_int_equal(uv_loop_alive(&k.loop), 0);
    http_script_add(k.script, &(struct http_answer){.body = "fine"});
    kit_get(&k, &a, "/key");
    assert_status(&a, 200);
    s3_http_req_fini(&a.req);
    assert_int_equal(http_script_open(k.script), 1);
    assert_int_equal(uv_loop_alive(&k.loop), 0);
    assert_int_equal(uv_backend_timeout(&k.loop), 0);
    kit_end(&k);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void test_cancel(void **state)
{
    struct http_ask flying, waiting, after;
    struct http_kit k;

    (void)state;
    kit_begin(&k, &(struct s3_http_opts){.parallel_max = 1});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HALF_HANG, .body = "half of this"});
    http_script_add(k.script, &(struct http_answer){.body = "after"});
    kit_ask(&k, &flying, "PUT", "/flying");
    kit_ask(&k, &waiting, "PUT", "/waiting");
    kit_ask(&k, &after, "GET", "/after");
    s3_http_submit(k.http, &flying.req);
    s3_http_submit(k.http, &waiting.req);
    s3_http_submit(k.http, &after.req);
    while (http_script_count(k.script) == 0)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    s3_http_cancel(k.http, &waiting.req);
    s3_http_cancel(k.http, &flying.req);
    s3_http_cancel(k.http, &flying.req); /* twice is fine */
    assert_int_equal(flying.done + waiting.done, 0);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    assert_int_equal(flying.done, 1);
    assert_int_equal(waiting.done, 1);
    assert_failure(&flying, E_CANCELED, "/flying: canceled");
    assert_failure(&waiting, E_CANCELED, "/waiting: canceled");
    assert_true(flying.req.maybe_sent);
    assert_false(waiting.req.maybe_sent);
    assert_status(&after, 200);
    assert_int_equal(http_script_count(k.script), 2);
    s3_http_req_fini(&flying.req);
    s3_http_req_fini(&waiting.req);
    s3_http_req_fini(&after.req);
    kit_end(&k);
}

/* Stop with connections idle, transfers in all states, and a queue; `steps` turns of the loop before. */
static void stop_after(unsigned steps)
{
    enum { COUNT = 12 };
    static const enum http_how hows[] = {HTTP_HANG, HTTP_HALF_HANG, HTTP_WHOLE, HTTP_CLOSE, HTTP_RESET, HTTP_BYTES};
    uint8_t *data = calloc(1, 4 << 20);
    struct http_ask asks[COUNT];
    struct http_kit k;

    kit_begin(&k, &(struct s3_http_opts){.parallel_max = 6});
    for (unsigned i = 0; i < COUNT; i++) {
        http_script_add(k.script, &(struct http_answer){.how = hows[i % 6], .body = "half of this"});
        kit_ask(&k, &asks[i], i % 2 == 0 ? "PUT" : "GET", "/key");
        if (i % 2 == 0)
            asks[i].req.body = span_of(data, i % 4 == 0 ? 4 << 20 : 10);
        s3_http_submit(k.http, &asks[i].req);
    }
    for (unsigned i = 0; i < steps; i++)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    kit_end(&k);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(asks[i].done, 1);
        if (steps == 0) {
            assert_failure(&asks[i], E_CANCELED, "canceled");
            assert_false(asks[i].req.maybe_sent);
        }
        s3_http_req_fini(&asks[i].req);
    }
    free(data);
}

static void test_stop(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 40; steps += steps < 10 ? 1 : 7)
        stop_after(steps);
}

/* Whoever asks again from inside the answer, also while we stop, is answered. */
struct again {
    struct http_ask ask;
    struct http_kit *k;
    unsigned left;
    bool stop;
};

static void ask_again(struct s3_http_req *req)
{
    struct again *again = req->ctx;

    if (again->stop) {
        again->stop = false;
        s3_http_stop(again->k->http, kit_on_stopped, again->k);
    }
    if (again->left-- > 0)
        s3_http_submit(again->k->http, req);
}

static void test_stop_from_inside(void **state)
{
    struct http_kit k;
    struct again again = {.k = &k, .left = 3, .stop = true};

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.body = "fine"});
    kit_ask(&k, &again.ask, "GET", "/key");
    again.ask.req.on_done = ask_again;
    again.ask.req.ctx = &again;
    s3_http_submit(k.http, &again.ask.req);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    assert_true(k.stopped);
    assert_int_equal(again.left, UINT32_MAX);
    assert_failure(&again.ask, E_CANCELED, "canceled");
    assert_int_equal(http_script_count(k.script), 1);
    s3_http_req_fini(&again.ask.req);
    http_script_stop(k.script);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&k.loop), 0);
}

static void test_stop_unused(void **state)
{
    struct http_kit k;

    (void)state;
    kit_begin(&k, NULL);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_sent),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_slow_is_not_stalled),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_all_time_out),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_kept_connection_closed),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_idle_loop),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stop_from_inside),
        cmocka_unit_test(test_stop_unused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
