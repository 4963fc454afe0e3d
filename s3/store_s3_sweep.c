/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_sweep.h"

#include "alloc.h"
#include "store_s3_batch.h"
#include "store_s3_upload.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { ROOT_SIZE = S3_CONFIG_PREFIX_MAX + 2, ANSWER_MAX = 8 << 20 };

struct s3_sweep {
    struct s3_batch batch; /* must be first */
    struct s3_op *op;
    char root[ROOT_SIZE];                   /* the replica's prefix with its '/', or "" */
    char prefix[ROOT_SIZE + STORE_KEY_MAX]; /* of the listing */
    char *key_marker, *id_marker;           /* owned; NULL on the first page */
    struct s3_xml_upload found[STORE_LIST_MAX];
    size_t count;
    unsigned page_count;
};

void store_s3_sweep_free(struct s3_sweep *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->count; i++) {
        mem_free(w->found[i].key);
        mem_free(w->found[i].id);
    }
    mem_free(w->key_marker);
    mem_free(w->id_marker);
    mem_free(w);
}

/* --- aborting ----------------------------------------------------------------------------------------------------- */

static const char *relative(const struct s3_sweep *w, const char *key)
{
    return key + strlen(w->root); /* which every one has that was found */
}

static void prepare_one(struct s3_batch *b, size_t i, struct s3_call *call)
{
    const struct s3_sweep *w = (const struct s3_sweep *)b;

    s3_call_init(call, STORE_UPLOAD_ABORT, "DELETE", relative(w, w->found[i].key));
    s3_call_param(call, "uploadId", w->found[i].id);
}

static struct rc take_one(struct s3_batch *b, size_t i, struct s3_call *call, struct err *err)
{
    struct s3_sweep *w = (struct s3_sweep *)b;
    struct rc rc = s3_call_result(call, err);

    if (rc_failed(rc) && rc.code != E_NOTFOUND) /* gone meanwhile: as it should be */
        return rc_wrap(err, "abort the upload of %s", relative(w, w->found[i].key));
    w->op->req->swept++;
    return RC_OK;
}

static void on_aborted(struct s3_batch *b)
{
    struct s3_op *op = ((struct s3_sweep *)b)->op;

    if (b->err.code != E_OK)
        op->req->err = b->err;
    store_s3_end(op, rc_of(&b->err));
}

static void finish(struct s3_op *op)
{
    struct s3_sweep *w = op->sweep;

    if (w->count == 0 || op->req->dry_run) {
        op->req->swept = w->count;
        store_s3_end(op, RC_OK);
        return;
    }
    w->batch.store = op->store;
    w->batch.count = w->count;
    w->batch.prepare = prepare_one;
    w->batch.take = take_one;
    w->batch.on_done = on_aborted;
    store_s3_batch_run(&w->batch);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static bool is_under_way(const struct s3_store *s, const char *id)
{
    for (const struct s3_upload *u = s->uploads; u != NULL; u = u->next)
        if (u->s3_id != NULL && strcmp(u->s3_id, id) == 0)
            return true;
    return false;
}

static bool counts(const struct s3_op *op, const struct s3_xml_upload *u, int64_t now_ms)
{
    const struct s3_sweep *w = op->sweep;
    const char *key;

    if (strncmp(u->key, w->prefix, strlen(w->prefix)) != 0 || u->id[0] == 0)
        return false;
    key = relative(w, u->key);
    if (strlen(key) > STORE_KEY_MAX || !(store_key_ok(key) || store_is_scratch(key)))
        return false;
    if (u->begun_ms == 0 || now_ms == 0 || u->begun_ms > now_ms - (int64_t)op->req->age_ms)
        return false;
    return !is_under_way(op->store, u->id);
}

static void take_uploads(struct s3_op *op, struct s3_xml_uploads *page)
{
    struct s3_sweep *w = op->sweep;
    const int64_t now_ms = store_s3_date(&op->call);

    for (size_t i = 0; i < page->count && w->count < STORE_LIST_MAX; i++) {
        struct s3_xml_upload *u = &page->uploads[i];

        if (!counts(op, u, now_ms))
            continue;
        w->found[w->count++] = *u;
        *u = (struct s3_xml_upload){0};
    }
}

static struct rc remember(struct s3_sweep *w, struct s3_xml_uploads *page, struct err *err)
{
    if (page->next_key == NULL || page->next_id == NULL)
        return rc_raise(err, E_CORRUPT, "the store says that there are more uploads, but not how to get them");
    if (w->key_marker != NULL && strcmp(w->key_marker, page->next_key) == 0 && strcmp(w->id_marker, page->next_id) == 0)
        return rc_raise(err, E_CORRUPT, "the store lists the same uploads again and again");
    mem_free(w->key_marker);
    mem_free(w->id_marker);
    w->key_marker = MOVE(page->next_key);
    w->id_marker = MOVE(page->next_id);
    return RC_OK;
}

/* `again`: there is another page to look at. */
static struct rc take_page(struct s3_op *op, bool *again, struct err *err)
{
    CLEANUP(s3_xml_uploads_fini) struct s3_xml_uploads page = {0};
    struct s3_sweep *w = op->sweep;

    *again = false;
    TRY(s3_xml_read_uploads(buf_span(&op->call.http.data), &page, err));
    take_uploads(op, &page);
    if (!page.truncated || w->count == STORE_LIST_MAX || ++w->page_count == STORE_S3_SWEEP_PAGES_MAX)
        return RC_OK;
    TRY(remember(w, &page, err));
    *again = true;
    return RC_OK;
}

static void send_page(struct s3_op *op);

static void on_page(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    bool again = false;

    if (!rc_failed(rc))
        rc = take_page(op, &again, &op->req->err);
    else if (rc.code == E_NOTFOUND) /* a listing has no key of its own that could be missing */
        rc = rc_raise(&op->req->err, E_UNSUPPORTED, "%s", op->req->err.msg);
    if (again)
        send_page(op);
    else if (rc_failed(rc))
        store_s3_end(op, rc);
    else
        finish(op);
}

static void send_page(struct s3_op *op)
{
    const struct s3_sweep *w = op->sweep;
    struct s3_call *call = &op->call;

    store_s3_call(op, STORE_UPLOAD_SWEEP, "GET", NULL);
    call->answer_max = ANSWER_MAX;
    s3_call_param(call, "uploads", "");
    s3_call_param(call, "prefix", w->prefix);
    s3_call_param(call, "max-uploads", "1000");
    if (w->key_marker != NULL) {
        s3_call_param(call, "key-marker", w->key_marker);
        s3_call_param(call, "upload-id-marker", w->id_marker);
    }
    store_s3_send(op, on_page);
}

void store_s3_sweep_begin(struct s3_op *op)
{
    const char *prefix = op->store->config->prefix;
    struct s3_sweep *w = mem_new(sizeof *w);
    int n;

    op->sweep = w;
    w->op = op;
    n = snprintf(w->root, sizeof w->root, "%s%s", prefix, prefix[0] != 0 ? "/" : "");
    assert(n >= 0);
    assert((size_t)n < sizeof w->root); /* S3_CONFIG_PREFIX_MAX */
    (void)snprintf(w->prefix, sizeof w->prefix, "%s%s", w->root, op->req->key);
    send_page(op);
}
