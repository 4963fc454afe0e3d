/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_table - the hash tables of the WAL index: which frame of the present log has the newest image of a page
 * (sqlite.org/walformat.html, "WAL-Index Hash Table").
 *
 * The `-shm` file is a row of regions of 32 KiB.  Each has the page numbers of 4,096 frames (the first one of 4,062,
 * because the header stands before them) and a table of 8,192 slots of 16 bits, which leads from a page number to the
 * frames of this region that have it.  Readers look entries up while a writer adds some: those behind the mxFrame that
 * a reader knows do not count for it.
 *
 * Only the holder of the write lock may add or cut.  What a writer that died has left behind mxFrame is cut before
 * anything is added.
 *
 * Threads: those of the wal_conn.  Memory: a pointer for each region.
 */
#ifndef WAL_TABLE_H
#define WAL_TABLE_H

#include "wal_conn.h"

struct wal_table;

struct wal_table *wal_table_new(struct wal_conn *conn); /* the connection is borrowed */
void wal_table_free(struct wal_table *t);

/* The newest frame of the page among the first `limit` ones; 0: none.  E_CORRUPT for a table that leads in a circle. */
MUST_USE struct rc wal_table_find(struct wal_table *t, uint32_t pgno, uint32_t limit, uint32_t *frame, struct err *err);
/* Note that `frame`, which is one behind the last one, has this page. */
MUST_USE struct rc wal_table_add(struct wal_table *t, uint32_t frame, uint32_t pgno, struct err *err);
/* Forget what stands behind frame `limit` in its region; later regions are cleared when they are begun. */
MUST_USE struct rc wal_table_cut(struct wal_table *t, uint32_t limit, struct err *err);

#endif
