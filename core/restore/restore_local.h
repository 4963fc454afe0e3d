/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_local - a file on this machine that may have pages of the state that is being restored: what an earlier
 * restore left, or the database that is to be replaced.  Every page is known by its hash, and read again only with
 * that hash, so nobody has to keep the file still.
 *
 *     l.path, l.fd and l.size are set by the owner; fd < 0: there is no file
 *     restore_local_hash(&l, page_size, err)
 *     l.hashes[pgno - 1], restore_local_checksum(&l, page_count)
 *     restore_local_read(&l, first, count, pages, &same, err)
 *     restore_local_fini(&l)
 *
 * Memory: 8 bytes a page.  The file is read once for each page size that is asked for.
 */
#ifndef RESTORE_LOCAL_H
#define RESTORE_LOCAL_H

#include "fsys.h"

struct restore_local {
    const struct fsys *fs; /* borrowed */
    char *path;            /* owned; for messages */
    int fd;                /* the owner's */
    uint64_t size;
    bool in_image; /* its bytes are those of the image's file */

    uint32_t page_size;  /* of the hashes; 0: there are none yet */
    uint32_t page_count; /* whole pages */
    uint64_t *hashes;    /* owned; 0: the lock page */
};

/* A file that cannot be read any further counts as if it ended there. */
MUST_USE struct rc restore_local_hash(struct restore_local *l, uint32_t page_size, struct err *err);
/* Of the first `page_count` pages; 0 when it has fewer. */
uint64_t restore_local_checksum(const struct restore_local *l, uint32_t page_count);
/* *same: the pages still have their hashes; false, too, when they cannot be read. */
void restore_local_read(const struct restore_local *l, uint32_t first, uint32_t count, uint8_t *pages, bool *same);
void restore_local_fini(struct restore_local *l);

#endif
