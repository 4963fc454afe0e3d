/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_store - a store that passes requests on to another one and misbehaves at the n-th of them.
 *
 *     for (n = 1;; n++) {
 *         fault_store_init(&f, &loop, below);             `below` is a store of its own, opened before
 *         fault_store_arm(&f, FAULT_STORE_LOST, n, false);
 *         rc = operation(&f.base, ...);
 *         store_wait_stop(&loop, &f.base);                stops the one below too
 *         if (f.fired == 0)
 *             break;                                      no fault met: every request had its turn
 *         ...
 *     }
 *
 * After fault_store_arm() a test may narrow what counts with `verbs` and `prefix`, and choose another error with
 * `code`.
 *
 * Threads: loop thread only.  The struct belongs to the test and must live until the store has stopped.
 */
#ifndef FAULT_STORE_H
#define FAULT_STORE_H

#include "store.h"

enum fault_store_kind {
    FAULT_STORE_REFUSED,    /* nothing happens; E_NETWORK */
    FAULT_STORE_THROTTLED,  /* nothing happens; E_THROTTLED */
    FAULT_STORE_LOST,       /* it is carried out, but the answer gets lost; E_TIMEOUT */
    FAULT_STORE_HALF_BODY,  /* GET: success with the first half of the bytes */
    FAULT_STORE_WRONG_BODY, /* GET: success with one bit turned */
};

struct fault_store {
    struct store base; /* must be first */

    /* For the test to set. */
    enum fault_store_kind kind;
    bool forever;       /* from the n-th on, not only the n-th */
    unsigned verbs;     /* bits 1u << STORE_GET and so on: what counts */
    const char *prefix; /* only keys that begin with it count; borrowed; NULL is all */
    enum err_code code; /* what REFUSED, THROTTLED and LOST tell */
    long countdown;     /* requests left before the fault; 0 or less at the begin: never */

    /* For the test to read. */
    long requests; /* requests that counted */
    long fired;    /* faults delivered so far */

    /* Its own. */
    uv_loop_t *loop;
    struct store *below;
    uv_timer_t timer;                /* answers what nobody below hears of */
    struct store_req *first, **last; /* those */
    bool below_stopped;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

/* Takes the store below, which is stopped with this one.  Faults are off. */
void fault_store_init(struct fault_store *f, uv_loop_t *loop, struct store *below);
/* Begin the loop, too, and above a directory store; ends by store_wait_end(). */
void fault_store_begin(struct fault_store *f, uv_loop_t *loop, const char *root);
/* The n-th request from now on, or with `forever` every one from there; with usual verbs, prefix and code; counts anew.
 */
void fault_store_arm(struct fault_store *f, enum fault_store_kind kind, long n, bool forever);
void fault_store_disarm(struct fault_store *f);

#endif
