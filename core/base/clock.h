/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - time, replaceable.  Wall time may jump; monotonic time does not.  Both in milliseconds unless named _us.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(const struct clock *c); /* since 1970-01-01T00:00:00Z */
    uint64_t (*mono_us)(const struct clock *c);
};

extern const struct clock clock_real;

static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c);
}

static inline uint64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us(c);
}

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_us(c) / 1000;
}

#endif
