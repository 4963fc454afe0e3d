/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan - which objects give the state at a txid: a pure function of the catalog.
 *
 * The newest snapshot at or before the target on the path of timelines, then every segment behind it.  A segment that
 * begins at or before the snapshot is of no use, but one in a fold may begin there: that shows when the fold is read.
 */
#ifndef PLAN_H
#define PLAN_H

#include "catalog.h"

struct plan {
    uint32_t timeline; /* of the target */
    uint64_t txid;     /* the target */
    struct {
        uint32_t timeline;
        uint64_t txid, size;
        int64_t time_ms;
    } snapshot;
    /* Segments and folds, in order.  What a fold has before its first_txid, and all beyond their last_txid (the
     * target, or a fork inside), is left out. */
    struct catalog_step *segments;
    size_t segment_count;
    uint64_t bytes; /* to read, all together */
};

/*
 * `skip_snapshots`: leave out that many of the newest candidates, after they turned out to be damaged or missing.
 * E_NOTFOUND with the nearest txids that can be restored when there is no way.
 */
MUST_USE struct rc plan_restore(const struct catalog *c, uint32_t timeline, uint64_t txid, size_t skip_snapshots,
    struct plan **out, struct err *err);
void plan_free(struct plan *p);
void plan_freep(struct plan **p);

#endif
