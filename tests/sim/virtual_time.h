/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtual_time - the clocks and timers of the code under test, moved by hand: a day is over as soon as nobody has
 * anything to do.
 *
 *     virtual_time_use(&clock)          from here on, in this process
 *     uv_run(&loop, UV_RUN_NOWAIT)      what is under way really
 *     virtual_time_fire(INT64_MAX)      the next timer: time moves to it
 *     virtual_time_sleep(ms)            time passes, and no timer is looked at: a machine that was busy
 *
 * A program that links this is linked with --wrap for clock_gettime, uv_now, uv_timer_start and uv_timer_stop, so the
 * static libraries under test come here, and libuv itself, which knows nothing of it, does not.
 *
 * Threads: the clock may be read by all; the rest is for the loop's.
 */
#ifndef VIRTUAL_TIME_H
#define VIRTUAL_TIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* May lie in memory that several processes share. */
struct virtual_clock {
    atomic_int_fast64_t wall_ms; /* since 1970 */
};

enum { VIRTUAL_TIME_TIMERS_MAX = 64 };

/* NULL: the real time again. */
void virtual_time_use(struct virtual_clock *clock);
int64_t virtual_time_now(void);
void virtual_time_sleep(int64_t ms); /* in the real time: nothing */
/* The next timer that is due within so many milliseconds; false: there is none. */
bool virtual_time_fire(int64_t within_ms);

#endif
