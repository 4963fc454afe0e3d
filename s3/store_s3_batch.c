/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_batch.h"

#include "alloc.h"

#include <assert.h>

struct slot {
    struct s3_call call;
    struct s3_batch *batch;
    size_t index;
};

static void fill(struct s3_batch *b);

static void on_call(struct s3_call *call)
{
    struct slot *slot = call->ctx;
    struct s3_batch *b = slot->batch;
    struct err err;

    if (rc_failed(b->take(b, slot->index, call, &err)) && b->err.code == E_OK)
        b->err = err;
    s3_call_fini(call);
    mem_free(slot);
    b->in_flight--;
    fill(b);
    if (b->in_flight == 0)
        b->on_done(b);
}

static void fill(struct s3_batch *b)
{
    while (b->in_flight < STORE_S3_BATCH_WINDOW && b->next < b->count && !(b->stop_early && b->err.code != E_OK)) {
        struct slot *slot = mem_new(sizeof *slot);

        slot->batch = b;
        slot->index = b->next++;
        b->in_flight++;
        b->prepare(b, slot->index, &slot->call);
        slot->call.on_done = on_call;
        slot->call.ctx = slot;
        s3_client_send(b->store->client, &slot->call);
    }
}

void store_s3_batch_run(struct s3_batch *b)
{
    assert(b->count > 0);
    b->err.code = E_OK;
    b->next = b->in_flight = 0;
    fill(b);
}
