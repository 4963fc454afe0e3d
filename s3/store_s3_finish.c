/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_finish.h"

#include "alloc.h"
#include "store_s3_carry.h"
#include "store_s3_copy.h"
#include "store_s3_put.h"
#include "store_s3_same.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 8 << 20 };

static void go_on(struct s3_op *op);

static void end(struct s3_op *op, struct rc rc)
{
    op->upload->ending = false;
    if (!rc_failed(rc))
        store_s3_upload_forget(op->store, op->upload);
    store_s3_end(op, rc);
}

/* --- a single part, put as it is ---------------------------------------------------------------------------------- */

static void on_read_back(struct s3_op *op)
{
    const struct buf *mine = &op->upload->single, *there = &op->call.http.data;
    struct rc rc = store_s3_result(op);

    /* One that is longer than ours is not even read to its end. */
    if (rc.code == E_CORRUPT
        || (!rc_failed(rc) && (there->size != mine->size || memcmp(there->data, mine->data, mine->size) != 0)))
        rc = rc_raise(&op->req->err, E_EXISTS, "the object exists already");
    end(op, rc);
}

static void on_put(struct s3_op *op, struct rc rc)
{
    struct s3_upload *u = op->upload;

    /* Perhaps it is ours: an earlier try may have been carried out, although its answer got lost. */
    if (rc.code == E_EXISTS && (u->put_unknown || op->req->sent_twice)) {
        store_s3_call(op, STORE_GET, "GET", op->req->key);
        op->call.answer_max = op->upload->part_size;
        store_s3_add_customer_key(op->store, &op->call, false);
        store_s3_send(op, on_read_back);
        return;
    }
    u->put_unknown = rc_failed(rc) && rc.code != E_EXISTS;
    end(op, rc);
}

/* --- putting the parts together ----------------------------------------------------------------------------------- */

static uint64_t total_size(const struct s3_op *op)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < op->req->part; i++)
        size += op->upload->parts[i].size;
    return size;
}

/* The name below .tmp/ is ours alone, so the size proves enough. */
static void on_head_of_gone(struct s3_op *op)
{
    struct s3_upload *u = op->upload;
    struct err *err = &op->req->err;
    struct rc rc = store_s3_result(op);
    uint64_t size = 0;

    if (!rc_failed(rc))
        rc = store_s3_head_size(&op->call, &size, err);
    if (!rc_failed(rc) && size != total_size(op))
        rc = rc_raise(err, E_NOTFOUND, "%s has %" PRIu64 " bytes", u->key, size);
    if (rc_failed(rc)) {
        end(op, rc_wrap(err, "the upload is gone"));
        return;
    }
    u->state = S3_UPLOAD_COMPLETE;
    go_on(op);
}

/* The upload is gone, and under the final name stands ours, another's, or nothing. */
static void on_compared(struct s3_op *op, struct rc rc, bool same)
{
    struct s3_upload *u = op->upload;
    struct err *err = &op->req->err;

    if (!rc_failed(rc) && same) {
        u->state = S3_UPLOAD_COMPLETE;
        go_on(op);
        return;
    }
    if (!rc_failed(rc))
        rc = op->req->create_only ? rc_raise(err, E_EXISTS, "the object exists already")
                                  : rc_raise(err, E_NOTFOUND, "%s is another object", u->key);
    end(op, rc_wrap(err, "the upload is gone"));
}

static void on_completed(struct s3_op *op)
{
    struct s3_upload *u = op->upload;
    struct rc rc = store_s3_result(op);

    /* Done by an earlier try whose answer got lost, or by this one: some servers repeat it among themselves. */
    if ((rc.code == E_NOTFOUND || rc.code == E_EXISTS) && u->key_final) {
        store_s3_same_run(op, u->key, on_compared);
        return;
    }
    if (rc.code == E_NOTFOUND) {
        store_s3_call(op, STORE_HEAD, "HEAD", u->key);
        store_s3_add_customer_key(op->store, &op->call, false);
        store_s3_send(op, on_head_of_gone);
        return;
    }
    if (!rc_failed(rc))
        rc = s3_xml_read_etag(buf_span(&op->call.http.data), op->req->etag, &op->req->err);
    if (rc_failed(rc)) {
        end(op, rc_wrap(&op->req->err, "complete the upload"));
        return;
    }
    u->state = S3_UPLOAD_COMPLETE;
    go_on(op);
}

static void complete(struct s3_op *op)
{
    const struct s3_upload *u = op->upload;
    struct rc rc;

    buf_fini(&op->text);
    buf_init(&op->text, BODY_MAX);
    store_s3_write_parts(&op->text, u->parts[0].etag, sizeof u->parts[0], op->req->part);
    rc = buf_check(&op->text, "the list of parts", &op->req->err);
    store_s3_call(op, STORE_UPLOAD_FINISH, "POST", u->key);
    if (rc_failed(rc)) {
        op->upload->ending = false;
        store_s3_end_later(op, rc);
        return;
    }
    op->call.body = buf_span(&op->text);
    op->call.error_in_answer = true;
    s3_call_param(&op->call, "uploadId", u->s3_id);
    s3_call_header(&op->call, "content-type", "application/xml");
    store_s3_send(op, on_completed);
}

/* --- the name ----------------------------------------------------------------------------------------------------- */

static void on_named(struct s3_op *op, struct rc rc)
{
    if (rc_failed(rc)) {
        end(op, rc);
        return;
    }
    op->upload->state = S3_UPLOAD_COPIED;
    go_on(op);
}

static void carry(struct s3_op *op)
{
    store_s3_carry_run(op, op->upload->key, op->req->key, total_size(op), on_named);
}

/* Not every store can copy, and some only what a customer's key has not encrypted. */
static void on_copied(struct s3_op *op, struct rc rc)
{
    if (rc.code != E_UNSUPPORTED) {
        on_named(op, rc);
        return;
    }
    op->store->no_copy = true;
    carry(op);
}

/* What cannot be deleted costs storage and does no harm: a prune takes it away. */
static void on_deleted(struct s3_op *op)
{
    rc_ignore(store_s3_result(op), "the object has its name, and that is what was asked for");
    end(op, RC_OK);
}

static void on_looked(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc))
        end(op, rc_raise(&op->req->err, E_EXISTS, "the object exists already"));
    else if (rc.code != E_NOTFOUND)
        end(op, rc);
    else {
        op->upload->looked = true;
        go_on(op);
    }
}

static void go_on(struct s3_op *op)
{
    struct s3_upload *u = op->upload;

    if (op->req->create_only && !u->looked) {
        store_s3_call(op, STORE_HEAD, "HEAD", op->req->key);
        store_s3_add_customer_key(op->store, &op->call, false);
        store_s3_send(op, on_looked);
    } else if (u->state < S3_UPLOAD_COMPLETE)
        complete(op);
    else if (u->key_final)
        end(op, RC_OK);
    else if (u->state == S3_UPLOAD_COMPLETE && op->store->no_copy)
        carry(op);
    else if (u->state == S3_UPLOAD_COMPLETE)
        store_s3_copy_run(op, u->key, op->req->key, total_size(op), on_copied);
    else {
        store_s3_call(op, STORE_DELETE, "DELETE", u->key);
        store_s3_send(op, on_deleted);
    }
}

void store_s3_finish_begin(struct s3_op *op)
{
    if (!op->upload->has_single) {
        go_on(op);
        return;
    }
    op->body = buf_span(&op->upload->single);
    op->then = on_put;
    store_s3_put_begin(op);
}
