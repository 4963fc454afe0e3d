/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

#include "rng.h"

uint32_t backoff_next_ms(struct backoff *b)
{
    uint64_t pause = b->base_ms, half;

    for (uint32_t i = 0; i < b->failure_count && pause < b->max_ms; i++)
        pause *= 2;
    if (pause > b->max_ms)
        pause = b->max_ms;
    if (b->failure_count < UINT32_MAX)
        b->failure_count++;
    half = pause / 2;
    return (uint32_t)(pause - rng_u64() % (half + 1));
}

void backoff_reset(struct backoff *b)
{
    b->failure_count = 0;
}
