/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_left - temporary files that restores of a target left beside it: found again, told from those in use, and taken
 * over, so that the next restore goes on with what they hold.
 *
 *     image_left_create(fs, target, &file, err)          the beginning of all of them
 *     image_left_take(fs, target, &left)                 the newest that nobody uses; left.fd < 0: there is none
 *     image_left_read_note(&left, &note, &found, err)    which state it says that it holds, if any
 *     image_create_over(&im, ..., &left, ...)            the image is built in it (image.h)
 *     image_left_fini(&left)                             gives it free again; the file stays
 *     image_left_clean(fs, target)                       removes all that nobody uses
 *
 * The descriptor is locked (flock) by whoever uses the file.  Nothing that is in such a file is trusted: it may be from
 * a power cut, of another history, or made by somebody else.  A file that is neither ours nor the
 * target's owner's, or has other names too, is not taken at all: what it becomes could be written to from elsewhere.
 *
 * The note stands behind the pages, is written by a restore that ends before its time, between two commits, and is only
 * a hint: 64 bytes, little-endian.
 *
 *     0   8  "weir-lft"           32  4  timeline
 *     8   4  version: 1           36  4  pages
 *     12  4  page size            40  8  txid
 *     16  16 id of the history    48  8  state checksum
 *                                 56  8  XXH3-64 of bytes 0..55
 */
#ifndef IMAGE_LEFT_H
#define IMAGE_LEFT_H

#include "fsys.h"
#include "pos.h"

#define IMAGE_LEFT_MARK ".weir-tmp-"
enum { IMAGE_LEFT_DIGITS = 16, IMAGE_LEFT_NOTE_SIZE = 64 };

struct image_left {
    const struct fsys *fs; /* borrowed */
    char *path;            /* owned */
    int fd;
    uint64_t size;
};

struct image_left_note {
    struct nonce database;
    uint32_t timeline;
    uint64_t txid, checksum;
    uint32_t page_size, page_count;
};

/* A new one, with a name of its own and locked, for the owner only. */
MUST_USE struct rc image_left_create(
    const struct fsys *fs, const char *target, struct image_left *out, struct err *err);
/* As far as it can be done: without one the restore just begins anew. */
void image_left_take(const struct fsys *fs, const char *target, struct image_left *out);
void image_left_fini(struct image_left *left);
/* As far as it can be done: rubbish that stays is no reason not to restore. */
void image_left_clean(const struct fsys *fs, const char *target);

MUST_USE struct rc image_left_read_note(
    const struct image_left *left, struct image_left_note *out, bool *found, struct err *err);
/* Into `bytes`, which has IMAGE_LEFT_NOTE_SIZE. */
void image_left_put_note(const struct image_left_note *note, uint8_t *bytes);

#endif
