/* SPDX-License-Identifier: Apache-2.0 */
#include "store_retry.h"

#include "alloc.h"
#include "backoff.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

enum { LATER_SIZE = 200 };

struct retry_op {
    struct store_req inner;
    struct store_req *outer;
    struct retry_store *store;
    LIST_ENTRY(retry_op) next; /* what waits for its next try */
    struct backoff backoff;
    uint64_t began_ms, due_ms; /* the loop's clock */
    struct err first;          /* the first failure; code E_OK: none */
    unsigned tries;
    uint8_t later[E_BUG + 1]; /* how often each code came after the first failure */
    bool reading_back;
};

struct retry_store {
    struct store base; /* must be first */
    uv_loop_t *loop;
    struct store *below; /* owned */
    struct store_retry_opts opts;
    uv_timer_t timer;
    LIST_HEAD(, retry_op) waiting;
    unsigned budget;
    bool canceled; /* nothing is waited for any more */
    bool stopping, below_stopped;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static void send_try(struct retry_op *op);

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    struct retry_store *s = handle->data;
    void (*on_stopped)(void *ctx) = s->on_stopped;
    void *ctx = s->ctx;

    mem_free(s->base.url);
    mem_free(s);
    on_stopped(ctx);
}

static void end(struct retry_op *op)
{
    struct retry_store *s = op->store;
    struct store_req *outer = op->outer;

    store_req_take(outer, &op->inner);
    store_req_fini(&op->inner);
    mem_free(op);
    store_complete(&s->base, outer);
}

/* A full bucket, a full memory do not pass in seconds. */
static bool passes_soon(enum err_code code)
{
    return rc_retryable(code) && code != E_NOSPACE && code != E_NOMEM;
}

/* "put k: slow down (5 tries in 12 s, then: 3 x timed out, 1 x server failure)" */
static void tell(struct retry_op *op)
{
    struct err *err = &op->inner.err;
    char later[LATER_SIZE] = "";
    int http = err->http;
    size_t n = 0;

    if (op->tries < 2)
        return;
    if (!passes_soon(err->code)) { /* it is a failure of its own, and what is to be mended now */
        rc_ignore(
            rc_raise(err, err->code, "%.600s (the first of %u tries: %.300s)", err->msg, op->tries, op->first.msg),
            "it is the request's answer");
        err->http = http;
        return;
    }
    for (int code = 0; code <= E_BUG; code++) {
        int more = op->later[code] == 0 ? 0
                                        : snprintf(later + n, sizeof later - n, "%s%u x %s", n > 0 ? ", " : "",
                                            op->later[code], rc_text((enum err_code)code));

        if (more > 0 && n + (size_t)more < sizeof later)
            n += (size_t)more;
    }
    /* The cause goes first: it is what has to be mended.  The code is that of the last try. */
    rc_ignore(rc_raise_sys(err, err->code, 0, "%.700s (%u tries in %" PRIu64 " ms, then: %s)", op->first.msg, op->tries,
                  uv_now(op->store->loop) - op->began_ms, later),
        "it is the request's answer");
    err->http = http;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static void set_timer(struct retry_store *s)
{
    uint64_t now = uv_now(s->loop), due = UINT64_MAX;
    const struct retry_op *op;

    LIST_FOREACH (op, &s->waiting, next) {
        if (op->due_ms < due)
            due = op->due_ms;
    }
    if (LIST_EMPTY(&s->waiting))
        (void)uv_timer_stop(&s->timer); /* cannot fail */
    else
        (void)uv_timer_start(&s->timer, on_timer, due > now ? due - now : 0, 0); /* fails only without a callback */
}

static void unlink_op(struct retry_op *op)
{
    LIST_REMOVE(op, next);
}

static void close_when_idle(struct retry_store *s)
{
    if (s->below_stopped && LIST_EMPTY(&s->waiting) && !uv_is_closing((uv_handle_t *)&s->timer))
        uv_close((uv_handle_t *)&s->timer, on_closed);
}

static struct retry_op *next_due(const struct retry_store *s)
{
    struct retry_op *op = LIST_FIRST(&s->waiting);

    while (op != NULL && !s->canceled && op->due_ms > uv_now(s->loop))
        op = LIST_NEXT(op, next);
    return op;
}

static void on_timer(uv_timer_t *timer)
{
    struct retry_store *s = timer->data;
    struct retry_op *op;

    while ((op = next_due(s)) != NULL) {
        unlink_op(op);
        if (s->canceled) {
            rc_ignore(rc_raise(&op->inner.err, E_CANCELED, "%s: the store is stopping", op->first.msg),
                "it is the request's answer");
            end(op);
        } else
            send_try(op);
    }
    set_timer(s);
    close_when_idle(s);
}

static void wait_for_next(struct retry_op *op, uint64_t pause_ms)
{
    struct retry_store *s = op->store;

    op->due_ms = uv_now(s->loop) + pause_ms;
    LIST_INSERT_HEAD(&s->waiting, op, next);
    set_timer(s);
}

/* --- deciding ----------------------------------------------------------------------------------------------------- */

static bool may_retry(struct retry_op *op, uint64_t *pause_ms)
{
    struct retry_store *s = op->store;
    uint64_t pause;

    if (s->canceled || !passes_soon(op->inner.err.code) || op->tries == STORE_RETRY_TRIES)
        return false;
    pause = backoff_next_ms(&op->backoff);
    if (pause < op->inner.retry_after_ms)
        pause = op->inner.retry_after_ms;
    if (uv_now(s->loop) - op->began_ms + pause > s->opts.within_ms || s->budget < STORE_RETRY_COST)
        return false;
    s->budget -= STORE_RETRY_COST;
    *pause_ms = pause;
    return true;
}

static void pay_back(struct retry_op *op)
{
    struct retry_store *s = op->store;

    s->budget += op->tries > 1 ? STORE_RETRY_COST : 1;
    if (s->budget > STORE_RETRY_BUDGET)
        s->budget = STORE_RETRY_BUDGET;
}

static void note(struct retry_op *op)
{
    const struct err *err = &op->inner.err;

    if (op->first.code == E_OK)
        op->first = *err;
    else if (op->later[err->code] < UINT8_MAX)
        op->later[err->code]++;
}

/* The key is taken after a try of which nobody knows whether it was carried out. */
static bool may_be_ours(const struct retry_op *op)
{
    return op->inner.err.code == E_EXISTS && op->outer->verb == STORE_PUT
           && (op->first.code != E_OK || op->inner.sent_twice) && !op->reading_back && !op->store->canceled;
}

static void judge_read_back(struct retry_op *op)
{
    struct store_req *inner = &op->inner;
    struct span body = op->outer->body;
    bool ours =
        inner->data.size == body.size && (body.size == 0 || memcmp(inner->data.data, body.data, body.size) == 0);

    buf_fini(&inner->data);
    inner->size = 0;
    if (!ours)
        rc_ignore(rc_raise(&inner->err, E_EXISTS, "%s %s: the object exists already", store_verb_name(op->outer->verb),
                      op->outer->key),
            "it is the request's answer");
    end(op);
}

static void on_answer(struct store_req *inner)
{
    struct retry_op *op = inner->ctx;
    uint64_t pause_ms;

    if (inner->err.code == E_OK) {
        pay_back(op);
        if (op->reading_back)
            judge_read_back(op);
        else
            end(op);
        return;
    }
    if (may_be_ours(op)) {
        op->reading_back = true;
        send_try(op);
        return;
    }
    if (op->reading_back && inner->err.code == E_NOTFOUND) { /* deleted meanwhile: put it once more */
        op->reading_back = false;
        inner->err.code = E_BUSY;
    }
    note(op);
    if (may_retry(op, &pause_ms)) {
        wait_for_next(op, pause_ms);
        return;
    }
    if (inner->err.code != E_CANCELED)
        tell(op);
    end(op);
}

static void send_try(struct retry_op *op)
{
    op->tries++;
    store_req_fini(&op->inner);
    if (op->reading_back)
        store_req_init(&op->inner, STORE_GET, op->outer->key, on_answer, op);
    else
        store_req_forward(&op->inner, op->outer, on_answer, op);
    store_submit(op->store->below, &op->inner);
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

static void on_passed(struct store_req *inner)
{
    end(inner->ctx);
}

static void retry_submit(struct store *base, struct store_req *req)
{
    struct retry_store *s = (struct retry_store *)base;
    struct retry_op *op = mem_new(sizeof *op);

    assert(!s->stopping);
    op->store = s;
    op->outer = req;
    op->began_ms = uv_now(s->loop);
    op->backoff = (struct backoff){.base_ms = s->opts.base_ms, .max_ms = s->opts.max_ms};
    if (!req->once) {
        send_try(op);
        return;
    }
    store_req_forward(&op->inner, req, on_passed, op);
    store_submit(s->below, &op->inner);
}

static void on_below_stopped(void *ctx)
{
    struct retry_store *s = ctx;

    s->below_stopped = true;
    s->base.below = NULL;
    close_when_idle(s);
}

static void retry_cancel(struct store *base)
{
    struct retry_store *s = (struct retry_store *)base;

    if (s->canceled)
        return;
    s->canceled = true;
    if (!LIST_EMPTY(&s->waiting))
        (void)uv_timer_start(&s->timer, on_timer, 0, 0); /* fails only without a callback */
    store_cancel(s->below);
}

static void retry_stop(struct store *base, void (*on_stopped)(void *ctx), void *ctx)
{
    struct retry_store *s = (struct retry_store *)base;

    assert(!s->stopping);
    s->canceled = s->stopping = true;
    s->on_stopped = on_stopped;
    s->ctx = ctx;
    if (!LIST_EMPTY(&s->waiting))
        (void)uv_timer_start(&s->timer, on_timer, 0, 0); /* fails only without a callback */
    store_stop(s->below, on_below_stopped, s);
}

static const struct store_ops retry_ops = {.submit = retry_submit, .stop = retry_stop, .cancel = retry_cancel};

struct store *store_retry_new(uv_loop_t *loop, struct store *below, const struct store_retry_opts *opts)
{
    struct retry_store *s = mem_new(sizeof *s);
    int r = uv_timer_init(loop, &s->timer);

    assert(r == 0);
    s->loop = loop;
    s->below = below;
    if (opts != NULL)
        s->opts = *opts;
    if (s->opts.base_ms == 0)
        s->opts.base_ms = STORE_RETRY_BASE_MS;
    if (s->opts.max_ms == 0)
        s->opts.max_ms = STORE_RETRY_MAX_MS;
    if (s->opts.within_ms == 0)
        s->opts.within_ms = STORE_RETRY_WITHIN_MS;
    s->timer.data = s;
    s->budget = STORE_RETRY_BUDGET;
    s->base.ops = &retry_ops;
    s->base.below = below;
    s->base.url = mem_strdup(below->url);
    s->base.part_size = below->part_size;
    return &s->base;
}
