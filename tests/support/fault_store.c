/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_store.h"

#include "alloc.h"
#include "fsys.h"
#include "must.h"
#include "store_dir.h"

#include <string.h>

/* A request on its way to the store below and back. */
struct passage {
    struct store_req inner;
    struct store_req *outer;
    struct fault_store *store;
    bool faulty;
};

static struct fault_store *fault_of(struct store *s)
{
    return (struct fault_store *)s; /* `base` is the first member */
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static bool needs_body(enum fault_store_kind kind)
{
    return kind == FAULT_STORE_HALF_BODY || kind == FAULT_STORE_WRONG_BODY;
}

static bool key_counts(const struct fault_store *f, const struct store_req *req)
{
    size_t n = f->prefix == NULL ? 0 : strlen(f->prefix);

    for (size_t i = 0; i < req->key_count; i++) {
        if (n == 0 || strncmp(req->keys[i], f->prefix, n) == 0)
            return true;
    }
    return req->key_count == 0 && (n == 0 || strncmp(req->key, f->prefix, n) == 0);
}

/* Does the fault hit this request? */
static bool tick(struct fault_store *f, const struct store_req *req)
{
    if ((f->verbs >> req->verb & 1) == 0)
        return false;
    if (!key_counts(f, req))
        return false;
    f->requests++;
    if (f->countdown <= 0)
        return f->forever && f->fired > 0;
    return --f->countdown == 0;
}

static void fail(const struct fault_store *f, struct store_req *req, const char *what)
{
    rc_ignore(rc_raise(&req->err, f->code, "%s %s: %s", store_verb_name(req->verb), req->key, what),
        "it is the request's answer");
}

/* --- answers without the store below ------------------------------------------------------------------------------ */

static void on_timer_closed(uv_handle_t *handle)
{
    struct fault_store *f = handle->data;

    f->on_stopped(f->ctx); /* the test may let go of `f` now */
}

static void close_when_idle(struct fault_store *f)
{
    if (f->below_stopped && f->first == NULL && !uv_is_closing((uv_handle_t *)&f->timer))
        uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct fault_store *f = timer->data;
    struct store_req *req = f->first, *next;

    f->first = NULL;
    f->last = &f->first;
    for (; req != NULL; req = next) {
        next = req->next;
        store_complete(&f->base, req); /* may submit more, or stop the store */
    }
    close_when_idle(f);
}

static void answer_later(struct fault_store *f, struct store_req *req)
{
    req->next = NULL;
    *f->last = req;
    f->last = &req->next;
    (void)uv_timer_start(&f->timer, on_timer, 0, 0); /* fails only without a callback */
}

/* --- passing on --------------------------------------------------------------------------------------------------- */

static void spoil(struct fault_store *f, struct store_req *req)
{
    if (f->kind == FAULT_STORE_HALF_BODY)
        buf_trim(&req->data, req->data.size / 2);
    else if (req->data.size > 0) /* always another byte, from one fault to the next */
        req->data.data[(size_t)(f->fired * 7919) % req->data.size] ^= 0x10;
}

static void on_passed(struct store_req *inner)
{
    struct passage *p = inner->ctx;
    struct fault_store *f = p->store;
    struct store_req *outer = p->outer;

    if (p->faulty && f->kind == FAULT_STORE_LOST)
        fail(f, outer, "the answer got lost");
    else {
        store_req_take(outer, inner);
        if (p->faulty)
            spoil(f, outer);
    }
    store_req_fini(inner);
    mem_free(p);
    store_complete(&f->base, outer);
}

static void pass_on(struct fault_store *f, struct store_req *req, bool faulty)
{
    struct passage *p = mem_new(sizeof *p);

    p->outer = req;
    p->store = f;
    p->faulty = faulty;
    store_req_forward(&p->inner, req, on_passed, p);
    store_submit(f->below, &p->inner);
}

static void fault_submit(struct store *s, struct store_req *req)
{
    struct fault_store *f = fault_of(s);
    bool faulty = tick(f, req);

    f->fired += faulty;
    if (!faulty || f->kind == FAULT_STORE_LOST || needs_body(f->kind)) {
        pass_on(f, req, faulty);
        return;
    }
    fail(f, req, f->kind == FAULT_STORE_REFUSED ? "refused" : "slow down");
    answer_later(f, req);
}

static void on_below_stopped(void *ctx)
{
    struct fault_store *f = ctx;

    f->below_stopped = true;
    close_when_idle(f);
}

static void fault_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    struct fault_store *f = fault_of(s);

    f->on_stopped = on_stopped;
    f->ctx = ctx;
    store_stop(f->below, on_below_stopped, f);
}

static const struct store_ops fault_ops = {.submit = fault_submit, .stop = fault_stop};

/* --- setting up --------------------------------------------------------------------------------------------------- */

void fault_store_begin(struct fault_store *f, uv_loop_t *loop, const char *root)
{
    struct store *below;
    struct err err;

    MUST(uv_loop_init(loop) == 0);
    MUST(!rc_failed(store_dir_open(loop, &fsys_real, root, &below, &err)));
    fault_store_init(f, loop, below);
}

void fault_store_arm(struct fault_store *f, enum fault_store_kind kind, long n, bool forever)
{
    f->kind = kind;
    f->countdown = n;
    f->forever = forever;
    f->verbs = needs_body(kind) ? 1u << STORE_GET : (1u << STORE_VERB_COUNT) - 1;
    f->prefix = NULL;
    f->code = kind == FAULT_STORE_REFUSED ? E_NETWORK : kind == FAULT_STORE_THROTTLED ? E_THROTTLED : E_TIMEOUT;
    f->requests = 0;
    f->fired = 0;
}

void fault_store_disarm(struct fault_store *f)
{
    f->countdown = 0;
    f->forever = false;
}

void fault_store_init(struct fault_store *f, uv_loop_t *loop, struct store *below)
{
    *f = (struct fault_store){
        .base = {.ops = &fault_ops, .url = below->url, .part_size = below->part_size},
        .loop = loop,
        .below = below,
    };
    f->last = &f->first;
    f->timer.data = f;
    (void)uv_timer_init(loop, &f->timer); /* cannot fail */
    fault_store_arm(f, FAULT_STORE_REFUSED, 0, false);
}
