/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3.h"

#include "alloc.h"
#include "s3_sign.h"
#include "store_env.h"
#include "store_s3_delete.h"
#include "store_s3_get.h"
#include "store_s3_intern.h"
#include "store_s3_list.h"
#include "store_s3_presign.h"
#include "store_s3_put.h"
#include "store_s3_sweep.h"
#include "store_s3_upload.h"
#include "store_s3_who.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

static struct s3_store *s3_of(struct store *s)
{
    return (struct s3_store *)s; /* `base` is the first member */
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_client_stopped(void *ctx)
{
    struct s3_store *s = ctx;
    void (*on_stopped)(void *ctx) = s->on_stopped;
    void *their = s->ctx;

    store_s3_upload_drop_all(s);
    s3_config_free(s->config);
    mem_free(s->base.url);
    mem_free(s);
    on_stopped(their);
}

static void s3_stop(struct store *base, void (*on_stopped)(void *ctx), void *ctx)
{
    struct s3_store *s = s3_of(base);

    assert(!s->stopping);
    s->stopping = true;
    s->on_stopped = on_stopped;
    s->ctx = ctx;
    s3_client_stop(s->client, on_client_stopped, s);
}

static void s3_cancel(struct store *base)
{
    s3_client_cancel(s3_of(base)->client);
}

/* --- one request -------------------------------------------------------------------------------------------------- */

void store_s3_call(struct s3_op *op, int kind, const char *method, const char *key)
{
    s3_call_fini(&op->call);
    s3_call_init(&op->call, kind, method, key);
}

static void on_call(struct s3_call *call)
{
    struct s3_op *op = call->ctx;

    op->take(op);
}

void store_s3_send(struct s3_op *op, void (*take)(struct s3_op *op))
{
    op->take = take;
    op->call.on_done = on_call;
    op->call.ctx = op;
    s3_client_send(op->store->client, &op->call);
}

struct rc store_s3_result(struct s3_op *op)
{
    op->req->retry_after_ms = op->call.retry_after_ms;
    op->req->unknown_to_store = op->call.err.code == E_DENIED && op->call.unknown;
    return s3_call_result(&op->call, &op->req->err);
}

void store_s3_create(struct s3_op *op, const char *key, void (*take)(struct s3_op *op))
{
    store_s3_call(op, STORE_UPLOAD_START, "POST", key);
    s3_call_param(&op->call, "uploads", "");
    s3_call_header(&op->call, "content-type", "application/octet-stream");
    store_s3_add_storage(op->store, &op->call);
    store_s3_send(op, take);
}

struct rc store_s3_created(struct s3_op *op, char **id)
{
    TRY(store_s3_result(op));
    return s3_xml_read_upload_id(buf_span(&op->call.http.data), id, &op->req->err);
}

static struct rc say_what(const struct store_req *req, struct err *err)
{
    if (req->verb == STORE_DELETE_MANY)
        return rc_wrap(err, "delete %zu keys", req->key_count);
    if (req->verb == STORE_LIST && req->key[0] == 0)
        return rc_wrap(err, "list");
    return rc_wrap(err, "%s %s", store_verb_name(req->verb), req->key);
}

void store_s3_end(struct s3_op *op, struct rc rc)
{
    struct store_req *req = op->req;
    struct s3_store *s = op->store;

    if (!rc_failed(rc)) {
        req->err.code = E_OK; /* something on the way may have failed without harm */
        req->err.msg[0] = 0;
        req->retry_after_ms = 0;
    } else
        rc_ignore(say_what(req, &req->err), "it is the request's answer");
    LIST_REMOVE(op, next);
    store_s3_list_free(op->listing);
    store_s3_sweep_free(op->sweep);
    s3_call_fini(&op->call);
    buf_fini(&op->text);
    req->impl = NULL;
    mem_free(op);
    store_complete(&s->base, req); /* may submit more, or stop the store, which is not freed before the loop runs */
}

static void on_end_later(struct s3_later *later)
{
    struct s3_op *op = later->ctx;

    store_s3_end(op, op->req->err.code == E_OK ? RC_OK : rc_of(&op->req->err));
}

void store_s3_end_later(struct s3_op *op, struct rc rc)
{
    if (!rc_failed(rc))
        op->req->err.code = E_OK;
    op->later = (struct s3_later){.run = on_end_later, .ctx = op};
    s3_client_later(op->store->client, &op->later);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

void store_s3_add_customer_key(const struct s3_store *s, struct s3_call *call, bool of_source)
{
    const struct s3_config *config = s->config;
    uint8_t key[48];
    char md5[S3_SIGN_MD5_SIZE];
    int n;

    if (config->sse != S3_SSE_CUSTOMER)
        return;
    assert(strlen(config->sse_customer_key) == 44); /* base64 of 32 bytes: s3_config has seen to that */
    n = EVP_DecodeBlock(key, (const unsigned char *)config->sse_customer_key, 44);
    assert(n == 33); /* with the padding */
    s3_sign_md5(span_of(key, 32), md5);
    explicit_bzero(key, sizeof key);
    if (of_source) {
        s3_call_header(call, "x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256");
        s3_call_header(call, "x-amz-copy-source-server-side-encryption-customer-key", "%s", config->sse_customer_key);
        s3_call_header(call, "x-amz-copy-source-server-side-encryption-customer-key-md5", "%s", md5);
        return;
    }
    s3_call_header(call, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    s3_call_header(call, "x-amz-server-side-encryption-customer-key", "%s", config->sse_customer_key);
    s3_call_header(call, "x-amz-server-side-encryption-customer-key-md5", "%s", md5);
}

void store_s3_add_storage(const struct s3_store *s, struct s3_call *call)
{
    const struct s3_config *config = s->config;

    if (config->storage_class != NULL)
        s3_call_header(call, "x-amz-storage-class", "%s", config->storage_class);
    switch (config->sse) {
    case S3_SSE_NONE:
        break;
    case S3_SSE_S3:
        s3_call_header(call, "x-amz-server-side-encryption", "AES256");
        break;
    case S3_SSE_KMS:
        s3_call_header(call, "x-amz-server-side-encryption", "aws:kms");
        if (config->sse_kms_key != NULL)
            s3_call_header(call, "x-amz-server-side-encryption-aws-kms-key-id", "%s", config->sse_kms_key);
        break;
    case S3_SSE_CUSTOMER:
        store_s3_add_customer_key(s, call, false);
        break;
    }
}

void store_s3_take_etag(const struct s3_call *call, char out[STORE_ETAG_SIZE])
{
    const char *etag = s3_http_answer(&call->http, "etag");
    size_t n = etag != NULL ? strlen(etag) : 0;

    out[0] = 0;
    if (n > 0 && n < STORE_ETAG_SIZE)
        memcpy(out, etag, n + 1);
}

void store_s3_write_parts(struct buf *out, const char *first_etag, size_t stride, uint32_t count)
{
    buf_text(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>", i + 1);
        s3_xml_escape(first_etag + i * stride, out);
        buf_text(out, "</ETag></Part>");
    }
    buf_text(out, "</CompleteMultipartUpload>");
}

int64_t store_s3_date(const struct s3_call *call)
{
    const char *date = s3_http_answer(&call->http, "date");
    int64_t ms;

    return date != NULL && s3_error_parse_date(date, &ms) ? ms : 0;
}

struct rc store_s3_head_size(const struct s3_call *call, uint64_t *out, struct err *err)
{
    const char *text = s3_http_answer(&call->http, "content-length");

    if (text == NULL)
        return rc_raise(err, E_CORRUPT, "an answer without the object's size");
    if (rc_failed(strx_u64(text, 0, INT64_MAX, out, err)))
        return rc_raise(err, E_CORRUPT, "Content-Length \"%.32s\"", text);
    return RC_OK;
}

/* --- verbs -------------------------------------------------------------------------------------------------------- */

static void begin(struct s3_op *op)
{
    switch (op->req->verb) {
    case STORE_PUT:
        op->body = op->req->body;
        store_s3_put_begin(op);
        break;
    case STORE_GET:
        store_s3_get_begin(op);
        break;
    case STORE_HEAD:
        store_s3_get_head(op);
        break;
    case STORE_LIST:
        store_s3_list_begin(op);
        break;
    case STORE_DELETE:
        store_s3_delete_one(op);
        break;
    case STORE_DELETE_MANY:
        store_s3_delete_many(op);
        break;
    case STORE_UPLOAD_START:
        store_s3_upload_start(op);
        break;
    case STORE_UPLOAD_PART:
        store_s3_upload_part(op);
        break;
    case STORE_UPLOAD_FINISH:
        store_s3_upload_finish(op);
        break;
    case STORE_UPLOAD_ABORT:
        store_s3_upload_abort(op);
        break;
    case STORE_UPLOAD_SWEEP:
        store_s3_sweep_begin(op);
        break;
    }
}

static void s3_submit(struct store *base, struct store_req *req)
{
    struct s3_store *s = s3_of(base);
    struct s3_op *op = mem_new(sizeof *op);

    assert(!s->stopping);
    op->store = s;
    op->req = req;
    req->impl = op;
    LIST_INSERT_HEAD(&s->ops, op, next);
    begin(op);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static const struct store_ops s3_ops = {
    .submit = s3_submit,
    .stop = s3_stop,
    .cancel = s3_cancel,
    .presign = store_s3_presign_link,
    .identify = store_s3_who_ask,
    .provider = store_s3_who_provider,
};

static void discard_config(struct s3_config **config)
{
    s3_config_free(*config);
}

struct rc store_s3_open(struct store_env *env, struct s3_config *given, struct store **out, struct err *err)
{
    CLEANUP(discard_config) struct s3_config *config = given;
    struct s3_client_opts opts = {.config = config, .clock = &clock_real};
    struct s3_store *s;

    TRY(store_env_http(env, config, &opts.http, err));
    TRY(store_env_cred(env, config, opts.http, &opts.cred, err));
    s = mem_new(sizeof *s);
    s->env = env;
    s->config = MOVE(config);
    s->base.ops = &s3_ops;
    s->base.url = mem_strdup(s->config->url);
    s->base.part_size = s->config->part_size;
    s->base.counts_itself = true;
    s->base.may_lack_conditions = true;
    s->base.insecure = s->config->insecure;
    s->copy_max = STORE_S3_COPY_MAX;
    s->known_to_lack_conditions = s->config->conditional == S3_CONDITIONAL_NONE || s->config->quirk->no_if_none_match;
    s->no_batch_delete = s->config->quirk->no_batch_delete;
    s->no_copy = s->config->quirk->no_copy;
    s->etag_unquoted = s->config->etag_unquoted;
    opts.counted = &s->base;
    s->client = s3_client_new(store_env_loop(env), &opts);
    *out = &s->base;
    return RC_OK;
}
