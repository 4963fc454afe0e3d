/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_imds - credentials of the role of an EC2 instance, from its metadata service, version 2 (AWS documentation,
 * "Use the Instance Metadata Service to access instance metadata"): a token by PUT, the role's name, its keys.
 *
 * Machines that are no EC2 instance have nobody at that address, so the first request is given up after
 * S3_CRED_IMDS_TOKEN_MS.  A container on an EC2 instance whose hop limit is 1 looks the same: the answer to the PUT
 * is dropped on its way; the message says so.
 */
#ifndef S3_CRED_IMDS_H
#define S3_CRED_IMDS_H

#include "s3_cred_env.h"

enum { S3_CRED_IMDS_TOKEN_MS = 2000, S3_CRED_IMDS_ANSWER_MS = 5000, S3_CRED_IMDS_TTL_S = 300 };

/* `searched`: what was looked for before, for the message when the service is not there either; NULL when somebody
 * named this source. */
MUST_USE struct rc s3_cred_imds_start(
    const struct s3_cred_env *env, const char *searched, struct s3_cred_start *start, struct err *err);

#endif
