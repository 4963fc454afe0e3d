/* SPDX-License-Identifier: Apache-2.0 */
#include "store_links_answer.h"

#include "alloc.h"
#include "clock.h"
#include "s3_error.h"
#include "s3_uri.h"
#include "store_s3_get.h"
#include "strx.h"

#include <inttypes.h>
#include <string.h>

/* --- from the document -------------------------------------------------------------------------------------------- */

/* The length of the entry that stands for a key: up to the '/' that folds it, or all of it. */
static size_t entry_size(const struct store_req *req, const char *key, bool *is_prefix)
{
    size_t n = strlen(req->key);
    const char *slash = req->by_folder ? strchr(key + n, '/') : NULL;

    *is_prefix = slash != NULL;
    return slash != NULL ? (size_t)(slash + 1 - key) : strlen(key);
}

static bool same_as_last(const struct store_req *req, const char *key, size_t n)
{
    const char *last = req->entry_count > 0 ? req->entries[req->entry_count - 1].key : NULL;

    return last != NULL && strlen(last) == n && strncmp(last, key, n) == 0;
}

/* Is the entry, as a string, behind `after`? */
static bool is_behind(const char *key, size_t n, const char *after)
{
    size_t m = strlen(after);
    int order = memcmp(key, after, n < m ? n : m);

    return order > 0 || (order == 0 && n > m);
}

struct rc store_links_answer_list(const struct share_doc *d, struct store_req *req, struct err *err)
{
    size_t limit = req->limit > 0 ? req->limit : STORE_LIST_MAX, at = 0, prefix = strlen(req->key);

    req->entries = mem_try(limit, sizeof *req->entries);
    if (req->entries == NULL)
        return rc_raise(err, E_NOMEM, "a listing of %zu keys", limit);
    (void)share_doc_find(d, req->key, &at);
    for (; at < d->count && strncmp(d->objects[at].key, req->key, prefix) == 0; at++) {
        const char *key = d->objects[at].key;
        bool is_prefix = false;
        size_t n = entry_size(req, key, &is_prefix);

        if (!is_behind(key, n, req->after) || (is_prefix && same_as_last(req, key, n)))
            continue;
        if (req->entry_count == limit) {
            req->more = true;
            break;
        }
        req->entries[req->entry_count++] = (struct store_entry){.key = mem_printf("%.*s", (int)n, key),
            .size = is_prefix ? 0 : d->objects[at].size,
            .is_prefix = is_prefix};
    }
    return RC_OK;
}

struct rc store_links_answer_find(
    const struct share_doc *d, const struct store_req *req, const struct share_object **out, struct err *err)
{
    const struct share_object *o = share_doc_find(d, req->key, NULL);

    if (o == NULL)
        return rc_raise(err, E_NOTFOUND, "the share has no such object");
    if (req->verb == STORE_GET && req->offset >= o->size && (req->offset > 0 || req->length > 0))
        return rc_raise(
            err, E_NOTFOUND, "offset %" PRIu64 " is behind the end of the object at %" PRIu64, req->offset, o->size);
    *out = o;
    return RC_OK;
}

/* --- by links ----------------------------------------------------------------------------------------------------- */

void store_links_answer_ask(struct s3_http_req *http, const struct store_req *req)
{
    char range[64];
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, sizeof range);
    http->answer_max = STORE_GET_MAX;
    if (req->length > 0) {
        buf_printf(&text, "bytes=%" PRIu64 "-%" PRIu64, req->offset,
            req->length - 1 > INT64_MAX - req->offset ? INT64_MAX : req->offset + req->length - 1);
        http->answer_max = (size_t)req->length + STORE_S3_GET_SLACK;
    } else if (req->offset > 0)
        buf_printf(&text, "bytes=%" PRIu64 "-", req->offset);
    if (text.size > 0)
        s3_http_header(http, "range", buf_str(&text));
}

/* The bytes that were asked for begin at *begin of what came. */
static struct rc check_part(
    const struct s3_http_req *http, const struct store_req *req, uint64_t *size, struct err *err)
{
    const char *text = s3_http_answer(http, "content-range");
    uint64_t first, last;

    if (text == NULL || !store_s3_get_parse_range(text, &first, &last, size))
        return rc_raise(err, E_CORRUPT, "a part of the object with Content-Range \"%.64s\"", text != NULL ? text : "");
    if (first != req->offset || last - first + 1 != http->data.size)
        return rc_raise(err, E_CORRUPT, "asked for bytes from %" PRIu64 " on, got \"%.64s\" with %zu bytes",
            req->offset, text, http->data.size);
    return RC_OK;
}

/* A server that ignores Range sends the whole object. */
static void cut_out(struct buf *data, const struct store_req *req)
{
    memmove(data->data, data->data + req->offset, data->size - (size_t)req->offset);
    buf_trim(data, data->size - (size_t)req->offset);
}

struct rc store_links_answer_body(
    struct s3_http_req *http, const struct share_object *o, struct store_req *req, struct err *err)
{
    struct buf *data = &http->data;
    uint64_t want = o->size - req->offset, size = data->size;

    if (http->status == 206)
        TRY(check_part(http, req, &size, err));
    if (size != o->size)
        return rc_raise(err, E_CORRUPT,
            "the object has %" PRIu64 " bytes, the share says %" PRIu64 ": one of them was changed", size, o->size);
    if (http->status != 206 && req->offset > 0)
        cut_out(data, req);
    if (req->length > 0 && req->length < want)
        want = req->length;
    if (want > STORE_GET_MAX)
        return rc_raise(err, E_CORRUPT, "%" PRIu64 " bytes, more than the limit of %d", want, STORE_GET_MAX);
    if (data->size < want)
        return rc_raise(err, E_CORRUPT, "%zu bytes instead of %" PRIu64, data->size, want);
    if (data->size > want)
        buf_trim(data, (size_t)want);
    req->size = o->size;
    req->data = *data;
    *data = (struct buf){0};
    return RC_OK;
}

static void judge(const struct s3_http_req *http, struct s3_error *e, struct err *err)
{
    CLEANUP(s3_uri_fini) struct s3_uri uri = {0};
    struct err quoting;
    struct s3_error_answer a = {
        .status = http->status,
        .body = buf_span(&http->data),
        .request_id = s3_http_answer(http, "x-amz-request-id"),
        .retry_after = s3_http_answer(http, "retry-after"),
        .bucket = "of the link",
        .right = s3_right_of(STORE_GET), /* of those who signed it */
    };

    rc_ignore(s3_uri_parse(http->url, &uri, &quoting), "then its host is not told");
    a.host = uri.host != NULL ? uri.host : "";
    rc_ignore(s3_error_judge(&a, e, err), "what it is is decided by the caller");
}

/* Whether by our clock, or in the words of a store. */
static bool has_expired(const struct share_doc *d, const struct s3_error *e, const struct err *err)
{
    return clock_wall_ms(&clock_real) >= d->expires_ms || strcmp(e->s3_code, "ExpiredToken") == 0
           || strstr(err->msg, "expired") != NULL;
}

struct rc store_links_answer_refused(
    const struct s3_http_req *http, const struct share_doc *d, uint32_t *retry_after_ms, struct err *err)
{
    struct s3_error e = {0};
    char when[STRX_TIME_SIZE];

    judge(http, &e, err);
    if (retry_after_ms != NULL)
        *retry_after_ms = e.retry_after_ms;
    if (rc_retryable(err->code))
        return rc_of(err);
    if (d == NULL)
        return rc_raise(err, err->code == E_NOTFOUND ? E_NOTFOUND : E_DENIED,
            "fetch the share's document: HTTP status %d%s%.64s: is its URL whole, and still valid?", http->status,
            e.s3_code[0] != 0 ? " " : "", e.s3_code);
    if (http->status == 404 || http->status == 410)
        return rc_raise(err, E_NOTFOUND, "HTTP status %d: the object is gone from the replica", http->status);
    if ((http->status == 403 || http->status == 400 || http->status == 401) && has_expired(d, &e, err))
        return rc_raise(err, E_DENIED, "the share has expired at %s: ask for a new one (HTTP status %d)",
            strx_format_time(d->expires_ms, when), http->status);
    return rc_raise(err, E_DENIED,
        "the link is not accepted (HTTP status %d%s%.64s): was it changed, or were the credentials that it was made "
        "with withdrawn?",
        http->status, e.s3_code[0] != 0 ? " " : "", e.s3_code);
}
