/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_config.h"

#include "alloc.h"
#include "s3_config_option.h"
#include "s3_http.h"
#include "s3_uri.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

/* --- URL and options ---------------------------------------------------------------------------------------------- */

/* The value of each option, borrowed; NULL: not given. */
struct values {
    const char *value[S3_CONFIG_OPTION_MAX];
};

static const char *given(const struct values *v, const char *name)
{
    size_t index;

    return s3_config_option_find(name, &index) ? v->value[index] : NULL;
}

static struct rc unknown_option(const char *name, struct err *err)
{
    CLEANUP(buf_fini) struct buf names;

    buf_init(&names, 1024);
    for (size_t i = 0; s3_config_option_name(i)[0] != 0; i++)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", s3_config_option_name(i));
    return rc_raise(err, E_CONFIG, "there is no option '%.64s'; there are %s", name, buf_str(&names));
}

static struct rc collect_url(const struct s3_uri *uri, struct values *out, struct err *err)
{
    for (size_t i = 0; i < uri->param_count; i++) {
        const struct s3_uri_param *param = &uri->params[i];
        size_t index;

        if (!s3_config_option_find(param->name, &index))
            return unknown_option(param->name, err);
        if (out->value[index] != NULL)
            return rc_raise(err, E_CONFIG, "option %s is given twice", param->name);
        TRY_CTX(s3_config_option_in_url(index, param->value, err), err, "option %s", param->name);
        out->value[index] = param->value;
    }
    return RC_OK;
}

/* What is given apart wins over the URL. */
static struct rc collect_options(const struct store_option *options, size_t count, struct values *out, struct err *err)
{
    bool seen[S3_CONFIG_OPTION_MAX] = {false};

    for (size_t i = 0; i < count; i++) {
        size_t index;

        if (!s3_config_option_find(options[i].name, &index))
            return unknown_option(options[i].name, err);
        if (seen[index])
            return rc_raise(err, E_CONFIG, "option %s is given twice", options[i].name);
        seen[index] = true;
        out->value[index] = options[i].value;
    }
    return RC_OK;
}

/* NULL for a variable that is not set or empty, which AWS's tools take for the same. */
static const char *env(const char *const *pairs, const char *name)
{
    size_t n = strlen(name);

    if (pairs == NULL)
        pairs = (const char *const *)environ;
    for (; *pairs != NULL; pairs++)
        if (strncmp(*pairs, name, n) == 0 && (*pairs)[n] == '=')
            return (*pairs)[n + 1] != 0 ? *pairs + n + 1 : NULL;
    return NULL;
}

/* The part of the URL that is not a query: s3://bucket/prefix. */
static struct rc take_place(struct s3_config *c, const struct s3_uri *uri, struct err *err)
{
    CLEANUP(buf_fini) struct buf prefix, encoded;
    const char *path = uri->path, *part, *at;
    size_t n;

    buf_init(&prefix, S3_URI_MAX);
    buf_init(&encoded, 4 * S3_URI_MAX);
    if (strcmp(uri->scheme, "s3") != 0)
        return rc_raise(err, E_CONFIG, "url: does not begin with s3://");
    if (uri->has_user)
        return rc_raise(err, E_CONFIG,
            "url: credentials do not belong in a URL, which process lists and logs show; "
            "use the options access-key and secret-key");
    path += path[0] == '/';
    TRY(s3_uri_decode(span_of(path, strlen(path)), "url", &prefix, err));
    n = prefix.size;
    if (n > 1 && prefix.data[n - 1] == '/')
        buf_trim(&prefix, n - 1);
    if (prefix.size > S3_CONFIG_PREFIX_MAX)
        return rc_raise(err, E_CONFIG, "url: the prefix has more than %d bytes", S3_CONFIG_PREFIX_MAX);
    for (part = buf_str(&prefix); *part != 0; part = *at == 0 ? at : at + 1) {
        at = strchrnul(part, '/');
        n = (size_t)(at - part);
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0) || strcmp(at, "/") == 0)
            return rc_raise(err, E_CONFIG, "url: the prefix has an empty, '.' or '..' part");
        for (const char *c1 = part; c1 < at; c1++)
            if ((uint8_t)*c1 < ' ' || *c1 == 0x7f)
                return rc_raise(err, E_CONFIG, "url: the prefix has a control character");
    }
    c->bucket = mem_strdup(uri->host);
    c->prefix = mem_strdup(buf_str(&prefix));
    s3_uri_encode(c->prefix, S3_URI_KEEP_SLASH, &encoded);
    c->url = mem_printf("s3://%s%s%s", c->bucket, encoded.size > 0 ? "/" : "", buf_str(&encoded));
    return RC_OK;
}

/* --- bucket ------------------------------------------------------------------------------------------------------- */

/* AWS, "General purpose bucket naming rules": what a host name can hold. */
static bool bucket_is_strict(const char *bucket)
{
    size_t n = strlen(bucket);

    if (n < 3 || n > 63 || bucket[strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-")] != 0)
        return false;
    if (strchr(".-", bucket[0]) != NULL || strchr(".-", bucket[n - 1]) != NULL)
        return false;
    return strstr(bucket, "..") == NULL && !s3_uri_host_is_ip(bucket);
}

/* Some compatible stores have buckets that AWS would not make: upper case, '_', up to 255 bytes.  They are fine in a
 * path. */
static bool bucket_is_lenient(const char *bucket)
{
    size_t n = strlen(bucket);

    return n >= 1 && n <= 255 && strcmp(bucket, ".") != 0 && strcmp(bucket, "..") != 0
           && bucket[strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == 0;
}

static struct rc check_bucket(const struct s3_config *c, struct err *err)
{
    bool aws = strcmp(c->quirk->provider, "aws") == 0;
    size_t n = strlen(c->bucket);

    if (n == 0)
        return rc_raise(err, E_CONFIG, "url: there is no bucket in it; the form is s3://bucket/prefix");
    if (!bucket_is_lenient(c->bucket))
        return rc_raise(
            err, E_CONFIG, "url: '%.64s' is not a bucket: letters, digits, '.', '-' and '_' are allowed", c->bucket);
    if ((aws || c->addressing == S3_ADDRESS_VIRTUAL) && !bucket_is_strict(c->bucket))
        return rc_raise(err, E_CONFIG,
            "url: '%.64s' is not a bucket: 3 to 63 lower-case letters, digits, '.' and '-' are allowed, the first and "
            "last "
            "a letter or digit",
            c->bucket);
    if (aws && n > 6 && strcmp(c->bucket + n - 6, "--x-s3") == 0)
        return rc_raise(
            err, E_CONFIG, "url: '%s' is a directory bucket, which does not list its keys in order", c->bucket);
    return RC_OK;
}

/* --- endpoint, region, addressing --------------------------------------------------------------------------------- */

/* The host of a provider that needs no endpoint. */
static struct rc derive_host(struct s3_config *c, struct err *err)
{
    const char *pattern = c->quirk->endpoint, *star = pattern == NULL ? NULL : strchr(pattern, '*');
    bool aws = strcmp(c->quirk->provider, "aws") == 0;
    char *host;

    if (pattern == NULL)
        return rc_raise(err, E_CONFIG, "provider %s needs the option endpoint", c->quirk->provider);
    if (star == NULL)
        host = mem_strdup(pattern);
    else if (c->region != NULL)
        host = mem_printf("%.*s%s%s%s", (int)(star - pattern), pattern, c->region, star + 1,
            aws && strncmp(c->region, "cn-", 3) == 0 ? ".cn" : "");
    else if (aws)
        host = mem_strdup("s3.amazonaws.com"); /* us-east-1; it tells the bucket's region */
    else
        return rc_raise(err, E_CONFIG, "provider %s needs the option region or endpoint", c->quirk->provider);
    mem_free(c->host);
    c->host = host;
    c->host_derived = true;
    if (c->scheme == NULL)
        c->scheme = mem_strdup("https");
    return RC_OK;
}

/* "https://bucket.s3.eu-central-1.amazonaws.com" is how consoles show it; the bucket would be there twice. */
static struct rc check_endpoint(const struct s3_config *c, struct err *err)
{
    size_t n = strlen(c->bucket);
    const char *rest;

    if (n == 0 || strncasecmp(c->host, c->bucket, n) != 0 || c->host[n] != '.')
        return RC_OK;
    rest = c->host + n + 1;
    if (s3_quirk_by_host(rest)->host_suffixes == NULL || strncmp(rest, "vpce-", 5) == 0)
        return RC_OK;
    return rc_raise(err, E_CONFIG, "option endpoint: has the bucket in it; write %s://%s", c->scheme, rest);
}

static struct rc find_endpoint(
    struct s3_config *c, const struct values *v, const char *const *environ_pairs, struct err *err)
{
    const char *name = "AWS_ENDPOINT_URL_S3", *value = env(environ_pairs, name);

    if (value == NULL)
        value = env(environ_pairs, name = "AWS_ENDPOINT_URL");
    if (given(v, "endpoint") == NULL && value != NULL)
        TRY_CTX(s3_config_option_endpoint(c, value, err), err, "environment %s", name);
    if (c->quirk == NULL)
        c->quirk = c->host != NULL ? s3_quirk_by_host(c->host) : s3_quirk_by_name("aws");
    assert(c->quirk != NULL);
    return RC_OK;
}

static struct rc find_region(struct s3_config *c, const char *const *environ_pairs, struct err *err)
{
    const char *name = "AWS_REGION", *value = env(environ_pairs, name);
    char of_host[S3_QUIRK_REGION_SIZE];

    if (value == NULL)
        value = env(environ_pairs, name = "AWS_DEFAULT_REGION");
    if (c->region != NULL)
        return RC_OK;
    if (value != NULL)
        TRY_CTX(s3_config_option_region(c, value, err), err, "environment %s", name);
    else if (c->host != NULL && s3_quirk_host_region(c->quirk, c->host, of_host))
        c->region = mem_strdup(of_host);
    else if (c->quirk->default_region != NULL)
        c->region = mem_strdup(c->quirk->default_region);
    return RC_OK;
}

static struct rc find_addressing(struct s3_config *c, struct err *err)
{
    bool plain_host = s3_uri_host_is_ip(c->host) || s3_uri_host_is_loopback(c->host);

    if (c->addressing == S3_ADDRESS_VIRTUAL && s3_uri_host_is_ip(c->host))
        return rc_raise(err, E_CONFIG, "option addressing: virtual needs a host with a name, not %s", c->host);
    if (c->addressing != S3_ADDRESS_AUTO)
        return RC_OK;
    c->addressing = c->quirk->addressing;
    /* A wildcard certificate covers one label, so "my.bucket.s3.amazonaws.com" has none. */
    if (plain_host || (strchr(c->bucket, '.') != NULL && strcmp(c->scheme, "https") == 0))
        c->addressing = S3_ADDRESS_PATH;
    return RC_OK;
}

struct rc s3_config_set_region(struct s3_config *c, const char *region, struct err *err)
{
    TRY(s3_config_option_region(c, region, err));
    return c->host_derived ? derive_host(c, err) : RC_OK;
}

/* --- what must fit together --------------------------------------------------------------------------------------- */

static struct rc check_credentials(const struct s3_config *c, struct err *err)
{
    if ((c->access_key == NULL) != (c->secret_key == NULL))
        return rc_raise(err, E_CONFIG, "option %s is given without %s",
            c->access_key != NULL ? "access-key" : "secret-key", c->access_key != NULL ? "secret-key" : "access-key");
    if (c->session_token != NULL && c->access_key == NULL)
        return rc_raise(err, E_CONFIG, "option session-token is given without access-key and secret-key");
    if (c->profile != NULL && c->access_key != NULL)
        return rc_raise(err, E_CONFIG, "options profile and access-key exclude each other");
    if (c->anonymous && (c->access_key != NULL || c->profile != NULL))
        return rc_raise(err, E_CONFIG, "option anonymous and options for credentials exclude each other");
    return RC_OK;
}

static struct rc check_sse(const struct s3_config *c, struct err *err)
{
    if (c->sse_kms_key != NULL && c->sse != S3_SSE_KMS)
        return rc_raise(err, E_CONFIG, "option sse-kms-key is given without sse=aws:kms");
    if (c->sse_customer_key != NULL && c->sse != S3_SSE_CUSTOMER)
        return rc_raise(err, E_CONFIG, "option sse-customer-key is given without sse=customer");
    if (c->sse == S3_SSE_CUSTOMER && c->sse_customer_key == NULL)
        return rc_raise(err, E_CONFIG, "option sse: customer needs the option sse-customer-key");
    if (c->sse == S3_SSE_CUSTOMER && c->insecure)
        return rc_raise(
            err, E_CONFIG, "option sse: customer would send the key over plain http; use an https endpoint");
    return RC_OK;
}

static struct rc check_parts(const struct s3_config *c, struct err *err)
{
    if (c->part_size < c->quirk->part_size_min)
        return rc_raise(err, E_CONFIG, "option part-size: %zu bytes is less than the %zu that %s takes", c->part_size,
            c->quirk->part_size_min, strcmp(c->quirk->provider, "other") == 0 ? "S3" : c->quirk->provider);
    return RC_OK;
}

static struct rc complete(
    struct s3_config *c, const struct values *v, const char *const *environ_pairs, struct err *err)
{
    const char *ca_file = env(environ_pairs, "AWS_CA_BUNDLE");

    TRY(find_endpoint(c, v, environ_pairs, err));
    TRY(find_region(c, environ_pairs, err));
    if (c->host == NULL)
        TRY(derive_host(c, err));
    TRY(find_addressing(c, err));
    TRY(check_bucket(c, err));
    TRY(check_endpoint(c, err));
    TRY(check_credentials(c, err));
    TRY(check_sse(c, err));
    if (c->ca_file == NULL && ca_file != NULL)
        c->ca_file = mem_strdup(ca_file);
    if (given(v, "if-match") == NULL)
        c->etag_unquoted = c->quirk->etag_unquoted;
    return check_parts(c, err);
}

struct rc s3_config_parse(struct s3_config **out, const struct fsys *fs, const char *url,
    const struct store_option *options, size_t option_count, const char *const *environ_pairs, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    CLEANUP(s3_config_freep) struct s3_config *c = mem_new(sizeof *c);
    struct values v = {{NULL}};

    c->part_size = S3_CONFIG_PART_SIZE;
    c->parallel = S3_HTTP_PARALLEL;
    c->stall_ms = S3_HTTP_STALL_MS;
    c->connect_ms = S3_HTTP_CONNECT_MS;
    TRY(s3_uri_parse(url, &uri, err));
    TRY(take_place(c, &uri, err));
    TRY(collect_url(&uri, &v, err));
    TRY(collect_options(options, option_count, &v, err));
    for (size_t i = 0; s3_config_option_name(i)[0] != 0; i++)
        if (v.value[i] != NULL)
            TRY(s3_config_option_set(c, fs, i, v.value[i], err));
    TRY(complete(c, &v, environ_pairs, err));
    *out = MOVE(c);
    return RC_OK;
}

static void free_secret(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    mem_free(text);
}

void s3_config_free(struct s3_config *c)
{
    if (c == NULL)
        return;
    free_secret(c->access_key);
    free_secret(c->secret_key);
    free_secret(c->session_token);
    free_secret(c->sse_customer_key);
    free_secret(c->proxy); /* there may be a password in it */
    mem_free(c->bucket);
    mem_free(c->prefix);
    mem_free(c->scheme);
    mem_free(c->host);
    mem_free(c->region);
    mem_free(c->profile);
    mem_free(c->storage_class);
    mem_free(c->sse_kms_key);
    mem_free(c->ca_file);
    mem_free(c->url);
    mem_free(c);
}

void s3_config_freep(struct s3_config **c)
{
    s3_config_free(*c);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct rc s3_config_path(const struct s3_config *c, const char *key, struct buf *out, struct err *err)
{
    if (c->addressing == S3_ADDRESS_PATH) {
        buf_u8(out, '/');
        buf_text(out, c->bucket); /* of unreserved characters, see check_bucket() */
    }
    if (key[0] != 0) {
        buf_u8(out, '/');
        s3_uri_encode(c->prefix, S3_URI_KEEP_SLASH, out);
        buf_text(out, c->prefix[0] != 0 ? "/" : "");
        s3_uri_encode(key, S3_URI_KEEP_SLASH, out);
    } else if (c->addressing == S3_ADDRESS_VIRTUAL) {
        buf_u8(out, '/');
    }
    return buf_check(out, "path of a request", err);
}

struct rc s3_config_host(const struct s3_config *c, struct buf *out, struct err *err)
{
    if (c->addressing == S3_ADDRESS_VIRTUAL) {
        buf_text(out, c->bucket);
        buf_u8(out, '.');
    }
    buf_text(out, c->host);
    return buf_check(out, "host of a request", err);
}
