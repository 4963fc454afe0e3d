/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog_read - the segments of a route, wherever their bytes are: objects of their own, or folds.
 *
 *     r = catalog_read_new(w, s, steps, count)
 *     catalog_read_next(r, &object, &step, &end, err)     each segment in order, until `end`
 *     catalog_read_free(r)                                waits for what is still under way
 *
 * Objects are fetched ahead, each once: a fold is held while its segments are handed out.
 *
 * A segment that was listed a while ago may have been folded and deleted meanwhile.  So what is not there is looked for
 * in the folds before it counts as missing.
 *
 * Threads: one job's thread.
 */
#ifndef CATALOG_READ_H
#define CATALOG_READ_H

#include "catalog.h"

struct catalog_read;
/* `steps` is borrowed; each is a whole object. */
struct catalog_read *catalog_read_new(struct work *w, struct store *s, const struct catalog_step *steps, size_t count);
/* The next segment or seal, owned by the caller and to be closed before the reader, and the step that it belongs to. Of
 * a fold: those that hold txids of its step; the first may begin before them. */
MUST_USE struct rc catalog_read_next(
    struct catalog_read *r, struct catalog_object *out, size_t *step, bool *end, struct err *err);
/* So far. */
size_t catalog_read_objects(const struct catalog_read *r);
uint64_t catalog_read_bytes(const struct catalog_read *r);
void catalog_read_free(struct catalog_read *r);
void catalog_read_freep(struct catalog_read **r);

/* The segment (or seal) of this step that holds `txid`.  Of a large fold only what is needed is fetched. */
MUST_USE struct rc catalog_read_one(struct catalog_object *out, struct work *w, struct store *s,
    const struct catalog_step *step, uint64_t txid, struct err *err);

/* A fold's step as steps of single segments, from its table.  *out is to be freed with mem_free. */
MUST_USE struct rc catalog_read_expand(struct work *w, struct store *s, const struct catalog_step *step,
    struct catalog_step **out, size_t *count, struct err *err);

#endif
