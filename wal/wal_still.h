/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_still - is a page of the database file still what SQLite last wrote there?
 *
 * SQLite writes to the database file only in a checkpoint, and only pages that the log has.  So a page is *settled*
 * when the log has no frame of it, or a checkpoint is through with the newest one (frame <= nBackfill): nobody writes
 * it before another commit has changed it.
 *
 *     wal_still_read(r, first, count, pages, err)        any time
 *     wal_still_settled(r, pgno)                         whose hash is not the one at the reader's position?
 *     wal_still_prove(r, pgno, page, &what, err)         then this decides
 *
 * A hash that agrees says all there is to say, whenever the page was read.  One that does not may have three innocent
 * reasons: the checkpoint has still to write the page; it has written a commit that the reader has not delivered yet;
 * or the page was read while it was being written.  A proof rules them out.  It is made with the gate held (no reset)
 * and pinned (no checkpoint copies anything, wal_gate.h), the page settled, and the reader at the end of the log before
 * and after the read.  What is read then was in the file when everything that is committed had been delivered: it is
 * the page's state at the reader's position, or it is damaged.
 *
 * In the lane of whoever resets the log, like the reader.
 */
#ifndef WAL_STILL_H
#define WAL_STILL_H

#include "wal_reader.h"

/* Pages of the database file, from the disk where the system can be talked into it; zeros beyond its end.  A sector
 * that cannot be read is E_IO with EIO. */
MUST_USE struct rc wal_still_read(
    struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err);

bool wal_still_settled(const struct wal_reader *r, uint32_t pgno);

enum wal_still {
    WAL_STILL_MOVING,     /* nothing can be said in this moment: try again */
    WAL_STILL_READ,       /* `page` is what stands there although it should be the state at the reader's position */
    WAL_STILL_UNREADABLE, /* the disk gives no answer (EIO) */
};
MUST_USE struct rc wal_still_prove(
    struct wal_reader *r, uint32_t pgno, uint8_t *page, enum wal_still *what, struct err *err);

#endif
