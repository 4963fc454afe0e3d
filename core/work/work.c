/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "alloc.h"
#include "work_threads.h"

#include <assert.h>
#include <errno.h>

struct work {
    struct work_threads *threads; /* owned */
    unsigned lane_count;
};

struct work *work_new(uv_loop_t *loop, unsigned lane_count)
{
    struct work *w = mem_new(sizeof *w);

    if (lane_count == 0)
        lane_count = uv_available_parallelism();
    w->lane_count = lane_count > WORK_LANES_MAX ? WORK_LANES_MAX : lane_count;
    w->threads = work_threads_new(loop, w->lane_count);
    return w;
}

unsigned work_lane_count(const struct work *w)
{
    return w->lane_count;
}

void work_stop(struct work *w)
{
    work_threads_stop(w->threads);
    mem_free(w);
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static void lane_put(struct work *w, unsigned lane, struct work_item *item, sem_t *waiter)
{
    assert(lane < w->lane_count);
    item->is_job = false;
    item->waiter = waiter;
    work_threads_lane(w->threads, lane, item);
}

void work_lane(struct work *w, unsigned lane, struct work_item *item)
{
    lane_put(w, lane, item, NULL);
}

void work_job(struct work *w, struct work_item *item)
{
    item->is_job = true;
    item->waiter = NULL;
    work_threads_job(w->threads, item);
}

void work_background(void)
{
    work_threads_background();
}

void work_wait(sem_t *s)
{
    while (sem_wait(s) != 0)
        assert(errno == EINTR);
}

void work_lane_wait(struct work *w, unsigned lane, struct work_item *item)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    lane_put(w, lane, item, &done);
    work_wait(&done);
    (void)sem_destroy(&done);
}

void work_spread_wait(struct work *w, struct work_item *const *items, size_t count)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    for (size_t i = 0; i < count; i++)
        lane_put(w, (unsigned)(i % w->lane_count), items[i], &done);
    for (size_t i = 0; i < count; i++)
        work_wait(&done);
    (void)sem_destroy(&done);
}

/* --- errands ------------------------------------------------------------------------------------------------------ */

void work_errand_run(struct work_errand *e)
{
    sem_t *done = e->done; /* what it does may be the end of the errand */

    e->fn(e->ctx);
    if (done != NULL)
        (void)sem_post(done); /* cannot overflow: one post per wait */
}

void work_on_loop(struct work *w, void (*fn)(void *ctx), void *ctx)
{
    sem_t done;
    struct work_errand e = {.fn = fn, .ctx = ctx, .done = &done};

    (void)sem_init(&done, 0, 0);
    work_threads_errand(w->threads, &e);
    work_wait(&done);
    (void)sem_destroy(&done);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct store_call {
    struct store *store;
    struct store_req *reqs;
    size_t count, left; /* loop thread */
    sem_t done;
};

static void on_answer(struct store_req *req)
{
    struct store_call *call = req->ctx;

    if (--call->left == 0)
        (void)sem_post(&call->done);
}

static void submit_all(void *ctx)
{
    struct store_call *call = ctx;

    for (size_t i = 0; i < call->count; i++)
        store_submit(call->store, &call->reqs[i]);
}

struct rc work_store_all(struct work *w, struct store *s, struct store_req *reqs, size_t count, struct err *err)
{
    struct store_call call = {.store = s, .reqs = reqs, .count = count, .left = count};
    struct rc first = RC_OK;

    if (count == 0)
        return RC_OK;
    (void)sem_init(&call.done, 0, 0);
    for (size_t i = 0; i < count; i++) {
        reqs[i].on_done = on_answer;
        reqs[i].ctx = &call;
    }
    work_on_loop(w, submit_all, &call);
    work_wait(&call.done);
    (void)sem_destroy(&call.done);
    for (size_t i = 0; i < count && !rc_failed(first); i++)
        first = store_result(&reqs[i], err);
    return first;
}

struct rc work_store(struct work *w, struct store *s, struct store_req *req, struct err *err)
{
    return work_store_all(w, s, req, 1, err);
}

static void on_later_answer(struct store_req *req)
{
    struct work_later *later = req->ctx;

    (void)sem_post(&later->done);
}

static void submit_later(void *ctx)
{
    struct work_later *later = ctx;

    store_submit(later->store, later->req);
}

void work_store_begin(struct work *w, struct store *s, struct store_req *req, struct work_later *later)
{
    *later = (struct work_later){.errand = {.fn = submit_later, .ctx = later}, .store = s, .req = req};
    (void)sem_init(&later->done, 0, 0);
    req->on_done = on_later_answer;
    req->ctx = later;
    work_threads_errand(w->threads, &later->errand);
}

struct rc work_store_end(struct work_later *later, struct err *err)
{
    work_wait(&later->done);
    (void)sem_destroy(&later->done);
    return store_result(later->req, err);
}
