/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_config - where a replica on S3 is and how it wants to be spoken to: from the URL, the options of the replica and
 * the environment, completed by what is known about the kind of store (s3_quirk).
 *
 *     s3://bucket/prefix?endpoint=https://host:port&region=...&...
 *
 * The same options may stand in the URL's query or be given apart (configuration file); apart wins.  Names, with
 * hyphens: endpoint, region, addressing (auto, path, virtual), access-key, secret-key, session-token, profile,
 * anonymous, storage-class, sse (AES256, aws:kms, customer), sse-kms-key, sse-customer-key (base64 of 32 bytes, or
 * file:/path), ca-file, proxy, part-size, parallel, upload-rate, download-rate, http2, provider, if-match (quoted,
 * unquoted), conditional (auto, none), stall-timeout, connect-timeout.  secret-key, session-token and sse-customer-key
 * (unless it is a file:) are refused in a URL: it is seen in process lists and logs.  docs/s3.md has them as a table.
 *
 * Environment: AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL (endpoint), AWS_REGION and AWS_DEFAULT_REGION, AWS_CA_BUNDLE.
 *
 * Errors: E_CONFIG that names the option and what is allowed.
 */
#ifndef S3_CONFIG_H
#define S3_CONFIG_H

#include "s3_quirk.h"
#include "store.h"

enum s3_sse { S3_SSE_NONE, S3_SSE_S3, S3_SSE_KMS, S3_SSE_CUSTOMER };
enum s3_conditional { S3_CONDITIONAL_AUTO, S3_CONDITIONAL_NONE };

enum {
    S3_CONFIG_PREFIX_MAX = 500,         /* with a store's longest key it stays below S3's 1,024 bytes */
    S3_CONFIG_PARALLEL_MAX = 256,       /* connections */
    S3_CONFIG_PART_SIZE = 5 << 20,      /* by default the least that S3 takes: it is memory (store_s3_upload.c) */
    S3_CONFIG_PART_SIZE_MAX = 512 << 20 /* parts are held in memory */
};

struct s3_config {
    char *bucket, *prefix; /* prefix "" or without '/' at either end */
    char *scheme, *host;   /* "https", "s3.eu-central-1.amazonaws.com" or "localhost:7480": with the port */
    char *region;          /* NULL: unknown yet (profile, or told by the server) */
    bool host_derived;     /* no endpoint was given: the host follows from provider and region */
    bool insecure; /* http to another machine: what is sent can be read and changed on the way; for the status */
    enum s3_addressing addressing; /* PATH or VIRTUAL */
    char *access_key, *secret_key, *session_token, *profile;
    bool anonymous;
    char *storage_class, *sse_kms_key, *sse_customer_key; /* base64 */
    enum s3_sse sse;
    char *ca_file, *proxy;
    size_t part_size; /* bytes */
    unsigned parallel;
    uint64_t upload_rate, download_rate; /* bytes a second; 0: no limit */
    uint64_t stall_ms, connect_ms;
    bool no_http2;
    enum s3_conditional conditional;
    bool etag_unquoted;
    const struct s3_quirk *quirk;
    char *url; /* "s3://bucket/prefix", for messages */
};

/* `environ_pairs` as in s3_cred_opts.  `fs` reads the file of sse-customer-key. */
struct fsys;
MUST_USE struct rc s3_config_parse(struct s3_config **out, const struct fsys *fs, const char *url,
    const struct store_option *options, size_t option_count, const char *const *environ_pairs, struct err *err);
void s3_config_free(struct s3_config *c);   /* wipes secrets */
void s3_config_freep(struct s3_config **c); /* for CLEANUP */
/* From a profile, or told by the server.  A host that was derived from the region follows. */
MUST_USE struct rc s3_config_set_region(struct s3_config *c, const char *region, struct err *err);
/* "/bucket/prefix/key" or "/prefix/key", encoded, is appended; with the key "" that of the bucket itself, "/bucket" or
 * "/".  s3_config_host appends the host to send it to. */
MUST_USE struct rc s3_config_path(const struct s3_config *c, const char *key, struct buf *out, struct err *err);
MUST_USE struct rc s3_config_host(const struct s3_config *c, struct buf *out, struct err *err);

#endif
