/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_fetch.h"

#include "alloc.h"
#include "s3_cred_json.h"

#include <assert.h>

static struct s3_cred_fetch *fetch_of(struct s3_cred_op *op)
{
    return (struct s3_cred_fetch *)op; /* the first member */
}

/* The request still completes, for nobody. */
static void on_cancel(struct s3_cred_op *op)
{
    struct s3_cred_fetch *f = fetch_of(op);

    f->canceled = true;
    s3_http_cancel(f->env->http, &f->req);
}

void s3_cred_fetch_drop(struct s3_cred_fetch *f)
{
    s3_cred_box_wipe(&f->req.data);
    s3_http_req_fini(&f->req);
    f->on_free(f);
    mem_free(f);
}

static void on_http_done(struct s3_http_req *req)
{
    struct s3_cred_fetch *f = req->ctx;
    struct s3_cred_box *box = NULL;
    struct err err = {.code = E_OK};
    struct rc rc;

    if (f->canceled) {
        s3_cred_fetch_drop(f);
        return;
    }
    f->again = false;
    rc = f->on_answer(f, &box, &err);
    if (!rc_failed(rc) && f->again) {
        s3_http_submit(f->env->http, &f->req);
        return;
    }
    assert(rc_failed(rc) == (box == NULL));
    f->op.on_done(f->op.ctx, box, &err);
    s3_cred_fetch_drop(f);
}

void s3_cred_fetch_init(struct s3_cred_fetch *f, const struct s3_cred_env *env,
    struct rc (*on_answer)(struct s3_cred_fetch *f, struct s3_cred_box **box, struct err *err),
    void (*on_free)(struct s3_cred_fetch *f))
{
    f->env = env;
    f->op.cancel = on_cancel;
    f->on_answer = on_answer;
    f->on_free = on_free;
    s3_http_req_init(&f->req, "GET", "http://invalid/"); /* so that it can always be dropped */
}

void s3_cred_fetch_request(struct s3_cred_fetch *f, const char *method, const char *url, uint64_t total_ms)
{
    s3_cred_box_wipe(&f->req.data);
    s3_http_req_fini(&f->req);
    s3_http_req_init(&f->req, method, url);
    f->req.answer_max = S3_CRED_JSON_MAX;
    f->req.total_ms = total_ms;
    f->req.on_done = on_http_done;
    f->req.ctx = f;
    f->again = true;
}

void s3_cred_fetch_go(struct s3_cred_fetch *f, struct s3_cred_start *start)
{
    f->op.on_done = start->on_done;
    f->op.ctx = start->ctx;
    start->op = &f->op;
    s3_http_submit(f->env->http, &f->req);
}

enum err_code s3_cred_fetch_code(int status)
{
    if (status == 429)
        return E_THROTTLED;
    return status >= 500 ? E_SERVER : E_DENIED;
}

struct rc s3_cred_fetch_status(struct s3_cred_fetch *f, struct err *err)
{
    char reason[S3_CRED_QUOTE_SIZE];
    struct rc rc;

    if (f->req.err.code != E_OK) {
        *err = f->req.err;
        return rc_of(err);
    }
    if (f->req.status == 200)
        return RC_OK;
    rc = rc_raise(err, s3_cred_fetch_code(f->req.status), "HTTP status %d: %s", f->req.status,
        s3_cred_json_reason(buf_span(&f->req.data), reason));
    err->http = f->req.status;
    return rc;
}
