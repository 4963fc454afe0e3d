/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_map - what leads to a timeline, as a map for the search (core/plan_search): states are points on one line of
 * txids; snapshots, merges, segments and folds are edges that lead forward on it.
 */
#ifndef PLAN_MAP_H
#define PLAN_MAP_H

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

/* The first base at or behind `txid`. */
size_t plan_map_base_at(const struct plan_map *m, uint64_t txid);
/* The first step that begins behind `txid`. */
size_t plan_map_step_behind(const struct plan_map *m, uint64_t txid);

#endif
