/* SPDX-License-Identifier: Apache-2.0 */
#include "plain_url.h"

#include "alloc.h"
#include "s3_uri.h"
#include "store.h"

#include <string.h>

/* Decoded, from the encoded text of a URL. */
static struct rc decode(struct span text, char **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, S3_URI_MAX);
    TRY(s3_uri_decode(text, "the name", &b, err));
    TRY(buf_check(&b, "name of a file", err));
    *out = mem_strdup(buf_str(&b));
    return RC_OK;
}

static struct rc parse_file(const char *text, struct plain_url *out, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};

    TRY(s3_uri_parse(text, &uri, err));
    if (uri.host[0] != 0 || uri.has_user || uri.param_count > 0 || uri.path[0] == 0)
        return rc_raise(err, E_CONFIG, "not the URL of a file: file:///absolute/path");
    return decode(span_of(uri.path, strlen(uri.path)), &out->path, err);
}

static struct rc parse_object(const char *text, struct plain_url *out, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    size_t path_size = strcspn(text, "?"), folder;
    const char *slash;

    TRY(s3_uri_parse(text, &uri, err)); /* is it a URL at all? */
    slash = memrchr(text, '/', path_size);
    folder = (size_t)(slash - text);
    if (slash == NULL || uri.path[0] == 0 || slash + 1 == text + path_size)
        return rc_raise(err, E_CONFIG, "that URL names no object: s3://bucket/folder/app.db");
    TRY(decode(span_of(slash + 1, path_size - folder - 1), &out->key, err));
    if (!store_key_ok(out->key))
        return rc_raise(err, E_CONFIG,
            "the name '%.200s' has other characters than A to Z, a to z, 0 to 9, '.', '_' and '-'", out->key);
    out->store = mem_printf("%.*s%s", (int)folder, text, text + path_size);
    return RC_OK;
}

struct rc plain_url_parse(const char *text, struct plain_url *out, struct err *err)
{
    CLEANUP(plain_url_fini) struct plain_url u = {0};

    if (strstr(text, "://") == NULL)
        u.path = mem_strdup(text);
    else if (strncmp(text, "file://", 7) == 0)
        TRY(parse_file(text, &u, err));
    else
        TRY(parse_object(text, &u, err));
    *out = u;
    u = (struct plain_url){0};
    return RC_OK;
}

void plain_url_fini(struct plain_url *u)
{
    mem_free(u->path);
    mem_free(u->store);
    mem_free(u->key);
    *u = (struct plain_url){0};
}
