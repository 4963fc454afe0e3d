/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_quirk.h"

#include <string.h>
#include <strings.h>

enum { PART_MIN = 5 << 20 }; /* AWS, "Amazon S3 multipart upload limits"; nobody asks for more */

/*
 * "Measured" is what was run against the server itself; everything else names the public page that says so.  The last
 * row is for stores nobody knows.  What is not mentioned in a row was not found out and stands as the default.
 */
static const struct s3_quirk quirks[] = {
    /* Virtual hosts: path-style requests are being discontinued (AWS, "Virtual hosting of general purpose buckets").
     * If-None-Match on PUT since August 2024 (AWS, "How to prevent object overwrites with conditional writes").  No
     * region by default, because a wrong one would only hide what the server tells. */
    {
        .provider = "aws",
        .host_suffixes = "amazonaws.com amazonaws.com.cn",
        .endpoint = "s3.*.amazonaws.com",
        .server_header = "AmazonS3",
        .addressing = S3_ADDRESS_VIRTUAL,
        .part_size_min = PART_MIN,
        .note = "Amazon S3 User Guide",
    },
    /* Region "auto", PutObject with If-None-Match, DeleteObjects: developers.cloudflare.com/r2/api/s3/api and
     * .../conditional-operations.  Parts of one size ("All non-trailing parts must have the same length"):
     * tus/tusd#1137.  The Server header says "cloudflare", as for everything behind Cloudflare (stv0g/gose#26), so it
     * does not tell. */
    {
        .provider = "r2",
        .host_suffixes = "r2.cloudflarestorage.com",
        .default_region = "auto",
        .addressing = S3_ADDRESS_PATH,
        .parts_equal = true,
        .part_size_min = PART_MIN,
        .note = "developers.cloudflare.com/r2/api/s3/api; parts of one size: github.com/tus/tusd/issues/1137",
    },
    /* Host and both ways of addressing: backblaze.com/docs/cloud-storage-call-the-s3-compatible-api.  A PUT with
     * If-None-Match is answered NotImplemented: sathinduga/obsidian-s3-sync-and-backup#78 and #84 (July 2026). */
    {
        .provider = "b2",
        .host_suffixes = "backblazeb2.com",
        .endpoint = "s3.*.backblazeb2.com",
        .addressing = S3_ADDRESS_PATH,
        .no_if_none_match = true,
        .part_size_min = PART_MIN,
        .note = "backblaze.com/docs/cloud-storage-call-the-s3-compatible-api; no conditional PUT: "
                "github.com/sathinduga/obsidian-s3-sync-and-backup/pull/84",
    },
    /* Conditional PUT: minio/minio#20346 and docs.min.io, "S3 API Compatibility".  ETags with and without quotes:
     * minio/minio-go#687.  us-east-1 is the server's own default. */
    {
        .provider = "minio",
        .server_header = "MinIO",
        .default_region = "us-east-1",
        .addressing = S3_ADDRESS_PATH,
        .part_size_min = PART_MIN,
        .note = "docs.min.io, S3 API Compatibility; github.com/minio/minio/issues/20346",
    },
    /* If-Match on PUT works with the unquoted ETag only: slatedb/slatedb#1818 (the support's answer is in it). */
    {
        .provider = "digitalocean",
        .host_suffixes = "digitaloceanspaces.com",
        .endpoint = "*.digitaloceanspaces.com",
        .addressing = S3_ADDRESS_PATH,
        .etag_unquoted = true,
        .part_size_min = PART_MIN,
        .note = "unquoted ETag in If-Match: github.com/slatedb/slatedb/issues/1818",
    },
    /* What differs: docs.hetzner.com/storage/object-storage/supported-actions; copying "may fail". */
    {
        .provider = "hetzner",
        .host_suffixes = "your-objectstorage.com",
        .endpoint = "*.your-objectstorage.com",
        .addressing = S3_ADDRESS_PATH,
        .no_copy = true,
        .part_size_min = PART_MIN,
        .note = "docs.hetzner.com/storage/object-storage/supported-actions",
    },
    /* If-None-Match and If-Match on PUT: scaleway.com/en/docs/object-storage/api-cli/using-conditional-writes;
     * DeleteObjects: .../object-operations. */
    {
        .provider = "scaleway",
        .host_suffixes = "scw.cloud",
        .endpoint = "s3.*.scw.cloud",
        .addressing = S3_ADDRESS_PATH,
        .part_size_min = PART_MIN,
        .note = "scaleway.com/en/docs/object-storage/api-cli",
    },
    /* Hosts: docs.wasabi.com, "Service URLs for Wasabi's Storage Regions"; the one without a region is us-east-1.
     * Nothing was found on conditional writes. */
    {
        .provider = "wasabi",
        .host_suffixes = "wasabisys.com",
        .endpoint = "s3.*.wasabisys.com",
        .default_region = "us-east-1",
        .addressing = S3_ADDRESS_PATH,
        .part_size_min = PART_MIN,
        .note = "docs.wasabi.com, Service URLs for Wasabi's Storage Regions",
    },
    /* Region and endpoint: tigrisdata.com/llms.txt.  Conditions, and the header that has them looked at by the leader:
     * tigrisdata.com/docs/objects/conditionals.  Virtual hosts only, for buckets made after 2025-02-19:
     * tigrisdata.com/blog/virtual-hosted-urls. */
    {
        .provider = "tigris",
        .host_suffixes = "t3.storage.dev tigris.dev",
        .endpoint = "t3.storage.dev",
        .default_region = "auto",
        .addressing = S3_ADDRESS_VIRTUAL,
        .part_size_min = PART_MIN,
        .consistent_header = "X-Tigris-Consistent",
        .note = "tigrisdata.com/docs/objects/conditionals",
    },
    /* Measured with radosgw 16.2.15: a PUT with If-Match and the quoted ETag is 412, unquoted it works; If-None-Match
     * on PUT is atomic, on CompleteMultipartUpload it is ignored; any region is taken.  Newer ones name themselves in
     * the Server header (s3gw-tech/s3gw#659), unless the operator gave another name. */
    {
        .provider = "ceph",
        .server_header = "Ceph Object Gateway",
        .default_region = "us-east-1",
        .addressing = S3_ADDRESS_PATH,
        .etag_unquoted = true,
        .part_size_min = PART_MIN,
        .note = "measured with radosgw 16.2.15",
    },
    /* Google Cloud Storage with HMAC keys.  Conditions are on generations (x-goog-if-generation-match), not on ETags:
     * gaul/undocumented-s3-apis#4, apache/opendal#7889.  Deleting many at once came only in 2026
     * (ClickHouse/clickhouse-docs#6048), so single deletes are the safe way.  The region is not looked at; "auto" is
     * what its documents sign with. */
    {
        .provider = "gcs",
        .host_suffixes = "storage.googleapis.com",
        .endpoint = "storage.googleapis.com",
        .default_region = "auto",
        .addressing = S3_ADDRESS_PATH,
        .no_batch_delete = true,
        .no_if_none_match = true,
        .part_size_min = PART_MIN,
        .note =
            "docs.cloud.google.com/storage/docs/interoperability; conditions: github.com/apache/opendal/issues/7889",
    },
    /* Measured with Swift 2.30.1 and its s3api: 501 for any condition on PUT, a wrong region is refused, us-east-1 is
     * the default of its configuration, DeleteObjects works with Content-MD5. */
    {
        .provider = "swift",
        .default_region = "us-east-1",
        .addressing = S3_ADDRESS_PATH,
        .no_if_none_match = true,
        .part_size_min = PART_MIN,
        .note = "measured with OpenStack Swift 2.30.1, s3api",
    },
    {
        .provider = "other",
        .addressing = S3_ADDRESS_PATH, /* works without a wildcard in the DNS */
        .part_size_min = PART_MIN,
        .note = "nothing is known: treated like AWS, but with the bucket in the path",
    },
};
enum { QUIRK_COUNT = sizeof quirks / sizeof quirks[0] };

const struct s3_quirk *s3_quirk_at(size_t index)
{
    return index < QUIRK_COUNT ? &quirks[index] : NULL;
}

const struct s3_quirk *s3_quirk_by_name(const char *provider)
{
    for (size_t i = 0; i < QUIRK_COUNT; i++)
        if (strcmp(quirks[i].provider, provider) == 0)
            return &quirks[i];
    return NULL;
}

/* Whole labels only: "notscw.cloud" is not "scw.cloud". */
static bool has_suffix(const char *host, size_t n, const char *suffix, size_t suffix_size)
{
    if (n < suffix_size || strncasecmp(host + n - suffix_size, suffix, suffix_size) != 0)
        return false;
    return n == suffix_size || host[n - suffix_size - 1] == '.';
}

const struct s3_quirk *s3_quirk_by_host(const char *host)
{
    size_t n = strcspn(host, ":");

    for (size_t i = 0; i < QUIRK_COUNT; i++) {
        const char *at = quirks[i].host_suffixes;

        while (at != NULL && *at != 0) {
            size_t size = strcspn(at, " ");

            if (has_suffix(host, n, at, size))
                return &quirks[i];
            at += size + (at[size] == ' ');
        }
    }
    return &quirks[QUIRK_COUNT - 1];
}

const struct s3_quirk *s3_quirk_by_server(const char *server)
{
    for (size_t i = 0; i < QUIRK_COUNT; i++) {
        const char *want = quirks[i].server_header;

        if (want != NULL && strncmp(server, want, strlen(want)) == 0)
            return &quirks[i];
    }
    return NULL;
}

/* --- regions ------------------------------------------------------------------------------------------------------ */

static bool put_region(const char *text, size_t n, char out[S3_QUIRK_REGION_SIZE])
{
    if (n == 0 || n >= S3_QUIRK_REGION_SIZE)
        return false;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
    out[n] = 0;
    return true;
}

static bool begins(const char **at, size_t *n, const char *prefix)
{
    size_t size = strlen(prefix);

    if (*n < size || strncasecmp(*at, prefix, size) != 0)
        return false;
    *at += size;
    *n -= size;
    return true;
}

/*
 * s3.REGION.amazonaws.com[.cn], also with dualstack. before the region, with s3-fips for s3, with s3-REGION for
 * s3.REGION (an old form), or as the end of a VPC endpoint's name (...vpce-1a2b.s3.REGION.vpce.amazonaws.com).
 * s3.amazonaws.com is us-east-1.  (AWS General Reference, "Amazon S3 endpoints and quotas".)
 */
static bool aws_region(const char *host, size_t n, char out[S3_QUIRK_REGION_SIZE])
{
    static const char *const ends[] = {".vpce.amazonaws.com", ".amazonaws.com.cn", ".amazonaws.com"};
    const char *at = host, *label;

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (n > strlen(ends[i]) && strncasecmp(host + n - strlen(ends[i]), ends[i], strlen(ends[i])) == 0) {
            n -= strlen(ends[i]);
            break;
        }
    if (n == 2 && strncasecmp(host, "s3", 2) == 0)
        return put_region("us-east-1", strlen("us-east-1"), out);
    label = memmem(host, n, ".s3.", 4);
    if (label != NULL && memmem(host, n, "vpce-", 5) != NULL) {
        n -= (size_t)(label + 1 - host);
        at = label + 1;
    }
    if (!begins(&at, &n, "s3-fips.") && !begins(&at, &n, "s3.") && !begins(&at, &n, "s3-"))
        return false;
    (void)begins(&at, &n, "dualstack."); /* or not */
    return memchr(at, '.', n) == NULL && put_region(at, n, out);
}

bool s3_quirk_host_region(const struct s3_quirk *quirk, const char *host, char out[S3_QUIRK_REGION_SIZE])
{
    const char *star = quirk->endpoint == NULL ? NULL : strchr(quirk->endpoint, '*');
    size_t n = strcspn(host, ":"), before, after;

    if (strcmp(quirk->provider, "aws") == 0)
        return aws_region(host, n, out);
    if (star == NULL)
        return false;
    before = (size_t)(star - quirk->endpoint);
    after = strlen(star + 1);
    if (n <= before + after || strncasecmp(host, quirk->endpoint, before) != 0
        || strncasecmp(host + n - after, star + 1, after) != 0)
        return false;
    host += before;
    n -= before + after;
    return memchr(host, '.', n) == NULL && put_region(host, n, out);
}
