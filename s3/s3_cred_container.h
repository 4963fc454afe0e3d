/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_container - credentials that the container's platform gives: ECS task roles, EKS pod identity, and what
 * imitates them (AWS SDKs and Tools Reference Guide, "Container credential provider").
 *
 *     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI   a path at http://169.254.170.2
 *     AWS_CONTAINER_CREDENTIALS_FULL_URI       https, or http at the container's own machine or a link-local address
 *     AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE   a file that is read anew each time, before
 *     AWS_CONTAINER_AUTHORIZATION_TOKEN        the token itself
 *
 * Other http hosts are refused (E_CONFIG): the token and the keys would cross a network in the clear.
 */
#ifndef S3_CRED_CONTAINER_H
#define S3_CRED_CONTAINER_H

#include "s3_cred_env.h"

enum { S3_CRED_CONTAINER_MS = 10000, S3_CRED_CONTAINER_URI_MAX = 2048 };

bool s3_cred_container_configured(const struct s3_cred_env *env);
MUST_USE struct rc s3_cred_container_start(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err);
/* May a token be sent there? */
MUST_USE struct rc s3_cred_container_check(const char *url, struct err *err);

#endif
