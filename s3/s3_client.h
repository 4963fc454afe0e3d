/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_client - signed requests to one bucket: credentials, signature, HTTP, and what the answer means.
 *
 * A request is signed with the present credentials and the store's idea of the time, and sent.  Where the answer tells
 * what was wrong with it (another region, a clock that is off, credentials that have expired), that is corrected for
 * all requests and the request is sent again at once, a few times at most.  Whatever else fails is the caller's to
 * repeat (store_retry).
 *
 * The answer to a HEAD has no body: when it is refused without a reason, a GET of the first byte brings the reason.
 *
 * Each HTTP request is counted at the store that the client works for.
 *
 * Errors: those of s3_error, s3_http and s3_cred; E_CANCELED when the client is stopping.
 *
 * Threads: loop thread only.
 */
#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include "clock.h"
#include "s3_call.h"
#include "s3_config.h"
#include "s3_cred.h"

enum {
    S3_CLIENT_REGIONS_MAX = 2,
    S3_CLIENT_CLOCKS_MAX = 1,
    S3_CLIENT_REFRESHES_MAX = 1
}; /* corrections of a request */

struct s3_client_opts {
    struct s3_http *http; /* borrowed, as all of these */
    struct s3_cred *cred;
    struct s3_config *config; /* its region is corrected */
    const struct clock *clock;
    struct store *counted;
};

struct s3_client *s3_client_new(uv_loop_t *loop, const struct s3_client_opts *opts);
void s3_client_send(struct s3_client *c, struct s3_call *call);
/* Run something later; it runs also when the client is stopping. */
void s3_client_later(struct s3_client *c, struct s3_later *later);
/* What is in flight, and what will be sent, completes with E_CANCELED or, if it came already, its own answer. */
void s3_client_cancel(struct s3_client *c);
/* The same; then on_stopped is called, and the client is gone. */
void s3_client_stop(struct s3_client *c, void (*on_stopped)(void *ctx), void *ctx);

#endif
