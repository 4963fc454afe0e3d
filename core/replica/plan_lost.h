/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_lost - objects that a plan must do without: they turned out to be missing or damaged, or are to be deleted.
 *
 *     struct plan_lost lost = {0};
 *     plan_lost_add(&lost, &key, err)
 *     plan_restore(catalog, timeline, txid, &lost, &plan, err)
 *     plan_lost_fini(&lost)
 *
 * Segments, folds, snapshots and merges are left out; other kinds change nothing.  A segment that is not listed can be
 * lost, too: then nothing has its first txid, and the segment before it is known to end there.
 */
#ifndef PLAN_LOST_H
#define PLAN_LOST_H

#include "catalog.h"

struct plan_lost {
    struct layout_key *keys; /* owned */
    size_t count, room;
};

MUST_USE struct rc plan_lost_add(struct plan_lost *lost, const struct layout_key *key, struct err *err);
bool plan_lost_has(const struct plan_lost *lost, const struct layout_key *key);
void plan_lost_fini(struct plan_lost *lost);

/*
 * The catalog without them.  It borrows from `c` what it does not leave out; plan_lost_free_view() frees the rest.
 * `lost` NULL: none.
 */
MUST_USE struct rc plan_lost_view(
    const struct catalog *c, const struct plan_lost *lost, struct catalog **view, struct err *err);
void plan_lost_free_view(struct catalog *view, const struct catalog *c);

/* In a route over the view: steps end where what is lost began. */
void plan_lost_cut(const struct plan_lost *lost, struct catalog_step *steps, size_t count);

#endif
