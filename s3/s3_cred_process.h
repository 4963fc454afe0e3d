/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_process - credentials that a program prints (credential_process in the AWS configuration, version 1).
 *
 * The program is run without a shell, in a session of its own, with /dev/null as its input and none of our
 * descriptors.  It has process_ms to end, and may print S3_CRED_JSON_MAX bytes; beyond either it and its children are
 * killed.  What it leaves behind in the background when it ends is left alone.  What it says on its error output is
 * quoted, masked, when it fails.
 */
#ifndef S3_CRED_PROCESS_H
#define S3_CRED_PROCESS_H

#include "s3_cred_env.h"

/* `asked_by`: "profile a in /x", for people. */
MUST_USE struct rc s3_cred_process_start(const struct s3_cred_env *env, const char *command, const char *asked_by,
    struct s3_cred_start *start, struct err *err);

#endif
