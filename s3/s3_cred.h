/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred - who we are to the store: credentials from wherever the AWS tools would find them, kept fresh.
 *
 * The order is that of the AWS tools (AWS SDKs and Tools Reference Guide, "Standardized credential providers"):
 *
 *     1. explicit (options of the replica)
 *     2. environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *     3. web identity: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME (STS AssumeRoleWithWebIdentity)
 *     4. the shared files, profile AWS_PROFILE or "default": keys, web identity, credential_process
 *     5. containers: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI / _FULL_URI, with _AUTHORIZATION_TOKEN(_FILE) (ECS, EKS)
 *     6. EC2 instance metadata, version 2 (IMDSv2), unless AWS_EC2_METADATA_DISABLED is true
 *
 * A profile that was named by an option comes before the environment, which is then not looked at.  In a profile, a
 * role (role_arn with source_profile, credential_source or web_identity_token_file) comes before keys, keys before
 * credential_process.  A source that is configured but fails is an
 * error that names it; a source that is not configured is passed over.  When none is left: E_DENIED with a text that
 * lists what was looked for.
 *
 * Temporary credentials are renewed S3_CRED_EARLY_MS before they expire, in the background, while the old ones are
 * still used; when renewal fails it is tried again with growing pauses, they are used to their end, and the failure is
 * told then.  It is their use that renews them: nothing happens while nobody asks.  Any number of waiters share one
 * fetch.  After s3_cred_reject() (the store said "expired" or "invalid") the next s3_cred_get fetches anew, at most
 * once per S3_CRED_REJECT_PAUSE_MS; files are read again then, so keys that were changed in them come into use.
 *
 * The files are read on the loop thread; they are small and local.
 *
 * Secrets are wiped when freed, never in an error's text, and their memory is left out of core files (MADV_DONTDUMP).
 *
 * Threads: loop thread only.
 */
#ifndef S3_CRED_H
#define S3_CRED_H

#include "fsys.h"
#include "s3_http.h"

enum {
    S3_CRED_TEXT_MAX = 16 << 10,
    S3_CRED_EARLY_MS = 300000, /* or half of their time, when they live shortly */
    S3_CRED_REJECT_PAUSE_MS = 1000,
    S3_CRED_FAILED_PAUSE_MS = 1000, /* a failure is told again, rather than met again, for so long */
    S3_CRED_RETRY_MAX_MS = 60000,   /* the longest pause between two renewals in the background */
    S3_CRED_PROCESS_MS = 60000,
};

struct s3_cred_opts {
    const char *access_key, *secret_key, *session_token; /* explicit; NULL: look for them */
    const char *profile;                                 /* NULL: AWS_PROFILE or "default" */
    bool anonymous;                                      /* send unsigned requests */
    const char *const *environ_pairs;                    /* "NAME=value", NULL at the end; NULL: the process's own */
    const char *imds_endpoint, *container_host, *sts_endpoint; /* for tests; NULL: the real ones (and AWS_EC2_METADATA_
                                                                  SERVICE_ENDPOINT, AWS_ENDPOINT_URL_STS) */
    const char *region;                                        /* for STS */
    uint32_t process_ms; /* how long a credential_process may take; 0: S3_CRED_PROCESS_MS */
};

/* Valid credentials.  Borrowed: to be used or copied before the caller returns to the loop, or calls s3_cred_get(). */
struct s3_cred_keys {
    const char *access_key, *secret_key, *session_token; /* token "" when there is none; all "" when anonymous */
    bool anonymous;
    const char *source; /* "environment", "profile default in ~/.aws/credentials" ...: for people */
    int64_t expires_ms; /* wall clock; 0: never */
};

struct s3_cred;
struct s3_cred_wait {
    /* keys NULL: err tells. */
    void (*on_ready)(struct s3_cred_wait *wait, const struct s3_cred_keys *keys, const struct err *err);
    void *ctx;
    struct s3_cred_wait *next;
};

struct clock;
/* `http` is borrowed and must outlive it.  The options are copied. */
MUST_USE struct rc s3_cred_new(struct s3_cred **out, uv_loop_t *loop, const struct fsys *fs, const struct clock *clock,
    struct s3_http *http, const struct s3_cred_opts *opts, struct err *err);
/* Fresh keys that are at hand, or NULL: then ask with s3_cred_get. */
const struct s3_cred_keys *s3_cred_peek(struct s3_cred *cred);
/* Answers on the loop, later, once. */
void s3_cred_get(struct s3_cred *cred, struct s3_cred_wait *wait);
/* The store did not take these keys. */
void s3_cred_reject(struct s3_cred *cred, const char *access_key);
/* AWS_REGION, AWS_DEFAULT_REGION, or the region of the profile, which comes first when an option named it; NULL when
 * nobody says. */
const char *s3_cred_region(struct s3_cred *cred);
/* Waiters get E_CANCELED. */
void s3_cred_stop(struct s3_cred *cred, void (*on_stopped)(void *ctx), void *ctx);

#endif
