/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_role - the credentials that a profile stands for: its keys, a web identity, the output of its
 * credential_process, or a role that is assumed with the credentials of its source_profile (which may itself be a role)
 * or credential_source (Environment, EcsContainer, Ec2InstanceMetadata).
 *
 * E_UNSUPPORTED: SSO sessions and MFA, which need a person; the message names the way around.  E_CONFIG: a profile
 * that contradicts itself, a source that is not there or leads back to itself.
 */
#ifndef S3_CRED_ROLE_H
#define S3_CRED_ROLE_H

#include "s3_cred_files.h"

enum { S3_CRED_ROLE_DEPTH_MAX = 5 };

/* `*has` false: the profile says nothing about credentials, and nothing was started. */
MUST_USE struct rc s3_cred_role_start(const struct s3_cred_env *env, const struct s3_cred_files *files,
    const struct s3_cred_profile *profile, struct s3_cred_start *start, bool *has, struct err *err);

#endif
