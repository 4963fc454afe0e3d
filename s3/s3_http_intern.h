/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_http_intern - what the parts of s3_http share: s3_http.c has the queue, the loop and the end; s3_http_job.c is one
 * transfer; s3_http_fail.c says what went wrong.
 */
#ifndef S3_HTTP_INTERN_H
#define S3_HTTP_INTERN_H

#include "s3_http.h"
#include "s3_http_rate.h"

#include <curl/curl.h>
#include <sys/queue.h>

/* A descriptor that libcurl wants to hear about. */
struct s3_http_watch {
    uv_poll_t poll;
    struct s3_http *http;
    curl_socket_t fd;
    int events; /* of libuv */
    LIST_ENTRY(s3_http_watch) next;
};

/* A request on the wire. */
struct s3_http_job {
    struct s3_http *http;
    struct s3_http_req *req;
    LIST_ENTRY(s3_http_job) next;
    CURL *easy;                 /* owned */
    struct curl_slist *headers; /* owned */
    CURLcode setup;             /* the first option that libcurl did not take */

    size_t body_at;
    size_t header_bytes;
    bool in_body;
    unsigned sends; /* how often the request went out, or was about to */
    struct s3_http_turn up, down;

    struct rc refused;  /* why we ended it ourselves; the text is in req->err */
    bool doomed;        /* to be ended when the loop runs next */
    CURLcode doom_code; /* when `refused` does not tell */
    char text[CURL_ERROR_SIZE];
};

struct s3_http_list {
    struct s3_http_req *first, **last;
    size_t count;
};

struct s3_http {
    /* Set at the begin. */
    uv_loop_t *loop;
    CURLM *multi; /* owned */
    unsigned parallel_max;
    uint64_t connect_ms, stall_ms;
    char *ca_file, *proxy; /* owned */
    bool no_http2;

    struct s3_http_list queue;     /* wait for a place */
    struct s3_http_list ended;     /* their errors are set; wait to be told */
    LIST_HEAD(, s3_http_job) jobs; /* on the wire */
    unsigned job_count;
    LIST_HEAD(, s3_http_watch) watches;
    struct s3_http_rate up, down;
    uv_timer_t timer;      /* libcurl's */
    uv_timer_t soon;       /* whatever is to be done from the loop, not from inside a call */
    unsigned open_handles; /* timers and watches */
    bool stopping, closing;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

/* s3_http.c: have on_soon() run. */
void s3_http_soon(struct s3_http *http);

/* Makes the job and hands it to libcurl. */
MUST_USE struct rc s3_http_job_new(struct s3_http *http, struct s3_http_req *req, struct err *err);
/* Puts the outcome into the request and frees the job.  `code` is what libcurl said. */
void s3_http_job_end(struct s3_http_job *job, CURLcode code);
/* It will end when the loop runs next. */
void s3_http_job_doom(struct s3_http_job *job, CURLcode code);

/* The only place where libcurl's codes become ours. */
enum err_code s3_http_fail_code(CURLcode code, bool sent);
/* The whole error of a job that libcurl ended with `code`. */
MUST_USE struct rc s3_http_fail_raise(const struct s3_http_job *job, CURLcode code, struct err *err);
/* Says before an error which request it is about. */
MUST_USE struct rc s3_http_fail_wrap(const struct s3_http_req *req, struct err *err);
/* An URL for messages: without query and credentials. */
void s3_http_fail_url(const char *url, struct buf *out);

#endif
