/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_carry.h"

#include "alloc.h"
#include "store_s3_same.h"
#include "store_s3_upload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 8 << 20 };

struct s3_carry {
    char *from, *to; /* owned */
    uint64_t size, at;
    char *upload_id;                /* owned; NULL: there is none (any more) */
    char (*etags)[STORE_ETAG_SIZE]; /* owned; of the parts */
    uint32_t count;                 /* of the parts, in the end */
    uint32_t sent;
    struct buf piece;
    struct err err; /* why it was given up */
    void (*done)(struct s3_op *op, struct rc rc);
};

void store_s3_carry_free(struct s3_carry *c)
{
    if (c == NULL)
        return;
    mem_free(c->from);
    mem_free(c->to);
    mem_free(c->upload_id);
    mem_free(c->etags);
    buf_fini(&c->piece);
    mem_free(c);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void end(struct s3_op *op, struct rc rc)
{
    void (*done)(struct s3_op * op, struct rc rc) = op->carry->done;

    store_s3_carry_free(op->carry);
    op->carry = NULL;
    done(op, rc_failed(rc) ? rc_wrap(&op->req->err, "send it again to the final key") : RC_OK);
}

static void on_given_up(struct s3_op *op)
{
    op->req->err = op->carry->err;
    end(op, rc_of(&op->req->err));
}

/* The next try begins anew, so what there is of this one goes away. */
static void give_up(struct s3_op *op)
{
    struct s3_carry *c = op->carry;

    c->err = op->req->err;
    store_s3_call(op, STORE_UPLOAD_ABORT, "DELETE", c->to);
    s3_call_param(&op->call, "uploadId", c->upload_id);
    store_s3_send(op, on_given_up);
}

static void on_looked_back(struct s3_op *op, struct rc rc, bool same)
{
    if (!rc_failed(rc) && same) {
        end(op, RC_OK);
        return;
    }
    if (!rc_failed(rc))
        rc_ignore(rc_raise(&op->req->err, E_EXISTS, "the object exists already"), "it is kept by give_up()");
    give_up(op);
}

static void on_completed(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];

    if (rc.code == E_NOTFOUND || rc.code == E_EXISTS) { /* carried out by a try whose answer got lost? */
        store_s3_same_run(op, op->carry->to, on_looked_back);
        return;
    }
    if (!rc_failed(rc))
        rc = s3_xml_read_etag(buf_span(&op->call.http.data), etag, &op->req->err);
    end(op, rc); /* a failure is "unknown": aborting could be too late, or take away what the store still works on */
}

static void complete(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    struct rc rc;

    buf_fini(&op->text);
    buf_init(&op->text, BODY_MAX);
    store_s3_write_parts(&op->text, c->etags[0], sizeof c->etags[0], c->count);
    rc = buf_check(&op->text, "the list of parts", &op->req->err);
    if (rc_failed(rc)) {
        give_up(op);
        return;
    }
    store_s3_call(op, STORE_UPLOAD_FINISH, "POST", c->to);
    op->call.body = buf_span(&op->text);
    op->call.error_in_answer = true;
    s3_call_param(&op->call, "uploadId", c->upload_id);
    s3_call_header(&op->call, "content-type", "application/xml");
    store_s3_send(op, on_completed);
}

/* An object that is there may be our own, by an earlier FINISH. */
static void on_looked(struct s3_op *op, struct rc rc, bool same)
{
    if (rc.code == E_NOTFOUND) {
        complete(op);
        return;
    }
    if (!rc_failed(rc) && !same)
        rc = rc_raise(&op->req->err, E_EXISTS, "the object exists already");
    op->carry->err.code = E_OK;
    if (rc_failed(rc)) {
        give_up(op);
        return;
    }
    op->req->err.code = E_OK;
    op->req->err.msg[0] = 0;
    give_up(op); /* only the parts, which nobody needs */
}

/* --- piece by piece ----------------------------------------------------------------------------------------------- */

static void read_piece(struct s3_op *op);

static void on_sent(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc)) {
        store_s3_take_etag(&op->call, c->etags[c->sent - 1]);
        if (c->etags[c->sent - 1][0] == 0)
            rc = rc_raise(&op->req->err, E_CORRUPT, "an answer without the part's ETag");
    }
    if (rc_failed(rc))
        give_up(op);
    else if (c->at < c->size)
        read_piece(op);
    else if (op->req->create_only)
        store_s3_same_run(op, c->to, on_looked);
    else
        complete(op);
}

static void send_piece(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    char number[16];

    store_s3_call(op, STORE_UPLOAD_PART, "PUT", c->to);
    op->call.body = buf_span(&c->piece);
    op->call.with_md5 = true;
    (void)snprintf(number, sizeof number, "%" PRIu32, ++c->sent);
    s3_call_param(&op->call, "partNumber", number);
    s3_call_param(&op->call, "uploadId", c->upload_id);
    store_s3_add_customer_key(op->store, &op->call, false);
    c->at += c->piece.size;
    store_s3_send(op, on_sent);
}

static void on_piece(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    const struct s3_upload_part *part = &op->upload->parts[c->sent];
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc) && op->call.http.data.size != part->size)
        rc = rc_raise(&op->req->err, E_CORRUPT, "%s: %zu bytes at %" PRIu64 ", expected %" PRIu64, c->from,
            op->call.http.data.size, c->at, part->size);
    if (rc_failed(rc)) {
        give_up(op);
        return;
    }
    buf_fini(&c->piece);
    c->piece = op->call.http.data; /* the next call must not free it */
    op->call.http.data = (struct buf){0};
    send_piece(op);
}

static void read_piece(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    const uint64_t size = op->upload->parts[c->sent].size;

    store_s3_call(op, STORE_GET, "GET", c->from);
    op->call.answer_max = op->upload->part_size;
    s3_call_header(&op->call, "range", "bytes=%" PRIu64 "-%" PRIu64, c->at, c->at + size - 1);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_piece);
}

static void on_created(struct s3_op *op)
{
    struct s3_carry *c = op->carry;
    struct rc rc = store_s3_created(op, &c->upload_id);

    if (rc_failed(rc))
        end(op, rc);
    else
        read_piece(op);
}

void store_s3_carry_run(
    struct s3_op *op, const char *from, const char *to, uint64_t size, void (*done)(struct s3_op *op, struct rc rc))
{
    struct s3_carry *c = op->carry = mem_new(sizeof *c);

    c->from = mem_strdup(from);
    c->to = mem_strdup(to);
    c->size = size;
    c->count = op->req->part;
    c->done = done;
    c->etags = mem_new(c->count * sizeof c->etags[0]); /* STORE_S3_PARTS_MAX at most */
    store_s3_create(op, to, on_created);
}
