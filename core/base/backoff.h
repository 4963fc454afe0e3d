/* SPDX-License-Identifier: Apache-2.0 */
/* backoff - growing pauses with jitter: base, 2*base, 4*base ... at most `max_ms`, each drawn from its upper half. */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t base_ms, max_ms;
    uint32_t failure_count;
};

/* The pause before the next try; counts a failure. */
uint32_t backoff_next_ms(struct backoff *b);
/* It worked. */
void backoff_reset(struct backoff *b);

#endif
