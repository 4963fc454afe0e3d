/* SPDX-License-Identifier: Apache-2.0 */
#include "virtual_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

struct timer {
    uv_timer_t *handle;
    uv_timer_cb callback;
    int64_t due_ms;
};

static struct {
    struct virtual_clock *clock;
    struct timer timers[VIRTUAL_TIME_TIMERS_MAX]; /* in the order in which they were started */
    unsigned count;
} v;

/* The linker gives them these names (--wrap). */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
uint64_t __real_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop);
int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout_ms, uint64_t repeat_ms);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout_ms, uint64_t repeat_ms);
int __real_uv_timer_stop(uv_timer_t *timer);
int __wrap_uv_timer_stop(uv_timer_t *timer);

void virtual_time_use(struct virtual_clock *clock)
{
    v.clock = clock;
    v.count = 0;
}

int64_t virtual_time_now(void)
{
    return (int64_t)atomic_load(&v.clock->wall_ms);
}

void virtual_time_sleep(int64_t ms)
{
    if (v.clock != NULL)
        (void)atomic_fetch_add(&v.clock->wall_ms, ms); /* what it was */
}

/* Both clocks are the same one; the monotonic one has another zero on a real machine, too. */
int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    if (v.clock == NULL)
        return __real_clock_gettime(id, out);
    *out = (struct timespec){virtual_time_now() / 1000, virtual_time_now() % 1000 * 1000000};
    return 0;
}

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    return v.clock == NULL ? __real_uv_now(loop) : (uint64_t)virtual_time_now();
}

static void forget(const uv_timer_t *handle)
{
    unsigned n = 0;

    for (unsigned i = 0; i < v.count; i++)
        if (v.timers[i].handle != handle)
            v.timers[n++] = v.timers[i];
    v.count = n;
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout_ms, uint64_t repeat_ms)
{
    if (v.clock == NULL)
        return __real_uv_timer_start(timer, callback, timeout_ms, repeat_ms);
    forget(timer);
    if (v.count == VIRTUAL_TIME_TIMERS_MAX || repeat_ms != 0) {
        (void)fprintf(stderr, "virtual_time: a timer that it has no place for\n");
        abort();
    }
    v.timers[v.count++] = (struct timer){timer, callback, virtual_time_now() + (int64_t)timeout_ms};
    return 0;
}

int __wrap_uv_timer_stop(uv_timer_t *timer)
{
    if (v.clock == NULL)
        return __real_uv_timer_stop(timer);
    forget(timer);
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

bool virtual_time_fire(int64_t within_ms)
{
    const int64_t now_ms = virtual_time_now();
    struct timer next = {.due_ms = INT64_MAX};

    for (unsigned i = 0; i < v.count; i++)
        if (v.timers[i].due_ms < next.due_ms)
            next = v.timers[i];
    if (next.handle == NULL || (next.due_ms > now_ms && next.due_ms - now_ms > within_ms))
        return false;
    if (next.due_ms > now_ms)
        virtual_time_sleep(next.due_ms - now_ms);
    forget(next.handle);
    next.callback(next.handle);
    return true;
}
