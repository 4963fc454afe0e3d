/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_snap - a snapshot of a live database: all pages at one txid, copied while writes go on, without holding back
 * checkpoints and without a copy on the local disk.
 *
 * The pages are read in groups in the database's lane, compressed in all lanes, and uploaded part by part.  Pages that
 * commits change meanwhile are noted and read again, in rounds that get shorter, the last few in one step in which
 * nothing is captured.  Each page counts only if its hash is the one in the page-hash index, so the XOR of the
 * snapshot's pages is the state checksum at its txid; a page that never agrees although no commit changed it is a
 * corrupt database, and named.  Writers who outrun the rounds are met by db_freeze.h.  The segment that is open at that
 * moment ends there, so that a restore can go on behind the snapshot.
 *
 * The first snapshot of a history works the same way, but makes the index while it copies.  A merge works the same way
 * from the changed pages on: those whose hash differs from a base's are noted as changed at the begin.
 *
 * Runs in a job thread: blocking.
 */
#ifndef DB_SNAP_H
#define DB_SNAP_H

#include "db_live.h"
#include "merge_base.h"
#include "snap.h"
#include "work.h"

#include <stdatomic.h>

struct db_snap {
    struct work *work;
    struct store *store;
    struct db_live *live;
    int lane;                /* the database's, while its actor uses it; -1: the job has the database to itself */
    bool first;              /* make the index too */
    const atomic_bool *stop; /* set by the loop thread: give up with E_CANCELED; may be NULL */
    const char *dir;         /* of the local state: the index is staged there (merge_base.h); NULL: it is not */
    /* A merge; level 0: a snapshot. */
    unsigned level;
    const struct page_hash *base; /* borrowed */
    uint64_t base_txid;

    /* Out. */
    struct snap_meta meta;
    uint64_t stored_bytes;
    uint64_t entries_hash;                        /* of the index that was staged */
    uint32_t stuck_page;                          /* that did not agree in the last round; 0: none */
    struct err stage_err;                         /* code E_OK: it was */
    atomic_uint_fast64_t pages_done, pages_total; /* progress; the loop may look at any time */
};

/* Pages of the state that differ from the base, as it is now.  Not in the database's lane. */
uint32_t db_snap_count(struct db_snap *s);
/* With `first`, `next_txid` is the snapshot's txid (the state gets it afterwards, by wal_capture_fold). */
MUST_USE struct rc db_snap_run(struct db_snap *s, uint64_t next_txid, struct err *err);

#endif
