/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention_keep - which objects of a catalog stay (core/retention): marks beside its arrays.
 */
#ifndef RETENTION_KEEP_H
#define RETENTION_KEEP_H

#include "plan.h"
#include "retention.h"

struct retention_kept_timeline {
    bool *logs, *folds, *snapshots, *merges; /* owned; beside those of the catalog's timeline */
};

struct retention_keep {
    const struct catalog *catalog;             /* borrowed */
    struct retention_kept_timeline *timelines; /* owned */
};

MUST_USE struct rc retention_keep_new(struct retention_keep **out, const struct catalog *c, struct err *err);
void retention_keep_free(struct retention_keep *k);
void retention_keep_freep(struct retention_keep **k);

/* The object that has the step's bytes. */
void retention_keep_step(struct retention_keep *k, const struct catalog_step *step);
void retention_keep_base(struct retention_keep *k, const struct plan_base *base);
void retention_keep_plan(struct retention_keep *k, const struct plan *p);
/* All that belongs to states from `first` to `last` on this timeline. */
void retention_keep_around(struct retention_keep *k, uint32_t timeline, uint64_t first, uint64_t last);

#endif
