/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_finish.h"

#include "alloc.h"
#include "store_s3_copy.h"
#include "store_s3_put.h"

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

    if (!rc_failed(rc) && (there->size != mine->size || memcmp(there->data, mine->data, mine->size) != 0))
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

/* S3 ends the ETag of an object in parts with their number. */
static bool etag_counts(const char *etag, uint32_t count)
{
    const char *dash = strrchr(etag, '-');
    char want[16];
    size_t n;

    (void)snprintf(want, sizeof want, "-%" PRIu32, count);
    n = strlen(want);
    return dash != NULL && strncmp(dash, want, n) == 0 && (dash[n] == 0 || dash[n] == '"');
}

static void on_head_of_gone(struct s3_op *op)
{
    struct s3_upload *u = op->upload;
    struct err *err = &op->req->err;
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];
    uint64_t size = 0;

    if (!rc_failed(rc))
        rc = store_s3_head_size(&op->call, &size, err);
    store_s3_take_etag(&op->call, etag);
    if (!rc_failed(rc) && (size != total_size(op) || (u->key_final && !etag_counts(etag, op->req->part))))
        rc = rc_raise(err, E_NOTFOUND, "%s has %" PRIu64 " bytes and ETag %s", u->key, size, etag);
    if (rc_failed(rc)) {
        end(op, rc_wrap(err, "the upload is gone"));
        return;
    }
    u->state = S3_UPLOAD_COMPLETE;
    go_on(op);
}

static void on_completed(struct s3_op *op)
{
    struct s3_upload *u = op->upload;
    struct rc rc = store_s3_result(op);

    /* Done by an earlier try whose answer got lost, or by this one: some servers repeat it among themselves.  The name
     * below .tmp/ is ours alone, so the size proves enough. */
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
    buf_text(&op->text, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < op->req->part; i++) {
        buf_printf(&op->text, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>", i + 1);
        s3_xml_escape(u->parts[i].etag, &op->text);
        buf_text(&op->text, "</ETag></Part>");
    }
    buf_text(&op->text, "</CompleteMultipartUpload>");
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

static void on_copied(struct s3_op *op, struct rc rc)
{
    if (rc_failed(rc)) {
        end(op, rc);
        return;
    }
    op->upload->state = S3_UPLOAD_COPIED;
    go_on(op);
}

/* What cannot be deleted costs storage and does no harm. */
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
