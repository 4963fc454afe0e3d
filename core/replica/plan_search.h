/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_search - the cheapest way from nothing to a state (core/plan).
 *
 * The search goes backward from the target, from the highest txid down, so each point is settled when it is met, and it
 * never looks behind what the best way found so far costs: a long history costs nothing when there is a near snapshot.
 */
#ifndef PLAN_SEARCH_H
#define PLAN_SEARCH_H

#include "plan_map.h"

struct plan_leg {
    bool is_base; /* index of a base, else of a step */
    size_t index;
    uint64_t from, to; /* txids; a snapshot comes from 0 */
    uint64_t bytes, requests;
};

struct plan_way {
    struct plan_leg *legs; /* owned; in order */
    size_t leg_count;      /* 0: there is no way */
};

MUST_USE struct rc plan_search_run(const struct plan_map *m, uint64_t txid, struct plan_way *out, struct err *err);
void plan_search_fini(struct plan_way *w);

#endif
