/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_client.h"

#include "alloc.h"
#include "s3_sign.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { URL_MAX = 16 << 10, OWN_HEADERS_MAX = 8, AUTHORIZATION_MAX = 4096 };

struct s3_client_wait {
    struct s3_cred_wait base; /* must be first */
    struct s3_call *call;     /* NULL: nobody waits any more */
};

struct s3_client {
    uv_loop_t *loop;
    struct s3_client_opts o;
    uv_timer_t timer; /* for what is done later */
    struct s3_later *first, **last;
    LIST_HEAD(, s3_call) calls; /* in flight */
    int64_t skew_ms;            /* the store's clock minus ours, 0 as long as it is content */
    bool canceled, stopping, closing;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static void begin(struct s3_call *call);

/* --- later -------------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct s3_client *c = handle->data;
    void (*on_stopped)(void *ctx) = c->on_stopped;
    void *ctx = c->ctx;

    mem_free(c);
    on_stopped(ctx);
}

static void close_when_idle(struct s3_client *c)
{
    if (!c->stopping || c->closing || !LIST_EMPTY(&c->calls) || c->first != NULL)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_client *c = timer->data;
    struct s3_later *item = c->first, *next;

    c->first = NULL;
    c->last = &c->first;
    for (; item != NULL; item = next) {
        next = item->next;
        item->run(item);
    }
    close_when_idle(c);
}

void s3_client_later(struct s3_client *c, struct s3_later *later)
{
    assert(!c->closing);
    later->next = NULL;
    *c->last = later;
    c->last = &later->next;
    (void)uv_timer_start(&c->timer, on_timer, 0, 0); /* fails only without a callback */
}

/* --- the end of a call -------------------------------------------------------------------------------------------- */

static void finish(struct s3_call *call)
{
    struct s3_client *c = call->client;

    LIST_REMOVE(call, next);
    call->on_done(call); /* it may be gone now */
    close_when_idle(c);
}

static void on_later(struct s3_later *later)
{
    finish(later->ctx);
}

static void finish_later(struct s3_call *call)
{
    call->later = (struct s3_later){.run = on_later, .ctx = call};
    s3_client_later(call->client, &call->later);
}

static void cancel(struct s3_call *call)
{
    rc_ignore(rc_raise(&call->err, E_CANCELED, "the store is stopping"), "it is the call's answer");
}

/* --- what an answer means ----------------------------------------------------------------------------------------- */

static bool is_success(const struct s3_call *call)
{
    struct s3_xml_error e;

    if (call->http.status < 200 || call->http.status > 299)
        return false;
    return !call->error_in_answer || !s3_xml_read_error(buf_span(&call->http.data), &e);
}

static int64_t skew_of(const struct s3_call *call)
{
    const char *date = s3_http_answer(&call->http, "date");
    int64_t ms;

    return date != NULL && s3_error_parse_date(date, &ms) ? ms - call->signed_ms : 0;
}

/* Put right what the answer complains about; false when nothing was or too often. */
static bool correct(struct s3_call *call, const struct s3_error *e)
{
    struct s3_client *c = call->client;
    struct err err;

    switch (e->action) {
    case S3_ACTION_FAIL:
        if (e->unknown && call->access_key[0] != 0)
            s3_cred_reject(c->o.cred, call->access_key); /* whoever asks next finds the file that was put right */
        break;
    case S3_ACTION_REGION:
        if (call->region_count >= S3_CLIENT_REGIONS_MAX)
            return false;
        call->region_count++;
        if (strcmp(call->signed_region, e->region) == 0)
            return false;
        if (strcmp(c->o.config->region, e->region) == 0)
            return true; /* another call's answer said so before */
        return !rc_failed(s3_config_set_region(c->o.config, e->region, &err));
    case S3_ACTION_CLOCK:
        if (call->clock_count >= S3_CLIENT_CLOCKS_MAX)
            return false;
        call->clock_count++;
        c->skew_ms += skew_of(call) + call->signed_ms - (clock_wall_ms(c->o.clock) + c->skew_ms);
        return true;
    case S3_ACTION_REFRESH:
        if (call->refresh_count >= S3_CLIENT_REFRESHES_MAX || call->access_key[0] == 0)
            return false;
        call->refresh_count++;
        s3_cred_reject(c->o.cred, call->access_key);
        return true;
    }
    return false;
}

static struct rc judge(struct s3_call *call, struct s3_error *e)
{
    const struct s3_config *config = call->client->o.config;
    const struct s3_error_answer answer = {
        .status = call->http.status,
        .body = buf_span(&call->http.data),
        .request_id = s3_http_answer(&call->http, "x-amz-request-id"),
        .region = s3_http_answer(&call->http, "x-amz-bucket-region"),
        .retry_after = s3_http_answer(&call->http, "retry-after"),
        .skew_ms = skew_of(call),
        .bucket = config->bucket,
        .host = config->host,
        .right = s3_right_of(call->kind),
    };

    return s3_error_judge(&answer, e, &call->err);
}

/* HEAD was refused, and its answer does not say why. */
static bool should_ask_why(const struct s3_call *call, const struct s3_error *e)
{
    int status = call->http.status;

    return !call->canceled && !call->asked_why && strcmp(call->method, "HEAD") == 0
           && (status == 301 || status == 400 || status == 401 || status == 403) && e->s3_code[0] == 0
           && (e->action == S3_ACTION_FAIL || e->action == S3_ACTION_REFRESH);
}

static void ask_why(struct s3_call *call)
{
    call->asked_why = call->asking = true;
    call->head_err = call->err;
    begin(call);
}

/* The GET that was to tell why: what it says of the key and the request holds for the HEAD, too. */
static void take_reason(struct s3_call *call, struct s3_error *e)
{
    enum err_code code = call->err.code;

    call->asking = false;
    if (code != E_DENIED && code != E_CONFIG && code != E_UNSUPPORTED) {
        call->err = call->head_err;
        e->action = S3_ACTION_FAIL;
    }
}

static void on_http(struct s3_http_req *req)
{
    struct s3_call *call = req->ctx;
    struct s3_client *c = call->client;
    struct s3_error e = {.action = S3_ACTION_FAIL};

    call->on_wire = false;
    call->err = req->err;
    if (call->err.code == E_OK && !is_success(call)) {
        rc_ignore(judge(call, &e), "it is the call's answer");
        memcpy(call->s3_code, e.s3_code, sizeof call->s3_code);
        call->unknown = e.unknown;
        call->retry_after_ms = e.retry_after_ms;
    }
    store_count_end(c->o.counted, call->asking ? STORE_GET : call->kind, call->err.code);
    if (call->asking)
        take_reason(call, &e);
    else if (call->err.code != E_OK && req->err.code == E_OK && should_ask_why(call, &e)) {
        ask_why(call);
        return;
    }
    if (call->err.code != E_OK && !call->canceled && correct(call, &e))
        begin(call);
    else
        finish(call);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

struct signing {
    struct s3_sign_param params[S3_CALL_PARAMS_MAX];
    struct s3_sign_param headers[S3_CALL_HEADERS_MAX + OWN_HEADERS_MAX];
    size_t header_count;
    struct buf host, path, query, url, authorization;
    char date[S3_SIGN_DATE_SIZE], hash[S3_SIGN_HEX_SIZE];
};

static void signing_init(struct signing *s)
{
    *s = (struct signing){0};
    buf_init(&s->host, URL_MAX);
    buf_init(&s->path, URL_MAX);
    buf_init(&s->query, URL_MAX);
    buf_init(&s->url, URL_MAX);
    buf_init(&s->authorization, AUTHORIZATION_MAX);
}

static void signing_fini(struct signing *s)
{
    buf_fini(&s->host);
    buf_fini(&s->path);
    buf_fini(&s->query);
    buf_fini(&s->url);
    buf_fini(&s->authorization);
}

static const char *method_of(const struct s3_call *call)
{
    return call->asking ? "GET" : call->method;
}

static void add_header(struct signing *s, const char *name, const char *value)
{
    assert(s->header_count < S3_CALL_HEADERS_MAX + OWN_HEADERS_MAX);
    s->headers[s->header_count++] = (struct s3_sign_param){name, value};
}

static void gather(struct signing *s, struct s3_call *call, const struct s3_cred_keys *keys)
{
    const struct s3_config *config = call->client->o.config;

    add_header(s, "host", buf_str(&s->host));
    for (size_t i = 0; i < call->header_count; i++)
        add_header(s, call->headers[i].name, call->headers[i].value);
    if (call->asking)
        add_header(s, "range", "bytes=0-0");
    if (call->with_md5) {
        s3_sign_md5(call->body, call->md5);
        if (call->md5[0] != 0)
            add_header(s, "content-md5", call->md5);
    }
    if (config->quirk->consistent_header != NULL)
        add_header(s, config->quirk->consistent_header, "true");
    if (keys->anonymous)
        return;
    s3_sign_date(call->signed_ms, s->date);
    s3_sign_sha256(call->body, s->hash);
    add_header(s, "x-amz-date", s->date);
    add_header(s, "x-amz-content-sha256", s->hash);
    if (keys->session_token != NULL && keys->session_token[0] != 0)
        add_header(s, "x-amz-security-token", keys->session_token);
}

static struct rc sign(struct signing *s, struct s3_call *call, const struct s3_cred_keys *keys, struct err *err)
{
    const struct s3_sign_key key = {
        .access_key = keys->access_key,
        .secret_key = keys->secret_key,
        .session_token = keys->session_token,
        .region = call->client->o.config->region,
        .service = "s3",
    };
    const struct s3_sign_input in = {
        .method = method_of(call),
        .path = buf_str(&s->path),
        .query = s->params,
        .query_count = call->param_count,
        .headers = s->headers,
        .header_count = s->header_count,
        .payload_hash = s->hash,
        .time_ms = call->signed_ms,
    };

    if (keys->anonymous)
        return RC_OK;
    TRY(s3_sign_header(&key, &in, &s->authorization, err));
    add_header(s, "authorization", buf_str(&s->authorization));
    return buf_check(&s->authorization, "the signature", err);
}

/* The region comes from the configuration, or else with the credentials (a profile has one), or from a store that tells
 * us in its first answer. */
static struct rc know_region(struct s3_client *c, struct err *err)
{
    const char *region = c->o.config->region;

    if (region != NULL)
        return RC_OK;
    region = s3_cred_region(c->o.cred);
    if (region == NULL)
        region = c->o.config->quirk->default_region;
    return s3_config_set_region(c->o.config, region != NULL ? region : "us-east-1", err);
}

static struct rc prepare(struct signing *s, struct s3_call *call, const struct s3_cred_keys *keys, struct err *err)
{
    struct s3_client *c = call->client;

    TRY(know_region(c, err));
    (void)snprintf(call->signed_region, sizeof call->signed_region, "%s", c->o.config->region);
    call->signed_ms = clock_wall_ms(c->o.clock) + c->skew_ms;
    for (size_t i = 0; i < call->param_count; i++)
        s->params[i] = (struct s3_sign_param){call->params[i].name, call->params[i].value};
    TRY(s3_config_host(c->o.config, &s->host, err));
    TRY(s3_config_path(c->o.config, call->key != NULL ? call->key : "", &s->path, err));
    TRY(s3_sign_query(s->params, call->param_count, &s->query, err));
    gather(s, call, keys);
    TRY(sign(s, call, keys, err));
    buf_printf(&s->url, "%s://%s%s%s%s", c->o.config->scheme, buf_str(&s->host), buf_str(&s->path),
        call->param_count > 0 ? "?" : "", buf_str(&s->query));
    return buf_check(&s->url, "the URL", err);
}

static void submit(struct s3_call *call, struct signing *s, const char *access_key)
{
    struct s3_client *c = call->client;
    struct s3_http_req *req = &call->http;

    mem_free(call->access_key);
    call->access_key = mem_strdup(access_key);
    if (call->sent)
        s3_http_req_fini(req);
    call->sent = true;
    s3_http_req_init(req, method_of(call), buf_str(&s->url));
    for (size_t i = 0; i < s->header_count; i++)
        s3_http_header(req, s->headers[i].name, s->headers[i].value);
    req->body = call->body;
    req->answer_max = call->answer_max > S3_CALL_ANSWER_MAX ? call->answer_max : S3_CALL_ANSWER_MAX;
    req->on_done = on_http;
    req->ctx = call;
    store_count_begin(c->o.counted, call->asking ? STORE_GET : call->kind);
    call->on_wire = true;
    s3_http_submit(c->o.http, req);
}

/* True when it is on its way. */
static bool send_signed(struct s3_call *call, const struct s3_cred_keys *keys)
{
    CLEANUP(signing_fini) struct signing s;

    signing_init(&s);
    if (rc_failed(prepare(&s, call, keys, &call->err)))
        return false;
    submit(call, &s, keys->anonymous ? "" : keys->access_key);
    return true;
}

static void on_ready(struct s3_cred_wait *base, const struct s3_cred_keys *keys, const struct err *err)
{
    struct s3_client_wait *w = (struct s3_client_wait *)base;
    struct s3_call *call = w->call;

    mem_free(w);
    if (call == NULL)
        return;
    call->wait = NULL;
    if (keys != NULL && send_signed(call, keys))
        return;
    /* When the store has refused the former credentials, its answer tells more than that there are no others. */
    if (keys == NULL && call->refresh_count == 0)
        call->err = *err;
    finish(call);
}

static void begin(struct s3_call *call)
{
    struct s3_client *c = call->client;
    const struct s3_cred_keys *keys = s3_cred_peek(c->o.cred);

    if (keys == NULL) {
        struct s3_client_wait *w = mem_new(sizeof *w);

        w->base.on_ready = on_ready;
        w->call = call;
        call->wait = w;
        s3_cred_get(c->o.cred, &w->base);
    } else if (!send_signed(call, keys))
        finish_later(call);
}

void s3_client_send(struct s3_client *c, struct s3_call *call)
{
    assert(call->on_done != NULL);
    call->client = c;
    call->err.code = E_OK;
    call->err.msg[0] = 0;
    LIST_INSERT_HEAD(&c->calls, call, next);
    if (c->canceled) {
        call->canceled = true;
        cancel(call);
        finish_later(call);
        return;
    }
    begin(call);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

struct s3_client *s3_client_new(uv_loop_t *loop, const struct s3_client_opts *opts)
{
    struct s3_client *c = mem_new(sizeof *c);
    int r = uv_timer_init(loop, &c->timer);

    assert(r == 0);
    c->loop = loop;
    c->o = *opts;
    c->last = &c->first;
    c->timer.data = c;
    return c;
}

void s3_client_cancel(struct s3_client *c)
{
    struct s3_call *call;

    if (c->canceled)
        return;
    c->canceled = true;
    LIST_FOREACH (call, &c->calls, next) {
        call->canceled = true;
        if (call->wait != NULL) {
            call->wait->call = NULL;
            call->wait = NULL;
            cancel(call);
            finish_later(call);
        } else if (call->on_wire)
            s3_http_cancel(c->o.http, &call->http);
    }
}

void s3_client_stop(struct s3_client *c, void (*on_stopped)(void *ctx), void *ctx)
{
    assert(!c->stopping);
    s3_client_cancel(c);
    c->stopping = true;
    c->on_stopped = on_stopped;
    c->ctx = ctx;
    close_when_idle(c);
}
