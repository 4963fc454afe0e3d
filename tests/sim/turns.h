/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns - core/work/work_threads.h for a simulation: lanes, jobs, errands and the requests of a directory as they are,
 * but only one of them runs at any moment, and who goes on next is drawn from a seed.  So the same seed is the same
 * story.  All that work.h promises above that is work.c itself.
 *
 *     turns_use(&turns, life)       from here on, in this process
 *     turns_take()                  one of those that can go on does so until it waits; false: nobody can
 *
 * Lanes and jobs are threads all the same (they have stacks, and wait in the middle of things); the loop thread hands
 * the turn to one, and stands still until it comes back.  Where the code under test waits for another one, or sleeps,
 * it comes back.  A sleep takes no time but the virtual one.
 *
 * Randomness, which names and salts are made of, is drawn likewise, and a process has the number of its life.  A
 * program that links this is linked with --wrap for the functions in turns.c that begin with __wrap_.
 *
 * Threads: the loop's, but for what work_threads.h says of others.
 */
#ifndef TURNS_H
#define TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* May lie in memory that several processes share, so that the next one goes on from there. */
struct turns {
    uint64_t order, noise; /* seeds, moved on by each draw */
    uint64_t count;        /* of turns taken */
};

/* NULL: randomness, sleeps and process numbers are the real ones. */
void turns_use(struct turns *turns, int life);
bool turns_take(void);

#endif
