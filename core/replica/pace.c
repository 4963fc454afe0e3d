/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#include "alloc.h"

#include <assert.h>

/* A request that waits or is under way. */
struct op {
    struct store_req inner;
    struct store_req *outer; /* borrowed */
    struct pace *pace;
    struct op *next;
};

struct pace {
    struct store base; /* must be first */
    struct store *below;
    uv_timer_t timer; /* what waits is looked at here only, never from inside submit */
    uint64_t rate;
    uint64_t next_us; /* not before: the bytes of the last answers are paid for then */
    struct op *first, **last;
    unsigned in_flight;
    bool held, canceled, stopping, below_stopped, closing;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void on_closed(uv_handle_t *handle)
{
    struct pace *p = handle->data;
    void (*on_stopped)(void *ctx) = p->on_stopped;
    void *ctx = p->ctx;

    mem_free(p->base.url);
    mem_free(p);
    on_stopped(ctx);
}

static void close_when_idle(struct pace *p)
{
    if (!p->below_stopped || p->first != NULL || p->in_flight > 0 || p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static void finish(struct op *op)
{
    struct pace *p = op->pace;
    struct store_req *outer = op->outer;

    mem_free(op);
    store_complete(&p->base, outer);
}

static void look(struct pace *p);

static void on_passed(struct store_req *inner)
{
    struct op *op = inner->ctx;
    struct pace *p = op->pace;
    uint64_t now = now_us();

    p->in_flight--;
    if (p->rate > 0) {
        if (p->next_us < now)
            p->next_us = now;
        p->next_us += (uint64_t)((__uint128_t)inner->data.size * 1000000 / p->rate);
    }
    store_req_take(op->outer, inner);
    store_req_fini(inner);
    finish(op);
    look(p);
    close_when_idle(p);
}

static struct op *take(struct pace *p)
{
    struct op *op = p->first;

    p->first = op->next;
    if (p->first == NULL)
        p->last = &p->first;
    return op;
}

static void on_timer(uv_timer_t *timer)
{
    struct pace *p = timer->data;

    while (p->first != NULL && p->canceled) {
        struct op *op = take(p);

        rc_ignore(rc_raise(&op->outer->err, E_CANCELED, "stopping"), "it is the answer");
        finish(op);
    }
    while (p->first != NULL && !p->held && p->in_flight < PACE_IN_FLIGHT && p->next_us <= now_us()) {
        struct op *op = take(p);

        p->in_flight++;
        store_req_forward(&op->inner, op->outer, on_passed, op);
        store_submit(p->below, &op->inner);
    }
    look(p);
    close_when_idle(p);
}

/* When is there something to do next? */
static void look(struct pace *p)
{
    uint64_t now = now_us(), pause_ms = 0;
    bool ready = p->canceled || (!p->held && p->in_flight < PACE_IN_FLIGHT);

    if (p->first == NULL || !ready || p->closing)
        return;
    if (!p->canceled && p->next_us > now)
        pause_ms = (p->next_us - now) / 1000 + 1;
    (void)uv_timer_start(&p->timer, on_timer, pause_ms, 0); /* fails only without a callback */
}

static void pace_submit(struct store *base, struct store_req *req)
{
    struct pace *p = (struct pace *)base;
    struct op *op = mem_new(sizeof *op);

    op->outer = req;
    op->pace = p;
    *p->last = op;
    p->last = &op->next;
    look(p);
}

static void pace_cancel(struct store *base)
{
    struct pace *p = (struct pace *)base;

    if (p->canceled)
        return;
    p->canceled = true;
    look(p);
    store_cancel(p->below);
}

static void on_below_stopped(void *ctx)
{
    struct pace *p = ctx;

    p->below_stopped = true;
    p->base.below = NULL;
    close_when_idle(p);
}

static void pace_stop(struct store *base, void (*on_stopped)(void *ctx), void *ctx)
{
    struct pace *p = (struct pace *)base;

    assert(!p->stopping);
    p->canceled = p->stopping = true;
    p->on_stopped = on_stopped;
    p->ctx = ctx;
    look(p);
    store_stop(p->below, on_below_stopped, p);
}

static const struct store_ops ops = {.submit = pace_submit, .stop = pace_stop, .cancel = pace_cancel};

struct store *pace_new(uv_loop_t *loop, struct store *below, uint64_t rate)
{
    struct pace *p = mem_new(sizeof *p);
    int rc = uv_timer_init(loop, &p->timer);

    assert(rc == 0);
    p->timer.data = p;
    p->below = below;
    p->rate = rate;
    p->last = &p->first;
    p->base.ops = &ops;
    p->base.below = below;
    p->base.url = mem_strdup(below->url);
    p->base.part_size = below->part_size;
    return &p->base;
}

void pace_hold(struct store *s, bool held)
{
    struct pace *p = (struct pace *)s;

    assert(s->ops == &ops);
    p->held = held;
    look(p);
}
