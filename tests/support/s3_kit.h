/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_kit - an S3 store that talks to a scripted server, on one loop.
 *
 *     s3_kit_begin(&k, "&storage-class=X")      more of the URL's query
 *     s3_kit_answer(&k, 200, "ETag: \"x\"\r\n", "body")
 *     rc = s3_kit_run(&k, &req)                  without retries, so that each answer has its request
 *     s3_kit_seen(&k, 0) ...
 *     s3_kit_end(&k)
 *
 * s3_kit_stop_at_once(&k) before the end shows that a stop waits for nobody.
 */
#ifndef S3_KIT_H
#define S3_KIT_H

#include "check.h"

#include "fsys.h"
#include "http_script.h"
#include "store.h"
#include "store_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct s3_kit {
    uv_loop_t loop;
    struct http_script *script;
    struct store_env *env;
    struct store *store;
    struct err err;
};

static inline void s3_kit_begin_with(
    struct s3_kit *k, const char *query, const struct store_option *options, size_t option_count)
{
    char url[600];

    memset(k, 0, sizeof *k);
    /* NOLINTBEGIN(concurrency-mt-unsafe): there are no other threads yet */
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    (void)unsetenv("AWS_SESSION_TOKEN");
    (void)unsetenv("AWS_ENDPOINT_URL");
    (void)unsetenv("AWS_ENDPOINT_URL_S3");
    /* NOLINTEND(concurrency-mt-unsafe) */
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->script = http_script_start(&k->loop);
    k->env = store_env_new(&k->loop, &fsys_real);
    (void)snprintf(url, sizeof url,
        "s3://bkt/pre?endpoint=http://127.0.0.1:%d&region=us-east-1&connect-timeout=10m&stall-timeout=1h%s",
        http_script_port(k->script), query);
    assert_ok_err(store_open(k->env, url, options, option_count, &k->store, &k->err), &k->err);
}

static inline void s3_kit_begin(struct s3_kit *k, const char *query)
{
    static const struct store_option keys[] = {{"access-key", "AKEXAMPLE"}, {"secret-key", "very-secret"}};

    s3_kit_begin_with(k, query, keys, 2);
}

static inline void s3_kit_on_flag(void *ctx)
{
    *(bool *)ctx = true;
}

/* End the store and what it stands on, at once: by turns of the loop, of which none may wait for anything. */
static inline void s3_kit_stop_at_once(struct s3_kit *k)
{
    enum { TURNS_MAX = 100 };
    bool stopped = false, env_stopped = false;

    store_stop(k->store, s3_kit_on_flag, &stopped);
    for (unsigned turns = 0; turns < TURNS_MAX && !stopped; turns++)
        (void)uv_run(&k->loop, UV_RUN_NOWAIT);
    assert_true(stopped);
    store_env_stop(k->env, s3_kit_on_flag, &env_stopped);
    for (unsigned turns = 0; turns < TURNS_MAX && !env_stopped; turns++)
        (void)uv_run(&k->loop, UV_RUN_NOWAIT);
    assert_true(env_stopped);
    k->store = NULL;
    k->env = NULL;
}

static inline void s3_kit_end(struct s3_kit *k)
{
    if (k->store != NULL)
        store_wait_stop(&k->loop, k->store);
    if (k->env != NULL)
        store_wait_stop_env(&k->loop, k->env);
    http_script_stop(k->script);
    while (uv_run(&k->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&k->loop), 0);
}

static inline void s3_kit_answer(struct s3_kit *k, int status, const char *headers, const char *body)
{
    http_script_add(k->script, &(struct http_answer){.status = status, .headers = headers, .body = body});
}

static inline struct rc s3_kit_run(struct s3_kit *k, struct store_req *req)
{
    req->once = true;
    return store_wait_run(&k->loop, k->store, req, &k->err);
}

static inline const struct http_seen *s3_kit_seen(const struct s3_kit *k, size_t i)
{
    assert_true(i < http_script_count(k->script));
    return http_script_seen(k->script, i);
}

static inline const char *s3_kit_field(const struct s3_kit *k, size_t i, const char *name)
{
    const char *value = http_script_field(s3_kit_seen(k, i), name);

    return value != NULL ? value : "(none)";
}

static inline void s3_kit_asked(const struct s3_kit *k, size_t i, const char *method, const char *target)
{
    assert_string_equal(s3_kit_seen(k, i)->method, method);
    assert_string_equal(s3_kit_seen(k, i)->target, target);
}

/* One request from the beginning to its end. */
static inline struct rc s3_kit_do(struct s3_kit *k, enum store_verb verb, const char *key)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, verb, key, NULL, NULL);
    if (verb == STORE_PUT)
        req.body = span_of("hello", 5);
    rc = s3_kit_run(k, &req);
    store_req_fini(&req);
    return rc;
}

#endif
