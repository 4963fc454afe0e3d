/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_history - a replica built by hand: real database states, one after the other, as segments and snapshots in a
 * directory, with every state kept for comparison.
 *
 *     make_history_init(&h, root);
 *     make_history_timeline(&h, parent, fork);      goes on from that state
 *     make_history_commit(&h, image, pages);        the next txid has this state
 *     make_history_cut(&h);                         what was committed becomes one segment
 *     make_history_snapshot(&h);                    of the present state; cuts first, as a writer does
 *     make_history_fini(&h);
 *
 * Aborts on failure.
 */
#ifndef MAKE_HISTORY_H
#define MAKE_HISTORY_H

#include "layout.h"
#include "page_hash.h"
#include "seg.h"

#include <sqlite3.h>

enum { MAKE_HISTORY_STATES_MAX = 4096, MAKE_HISTORY_STEP_MS = 1000 };

struct make_history_state {
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    uint64_t checksum;
    uint8_t *image; /* owned */
    uint32_t page_count;
    bool first; /* no page travelled: the state is in a snapshot only */
};

struct make_history {
    const char *root; /* borrowed: the folder of the replica */
    uint32_t page_size;
    struct nonce database, writer;
    uint32_t timeline;
    int64_t time_ms; /* of the next commit; grows by MAKE_HISTORY_STEP_MS */
    struct make_history_state states[MAKE_HISTORY_STATES_MAX];
    size_t count;
    size_t now;              /* the present state, an index */
    struct seg_enc *encoder; /* owned; NULL: nothing since the last cut */
    uint64_t segment_first;
    unsigned parts;
    sqlite3 *db; /* owned; for make_history_sql() */
    char *db_path;
    bool hashed;         /* snapshots and merges carry the hashes of their pages */
    uint32_t wrong_hash; /* the hash that they carry of this page is another page's; 0: none is */
    uint64_t lie;        /* XORed into the checksum that the next commits claim */
};

/* Writes weir.json.  `root` is made. */
void make_history_init(struct make_history *h, const char *root, uint32_t page_size);
void make_history_fini(struct make_history *h);

/* Begin a timeline (1, 2, 3 ...) at a commit of `parent`; parent 0 for the first. */
void make_history_timeline(struct make_history *h, uint32_t parent, uint64_t fork_txid);
/* The next commit; `flags` as in seg.h.  With SEG_SNAPSHOT the segment is cut behind it. */
void make_history_commit(struct make_history *h, const uint8_t *image, uint32_t page_count, uint32_t flags);
/* The same with the state after this SQL in a database of the history's own (beside `root`). */
void make_history_sql(struct make_history *h, const char *sql, uint32_t flags);
void make_history_cut(struct make_history *h);
void make_history_snapshot(struct make_history *h);
/* A snapshot of any state, with any time in its key, without a cut. */
void make_history_snapshot_of(struct make_history *h, const struct make_history_state *s, int64_t time_ms);
/* A merge from one state to another, of this timeline; pages that are equal stay out. */
void make_history_merge(struct make_history *h, unsigned level, const struct make_history_state *base,
    const struct make_history_state *s, int64_t time_ms);
void make_history_seal(struct make_history *h, uint32_t successor);

/* The state of a txid on the path to the timeline as it was written; NULL when there is none. */
const struct make_history_state *make_history_find(const struct make_history *h, uint32_t timeline, uint64_t txid);

#endif
