/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_kit - a client, a scripted server and a loop for tests of s3_http.  Where the options say nothing else the
 * client is patient: a machine that stands still for a while is no failure.
 */
#ifndef HTTP_KIT_H
#define HTTP_KIT_H

#include "alloc.h"
#include "check.h"
#include "http_script.h"
#include "s3_http.h"

#include <stdbool.h>
#include <string.h>

enum {
    PATIENCE_MS = 600000,
    STOOD_STILL_MS = 500, /* a turn of the loop that took as long: what stalls for a second then proves nothing */
};

struct http_kit {
    uv_loop_t loop;
    struct s3_http *http;
    struct http_script *script;
    const char *scheme;
    bool stopped;
};

struct http_ask {
    struct s3_http_req req;
    unsigned done; /* how often on_done ran */
};

static inline void kit_on_done(struct s3_http_req *req)
{
    struct http_ask *ask = req->ctx;

    ask->done++;
}

static inline void kit_begin_tls(struct http_kit *k, const struct s3_http_opts *opts, struct ssl_ctx_st *tls)
{
    struct s3_http_opts o = opts == NULL ? (struct s3_http_opts){0} : *opts;
    struct err err;

    o.connect_ms = o.connect_ms == 0 ? PATIENCE_MS : o.connect_ms;
    o.stall_ms = o.stall_ms == 0 ? PATIENCE_MS : o.stall_ms;
    *k = (struct http_kit){.scheme = tls == NULL ? "http" : "https"};
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->script = http_script_start_tls(&k->loop, tls);
    assert_ok_err(s3_http_new(&k->http, &k->loop, &o, &err), &err);
}

static inline void kit_begin(struct http_kit *k, const struct s3_http_opts *opts)
{
    kit_begin_tls(k, opts, NULL);
}

static inline void kit_on_stopped(void *ctx)
{
    struct http_kit *k = ctx;

    assert_false(k->stopped);
    k->stopped = true;
}

/* Everything ends, and nothing is left on the loop. */
static inline void kit_end(struct http_kit *k)
{
    s3_http_stop(k->http, kit_on_stopped, k);
    assert_false(k->stopped); /* never from inside the call */
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_true(k->stopped);
    http_script_stop(k->script);
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&k->loop), 0);
}

static inline void kit_ask_url(struct http_kit *k, struct http_ask *ask, const char *method, const char *url)
{
    (void)k;
    *ask = (struct http_ask){0};
    s3_http_req_init(&ask->req, method, url);
    ask->req.answer_max = 1 << 20;
    ask->req.on_done = kit_on_done;
    ask->req.ctx = ask;
}

/* A request to the script, not submitted yet. */
static inline void kit_ask(struct http_kit *k, struct http_ask *ask, const char *method, const char *path)
{
    char *url = mem_printf("%s://127.0.0.1:%d%s", k->scheme, http_script_port(k->script), path);

    kit_ask_url(k, ask, method, url);
    mem_free(url);
}

/* Submit and wait; the loop comes to rest by itself. */
static inline void kit_run(struct http_kit *k, struct http_ask *ask)
{
    s3_http_submit(k->http, &ask->req);
    assert_int_equal(ask->done, 0);
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_int_equal(ask->done, 1);
}

/* Turn the loop until nothing is left to do; how long the longest turn took. */
static inline uint64_t kit_settle(struct http_kit *k)
{
    uint64_t longest = 0, before = uv_hrtime(), now;
    int alive;

    do {
        alive = uv_run(&k->loop, UV_RUN_ONCE);
        now = uv_hrtime();
        longest = now - before > longest ? now - before : longest;
        before = now;
    } while (alive != 0);
    return longest / 1000000;
}

/* Submit and wait until the server has the request.  False when it ended before: the machine stood still for longer
 * than a limit of the request, and the test is to begin anew. */
static inline bool kit_submit_seen(struct http_kit *k, struct http_ask *ask)
{
    size_t before = http_script_count(k->script);

    s3_http_submit(k->http, &ask->req);
    while (http_script_count(k->script) == before && ask->done == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    return http_script_count(k->script) > before;
}

static inline void kit_get(struct http_kit *k, struct http_ask *ask, const char *path)
{
    kit_ask(k, ask, "GET", path);
    kit_run(k, ask);
}

#define assert_status(ask, want)                     \
    do {                                             \
        if ((ask)->req.err.code != E_OK)             \
            print_error("%s\n", (ask)->req.err.msg); \
        assert_int_equal((ask)->req.err.code, E_OK); \
        assert_int_equal((ask)->req.status, want);   \
    } while (0)
/* The failure and a part of its text. */
#define assert_failure(ask, want, part)                                                \
    do {                                                                               \
        if ((ask)->req.err.code != (want) || strstr((ask)->req.err.msg, part) == NULL) \
            print_error("%s: %s\n", rc_name((ask)->req.err.code), (ask)->req.err.msg); \
        assert_int_equal((ask)->req.err.code, want);                                   \
        assert_non_null(strstr((ask)->req.err.msg, part));                             \
        assert_int_equal((ask)->req.status, 0);                                        \
        assert_int_equal((ask)->req.data.size, 0);                                     \
    } while (0)
#define assert_body(ask, text)                                         \
    do {                                                               \
        assert_int_equal((ask)->req.data.size, strlen(text));          \
        assert_memory_equal((ask)->req.data.data, text, strlen(text)); \
    } while (0)

#endif
