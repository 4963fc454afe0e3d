/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_uri.h"

#include "alloc.h"

#include <openssl/crypto.h>
#include <string.h>

/* --- characters --------------------------------------------------------------------------------------------------- */

static bool is_alpha(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_unreserved(char c)
{
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

void s3_uri_encode(const char *text, enum s3_uri_slash slash, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != 0; text++) {
        uint8_t c = (uint8_t)*text;

        if (is_unreserved(*text) || (*text == '/' && slash == S3_URI_KEEP_SLASH)) {
            buf_u8(out, c);
        } else {
            buf_u8(out, '%');
            buf_u8(out, (uint8_t)digits[c >> 4]);
            buf_u8(out, (uint8_t)digits[c & 15]);
        }
    }
}

struct rc s3_uri_decode(struct span text, const char *what, struct buf *out, struct err *err)
{
    const char *at = (const char *)text.data, *end;

    if (text.size == 0)
        return RC_OK;
    for (end = at + text.size; at < end; at++) {
        int high = 0, low = 0;

        if ((uint8_t)*at <= ' ' || *at == 0x7f)
            return rc_raise(err, E_CONFIG, "%s: a space or control character must be written as %%20 and so on", what);
        if (*at != '%') {
            buf_u8(out, (uint8_t)*at);
            continue;
        }
        if (end - at >= 3) {
            high = hex_value(at[1]);
            low = hex_value(at[2]);
        }
        if (end - at < 3 || high < 0 || low < 0)
            return rc_raise(err, E_CONFIG, "%s: a '%%' must be followed by two hex digits", what);
        if (high == 0 && low == 0)
            return rc_raise(err, E_CONFIG, "%s: %%00 is not allowed", what);
        buf_u8(out, (uint8_t)(high << 4 | low));
        at += 2;
    }
    return buf_check(out, what, err);
}

/* --- URLs --------------------------------------------------------------------------------------------------------- */

static char *copy(const char *from, size_t n)
{
    return mem_printf("%.*s", (int)n, from);
}

static struct rc decode_copy(const char *from, size_t n, char **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text;
    struct rc rc;

    buf_init(&text, S3_URI_MAX);
    rc = s3_uri_decode(span_of(from, n), "query", &text, err);
    if (!rc_failed(rc))
        *out = mem_strdup(buf_str(&text));
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.size);
    return rc;
}

/* Without the '?'.  Empty pieces ("a=1&&b=2") are nothing. */
static struct rc parse_query(const char *at, struct s3_uri *out, struct err *err)
{
    while (*at != 0) {
        size_t n = strcspn(at, "&"), name = strcspn(at, "&=");
        struct s3_uri_param *param;

        if (n > 0) {
            if (out->param_count == S3_URI_PARAMS_MAX)
                return rc_raise(err, E_CONFIG, "query: more than %d parameters", S3_URI_PARAMS_MAX);
            param = &out->params[out->param_count++];
            TRY(decode_copy(at, name, &param->name, err));
            TRY(decode_copy(at + name + (name < n), n - name - (name < n), &param->value, err));
        }
        at += n + (at[n] == '&');
    }
    return RC_OK;
}

static struct rc parse(const char *url, struct s3_uri *out, struct err *err)
{
    const char *at = url, *slashes = strstr(url, "://"), *user;
    size_t n;

    if (strlen(url) > S3_URI_MAX)
        return rc_raise(err, E_CONFIG, "url: longer than %d bytes", S3_URI_MAX);
    for (; *at != 0; at++)
        if ((uint8_t)*at <= ' ' || *at == 0x7f)
            return rc_raise(err, E_CONFIG, "url: a space or control character must be written as %%20 and so on");
    if (strchr(url, '#') != NULL)
        return rc_raise(err, E_CONFIG, "url: a '#' must be written as %%23");
    if (slashes == NULL || slashes == url || !is_alpha(url[0]))
        return rc_raise(err, E_CONFIG, "url: does not begin with scheme://");
    for (at = url; at < slashes; at++)
        if (!is_alpha(*at) && !is_digit(*at) && *at != '+' && *at != '-' && *at != '.')
            return rc_raise(err, E_CONFIG, "url: does not begin with scheme://");
    out->scheme = copy(url, (size_t)(slashes - url));
    for (char *c = out->scheme; *c != 0; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    at = slashes + 3;
    n = strcspn(at, "/?");
    user = memrchr(at, '@', n);
    if (user != NULL) {
        out->has_user = true;
        n -= (size_t)(user + 1 - at);
        at = user + 1;
    }
    out->host = copy(at, n);
    at += n;
    n = strcspn(at, "?");
    out->path = copy(at, n);
    at += n;
    out->params = mem_new(S3_URI_PARAMS_MAX * sizeof *out->params);
    return *at == '?' ? parse_query(at + 1, out, err) : RC_OK;
}

struct rc s3_uri_parse(const char *url, struct s3_uri *out, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};

    TRY(parse(url, &uri, err));
    *out = uri;
    uri = (struct s3_uri){0};
    return RC_OK;
}

void s3_uri_fini(struct s3_uri *uri)
{
    for (size_t i = 0; i < uri->param_count; i++) {
        struct s3_uri_param *param = &uri->params[i];

        if (param->value != NULL)
            OPENSSL_cleanse(param->value, strlen(param->value));
        mem_free(param->value);
        mem_free(param->name);
    }
    mem_free(uri->params);
    mem_free(uri->scheme);
    mem_free(uri->host);
    mem_free(uri->path);
    *uri = (struct s3_uri){0};
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

/* Dotted labels of letters, digits, '-' and '_' (which some private names have), none empty, a dot at the end is fine.
 */
static bool is_name(const char *host, size_t n)
{
    size_t label = 0;

    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (host[i] == '.' && label == 0)
            return false;
        if (host[i] != '.' && !is_alpha(host[i]) && !is_digit(host[i]) && host[i] != '-' && host[i] != '_')
            return false;
        label = host[i] == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

static bool is_ipv6(const char *host, size_t n)
{
    if (n < 4 || host[0] != '[' || host[n - 1] != ']')
        return false;
    for (size_t i = 1; i < n - 1; i++)
        if (hex_value(host[i]) < 0 && host[i] != ':' && host[i] != '.')
            return false;
    return memchr(host, ':', n) != NULL;
}

static bool is_ipv4(const char *host, size_t n)
{
    unsigned parts = 0;

    for (size_t i = 0; i < n; parts++) {
        unsigned value = 0;
        size_t start = i;

        for (; i < n && is_digit(host[i]) && i - start < 3; i++)
            value = value * 10 + (unsigned)(host[i] - '0');
        if (i == start || value > 255 || (i < n && host[i] != '.') || (i < n && i + 1 == n))
            return false;
        i += i < n;
    }
    return parts == 4;
}

bool s3_uri_host(const char *host, size_t *name_size, unsigned *port)
{
    const char *bracket = host[0] == '[' ? strchr(host, ']') : NULL, *at;
    size_t n = bracket != NULL ? (size_t)(bracket + 1 - host) : strcspn(host, ":");
    unsigned value = 0;

    if (!is_name(host, n) && !is_ipv6(host, n))
        return false;
    if (host[n] == ':') {
        for (at = host + n + 1; is_digit(*at) && value < 65536; at++)
            value = value * 10 + (unsigned)(*at - '0');
        if (*at != 0 || value == 0 || value > 65535)
            return false;
    } else if (host[n] != 0) {
        return false;
    }
    *name_size = n;
    *port = value;
    return true;
}

bool s3_uri_host_is_ip(const char *host)
{
    size_t n;
    unsigned port;

    return s3_uri_host(host, &n, &port) && (is_ipv4(host, n) || is_ipv6(host, n));
}

bool s3_uri_host_is_loopback(const char *host)
{
    static const char local[] = "localhost";
    const size_t local_size = sizeof local - 1;
    size_t n;
    unsigned port;

    if (!s3_uri_host(host, &n, &port))
        return false;
    if (is_ipv4(host, n))
        return strncmp(host, "127.", 4) == 0;
    if (is_ipv6(host, n))
        return n == 5 && memcmp(host, "[::1]", 5) == 0;
    if (n < local_size || strncasecmp(host + n - local_size, local, local_size) != 0)
        return false;
    return n == local_size || host[n - local_size - 1] == '.'; /* *.localhost, RFC 6761 */
}
