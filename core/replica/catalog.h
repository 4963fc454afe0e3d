/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog - a history as its listing shows it: timelines with their logs, folds, snapshots and merges.  Built from keys
 * alone (few LISTs); what only an object's content tells (how far the last segment reaches, commit times) is loaded on
 * demand.
 *
 * Runs in a job thread: blocking, through work_store().
 */
#ifndef CATALOG_H
#define CATALOG_H

#include "layout.h"
#include "seal.h"
#include "seg.h"
#include "work.h"

#include <stdatomic.h>

enum { CATALOG_OBJECTS_MAX = 20 * 1000 * 1000 }; /* keys; beyond it E_NOMEM with advice */

struct catalog_log {
    uint64_t first_txid;
    uint64_t size;
};

/* Consecutive segments in one object (wal/fold.h).  Which ones only its table says. */
struct catalog_fold {
    uint64_t first_txid, last_txid;
    uint64_t size;
};

struct catalog_snapshot {
    uint64_t txid;
    int64_t time_ms;
    uint64_t size;
};

/* The pages that differ between the states at two txids (snapshot/snap.h). */
struct catalog_merge {
    uint64_t base_txid, txid;
    int64_t time_ms;
    uint64_t size;
    unsigned level;
};

/* Commits that retention took out of the log on purpose. */
struct catalog_pruned {
    uint64_t first_txid, last_txid;
};

/* The parts of one large segment, together. */
struct catalog_large {
    uint64_t first_txid; /* of the segment */
    uint64_t size;
    size_t part_count;
};

struct catalog_timeline {
    struct layout_origin origin; /* timeline 0 when timeline.json is missing or unreadable (a damaged history) */
    uint32_t number;
    struct catalog_log *logs; /* ascending */
    size_t log_count;
    struct catalog_fold *folds; /* as listed: by first txid, then by last; they may overlap */
    size_t fold_count;
    struct catalog_snapshot *snapshots; /* ascending */
    size_t snapshot_count;
    struct catalog_merge *merges; /* as listed: by level, base, txid */
    size_t merge_count;
    struct catalog_pruned *pruned; /* as listed: by first txid, then by last; they may overlap */
    size_t pruned_count;
    struct catalog_large *large; /* ascending */
    size_t large_count;
    uint64_t part_count, part_size;
    bool cut; /* keys of it were passed over, because of catalog_limits: nothing can be planned with it */
    /* From the object at the last log key, or the last fold, once catalog_load_tips() has run: */
    bool sealed;
    uint64_t tip_txid; /* last commit; 0: none */
    int64_t tip_time_ms;
    uint64_t tip_checksum;
    uint32_t successor; /* when sealed */
};

struct catalog {
    struct layout_identity identity;
    struct catalog_timeline *timelines; /* ascending by number */
    size_t timeline_count;
    size_t unexpected_count; /* keys that are not ours */
    bool cut;                /* timelines behind these were not listed, because of catalog_limits */
};

/*
 * E_NOTFOUND "no replica at URL" when there is neither weir.json nor a timeline.  With a damaged or missing weir.json
 * beside timelines `identity.format` is 0 and the database id comes from a timeline: a restore needs no more.
 */
MUST_USE struct rc catalog_load(struct catalog **out, struct work *w, struct store *s, struct err *err);
/*
 * For those who look often and want no more than an overview.  Of a folder (the log of a timeline, say) at most so many
 * keys, and a page, are listed; the listing ends with so many keys and timelines in all.  What was left out is marked.
 * E_CANCELED once *stop is set.
 */
struct catalog_limits {
    size_t folder_max, object_max, timeline_max;
    const atomic_bool *stop;
};
MUST_USE struct rc catalog_load_within(
    struct catalog **out, struct work *w, struct store *s, const struct catalog_limits *limits, struct err *err);
/* Read the last object of every timeline's log.  A damaged one is E_CORRUPT and named. */
MUST_USE struct rc catalog_load_tips(struct catalog *c, struct work *w, struct store *s, struct err *err);
/* The same for one timeline (a part of the catalog). */
MUST_USE struct rc catalog_load_tip(
    struct catalog *c, struct work *w, struct store *s, uint32_t timeline, struct err *err);
void catalog_free(struct catalog *c);
void catalog_freep(struct catalog **c);

const struct catalog_timeline *catalog_timeline(const struct catalog *c, uint32_t number);
/* The highest-numbered timeline: the one that is being written. */
const struct catalog_timeline *catalog_newest(const struct catalog *c);

/*
 * The timelines that lead to `number`, oldest first, each with the last txid that counts there (its fork point,
 * UINT64_MAX for the last).  E_CORRUPT when a parent is missing or the chain loops.
 */
struct catalog_leg {
    const struct catalog_timeline *timeline;
    uint64_t last_txid;
};
MUST_USE struct rc catalog_path(
    const struct catalog *c, uint32_t number, struct catalog_leg **legs, size_t *count, struct err *err);

/*
 * The objects on that path that hold its commits, in order: from which txid on each counts, and up to which at most.
 * Made of keys: the last one may turn out to be a seal while the timeline's tip is not loaded, and a hole shows only
 * when a segment ends early.
 *
 * A step is a segment, or a fold with all that it holds: so a fold is fetched once (catalog_read.h).  Where folds
 * overlap the one that reaches further counts, and a fold wins over segments within its range.  What lies within a
 * pruned range is no step, even while the object is still there.
 */
struct catalog_step {
    uint32_t timeline;
    uint64_t first_txid;
    uint64_t last_txid;             /* at most: the next step begins behind it, or the path leaves the timeline there */
    uint64_t size;                  /* bytes to read */
    uint64_t fold_first, fold_last; /* the fold that holds it; 0: a segment, at its own key */
    uint64_t offset;                /* one segment of the fold: where it is; 0: all of the object */
};
static inline bool catalog_step_is_fold(const struct catalog_step *s)
{
    return s->fold_first != 0;
}
/* Of the object that has its bytes. */
void catalog_step_key(const struct catalog_step *s, layout_text key);
MUST_USE struct rc catalog_route(
    const struct catalog *c, uint32_t number, struct catalog_step **steps, size_t *count, struct err *err);

/* All commits from `first` to `last` on the path to `number` were pruned: that they are not there is no damage. */
bool catalog_was_pruned(const struct catalog *c, uint32_t number, uint64_t first, uint64_t last);
/* The last txid of this timeline's pruned range that holds `txid`; 0: there is none. */
uint64_t catalog_pruned_to(const struct catalog_timeline *t, uint64_t txid);

/* A segment or seal, fetched whole and opened.  Exactly one of `segment` and `sealed` is set. */
struct catalog_object {
    struct buf bytes;
    struct seg_dec *segment; /* owned; borrows bytes */
    bool sealed;
    struct seal seal;
};
MUST_USE struct rc catalog_fetch(struct catalog_object *out, struct work *w, struct store *s, uint32_t timeline,
    uint64_t first_txid, struct err *err);
/* The same for bytes that are at hand; takes them.  `zstd` is borrowed as long as the object is open
 * (seg_dec_open_with); NULL: it gets its own. */
MUST_USE struct rc catalog_open(struct catalog_object *out, struct buf *bytes, uint32_t timeline, uint64_t first_txid,
    struct zstr_dec *zstd, struct err *err);
void catalog_object_fini(struct catalog_object *o);

/* Every commit of the path to `timeline` from `from_txid` on, in order, until `fn` returns false.  Reads each segment.
 */
typedef bool (*catalog_commit_fn)(void *ctx, const struct seg_info *segment, const struct seg_commit *commit);
MUST_USE struct rc catalog_commits(struct catalog *c, struct work *w, struct store *s, uint32_t timeline,
    uint64_t from_txid, catalog_commit_fn fn, void *ctx, struct err *err);

#endif
