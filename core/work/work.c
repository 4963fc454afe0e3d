/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "alloc.h"

#include <assert.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct queue {
    struct work_item *first, **last;
};

struct lane {
    struct work *work;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue queue; /* under lock */
    bool stop;          /* under lock */
};

struct work {
    uv_async_t async;
    struct lane lanes[WORK_LANES_MAX];
    unsigned lane_count;
    unsigned under_way; /* items handed out by the loop thread; loop thread only */

    pthread_mutex_t lock;
    struct queue finished;                       /* under lock */
    struct work_errand *errands, **errands_last; /* under lock */
};

/* --- queues ----------------------------------------------------------------------------------------------- */

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_put(struct queue *q, struct work_item *item)
{
    item->next = NULL;
    *q->last = item;
    q->last = &item->next;
}

static struct work_item *queue_take(struct queue *q)
{
    struct work_item *item = q->first;

    if (item != NULL) {
        q->first = item->next;
        if (q->first == NULL)
            q->last = &q->first;
    }
    return item;
}

static void lock(pthread_mutex_t *m)
{
    int rc = pthread_mutex_lock(m);

    assert(rc == 0); /* fails only on misuse */
}

static void unlock(pthread_mutex_t *m)
{
    int rc = pthread_mutex_unlock(m);

    assert(rc == 0);
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) != 0)
        assert(errno == EINTR);
}

/* --- threads ---------------------------------------------------------------------------------------------- */

static void finish(struct work *w, struct work_item *item)
{
    int rc;

    if (item->waiter != NULL) {
        (void)sem_post(item->waiter); /* cannot overflow: one post per wait */
        return;
    }
    lock(&w->lock);
    queue_put(&w->finished, item);
    unlock(&w->lock);
    rc = uv_async_send(&w->async);
    assert(rc == 0);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;

    for (;;) {
        struct work_item *item;

        lock(&l->lock);
        while ((item = queue_take(&l->queue)) == NULL && !l->stop)
            (void)pthread_cond_wait(&l->wake, &l->lock);
        unlock(&l->lock);
        if (item == NULL)
            return NULL;
        item->run(item);
        finish(l->work, item);
    }
}

struct job_start {
    struct work *work;
    struct work_item *item;
};

static void *job_main(void *arg)
{
    struct job_start start = *(struct job_start *)arg;

    mem_free(arg);
    start.item->run(start.item);
    finish(start.work, start.item);
    return NULL;
}

/* All signals belong to the loop thread. */
static void start_thread(pthread_t *out, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(out, NULL, fn, arg);
    assert(rc == 0); /* without threads nothing works; a crash is safe */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void work_background(void)
{
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13, NICEST = 19 };
    pid_t thread = gettid();

    /* Neither is needed for anything: where it is refused the work is done all the same. */
    (void)setpriority(PRIO_PROCESS, (id_t)thread, NICEST);
    (void)syscall(SYS_ioprio_set, WHO_PROCESS, thread, CLASS_IDLE << CLASS_SHIFT);
}

/* --- the loop's side ---------------------------------------------------------------------------------------- */

static void settle(struct work *w)
{
    if (w->under_way == 0)
        uv_unref((uv_handle_t *)&w->async);
    else
        uv_ref((uv_handle_t *)&w->async);
}

static void on_async(uv_async_t *async)
{
    struct work *w = async->data;
    struct work_item *item;
    struct work_errand *e, *next;

    lock(&w->lock);
    e = w->errands;
    w->errands = NULL;
    w->errands_last = &w->errands;
    unlock(&w->lock);
    for (; e != NULL; e = next) {
        sem_t *done = e->done;

        next = e->next; /* the errand is gone once it is posted, or by what it does */
        e->fn(e->ctx);
        if (done != NULL)
            (void)sem_post(done);
    }
    for (;;) {
        lock(&w->lock);
        item = queue_take(&w->finished);
        unlock(&w->lock);
        if (item == NULL)
            break;
        if (item->is_job)
            (void)pthread_join(item->thread, NULL);
        w->under_way--;
        item->done(item);
    }
    settle(w);
}

static void lane_start(struct lane *l, struct work *w)
{
    l->work = w;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->wake, NULL);
    queue_init(&l->queue);
    start_thread(&l->thread, lane_main, l);
}

struct work *work_new(uv_loop_t *loop, unsigned lane_count)
{
    struct work *w = mem_new(sizeof *w);
    int rc = uv_async_init(loop, &w->async, on_async);

    assert(rc == 0);
    w->async.data = w;
    (void)pthread_mutex_init(&w->lock, NULL);
    queue_init(&w->finished);
    w->errands_last = &w->errands;
    if (lane_count == 0)
        lane_count = uv_available_parallelism();
    w->lane_count = lane_count > WORK_LANES_MAX ? WORK_LANES_MAX : lane_count;
    for (unsigned i = 0; i < w->lane_count; i++)
        lane_start(&w->lanes[i], w);
    settle(w);
    return w;
}

unsigned work_lane_count(const struct work *w)
{
    return w->lane_count;
}

static void on_closed(uv_handle_t *handle)
{
    struct work *w = handle->data;

    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

void work_stop(struct work *w)
{
    assert(w->under_way == 0);
    for (unsigned i = 0; i < w->lane_count; i++) {
        struct lane *l = &w->lanes[i];

        lock(&l->lock);
        l->stop = true;
        (void)pthread_cond_signal(&l->wake);
        unlock(&l->lock);
        (void)pthread_join(l->thread, NULL);
        (void)pthread_cond_destroy(&l->wake);
        (void)pthread_mutex_destroy(&l->lock);
    }
    uv_close((uv_handle_t *)&w->async, on_closed);
}

static void lane_put(struct work *w, unsigned lane, struct work_item *item)
{
    struct lane *l = &w->lanes[lane];

    assert(lane < w->lane_count);
    lock(&l->lock);
    queue_put(&l->queue, item);
    (void)pthread_cond_signal(&l->wake);
    unlock(&l->lock);
}

void work_lane(struct work *w, unsigned lane, struct work_item *item)
{
    item->is_job = false;
    item->waiter = NULL;
    w->under_way++;
    settle(w);
    lane_put(w, lane, item);
}

void work_job(struct work *w, struct work_item *item)
{
    struct job_start *start = mem_new(sizeof *start);

    *start = (struct job_start){w, item};
    item->is_job = true;
    item->waiter = NULL;
    w->under_way++;
    settle(w);
    start_thread(&item->thread, job_main, start);
}

/* --- from other threads --------------------------------------------------------------------------------------- */

void work_lane_wait(struct work *w, unsigned lane, struct work_item *item)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    item->is_job = false;
    item->waiter = &done;
    lane_put(w, lane, item);
    wait_for(&done);
    (void)sem_destroy(&done);
}

void work_spread_wait(struct work *w, struct work_item *const *items, size_t count)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    for (size_t i = 0; i < count; i++) {
        items[i]->is_job = false;
        items[i]->waiter = &done;
        lane_put(w, (unsigned)(i % w->lane_count), items[i]);
    }
    for (size_t i = 0; i < count; i++)
        wait_for(&done);
    (void)sem_destroy(&done);
}

static void put_errand(struct work *w, struct work_errand *e)
{
    int rc;

    lock(&w->lock);
    *w->errands_last = e;
    w->errands_last = &e->next;
    unlock(&w->lock);
    rc = uv_async_send(&w->async);
    assert(rc == 0);
}

void work_on_loop(struct work *w, void (*fn)(void *ctx), void *ctx)
{
    sem_t done;
    struct work_errand e = {.fn = fn, .ctx = ctx, .done = &done};

    (void)sem_init(&done, 0, 0);
    put_errand(w, &e);
    wait_for(&done);
    (void)sem_destroy(&done);
}

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
    wait_for(&call.done);
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
    put_errand(w, &later->errand);
}

struct rc work_store_end(struct work_later *later, struct err *err)
{
    wait_for(&later->done);
    (void)sem_destroy(&later->done);
    return store_result(later->req, err);
}
