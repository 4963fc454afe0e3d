/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_http - HTTP requests by libcurl's multi interface on a libuv loop.
 *
 *     s3_http_new(&http, loop, &opts, err)
 *     s3_http_req_init(&req, "PUT", url); s3_http_header(&req, "name", "value"); req.body = ...; req.on_done = ...
 *     s3_http_submit(http, &req)         on_done runs later, on the loop thread, exactly once
 *     s3_http_req_fini(&req)
 *     s3_http_stop(http, on_stopped, ctx)
 *
 * At most `parallel_max` requests are on the wire; the others wait in a queue of ours, because libcurl counts the wait
 * for a connection against the time-outs.  Connections are kept and used again.  There is no time-out on a whole body:
 * a transfer ends with E_TIMEOUT when it moves less than S3_HTTP_STALL_BYTES a second for `stall_ms`, or when no
 * connection is made within `connect_ms`, or after `total_ms` when the request asks for that.
 *
 * The answer's body goes to memory and is bounded by `answer_max`; more is E_CORRUPT (of an answer with
 * status 300 or more at least S3_HTTP_ERROR_BYTES_MAX are taken).  Headers are bounded in number and size; names are
 * compared without case.  Redirects are never followed here: the caller decides.
 *
 * Errors: any answer with a status line is E_OK, whatever the status.  E_NETWORK (connection refused, reset, host not
 * found, TLS: the text says which, and for certificates what is wrong with them; an answer shorter than announced),
 * E_TIMEOUT, E_CORRUPT (nonsense instead of HTTP, too large), E_CONFIG (a CA file that cannot be read, a header with a
 * line break), E_BUSY (the queue is full), E_NOMEM, E_CANCELED.
 *
 * libcurl sends a request once more by itself when a kept connection turns out to be closed before the answer's first
 * byte.  That is wanted (servers close idle connections at any time), but then the first copy may have been carried
 * out, too: `resent` says so, also with an answer.
 *
 * Nothing secret is in an error's text: URLs are quoted without their query, headers never.
 *
 * Threads: loop thread only.
 */
#ifndef S3_HTTP_H
#define S3_HTTP_H

#include "buf.h"

#include <uv.h>

enum {
    S3_HTTP_PARALLEL = 16,
    S3_HTTP_CONNECT_MS = 10000,
    S3_HTTP_STALL_MS = 30000,
    S3_HTTP_STALL_BYTES = 1,
    S3_HTTP_HEADERS_MAX = 64,
    S3_HTTP_HEADER_BYTES_MAX = 32 << 10, /* all headers of an answer */
    S3_HTTP_ERROR_BYTES_MAX = 64 << 10,  /* of the body from status 300 on, where answer_max is less */
    S3_HTTP_QUEUE_MAX = 4096,
    S3_HTTP_URL_MAX = 64 << 10,
};

struct s3_http_opts {
    unsigned parallel_max;               /* 0: S3_HTTP_PARALLEL */
    uint64_t connect_ms, stall_ms;       /* 0: as above */
    uint64_t upload_rate, download_rate; /* bytes a second over all transfers together; 0: no limit */
    const char *ca_file;                 /* PEM; NULL: the system's */
    const char *proxy;                   /* URL; NULL: from the environment, as curl does */
    bool no_http2;
};

struct s3_http_field {
    char *name, *value; /* owned */
};

struct s3_http_req {
    /* Filled in by the submitter. */
    char *method, *url;            /* owned */
    struct s3_http_field *headers; /* owned */
    size_t header_count;
    struct span body;  /* borrowed; its size is always sent as Content-Length with PUT and POST */
    size_t answer_max; /* bytes */
    uint64_t total_ms; /* 0: no limit */
    uint64_t stall_ms; /* 0: as in the options; for what a server has to think about for long */
    bool no_proxy;     /* link-local credential endpoints */
    void (*on_done)(struct s3_http_req *req);
    void *ctx;

    /* The answer. */
    struct err err;
    bool maybe_sent; /* with a failure: the server may have received and carried out the request */
    bool resent;     /* it went out more than once: an earlier copy may have been carried out before this answer */
    int status;
    struct s3_http_field *answer_headers; /* owned */
    size_t answer_header_count;
    struct buf data;                  /* owned */
    uint64_t first_byte_us, total_us; /* how long it took, without the wait in our queue */

    /* For s3_http. */
    struct s3_http_req *next;
    void *impl;
};

struct s3_http;

MUST_USE struct rc s3_http_new(struct s3_http **out, uv_loop_t *loop, const struct s3_http_opts *opts, struct err *err);
/* What is in flight or waits completes with E_CANCELED; then on_stopped is called, and the object is gone. */
void s3_http_stop(struct s3_http *http, void (*on_stopped)(void *ctx), void *ctx);

void s3_http_req_init(struct s3_http_req *req, const char *method, const char *url);
void s3_http_req_fini(struct s3_http_req *req); /* headers are wiped: they may hold secrets */
void s3_http_header(struct s3_http_req *req, const char *name, const char *value);
void s3_http_submit(struct s3_http *http, struct s3_http_req *req);
/* Of a request that was submitted and has not completed: it completes soon, with E_CANCELED or its own answer. */
void s3_http_cancel(struct s3_http *http, struct s3_http_req *req);
/* The answer's header, or NULL. */
const char *s3_http_answer(const struct s3_http_req *req, const char *name);

#endif
