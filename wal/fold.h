/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold - consecutive segments of one timeline in one object, byte for byte (docs/format.md, "Folds").
 *
 *     fold_begin(&f, &object)                     header and table
 *     buf_put(&object, ...)                       the bytes of each segment, in the table's order
 *     fold_end(&f, &object, err)
 *
 *     fold_decode_head(head, object size, &f, err)      the first FOLD_HEAD_MAX bytes are enough
 *     fold_decode(object, &f, err)                      all of it, with the trailer
 *     fold_find(&f, txid) ... fold_fini(&f)
 *
 * The table stands in front and has a hash of its own, so one ranged read tells where each segment is.  The segments
 * keep their own checksums, and whoever opens one compares it with its row.
 *
 * The decoder trusts nothing: E_CORRUPT for whatever does not add up.
 */
#ifndef FOLD_H
#define FOLD_H

#include "pack.h"

enum {
    FOLD_SEGMENT_COUNT_MAX = 1024,
    FOLD_HEAD_MAX = 32 << 10,   /* no head is longer: a row has at most 24 bytes */
    FOLD_OBJECT_MAX = 32 << 20, /* what a reader accepts; writers stay far below */
};

struct fold_row {
    uint64_t first_txid, last_txid;
    int64_t time_ms;       /* of the last commit */
    uint64_t offset, size; /* in the object */
};

struct fold {
    struct pack_header pack;
    uint32_t timeline;
    struct fold_row *rows; /* owned after decoding, else the caller's; they follow each other without a gap */
    size_t count;          /* at least 1 */
};

/* Begin an object: everything but the rows' offsets is set; they are filled in.  `out` is cleared. */
MUST_USE struct rc fold_begin(struct fold *f, struct buf *out, struct err *err);
/* All segments were appended. */
MUST_USE struct rc fold_end(const struct fold *f, struct buf *out, struct err *err);

/* `head` is the begin of an object of that size, or all of it. */
MUST_USE struct rc fold_decode_head(struct span head, uint64_t object_size, struct fold *out, struct err *err);
MUST_USE struct rc fold_decode(struct span object, struct fold *out, struct err *err);
/* Frees the rows of a decoded one. */
void fold_fini(struct fold *f);

/* The row that holds this txid; NULL: none. */
const struct fold_row *fold_find(const struct fold *f, uint64_t txid);

#endif
