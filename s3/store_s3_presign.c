/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_presign.h"

#include "s3_sign.h"
#include "s3_uri.h"
#include "store_env.h"
#include "store_s3_intern.h"
#include "strx.h"

#include <assert.h>

static struct rc check_keys(const struct s3_cred_keys *keys, int64_t expires_ms, struct err *err)
{
    char theirs[STRX_TIME_SIZE], ours[STRX_TIME_SIZE];

    if (keys == NULL)
        return rc_raise(err, E_BUSY, "the credentials are just being renewed");
    if (keys->anonymous)
        return rc_raise(err, E_DENIED, "the replica is read without credentials (anonymous), which sign nothing");
    if (keys->expires_ms != 0 && keys->expires_ms < expires_ms)
        return rc_raise(err, E_DENIED,
            "the credentials (%.200s) expire at %s, and links signed with them then, too, but they are to be valid "
            "until %s: take a shorter time, or other credentials",
            keys->source, strx_format_time(keys->expires_ms, theirs), strx_format_time(expires_ms, ours));
    return RC_OK;
}

static struct rc sign(const struct s3_config *config, const struct s3_cred_keys *keys, const struct s3_sign_input *link,
    uint32_t seconds, struct buf *url, struct err *err)
{
    CLEANUP(buf_fini) struct buf host, path, query;
    struct s3_sign_param header = {.name = "host"};
    struct s3_sign_input in = *link;
    const struct s3_sign_key key = {
        .access_key = keys->access_key,
        .secret_key = keys->secret_key,
        .session_token = keys->session_token,
        .region = config->region,
        .service = "s3",
    };

    buf_init(&host, S3_URI_MAX);
    buf_init(&path, S3_URI_MAX);
    buf_init(&query, S3_URI_MAX);
    TRY(s3_config_host(config, &host, err));
    TRY(s3_config_path(config, in.path, &path, err));
    header.value = buf_str(&host);
    in.path = buf_str(&path);
    in.headers = &header;
    in.header_count = 1;
    TRY(s3_sign_presign(&key, &in, seconds, &query, err));
    buf_printf(url, "%s://%s%s?", config->scheme, buf_str(&host), buf_str(&path));
    buf_put(url, query.data, query.size);
    return buf_check(url, "a link", err);
}

struct rc store_s3_presign_link(
    struct store *base, const char *key, int64_t now_ms, uint32_t seconds, struct buf *url, struct err *err)
{
    const struct s3_store *s = (const struct s3_store *)base; /* `base` is the first member */
    struct s3_sign_input in = {.method = "GET", .path = key, .payload_hash = S3_SIGN_UNSIGNED, .time_ms = now_ms};
    const struct s3_cred_keys *keys;
    struct s3_http *http = NULL;
    struct s3_cred *cred = NULL;

    assert(s->config->region != NULL); /* known since the first request */
    if (s->config->sse == S3_SSE_CUSTOMER)
        return rc_raise(err, E_UNSUPPORTED,
            "its objects are encrypted with a key of your own (sse=customer), which a link cannot carry");
    TRY(store_env_http(s->env, s->config, &http, err));
    TRY(store_env_cred(s->env, s->config, http, &cred, err));
    keys = s3_cred_peek(cred);
    TRY(check_keys(keys, now_ms + (int64_t)seconds * 1000, err));
    return sign(s->config, keys, &in, seconds, url, err);
}
