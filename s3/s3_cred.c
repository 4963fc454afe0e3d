/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred.h"

#include "alloc.h"
#include "backoff.h"
#include "s3_cred_chain.h"
#include "s3_cred_files.h"
#include "strx.h"

#include <assert.h>
#include <string.h>

struct s3_cred {
    struct s3_cred_env env;
    uv_timer_t timer; /* answers that are at hand are told on the next turn of the loop */

    struct s3_cred_box *box; /* what we have; NULL: nothing yet */
    struct s3_cred_keys keys;
    int64_t renew_ms; /* wall clock */
    bool rejected;

    struct s3_cred_op *op; /* the fetch under way */
    uint64_t taken_ms;     /* monotonic: when `box` came */
    uint64_t failed_ms;    /* monotonic: when `failure` did */
    struct err failure;    /* its code is E_OK when it worked */
    struct backoff backoff;
    uint64_t pause_until_ms; /* monotonic: no renewal in the background before */

    struct s3_cred_wait *waits, **waits_end;

    char *region;
    bool region_known;

    bool stopping;
    void (*on_stopped)(void *ctx);
    void *stop_ctx;
};

static uint64_t mono_ms(const struct s3_cred *c)
{
    return clock_mono_ms(c->env.clock);
}

/* --- what we have ------------------------------------------------------------------------------------------------- */

static bool is_expired(const struct s3_cred *c)
{
    return c->box != NULL && c->box->expires_ms != 0 && clock_wall_ms(c->env.clock) >= c->box->expires_ms;
}

/* Rejected keys are used on for the pause after they came: asking without end would not make them better. */
static bool is_fresh(const struct s3_cred *c)
{
    if (c->env.opts.anonymous)
        return true;
    if (c->box == NULL || is_expired(c))
        return false;
    return !c->rejected || mono_ms(c) - c->taken_ms < S3_CRED_REJECT_PAUSE_MS;
}

static bool failed_just_now(const struct s3_cred *c)
{
    return c->failure.code != E_OK && mono_ms(c) - c->failed_ms < S3_CRED_FAILED_PAUSE_MS;
}

static bool wants_renewal(const struct s3_cred *c)
{
    return c->box != NULL && c->op == NULL && c->box->expires_ms != 0 && clock_wall_ms(c->env.clock) >= c->renew_ms
           && mono_ms(c) >= c->pause_until_ms;
}

static struct rc check_expiry(const struct s3_cred *c, const struct s3_cred_box *box, struct err *err)
{
    char end[STRX_TIME_SIZE], now[STRX_TIME_SIZE];
    int64_t now_ms = clock_wall_ms(c->env.clock);

    if (box->expires_ms == 0 || now_ms < box->expires_ms)
        return RC_OK;
    return rc_raise(err, E_DENIED, "%s: the credentials have expired at %s already; the clock here says %s",
        box->source, strx_format_time(box->expires_ms, end), strx_format_time(now_ms, now));
}

static void take(struct s3_cred *c, struct s3_cred_box *box)
{
    int64_t now = clock_wall_ms(c->env.clock), left = box->expires_ms - now;

    s3_cred_box_free(c->box);
    c->box = box;
    c->env.had_some = true;
    c->keys = (struct s3_cred_keys){.access_key = box->access_key,
        .secret_key = box->secret_key,
        .session_token = box->session_token,
        .source = box->source,
        .expires_ms = box->expires_ms};
    c->renew_ms = box->expires_ms - (left / 2 < S3_CRED_EARLY_MS ? left / 2 : S3_CRED_EARLY_MS);
    c->rejected = false;
    c->failure.code = E_OK;
    backoff_reset(&c->backoff);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);
static void pump(struct s3_cred *c);

/* Why there are no keys, and what became of those that there were. */
static void explain(const struct s3_cred *c, struct err *err)
{
    char end[STRX_TIME_SIZE];

    *err = c->failure;
    if (is_expired(c))
        rc_ignore(rc_wrap(err, "credentials from %.100s expired at %s and were not renewed", c->box->source,
                      strx_format_time(c->box->expires_ms, end)),
            "it is told to those who wait");
}

/* Callbacks may ask again, reject, or stop. */
static void tell(struct s3_cred *c)
{
    struct s3_cred_wait *wait = c->waits, *next;
    struct err err = {.code = E_OK};
    bool fresh = is_fresh(c);

    c->waits = NULL;
    c->waits_end = &c->waits;
    if (!fresh)
        explain(c, &err);
    for (; wait != NULL; wait = next) {
        next = wait->next;
        wait->on_ready(wait, fresh ? &c->keys : NULL, &err);
    }
}

static void tell_later(struct s3_cred *c)
{
    int r = uv_timer_start(&c->timer, on_timer, 0, 0);

    assert(r == 0); /* it fails for closing timers only */
}

static void finish(struct s3_cred *c, struct s3_cred_box *box, const struct err *why)
{
    struct err err = *why;

    if (box != NULL && rc_failed(check_expiry(c, box, &err))) {
        s3_cred_box_free(box);
        box = NULL;
    }
    if (box != NULL) {
        take(c, box);
        c->taken_ms = mono_ms(c);
        c->pause_until_ms = c->taken_ms + S3_CRED_REJECT_PAUSE_MS;
        return;
    }
    assert(err.code != E_OK);
    c->failure = err;
    c->failed_ms = mono_ms(c);
    c->pause_until_ms = c->failed_ms + backoff_next_ms(&c->backoff);
}

static void on_fetched(void *ctx, struct s3_cred_box *box, const struct err *err)
{
    struct s3_cred *c = ctx;

    c->op = NULL;
    finish(c, box, err);
    if (c->waits != NULL)
        tell(c);
}

/* True when it is under way; otherwise its result is there already. */
static bool fetch(struct s3_cred *c)
{
    struct s3_cred_start start = {.on_done = on_fetched, .ctx = c};
    struct err err = {.code = E_OK};

    if (!rc_failed(s3_cred_chain_start(&c->env, &start, &err)) && start.op != NULL) {
        c->op = start.op;
        return true;
    }
    finish(c, start.box, &err);
    return false;
}

/* Do what those who wait need next. */
static void pump(struct s3_cred *c)
{
    if (c->waits == NULL || c->stopping)
        return;
    if (is_fresh(c) || (c->op == NULL && failed_just_now(c)) || (c->op == NULL && !fetch(c)))
        tell_later(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_cred *c = timer->data;

    /* Meanwhile they may have come to their end. */
    if (is_fresh(c) || (c->op == NULL && failed_just_now(c)))
        tell(c);
    else
        pump(c);
}

/* --- for users ---------------------------------------------------------------------------------------------------- */

struct rc s3_cred_new(struct s3_cred **out, uv_loop_t *loop, const struct fsys *fs, const struct clock *clock,
    struct s3_http *http, const struct s3_cred_opts *opts, struct err *err)
{
    struct s3_cred *c;
    int r;

    if ((opts->access_key == NULL) != (opts->secret_key == NULL))
        return rc_raise(err, E_CONFIG, "options of the replica: an access key and a secret key belong together");
    if (opts->session_token != NULL && opts->access_key == NULL)
        return rc_raise(err, E_CONFIG, "options of the replica: a session token without its keys");
    c = mem_new(sizeof *c);
    c->env = (struct s3_cred_env){.loop = loop, .fs = fs, .clock = clock, .http = http};
    s3_cred_env_init(&c->env, opts);
    c->waits_end = &c->waits;
    c->backoff = (struct backoff){.base_ms = S3_CRED_FAILED_PAUSE_MS, .max_ms = S3_CRED_RETRY_MAX_MS};
    c->keys = (struct s3_cred_keys){"", "", "", .anonymous = opts->anonymous, .source = "anonymous"};
    c->timer.data = c;
    r = uv_timer_init(loop, &c->timer);
    assert(r == 0); /* it cannot fail */
    *out = c;
    return RC_OK;
}

const struct s3_cred_keys *s3_cred_peek(struct s3_cred *c)
{
    if (c->stopping || !is_fresh(c))
        return NULL;
    if (wants_renewal(c))
        (void)fetch(c); /* in the background; what is at hand is fine */
    return &c->keys;
}

void s3_cred_get(struct s3_cred *c, struct s3_cred_wait *wait)
{
    assert(!c->stopping);
    wait->next = NULL;
    *c->waits_end = wait;
    c->waits_end = &wait->next;
    if (is_fresh(c) && wants_renewal(c))
        (void)fetch(c); /* see s3_cred_peek() */
    pump(c);
}

void s3_cred_reject(struct s3_cred *c, const char *access_key)
{
    if (c->box != NULL && strcmp(c->box->access_key, access_key) == 0)
        c->rejected = true;
}

/* The region is a convenience: files that cannot be read are told of when the keys are needed. */
static char *region_of_profile(const struct s3_cred *c)
{
    CLEANUP(s3_cred_files_free_profilep) struct s3_cred_profile *p = NULL;
    struct s3_cred_files files;
    char *region = NULL;
    struct err err;

    if (rc_failed(s3_cred_files_read(&c->env, &files, &err)))
        return NULL;
    if (!rc_failed(s3_cred_files_profile(&files, s3_cred_files_profile_name(&c->env), &p, &err)) && p != NULL)
        region = MOVE(p->settings[S3_CRED_REGION]);
    s3_cred_files_fini(&files);
    return region;
}

const char *s3_cred_region(struct s3_cred *c)
{
    const char *set = s3_cred_env_get(&c->env, "AWS_REGION");

    if (c->region_known)
        return c->region;
    c->region_known = true;
    if (set == NULL)
        set = s3_cred_env_get(&c->env, "AWS_DEFAULT_REGION");
    if (set == NULL || c->env.opts.profile != NULL)
        c->region = region_of_profile(c);
    if (c->region == NULL && set != NULL)
        c->region = mem_strdup(set);
    return c->region;
}

static void on_closed(uv_handle_t *handle)
{
    struct s3_cred *c = handle->data;
    void (*on_stopped)(void *ctx) = c->on_stopped;
    void *ctx = c->stop_ctx;
    struct s3_cred_wait *wait = c->waits, *next;
    struct err err;

    rc_ignore(rc_raise(&err, E_CANCELED, "the store is stopping"), "it is told to those who wait");
    for (; wait != NULL; wait = next) {
        next = wait->next;
        wait->on_ready(wait, NULL, &err);
    }
    s3_cred_box_free(c->box);
    s3_cred_env_fini(&c->env);
    mem_free(c->region);
    mem_free(c);
    on_stopped(ctx);
}

void s3_cred_stop(struct s3_cred *c, void (*on_stopped)(void *ctx), void *ctx)
{
    assert(!c->stopping);
    c->stopping = true;
    c->on_stopped = on_stopped;
    c->stop_ctx = ctx;
    s3_cred_env_cancel(MOVE(c->op));
    uv_close((uv_handle_t *)&c->timer, on_closed);
}
