/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_retry - a store that repeats what failed in another one: the only place that does, besides submitters with a
 * schedule of their own, whose requests (`once`) pass straight through.
 *
 * A request that fails with an error that a retry may mend is sent again after a growing pause with jitter, at most
 * STORE_RETRY_TRIES times and not when it would begin later than STORE_RETRY_WITHIN_MS after the first; a pause that
 * the store asks for is kept.  So that an outage does not multiply requests, retries are paid for from a budget of the
 * store, which successes fill up again: in a long outage each request is sent once.
 *
 * All verbs may be repeated.  A conditional PUT whose outcome is unknown may have been carried out: when a later try
 * finds the key taken, the object is read, and the same bytes are a success.
 *
 * The error tells the first cause, and number and kinds of the later ones.
 *
 * Threads: loop thread only.
 */
#ifndef STORE_RETRY_H
#define STORE_RETRY_H

#include "store.h"

enum {
    STORE_RETRY_TRIES = 5,
    STORE_RETRY_WITHIN_MS = 30000,
    STORE_RETRY_BASE_MS = 200,
    STORE_RETRY_MAX_MS = 8000,
    STORE_RETRY_BUDGET = 100, /* full */
    STORE_RETRY_COST = 5,     /* of a retry; a success gives 1 back, that of a retry STORE_RETRY_COST */
};

struct store_retry_opts {
    uint32_t base_ms, max_ms, within_ms; /* 0: as above */
};

/* Takes the store below, which is stopped with this one.  `opts` NULL: as above. */
struct store *store_retry_new(uv_loop_t *loop, struct store *below, const struct store_retry_opts *opts);

#endif
