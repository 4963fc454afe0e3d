/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof_due - when drills and scrubs are due, by what is known of earlier ones.  Pure.
 *
 * The last one's time is the wall clock's, and comes from the local state: a clock that was set back says nothing, and
 * one that jumped ahead makes one too many at most.  Within a process only the monotonic clock counts.
 */
#ifndef PROOF_DUE_H
#define PROOF_DUE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PROOF_DUE_FIRST_MS =
        10 * 60 * 1000, /* of drills: a process that only starts and stops has something better to do */
    PROOF_DUE_RETRY_MS = 60 * 60 * 1000, /* it could not be carried out */
    PROOF_DUE_SOON_MS = 60 * 1000,       /* it was stopped, or somebody else's turn */
};

/* The lesser one: no pause is longer than the interval. */
uint64_t proof_due_at_most(uint64_t ms, uint64_t interval_ms);
/* From now until the next one, by when the last one had a result (0: none had); below 0: for so long it is due. */
int64_t proof_due_in_ms(int64_t tried_ms, uint64_t interval_ms, int64_t wall_ms);
/* None went well for two intervals, although weir knew the database for so long (`known_ms`).  `good_ms` 0: none ever
 * did. */
bool proof_due_is_overdue(int64_t good_ms, uint64_t interval_ms, int64_t wall_ms, uint64_t known_ms);

#endif
