/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work_threads - what work.c stands on: who runs an item, and how somebody's word reaches the loop thread.
 *
 * Here these are threads, and libuv's way to wake its loop.  A simulation has the same functions with turns instead, in
 * an order that follows from a seed (tests/sim/turns.c).  So all that does not depend on who runs when is in work.c,
 * and is the same code in both.  Nothing here waits for an item or an errand: work_wait() does, by sem_wait().
 */
#ifndef WORK_THREADS_H
#define WORK_THREADS_H

#include "work.h"

STAILQ_HEAD(work_items, work_item);
STAILQ_HEAD(work_errands, work_errand);

struct work_threads;

/* Loop thread. */
struct work_threads *work_threads_new(uv_loop_t *loop, unsigned lane_count);
void work_threads_stop(struct work_threads *w);

/* Run the item in the lane, after those that came before.  One with a waiter comes from a job, and its end is posted
 * there; any other comes from the loop thread, keeps the loop alive, and done() is called. */
void work_threads_lane(struct work_threads *w, unsigned lane, struct work_item *item);
/* Loop thread: run the item beside all others. */
void work_threads_job(struct work_threads *w, struct work_item *item);
/* See work_background(). */
void work_threads_background(void);

/* From a job or a lane: have the loop thread call work_errand_run(), in order. */
void work_threads_errand(struct work_threads *w, struct work_errand *e);
/* In work.c, for whoever gets it there: the errand is gone afterwards. */
void work_errand_run(struct work_errand *e);

#endif
