/* SPDX-License-Identifier: Apache-2.0 */
#include "turns.h"

#include "alloc.h"
#include "check.h"
#include "virtual_time.h"
#include "work.h"

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
    struct work *work;
    pthread_t thread;
    sem_t turn;
    sem_t *until; /* what it waits for; NULL: it can go on */
    bool over;
    struct task *next;
};

struct lane {
    struct work_item *first, **last;
    struct task *task; /* the item that is under way */
};

struct work {
    struct lane lanes[WORK_LANES_MAX];
    unsigned lane_count;
    struct work_item *finished, **finished_last;
    struct work_errand *errands, **errands_last;
};

struct request {
    uv_work_t *req;
    uv_work_cb run;
    uv_after_work_cb after;
    struct request *next;
};

static struct {
    struct turns *turns;
    int life;
    struct work *work; /* there is one in a process */
    struct task *tasks, **tasks_last;
    struct request *requests, **requests_last; /* of libuv's threads, which have no order */
    sem_t back;                                /* the turn comes back to the loop thread */
} all;

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

static struct task *task_new(struct work *w, struct work_item *item)
{
    struct task *t = mem_new(sizeof *t);

    t->item = item;
    t->work = w;
    (void)sem_init(&t->turn, 0, 0);
    if (pthread_create(&t->thread, NULL, task_main, t) != 0)
        abort();
    *all.tasks_last = t;
    all.tasks_last = &t->next;
    return t;
}

/* --- turns ---------------------------------------------------------------------------------------------------------
 */

static void forget_task(struct task *t)
{
    struct task **at = &all.tasks;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (t->next == NULL)
        all.tasks_last = at;
    for (unsigned i = 0; i < t->work->lane_count; i++)
        if (t->work->lanes[i].task == t)
            t->work->lanes[i].task = NULL;
    (void)pthread_join(t->thread, NULL);
    (void)sem_destroy(&t->turn);
    mem_free(t);
}

static void run_task(struct task *t)
{
    struct work_item *item = t->item;
    struct work *w = t->work;

    (void)sem_post(&t->turn);
    wait_for(&all.back);
    if (!t->over)
        return;
    forget_task(t);
    if (item->waiter != NULL) {
        (void)sem_post(item->waiter);
        return;
    }
    item->next = NULL;
    *w->finished_last = item;
    w->finished_last = &item->next;
}

static void run_lane(struct lane *l)
{
    struct work_item *item = l->first;

    l->first = item->next;
    if (l->first == NULL)
        l->last = &l->first;
    l->task = task_new(all.work, item);
    run_task(l->task);
}

static void run_errand(struct work *w)
{
    struct work_errand *e = w->errands;
    sem_t *done = e->done;

    w->errands = e->next;
    if (w->errands == NULL)
        w->errands_last = &w->errands;
    e->fn(e->ctx); /* the errand may be gone now */
    if (done != NULL)
        (void)sem_post(done);
}

static void run_finished(struct work *w)
{
    struct work_item *item = w->finished;

    w->finished = item->next;
    if (w->finished == NULL)
        w->finished_last = &w->finished;
    item->done(item);
}

static void run_request(struct request **at)
{
    struct request *r = *at;

    *at = r->next;
    if (r->next == NULL)
        all.requests_last = at;
    r->run(r->req);
    r->after(r->req, 0);
    mem_free(r);
}

/* The `n`-th of those that can go on does so, when there are that many; how many there are. */
static uint64_t go_on(uint64_t n)
{
    struct work *w = all.work;
    uint64_t count = 0;

    for (struct task *t = all.tasks; t != NULL; t = t->next)
        if ((t->until == NULL || is_posted(t->until)) && ++count == n) {
            run_task(t);
            return count;
        }
    for (struct request **at = &all.requests; *at != NULL; at = &(*at)->next)
        if (++count == n) {
            run_request(at);
            return count;
        }
    for (unsigned i = 0; w != NULL && i < w->lane_count; i++)
        if (w->lanes[i].task == NULL && w->lanes[i].first != NULL && ++count == n) {
            run_lane(&w->lanes[i]);
            return count;
        }
    if (w != NULL && w->errands != NULL && ++count == n)
        run_errand(w);
    else if (w != NULL && w->finished != NULL && ++count == n)
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

/* --- work.h ---------------------------------------------------------------------------------------------------------
 */

struct work *work_new(uv_loop_t *loop, unsigned lane_count)
{
    struct work *w = mem_new(sizeof *w);

    (void)loop;
    assert(all.work == NULL && lane_count > 0 && lane_count <= WORK_LANES_MAX);
    w->lane_count = lane_count;
    for (unsigned i = 0; i < lane_count; i++)
        w->lanes[i].last = &w->lanes[i].first;
    w->finished_last = &w->finished;
    w->errands_last = &w->errands;
    all.work = w;
    all.tasks_last = &all.tasks;
    (void)sem_init(&all.back, 0, 0);
    return w;
}

unsigned work_lane_count(const struct work *w)
{
    return w->lane_count;
}

void work_stop(struct work *w)
{
    assert(all.tasks == NULL && w->finished == NULL && w->errands == NULL);
    all.work = NULL;
    mem_free(w);
}

static void put(struct work *w, unsigned lane, struct work_item *item)
{
    struct lane *l = &w->lanes[lane];

    assert(lane < w->lane_count);
    item->is_job = false;
    item->next = NULL;
    *l->last = item;
    l->last = &item->next;
}

void work_lane(struct work *w, unsigned lane, struct work_item *item)
{
    item->waiter = NULL;
    put(w, lane, item);
}

void work_job(struct work *w, struct work_item *item)
{
    item->is_job = true;
    item->waiter = NULL;
    (void)task_new(w, item);
}

void work_background(void)
{
}

void work_lane_wait(struct work *w, unsigned lane, struct work_item *item)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    item->waiter = &done;
    put(w, lane, item);
    give_way(&done);
    (void)sem_destroy(&done);
}

void work_spread_wait(struct work *w, struct work_item *const *items, size_t count)
{
    sem_t done;

    (void)sem_init(&done, 0, 0);
    for (size_t i = 0; i < count; i++) {
        items[i]->waiter = &done;
        put(w, (unsigned)(i % w->lane_count), items[i]);
    }
    for (size_t i = 0; i < count; i++)
        give_way(&done);
    (void)sem_destroy(&done);
}

static void put_errand(struct work *w, struct work_errand *e)
{
    e->next = NULL;
    *w->errands_last = e;
    w->errands_last = &e->next;
}

void work_on_loop(struct work *w, void (*fn)(void *ctx), void *ctx)
{
    sem_t done;
    struct work_errand e = {.fn = fn, .ctx = ctx, .done = &done};

    (void)sem_init(&done, 0, 0);
    put_errand(w, &e);
    give_way(&done);
    (void)sem_destroy(&done);
}

struct call {
    struct store *store;
    struct store_req *reqs;
    size_t count, left;
    sem_t done;
};

static void on_answer(struct store_req *req)
{
    struct call *call = req->ctx;

    if (--call->left == 0)
        (void)sem_post(&call->done);
}

static void submit_all(void *ctx)
{
    struct call *call = ctx;

    for (size_t i = 0; i < call->count; i++)
        store_submit(call->store, &call->reqs[i]);
}

struct rc work_store_all(struct work *w, struct store *s, struct store_req *reqs, size_t count, struct err *err)
{
    struct call call = {.store = s, .reqs = reqs, .count = count, .left = count};
    struct rc first = RC_OK;

    if (count == 0)
        return RC_OK;
    (void)sem_init(&call.done, 0, 0);
    for (size_t i = 0; i < count; i++) {
        reqs[i].on_done = on_answer;
        reqs[i].ctx = &call;
    }
    work_on_loop(w, submit_all, &call);
    give_way(&call.done);
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
    give_way(&later->done);
    (void)sem_destroy(&later->done);
    return store_result(later->req, err);
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
    *r = (struct request){req, run, after, NULL};
    if (all.requests == NULL)
        all.requests_last = &all.requests;
    *all.requests_last = r;
    all.requests_last = &r->next;
    return 0;
}

/* Code under test that waits for another thread by itself. */
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
