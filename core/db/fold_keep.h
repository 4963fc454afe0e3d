/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold_keep - shipped segments on the local disk until they are in folds, in `<database>-weir/fold/kept`.
 *
 *     fold_keep_open(&k, &opts, now_ms, err)        goes on with what an earlier process kept
 *     fold_keep_add(k, segment, now_ms, err)        a segment that the replica has
 *     fold_keep_next(k, &run, &next, err)           the next fold that is due: to be stored by the caller
 *     fold_keep_folded(k, &next, now_ms, err)       it is in the replica
 *     fold_keep_due(k, now_ms, tip, keys, max)      what may be deleted since
 *     fold_keep_deleted(k, count, err)
 *     fold_keep_close(k)
 *
 * Two levels: `count` segments make a fold; `count` such folds make a larger one, which takes the place of both. Either
 * is closed earlier by FOLD_KEEP_FOLD_MAX bytes, or where the next segment is not to be had: one that is too large, has
 * parts, or was never kept.  What is alone then stays as it is.
 *
 * Nothing here is needed: a file that does not check out is dropped, and its segments stay single objects.  So nothing
 * is synced.  After any error the object is of no use any more but for fold_keep_drop().
 *
 * Threads: one at a time.
 */
#ifndef FOLD_KEEP_H
#define FOLD_KEEP_H

#include "fsys.h"
#include "layout.h"

enum {
    FOLD_KEEP_COUNT_MAX = 32,
    FOLD_KEEP_SEGMENT_MAX = 256 << 10, /* larger segments are not folded: a request each is no burden */
    FOLD_KEEP_FOLD_MAX = 8 << 20,
    FOLD_KEEP_BYTES_MAX = 48 << 20, /* kept while the replica takes no folds; beyond it all is forgotten */
    FOLD_KEEP_MEMBERS_MAX = 4096,   /* likewise */
    FOLD_KEEP_TRASH_MAX = 8192,     /* keys to be deleted; more than that stay */
};

struct fold_keep_opts {
    const struct fsys *fs;
    const char *dir; /* made when it is needed */
    struct nonce database;
    uint32_t timeline;
    unsigned count;           /* 2 to FOLD_KEEP_COUNT_MAX */
    uint64_t delete_after_ms; /* no segment is deleted earlier than this after it was shipped */
};

struct fold_keep_next {
    unsigned level; /* 1 or 2; 0: nothing is due */
    uint32_t timeline;
    uint64_t first_txid, last_txid;
    struct buf object; /* owned by the receiver */
};

struct fold_keep;
MUST_USE struct rc fold_keep_open(
    struct fold_keep **out, const struct fold_keep_opts *opts, uint64_t now_ms, struct err *err);
void fold_keep_close(struct fold_keep *k);
/* Close, and forget it all. */
void fold_keep_drop(struct fold_keep *k);

/* One that cannot be folded is left out.  `now_ms` is monotonic, here and below. */
MUST_USE struct rc fold_keep_add(struct fold_keep *k, struct span segment, uint64_t now_ms, struct err *err);
MUST_USE struct rc fold_keep_next(
    struct fold_keep *k, const struct nonce *run, struct fold_keep_next *out, struct err *err);
/* It is stored; or (fold_keep_skip) its key holds something else, and these segments are never folded. */
MUST_USE struct rc fold_keep_folded(
    struct fold_keep *k, const struct fold_keep_next *f, uint64_t now_ms, struct err *err);
MUST_USE struct rc fold_keep_skip(struct fold_keep *k, const struct fold_keep_next *f, struct err *err);

/* Keys that a fold stands for, old enough, and not that of the last segment: all at once when there are many or a large
 * fold was just made, otherwise none. */
size_t fold_keep_due(struct fold_keep *k, uint64_t now_ms, uint64_t tip_txid, layout_text *keys, size_t max);
/* The first so many of them are gone. */
MUST_USE struct rc fold_keep_deleted(struct fold_keep *k, size_t count, struct err *err);
/* Deletion is not allowed here: collect nothing more. */
void fold_keep_forbid(struct fold_keep *k);

/* No fold that is made from here on begins before this txid; 0: nothing is kept. */
uint64_t fold_keep_first_txid(const struct fold_keep *k);
size_t fold_keep_member_count(const struct fold_keep *k);
size_t fold_keep_trash_count(const struct fold_keep *k);

#endif
