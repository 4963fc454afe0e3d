/* SPDX-License-Identifier: Apache-2.0 */
#include "http_intern.h"

#include "alloc.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

enum { BLOCK_SIZE = 32 << 10 };

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
    enum MHD_Result done = MHD_add_response_header(r, name, value);

    assert(done == MHD_YES); /* fails only without memory, or for what is no header */
}

static void release(struct http_call *c)
{
    struct http_server *s = c->server;

    if (!c->completed || c->watching)
        return;
    s->call_count--;
    mem_free(c->path);
    mem_free(c);
    if (s->stopping)
        http_server_pump_soon(s);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct http_call *c = handle->data;

    c->watching = false;
    release(c);
}

static void answer(struct http_call *c, unsigned status, const char *type, struct MHD_Response *response)
{
    bool may_store = false;

    assert(!c->answered && response != NULL);
    c->answered = true;
    c->status = status;
    c->response = response;
    add_header(response, "Content-Type", type);
    add_header(response, "X-Content-Type-Options", "nosniff");
    for (unsigned i = 0; i < c->header_count; i++) {
        add_header(response, c->headers[i][0], c->headers[i][1]);
        may_store = may_store || strcmp(c->headers[i][0], "Cache-Control") == 0;
    }
    if (!may_store)
        add_header(response, "Cache-Control", "no-store");
    if (!c->suspended)
        return;
    if (c->watching && !uv_is_closing((uv_handle_t *)&c->watch))
        uv_close((uv_handle_t *)&c->watch, on_watch_closed); /* out of the loop's hands before it can be closed */
    MHD_resume_connection(c->mhd);
    http_server_pump_soon(c->server);
}

void http_call_header(struct http_call *c, const char *name, const char *value)
{
    assert(c->header_count < HTTP_CALL_HEADERS_MAX);
    c->headers[c->header_count][0] = name;
    c->headers[c->header_count++][1] = value;
}

void http_call_answer(struct http_call *c, unsigned status, const char *type, struct buf *body)
{
    size_t size = body->failed == E_OK ? body->size : 0;
    struct MHD_Response *r = NULL;

    if (body->failed != E_OK)
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    /* MHD frees by free(), which is what mem_free() is. */
    r = MHD_create_response_from_buffer_with_free_callback(size, size > 0 ? body->data : NULL, mem_free);
    if (size > 0) {
        body->data = NULL; /* the response's now */
        body->size = body->room = 0;
    }
    answer(c, status, type, r);
}

struct stream {
    struct http_source source;
    struct buf slice;
    size_t taken;
};

static ssize_t on_block(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *t = cls;
    size_t n;

    (void)pos;
    if (t->taken == t->slice.size) {
        buf_clear(&t->slice);
        t->taken = 0;
        t->source.more(t->source.ctx, &t->slice);
        if (t->slice.failed != E_OK)
            return MHD_CONTENT_READER_END_WITH_ERROR; /* cut off: the client sees that it is not whole */
        if (t->slice.size == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
    }
    n = t->slice.size - t->taken < max ? t->slice.size - t->taken : max;
    memcpy(out, t->slice.data + t->taken, n);
    t->taken += n;
    return (ssize_t)n;
}

static void on_stream_free(void *cls)
{
    struct stream *t = cls;

    t->source.free(t->source.ctx);
    buf_fini(&t->slice);
    mem_free(t);
}

void http_call_stream(struct http_call *c, unsigned status, const char *type, const struct http_source *source)
{
    struct stream *t = mem_new(sizeof *t);

    t->source = *source;
    buf_init(&t->slice, HTTP_SLICE_MAX);
    answer(
        c, status, type, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_block, t, on_stream_free));
}

static void answer_text(struct http_call *c, unsigned status, const char *code, const char *text)
{
    CLEANUP(buf_fini) struct buf body;

    buf_init(&body, 1024);
    buf_printf(&body, "{\"ok\":false,\"code\":\"%s\",\"error\":\"%s\"}\n", code, text);
    http_call_answer(c, status, "application/json", &body);
}

/* --- the client hangs up while it waits --------------------------------------------------------------------------- */

static void on_watched(uv_poll_t *handle, int status, int events)
{
    struct http_call *c = handle->data;
    struct pollfd now = {.fd = c->conn->fd};

    (void)status;
    (void)events;
    (void)uv_poll_stop(handle); /* cannot fail */
    if (poll(&now, 1, 0) == 1 && (now.revents & (POLLHUP | POLLERR)) == 0)
        return; /* it only has no more to say, and may still listen */
    if (poll(&now, 1, 0) == 0)
        return;
    if (c->on_gone != NULL)
        c->on_gone(c->gone_ctx);
}

static void suspend(struct http_call *c)
{
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
    if (uv_poll_init(c->server->loop, &c->watch, c->conn->fd) != 0)
        return; /* then nobody learns when the client goes, until it is answered */
    c->watching = true;
    c->watch.data = c;
    (void)uv_poll_start(&c->watch, UV_DISCONNECT, on_watched); /* the same */
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static const char *header(const struct http_call *c, const char *name)
{
    return MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name);
}

/* The one limit that is checked before the body would be read. */
static bool has_body(const struct http_call *c)
{
    const char *size = header(c, "Content-Length");

    return header(c, "Transfer-Encoding") != NULL || (size != NULL && strcmp(size, "0") != 0);
}

static void ask(struct http_call *c)
{
    const struct http_guard *g = c->conn->guard;
    const char *host = header(c, "Host");
    bool named = http_guard_host_ok(g, host) || (g->has_token && http_guard_token_ok(g, header(c, "Authorization")));
    bool changes = strcmp(c->method, "GET") != 0 && strcmp(c->method, "OPTIONS") != 0;

    if (!named)
        answer_text(c, MHD_HTTP_MISDIRECTED_REQUEST, "E_DENIED",
            "the Host header must name the address that is listened at, or localhost");
    else if (changes && !http_guard_origin_ok(g, header(c, "Origin"), host))
        answer_text(c, MHD_HTTP_FORBIDDEN, "E_DENIED", "pages of other origins may not ask for this");
    else
        c->server->fn(c->server->ctx, c);
}

static struct http_call *new_call(
    struct http_server *s, struct MHD_Connection *mhd, const char *url, const char *method)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_call *c = mem_new(sizeof *c);

    c->server = s;
    c->mhd = mhd;
    c->conn = info->socket_context;
    c->conn->deadline_ms = 0;
    c->head = strcmp(method, "HEAD") == 0;
    c->method = c->head ? "GET" : method;
    c->path = mem_strdup(url);
    s->call_count++;
    return c;
}

static enum MHD_Result send_answer(struct http_call *c)
{
    c->conn->deadline_ms = http_server_now_ms() + (c->server->stopping ? HTTP_STOP_MS : c->server->limits.answer_ms);
    return MHD_queue_response(c->mhd, c->status, c->response);
}

enum MHD_Result http_call_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct http_server *s = cls;
    struct http_call *c = *state;

    (void)version;
    (void)upload;
    if (c == NULL) {
        *state = c = new_call(s, mhd, url, method);
        if (!has_body(c))
            return MHD_YES;
        answer_text(c, 413, "E_CONFIG", "requests have no body here");
        return send_answer(c);
    }
    if (*upload_size > 0)
        return MHD_NO; /* a body that was not announced */
    if (!c->asked) {
        c->asked = true;
        ask(c);
        if (!c->answered) {
            suspend(c);
            return MHD_YES;
        }
    }
    return send_answer(c);
}

void http_call_on_completed(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode why)
{
    struct http_call *c = *state;

    (void)cls;
    (void)mhd;
    (void)why;
    if (c == NULL)
        return;
    *state = NULL;
    c->conn->deadline_ms = http_server_now_ms() + c->server->limits.idle_ms;
    if (c->response != NULL)
        MHD_destroy_response(c->response);
    c->completed = true;
    release(c);
}

const char *http_call_method(const struct http_call *c)
{
    return c->method;
}

const char *http_call_path(const struct http_call *c)
{
    return c->path;
}

const char *http_call_query(const struct http_call *c, const char *name)
{
    return MHD_lookup_connection_value(c->mhd, MHD_GET_ARGUMENT_KIND, name);
}

struct known {
    const char *const *names;
    const char *found;
};

static enum MHD_Result on_argument(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct known *k = cls;

    (void)kind;
    (void)value;
    for (const char *const *name = k->names; *name != NULL; name++)
        if (strcmp(*name, key) == 0)
            return MHD_YES;
    k->found = key;
    return MHD_NO;
}

const char *http_call_query_name(const struct http_call *c, const char *const *known)
{
    struct known k = {.names = known};

    (void)MHD_get_connection_values(c->mhd, MHD_GET_ARGUMENT_KIND, on_argument, &k); /* how many is no matter */
    return k.found;
}

const char *http_call_header_in(const struct http_call *c, const char *name)
{
    return header(c, name);
}

bool http_call_is_owner(const struct http_call *c)
{
    return c->conn->guard->owner_only;
}

bool http_call_is_trusted(const struct http_call *c)
{
    return http_guard_token_ok(c->conn->guard, header(c, "Authorization"));
}

void http_call_on_gone(struct http_call *c, void (*on_gone)(void *ctx), void *ctx)
{
    c->on_gone = on_gone;
    c->gone_ctx = ctx;
}
