/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload - one large object, written as a stream: it appears whole at the end, or not at all.
 *
 *     upload_open(&u, w, s, &opts, err)
 *     upload_put(u, bytes, n, err)  ...           or, without a copy: append to upload_tail(u), then upload_pass(u,
 * err) upload_finish(u, key, create_only, err)     the key may be another one, unless it was said to be final
 *     upload_free(u)                              what was not finished is taken back
 *
 * While a part is filled, the ones before it are on their way: whoever makes the bytes waits only when all are.  A part
 * that failed is told by a later call, at the latest by upload_finish().
 *
 * Memory: so many parts as there may be, as large as the store wants them, and what is appended to the tail behind the
 * end of a part.
 *
 * Runs in a job thread: blocking.
 */
#ifndef UPLOAD_H
#define UPLOAD_H

#include "layout.h"
#include "work.h"

enum {
    UPLOAD_PARTS = 3,          /* in memory: side by side on their way, or one of them being filled */
    UPLOAD_TAIL_MAX = 64 << 20 /* what may be appended behind a full part before it is passed on */
};

struct upload_opts {
    const char *key;
    bool key_final;    /* it is the one that the object will have */
    uint64_t expected; /* see struct store_req */
    size_t parts;      /* 2 to UPLOAD_PARTS; 0: that */
};

struct upload;
MUST_USE struct rc upload_open(
    struct upload **out, struct work *w, struct store *s, const struct upload_opts *opts, struct err *err);
MUST_USE struct rc upload_put(struct upload *u, const void *data, size_t n, struct err *err);
/* What comes next is appended here, and stays at most until upload_pass(). */
struct buf *upload_tail(struct upload *u);
/* Send what is full. */
MUST_USE struct rc upload_pass(struct upload *u, struct err *err);
/* E_EXISTS with `create_only`: the key is taken.  After another failure the object may be there, whole. */
MUST_USE struct rc upload_finish(struct upload *u, const char *key, bool create_only, struct err *err);
/* Bytes given so far. */
uint64_t upload_size(const struct upload *u);
/* Fine on NULL. */
void upload_free(struct upload *u);
void upload_freep(struct upload **u);

#endif
