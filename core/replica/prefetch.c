/* SPDX-License-Identifier: Apache-2.0 */
#include "prefetch.h"

#include "alloc.h"

#include <assert.h>

struct slot {
    struct store_req req;
    uint64_t size; /* as expected */
    sem_t done;
};

struct prefetch {
    struct work *work;   /* borrowed */
    struct store *store; /* borrowed */
    prefetch_describe_fn describe;
    void *ctx;
    size_t count;

    size_t taken, submitted, prepared; /* objects so far; taken <= submitted <= prepared */
    uint64_t bytes;                    /* expected, of those prepared and not taken */
    struct slot slots[PREFETCH_SLOTS]; /* object i is in slot i % PREFETCH_SLOTS */
};

static struct slot *slot_of(struct prefetch *p, size_t i)
{
    return &p->slots[i % PREFETCH_SLOTS];
}

static void on_fetched(struct store_req *req)
{
    struct slot *slot = req->ctx;

    (void)sem_post(&slot->done); /* cannot overflow: one request at a time */
}

static void submit(void *ctx)
{
    struct prefetch *p = ctx;

    for (; p->submitted < p->prepared; p->submitted++)
        store_submit(p->store, &slot_of(p, p->submitted)->req);
}

/* Nothing is done while more than half of the slots are busy: so a wake-up of the loop stands for many objects. */
static void refill(struct prefetch *p)
{
    if (p->prepared - p->taken > PREFETCH_SLOTS / 2)
        return;
    while (p->prepared < p->count && p->prepared - p->taken < PREFETCH_SLOTS) {
        struct slot *slot = slot_of(p, p->prepared);
        layout_text key;
        uint64_t size = p->describe(p->ctx, p->prepared, key);

        if (p->prepared > p->taken && p->bytes + size > PREFETCH_BYTES)
            break;
        slot->size = size;
        p->bytes += size;
        store_req_init(&slot->req, STORE_GET, key, on_fetched, slot);
        p->prepared++;
    }
    if (p->prepared > p->submitted)
        work_on_loop(p->work, submit, p);
}

struct prefetch *prefetch_new(struct work *w, struct store *s, size_t count, prefetch_describe_fn describe, void *ctx)
{
    struct prefetch *p = mem_new(sizeof *p);

    p->work = w;
    p->store = s;
    p->count = count;
    p->describe = describe;
    p->ctx = ctx;
    for (size_t i = 0; i < PREFETCH_SLOTS; i++)
        (void)sem_init(&p->slots[i].done, 0, 0);
    return p;
}

static struct slot *wait_for_next(struct prefetch *p)
{
    struct slot *slot = slot_of(p, p->taken);

    work_wait(&slot->done);
    p->taken++;
    p->bytes -= slot->size;
    return slot;
}

struct rc prefetch_take(struct prefetch *p, struct buf *bytes, struct err *err)
{
    struct slot *slot;
    struct rc rc;

    assert(p->taken < p->count);
    refill(p);
    slot = wait_for_next(p);
    rc = store_result(&slot->req, err);
    if (rc_failed(rc))
        rc = rc_wrap(err, "%s", slot->req.key);
    else {
        *bytes = slot->req.data;
        slot->req.data = (struct buf){0};
    }
    store_req_fini(&slot->req);
    return rc;
}

void prefetch_free(struct prefetch *p)
{
    if (p == NULL)
        return;
    while (p->taken < p->submitted)
        store_req_fini(&wait_for_next(p)->req);
    for (size_t i = 0; i < PREFETCH_SLOTS; i++)
        (void)sem_destroy(&p->slots[i].done);
    mem_free(p);
}

void prefetch_freep(struct prefetch **p)
{
    prefetch_free(*p);
    *p = NULL;
}
