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
 * are refused in a URL: it is seen in process lists and logs.
 *
 * Environment: AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL (endpoint), AWS_REGION and AWS_DEFAULT_REGION, AWS_CA_BUNDLE.
 *
 * Errors: E_CONFIG that names the option and what is allowed.
 */
#ifndef S3_CONFIG_H
#define S3_CONFIG_H

#include "store.h"

enum s3_addressing { S3_ADDRESS_AUTO, S3_ADDRESS_PATH, S3_ADDRESS_VIRTUAL };
enum s3_sse { S3_SSE_NONE, S3_SSE_S3, S3_SSE_KMS, S3_SSE_CUSTOMER };
enum s3_conditional { S3_CONDITIONAL_AUTO, S3_CONDITIONAL_NONE };

/* One row per kind of store: what differs.  A table in s3_quirk.c; the last row is for stores nobody knows. */
struct s3_quirk {
    const char *provider;      /* "aws", "r2", "b2", "minio", "digitalocean", "hetzner", "scaleway", "wasabi", "tigris",
                                  "ceph", "gcs", "other" */
    const char *host_suffix;   /* detection by endpoint host; NULL: only by the Server header or by name */
    const char *server_header; /* prefix of the answer's Server header; NULL: none */
    const char *default_region; /* when nobody names one */
    enum s3_addressing addressing;
    bool etag_unquoted;    /* PUT with If-Match wants the ETag without its quotes */
    bool no_batch_delete;  /* no DeleteObjects */
    bool no_if_none_match; /* known not to honour If-None-Match on PUT */
    bool no_copy;
    size_t part_size_min; /* bytes */
    bool parts_equal;     /* all parts but the last must have the same size */
    const char *note;     /* for people: source of the fact */
};

struct s3_config {
    char *bucket, *prefix;         /* prefix "" or without '/' at either end */
    char *scheme, *host;           /* "https", "s3.eu-central-1.amazonaws.com" or "localhost:7480": with the port */
    char *region;                  /* NULL: unknown yet (profile, or told by the server) */
    enum s3_addressing addressing; /* PATH or VIRTUAL when resolved */
    char *access_key, *secret_key, *session_token, *profile;
    bool anonymous;
    char *storage_class, *sse_kms_key, *sse_customer_key; /* base64 */
    enum s3_sse sse;
    char *ca_file, *proxy;
    size_t part_size; /* bytes */
    unsigned parallel;
    uint64_t upload_rate, download_rate, stall_ms, connect_ms;
    bool no_http2;
    enum s3_conditional conditional;
    bool etag_unquoted;
    const struct s3_quirk *quirk;
    char *url; /* for messages; no secrets */
};

/* `environ_pairs` as in s3_cred_opts. */
MUST_USE struct rc s3_config_parse(struct s3_config **out, const char *url, const struct store_option *options,
    size_t option_count, const char *const *environ_pairs, struct err *err);
void s3_config_free(struct s3_config *c); /* wipes secrets */
/* The endpoint was derived from the region (AWS): set another one. */
void s3_config_set_region(struct s3_config *c, const char *region);
/* "/bucket/prefix/key" or "/prefix/key", encoded; and the host to send it to. */
MUST_USE struct rc s3_config_path(const struct s3_config *c, const char *key, struct buf *out, struct err *err);
MUST_USE struct rc s3_config_host(const struct s3_config *c, struct buf *out, struct err *err);

const struct s3_quirk *s3_quirk_by_name(const char *provider); /* NULL: unknown */
const struct s3_quirk *s3_quirk_by_host(const char *host);     /* never NULL */
const struct s3_quirk *s3_quirk_by_server(const char *server); /* NULL: tells nothing */

#endif
