/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_copy.h"

#include "alloc.h"
#include "s3_uri.h"
#include "store_s3_batch.h"

#include <inttypes.h>
#include <stdio.h>

enum { SOURCE_MAX = 4096, BODY_MAX = 8 << 20 };

struct s3_copy {
    struct s3_batch batch; /* must be first */
    struct s3_op *op;
    char *to;     /* owned */
    char *source; /* owned; the header's value */
    uint64_t size;
    char *upload_id;                /* owned */
    char (*etags)[STORE_ETAG_SIZE]; /* owned; of the ranges */
    struct err err;                 /* why the ranges were given up */
    void (*done)(struct s3_op *op, struct rc rc);
};

static struct s3_copy *copy_of(const struct s3_op *op)
{
    return op->copy;
}

static void end(struct s3_op *op, struct rc rc)
{
    struct s3_copy *c = copy_of(op);
    void (*done)(struct s3_op * op, struct rc rc) = c->done;

    op->copy = NULL;
    mem_free(c->to);
    mem_free(c->source);
    mem_free(c->upload_id);
    mem_free(c->etags);
    mem_free(c);
    done(op, rc_failed(rc) ? rc_wrap(&op->req->err, "copy to the final key") : RC_OK);
}

static struct rc write_source(const struct s3_op *op, const char *from, char **out, struct err *err)
{
    const struct s3_config *config = op->store->config;
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, SOURCE_MAX);
    buf_text(&text, "/");
    s3_uri_encode(config->bucket, S3_URI_KEEP_SLASH, &text);
    buf_text(&text, "/");
    s3_uri_encode(config->prefix, S3_URI_KEEP_SLASH, &text);
    buf_text(&text, config->prefix[0] != 0 ? "/" : "");
    s3_uri_encode(from, S3_URI_KEEP_SLASH, &text);
    TRY(buf_check(&text, "the key to copy from", err));
    *out = mem_strdup(buf_str(&text));
    return RC_OK;
}

/* --- in one request ----------------------------------------------------------------------------------------------- */

static void on_copied(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];

    if (!rc_failed(rc))
        rc = s3_xml_read_etag(buf_span(&op->call.http.data), etag, &op->req->err);
    end(op, rc);
}

static void copy_whole(struct s3_op *op)
{
    const struct s3_copy *c = copy_of(op);

    store_s3_call(op, STORE_KIND_COPY, "PUT", c->to);
    op->call.error_in_answer = true;
    s3_call_header(&op->call, "x-amz-copy-source", "%s", c->source);
    store_s3_add_customer_key(op->store, &op->call, true);
    store_s3_add_storage(op->store, &op->call);
    store_s3_send(op, on_copied);
}

/* --- in ranges ---------------------------------------------------------------------------------------------------- */

static void on_completed(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];

    if (!rc_failed(rc))
        rc = s3_xml_read_etag(buf_span(&op->call.http.data), etag, &op->req->err);
    end(op, rc);
}

static void complete(struct s3_op *op)
{
    struct s3_copy *c = copy_of(op);
    struct rc rc;

    buf_fini(&op->text);
    buf_init(&op->text, BODY_MAX);
    store_s3_write_parts(&op->text, c->etags[0], sizeof c->etags[0], (uint32_t)c->batch.count);
    rc = buf_check(&op->text, "the list of parts", &op->req->err);
    if (rc_failed(rc)) {
        end(op, rc);
        return;
    }
    store_s3_call(op, STORE_UPLOAD_FINISH, "POST", c->to);
    op->call.body = buf_span(&op->text);
    op->call.error_in_answer = true;
    s3_call_param(&op->call, "uploadId", c->upload_id);
    store_s3_send(op, on_completed);
}

/* The copy will be tried anew from its beginning, so what there is of it goes away. */
static void on_given_up(struct s3_op *op)
{
    op->req->err = copy_of(op)->err;
    end(op, rc_of(&op->req->err));
}

static void on_ranges(struct s3_batch *b)
{
    struct s3_copy *c = (struct s3_copy *)b;

    if (b->err.code == E_OK) {
        complete(c->op);
        return;
    }
    c->err = b->err;
    store_s3_call(c->op, STORE_UPLOAD_ABORT, "DELETE", c->to);
    s3_call_param(&c->op->call, "uploadId", c->upload_id);
    store_s3_send(c->op, on_given_up);
}

static void prepare_range(struct s3_batch *b, size_t i, struct s3_call *call)
{
    const struct s3_copy *c = (const struct s3_copy *)b;
    uint64_t first = i * c->op->store->copy_max;
    uint64_t end_at = c->size - first < c->op->store->copy_max ? c->size : first + c->op->store->copy_max;
    char number[16];

    s3_call_init(call, STORE_KIND_COPY, "PUT", c->to);
    call->error_in_answer = true;
    (void)snprintf(number, sizeof number, "%zu", i + 1);
    s3_call_param(call, "partNumber", number);
    s3_call_param(call, "uploadId", c->upload_id);
    s3_call_header(call, "x-amz-copy-source", "%s", c->source);
    s3_call_header(call, "x-amz-copy-source-range", "bytes=%" PRIu64 "-%" PRIu64, first, end_at - 1);
    store_s3_add_customer_key(b->store, call, true);
    store_s3_add_customer_key(b->store, call, false);
}

static struct rc take_range(struct s3_batch *b, size_t i, struct s3_call *call, struct err *err)
{
    struct s3_copy *c = (struct s3_copy *)b;

    TRY(s3_call_result(call, err));
    TRY(s3_xml_read_etag(buf_span(&call->http.data), c->etags[i], err));
    return c->etags[i][0] != 0 ? RC_OK : rc_raise(err, E_CORRUPT, "an answer without the copied range's ETag");
}

static void on_created(struct s3_op *op)
{
    struct s3_copy *c = copy_of(op);
    struct rc rc = store_s3_created(op, &c->upload_id);

    if (rc_failed(rc))
        end(op, rc);
    else
        store_s3_batch_run(&c->batch);
}

static void copy_in_ranges(struct s3_op *op)
{
    struct s3_copy *c = copy_of(op);

    c->batch.store = op->store;
    c->batch.count = (size_t)((c->size - 1) / c->op->store->copy_max + 1);
    c->batch.stop_early = true;
    c->batch.prepare = prepare_range;
    c->batch.take = take_range;
    c->batch.on_done = on_ranges;
    c->etags = mem_new(c->batch.count * sizeof c->etags[0]); /* S3's largest object has 5 TiB: 5,120 of them */
    store_s3_create(op, c->to, on_created);
}

void store_s3_copy_run(
    struct s3_op *op, const char *from, const char *to, uint64_t size, void (*done)(struct s3_op *op, struct rc rc))
{
    struct s3_copy *c = mem_new(sizeof *c);
    struct rc rc;

    op->copy = c;
    c->op = op;
    c->to = mem_strdup(to);
    c->size = size;
    c->done = done;
    rc = write_source(op, from, &c->source, &op->req->err);
    if (rc_failed(rc))
        end(op, rc);
    else if (size <= op->store->copy_max)
        copy_whole(op);
    else
        copy_in_ranges(op);
}
