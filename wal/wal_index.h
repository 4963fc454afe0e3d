/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_index - the first 136 bytes of the `-shm` file, mapped (sqlite.org/walformat.html, "The WAL-Index File Format").
 *
 *     0    48  the header, first copy            96   4  nBackfill: frames already copied into the database
 *     48   48  the header, second copy           100  20 the five read marks
 *
 * The two header copies are written one after the other, so equal copies are a consistent header.  Fields are in the
 * host's byte order, except the salts, which are as in the WAL file.
 */
#ifndef WAL_INDEX_H
#define WAL_INDEX_H

#include "rc.h"

#include <stdint.h>

enum {
    WAL_INDEX_REGION_SIZE = 32768, /* what xShmMap maps at a time */
    WAL_INDEX_READ_MARK_COUNT = 5,
    /* Lock numbers for xShmLock. */
    WAL_INDEX_LOCK_WRITE = 0,
    WAL_INDEX_LOCK_CKPT = 1,
    WAL_INDEX_LOCK_RECOVER = 2,
    WAL_INDEX_LOCK_READ0 = 3,
    WAL_INDEX_GATE_SLOT = 4, /* the read slot whose lock is the gate */
};
#define WAL_INDEX_MARK_UNUSED 0xffffffffu

struct wal_index_header {
    uint32_t change_count; /* iChange: raised by one at every commit, kept across resets */
    uint32_t page_size;
    uint32_t max_frame;  /* mxFrame: frames that are committed; 0: nothing in the log */
    uint32_t page_count; /* of the database after the last commit */
    uint32_t frame_cksum[2];
    uint32_t salt[2]; /* as in the WAL header (host order after decoding) */
    bool big_endian;  /* word order of the WAL's checksums */
};

/* False when no consistent header could be read: a writer is at work in this moment for longer than some tries, or the
 * index is not initialised (recovery is due: any read through SQLite does it). */
bool wal_index_read(const volatile void *shm, struct wal_index_header *out);
/* Publish: what readers that begin from now on see.  Only for whoever holds the write lock.  The second copy is written
 * first, so that whoever dies in between leaves two that differ, and SQLite recovers the index from the log. */
void wal_index_write(volatile void *shm, const struct wal_index_header *h);

uint32_t wal_index_backfilled(const volatile void *shm);
uint32_t wal_index_read_mark(const volatile void *shm, unsigned slot);
void wal_index_set_read_mark(volatile void *shm, unsigned slot, uint32_t mark);

#endif
