/* SPDX-License-Identifier: Apache-2.0 */
/* http_intern - what http_server.c (listeners, connections, the library on the loop) and http_call.c (requests and
 * their answers) share.  Loop thread only. */
#ifndef HTTP_INTERN_H
#define HTTP_INTERN_H

#include "http_server.h"

#include <microhttpd.h>

enum { HTTP_CALL_HEADERS_MAX = 8, HTTP_STOP_MS = 2000 };

struct http_listener {
    struct http_server *server;
    const struct http_guard *guard;
    uv_poll_t poll;
    int fd;
    unsigned connection_count, connection_max;
    bool paused; /* it has all its connections, or the process has all its descriptors */
    bool closing, closed;
    struct http_listener *next, **at;
};

struct http_conn {
    struct http_listener *listener;
    const struct http_guard *guard;
    int fd;
    uint64_t deadline_ms; /* monotonic; 0: none */
    struct http_conn *next, **at;
};

struct http_server {
    uv_loop_t *loop;
    struct http_limits limits;
    struct MHD_Daemon *mhd;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles;
    http_fn fn;
    void *ctx;
    struct http_listener *listeners;
    struct http_conn *conns, *accepted; /* accepted: libmicrohttpd has not told of them yet */
    unsigned call_count, listening_count;
    uint64_t swept_ms; /* monotonic */
    bool running, stopping;
    void (*on_stopped)(void *ctx);
    void *stop_ctx;
};

/* A request. */
struct http_call {
    struct http_server *server;
    struct http_conn *conn;
    struct MHD_Connection *mhd;
    const char *method;
    char *path; /* owned */
    bool head, asked, inside, suspended, answered, watching, completed;
    unsigned status, header_count;
    const char *headers[HTTP_CALL_HEADERS_MAX][2];
    struct MHD_Response *response;
    uv_poll_t watch; /* while suspended: the client hangs up */
    void (*on_gone)(void *ctx);
    void *gone_ctx;
};

uint64_t http_server_now_ms(void);
/* Let the library run, not from in here: the caller may be a call. */
void http_server_pump_soon(struct http_server *s);

/* Of libmicrohttpd: first when the headers are there, then for a body, then when all is there or it was resumed. */
enum MHD_Result http_call_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state);
/* And when the answer was sent, or cannot be. */
void http_call_on_completed(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode why);

#endif
