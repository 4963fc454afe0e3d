/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_search - the cheapest way from nothing to a state (core/plan).
 *
 * States are points on one line of txids; snapshots, merges, segments and folds are edges that lead forward on it.  The
 * search goes backward from the target, from the highest txid down, so each point is settled when it is met, and it
 * never looks behind what the best way found so far costs: a long history costs nothing when there is a near snapshot.
 */
#ifndef PLAN_SEARCH_H
#define PLAN_SEARCH_H

#include "plan.h"

/* All edges. */
struct plan_map {
    const struct catalog *catalog; /* borrowed */
    struct catalog_leg *legs;      /* owned */
    struct catalog_step *steps;    /* owned: segments and folds */
    struct plan_base *bases;       /* owned: snapshots and merges on the path; by txid, at one txid the later first */
    size_t leg_count, step_count, base_count;
};

MUST_USE struct rc plan_map_make(
    struct plan_map *out, const struct catalog *c, uint32_t timeline, const struct plan_lost *lost, struct err *err);
void plan_map_fini(struct plan_map *m);

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

MUST_USE struct rc plan_search(const struct plan_map *m, uint64_t txid, struct plan_way *out, struct err *err);
void plan_way_fini(struct plan_way *w);

#endif
