/* SPDX-License-Identifier: Apache-2.0 */
#include "store_links.h"

#include "alloc.h"
#include "s3_uri.h"
#include "store_env.h"
#include "store_links_answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* One request.  It waits in a queue of the store, or is on the wire. */
struct links_op {
    struct links_store *store;
    struct store_req *req;
    const struct share_object *object; /* on the wire */
    struct s3_http_req http;
    struct links_op *next; /* in the queue */
    LIST_ENTRY(links_op) on_wire;
};

struct links_store {
    struct store base; /* must be first */
    struct s3_http *http;
    char *url;            /* owned; a secret: of the document, when it is to be fetched */
    struct share_doc doc; /* count 0: it is not there yet */
    struct s3_http_req load;
    bool loading, stopping, closing;
    uv_timer_t timer;
    struct links_op *waiting, **last;
    LIST_HEAD(, links_op) wire;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static const struct store_ops links_ops;

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    struct links_store *s = handle->data;
    void (*on_stopped)(void *ctx) = s->on_stopped;
    void *ctx = s->ctx;

    share_doc_fini(&s->doc);
    if (s->url != NULL)
        explicit_bzero(s->url, strlen(s->url));
    mem_free(s->url);
    mem_free(s->base.url);
    mem_free(s);
    on_stopped(ctx);
}

static void close_when_idle(struct links_store *s)
{
    if (!s->stopping || s->closing || s->loading || s->waiting != NULL || !LIST_EMPTY(&s->wire))
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

static void finish(struct links_op *op, struct rc rc)
{
    struct links_store *s = op->store;
    struct store_req *req = op->req;

    if (rc_failed(rc))
        rc_ignore(rc_wrap(&req->err, "%s%s%s", store_verb_name(req->verb), req->key[0] != 0 ? " " : "", req->key),
            "it is the request's answer");
    mem_free(op);
    store_complete(&s->base, req);
}

/* --- getting ------------------------------------------------------------------------------------------------------ */

static void wipe_url(struct s3_http_req *req)
{
    if (req->url != NULL)
        explicit_bzero(req->url, strlen(req->url));
}

static struct rc take_get(struct links_op *op)
{
    struct store_req *req = op->req;

    if (op->http.err.code != E_OK) {
        req->err = op->http.err;
        return rc_of(&req->err);
    }
    if (op->http.status < 200 || op->http.status > 299)
        return store_links_answer_refused(&op->http, &op->store->doc, &req->retry_after_ms, &req->err);
    return store_links_answer_body(&op->http, op->object, req, &req->err);
}

static void on_got(struct s3_http_req *http)
{
    struct links_op *op = http->ctx;
    struct links_store *s = op->store;
    struct rc rc;

    LIST_REMOVE(op, on_wire);
    rc = take_get(op);
    wipe_url(http);
    s3_http_req_fini(http);
    finish(op, rc);
    close_when_idle(s);
}

static void send_get(struct links_op *op, const struct share_object *o)
{
    struct links_store *s = op->store;

    op->object = o;
    LIST_INSERT_HEAD(&s->wire, op, on_wire);
    s3_http_req_init(&op->http, "GET", o->url);
    store_links_answer_ask(&op->http, op->req);
    op->http.on_done = on_got;
    op->http.ctx = op;
    s3_http_submit(s->http, &op->http);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void answer(struct links_op *op)
{
    struct store_req *req = op->req;
    const struct share_object *o = NULL;
    struct rc rc;

    if (req->verb == STORE_LIST)
        rc = store_links_answer_list(&op->store->doc, req, &req->err);
    else if (req->verb == STORE_GET || req->verb == STORE_HEAD)
        rc = store_links_answer_find(&op->store->doc, req, &o, &req->err);
    else
        rc = rc_raise(&req->err, E_DENIED, "a share can only be read");
    if (o != NULL && req->verb == STORE_GET) {
        send_get(op, o);
        return;
    }
    if (o != NULL)
        req->size = o->size;
    finish(op, rc);
}

/* Everything that waits, with the same failure; or each with its own answer. */
static void answer_all(struct links_store *s, const struct err *failure)
{
    struct links_op *op = s->waiting, *next;

    s->waiting = NULL;
    s->last = &s->waiting;
    for (; op != NULL; op = next) {
        next = op->next;
        if (failure != NULL) {
            op->req->err = *failure;
            finish(op, rc_of(failure));
        } else
            answer(op);
    }
    close_when_idle(s);
}

static struct rc take_document(struct links_store *s, struct err *err)
{
    struct rc rc;

    if (s->load.err.code != E_OK) {
        *err = s->load.err;
        return rc_of(err);
    }
    if (s->load.status < 200 || s->load.status > 299)
        return store_links_answer_refused(&s->load, NULL, NULL, err);
    rc = share_doc_decode(buf_span(&s->load.data), &s->doc, err);
    return rc_failed(rc) ? rc_wrap(err, "%.400s", s->base.url) : rc;
}

static void on_loaded(struct s3_http_req *http)
{
    struct links_store *s = http->ctx;
    struct err err;
    struct rc rc = take_document(s, &err);

    if (http->data.size > 0)
        explicit_bzero(http->data.data, http->data.size);
    wipe_url(http);
    s3_http_req_fini(http);
    s->loading = false;
    answer_all(s, rc_failed(rc) ? &err : NULL);
}

static void load(struct links_store *s)
{
    if (s->loading)
        return;
    s->loading = true;
    s3_http_req_init(&s->load, "GET", s->url);
    s->load.answer_max = SHARE_DOC_MAX;
    s->load.on_done = on_loaded;
    s->load.ctx = s;
    s3_http_submit(s->http, &s->load);
}

static void on_timer(uv_timer_t *timer)
{
    struct links_store *s = timer->data;
    struct err err;

    if (s->stopping) {
        rc_ignore(rc_raise(&err, E_CANCELED, "the store is stopping"), "it is the requests' answer");
        answer_all(s, &err);
    } else if (s->doc.count == 0)
        load(s);
    else
        answer_all(s, NULL);
}

static void links_submit(struct store *base, struct store_req *req)
{
    struct links_store *s = (struct links_store *)base;
    struct links_op *op = mem_new(sizeof *op);

    assert(!s->stopping);
    op->store = s;
    op->req = req;
    *s->last = op;
    s->last = &op->next;
    (void)uv_timer_start(&s->timer, on_timer, 0, 0); /* fails only without a callback */
}

static void links_stop(struct store *base, void (*on_stopped)(void *ctx), void *ctx)
{
    struct links_store *s = (struct links_store *)base;
    struct links_op *op;

    assert(!s->stopping);
    s->stopping = true;
    s->on_stopped = on_stopped;
    s->ctx = ctx;
    LIST_FOREACH (op, &s->wire, on_wire)
        s3_http_cancel(s->http, &op->http);
    if (s->loading)
        s3_http_cancel(s->http, &s->load); /* what waits for it hears of its end */
    else
        (void)uv_timer_start(&s->timer, on_timer, 0, 0);
}

static const struct store_ops links_ops = {.submit = links_submit, .stop = links_stop};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static bool has_scheme(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

bool store_links_is_url(const char *url)
{
    return has_scheme(url, "share:") || has_scheme(url, "https:") || has_scheme(url, "http:");
}

static struct rc read_file(
    const struct fsys *fs, const struct s3_uri *uri, const char *url, struct share_doc *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf path, text;
    struct rc rc;

    buf_init(&path, S3_URI_MAX);
    buf_init(&text, SHARE_DOC_MAX);
    if (uri->host[0] != 0 || uri->has_user || uri->param_count > 0 || uri->path[0] == 0)
        return rc_raise(err, E_CONFIG, "not the URL of a share: share:///absolute/path/file.json, or https://...");
    TRY(s3_uri_decode(span_of(uri->path, strlen(uri->path)), "the path", &path, err));
    TRY(buf_check(&path, "the path", err));
    rc = fsys_read_file(fs, buf_str(&path), &text, err);
    if (!rc_failed(rc))
        rc = share_doc_decode(buf_span(&text), out, err);
    if (text.size > 0)
        explicit_bzero(text.data, text.size);
    return rc_failed(rc) ? rc_wrap(err, "%.400s", url) : rc;
}

/* The document says where to look: who can change it on its way can say anything. */
static struct rc check_remote(const struct s3_uri *uri, const char *shown, struct err *err)
{
    size_t name_size;
    unsigned port;

    if (!s3_uri_host(uri->host, &name_size, &port) || uri->has_user)
        return rc_raise(err, E_CONFIG, "not the URL of a share: https://host/file.json");
    if (strcmp(uri->scheme, "http") == 0 && !s3_uri_host_is_loopback(uri->host))
        return rc_raise(err, E_CONFIG,
            "%.400s: a share is fetched by https:// only, because its links are secrets; or get the file in a safe way "
            "and name it share:///path/file.json",
            shown);
    return RC_OK;
}

static void free_shown(char **shown)
{
    mem_free(*shown);
}

struct rc store_links_open(struct store_env *env, const char *url, struct store **out, struct err *err)
{
    const struct s3_config config = {.ca_file = getenv("AWS_CA_BUNDLE")}; /* NOLINT(concurrency-mt-unsafe): read only */
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    CLEANUP(share_doc_fini) struct share_doc doc = {0};
    CLEANUP(free_shown) char *shown = NULL;
    struct s3_http *http = NULL;
    struct links_store *s;
    bool local;

    TRY(s3_uri_parse(url, &uri, err));
    shown = mem_printf("%s://%s%s", uri.scheme, uri.host, uri.path);
    local = strcmp(uri.scheme, "share") == 0;
    if (local)
        TRY(read_file(store_env_fsys(env), &uri, shown, &doc, err));
    else
        TRY(check_remote(&uri, shown, err));
    TRY(store_env_http(env, &config, &http, err));
    s = mem_new(sizeof *s);
    s->base.ops = &links_ops;
    s->base.url = MOVE(shown);
    s->base.part_size = S3_CONFIG_PART_SIZE;
    s->http = http;
    s->url = local ? NULL : mem_strdup(url);
    s->doc = doc;
    share_doc_init(&doc);
    s->last = &s->waiting;
    s->timer.data = s;
    (void)uv_timer_init(store_env_loop(env), &s->timer); /* never fails */
    *out = &s->base;
    return RC_OK;
}

static const struct store *lowest(const struct store *s)
{
    while (s->below != NULL)
        s = s->below;
    return s;
}

bool store_links_is(const struct store *s)
{
    return lowest(s)->ops == &links_ops;
}

const struct share_doc *store_links_doc(const struct store *s)
{
    const struct links_store *links = (const struct links_store *)lowest(s);

    return store_links_is(s) && links->doc.count > 0 ? &links->doc : NULL;
}
