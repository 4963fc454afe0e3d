/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work - threads beside the loop: lanes, jobs, and the way back.
 *
 * The loop thread owns all state.  A lane is a thread with a queue: blocking steps of one database (SQLite, file reads,
 * compression) always run in the same lane, in order.  A job is a thread of its own for a long, linear piece of work
 * (starting a database, a snapshot, a restore), which may wait: for a store request (work_store) or for a step in a
 * lane (work_lane_wait).
 *
 * What is handed over is owned by the other side until it comes back: an item's done() runs on the loop thread, exactly
 * once, never from inside the submitting call.
 *
 * Stopping: work_stop() when no items are left; jobs are waited for by their done().
 */
#ifndef WORK_H
#define WORK_H

#include "store.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/queue.h>

enum { WORK_LANES_MAX = 8 };

struct work_item {
    void (*run)(struct work_item *item);  /* in the lane or the job's thread */
    void (*done)(struct work_item *item); /* on the loop thread; may submit the item again or free it */
    void *owner;                          /* whose item it is; set once by the owner */
    STAILQ_ENTRY(work_item) next;
    pthread_t thread; /* jobs */
    bool is_job;
    sem_t *waiter; /* work_lane_wait(): done() is not called */
};

/* Something that another thread wants to happen on the loop thread. */
struct work_errand {
    void (*fn)(void *ctx);
    void *ctx;
    sem_t *done; /* NULL: nobody waits */
    STAILQ_ENTRY(work_errand) next;
};

struct work;

/* `lane_count` 0: one per core, at most WORK_LANES_MAX.  Keeps the loop alive only while something is under way. */
struct work *work_new(uv_loop_t *loop, unsigned lane_count);
unsigned work_lane_count(const struct work *w);
/* Loop thread; nothing may be under way.  The last of it is gone when the loop has run once more. */
void work_stop(struct work *w);

/* Loop thread: run the item in a lane / in a thread of its own. */
void work_lane(struct work *w, unsigned lane, struct work_item *item);
void work_job(struct work *w, struct work_item *item);
/* From a job: its thread gives way to everybody else from now on, as far as the system has priorities.  It inherits
 * that to no other: the next one asks again. */
void work_background(void);

/* From a job: run the item in a lane and wait for it. */
void work_lane_wait(struct work *w, unsigned lane, struct work_item *item);
/* From a job: run the items side by side, spread over all lanes, and wait for all. */
void work_spread_wait(struct work *w, struct work_item *const *items, size_t count);

/* From a job or a lane: wait until somebody has posted it. */
void work_wait(sem_t *s);

/* From a job or a lane: run `fn` on the loop thread and wait until it returned. */
void work_on_loop(struct work *w, void (*fn)(void *ctx), void *ctx);

/* From a job: submit the request and wait for its answer.  The request was prepared with store_req_init (on_done is set
 * here).  E_CANCELED once the process is stopping. */
MUST_USE struct rc work_store(struct work *w, struct store *s, struct store_req *req, struct err *err);

/* From a job: the same for several requests at once; the first failure is returned, after all have come back. */
MUST_USE struct rc work_store_all(
    struct work *w, struct store *s, struct store_req *reqs, size_t count, struct err *err);

/*
 * From a job: submit the request and go on; what it points to stays alone until work_store_end(), which waits for the
 * answer.  Each begin has its end, and the struct lives that long.
 */
struct work_later {
    struct work_errand errand;
    struct store *store;
    struct store_req *req;
    sem_t done;
};
void work_store_begin(struct work *w, struct store *s, struct store_req *req, struct work_later *later);
MUST_USE struct rc work_store_end(struct work_later *later, struct err *err);

#endif
