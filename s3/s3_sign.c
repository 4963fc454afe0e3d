/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_sign.h"

#include "s3_uri.h"
#include "strx.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_SIZE = 32,
    DAY_SIZE = 8,         /* "20130524" */
    SECRET_MAX = 512,     /* AWS's have 40 bytes */
    SCOPE_TEXT_MAX = 256, /* access key, region, service: each */
    PRESIGN_EXTRA = 6,    /* X-Amz-Algorithm, -Credential, -Date, -Expires, -SignedHeaders, -Security-Token */
    DERIVED_KEPT = 4,     /* the store's and STS's, over midnight */
};

#define ALGORITHM "AWS4-HMAC-SHA256"

/* A derived key, and by what it was derived: a hash over the secret and the scope, so that a secret that was exchanged
 * under the same access key is not mistaken for the old one. */
static struct derived {
    bool used;
    uint8_t id[HASH_SIZE], key[HASH_SIZE];
} derived_keys[DERIVED_KEPT];
static unsigned derived_next;

/* OpenSSL's SHA-256 fails only without memory, like mem_new() does. */
static void must(bool ok)
{
    assert(ok);
}

/* --- small things ------------------------------------------------------------------------------------------------- */

static void to_hex(const uint8_t hash[HASH_SIZE], char out[S3_SIGN_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < HASH_SIZE; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[S3_SIGN_HEX_SIZE - 1] = 0;
}

void s3_sign_sha256(struct span data, char out[S3_SIGN_HEX_SIZE])
{
    uint8_t hash[HASH_SIZE];

    must(EVP_Digest(data.data, data.size, hash, NULL, EVP_sha256(), NULL) == 1);
    to_hex(hash, out);
}

void s3_sign_md5(struct span data, char out[S3_SIGN_MD5_SIZE])
{
    uint8_t hash[16];
    size_t size = 0;

    out[0] = 0;
    if (EVP_Q_digest(NULL, "MD5", NULL, data.data, data.size, hash, &size) == 1 && size == sizeof hash)
        must(EVP_EncodeBlock((unsigned char *)out, hash, (int)sizeof hash) == 24);
}

void s3_sign_date(int64_t time_ms, char out[S3_SIGN_DATE_SIZE])
{
    char text[STRX_TIME_SIZE];
    size_t n = 0;

    (void)strx_format_time(time_ms, text); /* the same as `text` */
    for (const char *at = text; *at != '.' && *at != 0 && n < S3_SIGN_DATE_SIZE - 2; at++)
        if (*at != '-' && *at != ':')
            out[n++] = *at;
    out[n++] = 'Z';
    out[n] = 0;
}

static void hmac(struct span key, struct span data, uint8_t out[HASH_SIZE])
{
    unsigned size = 0;

    must(HMAC(EVP_sha256(), key.data, (int)key.size, data.data, data.size, out, &size) != NULL);
    must(size == HASH_SIZE);
}

static struct span text_span(const char *text)
{
    return span_of(text, strlen(text));
}

/* --- what may be signed ------------------------------------------------------------------------------------------- */

/* A part of the credential scope, which is delimited by '/', and stands in a header. */
static struct rc check_scope_text(const char *text, const char *what, struct err *err)
{
    size_t n = text == NULL ? 0 : strlen(text);

    if (n == 0)
        return rc_raise(err, E_CONFIG, "sign: no %s", what);
    if (n > SCOPE_TEXT_MAX)
        return rc_raise(err, E_CONFIG, "sign: the %s has more than %d bytes", what, SCOPE_TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '/' || text[i] == ',')
            return rc_raise(err, E_CONFIG, "sign: the %s has a character that cannot be in one", what);
    return RC_OK;
}

static struct rc check_key(const struct s3_sign_key *key, struct err *err)
{
    TRY(check_scope_text(key->access_key, "access key", err));
    TRY(check_scope_text(key->region, "region", err));
    TRY(check_scope_text(key->service, "service", err));
    if (key->secret_key == NULL || key->secret_key[0] == 0)
        return rc_raise(err, E_CONFIG, "sign: no secret key");
    if (strlen(key->secret_key) > SECRET_MAX)
        return rc_raise(err, E_CONFIG, "sign: the secret key has more than %d bytes", SECRET_MAX);
    return RC_OK;
}

static bool is_hash(const char *text)
{
    return text != NULL && strlen(text) == S3_SIGN_HEX_SIZE - 1
           && strspn(text, "0123456789abcdef") == S3_SIGN_HEX_SIZE - 1;
}

static struct rc check_input(const struct s3_sign_input *in, struct err *err)
{
    const char *method = in->method, *path = in->path;

    if (method == NULL || method[0] == 0 || method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != 0)
        return rc_raise(err, E_BUG, "sign: this is no method");
    if (path == NULL || path[0] != '/')
        return rc_raise(err, E_BUG, "sign: the path does not begin with '/'");
    for (; *path != 0; path++)
        if (*path <= ' ' || *path > '~' || *path == '?' || *path == '#')
            return rc_raise(err, E_BUG, "sign: the path is not encoded");
    if (!is_hash(in->payload_hash) && (in->payload_hash == NULL || strcmp(in->payload_hash, S3_SIGN_UNSIGNED) != 0))
        return rc_raise(err, E_BUG, "sign: the payload hash is none");
    return RC_OK;
}

/* --- canonical form ----------------------------------------------------------------------------------------------- */

/* A header or parameter in its canonical form, inside a text of all of them. */
struct item {
    size_t name_at, value_at;
    const char *name, *value; /* filled in when the text moves no more */
    size_t order;             /* of appearance */
};

struct items {
    struct buf text;
    struct item list[S3_SIGN_ITEMS_MAX + PRESIGN_EXTRA];
    size_t count;
};

static void items_init(struct items *items)
{
    buf_init(&items->text, S3_SIGN_TEXT_MAX);
    items->count = 0;
}

static void items_fini(struct items *items)
{
    buf_fini(&items->text);
}

/* `qsort` is not stable, so equal names keep their order by number: RFC 9110 lets no one swap equal headers. */
static int compare_headers(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);

    if (by_name != 0)
        return by_name;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int compare_params(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);

    return by_name != 0 ? by_name : strcmp(x->value, y->value);
}

static struct rc items_sort(struct items *items, int (*compare)(const void *, const void *), struct err *err)
{
    const char *text;

    TRY(buf_check(&items->text, "sign", err));
    text = (const char *)items->text.data;
    for (size_t i = 0; i < items->count; i++) {
        items->list[i].name = text + items->list[i].name_at;
        items->list[i].value = text + items->list[i].value_at;
        items->list[i].order = i;
    }
    qsort(items->list, items->count, sizeof items->list[0], compare);
    return RC_OK;
}

static void add_param(struct items *items, const char *name, const char *value)
{
    struct item *item = &items->list[items->count++];

    assert(items->count <= sizeof items->list / sizeof items->list[0]);
    item->name_at = items->text.size;
    s3_uri_encode(name, S3_URI_ENCODE_SLASH, &items->text);
    buf_u8(&items->text, 0);
    item->value_at = items->text.size;
    s3_uri_encode(value, S3_URI_ENCODE_SLASH, &items->text);
    buf_u8(&items->text, 0);
}

static struct rc add_params(struct items *items, const struct s3_sign_param *query, size_t count, struct err *err)
{
    if (count > S3_SIGN_ITEMS_MAX)
        return rc_raise(err, E_NOSPACE, "sign: more than %d parameters", S3_SIGN_ITEMS_MAX);
    for (size_t i = 0; i < count; i++)
        add_param(items, query[i].name, query[i].value);
    return RC_OK;
}

/* Sorted by name and then by value, both encoded. */
static struct rc put_query(struct items *items, struct buf *out, struct err *err)
{
    TRY(items_sort(items, compare_params, err));
    for (size_t i = 0; i < items->count; i++) {
        buf_text(out, i > 0 ? "&" : "");
        buf_text(out, items->list[i].name);
        buf_u8(out, '=');
        buf_text(out, items->list[i].value);
    }
    return RC_OK;
}

static struct rc add_header(struct items *items, const struct s3_sign_param *header, struct err *err)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct item *item = &items->list[items->count++];
    const char *at;

    if (header->name[0] == 0 || header->name[strspn(header->name, allowed)] != 0)
        return rc_raise(err, E_BUG, "sign: this is no name of a header");
    item->name_at = items->text.size;
    for (at = header->name; *at != 0; at++)
        buf_u8(&items->text, (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at + ('a' - 'A') : *at));
    buf_u8(&items->text, 0);
    item->value_at = items->text.size;
    /* Spaces at the ends vanish, others become one. */
    for (at = header->value + strspn(header->value, " "); *at != 0; at++) {
        if ((uint8_t)*at < ' ' || *at == 0x7f)
            return rc_raise(err, E_CONFIG, "sign: the value of header %s has a control character", header->name);
        if (*at != ' ' || (at[1] != ' ' && at[1] != 0))
            buf_u8(&items->text, (uint8_t)*at);
    }
    buf_u8(&items->text, 0);
    return RC_OK;
}

/* "name:value\n" each, and "name;name" of all. */
static struct rc put_headers(const struct s3_sign_input *in, struct buf *lines, struct buf *names, struct err *err)
{
    CLEANUP(items_fini) struct items items;
    bool has_host = false;

    items_init(&items);
    if (in->header_count > S3_SIGN_ITEMS_MAX)
        return rc_raise(err, E_NOSPACE, "sign: more than %d headers", S3_SIGN_ITEMS_MAX);
    for (size_t i = 0; i < in->header_count; i++)
        TRY(add_header(&items, &in->headers[i], err));
    TRY(items_sort(&items, compare_headers, err));
    for (size_t i = 0; i < items.count; i++) {
        const struct item *item = &items.list[i];

        if (i > 0 && strcmp(item->name, items.list[i - 1].name) == 0) { /* headers of one name are one list */
            buf_u8(lines, ',');
            buf_text(lines, item->value);
            continue;
        }
        has_host |= strcmp(item->name, "host") == 0;
        buf_text(lines, i > 0 ? "\n" : "");
        buf_printf(lines, "%s:", item->name);
        buf_text(lines, item->value);
        buf_text(names, i > 0 ? ";" : "");
        buf_text(names, item->name);
    }
    buf_text(lines, "\n");
    if (!has_host)
        return rc_raise(err, E_BUG, "sign: the header host is missing");
    TRY(buf_check(names, "sign", err));
    return buf_check(lines, "sign", err);
}

/* --- the signature ------------------------------------------------------------------------------------------------ */

static void make_id(const struct s3_sign_key *key, const char *day, uint8_t out[HASH_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    must(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    must(EVP_DigestUpdate(ctx, day, DAY_SIZE) == 1);
    must(EVP_DigestUpdate(ctx, key->region, strlen(key->region) + 1) == 1);
    must(EVP_DigestUpdate(ctx, key->service, strlen(key->service) + 1) == 1);
    must(EVP_DigestUpdate(ctx, key->access_key, strlen(key->access_key) + 1) == 1);
    must(EVP_DigestUpdate(ctx, key->secret_key, strlen(key->secret_key)) == 1);
    must(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

static void derive(const struct s3_sign_key *key, const char *day, uint8_t out[HASH_SIZE])
{
    char secret[SECRET_MAX + 8] = "AWS4";
    size_t n = strlen(key->secret_key);
    uint8_t a[HASH_SIZE], b[HASH_SIZE];

    assert(n <= SECRET_MAX);
    memcpy(secret + 4, key->secret_key, n);
    hmac(span_of(secret, n + 4), span_of(day, DAY_SIZE), a);
    hmac(span_of(a, HASH_SIZE), text_span(key->region), b);
    hmac(span_of(b, HASH_SIZE), text_span(key->service), a);
    hmac(span_of(a, HASH_SIZE), text_span("aws4_request"), out);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(a, sizeof a);
    OPENSSL_cleanse(b, sizeof b);
}

/* The key that this one signs with on this day; valid until the next call. */
static struct span derived_key(const struct s3_sign_key *key, const char *day)
{
    struct derived *d;
    uint8_t id[HASH_SIZE];

    make_id(key, day, id);
    for (d = derived_keys; d < derived_keys + DERIVED_KEPT; d++)
        if (d->used && memcmp(d->id, id, HASH_SIZE) == 0)
            return span_of(d->key, HASH_SIZE);
    d = &derived_keys[derived_next++ % DERIVED_KEPT];
    d->used = true;
    memcpy(d->id, id, HASH_SIZE);
    derive(key, day, d->key);
    return span_of(d->key, HASH_SIZE);
}

void s3_sign_forget(void)
{
    OPENSSL_cleanse(derived_keys, sizeof derived_keys);
    derived_next = 0;
}

/* The canonical request of its parts, hashed, signed. */
static struct rc sign(const struct s3_sign_key *key, const struct s3_sign_input *in, const char *query,
    const char *lines, const char *names, char out[S3_SIGN_HEX_SIZE], struct err *err)
{
    CLEANUP(buf_fini) struct buf text;
    char date[S3_SIGN_DATE_SIZE], hex[S3_SIGN_HEX_SIZE];
    uint8_t hash[HASH_SIZE];

    buf_init(&text, 4 * S3_SIGN_TEXT_MAX);
    s3_sign_date(in->time_ms, date);
    buf_text(&text, in->method);
    buf_u8(&text, '\n');
    buf_text(&text, in->path);
    buf_u8(&text, '\n');
    buf_text(&text, query);
    buf_u8(&text, '\n');
    buf_text(&text, lines);
    buf_u8(&text, '\n');
    buf_text(&text, names);
    buf_u8(&text, '\n');
    buf_text(&text, in->payload_hash);
    TRY(buf_check(&text, "sign", err));
    s3_sign_sha256(buf_span(&text), hex);
    buf_clear(&text);
    buf_printf(
        &text, ALGORITHM "\n%s\n%.*s/%s/%s/aws4_request\n%s", date, DAY_SIZE, date, key->region, key->service, hex);
    TRY(buf_check(&text, "sign", err));
    hmac(derived_key(key, date), buf_span(&text), hash);
    to_hex(hash, out);
    return RC_OK;
}

struct rc s3_sign_query(const struct s3_sign_param *query, size_t count, struct buf *out, struct err *err)
{
    CLEANUP(items_fini) struct items items;
    size_t before = out->size;

    items_init(&items);
    TRY(add_params(&items, query, count, err));
    TRY(put_query(&items, out, err));
    if (out->failed != E_OK)
        buf_trim(out, before);
    return buf_check(out, "sign: query", err);
}

struct rc s3_sign_header(
    const struct s3_sign_key *key, const struct s3_sign_input *in, struct buf *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf query, lines, names;
    char date[S3_SIGN_DATE_SIZE], signature[S3_SIGN_HEX_SIZE];

    buf_init(&query, S3_SIGN_TEXT_MAX);
    buf_init(&lines, S3_SIGN_TEXT_MAX);
    buf_init(&names, S3_SIGN_TEXT_MAX);
    TRY(check_key(key, err));
    TRY(check_input(in, err));
    TRY(s3_sign_query(in->query, in->query_count, &query, err));
    TRY(put_headers(in, &lines, &names, err));
    TRY(sign(key, in, buf_str(&query), buf_str(&lines), buf_str(&names), signature, err));
    s3_sign_date(in->time_ms, date);
    buf_printf(out, ALGORITHM " Credential=%s/%.*s/%s/%s/aws4_request, SignedHeaders=", key->access_key, DAY_SIZE, date,
        key->region, key->service);
    buf_text(out, buf_str(&names));
    buf_printf(out, ", Signature=%s", signature);
    return buf_check(out, "sign: header", err);
}

struct rc s3_sign_presign(
    const struct s3_sign_key *key, const struct s3_sign_input *in, uint32_t seconds, struct buf *out, struct err *err)
{
    CLEANUP(items_fini) struct items items;
    CLEANUP(buf_fini) struct buf query, lines, names, scope;
    char date[S3_SIGN_DATE_SIZE], expires[16], signature[S3_SIGN_HEX_SIZE];

    items_init(&items);
    buf_init(&query, S3_SIGN_TEXT_MAX);
    buf_init(&lines, S3_SIGN_TEXT_MAX);
    buf_init(&names, S3_SIGN_TEXT_MAX);
    buf_init(&scope, S3_SIGN_TEXT_MAX);
    TRY(check_key(key, err));
    TRY(check_input(in, err));
    if (seconds < 1 || seconds > S3_SIGN_SECONDS_MAX)
        return rc_raise(
            err, E_CONFIG, "sign: a URL can be valid for 1 to %d seconds, not %u", S3_SIGN_SECONDS_MAX, seconds);
    TRY(put_headers(in, &lines, &names, err));
    s3_sign_date(in->time_ms, date);
    (void)snprintf(expires, sizeof expires, "%u", seconds); /* fits */
    buf_printf(&scope, "%s/%.*s/%s/%s/aws4_request", key->access_key, DAY_SIZE, date, key->region, key->service);
    TRY(buf_check(&scope, "sign", err));
    TRY(add_params(&items, in->query, in->query_count, err));
    add_param(&items, "X-Amz-Algorithm", ALGORITHM);
    add_param(&items, "X-Amz-Credential", buf_str(&scope));
    add_param(&items, "X-Amz-Date", date);
    add_param(&items, "X-Amz-Expires", expires);
    add_param(&items, "X-Amz-SignedHeaders", buf_str(&names));
    if (key->session_token != NULL && key->session_token[0] != 0)
        add_param(&items, "X-Amz-Security-Token", key->session_token);
    TRY(put_query(&items, &query, err));
    TRY(buf_check(&query, "sign", err));
    TRY(sign(key, in, buf_str(&query), buf_str(&lines), buf_str(&names), signature, err));
    buf_text(out, buf_str(&query));
    buf_printf(out, "&X-Amz-Signature=%s", signature);
    return buf_check(out, "sign: presigned query", err);
}
