/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_error - what an answer of an S3 store means: one table from HTTP status and S3 error code to a code of ours and to
 * what can be done about it.
 *
 * The S3 code decides where it is known, then the status.  An answer to HEAD has no body, and gateways answer with HTML
 * or nothing, so every status has a meaning of its own.
 *
 * Messages hold the HTTP status, the S3 code, the store's words and its request id, which its support asks for; never a
 * credential.  Those of E_DENIED and E_CONFIG say what to look at; a refusal names the right that the request needs.
 *
 * Pure functions.
 */
#ifndef S3_ERROR_H
#define S3_ERROR_H

#include "s3_right.h"
#include "s3_xml.h"

/* What to do before the request is sent once more, at once. */
enum s3_action {
    S3_ACTION_FAIL,    /* nothing: the code tells whether a later try may help */
    S3_ACTION_REFRESH, /* the credentials are not valid (any more): look for new ones */
    S3_ACTION_CLOCK,   /* our clock is wrong: go by the store's */
    S3_ACTION_REGION,  /* the bucket is in another region: `region` */
};

/* What was answered.  Borrowed. */
struct s3_error_answer {
    int status;
    struct span body;
    const char *request_id;       /* header x-amz-request-id, or NULL */
    const char *region;           /* header x-amz-bucket-region, or NULL */
    const char *retry_after;      /* header, or NULL */
    int64_t skew_ms;              /* the store's clock (header Date) minus the one that we signed with; 0: unknown */
    const char *bucket, *host;    /* for messages */
    const struct s3_right *right; /* what the request needs, for messages; or NULL */
};

struct s3_error {
    enum err_code code;
    enum s3_action action;
    char region[S3_XML_CODE_SIZE];
    char s3_code[S3_XML_CODE_SIZE];
    bool unknown;            /* E_DENIED: it is about who we are, not about what we may do */
    uint32_t retry_after_ms; /* 0: the store does not say */
};

enum {
    S3_ERROR_SKEW_MS = 240000, /* a refusal is blamed on the clock from here; stores allow 5 to 15 minutes */
    S3_ERROR_RETRY_AFTER_MAX_MS = 300000,
};

/* For an answer that is no success: the message is raised in `err`. */
MUST_USE struct rc s3_error_judge(const struct s3_error_answer *answer, struct s3_error *out, struct err *err);
/* The code of ours for an S3 code alone, as in the result of a deletion of many. */
enum err_code s3_error_code(const char *s3_code);
/* The milliseconds of "Tue, 21 Nov 2026 02:01:21 GMT"; false when it is none. */
bool s3_error_parse_date(const char *text, int64_t *ms);

#endif
