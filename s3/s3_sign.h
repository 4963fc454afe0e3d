/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_sign - AWS Signature Version 4: an Authorization header over method, path, query, headers and payload hash, or the
 * query of a presigned URL.  (AWS documentation, "Signature Version 4 signing process" and "Authenticating requests:
 * using query parameters".)  Pure functions over OpenSSL's HMAC-SHA-256.
 *
 * The path is given percent-encoded as it is sent (s3_uri_encode) and is not encoded a second time, as S3 wants it.
 * Query parameters are given decoded; s3_sign sorts and encodes them, and s3_sign_query gives the very text that must
 * be sent.  Headers to sign: all that are given; `host` must be among them.
 *
 * Limits: S3_SIGN_ITEMS_MAX headers and as many parameters, S3_SIGN_TEXT_MAX bytes of request without its body.
 *
 * Errors: E_CONFIG when a key or a header's value holds what cannot be sent (a line break, for example), E_BUG when the
 * caller's method, path or hash is none, E_NOSPACE beyond a limit.
 *
 * Threads: one at a time, because derived keys are kept; in weir that is the loop thread.
 */
#ifndef S3_SIGN_H
#define S3_SIGN_H

#include "buf.h"

struct s3_sign_param {
    const char *name, *value; /* value "" for a flag like ?uploads */
};

enum {
    S3_SIGN_HEX_SIZE = 65,
    S3_SIGN_MD5_SIZE = 32,
    S3_SIGN_DATE_SIZE = 17,
    S3_SIGN_ITEMS_MAX = 64,
    S3_SIGN_TEXT_MAX = 64 << 10,
    S3_SIGN_SECONDS_MAX = 604800, /* seven days, the most that S3 takes */
};
#define S3_SIGN_UNSIGNED "UNSIGNED-PAYLOAD"

struct s3_sign_key {
    const char *access_key, *secret_key;
    const char *session_token; /* NULL or "": none */
    const char *region, *service;
};

struct s3_sign_input {
    const char *method;
    const char *path; /* encoded, begins with '/' */
    const struct s3_sign_param *query;
    size_t query_count;
    const struct s3_sign_param *headers; /* any order, names in any case */
    size_t header_count;
    const char *payload_hash; /* hex SHA-256 of the body, or S3_SIGN_UNSIGNED; presigned: S3_SIGN_UNSIGNED */
    int64_t time_ms;
};

/* SHA-256 in lower-case hex. */
void s3_sign_sha256(struct span data, char out[S3_SIGN_HEX_SIZE]);
/* Base64 of the MD5, for Content-MD5.  "" where OpenSSL refuses MD5 (FIPS): then the header cannot be sent. */
void s3_sign_md5(struct span data, char out[S3_SIGN_MD5_SIZE]);
/* "20130524T000000Z" */
void s3_sign_date(int64_t time_ms, char out[S3_SIGN_DATE_SIZE]);
/* The value of the Authorization header.  The caller sends x-amz-date, x-amz-content-sha256 and x-amz-security-token
 * itself and has them among the headers given. */
MUST_USE struct rc s3_sign_header(
    const struct s3_sign_key *key, const struct s3_sign_input *in, struct buf *out, struct err *err);
/* The sorted, encoded query without '?'. */
MUST_USE struct rc s3_sign_query(const struct s3_sign_param *query, size_t count, struct buf *out, struct err *err);
/* The query of a presigned URL, X-Amz-Signature included, without '?'; valid for `seconds` (1 to 604,800). */
MUST_USE struct rc s3_sign_presign(
    const struct s3_sign_key *key, const struct s3_sign_input *in, uint32_t seconds, struct buf *out, struct err *err);
/* Wipes derived keys that are kept between calls (one per day, region and key). */
void s3_sign_forget(void);

#endif
