/* SPDX-License-Identifier: Apache-2.0 */
/* s3_cred_env - what every source of credentials gets: the loop, the files, the clock, HTTP, the options, and the
 * environment variables.  For s3_cred and its parts. */
#ifndef S3_CRED_ENV_H
#define S3_CRED_ENV_H

#include "clock.h"
#include "s3_cred.h"
#include "s3_cred_box.h"

struct s3_cred_env {
    uv_loop_t *loop;
    const struct fsys *fs;
    const struct clock *clock;
    struct s3_http *http;
    struct s3_cred_opts opts; /* owned texts; see s3_cred_env_init() */
    bool had_some;            /* there were credentials before: what does not answer now is a failure, no absence */
};

/* One try of one source that takes a while.  It calls on_done once, later, on the loop, and is gone then. */
struct s3_cred_op {
    /* The box is given to the callee; NULL: err tells. */
    void (*on_done)(void *ctx, struct s3_cred_box *box, const struct err *err);
    void *ctx;
    void (*cancel)(struct s3_cred_op *op);
};

/*
 * What starting a source gives: the credentials at once (box), or an operation that is under way (op); one of them when
 * the start succeeded.
 */
struct s3_cred_start {
    void (*on_done)(void *ctx, struct s3_cred_box *box, const struct err *err);
    void *ctx;
    struct s3_cred_box *box;
    struct s3_cred_op *op;
};

void s3_cred_env_init(struct s3_cred_env *env, const struct s3_cred_opts *opts);
void s3_cred_env_fini(struct s3_cred_env *env);
/* The variable; NULL when it is not set or empty, as the AWS tools see it. */
const char *s3_cred_env_get(const struct s3_cred_env *env, const char *name);
/* For STS: the replica's region, AWS_REGION, AWS_DEFAULT_REGION; NULL when nobody says. */
const char *s3_cred_env_region(const struct s3_cred_env *env);
/* The path, owned by the caller, with a leading "~/" replaced by the home directory; NULL when there is none. */
char *s3_cred_env_path(const struct s3_cred_env *env, const char *path);
/* on_done will not be called any more; the operation does not use `env` any more and frees itself. */
void s3_cred_env_cancel(struct s3_cred_op *op);

#endif
