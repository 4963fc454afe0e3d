/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace - a store that asks another one slowly: for work that must not be in anybody's way.
 *
 * At most PACE_IN_FLIGHT requests are under way; after each answer it waits for as long as its bytes take at the rate;
 * while it is held nothing new is asked.  Once canceled, what waits and whatever comes completes with E_CANCELED, for
 * requests to files as well.
 *
 * Loop thread only.
 */
#ifndef PACE_H
#define PACE_H

#include "store.h"

enum { PACE_IN_FLIGHT = 2 };

/* Takes the store below, which is stopped with this one.  `rate`: bytes in a second; 0: no limit. */
struct store *pace_new(uv_loop_t *loop, struct store *below, uint64_t rate);
/* Ask for nothing more, or go on. */
void pace_hold(struct store *s, bool held);

#endif
