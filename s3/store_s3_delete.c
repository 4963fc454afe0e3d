/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_delete.h"

#include "alloc.h"
#include "store_s3_batch.h"

#include <string.h>

/* A thousand keys of 1,013 bytes, each with its frame, and characters that have to be escaped. */
enum { BODY_MAX = 8 << 20 };

static void on_deleted(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    store_s3_end(op, rc.code == E_NOTFOUND ? RC_OK : rc);
}

void store_s3_delete_one(struct s3_op *op)
{
    store_s3_call(op, STORE_DELETE, "DELETE", op->req->key);
    store_s3_send(op, on_deleted);
}

/* --- one by one --------------------------------------------------------------------------------------------------- */

static void prepare_one(struct s3_batch *b, size_t i, struct s3_call *call)
{
    const struct s3_op *op = b->ctx;

    s3_call_init(call, STORE_DELETE, "DELETE", op->req->keys[i]);
}

static struct rc take_one(struct s3_batch *b, size_t i, struct s3_call *call, struct err *err)
{
    const struct s3_op *op = b->ctx;
    struct rc rc = s3_call_result(call, err);

    if (!rc_failed(rc) || rc.code == E_NOTFOUND)
        return RC_OK;
    return rc_wrap(err, "%s", op->req->keys[i]);
}

static void on_batch(struct s3_batch *b)
{
    struct s3_op *op = b->ctx;
    struct rc rc = RC_OK;

    if (b->err.code != E_OK) {
        op->req->err = b->err;
        rc = rc_of(&b->err);
    }
    mem_free(b);
    store_s3_end(op, rc);
}

static void one_by_one(struct s3_op *op)
{
    struct s3_batch *b = mem_new(sizeof *b);

    b->store = op->store;
    b->count = op->req->key_count;
    b->prepare = prepare_one;
    b->take = take_one;
    b->on_done = on_batch;
    b->ctx = op;
    store_s3_batch_run(b);
}

/* --- together ----------------------------------------------------------------------------------------------------- */

static struct rc write_body(struct s3_op *op, struct err *err)
{
    const char *prefix = op->store->config->prefix;
    struct buf *body = &op->text;

    buf_init(body, BODY_MAX);
    buf_text(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                   "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < op->req->key_count; i++) {
        buf_text(body, "<Object><Key>");
        s3_xml_escape(prefix, body);
        buf_text(body, prefix[0] != 0 ? "/" : "");
        s3_xml_escape(op->req->keys[i], body);
        buf_text(body, "</Key></Object>");
    }
    buf_text(body, "</Delete>");
    return buf_check(body, "the list of keys", err);
}

static struct rc take_result(struct s3_op *op, struct err *err)
{
    struct s3_xml_error first;
    enum err_code code;
    size_t failed;

    TRY(s3_xml_read_deleted(buf_span(&op->call.http.data), &failed, &first, err));
    if (failed == 0)
        return RC_OK;
    code = s3_error_code(first.code);
    return rc_raise(err, code, "%zu of them were not deleted, the first is %.200s: %s, \"%s\"%s%s", failed, first.key,
        first.code, first.message, code == E_DENIED ? ": the credentials need " : "",
        code == E_DENIED ? s3_right_of(STORE_DELETE)->action : "");
}

static void on_first(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    if (rc_failed(rc) && rc.code != E_NOTFOUND) {
        store_s3_end(op, rc);
        return;
    }
    op->store->no_batch_delete = true;
    one_by_one(op);
}

/*
 * The request as a whole was denied, which on Amazon it never is for want of a right on an object.  Ceph also asks for
 * s3:DeleteObject on the bucket, where policies give it on objects only: a single deletion tells whether it is that.
 */
static void try_first(struct s3_op *op)
{
    store_s3_call(op, STORE_DELETE, "DELETE", op->req->keys[0]);
    store_s3_send(op, on_first);
}

static void on_all_deleted(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    if (rc.code == E_UNSUPPORTED) { /* not every store has this request */
        op->store->no_batch_delete = true;
        one_by_one(op);
        return;
    }
    if (rc.code == E_DENIED && strcmp(op->call.s3_code, "AccessDenied") == 0) {
        try_first(op);
        return;
    }
    if (!rc_failed(rc))
        rc = take_result(op, &op->req->err);
    else if (rc.code == E_NOTFOUND)
        rc = rc_raise(&op->req->err, E_CONFIG, "%s", op->req->err.msg);
    store_s3_end(op, rc);
}

void store_s3_delete_many(struct s3_op *op)
{
    struct rc rc;

    if (op->store->no_batch_delete) {
        one_by_one(op);
        return;
    }
    store_s3_call(op, STORE_DELETE_MANY, "POST", NULL);
    rc = write_body(op, &op->req->err);
    if (rc_failed(rc)) {
        store_s3_end_later(op, rc);
        return;
    }
    op->call.body = buf_span(&op->text);
    op->call.with_md5 = true; /* S3 wants it, and some stores insist */
    op->call.error_in_answer = true;
    s3_call_param(&op->call, "delete", "");
    s3_call_header(&op->call, "content-type", "application/xml");
    store_s3_send(op, on_all_deleted);
}
