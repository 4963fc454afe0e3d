/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_config_option.h"

#include "alloc.h"
#include "fsys.h"
#include "s3_uri.h"
#include "strx.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum {
    TEXT_MAX = 512,    /* keys, names, paths */
    TOKEN_MAX = 8192,  /* session tokens are long; header lines of servers end here */
    SSE_KEY_SIZE = 32, /* AES-256 */
    SSE_TEXT_SIZE = 44,
    RATE_MIN = 1 << 10, /* bytes a second; below that every transfer looks stalled */
    QUOTE_MAX = 100,    /* of the given text in a message */
    CONNECT_MS_MIN = 100,
    CONNECT_MS_MAX = 600000,
    STALL_MS_MIN = 1000,
    STALL_MS_MAX = 3600000,
};

/* --- kinds of values ---------------------------------------------------------------------------------------------- */

static void keep(char **where, const char *value)
{
    mem_free(*where);
    *where = mem_strdup(value);
}

/* Printable ASCII without spaces; the message does not quote it, for it may be secret. */
static struct rc plain(const char *value, size_t max, struct err *err)
{
    size_t n = strlen(value);

    if (n == 0)
        return rc_raise(err, E_CONFIG, "is empty");
    if (n > max)
        return rc_raise(err, E_CONFIG, "has more than %zu bytes", max);
    for (size_t i = 0; i < n; i++)
        if (value[i] <= ' ' || value[i] > '~')
            return rc_raise(err, E_CONFIG, "holds a space, a control character or a byte that is not ASCII");
    return RC_OK;
}

static struct rc keep_plain(char **where, const char *value, size_t max, struct err *err)
{
    TRY(plain(value, max, err));
    keep(where, value);
    return RC_OK;
}

/* Which of the words, separated by '|', is it? */
static struct rc one_of(const char *value, const char *words, unsigned *out, struct err *err)
{
    const char *at = words;

    for (unsigned i = 0; *at != 0; i++) {
        size_t n = strcspn(at, "|");

        if (strlen(value) == n && memcmp(value, at, n) == 0) {
            *out = i;
            return RC_OK;
        }
        at += n + (at[n] == '|');
    }
    return rc_raise(err, E_CONFIG, "'%.*s' is not one of %s", QUOTE_MAX, value, words);
}

static struct rc size_between(const char *value, uint64_t min, uint64_t max, uint64_t *out, struct err *err)
{
    char low[STRX_HUMAN_SIZE], high[STRX_HUMAN_SIZE];
    uint64_t v;

    TRY(strx_size(value, &v, err));
    if (v < min || v > max)
        return rc_raise(err, E_CONFIG, "'%s' is not between %s and %s", value, strx_format_size(min, low),
            strx_format_size(max, high));
    *out = v;
    return RC_OK;
}

static struct rc duration_between(const char *value, uint64_t min, uint64_t max, uint64_t *out, struct err *err)
{
    char low[STRX_HUMAN_SIZE], high[STRX_HUMAN_SIZE];
    uint64_t v;

    TRY(strx_duration_ms(value, &v, err));
    if (v < min || v > max)
        return rc_raise(err, E_CONFIG, "'%s' is not between %s and %s", value, strx_format_duration(min, low),
            strx_format_duration(max, high));
    *out = v;
    return RC_OK;
}

static struct rc rate(const char *value, uint64_t *out, struct err *err)
{
    uint64_t v;

    TRY(strx_size(value, &v, err));
    if (v != 0 && v < RATE_MIN)
        return rc_raise(err, E_CONFIG, "'%s' is less than 1KiB a second; 0 is no limit", value);
    *out = v;
    return RC_OK;
}

/* --- where the store is ------------------------------------------------------------------------------------------- */

struct rc s3_config_option_region(struct s3_config *c, const char *value, struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    if (value[0] == 0 || value[strspn(value, allowed)] != 0 || strlen(value) >= S3_QUIRK_REGION_SIZE)
        return rc_raise(err, E_CONFIG, "'%.*s' is not a region: 1 to %d letters, digits, '-' and '_'", QUOTE_MAX, value,
            S3_QUIRK_REGION_SIZE - 1);
    keep(&c->region, value);
    return RC_OK;
}

/* scheme://host[:port][/], and nothing else; https:// may be left out. */
static struct rc check_endpoint(const struct s3_uri *uri, struct err *err)
{
    size_t n;
    unsigned port;

    if (uri->has_user)
        return rc_raise(err, E_CONFIG, "holds a user or password; use the options access-key and secret-key");
    if (strcmp(uri->scheme, "https") != 0 && strcmp(uri->scheme, "http") != 0)
        return rc_raise(err, E_CONFIG, "'%.*s://' is neither https:// nor http://", QUOTE_MAX, uri->scheme);
    if (!s3_uri_host(uri->host, &n, &port))
        return rc_raise(err, E_CONFIG, "'%.*s' is not host or host:port", QUOTE_MAX, uri->host);
    if ((uri->path[0] != 0 && strcmp(uri->path, "/") != 0) || uri->param_count > 0)
        return rc_raise(
            err, E_CONFIG, "has something behind the host; the bucket and the prefix belong in s3://bucket/prefix");
    return RC_OK;
}

struct rc s3_config_option_endpoint(struct s3_config *c, const char *value, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    CLEANUP(mem_freep) char *whole = NULL;
    size_t n;
    unsigned port;

    if (value[0] == 0)
        return rc_raise(err, E_CONFIG, "is empty");
    whole = mem_printf("%s%s", strstr(value, "://") == NULL ? "https://" : "", value);
    TRY(s3_uri_parse(whole, &uri, err));
    TRY(check_endpoint(&uri, err));
    /* As HTTP clients write it into the Host header, which is signed: without the scheme's own port. */
    if (s3_uri_host(uri.host, &n, &port) && port == (strcmp(uri.scheme, "https") == 0 ? 443 : 80))
        uri.host[n] = 0;
    keep(&c->scheme, uri.scheme);
    keep(&c->host, uri.host);
    c->insecure = strcmp(uri.scheme, "http") == 0 && !s3_uri_host_is_loopback(uri.host);
    return RC_OK;
}

static struct rc set_endpoint(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return s3_config_option_endpoint(c, value, err);
}

static struct rc set_region(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return s3_config_option_region(c, value, err);
}

static struct rc set_addressing(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "auto|path|virtual", &which, err));
    c->addressing = (enum s3_addressing)which;
    return RC_OK;
}

static struct rc set_provider(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    CLEANUP(buf_fini) struct buf names;

    (void)fs;
    buf_init(&names, 1024);
    c->quirk = s3_quirk_by_name(value);
    if (c->quirk != NULL)
        return RC_OK;
    for (size_t i = 0; s3_quirk_at(i) != NULL; i++)
        buf_printf(&names, "%s%s", i > 0 ? "|" : "", s3_quirk_at(i)->provider);
    return rc_raise(err, E_CONFIG, "'%.*s' is not one of %s", QUOTE_MAX, value, buf_str(&names));
}

/* --- who we are --------------------------------------------------------------------------------------------------- */

static struct rc set_access_key(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    if (strpbrk(value, "/,") != NULL)
        return rc_raise(err, E_CONFIG, "holds a '/' or ',', which no access key has");
    return keep_plain(&c->access_key, value, 256, err); /* what s3_sign takes */
}

static struct rc set_secret_key(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return keep_plain(&c->secret_key, value, TEXT_MAX, err);
}

static struct rc set_session_token(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return keep_plain(&c->session_token, value, TOKEN_MAX, err);
}

static struct rc set_profile(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    if (value[0] == 0 || strlen(value) > TEXT_MAX || strpbrk(value, "[]\r\n") != NULL)
        return rc_raise(err, E_CONFIG, "is not the name of a profile");
    keep(&c->profile, value);
    return RC_OK;
}

static struct rc set_anonymous(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "false|true", &which, err));
    c->anonymous = which == 1;
    return RC_OK;
}

/* --- how objects are kept ----------------------------------------------------------------------------------------- */

static struct rc set_storage_class(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    if (value[0] == 0 || value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != 0 || strlen(value) > 64)
        return rc_raise(err, E_CONFIG, "'%.*s' is not a storage class like STANDARD or STANDARD_IA", QUOTE_MAX, value);
    if (strcmp(value, "GLACIER") == 0 || strcmp(value, "DEEP_ARCHIVE") == 0)
        return rc_raise(err, E_CONFIG, "objects in '%s' cannot be read at once, so nothing could be restored", value);
    keep(&c->storage_class, value);
    return RC_OK;
}

static struct rc set_sse(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "AES256|aws:kms|customer", &which, err));
    c->sse = (enum s3_sse)(S3_SSE_S3 + which);
    return RC_OK;
}

static struct rc set_sse_kms_key(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return keep_plain(&c->sse_kms_key, value, TEXT_MAX, err);
}

/* Base64 of exactly 32 bytes, in its one proper form.  The message never quotes it. */
static bool is_customer_key(const char *text)
{
    unsigned char key[SSE_KEY_SIZE + 1], again[SSE_TEXT_SIZE + 1];
    bool ok = strlen(text) == SSE_TEXT_SIZE
              && EVP_DecodeBlock(key, (const unsigned char *)text, SSE_TEXT_SIZE) == SSE_KEY_SIZE + 1
              && EVP_EncodeBlock(again, key, SSE_KEY_SIZE) == SSE_TEXT_SIZE && memcmp(again, text, SSE_TEXT_SIZE) == 0;

    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(again, sizeof again);
    return ok;
}

static void wipe_fini(struct buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->room);
    buf_fini(b);
}

/* The file holds the 32 bytes, or their base64 and perhaps a line break. */
static struct rc read_customer_key(const struct fsys *fs, const char *path, struct buf *out, struct err *err)
{
    unsigned char text[SSE_TEXT_SIZE + 1];

    TRY(fsys_read_file(fs, path, out, err));
    if (out->size == SSE_KEY_SIZE) {
        if (EVP_EncodeBlock(text, out->data, SSE_KEY_SIZE) != SSE_TEXT_SIZE)
            return rc_raise(err, E_BUG, "base64 of the key in %s", path);
        buf_clear(out);
        buf_put(out, text, SSE_TEXT_SIZE);
        OPENSSL_cleanse(text, sizeof text);
        return buf_check(out, "key", err);
    }
    while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
        buf_trim(out, out->size - 1);
    return RC_OK;
}

static struct rc set_sse_customer_key(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    CLEANUP(wipe_fini) struct buf text;
    struct err cause;

    buf_init(&text, 256);
    if (strncmp(value, "file:", 5) == 0) {
        if (value[5] != '/')
            return rc_raise(err, E_CONFIG, "'%.*s' is not file: and an absolute path", QUOTE_MAX, value);
        if (rc_failed(read_customer_key(fs, value + 5, &text, &cause)))
            return rc_raise(err, E_CONFIG, "%s", cause.msg);
        value = buf_str(&text);
    }
    if (!is_customer_key(value))
        return rc_raise(err, E_CONFIG, "is neither the base64 of 32 bytes nor file:/path to such a key");
    keep(&c->sse_customer_key, value);
    return RC_OK;
}

static struct rc set_part_size(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    uint64_t v;

    (void)fs;
    TRY(size_between(value, 1, S3_CONFIG_PART_SIZE_MAX, &v, err));
    c->part_size = (size_t)v;
    return RC_OK;
}

/* --- how it is spoken to ------------------------------------------------------------------------------------------ */

static struct rc set_ca_file(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    if (value[0] == 0)
        return rc_raise(err, E_CONFIG, "is empty");
    keep(&c->ca_file, value);
    return RC_OK;
}

static struct rc set_proxy(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    unsigned which;
    size_t n;
    unsigned port;

    (void)fs;
    TRY(s3_uri_parse(value, &uri, err));
    TRY(one_of(uri.scheme, "http|https|socks4|socks4a|socks5|socks5h", &which, err));
    if (!s3_uri_host(uri.host, &n, &port) || (uri.path[0] != 0 && strcmp(uri.path, "/") != 0) || uri.param_count > 0)
        return rc_raise(err, E_CONFIG, "is not scheme://host:port");
    keep(&c->proxy, value);
    return RC_OK;
}

static struct rc set_parallel(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    uint64_t v;

    (void)fs;
    TRY(strx_u64(value, 1, S3_CONFIG_PARALLEL_MAX, &v, err));
    c->parallel = (unsigned)v;
    return RC_OK;
}

static struct rc set_upload_rate(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return rate(value, &c->upload_rate, err);
}

static struct rc set_download_rate(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return rate(value, &c->download_rate, err);
}

static struct rc set_http2(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "false|true", &which, err));
    c->no_http2 = which == 0;
    return RC_OK;
}

static struct rc set_if_match(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "quoted|unquoted", &which, err));
    c->etag_unquoted = which == 1;
    return RC_OK;
}

static struct rc set_conditional(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    unsigned which;

    (void)fs;
    TRY(one_of(value, "auto|none", &which, err));
    c->conditional = (enum s3_conditional)which;
    return RC_OK;
}

static struct rc set_stall(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return duration_between(value, STALL_MS_MIN, STALL_MS_MAX, &c->stall_ms, err);
}

static struct rc set_connect(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err)
{
    (void)fs;
    return duration_between(value, CONNECT_MS_MIN, CONNECT_MS_MAX, &c->connect_ms, err);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

enum in_url { URL_FINE, URL_SECRET, URL_FILE_ONLY, URL_NO_PASSWORD };

static const struct {
    const char *name;
    struct rc (*set)(struct s3_config *c, const struct fsys *fs, const char *value, struct err *err);
    enum in_url in_url;
} options[] = {
    {"endpoint", set_endpoint, URL_FINE},
    {"region", set_region, URL_FINE},
    {"addressing", set_addressing, URL_FINE},
    {"access-key", set_access_key, URL_FINE},
    {"secret-key", set_secret_key, URL_SECRET},
    {"session-token", set_session_token, URL_SECRET},
    {"profile", set_profile, URL_FINE},
    {"anonymous", set_anonymous, URL_FINE},
    {"storage-class", set_storage_class, URL_FINE},
    {"sse", set_sse, URL_FINE},
    {"sse-kms-key", set_sse_kms_key, URL_FINE},
    {"sse-customer-key", set_sse_customer_key, URL_FILE_ONLY},
    {"ca-file", set_ca_file, URL_FINE},
    {"proxy", set_proxy, URL_NO_PASSWORD},
    {"part-size", set_part_size, URL_FINE},
    {"parallel", set_parallel, URL_FINE},
    {"upload-rate", set_upload_rate, URL_FINE},
    {"download-rate", set_download_rate, URL_FINE},
    {"http2", set_http2, URL_FINE},
    {"provider", set_provider, URL_FINE},
    {"if-match", set_if_match, URL_FINE},
    {"conditional", set_conditional, URL_FINE},
    {"stall-timeout", set_stall, URL_FINE},
    {"connect-timeout", set_connect, URL_FINE},
};
enum { OPTION_COUNT = sizeof options / sizeof options[0] };
_Static_assert((int)OPTION_COUNT < (int)S3_CONFIG_OPTION_MAX, "callers keep a value for each");

const char *s3_config_option_name(size_t index)
{
    return index < OPTION_COUNT ? options[index].name : "";
}

bool s3_config_option_find(const char *name, size_t *index)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strcmp(options[i].name, name) == 0) {
            *index = i;
            return true;
        }
    return false;
}

struct rc s3_config_option_in_url(size_t index, const char *value, struct err *err)
{
    enum in_url in_url = options[index].in_url;

    /* The path of a file is no secret. */
    if (in_url == URL_SECRET || (in_url == URL_FILE_ONLY && strncmp(value, "file:", 5) != 0))
        return rc_raise(err, E_CONFIG, "does not belong in a URL, which process lists and logs show");
    if (in_url == URL_NO_PASSWORD && strchr(value, '@') != NULL)
        return rc_raise(err, E_CONFIG, "with a password does not belong in a URL, which process lists and logs show");
    return RC_OK;
}

struct rc s3_config_option_set(
    struct s3_config *c, const struct fsys *fs, size_t index, const char *value, struct err *err)
{
    TRY_CTX(options[index].set(c, fs, value, err), err, "option %s", options[index].name);
    return RC_OK;
}
