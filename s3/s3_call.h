/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_call - one request to an S3 store, as it is before it is signed: method, key, parameters, headers, body.
 *
 *     s3_call_init(&call, STORE_GET, "GET", key)
 *     s3_call_header(&call, "range", "bytes=0-99")
 *     call.answer_max = ...; call.on_done = ...
 *     s3_client_send(client, &call)          on_done runs later, on the loop thread, exactly once
 *     s3_call_fini(&call)
 *
 * The call belongs to the submitter; what it points to must live until it has completed.
 */
#ifndef S3_CALL_H
#define S3_CALL_H

#include "s3_error.h"
#include "s3_http.h"
#include "s3_sign.h"

#include <sys/queue.h>

enum {
    S3_CALL_PARAMS_MAX = 8,
    S3_CALL_HEADERS_MAX = 16,
    S3_CALL_ANSWER_MAX = 1 << 20, /* of XML that is no listing */
};

struct s3_call_field {
    const char *name; /* borrowed: a constant */
    char *value;      /* owned */
};

/* Something to be done when the loop runs next, so that nobody hears from inside a call. */
struct s3_later {
    void (*run)(struct s3_later *later);
    void *ctx;
    struct s3_later *next;
};

struct s3_client;
struct s3_client_wait;

struct s3_call {
    /* Filled in by the submitter. */
    int kind;           /* what it is counted as: a verb, or STORE_KIND_COPY */
    const char *method; /* borrowed: a constant */
    char *key;          /* owned; NULL: the bucket itself */
    struct s3_call_field params[S3_CALL_PARAMS_MAX], headers[S3_CALL_HEADERS_MAX];
    size_t param_count, header_count;
    struct span body;     /* borrowed */
    bool with_md5;        /* send Content-MD5 */
    bool error_in_answer; /* a success may hold an <Error>, as long requests do */
    size_t answer_max;
    void (*on_done)(struct s3_call *call);
    void *ctx;

    /* The answer. */
    struct err err; /* code E_OK: a success, whose status, headers and data are in `http` */
    char s3_code[S3_XML_CODE_SIZE];
    bool unknown; /* see s3_error.h */
    uint32_t retry_after_ms;
    struct s3_http_req http;

    /* For s3_client. */
    LIST_ENTRY(s3_call) next;
    struct s3_client *client;
    struct s3_client_wait *wait; /* for credentials */
    struct s3_later later;
    char *access_key;           /* owned: what it was signed with */
    char md5[S3_SIGN_MD5_SIZE]; /* that was sent; "": none */
    char signed_region[S3_XML_CODE_SIZE];
    int64_t signed_ms;
    uint8_t region_count, clock_count, refresh_count; /* corrections made */
    bool sent;                                        /* `http` is in use */
    bool on_wire;                                     /* `http` was submitted and has not come back */
    bool canceled;
    bool asked_why, asking; /* HEAD: a GET is to tell, or tells, what its answer does not */
    struct err head_err;    /* its answer */
};

void s3_call_init(struct s3_call *call, int kind, const char *method, const char *key);
/* Fine on a zeroed struct. */
void s3_call_fini(struct s3_call *call);
void s3_call_param(struct s3_call *call, const char *name, const char *value);
PRINTF(3, 4) void s3_call_header(struct s3_call *call, const char *name, const char *fmt, ...);
/* The outcome: RC_OK, or its error copied to `err`. */
MUST_USE struct rc s3_call_result(const struct s3_call *call, struct err *err);

#endif
