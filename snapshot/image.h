/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image - the database file that a restore is building: pages written to a temporary file beside the target, each one's
 * hash kept, so that the state checksum is known at any moment, and published by rename only when it was proven.
 *
 *     image_create(&im, fs, target, page_size, page_count, err)
 *     image_keep(im, pgno, hash, err)                      is in the file already: image_create_over(), image_clone()
 *     image_put(im, pgno, pages, count, err)               from any thread, as long as no two write the same page
 *     image_read / image_write / image_resize              one thread: applying segments
 *     image_checksum(im)
 *     image_verify(im, err)                                read back and compared
 *     image_sync(im, err)                                  data on disk
 *     image_publish(im, err)                               rename over the target, directory synced
 *     image_free(im)                                       removes the temporary file unless it was published
 *
 * The temporary file is `<target>.weir-tmp-<16 hex digits>`; its descriptor is locked (flock), so a later restore can
 * tell one left over from a crash from one in use, and removes the former.  Pages never written are zeros (the lock
 * page).  The file gets the permission bits of the target that it will replace, as far as the umask lets it, and 0600
 * when there is none.
 *
 * Speed: one pwrite for each image_put, so long runs are cheaper than single pages; pages are hashed just before, while
 * the processor's cache holds them.  Space is reserved at the begin, so a disk that is too small is found out before
 * anything was fetched.  The kernel is told to write back what is complete, so that the sync at the end is short.
 *
 * Failures: a page number that the image cannot have is E_CORRUPT, because it comes from a stored object.  After a
 * failed write or sync the image is only good to be freed: an fsync that is tried again may succeed without the data.
 *
 * With image_verify_early() most pages are read back while others are still being fetched, each stretch as soon as it
 * is complete and while the page cache holds it; image_verify() then looks at the rest, and at what was written again.
 *
 * Memory: 8 bytes a page.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include "image_left.h"
#include "page_hash.h"

struct image;

/* Also removes what restores of this target that crashed have left, as far as that can be done. */
MUST_USE struct rc image_create(struct image **out, const struct fsys *fs, const char *target, uint32_t page_size,
    uint32_t page_count, struct err *err);
/* The same in the file that an earlier restore left, which is taken from `left` in any case but E_NOMEM and E_CORRUPT.
 * Pages hold what they held, and count only once image_keep() or a write says so. */
MUST_USE struct rc image_create_over(struct image **out, const char *target, struct image_left *left,
    uint32_t page_size, uint32_t page_count, struct err *err);
/* Let the image share the blocks of this file, if the file system can (*cloned); then it is as with
 * image_create_over().  Before any page is written. */
MUST_USE struct rc image_clone(struct image *im, int from, bool *cloned, struct err *err);
void image_free(struct image *im);
void image_freep(struct image **im);

/* Write `count` pages, one after the other in the file and in memory.  The lock page cannot be among them. */
MUST_USE struct rc image_put(
    struct image *im, uint32_t first_pgno, const uint8_t *pages, uint32_t count, struct err *err);

/* The file has this page already, and its bytes were seen to have this hash.  One thread. */
MUST_USE struct rc image_keep(struct image *im, uint32_t pgno, uint64_t hash, struct err *err);

/* Read a page as it is now; E_CORRUPT when its bytes are not the ones that were written. */
MUST_USE struct rc image_read(struct image *im, uint32_t pgno, uint8_t *page, struct err *err);
MUST_USE struct rc image_write(struct image *im, uint32_t pgno, const uint8_t *page, struct err *err);
/* New pages are zeros until they are written. */
MUST_USE struct rc image_resize(struct image *im, uint32_t page_count, struct err *err);

uint32_t image_page_count(const struct image *im);
/* XOR of the hashes of all pages written so far.  Not while image_put() runs in other threads. */
uint64_t image_checksum(const struct image *im);
const char *image_temp_path(const struct image *im);
/* Once, before the first page is written. */
MUST_USE struct rc image_verify_early(struct image *im, struct err *err);
/* Read every page back from the file, unless it was since it was written last, and compare with the hashes.  E_CORRUPT
 * names the first page that differs. */
MUST_USE struct rc image_verify(struct image *im, struct err *err);
/* A page-hash index of the present state, for the local state that goes with a restored file. */
MUST_USE struct rc image_hashes(const struct image *im, struct page_hash *out, struct err *err);

/* image_free() leaves the temporary file for a later restore (image_left.h); with a note when it holds a whole state.
 */
MUST_USE struct rc image_leave(struct image *im, const struct image_left_note *note, struct err *err);

MUST_USE struct rc image_sync(struct image *im, struct err *err);
/* Syncs first what was written since the last image_sync().  When only the directory could not be synced, the target is
 * already the new file, and a power cut may bring back the old one. */
MUST_USE struct rc image_publish(struct image *im, struct err *err);
/* The target is the new file. */
bool image_is_published(const struct image *im);
/* The same where nothing may be replaced: E_EXISTS when a file is there by now, which stays as it is. */
MUST_USE struct rc image_publish_new(struct image *im, struct err *err);

#endif
