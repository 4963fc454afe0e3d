/* SPDX-License-Identifier: Apache-2.0 */
#include "store_env.h"

#include "alloc.h"
#include "clock.h"

#include <assert.h>
#include <string.h>

struct env_http {
    struct env_http *next;
    struct s3_http_opts opts; /* its texts are owned */
    struct s3_http *http;     /* owned */
};

enum { CRED_TEXTS = 5 };

struct env_cred {
    struct env_cred *next;
    char *texts[CRED_TEXTS]; /* owned; what it was made from */
    bool anonymous;
    const struct s3_http *http;
    struct s3_cred *cred; /* owned */
};

struct store_env {
    uv_loop_t *loop;
    const struct fsys *fs;
    struct env_http *https; /* owned */
    struct env_cred *creds; /* owned */
    unsigned open_count;    /* of what is being stopped */
    void (*on_stopped)(void *ctx);
    void *ctx;
};

struct store_env *store_env_new(uv_loop_t *loop, const struct fsys *fs)
{
    struct store_env *env = mem_new(sizeof *env);

    env->loop = loop;
    env->fs = fs;
    return env;
}

uv_loop_t *store_env_loop(const struct store_env *env)
{
    return env->loop;
}

const struct fsys *store_env_fsys(const struct store_env *env)
{
    return env->fs;
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static char *copy(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static bool same_http(const struct s3_http_opts *a, const struct s3_http_opts *b)
{
    return a->parallel_max == b->parallel_max && a->connect_ms == b->connect_ms && a->stall_ms == b->stall_ms
           && a->upload_rate == b->upload_rate && a->download_rate == b->download_rate && a->no_http2 == b->no_http2
           && same(a->ca_file, b->ca_file) && same(a->proxy, b->proxy);
}

static void free_http(struct env_http *h)
{
    mem_free((char *)(uintptr_t)h->opts.ca_file);
    mem_free((char *)(uintptr_t)h->opts.proxy);
    mem_free(h);
}

struct rc store_env_http(struct store_env *env, const struct s3_config *config, struct s3_http **out, struct err *err)
{
    const struct s3_http_opts opts = {
        .parallel_max = config->parallel,
        .connect_ms = config->connect_ms,
        .stall_ms = config->stall_ms,
        .upload_rate = config->upload_rate,
        .download_rate = config->download_rate,
        .ca_file = config->ca_file,
        .proxy = config->proxy,
        .no_http2 = config->no_http2,
    };
    struct env_http *h = env->https;
    struct rc rc;

    while (h != NULL && !same_http(&h->opts, &opts))
        h = h->next;
    if (h == NULL) {
        h = mem_new(sizeof *h);
        h->opts = opts;
        h->opts.ca_file = copy(opts.ca_file);
        h->opts.proxy = copy(opts.proxy);
        rc = s3_http_new(&h->http, env->loop, &h->opts, err);
        if (rc_failed(rc)) {
            free_http(h);
            return rc;
        }
        h->next = env->https;
        env->https = h;
    }
    *out = h->http;
    return RC_OK;
}

/* --- credentials -------------------------------------------------------------------------------------------------- */

static void free_cred(struct env_cred *c)
{
    for (int i = 0; i < CRED_TEXTS; i++) {
        if (c->texts[i] != NULL)
            explicit_bzero(c->texts[i], strlen(c->texts[i]));
        mem_free(c->texts[i]);
    }
    mem_free(c);
}

static bool same_cred(
    const struct env_cred *c, const char *const texts[CRED_TEXTS], bool anonymous, const struct s3_http *http)
{
    for (int i = 0; i < CRED_TEXTS; i++) {
        if (!same(c->texts[i], texts[i]))
            return false;
    }
    return c->anonymous == anonymous && c->http == http;
}

struct rc store_env_cred(
    struct store_env *env, const struct s3_config *config, struct s3_http *http, struct s3_cred **out, struct err *err)
{
    const char *const texts[CRED_TEXTS] = {
        config->access_key, config->secret_key, config->session_token, config->profile, config->region};
    struct env_cred *c = env->creds;
    struct rc rc;

    while (c != NULL && !same_cred(c, texts, config->anonymous, http))
        c = c->next;
    if (c == NULL) {
        c = mem_new(sizeof *c);
        for (int i = 0; i < CRED_TEXTS; i++)
            c->texts[i] = copy(texts[i]);
        c->anonymous = config->anonymous;
        c->http = http;
        const struct s3_cred_opts opts = {
            .access_key = c->texts[0],
            .secret_key = c->texts[1],
            .session_token = c->texts[2],
            .profile = c->texts[3],
            .region = c->texts[4],
            .anonymous = c->anonymous,
        };
        rc = s3_cred_new(&c->cred, env->loop, env->fs, &clock_real, http, &opts, err);
        if (rc_failed(rc)) {
            free_cred(c);
            return rc;
        }
        c->next = env->creds;
        env->creds = c;
    }
    *out = c->cred;
    return RC_OK;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void finish(struct store_env *env)
{
    void (*on_stopped)(void *ctx) = env->on_stopped;
    void *ctx = env->ctx;

    while (env->https != NULL) {
        struct env_http *next = env->https->next;

        free_http(env->https);
        env->https = next;
    }
    mem_free(env);
    on_stopped(ctx);
}

static void on_http_stopped(void *ctx)
{
    struct store_env *env = ctx;

    if (--env->open_count == 0)
        finish(env);
}

/* Connections go when nobody can use them any more. */
static void stop_https(struct store_env *env)
{
    env->open_count = 1;
    for (struct env_http *h = env->https; h != NULL; h = h->next) {
        env->open_count++;
        s3_http_stop(h->http, on_http_stopped, env);
    }
    on_http_stopped(env);
}

static void on_cred_stopped(void *ctx)
{
    struct store_env *env = ctx;

    if (--env->open_count > 0)
        return;
    while (env->creds != NULL) {
        struct env_cred *next = env->creds->next;

        free_cred(env->creds);
        env->creds = next;
    }
    stop_https(env);
}

void store_env_stop(struct store_env *env, void (*on_stopped)(void *ctx), void *ctx)
{
    env->on_stopped = on_stopped;
    env->ctx = ctx;
    env->open_count = 1; /* so that one that stops at once does not end it all */
    for (struct env_cred *c = env->creds; c != NULL; c = c->next) {
        env->open_count++;
        s3_cred_stop(c->cred, on_cred_stopped, env);
    }
    on_cred_stopped(env);
}
