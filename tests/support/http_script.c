/* SPDX-License-Identifier: Apache-2.0 */
#include "http_script_intern.h"

#include <assert.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>

enum { REQUEST_MAX = 64 << 20 };

struct queued {
    struct http_answer answer; /* its strings are owned */
    struct queued *next;
};

struct http_script {
    uv_tcp_t listener;
    uv_loop_t *loop;
    struct ssl_ctx_st *tls;
    int port;
    struct queued *first, **last;
    void (*decide)(void *ctx, const struct http_seen *seen, struct http_answer *answer);
    void *ctx;
    struct http_seen *seen[HTTP_SCRIPT_SEEN_MAX];
    size_t seen_count, accepted, open_count;
    struct http_conn *conns;
    bool listening, stopping;
    unsigned open_handles; /* of the listener and all connections */
};

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static void bytes_drop(struct http_bytes *b, size_t n)
{
    memmove(b->data, b->data + n, b->size - n);
    b->size -= n;
}

static char *cut(const char *from, const char *to)
{
    char *text = http_script_must(calloc(1, (size_t)(to - from) + 1));

    memcpy(text, from, (size_t)(to - from));
    return text;
}

static void forget(struct http_seen *seen)
{
    for (size_t k = 0; k < seen->field_count; k++) {
        free(seen->fields[k].name);
        free(seen->fields[k].value);
    }
    free(seen->method);
    free(seen->target);
    free(seen->body);
    free(seen);
}

/* --- the end of connections -------------------------------------------------------------------------------------- */

static void release(struct http_script *s)
{
    if (--s->open_handles > 0 || !s->stopping)
        return;
    for (struct queued *q = s->first, *next; q != NULL; q = next) {
        next = q->next;
        free((void *)(uintptr_t)q->answer.headers);
        free((void *)(uintptr_t)q->answer.body);
        free(q);
    }
    for (size_t i = 0; i < s->seen_count; i++)
        forget(s->seen[i]);
    free(s);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_script *s = c->script;

    if (--c->open_handles == 0) {
        SSL_free(c->tls);
        free(c->in.data);
        free(c->out.data);
        free(c);
    }
    release(s);
}

void http_script_drop(struct http_conn *c, bool reset)
{
    struct linger at_once = {.l_onoff = 1};
    int fd;

    if (c->closing)
        return;
    c->closing = true;
    *c->prev = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->script->open_count--;
    if (reset && uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    uv_close((uv_handle_t *)&c->timer, on_conn_closed);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static void take_fields(struct http_seen *seen, const char *at, const char *end)
{
    while (at < end && seen->field_count < HTTP_SCRIPT_FIELDS_MAX) {
        const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2), *colon, *value;

        eol = eol == NULL ? end : eol;
        colon = memchr(at, ':', (size_t)(eol - at));
        if (colon != NULL) {
            for (value = colon + 1; value < eol && *value == ' '; value++)
                ;
            seen->fields[seen->field_count].name = cut(at, colon);
            seen->fields[seen->field_count++].value = cut(value, eol);
        }
        at = eol + 2;
    }
}

/* The request at the begin of the connection's input, or NULL when it is not whole yet.  Only the headers count when
 * `early`. */
static struct http_seen *parse(struct http_conn *c, size_t *size, bool early)
{
    const char *data = (const char *)c->in.data, *end, *eol, *space, *space2, *length;
    struct http_seen *seen;

    if (data == NULL || c->in.size == 0 || (end = memmem(data, c->in.size, "\r\n\r\n", 4)) == NULL)
        return NULL;
    eol = memmem(data, c->in.size, "\r\n", 2);
    space = memchr(data, ' ', (size_t)(eol - data));
    space2 = space == NULL ? NULL : memchr(space + 1, ' ', (size_t)(eol - space - 1));
    assert(space2 != NULL); /* a client of ours speaks HTTP */
    seen = http_script_must(calloc(1, sizeof *seen));
    seen->method = cut(data, space);
    seen->target = cut(space + 1, space2);
    seen->connection = c->number;
    take_fields(seen, eol + 2, end + 2);
    length = http_script_field(seen, "content-length");
    seen->body_size = length == NULL ? 0 : strtoul(length, NULL, 10);
    *size = (size_t)(end + 4 - data) + seen->body_size;
    assert(*size <= REQUEST_MAX);
    if (early || *size > c->in.size)
        return seen; /* the caller sees the size */
    seen->body = http_script_must(calloc(1, seen->body_size + 1));
    memcpy(seen->body, end + 4, seen->body_size);
    return seen;
}

/* How the next answer of the list wants to be given. */
static bool next_is_early(const struct http_script *s)
{
    enum http_how how = s->decide == NULL && s->first != NULL ? s->first->answer.how : HTTP_WHOLE;

    return how == HTTP_EARLY || how == HTTP_EARLY_HANG || how == HTTP_EARLY_CLOSE;
}

static void decide(struct http_script *s, struct http_conn *c, const struct http_seen *seen)
{
    struct http_answer a = {0};
    bool head = strcmp(seen->method, "HEAD") == 0;
    struct queued *q = s->first;

    if (s->decide != NULL) {
        s->decide(s->ctx, seen, &a);
        http_script_send(c, &a, head);
    } else if (q == NULL) {
        http_script_send(c, &(struct http_answer){.status = 500, .body = "nothing is left in the script"}, head);
    } else {
        s->first = q->next;
        if (s->first == NULL)
            s->last = &s->first;
        http_script_send(c, &q->answer, head);
        free((void *)(uintptr_t)q->answer.headers);
        free((void *)(uintptr_t)q->answer.body);
        free(q);
    }
}

void http_script_serve(struct http_conn *c)
{
    struct http_script *s = c->script;
    struct http_seen *seen;
    size_t size = 0;
    bool early = next_is_early(s);

    if (c->answering || c->closing)
        return;
    seen = parse(c, &size, early);
    if (seen == NULL)
        return;
    if (!early && size > c->in.size) {
        forget(seen);
        return;
    }
    if (early) {
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
        seen->body_size = 0;
        c->in.size = 0;
    } else
        bytes_drop(&c->in, size);
    assert(s->seen_count < HTTP_SCRIPT_SEEN_MAX);
    s->seen[s->seen_count++] = seen;
    decide(s, c, seen);
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct http_conn *c = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)c->scratch, sizeof c->scratch);
}

static void take_tls(struct http_conn *c, const uint8_t *data, size_t n)
{
    uint8_t plain[16384];
    int got;

    (void)BIO_write(c->tls_in, data, (int)n);
    do {
        got = SSL_read(c->tls, plain, sizeof plain); /* shakes hands on the way */
        if (got > 0)
            http_bytes_put(&c->in, plain, (size_t)got);
    } while (got > 0);
    http_script_send_tls(c);
    if (SSL_get_error(c->tls, got) != SSL_ERROR_WANT_READ)
        http_script_drop(c, false);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *unused)
{
    struct http_conn *c = stream->data;

    (void)unused;
    if (c->closing)
        return;
    if (n < 0) {
        http_script_drop(c, false);
        return;
    }
    if (c->tls == NULL)
        http_bytes_put(&c->in, c->scratch, (size_t)n);
    else
        take_tls(c, c->scratch, (size_t)n);
    http_script_serve(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_script *s = listener->data;
    struct http_conn *c = http_script_must(calloc(1, sizeof *c));

    assert(status == 0);
    c->script = s;
    c->tcp.data = c->timer.data = c;
    (void)uv_tcp_init(s->loop, &c->tcp);
    (void)uv_timer_init(s->loop, &c->timer);
    c->open_handles = 2;
    s->open_handles += 2;
    s->open_count++;
    c->number = (unsigned)++s->accepted;
    c->next = s->conns;
    c->prev = &s->conns;
    if (c->next != NULL)
        c->next->prev = &c->next;
    s->conns = c;
    status = uv_accept(listener, (uv_stream_t *)&c->tcp);
    assert(status == 0);
    uv_unref((uv_handle_t *)&c->tcp);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (s->tls != NULL) {
        c->tls = http_script_must(SSL_new(s->tls));
        c->tls_in = http_script_must(BIO_new(BIO_s_mem()));
        c->tls_out = http_script_must(BIO_new(BIO_s_mem()));
        SSL_set_bio(c->tls, c->tls_in, c->tls_out);
        SSL_set_accept_state(c->tls);
    }
    (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* --- the outside ------------------------------------------------------------------------------------------------- */

struct http_script *http_script_start_tls(uv_loop_t *loop, struct ssl_ctx_st *tls)
{
    struct http_script *s = http_script_must(calloc(1, sizeof *s));
    struct sockaddr_in at;
    int size = sizeof at, rc;

    (void)signal(SIGPIPE, SIG_IGN); /* clients go away in the middle of answers */
    s->loop = loop;
    s->tls = tls;
    s->last = &s->first;
    s->listener.data = s;
    rc = uv_ip4_addr("127.0.0.1", 0, &at);
    assert(rc == 0);
    (void)uv_tcp_init(loop, &s->listener);
    rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&at, 0);
    assert(rc == 0);
    rc = uv_listen((uv_stream_t *)&s->listener, 128, on_connection);
    assert(rc == 0);
    rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&at, &size);
    assert(rc == 0);
    uv_unref((uv_handle_t *)&s->listener);
    s->port = ntohs(at.sin_port);
    s->open_handles = 1;
    s->listening = true;
    return s;
}

struct http_script *http_script_start(uv_loop_t *loop)
{
    return http_script_start_tls(loop, NULL);
}

int http_script_port(const struct http_script *s)
{
    return s->port;
}

void http_script_add(struct http_script *s, const struct http_answer *answer_)
{
    struct queued *q = http_script_must(calloc(1, sizeof *q));

    q->answer = *answer_;
    if (answer_->headers != NULL)
        q->answer.headers = http_script_must(strdup(answer_->headers));
    if (answer_->body != NULL) {
        size_t size = answer_->body_size > 0 ? answer_->body_size : strlen(answer_->body);
        char *copy = http_script_must(calloc(1, size + 1));

        memcpy(copy, answer_->body, size);
        q->answer.body = copy;
    }
    *s->last = q;
    s->last = &q->next;
}

void http_script_on_request(struct http_script *s,
    void (*on_request)(void *ctx, const struct http_seen *seen, struct http_answer *answer), void *ctx)
{
    s->decide = on_request;
    s->ctx = ctx;
}

size_t http_script_count(const struct http_script *s)
{
    return s->seen_count;
}

size_t http_script_connections(const struct http_script *s)
{
    return s->accepted;
}

size_t http_script_open(const struct http_script *s)
{
    return s->open_count;
}

const struct http_seen *http_script_seen(const struct http_script *s, size_t index)
{
    assert(index < s->seen_count);
    return s->seen[index];
}

const char *http_script_field(const struct http_seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->field_count; i++)
        if (strcasecmp(seen->fields[i].name, name) == 0)
            return seen->fields[i].value;
    return NULL;
}

void http_script_drop_idle(struct http_script *s)
{
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (!c->answering && c->in.size == 0)
            http_script_drop(c, false);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void http_script_deafen(struct http_script *s)
{
    if (s->listening)
        uv_close((uv_handle_t *)&s->listener, on_listener_closed);
    s->listening = false;
}

void http_script_stop(struct http_script *s)
{
    s->stopping = true;
    s->open_handles++; /* of this function */
    http_script_deafen(s);
    while (s->conns != NULL)
        http_script_drop(s->conns, false);
    release(s);
}
