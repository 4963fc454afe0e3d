/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_range - which states of a timeline can be restored, as ranges: in each every commit can.  A state that can be
 * restored alone, in a stretch that was pruned, is a range of its own.
 *
 * A pure function of the catalog: the timeline's tip must be loaded, and no timeline on its path be cut.  What only the
 * content of objects tells, damage, is not in it.
 */
#ifndef HISTORY_RANGE_H
#define HISTORY_RANGE_H

#include "catalog.h"

struct history_range {
    uint64_t first_txid, last_txid;
    struct catalog_step first_step; /* the object with the first commit; first_txid 0: a snapshot or merge has it */
};

struct history_ranges {
    struct history_range *list; /* owned; ascending, none touches the next */
    size_t count;
    bool cut; /* there may be more, of single states: looking for them would have taken too long */
};

/*
 * `plans`: how many plans may still be made; it is counted down, and 0 cuts.  E_CORRUPT when a timeline on the path is
 * missing, E_NOMEM.
 */
MUST_USE struct rc history_range_find(const struct catalog *c, const struct catalog_timeline *t, size_t *plans,
    struct history_ranges *out, struct err *err);
void history_range_fini(struct history_ranges *r);

#endif
