/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan - which objects give the state at a txid: a pure function of the catalog, and the cheapest of all ways.
 *
 * A way begins with a snapshot.  From a state, a merge that is based on it leads to a later one, and so do the segments
 * and folds behind it.  What a way costs are the bytes to read and PLAN_REQUEST_COST for each request.
 *
 * Replay can begin only where a segment begins.  A fold does not tell from its key where its segments do, so one that
 * goes on behind a snapshot or a merge is taken at its word, because writers end a segment there: whether that is so
 * shows when it is read.
 */
#ifndef PLAN_H
#define PLAN_H

#include "plan_lost.h"

enum {
    PLAN_REQUEST_COST = 256 << 10, /* bytes: what a store with 10 ms to the first byte delivers meanwhile */
    PLAN_RANGE_SIZE = 1 << 20,     /* snapshots and merges are read in ranges of about this size */
};

/* A snapshot, or a merge. */
struct plan_base {
    uint32_t timeline;
    unsigned level;      /* 0: a snapshot */
    uint64_t base_txid;  /* merges */
    uint64_t txid, size; /* of the state that it gives */
    int64_t time_ms;
};

/* First the bases [base, base_end), each building on the one before; then the segments [segment, segment_end). */
struct plan_stage {
    size_t base, base_end;
    size_t segment, segment_end;
};

struct plan {
    uint32_t timeline; /* of the target */
    uint64_t txid;     /* the target */
    /* In order.  The first one is the snapshot; a stage behind the first one has only merges. */
    struct plan_base *bases;
    size_t base_count;
    /* Segments and folds, in order.  What a fold has before its first_txid, and all beyond their last_txid (the
     * target, the base of a merge, or a fork inside), is left out. */
    struct catalog_step *segments;
    size_t segment_count;
    struct plan_stage *stages; /* at least one */
    size_t stage_count;
    uint64_t bytes, requests; /* all together */
};

/*
 * `lost`: objects to do without; NULL: none.  E_NOTFOUND with the nearest txids that can be restored when there is no
 * way.
 */
MUST_USE struct rc plan_restore(const struct catalog *c, uint32_t timeline, uint64_t txid, const struct plan_lost *lost,
    struct plan **out, struct err *err);
/* No way leads to this commit any more, because of what was pruned: itself, or what was in front of it. */
bool plan_is_cut_off(const struct catalog *c, uint32_t timeline, uint64_t txid);
void plan_free(struct plan *p);
void plan_freep(struct plan **p);

uint64_t plan_cost(const struct plan *p);
/* The key of a snapshot or merge: as a struct for plan_lost_add(), as a text. */
struct layout_key plan_base_key(const struct plan_base *b);
void plan_base_text(const struct plan_base *b, layout_text out);

#endif
