/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout - the keys of a history (docs/format.md, "Keys"): fixed-width lower-case hex, so that byte order is numeric
 * order.
 *
 *     weir.json                                      identity of the history
 *     t/<timeline:8>/timeline.json                   who writes it, where it forks
 *     t/<timeline:8>/log/<first txid:16>             a segment, or the seal that ends the timeline
 *     t/<timeline:8>/part/<first txid:16>-<writer:8>-<number:8>   a part of a segment
 *     t/<timeline:8>/snap/<txid:16>-<unix ms:16>     a snapshot
 *     t/<timeline:8>/fold/<first txid:16>-<last txid:16>          consecutive segments in one object
 *     t/<timeline:8>/pruned/<first txid:16>-<last txid:16>        retention took these commits out of the log
 *     t/<timeline:8>/merge/<level:2>/<base txid:16>-<txid:16>-<unix ms:16>   the pages that differ between two states
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "pos.h"
#include "store.h"

#define LAYOUT_IDENTITY "weir.json"

enum layout_kind {
    LAYOUT_OTHER, /* not a key of ours */
    LAYOUT_IDENTITY_KEY,
    LAYOUT_TIMELINE,
    LAYOUT_LOG,
    LAYOUT_PART,
    LAYOUT_SNAPSHOT,
    LAYOUT_FOLD,
    LAYOUT_MERGE,
    LAYOUT_PRUNED,
};

struct layout_key {
    enum layout_kind kind;
    uint32_t timeline;
    uint64_t txid;           /* the first of a segment, part, fold or range; that of the state of a snapshot or merge */
    uint64_t last_txid;      /* folds, pruned ranges */
    uint64_t base_txid;      /* merges: the state that it is applied to */
    unsigned level;          /* merges: 1 to 255 */
    int64_t time_ms;         /* snapshots, merges */
    uint32_t writer, number; /* parts */
};

typedef char layout_text[STORE_KEY_MAX + 1];

void layout_timeline(layout_text out, uint32_t timeline);
void layout_log(layout_text out, uint32_t timeline, uint64_t first_txid);
/* `writer` is the run's nonce; its first four bytes go into the key. */
void layout_part(layout_text out, uint32_t timeline, uint64_t first_txid, const struct nonce *writer, uint32_t number);
void layout_snapshot(layout_text out, uint32_t timeline, uint64_t txid, int64_t time_ms);
void layout_fold(layout_text out, uint32_t timeline, uint64_t first_txid, uint64_t last_txid);
void layout_pruned(layout_text out, uint32_t timeline, uint64_t first_txid, uint64_t last_txid);
void layout_merge(
    layout_text out, uint32_t timeline, unsigned level, uint64_t base_txid, uint64_t txid, int64_t time_ms);
/* Prefixes for listings, with the '/' at the end: "t/", "t/<timeline>/", "t/<timeline>/log/", "t/<timeline>/snap/",
 * "t/<timeline>/part/", "t/<timeline>/fold/", "t/<timeline>/merge/". */
void layout_timelines_prefix(layout_text out);
void layout_timeline_prefix(layout_text out, uint32_t timeline);
void layout_log_prefix(layout_text out, uint32_t timeline);
void layout_snapshot_prefix(layout_text out, uint32_t timeline);
void layout_part_prefix(layout_text out, uint32_t timeline);
void layout_fold_prefix(layout_text out, uint32_t timeline);
void layout_merge_prefix(layout_text out, uint32_t timeline);

struct layout_key layout_parse(const char *key);

/* The key that `k` was parsed from; not for LAYOUT_OTHER. */
void layout_text_of(layout_text out, const struct layout_key *k);

/* weir.json */
struct layout_identity {
    unsigned format; /* 1 */
    struct nonce database;
    uint32_t page_size; /* when the history began; snapshots and segments name their own */
    int64_t created_ms;
};
MUST_USE struct rc layout_identity_encode(const struct layout_identity *id, struct buf *out, struct err *err);
/* E_UNSUPPORTED for a newer format, E_CORRUPT for nonsense. */
MUST_USE struct rc layout_identity_decode(struct span json, struct layout_identity *out, struct err *err);

/* t/<timeline>/timeline.json */
struct layout_origin {
    uint32_t timeline;
    uint32_t parent;        /* 0: the first timeline of the history */
    uint64_t fork_txid;     /* last txid shared with the parent; 0 for the first */
    uint64_t fork_checksum; /* state checksum there */
    struct nonce database, writer;
    char host[128];
    long pid;
    char path[1024]; /* of the database, for people */
    int64_t time_ms;
};
MUST_USE struct rc layout_origin_encode(const struct layout_origin *o, struct buf *out, struct err *err);
MUST_USE struct rc layout_origin_decode(struct span json, struct layout_origin *out, struct err *err);

#endif
