/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold_file - the file behind fold_keep: segments and notes about them, one record behind the other
 * (docs/format.md, "`fold/kept`").
 *
 * A record's hash covers that of the one before it, so records count only in the order in which they were written. What
 * is behind the first that does not check out is cut off.  Nothing is synced.
 *
 * Errors: E_NOTFOUND there is none, E_CORRUPT it is not for this database and timeline, or not readable; both mean that
 * a new one is due.
 */
#ifndef FOLD_FILE_H
#define FOLD_FILE_H

#include "fsys.h"
#include "pos.h"

/* Bytes of a segment in the file. */
struct fold_file_place {
    uint64_t at, size, hash;
};

enum fold_file_type {
    FOLD_FILE_SEGMENT = 1,     /* a segment's bytes */
    FOLD_FILE_SMALL = 2,       /* those segments are in a small fold now, and need not stay */
    FOLD_FILE_AGAIN = 3,       /* likewise, but what need not stay is said elsewhere */
    FOLD_FILE_ALONE = 4,       /* they are not folded */
    FOLD_FILE_OLD_SEGMENT = 5, /* this object need not stay */
    FOLD_FILE_OLD_FOLD = 6,    /* nor this one */
    FOLD_FILE_DELETED = 7,     /* the first so many objects of those are gone */
};

struct fold_file_record {
    enum fold_file_type type;
    uint64_t first_txid, last_txid; /* first_txid is the count in FOLD_FILE_DELETED */
    int64_t time_ms;                /* segments */
    struct fold_file_place place;   /* segments */
};

struct fold_file;

/* A new one, under another name until fold_file_publish(). */
MUST_USE struct rc fold_file_create(struct fold_file **out, const struct fsys *fs, const char *dir,
    const struct nonce *database, uint32_t timeline, struct err *err);
MUST_USE struct rc fold_file_publish(struct fold_file *f, struct err *err);

/* The one that is there; read its records with fold_file_next() to the end before anything is added. */
MUST_USE struct rc fold_file_open(struct fold_file **out, const struct fsys *fs, const char *dir,
    const struct nonce *database, uint32_t timeline, struct err *err);
MUST_USE struct rc fold_file_next(struct fold_file *f, struct fold_file_record *out, bool *end, struct err *err);

MUST_USE struct rc fold_file_add(struct fold_file *f, uint64_t first_txid, uint64_t last_txid, int64_t time_ms,
    struct span bytes, struct fold_file_place *place, struct err *err);
MUST_USE struct rc fold_file_note(
    struct fold_file *f, enum fold_file_type type, uint64_t first_txid, uint64_t last_txid, struct err *err);
/* E_CORRUPT when they are not what was written. */
MUST_USE struct rc fold_file_read(
    const struct fold_file *f, const struct fold_file_place *place, struct buf *out, struct err *err);
void fold_file_close(struct fold_file *f);
/* As far as it can be: what stays is dropped by the next start. */
void fold_file_remove(const struct fsys *fs, const char *dir);

#endif
