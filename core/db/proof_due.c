/* SPDX-License-Identifier: Apache-2.0 */
#include "proof_due.h"

uint64_t proof_due_at_most(uint64_t ms, uint64_t interval_ms)
{
    return ms < interval_ms ? ms : interval_ms;
}

/* One that never was is due for longer than any that was. */
int64_t proof_due_in_ms(int64_t tried_ms, uint64_t interval_ms, int64_t wall_ms)
{
    int64_t age_ms = wall_ms - tried_ms, interval = interval_ms > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)interval_ms;

    if (tried_ms == 0)
        return INT64_MIN / 4;
    if (age_ms < 0)
        return 0;
    return interval - age_ms;
}

bool proof_due_is_overdue(int64_t good_ms, uint64_t interval_ms, int64_t wall_ms, uint64_t known_ms)
{
    uint64_t limit = interval_ms > UINT64_MAX / 4 ? UINT64_MAX / 2 : 2 * interval_ms + PROOF_DUE_FIRST_MS;

    if (interval_ms == 0 || known_ms <= limit)
        return false;
    return good_ms == 0 || (wall_ms > good_ms && (uint64_t)(wall_ms - good_ms) > limit);
}
