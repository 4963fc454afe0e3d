/* SPDX-License-Identifier: Apache-2.0 */
#include "turns.h"

#include "alloc.h"
#include "check.h"
#include "virtual_time.h"
#include "work_threads.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { US_PER_MS = 1000 };

/* Something that runs in a thread of its own, when it is its turn. */
struct task {
    struct work_item *item;
    struct work_threads *threads;
    pthread_t thread;
    sem_t turn;
    sem_t *until; /* what it waits for; NULL: it can go on */
    bool over;
    STAILQ_ENTRY(task) next;
};

struct lane {
    struct work_items queue;
    struct task *task; /* the item that is under way */
};

struct work_threads {
    struct lane lanes[WORK_LANES_MAX];
    unsigned lane_count;
    struct work_items finished;
    struct work_errands errands;
};

struct request {
    uv_work_t *req;
    uv_work_cb run;
    uv_after_work_cb after;
    STAILQ_ENTRY(request) next;
};

static struct {
    struct turns *turns;
    int life;
    struct work_threads *threads; /* there is one in a process */
    STAILQ_HEAD(, task) tasks;
    STAILQ_HEAD(, request) requests; /* of libuv's threads, which have no order */
    sem_t back;                      /* the turn comes back to the loop thread */
} all = {.tasks = STAILQ_HEAD_INITIALIZER(all.tasks), .requests = STAILQ_HEAD_INITIALIZER(all.requests)};

static __thread struct task *self;

/* The linker gives them these names (--wrap). */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_sem_wait(sem_t *s);
int __wrap_sem_wait(sem_t *s);
int __wrap_sem_timedwait(sem_t *s, const struct timespec *until);
/* NOLINTEND(bugprone-reserved-identifier) */

static void wait_for(sem_t *s)
{
    while (__real_sem_wait(s) != 0)
        if (errno != EINTR)
            abort();
}

static bool is_posted(sem_t *s)
{
    int value = 0;

    return sem_getvalue(s, &value) == 0 && value > 0;
}

/* --- in a task -----------------------------------------------------------------------------------------------------
 */

/* The others go on; NULL: until it is our turn again. */
static void give_way(sem_t *until)
{
    struct task *me = self;

    me->until = until;
    (void)sem_post(&all.back);
    wait_for(&me->turn);
    me->until = NULL;
    if (until != NULL)
        wait_for(until); /* it is posted, or it would not be our turn */
}

static void *task_main(void *arg)
{
    struct task *me = arg;

    self = me;
    wait_for(&me->turn);
    me->item->run(me->item);
    me->over = true;
    (void)sem_post(&all.back);
    return NULL;
}

static struct task *task_new(struct work_threads *w, struct work_item *item)
{
    struct task *t = mem_new(sizeof *t);

    t->item = item;
    t->threads = w;
    (void)sem_init(&t->turn, 0, 0);
    if (pthread_create(&t->thread, NULL, task_main, t) != 0)
        abort();
    STAILQ_INSERT_TAIL(&all.tasks, t, next);
    return t;
}

/* --- turns ---------------------------------------------------------------------------------------------------------
 */

static void forget_task(struct task *t)
{
    STAILQ_REMOVE(&all.tasks, t, task, next);
    for (unsigned i = 0; i < t->threads->lane_count; i++)
        if (t->threads->lanes[i].task == t)
            t->threads->lanes[i].task = NULL;
    (void)pthread_join(t->thread, NULL);
    (void)sem_destroy(&t->turn);
    mem_free(t);
}

static void run_task(struct task *t)
{
    struct work_item *item = t->item;
    struct work_threads *w = t->threads;

    (void)sem_post(&t->turn);
    wait_for(&all.back);
    if (!t->over)
        return;
    forget_task(t);
    if (item->waiter != NULL) {
        (void)sem_post(item->waiter);
        return;
    }
    STAILQ_INSERT_TAIL(&w->finished, item, next);
}

static void run_lane(struct lane *l)
{
    struct work_item *item = STAILQ_FIRST(&l->queue);

    STAILQ_REMOVE_HEAD(&l->queue, next);
    l->task = task_new(all.threads, item);
    run_task(l->task);
}

static void run_errand(struct work_threads *w)
{
    struct work_errand *e = STAILQ_FIRST(&w->errands);

    STAILQ_REMOVE_HEAD(&w->errands, next);
    work_errand_run(e);
}

static void run_finished(struct work_threads *w)
{
    struct work_item *item = STAILQ_FIRST(&w->finished);

    STAILQ_REMOVE_HEAD(&w->finished, next);
    item->done(item);
}

static void run_request(struct request *r)
{
    STAILQ_REMOVE(&all.requests, r, request, next);
    r->run(r->req);
    r->after(r->req, 0);
    mem_free(r);
}

/* The `n`-th of those that can go on does so, when there are that many; how many there are. */
static uint64_t go_on(uint64_t n)
{
    struct work_threads *w = all.threads;
    uint64_t count = 0;

    for (struct task *t = STAILQ_FIRST(&all.tasks); t != NULL; t = STAILQ_NEXT(t, next))
        if ((t->until == NULL || is_posted(t->until)) && ++count == n) {
            run_task(t);
            return count;
        }
    for (struct request *r = STAILQ_FIRST(&all.requests); r != NULL; r = STAILQ_NEXT(r, next))
        if (++count == n) {
            run_request(r);
            return count;
        }
    for (unsigned i = 0; w != NULL && i < w->lane_count; i++)
        if (w->lanes[i].task == NULL && !STAILQ_EMPTY(&w->lanes[i].queue) && ++count == n) {
            run_lane(&w->lanes[i]);
            return count;
        }
    if (w != NULL && !STAILQ_EMPTY(&w->errands) && ++count == n)
        run_errand(w);
    else if (w != NULL && !STAILQ_EMPTY(&w->finished) && ++count == n)
        run_finished(w);
    return count;
}

bool turns_take(void)
{
    const uint64_t count = go_on(UINT64_MAX);

    if (count == 0)
        return false;
    if (all.turns == NULL) {
        (void)go_on(1);
        return true;
    }
    all.turns->count++;
    (void)go_on(1 + check_random(&all.turns->order) % count);
    return true;
}

void turns_use(struct turns *turns, int life)
{
    all.turns = turns;
    all.life = life;
}

/* --- work_threads.h --------------------------------------------------------------------------------------------------
 */

struct work_threads *work_threads_new(uv_loop_t *loop, unsigned lane_count)
{
    struct work_threads *w = mem_new(sizeof *w);

    (void)loop;
    assert(all.threads == NULL);
    w->lane_count = lane_count;
    for (unsigned i = 0; i < lane_count; i++)
        STAILQ_INIT(&w->lanes[i].queue);
    STAILQ_INIT(&w->finished);
    STAILQ_INIT(&w->errands);
    all.threads = w;
    (void)sem_init(&all.back, 0, 0);
    return w;
}

void work_threads_stop(struct work_threads *w)
{
    assert(STAILQ_EMPTY(&all.tasks) && STAILQ_EMPTY(&w->finished) && STAILQ_EMPTY(&w->errands));
    all.threads = NULL;
    mem_free(w);
}

void work_threads_lane(struct work_threads *w, unsigned lane, struct work_item *item)
{
    STAILQ_INSERT_TAIL(&w->lanes[lane].queue, item, next);
}

void work_threads_job(struct work_threads *w, struct work_item *item)
{
    (void)task_new(w, item);
}

void work_threads_background(void)
{
}

void work_threads_errand(struct work_threads *w, struct work_errand *e)
{
    STAILQ_INSERT_TAIL(&w->errands, e, next);
}

/* --- what else is not told by the seed -------------------------------------------------------------------------------
 */

/* The linker gives them these names (--wrap). */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb run, uv_after_work_cb after);
void __real_rng_bytes(void *out, size_t n);
void __wrap_rng_bytes(void *out, size_t n);
uint64_t __real_rng_u64(void);
uint64_t __wrap_rng_u64(void);
int __real_usleep(useconds_t us);
int __wrap_usleep(useconds_t us);
pid_t __real_getpid(void);
pid_t __wrap_getpid(void);

int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb run, uv_after_work_cb after)
{
    struct request *r = mem_new(sizeof *r);

    req->loop = loop;
    *r = (struct request){.req = req, .run = run, .after = after};
    STAILQ_INSERT_TAIL(&all.requests, r, next);
    return 0;
}

/* work_wait(), and code under test that waits for another thread by itself. */
int __wrap_sem_wait(sem_t *s)
{
    if (self == NULL)
        return __real_sem_wait(s);
    give_way(s);
    return 0;
}

/* What waits for a moment only looks whether it is to tell somebody how far it is. */
int __wrap_sem_timedwait(sem_t *s, const struct timespec *until)
{
    (void)until;
    return __wrap_sem_wait(s);
}

uint64_t __wrap_rng_u64(void)
{
    return all.turns != NULL ? check_random(&all.turns->noise) : __real_rng_u64();
}

void __wrap_rng_bytes(void *out, size_t n)
{
    uint8_t *at = out;

    if (all.turns == NULL) {
        __real_rng_bytes(out, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(check_random(&all.turns->noise) >> 24);
}

int __wrap_usleep(useconds_t us)
{
    if (self == NULL)
        return __real_usleep(us);
    if (all.turns != NULL)
        virtual_time_sleep((int64_t)(us / US_PER_MS) + 1);
    give_way(NULL);
    return 0;
}

pid_t __wrap_getpid(void)
{
    return all.turns != NULL ? (pid_t)all.life : __real_getpid();
}
/* NOLINTEND(bugprone-reserved-identifier) */
