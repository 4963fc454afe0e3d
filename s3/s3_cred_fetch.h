/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_fetch - a source of credentials that is asked by one or more HTTP requests.
 *
 *     struct imds { struct s3_cred_fetch fetch; ... }          the first member, so that freeing it frees all
 *     s3_cred_fetch_init(&imds->fetch, env, start, on_answer, on_free)
 *     s3_cred_fetch_request(&imds->fetch, "PUT", url, total_ms);  s3_http_header(&imds->fetch.req, ...)
 *     s3_cred_fetch_go(&imds->fetch, start)
 *
 * on_answer looks at fetch->req: it makes the box, or prepares the next request with s3_cred_fetch_request(), or fails.
 * Canceled, the object frees itself when s3_http has let go of the request.
 */
#ifndef S3_CRED_FETCH_H
#define S3_CRED_FETCH_H

#include "s3_cred_env.h"

struct s3_cred_fetch {
    struct s3_cred_op op;
    const struct s3_cred_env *env; /* borrowed; not to be used when canceled */
    struct s3_http_req req;
    bool canceled, again;
    struct rc (*on_answer)(struct s3_cred_fetch *f, struct s3_cred_box **box, struct err *err);
    void (*on_free)(struct s3_cred_fetch *f); /* what the outer struct owns */
};

void s3_cred_fetch_init(struct s3_cred_fetch *f, const struct s3_cred_env *env,
    struct rc (*on_answer)(struct s3_cred_fetch *f, struct s3_cred_box **box, struct err *err),
    void (*on_free)(struct s3_cred_fetch *f));
/* The next request; what was there of the last one is wiped. */
void s3_cred_fetch_request(struct s3_cred_fetch *f, const char *method, const char *url, uint64_t total_ms);
/* Send it; start->op is set.  From here on the object frees itself. */
void s3_cred_fetch_go(struct s3_cred_fetch *f, struct s3_cred_start *start);
/* Free one that was not sent. */
void s3_cred_fetch_drop(struct s3_cred_fetch *f);
/* E_OK for the status 200; else the error that the status means, with the reason that the answer gives. */
MUST_USE struct rc s3_cred_fetch_status(struct s3_cred_fetch *f, struct err *err);
/* The error code of a status. */
enum err_code s3_cred_fetch_code(int status);

#endif
