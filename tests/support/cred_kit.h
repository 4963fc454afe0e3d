/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cred_kit - for tests of s3_cred: a loop, a clock that stands until it is moved, environment variables and files of
 * the test's own, and one scripted server that plays the container's endpoint, the metadata service and STS.
 *
 *     kit_open(&k);  kit_env(&k, "AWS_ACCESS_KEY_ID=...");  kit_file(&k, "credentials", "[default]\n...");
 *     kit_route(&k, "GET", "/creds", 200, KIT_JSON(...));
 *     kit_start(&k, &(struct s3_cred_opts){...});
 *     kit_ask(&k);                 k.keys, or k.err; kit_begin_asking(&k) and kit_run(&k) are its halves
 *     kit_close(&k);
 *
 * Secrets here all have KIT_SECRET_MARK in them, and every failure's text is searched for it.
 */
#ifndef CRED_KIT_H
#define CRED_KIT_H

#include "check.h"

#include "clock.h"
#include "fsys.h"
#include "http_script.h"
#include "s3_cred.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIT_SECRET_MARK "MxQ9"
/* 40 characters as AWS makes them. */
#define KIT_SECRET      "wJalr" KIT_SECRET_MARK "FEMI/K7MDENG/bPxRfiCYEXAMPLEKEY+"
#define KIT_TOKEN       "FwoGZXIvYXdzEBYaD" KIT_SECRET_MARK "OAoGBAK1c2VjcmV0IQ=="
#define KIT_JWT \
    "eyJhbGciOiJSUzI1" KIT_SECRET_MARK ".eyJpc3MiOiJrdWJlcm5l" KIT_SECRET_MARK ".c2lnbmF0dXJl" KIT_SECRET_MARK
#define KIT_AUTH "YXV0aC10b2tlbi1mb3It" KIT_SECRET_MARK "LWVrcw=="

#define KIT_JSON(id, end)                                                                                            \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" KIT_SECRET "\",\"Token\":\"" KIT_TOKEN \
    "\",\"Expiration\":\"" end "\"}"
#define KIT_XML(id, end)                                                                    \
    "<R><Result><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>" KIT_SECRET \
    "</SecretAccessKey><SessionToken>" KIT_TOKEN "</SessionToken><Expiration>" end          \
    "</Expiration></Credentials></Result></R>"

enum {
    KIT_ENV_MAX = 32,
    KIT_ROUTES_MAX = 16,
    KIT_WALL_MS = 1000,
};

/* The clock begins at 2026-11-21T00:00:00Z. */
#define KIT_WALL_START INT64_C(1795219200000)

struct kit_route {
    const char *method, *target, *want; /* prefix of the target; a text the body must have, or NULL */
    struct http_answer answer;
};

struct kit {
    struct clock clock; /* the first member */
    int64_t wall_ms;
    uint64_t mono_us;

    uv_loop_t loop;
    struct s3_http *http;
    struct http_script *server;
    char base[64]; /* "http://127.0.0.1:port" */
    struct kit_route routes[KIT_ROUTES_MAX];
    size_t route_count;

    char dir[64];
    char *env[KIT_ENV_MAX + 1];
    size_t env_count;
    const struct fsys *fs;

    struct s3_cred *cred;
    struct s3_cred_wait wait;
    bool answered, stopped;
    struct rc rc;
    struct err err;
    struct {
        char access_key[1100], secret_key[1100], session_token[17000], source[300];
        int64_t expires_ms;
    } keys;
};

static inline int64_t kit_wall(const struct clock *c)
{
    return ((const struct kit *)c)->wall_ms;
}

static inline uint64_t kit_mono(const struct clock *c)
{
    return ((const struct kit *)c)->mono_us;
}

static inline void kit_pass(struct kit *k, int64_t ms)
{
    k->wall_ms += ms;
    k->mono_us += (uint64_t)ms * 1000;
}

static inline void kit_decide(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    struct kit *k = ctx;

    for (size_t i = 0; i < k->route_count; i++) {
        const struct kit_route *r = &k->routes[i];

        if (strcmp(r->method, seen->method) == 0 && strncmp(r->target, seen->target, strlen(r->target)) == 0
            && (r->want == NULL || strstr((const char *)seen->body, r->want) != NULL)) {
            *answer = r->answer;
            return;
        }
    }
    answer->status = 599;
    answer->body = "no such route";
}

static inline void kit_open(struct kit *k)
{
    const struct s3_http_opts patient = {.connect_ms = 600000, .stall_ms = 600000}; /* a machine may stand still */
    struct err err;

    memset(k, 0, sizeof *k);
    k->clock = (struct clock){.wall_ms = kit_wall, .mono_us = kit_mono};
    k->wall_ms = KIT_WALL_START;
    k->mono_us = 1000000000;
    k->fs = &fsys_real;
    assert_int_equal(uv_loop_init(&k->loop), 0);
    assert_ok_err(s3_http_new(&k->http, &k->loop, &patient, &err), &err);
    k->server = http_script_start(&k->loop);
    http_script_on_request(k->server, kit_decide, k);
    (void)snprintf(k->base, sizeof k->base, "http://127.0.0.1:%d", http_script_port(k->server));
    (void)snprintf(k->dir, sizeof k->dir, "%s/weir-cred-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(k->dir));
}

/* "NAME=value"; replaces. */
static inline void kit_env(struct kit *k, const char *pair)
{
    size_t n = (size_t)(strchr(pair, '=') - pair) + 1;

    for (size_t i = 0; i < k->env_count; i++) {
        if (strncmp(k->env[i], pair, n) == 0) {
            free(k->env[i]);
            k->env[i] = strdup(pair);
            return;
        }
    }
    assert_true(k->env_count < KIT_ENV_MAX);
    k->env[k->env_count++] = strdup(pair);
}

/* "NAME=" and a file of the test's own. */
static inline void kit_env_file(struct kit *k, const char *name, const char *file)
{
    char pair[256];

    (void)snprintf(pair, sizeof pair, "%s=%s/%s", name, k->dir, file);
    kit_env(k, pair);
}

static inline void kit_file(struct kit *k, const char *file, const char *text)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", k->dir, file);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline struct kit_route *kit_route(
    struct kit *k, const char *method, const char *target, int status, const char *body)
{
    struct kit_route *r = &k->routes[k->route_count];

    assert_true(k->route_count++ < KIT_ROUTES_MAX);
    *r = (struct kit_route){.method = method, .target = target, .answer = {.status = status, .body = body}};
    return r;
}

/* Only what the options say, the environment of the kit and its files; the network addresses are the server. */
static inline void kit_start(struct kit *k, const struct s3_cred_opts *opts)
{
    struct s3_cred_opts o = *opts;
    struct err err;

    kit_env_file(k, "HOME", "home");
    o.environ_pairs = (const char *const *)k->env;
    if (o.imds_endpoint == NULL)
        o.imds_endpoint = k->base;
    if (o.container_host == NULL)
        o.container_host = k->base;
    if (o.sts_endpoint == NULL)
        o.sts_endpoint = k->base;
    assert_ok_err(s3_cred_new(&k->cred, &k->loop, k->fs, &k->clock, k->http, &o, &err), &err);
}

static inline void kit_on_ready(struct s3_cred_wait *wait, const struct s3_cred_keys *keys, const struct err *err)
{
    struct kit *k = wait->ctx;

    assert_false(k->answered);
    k->answered = true;
    if (keys == NULL) {
        k->err = *err;
        k->rc = rc_of(&k->err);
        assert_true(rc_failed(k->rc));
        assert_null(strstr(err->msg, KIT_SECRET_MARK));
        return;
    }
    k->rc = RC_OK;
    (void)snprintf(k->keys.access_key, sizeof k->keys.access_key, "%s", keys->access_key);
    (void)snprintf(k->keys.secret_key, sizeof k->keys.secret_key, "%s", keys->secret_key);
    (void)snprintf(k->keys.session_token, sizeof k->keys.session_token, "%s", keys->session_token);
    (void)snprintf(k->keys.source, sizeof k->keys.source, "%s", keys->source);
    k->keys.expires_ms = keys->expires_ms;
}

static inline void kit_run(struct kit *k)
{
    while (!k->answered && uv_run(&k->loop, UV_RUN_ONCE) != 0)
        ;
}

static inline void kit_begin_asking(struct kit *k)
{
    k->wait = (struct s3_cred_wait){.on_ready = kit_on_ready, .ctx = k};
    k->answered = false;
    s3_cred_get(k->cred, &k->wait);
    assert_false(k->answered); /* later, never at once */
}

static inline struct rc kit_ask(struct kit *k)
{
    kit_begin_asking(k);
    kit_run(k);
    assert_true(k->answered);
    return k->rc;
}

static inline void kit_on_stopped(void *ctx)
{
    ((struct kit *)ctx)->stopped = true;
}

static inline void kit_stop(struct kit *k)
{
    k->stopped = false;
    s3_cred_stop(k->cred, kit_on_stopped, k);
    assert_false(k->stopped);
    while (!k->stopped)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    k->cred = NULL;
}

/* A new object with other variables and files, on the same server. */
static inline void kit_again(struct kit *k, const struct s3_cred_opts *opts)
{
    if (k->cred != NULL)
        kit_stop(k);
    kit_start(k, opts);
}

static inline void kit_forget_env(struct kit *k)
{
    for (size_t i = 0; i < k->env_count; i++)
        free(k->env[i]);
    memset(k->env, 0, sizeof k->env);
    k->env_count = 0;
}

static inline void kit_close(struct kit *k)
{
    char command[128];

    if (k->cred != NULL)
        kit_stop(k);
    k->stopped = false;
    s3_http_stop(k->http, kit_on_stopped, k);
    while (!k->stopped)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    http_script_stop(k->server);
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    kit_forget_env(k);
    (void)snprintf(command, sizeof command, "rm -rf %s", k->dir);
    assert_int_equal(system(command), 0);
}

/* The `i`-th request counted from the last. */
static inline const struct http_seen *kit_seen(const struct kit *k, size_t back)
{
    assert_true(http_script_count(k->server) > back);
    return http_script_seen(k->server, http_script_count(k->server) - 1 - back);
}

#define kit_expect(k, id)                                      \
    do {                                                       \
        assert_ok_err(kit_ask(k), &(k)->err);                  \
        assert_string_equal((k)->keys.access_key, id);         \
        assert_string_equal((k)->keys.secret_key, KIT_SECRET); \
    } while (0)

#define kit_expect_error(k, code, text)          \
    do {                                         \
        assert_fails(kit_ask(k), code);          \
        assert_string_equal((k)->err.msg, text); \
    } while (0)

#define kit_expect_error_with(k, code, text)                     \
    do {                                                         \
        assert_fails(kit_ask(k), code);                          \
        if (strstr((k)->err.msg, text) == NULL)                  \
            fail_msg("'%s' is not in '%s'", text, (k)->err.msg); \
    } while (0)

#endif
