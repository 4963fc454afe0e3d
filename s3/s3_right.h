/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_right - which right a request needs, by the name that policies have for it.
 *
 * A refusal does not say what was missing: the store only says that access is denied.  This is the one table of it, for
 * the messages of refused requests and for what `weir check` proposes.
 *
 * Pure.
 */
#ifndef S3_RIGHT_H
#define S3_RIGHT_H

#include <stdbool.h>

struct s3_right {
    const char *action; /* "s3:PutObject" */
    const char *kms;    /* what the key's policy must allow as well where objects are encrypted with one; or NULL */
    bool on_bucket;     /* the resource is the bucket, not its objects */
    bool with_prefix;   /* a condition on s3:prefix is possible */
};

/* For a verb or kind of store.h; never NULL. */
const struct s3_right *s3_right_of(int kind);

#endif
