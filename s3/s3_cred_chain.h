/* SPDX-License-Identifier: Apache-2.0 */
/* s3_cred_chain - one search for credentials through all sources, in the order that s3_cred.h gives. */
#ifndef S3_CRED_CHAIN_H
#define S3_CRED_CHAIN_H

#include "s3_cred_env.h"

MUST_USE struct rc s3_cred_chain_start(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err);
/* Keys from AWS_ACCESS_KEY_ID and so on; `*out` NULL: not set. */
MUST_USE struct rc s3_cred_chain_environment(const struct s3_cred_env *env, struct s3_cred_box **out, struct err *err);

#endif
