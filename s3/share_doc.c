/* SPDX-License-Identifier: Apache-2.0 */
#include "share_doc.h"

#include "alloc.h"
#include "s3_uri.h"
#include "store.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void fini_object(struct share_object *o)
{
    if (o->url != NULL)
        explicit_bzero(o->url, strlen(o->url));
    mem_free(o->url);
    mem_free(o->key);
}

void share_doc_init(struct share_doc *d)
{
    *d = (struct share_doc){0};
}

void share_doc_fini(struct share_doc *d)
{
    for (size_t i = 0; i < d->count; i++)
        fini_object(&d->objects[i]);
    mem_free(d->objects);
    share_doc_init(d);
}

struct rc share_doc_add(struct share_doc *d, const char *key, uint64_t size, struct err *err)
{
    if (d->count >= SHARE_DOC_OBJECTS_MAX)
        return rc_raise(err, E_NOSPACE, "a share of more than %d objects", SHARE_DOC_OBJECTS_MAX);
    if (!mem_grow(&d->objects, d->count, &d->room, sizeof *d->objects))
        return rc_raise(err, E_NOMEM, "a share of %zu objects", d->count + 1);
    d->objects[d->count++] = (struct share_object){.key = mem_strdup(key), .size = size};
    return RC_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct share_object *)a)->key, ((const struct share_object *)b)->key);
}

void share_doc_sort(struct share_doc *d)
{
    size_t kept = 0;

    if (d->count == 0)
        return;
    qsort(d->objects, d->count, sizeof *d->objects, compare);
    for (size_t i = 1; i < d->count; i++) {
        if (strcmp(d->objects[kept].key, d->objects[i].key) == 0)
            fini_object(&d->objects[i]);
        else
            d->objects[++kept] = d->objects[i];
    }
    d->count = kept + 1;
}

const struct share_object *share_doc_find(const struct share_doc *d, const char *key, size_t *at)
{
    size_t low = 0, high = d->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(d->objects[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (at != NULL)
        *at = low;
    return low < d->count && strcmp(d->objects[low].key, key) == 0 ? &d->objects[low] : NULL;
}

uint64_t share_doc_bytes(const struct share_doc *d)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->count; i++)
        sum += d->objects[i].size; /* each is below 2^63, and wrapping around harms nobody */
    return sum;
}

/* --- encoding ----------------------------------------------------------------------------------------------------- */

/* Keys and encoded URLs have nothing that JSON would have to escape; a quote or a backslash would be ours to find. */
static void put_object(const struct share_object *o, bool first, struct buf *out)
{
    assert(store_key_ok(o->key));
    assert(o->url != NULL);
    assert(strpbrk(o->url, "\"\\") == NULL);
    buf_printf(out, "%s\n  {\"key\": \"%s\", \"size\": %" PRIu64 ", \"url\": \"", first ? "" : ",", o->key, o->size);
    buf_text(out, o->url);
    buf_text(out, "\"}");
}

struct rc share_doc_encode(const struct share_doc *d, struct buf *out, struct err *err)
{
    char created[STRX_TIME_SIZE], expires[STRX_TIME_SIZE];

    buf_printf(out,
        "{\"weir_share\": %d, \"created\": \"%s\", \"expires\": \"%s\", \"timeline\": %" PRIu32 ", \"txid\": %" PRIu64
        ",\n \"objects\": [",
        SHARE_DOC_VERSION, strx_format_time(d->created_ms, created), strx_format_time(d->expires_ms, expires),
        d->timeline, d->txid);
    for (size_t i = 0; i < d->count; i++)
        put_object(&d->objects[i], i == 0, out);
    buf_text(out, "]}\n");
    return buf_check(out, "the document of the share", err);
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

static void json_freep(json_t **j)
{
    json_decref(*j);
}

static struct rc take_number(
    const json_t *doc, const char *name, json_int_t min, json_int_t max, uint64_t *out, struct err *err)
{
    const json_t *v = json_object_get(doc, name);

    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return rc_raise(
            err, E_CORRUPT, "\"%s\" is not a number from %lld to %lld", name, (long long)min, (long long)max);
    *out = (uint64_t)json_integer_value(v);
    return RC_OK;
}

static struct rc take_text(const json_t *doc, const char *name, size_t max, const char **out, struct err *err)
{
    const json_t *v = json_object_get(doc, name);

    if (!json_is_string(v) || json_string_length(v) > max || strlen(json_string_value(v)) != json_string_length(v))
        return rc_raise(err, E_CORRUPT, "\"%s\" is not a text of at most %zu bytes", name, max);
    *out = json_string_value(v);
    return RC_OK;
}

static struct rc take_time(const json_t *doc, const char *name, int64_t *out, struct err *err)
{
    const char *text = NULL;
    struct err quoting;

    TRY(take_text(doc, name, STRX_TIME_SIZE - 1, &text, err));
    if (rc_failed(strx_time_ms(text, out, &quoting)))
        return rc_raise(err, E_CORRUPT, "\"%s\" is not a time like 2026-11-21T02:01:21Z", name);
    return RC_OK;
}

/* The parser's messages may quote the link, so they are not told. */
static struct rc check_url(const char *url, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    struct err quoting;
    size_t name_size;
    unsigned port;

    for (const char *at = url; *at != 0; at++)
        if (*at < '!' || *at > '~' || *at == '"' || *at == '\\')
            return rc_raise(err, E_CORRUPT, "\"url\" holds a character that no URL has");
    if (rc_failed(s3_uri_parse(url, &uri, &quoting)) || !s3_uri_host(uri.host, &name_size, &port) || uri.has_user
        || (strcmp(uri.scheme, "https") != 0 && strcmp(uri.scheme, "http") != 0))
        return rc_raise(err, E_CORRUPT, "\"url\" is not a URL like https://host/path?query");
    return RC_OK;
}

static struct rc take_object(struct share_doc *d, const json_t *v, struct err *err)
{
    const char *key = NULL, *url = NULL;
    uint64_t size = 0;

    TRY(take_text(v, "key", STORE_KEY_MAX, &key, err));
    if (!store_key_ok(key))
        return rc_raise(err, E_CORRUPT, "\"key\" is not the key of an object");
    TRY(take_number(v, "size", 0, INT64_MAX, &size, err));
    TRY(take_text(v, "url", SHARE_DOC_URL_MAX, &url, err));
    TRY(check_url(url, err));
    TRY(share_doc_add(d, key, size, err));
    d->objects[d->count - 1].url = mem_strdup(url);
    return RC_OK;
}

static struct rc take_objects(struct share_doc *d, const json_t *doc, struct err *err)
{
    const json_t *list = json_object_get(doc, "objects");
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count == 0 || count > SHARE_DOC_OBJECTS_MAX)
        return rc_raise(err, E_CORRUPT, "\"objects\" is not a list of 1 to %d objects", SHARE_DOC_OBJECTS_MAX);
    for (size_t i = 0; i < count; i++)
        TRY_CTX(take_object(d, json_array_get(list, i), err), err, "object %zu", i + 1);
    share_doc_sort(d);
    if (d->count != count)
        return rc_raise(err, E_CORRUPT, "a key is there more than once");
    return RC_OK;
}

static struct rc take_doc(struct share_doc *d, const json_t *doc, struct err *err)
{
    uint64_t version = 0, timeline = 0;

    TRY(take_number(doc, "weir_share", 1, INT32_MAX, &version, err));
    if (version != SHARE_DOC_VERSION)
        return rc_raise(err, E_UNSUPPORTED, "a share of version %" PRIu64 "; this weir knows version %d", version,
            SHARE_DOC_VERSION);
    TRY(take_time(doc, "created", &d->created_ms, err));
    TRY(take_time(doc, "expires", &d->expires_ms, err));
    TRY(take_number(doc, "timeline", 1, UINT32_MAX, &timeline, err));
    d->timeline = (uint32_t)timeline;
    TRY(take_number(doc, "txid", 1, INT64_MAX, &d->txid, err));
    return take_objects(d, doc, err);
}

struct rc share_doc_decode(struct span json, struct share_doc *out, struct err *err)
{
    CLEANUP(share_doc_fini) struct share_doc d = {0};
    CLEANUP(json_freep) json_t *doc = NULL;
    json_error_t where;

    if (json.size > SHARE_DOC_MAX)
        return rc_raise(err, E_CORRUPT, "%zu bytes, more than the limit of %d", json.size, SHARE_DOC_MAX);
    if (json.size > 0) /* the parser takes no NULL */
        doc = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(doc) || json_object_get(doc, "weir_share") == NULL)
        return rc_raise(err, E_CORRUPT, "not the document of a share, as weir share writes it");
    TRY(take_doc(&d, doc, err));
    *out = d;
    share_doc_init(&d);
    return RC_OK;
}
