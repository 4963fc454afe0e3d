/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_quirk - kinds of S3 stores and what differs between them: one table, a row a kind, every fact with its source.
 *
 * A row is found by the endpoint's host, by the Server header of an answer, or by name (option `provider`).  What
 * nobody knows for certain stands as the default: such a store is treated like AWS, and what it refuses is found out
 * when it does.  All of it can be overridden by options (s3_config.h).
 */
#ifndef S3_QUIRK_H
#define S3_QUIRK_H

#include <stdbool.h>
#include <stddef.h>

enum s3_addressing { S3_ADDRESS_AUTO, S3_ADDRESS_PATH, S3_ADDRESS_VIRTUAL };

enum { S3_QUIRK_REGION_SIZE = 65 };

struct s3_quirk {
    const char *provider;      /* "aws", "r2", "b2", "minio", "digitalocean", "hetzner", "scaleway", "wasabi", "tigris",
                                  "ceph", "gcs", "swift", "other" */
    const char *host_suffixes; /* detection by endpoint host: "amazonaws.com amazonaws.com.cn"; NULL: only by the Server
                                  header or by name */
    const char *endpoint;      /* its host, '*' for the region: "s3.*.wasabisys.com"; NULL: each has its own */
    const char *server_header; /* prefix of the answer's Server header; NULL: none that tells */
    const char *default_region; /* when nobody names one; NULL: there is none */
    enum s3_addressing addressing;
    bool etag_unquoted;    /* PUT with If-Match wants the ETag without its quotes */
    bool no_batch_delete;  /* no DeleteObjects */
    bool no_if_none_match; /* known to refuse or to ignore If-None-Match on PUT */
    bool no_copy;
    bool parts_equal;              /* all parts but the last must have the same size */
    size_t part_size_min;          /* bytes */
    const char *consistent_header; /* name of a header to send with the value "true" where a request must see the newest
                                      state (conditional writes and reads of what was just written); NULL: no need */
    const char *note;              /* for people: source of the facts */
};

const struct s3_quirk *s3_quirk_by_name(const char *provider); /* NULL: unknown */
const struct s3_quirk *s3_quirk_by_host(const char *host);     /* with or without port; never NULL */
const struct s3_quirk *s3_quirk_by_server(const char *server); /* NULL: tells nothing */
/* Row after row, for lists; NULL behind the last. */
const struct s3_quirk *s3_quirk_at(size_t index);

/* The region that stands in the endpoint's host: "s3.eu-central-2.wasabisys.com".  False when there is none. */
bool s3_quirk_host_region(const struct s3_quirk *quirk, const char *host, char out[S3_QUIRK_REGION_SIZE]);

#endif
