/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_sts - temporary credentials of a role, from the AWS Security Token Service (API version 2011-06-15).
 *
 *     AssumeRoleWithWebIdentity   unsigned; a token from a file (EKS service accounts, GitHub Actions) proves who we
 * are AssumeRole                  signed with the keys that we have
 *
 * The endpoint: s3_cred_opts.sts_endpoint, AWS_ENDPOINT_URL_STS, https://sts.REGION.amazonaws.com, or, when the region
 * is not known or not one of AWS, https://sts.amazonaws.com.
 */
#ifndef S3_CRED_STS_H
#define S3_CRED_STS_H

#include "s3_cred_env.h"

enum {
    S3_CRED_STS_MS = 30000,
    S3_CRED_STS_DURATION_MIN_S = 900,
    S3_CRED_STS_DURATION_MAX_S = 43200,
};

/* All borrowed for the call. */
struct s3_cred_sts_role {
    const char *arn, *session; /* session NULL: "weir-PID" */
    const char *external_id;   /* NULL: none */
    const char *region;        /* NULL: not known */
    unsigned duration_s;       /* 0: as the role says */
    const char *asked_by;      /* for people: "environment", "profile a" */
};

/* The file is read anew each time: its owner replaces it. */
MUST_USE struct rc s3_cred_sts_web(const struct s3_cred_env *env, const struct s3_cred_sts_role *role,
    const char *token_file, struct s3_cred_start *start, struct err *err);
MUST_USE struct rc s3_cred_sts_assume(const struct s3_cred_env *env, const struct s3_cred_sts_role *role,
    const struct s3_cred_box *with, struct s3_cred_start *start, struct err *err);

#endif
