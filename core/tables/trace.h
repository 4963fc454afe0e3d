/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace - commits of a history, one by one, each with the tables and indexes that it touched.
 *
 * The state before the first segment is restored to a scratch file, then the segments are applied to it, and after each
 * commit the changed pages are mapped through the b-trees (btree_map.h).  Every state is proven by its checksum.
 *
 * Commits whose state is in a snapshot only (a first one, or one after a lost index) are restored from there and
 * compared with the state before.  Where the state before cannot be had (its snapshots are gone) the tables are unknown
 * until the next snapshot.
 *
 * Disk: the database once, twice while two states are compared.  Memory: 32 bytes a page and what a restore takes.
 *
 * Runs in a job thread: blocking.
 */
#ifndef TRACE_H
#define TRACE_H

#include "btree_map.h"
#include "catalog.h"

struct trace_commit {
    const struct seg_info *segment;
    const struct seg_commit *commit;
    bool known; /* false: `touches` are not */
    const struct btree_map_touch *touches;
    size_t touch_count;
    const char *damage; /* what contradicts itself in the database's pages, "" when nothing does */
};
/* false: enough. */
typedef bool (*trace_fn)(void *ctx, const struct trace_commit *c);

struct trace_opts {
    const struct fsys *fs;
    const char *folder; /* for the scratch files; whoever made it empties it */
    uint32_t timeline;  /* the commits that lead to its end */
    uint64_t first_txid, last_txid;
    trace_fn fn;
    void *ctx;
    /* Now and then, in bytes; may be NULL. */
    void (*on_progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *progress_ctx;
};

MUST_USE struct rc trace_run(
    struct work *w, struct store *s, const struct catalog *c, const struct trace_opts *opts, struct err *err);

#endif
