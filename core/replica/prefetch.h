/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch - a row of objects, fetched ahead and handed out in order.
 *
 *     p = prefetch_new(w, s, count, describe, ctx)
 *     prefetch_take(p, &bytes, err)                  count times, or fewer
 *     prefetch_free(p)                               waits for what is still under way
 *
 * Requests are submitted in batches, so that the loop thread is woken once for many small objects.
 *
 * Limits: at most PREFETCH_SLOTS objects and PREFETCH_BYTES expected bytes (or one object) are fetched or waiting.
 *
 * Threads: one job's thread.
 */
#ifndef PREFETCH_H
#define PREFETCH_H

#include "layout.h"
#include "work.h"

enum { PREFETCH_SLOTS = 64, PREFETCH_BYTES = 32 << 20 };

/* Key and expected size of object `i`. */
typedef uint64_t (*prefetch_describe_fn)(void *ctx, size_t i, layout_text key);

struct prefetch;
struct prefetch *prefetch_new(struct work *w, struct store *s, size_t count, prefetch_describe_fn describe, void *ctx);
/* The next object, owned by the caller.  Its failure concerns only this object: the next ones can still be taken. */
MUST_USE struct rc prefetch_take(struct prefetch *p, struct buf *bytes, struct err *err);
void prefetch_free(struct prefetch *p);
void prefetch_freep(struct prefetch **p);

#endif
