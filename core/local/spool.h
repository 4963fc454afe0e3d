/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool - finished segments on the local disk while the replica does not take them, in `<database>-weir/spool/`.
 *
 *     <timeline:8>-<first txid:16>-p-<run:8>-<number:8>     a part, byte for byte as it will be shipped
 *     <timeline:8>-<first txid:16>-s                        a segment, behind its parts in the order of names
 *
 * Segments come here only when the log has reached its limit (docs/mechanism.md, "When the replica is away"): from then
 * on the log can be started over although the replica has not acknowledged what it held.  So a segment is fsynced here
 * before the local state counts it, and removed after the replica has it.  A process that ends in between leaves files
 * that the next start ships (core/db_start) before it goes on.
 *
 *     spool_open(&s, fs, dir, limit, err)       what is there counts
 *     spool_put(s, &name, bytes, err)           E_NOSPACE past the limit: nothing is written
 *     spool_list(s, &names, &count, err)        in the order of shipping
 *     spool_get(s, &name, &bytes, err)
 *     spool_drop(s, &name)
 *
 * Threads: one at a time.  Files of other names are left alone and not counted.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include "fsys.h"
#include "pos.h"

enum { SPOOL_OBJECT_MAX = 32 << 20, SPOOL_COUNT_MAX = 1 << 20, SPOOL_NAME_SIZE = 64 };

struct spool_name {
    uint32_t timeline;
    uint64_t first_txid;
    bool is_part;
    uint32_t number;  /* parts */
    struct nonce run; /* parts: only the first four bytes are known after a listing */
};

struct spool;

/* The directory is made when the first file comes. */
MUST_USE struct rc spool_open(
    struct spool **out, const struct fsys *fs, const char *dir, uint64_t limit, struct err *err);
void spool_close(struct spool *s);

/* Durable when it returns RC_OK. */
MUST_USE struct rc spool_put(struct spool *s, const struct spool_name *name, struct span bytes, struct err *err);
/* E_NOTFOUND when it is gone. */
MUST_USE struct rc spool_get(const struct spool *s, const struct spool_name *name, struct buf *out, struct err *err);
/* A file that cannot be removed is shipped once more after the next start, which does no harm. */
void spool_drop(struct spool *s, const struct spool_name *name);
/* *out is to be freed with mem_free. */
MUST_USE struct rc spool_list(const struct spool *s, struct spool_name **out, size_t *count, struct err *err);
/* Remove everything. */
MUST_USE struct rc spool_clear(struct spool *s, struct err *err);

uint64_t spool_bytes(const struct spool *s);
uint64_t spool_limit(const struct spool *s);

#endif
