/* SPDX-License-Identifier: Apache-2.0 */
#include "work_threads.h"

#include "alloc.h"

#include <assert.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct lane {
    struct work_threads *threads;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct work_items queue; /* under lock */
    bool stop;               /* under lock */
};

struct work_threads {
    uv_async_t async;
    struct lane lanes[WORK_LANES_MAX];
    unsigned lane_count;
    unsigned under_way; /* items handed out by the loop thread; loop thread only */

    pthread_mutex_t lock;
    struct work_items finished;  /* under lock */
    struct work_errands errands; /* under lock */
};

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

/* Under its lock; NULL: there is none. */
static struct work_item *take(struct work_items *queue)
{
    struct work_item *item = STAILQ_FIRST(queue);

    if (item != NULL)
        STAILQ_REMOVE_HEAD(queue, next);
    return item;
}

/* --- threads ---------------------------------------------------------------------------------------------- */

static void wake_loop(struct work_threads *w)
{
    int rc = uv_async_send(&w->async);

    assert(rc == 0);
}

static void finish(struct work_threads *w, struct work_item *item)
{
    if (item->waiter != NULL) {
        (void)sem_post(item->waiter); /* cannot overflow: one post per wait */
        return;
    }
    lock(&w->lock);
    STAILQ_INSERT_TAIL(&w->finished, item, next);
    unlock(&w->lock);
    wake_loop(w);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;

    for (;;) {
        struct work_item *item;

        lock(&l->lock);
        while ((item = take(&l->queue)) == NULL && !l->stop)
            (void)pthread_cond_wait(&l->wake, &l->lock);
        unlock(&l->lock);
        if (item == NULL)
            return NULL;
        item->run(item);
        finish(l->threads, item);
    }
}

struct job_start {
    struct work_threads *threads;
    struct work_item *item;
};

static void *job_main(void *arg)
{
    struct job_start start = *(struct job_start *)arg;

    mem_free(arg);
    start.item->run(start.item);
    finish(start.threads, start.item);
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

void work_threads_background(void)
{
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13, NICEST = 19 };
    pid_t thread = gettid();

    /* Neither is needed for anything: where it is refused the work is done all the same. */
    (void)setpriority(PRIO_PROCESS, (id_t)thread, NICEST);
    (void)syscall(SYS_ioprio_set, WHO_PROCESS, thread, CLASS_IDLE << CLASS_SHIFT);
}

/* --- the loop's side ---------------------------------------------------------------------------------------- */

static void settle(struct work_threads *w)
{
    if (w->under_way == 0)
        uv_unref((uv_handle_t *)&w->async);
    else
        uv_ref((uv_handle_t *)&w->async);
}

static void on_async(uv_async_t *async)
{
    struct work_threads *w = async->data;
    struct work_errands errands = STAILQ_HEAD_INITIALIZER(errands);
    struct work_errand *e;
    struct work_item *item;

    lock(&w->lock);
    STAILQ_CONCAT(&errands, &w->errands);
    unlock(&w->lock);
    while ((e = STAILQ_FIRST(&errands)) != NULL) {
        STAILQ_REMOVE_HEAD(&errands, next);
        work_errand_run(e);
    }
    for (;;) {
        lock(&w->lock);
        item = take(&w->finished);
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

static void lane_start(struct lane *l, struct work_threads *w)
{
    l->threads = w;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->wake, NULL);
    STAILQ_INIT(&l->queue);
    start_thread(&l->thread, lane_main, l);
}

struct work_threads *work_threads_new(uv_loop_t *loop, unsigned lane_count)
{
    struct work_threads *w = mem_new(sizeof *w);
    int rc = uv_async_init(loop, &w->async, on_async);

    assert(rc == 0);
    w->async.data = w;
    (void)pthread_mutex_init(&w->lock, NULL);
    STAILQ_INIT(&w->finished);
    STAILQ_INIT(&w->errands);
    w->lane_count = lane_count;
    for (unsigned i = 0; i < lane_count; i++)
        lane_start(&w->lanes[i], w);
    settle(w);
    return w;
}

static void on_closed(uv_handle_t *handle)
{
    struct work_threads *w = handle->data;

    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

void work_threads_stop(struct work_threads *w)
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

static void comes_from_loop(struct work_threads *w)
{
    w->under_way++;
    settle(w);
}

void work_threads_lane(struct work_threads *w, unsigned lane, struct work_item *item)
{
    struct lane *l = &w->lanes[lane];

    if (item->waiter == NULL)
        comes_from_loop(w);
    lock(&l->lock);
    STAILQ_INSERT_TAIL(&l->queue, item, next);
    (void)pthread_cond_signal(&l->wake);
    unlock(&l->lock);
}

void work_threads_job(struct work_threads *w, struct work_item *item)
{
    struct job_start *start = mem_new(sizeof *start);

    *start = (struct job_start){w, item};
    comes_from_loop(w);
    start_thread(&item->thread, job_main, start);
}

/* --- from other threads --------------------------------------------------------------------------------------- */

void work_threads_errand(struct work_threads *w, struct work_errand *e)
{
    lock(&w->lock);
    STAILQ_INSERT_TAIL(&w->errands, e, next);
    unlock(&w->lock);
    wake_loop(w);
}
