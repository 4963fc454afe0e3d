/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_get.h"

#include "s3_xml.h"
#include "strx.h"

#include <inttypes.h>
#include <string.h>

/* Digits up to `end`; moves `at` behind it. */
static bool number(const char **at, char end, uint64_t *out)
{
    const char *stop = strchrnul(*at, end);
    size_t n = (size_t)(stop - *at);
    struct err err;
    char text[21];

    if (*stop != end || n == 0 || n >= sizeof text)
        return false;
    memcpy(text, *at, n);
    text[n] = 0;
    *at = end != 0 ? stop + 1 : stop;
    return !rc_failed(strx_u64(text, 0, INT64_MAX, out, &err));
}

bool store_s3_get_parse_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *size)
{
    if (strncmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    return number(&text, '-', first) && number(&text, '/', last) && number(&text, 0, size) && *first <= *last
           && *last < *size;
}

static bool is_ranged(const struct store_req *req)
{
    return req->offset > 0 || req->length > 0;
}

/* The answer has to be what was asked for, byte for byte. */
static struct rc check_range(const struct s3_call *call, struct store_req *req, struct err *err)
{
    const char *text = s3_http_answer(&call->http, "content-range");
    uint64_t first, last, size, want;

    if (text == NULL)
        return rc_raise(err, E_CORRUPT, "a part of the object without Content-Range");
    if (!store_s3_get_parse_range(text, &first, &last, &size))
        return rc_raise(err, E_CORRUPT, "Content-Range \"%.64s\"", text);
    want = size - 1;
    if (req->length > 0 && req->length <= want - req->offset)
        want = req->offset + req->length - 1;
    if (first != req->offset || last != want)
        return rc_raise(
            err, E_CORRUPT, "asked for bytes %" PRIu64 " to %" PRIu64 ", got \"%.64s\"", req->offset, want, text);
    if (call->http.data.size != last - first + 1)
        return rc_raise(err, E_CORRUPT, "\"%.64s\" with %zu bytes", text, call->http.data.size);
    req->size = size;
    return RC_OK;
}

/* The whole object instead of a part of it. */
static struct rc cut_out(struct store_req *req, struct buf *data, struct err *err)
{
    size_t n;

    req->size = data->size;
    if (req->offset >= data->size)
        return rc_raise(
            err, E_NOTFOUND, "offset %" PRIu64 " is behind the end of the object at %zu", req->offset, data->size);
    n = data->size - (size_t)req->offset;
    if (req->length > 0 && req->length < n)
        n = (size_t)req->length;
    memmove(data->data, data->data + req->offset, n);
    buf_trim(data, n);
    return RC_OK;
}

static struct rc take_body(struct s3_op *op, struct err *err)
{
    struct store_req *req = op->req;
    struct buf *data = &op->call.http.data;

    if (!is_ranged(req))
        req->size = data->size;
    else if (op->call.http.status == 206)
        TRY(check_range(&op->call, req, err));
    else
        TRY(cut_out(req, data, err));
    if (data->size > STORE_GET_MAX)
        return rc_raise(err, E_CORRUPT, "the object has %zu bytes to its end, more than the limit of %d", data->size,
            STORE_GET_MAX);
    store_s3_take_etag(&op->call, req->etag);
    req->data = *data;
    *data = (struct buf){0};
    return RC_OK;
}

/* --- a key that is denied, or is not there ------------------------------------------------------------------------ */

static struct rc full_key(const struct s3_op *op, struct buf *out, struct err *err)
{
    const char *prefix = op->store->config->prefix;

    buf_init(out, STORE_S3_GET_SLACK);
    buf_printf(out, "%s%s%s", prefix, prefix[0] != 0 ? "/" : "", op->req->key);
    return buf_check(out, op->req->key, err);
}

/* *there is true when the listing, which begins at the key, has it. */
static struct rc take_listing(struct s3_op *op, bool *there, struct err *err)
{
    CLEANUP(s3_xml_list_fini) struct s3_xml_list page = {0};
    CLEANUP(buf_fini) struct buf key = {0};

    TRY(full_key(op, &key, err));
    TRY(s3_xml_read_list(buf_span(&op->call.http.data), &page, err));
    *there = page.count > 0 && strcmp(page.entries[0].key, buf_str(&key)) == 0;
    return RC_OK;
}

static void on_looked(struct s3_op *op)
{
    struct err *err = &op->req->err;
    struct rc rc = store_s3_result(op);
    bool there = true;

    if (!rc_failed(rc))
        rc = take_listing(op, &there, err);
    if (rc.code == E_DENIED) {
        const struct err list = *err;

        /* Whether the object is there remains unknown, but the right to list is missing for certain. */
        rc = rc_raise(err, E_DENIED, "refused, and so is the listing that tells whether it is there: %.350s", list.msg);
        err->http = list.http;
    } else if (rc_failed(rc) || there) {
        *err = op->denied;
        rc = rc_of(err);
    } else
        rc = rc_raise(err, E_NOTFOUND, "no such object (the store denies it, and lists none)");
    store_s3_end(op, rc);
}

/*
 * AWS answers 403 instead of 404 for a key that does not exist when the caller may list only under a condition (on the
 * prefix, as in the policy that docs/s3.md proposes).  The listing tells.
 */
static void look_whether_it_is_there(struct s3_op *op)
{
    CLEANUP(buf_fini) struct buf key = {0};
    struct rc rc = full_key(op, &key, &op->denied);

    if (rc_failed(rc)) {
        store_s3_end(op, rc_of(&op->req->err));
        return;
    }
    op->denied = op->req->err;
    store_s3_call(op, STORE_LIST, "GET", NULL);
    op->call.answer_max = STORE_S3_LISTING_MAX;
    s3_call_param(&op->call, "list-type", "2");
    s3_call_param(&op->call, "encoding-type", "url");
    s3_call_param(&op->call, "prefix", buf_str(&key));
    s3_call_param(&op->call, "max-keys", "1");
    store_s3_send(op, on_looked);
}

/* --- getting ------------------------------------------------------------------------------------------------------ */

static void on_get(struct s3_op *op)
{
    struct err *err = &op->req->err;
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc))
        rc = take_body(op, err);
    else if (rc.code == E_NOTFOUND && err->http == 416)
        rc = rc_raise(err, E_NOTFOUND, "offset %" PRIu64 " is behind the end of the object", op->req->offset);
    else if (rc.code == E_DENIED && strcmp(op->call.s3_code, "AccessDenied") == 0) {
        look_whether_it_is_there(op);
        return;
    }
    store_s3_end(op, rc);
}

void store_s3_get_begin(struct s3_op *op)
{
    const struct store_req *req = op->req;

    store_s3_call(op, STORE_GET, "GET", req->key);
    op->call.answer_max = STORE_GET_MAX;
    if (req->length > 0) {
        s3_call_header(&op->call, "range", "bytes=%" PRIu64 "-%" PRIu64, req->offset,
            req->length - 1 > INT64_MAX - req->offset ? INT64_MAX : req->offset + req->length - 1);
        op->call.answer_max = (size_t)req->length + STORE_S3_GET_SLACK;
    } else if (req->offset > 0)
        s3_call_header(&op->call, "range", "bytes=%" PRIu64 "-", req->offset);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_get);
}

static void on_head(struct s3_op *op)
{
    struct store_req *req = op->req;
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc))
        rc = store_s3_head_size(&op->call, &req->size, &req->err);
    if (!rc_failed(rc))
        store_s3_take_etag(&op->call, req->etag);
    store_s3_end(op, rc);
}

void store_s3_get_head(struct s3_op *op)
{
    store_s3_call(op, STORE_HEAD, "HEAD", op->req->key);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_head);
}
