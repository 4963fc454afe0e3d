/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_server - an HTTP server on the loop: libmicrohttpd parses and writes, without threads of its own.
 *
 *     http_server_start(&s, loop, on_call, ctx, err)
 *     l = http_server_listen(s, fd, &guard, connections)      any number of listening sockets
 *     on_call: http_call_answer(call, ...), now or later
 *     http_server_unlisten(l); http_server_stop(s, on_stopped, ctx)
 *
 * A call that is not answered when on_call returns is suspended: it costs a descriptor and some kilobytes, and no time.
 * When its client hangs up meanwhile, on_gone is called; the call must still be answered then.
 *
 * Every request is checked by the guard of its listener before on_call sees it: Host, and Origin where something would
 * change.  Whether the token is right is told by http_call_is_trusted(), because not every page asks for it.
 *
 * Limits: requests have no body, HTTP_HEADER_MAX bytes of headers, and HTTP_HEADER_MS until those are complete; answers
 * must be taken within HTTP_ANSWER_MS, an idle connection is closed after HTTP_IDLE_MS.  A listener that has all its
 * connections leaves others waiting in the queue of the kernel.
 *
 * Threads: loop thread only.  The process must ignore SIGPIPE.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "buf.h"
#include "http_guard.h"

#include <uv.h>

enum {
    HTTP_HEADER_MAX = 24 << 10, /* a path of 4096 bytes can be three times as long when it is escaped */
    HTTP_CONNECTIONS_MAX = 8192,
    HTTP_HEADER_MS = 10000,
    HTTP_ANSWER_MS = 60000,
    HTTP_IDLE_MS = 90000,     /* longer than scrapers pause */
    HTTP_SLICE_MAX = 1 << 20, /* bytes that a source may give at once */
};

/* What a client may take its time for. */
struct http_limits {
    uint64_t header_ms, answer_ms, idle_ms;
    uint64_t look_ms; /* they are enforced so exactly */
};

struct http_server;
struct http_listener;
struct http_call;

typedef void (*http_fn)(void *ctx, struct http_call *call);

/* A body that is made while it is sent. */
struct http_source {
    /* Append some more, at most HTTP_SLICE_MAX bytes; nothing: that was all. */
    void (*more)(void *ctx, struct buf *out);
    void (*free)(void *ctx);
    void *ctx;
};

MUST_USE struct rc http_server_start(struct http_server **out, uv_loop_t *loop, http_fn fn, void *ctx, struct err *err);
/* Other limits than the usual ones, from the next connection and answer on. */
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* Takes the descriptor; the guard is borrowed until the server has stopped. */
struct http_listener *http_server_listen(
    struct http_server *s, int fd, const struct http_guard *guard, unsigned connection_max);
/* No new connections; calls that came by it go on. */
void http_server_unlisten(struct http_listener *l);
/* All listeners must be closed.  Calls that are not answered yet must still be. */
void http_server_stop(struct http_server *s, void (*on_stopped)(void *ctx), void *ctx);

/* --- a call: the texts live until it is answered */

const char *http_call_method(const struct http_call *c); /* "GET" for HEAD, too */
const char *http_call_path(const struct http_call *c);
const char *http_call_query(const struct http_call *c, const char *name);              /* unescaped; NULL: not given */
const char *http_call_query_name(const struct http_call *c, const char *const *known); /* one that is not; NULL: none */
const char *http_call_header_in(const struct http_call *c, const char *name); /* of the request; NULL: not sent */
bool http_call_is_owner(const struct http_call *c);                           /* it came over the control socket */
bool http_call_is_trusted(const struct http_call *c); /* that, or it has the token, or none is asked for */
void http_call_on_gone(struct http_call *c, void (*on_gone)(void *ctx), void *ctx);

/* For the answer: at most 8; name and value live for ever.  Without Cache-Control it is not to be stored. */
void http_call_header(struct http_call *c, const char *name, const char *value);
/* Answer; takes the content of the body. */
void http_call_answer(struct http_call *c, unsigned status, const char *type, struct buf *body);
void http_call_stream(struct http_call *c, unsigned status, const char *type, const struct http_source *source);

#endif
