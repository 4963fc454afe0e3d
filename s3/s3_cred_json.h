/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_json - credentials as JSON: the answers of container endpoints (ECS, EKS) and of EC2 instance metadata, and
 * the output of a credential_process.
 *
 *     {"AccessKeyId": "...", "SecretAccessKey": "...", "Token": "...", "Expiration": "2026-11-21T02:01:21Z"}
 *     {"Version": 1, "AccessKeyId": "...", "SecretAccessKey": "...", "SessionToken": "...", "Expiration": "..."}
 *
 * Members with other names are passed over, members that are named twice are refused.  Token and Expiration may be
 * missing or null, except in instance metadata, which always has both and "Code": "Success".
 *
 * Errors: E_CORRUPT that names the member and never quotes the text; E_DENIED when the answer says itself that
 * there are no credentials ("Code", "Message").
 */
#ifndef S3_CRED_JSON_H
#define S3_CRED_JSON_H

#include "s3_cred_box.h"
#include "s3_cred_quote.h"

enum { S3_CRED_JSON_MAX = 64 << 10 };

enum s3_cred_json_kind { S3_CRED_JSON_CONTAINER, S3_CRED_JSON_IMDS, S3_CRED_JSON_PROCESS };

/* Fills in keys, token and expiry. */
MUST_USE struct rc s3_cred_json_decode(
    struct span text, enum s3_cred_json_kind kind, struct s3_cred_box *box, struct err *err);
/* What an answer that is no success says, "code: message", or what it looks like; in a form that may be shown. */
const char *s3_cred_json_reason(struct span text, char out[S3_CRED_QUOTE_SIZE]);

#endif
