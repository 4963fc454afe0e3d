/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_image - images of pages, as a wal_reader has followed the log: the newest one of a page, the one before a commit,
 * the state of a range of pages now.
 *
 * Nothing here moves the reader.  What is not in its last batch is read from the log or from the database file again.
 *
 * Errors: E_IO (a read failed, or the log was cut meanwhile), E_BUSY (the page map is incomplete).
 */
#ifndef WAL_IMAGE_H
#define WAL_IMAGE_H

#include "wal_reader.h"

/* The image in `frame` of the present generation, or, with frame 0, page `pgno` of the database file (zeros beyond its
 * end). It is whatever stands there now: compare its hash. */
MUST_USE struct rc wal_image_fetch(struct wal_reader *r, uint32_t frame, uint32_t pgno, uint8_t *page, struct err *err);

/* Pages first .. first+count-1 as the database file has them, whatever the log has; zeros beyond its end. */
MUST_USE struct rc wal_image_in_file(
    struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err);

/* The newest frame of the page at or before `until`, a frame of the last batch that ends a commit; 0: none. */
uint32_t wal_image_newest(const struct wal_reader *r, uint32_t pgno, uint32_t until);

/*
 * Pages first .. first+count-1 in their state at the reader's position: from the log where it has them, else from the
 * database file.  A page that was read from the file may already hold a commit that the reader has not delivered yet (a
 * checkpoint was faster); that commit is in the log, so whoever reads on to the end of the log meets the page again.
 * E_BUSY when the page map is incomplete: wait for a reset.
 */
MUST_USE struct rc wal_image_current(
    struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err);

#endif
