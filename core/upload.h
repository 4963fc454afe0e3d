/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload - one large object, written as a stream: it appears whole at the end, or not at all.
 *
 *     upload_open(&u, w, s, key, true, err)
 *     upload_put(u, bytes, n, err)  ...
 *     upload_finish(u, key, create_only, err)
 *     upload_free(u)                              what was not finished is taken back
 *
 * Memory: UPLOAD_PARTS parts of the store's size.
 *
 * Runs in a job thread: blocking.
 */
#ifndef UPLOAD_H
#define UPLOAD_H

#include "layout.h"
#include "work.h"

enum { UPLOAD_PARTS = 3 }; /* side by side */

struct upload;
/* `key_final`: it is the one that the object will have. */
MUST_USE struct rc upload_open(
    struct upload **out, struct work *w, struct store *s, const char *key, bool key_final, struct err *err);
MUST_USE struct rc upload_put(struct upload *u, const void *data, size_t n, struct err *err);
/* E_EXISTS with `create_only`: the key is taken.  After another failure the object may be there, whole. */
MUST_USE struct rc upload_finish(struct upload *u, const char *key, bool create_only, struct err *err);
uint64_t upload_size(const struct upload *u);
void upload_free(struct upload *u);
void upload_freep(struct upload **u);

#endif
