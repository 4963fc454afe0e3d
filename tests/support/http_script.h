/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_script - an HTTP/1.1 server that does what a test tells it to, on the test's own loop and a loopback port that
 * the system picks.
 *
 *     s = http_script_start(&loop)
 *     http_script_add(s, &(struct http_answer){.status = 200, .headers = "ETag: \"x\"\r\n", .body = "hello"});
 *     http_script_add(s, &(struct http_answer){.how = HTTP_RESET});
 *     ... the client asks http://127.0.0.1:<http_script_port(s)>/ ..., uv_run(&loop, UV_RUN_DEFAULT)
 *     http_script_count(s), http_script_seen(s, 0)->method ...
 *     http_script_stop(s); uv_run(&loop, UV_RUN_DEFAULT)
 *
 * Answers are taken from the list in the order in which requests are complete; or a callback decides each from what
 * was asked.  With an empty list and no callback the answer is a 500 that says so.  Every request is recorded, also one
 * whose answer is a broken one.
 *
 * Starting it makes the process ignore SIGPIPE, as weir does.  Its handles do not keep the loop alive: uv_run returns
 * when the client has nothing left to do.
 */
#ifndef HTTP_SCRIPT_H
#define HTTP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { HTTP_SCRIPT_FIELDS_MAX = 64, HTTP_SCRIPT_SEEN_MAX = 4096 };

/* What becomes of an answer.  Where nothing else is said the connection is kept. */
enum http_how {
    HTTP_WHOLE,       /* in one piece, with Content-Length unless `headers` has one (or chunked) */
    HTTP_CHUNKED,     /* the body in chunks of 7 bytes */
    HTTP_BYTES,       /* in single bytes; with `drip_ms` the headers at once, then a byte each so often */
    HTTP_THEN_CLOSE,  /* whole, then the connection is closed without a warning in the headers */
    HTTP_RAW,         /* `body` is all that is sent, as it is; then the connection is closed */
    HTTP_CLOSE,       /* read the request, close without an answer */
    HTTP_RESET,       /* the same with a reset */
    HTTP_HALF_CLOSE,  /* headers with the right length and half of the body, then close */
    HTTP_HALF_RESET,  /* the same with a reset */
    HTTP_HALF_HANG,   /* the same, then nothing */
    HTTP_HANG,        /* no answer at all */
    HTTP_EARLY,       /* answer whole before the request's body was read, then read no more of it and close */
    HTTP_EARLY_HANG,  /* read the headers, then neither read nor answer */
    HTTP_EARLY_CLOSE, /* close when the headers are in, without reading the body */
};

/* Strings are copied. */
struct http_answer {
    enum http_how how;
    int status;          /* 0: 200 */
    const char *headers; /* whole lines, each with "\r\n" at the end; NULL: none */
    const void *body;    /* NULL: empty */
    size_t body_size;    /* 0: body is a string */
    unsigned delay_ms;   /* before the answer begins */
    unsigned drip_ms;    /* for HTTP_BYTES */
};

struct http_seen {
    char *method, *target; /* "/path?query" as it was sent */
    struct {
        char *name, *value;
    } fields[HTTP_SCRIPT_FIELDS_MAX];
    size_t field_count;
    uint8_t *body; /* with a 0 behind it */
    size_t body_size;
    unsigned connection; /* 1, 2, 3 ... */
};

struct http_script;
struct ssl_ctx_st;

struct http_script *http_script_start(uv_loop_t *loop);
/* The same behind TLS; the context (an SSL_CTX with certificate and key) is borrowed. */
struct http_script *http_script_start_tls(uv_loop_t *loop, struct ssl_ctx_st *tls);
int http_script_port(const struct http_script *s);
void http_script_add(struct http_script *s, const struct http_answer *answer);
/* `answer` comes zeroed; what it points to must stay valid until the callback returns to the loop.  Instead of the
 * list; NULL: the list again. */
void http_script_on_request(struct http_script *s,
    void (*decide)(void *ctx, const struct http_seen *seen, struct http_answer *answer), void *ctx);

size_t http_script_count(const struct http_script *s);       /* requests so far */
size_t http_script_connections(const struct http_script *s); /* accepted so far */
size_t http_script_open(const struct http_script *s);        /* connections open now */
/* Valid until http_script_stop(). */
const struct http_seen *http_script_seen(const struct http_script *s, size_t index);
/* The request's header, names compared without case; NULL: there is none. */
const char *http_script_field(const struct http_seen *seen, const char *name);
/* Close all connections that wait for a request, as servers do with idle ones. */
void http_script_drop_idle(struct http_script *s);
/* Stop accepting: connections are refused from now on. */
void http_script_deafen(struct http_script *s);
/* Close everything; the memory is freed when the loop has run. */
void http_script_stop(struct http_script *s);

#endif
