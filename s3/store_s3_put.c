/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_put.h"

#include <string.h>

static void end(struct s3_op *op, struct rc rc)
{
    if (op->then != NULL)
        op->then(op, rc);
    else
        store_s3_end(op, rc);
}

/* --- the ETag of If-Match ----------------------------------------------------------------------------------------- */

static void without_quotes(const char *etag, char out[STORE_ETAG_SIZE])
{
    size_t n = strlen(etag);

    if (n >= 2 && etag[0] == '"' && etag[n - 1] == '"') {
        etag++;
        n -= 2;
    }
    memcpy(out, etag, n);
    out[n] = 0;
}

static bool same_etag(const char *a, const char *b)
{
    char bare_a[STORE_ETAG_SIZE], bare_b[STORE_ETAG_SIZE];

    without_quotes(a, bare_a);
    without_quotes(b, bare_b);
    return strcmp(bare_a, bare_b) == 0;
}

static void send_put(struct s3_op *op);

static void on_head_after_mismatch(struct s3_op *op)
{
    struct err *err = &op->req->err;
    struct rc rc = store_s3_result(op);
    char etag[STORE_ETAG_SIZE];

    store_s3_take_etag(&op->call, etag);
    if (!rc_failed(rc) && same_etag(etag, op->req->if_match)) {
        op->store->etag_unquoted = !op->unquoted;
        op->flipped = true;
        send_put(op);
        return;
    }
    if (!rc_failed(rc) || rc.code == E_NOTFOUND)
        rc = rc_raise(err, E_EXISTS, "the object is not %s (any more) but %s", op->req->if_match,
            rc_failed(rc) ? "missing" : etag);
    end(op, rc);
}

/*
 * Stores disagree about the quotes that belong to an ETag: Ceph and others take it only without them, though they send
 * it with them.  When a store refuses the very ETag that the object has, the other form is tried, and kept.
 */
static void look_at_mismatch(struct s3_op *op)
{
    store_s3_call(op, STORE_HEAD, "HEAD", op->req->key);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_head_after_mismatch);
}

/* --- putting ------------------------------------------------------------------------------------------------------ */

static bool creates_by_header(const struct s3_op *op)
{
    return op->req->create_only && !op->store->base.without_conditions;
}

static void on_put(struct s3_op *op)
{
    struct store_req *req = op->req;
    struct rc rc = store_s3_result(op);

    req->sent_twice = op->call.http.resent;
    if (!rc_failed(rc))
        store_s3_take_etag(&op->call, req->etag);
    else if (req->if_match[0] != 0 && (rc.code == E_EXISTS || rc.code == E_NOTFOUND)) {
        if (rc.code == E_EXISTS && !op->flipped) {
            look_at_mismatch(op);
            return;
        }
        rc = rc_raise(&req->err, E_EXISTS, "the object is not %s (any more)", req->if_match);
    } else if (rc.code == E_UNSUPPORTED && (creates_by_header(op) || req->if_match[0] != 0)) {
        rc = rc_raise(&req->err, E_UNSUPPORTED, "the store has no conditional writes: it answers %d to %s",
            op->call.http.status, req->if_match[0] != 0 ? "If-Match" : "If-None-Match");
    } else if (rc.code == E_EXISTS)
        rc = rc_raise(&req->err, E_EXISTS, "the object exists already");
    end(op, rc);
}

static void send_put(struct s3_op *op)
{
    struct store_req *req = op->req;
    struct s3_call *call = &op->call;
    char etag[STORE_ETAG_SIZE];

    store_s3_call(op, STORE_PUT, "PUT", req->key);
    call->body = op->body;
    call->with_md5 = true;
    s3_call_header(call, "content-type", "application/octet-stream");
    store_s3_add_storage(op->store, call);
    if (creates_by_header(op))
        s3_call_header(call, "if-none-match", "*");
    if (req->if_match[0] != 0) {
        op->unquoted = op->store->etag_unquoted;
        without_quotes(req->if_match, etag);
        s3_call_header(call, "if-match", op->unquoted ? "%s" : "\"%s\"", etag);
    }
    store_s3_send(op, on_put);
}

static void on_head_before_put(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    if (!rc_failed(rc))
        end(op, rc_raise(&op->req->err, E_EXISTS, "the object exists already"));
    else if (rc.code != E_NOTFOUND)
        end(op, rc);
    else
        send_put(op);
}

static void on_later(struct s3_later *later)
{
    struct s3_op *op = later->ctx;

    end(op, rc_of(&op->req->err));
}

static void refuse(struct s3_op *op)
{
    rc_ignore(
        rc_raise(&op->req->err, E_UNSUPPORTED, "the store has no conditional writes, by its kind or by configuration"),
        "it is the request's answer");
    op->later = (struct s3_later){.run = on_later, .ctx = op};
    s3_client_later(op->store->client, &op->later);
}

void store_s3_put_begin(struct s3_op *op)
{
    if (!op->req->create_only || (creates_by_header(op) && !op->store->known_to_lack_conditions)) {
        send_put(op);
        return;
    }
    if (creates_by_header(op)) {
        refuse(op);
        return;
    }
    /* Without conditional writes this is the best there is, and not safe against a second writer. */
    store_s3_call(op, STORE_HEAD, "HEAD", op->req->key);
    store_s3_add_customer_key(op->store, &op->call, false);
    store_s3_send(op, on_head_before_put);
}
