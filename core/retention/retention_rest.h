/* SPDX-License-Identifier: Apache-2.0 */
/* retention_rest - what follows from the marks of retention_keep: what may go, the holes that this leaves, and the
 * catalog without it (core/retention). */
#ifndef RETENTION_REST_H
#define RETENTION_REST_H

#include "retention_keep.h"

/*
 * Fills out->drops and out->ranges.  Segments and folds that a larger fold has go too, on the newest timeline only
 * those that the fold up to `folded_to` has: the others are young, and somebody may be about to read or to write them.
 */
MUST_USE struct rc retention_rest_find(
    struct retention_keep *k, uint64_t folded_to, struct retention *out, struct err *err);
MUST_USE struct rc retention_rest_drop(
    struct retention *out, const struct layout_key *key, uint64_t size, enum retention_reason reason, struct err *err);
/* The catalog of what is kept, with the ranges of `r`.  catalog_free() frees it. */
MUST_USE struct rc retention_rest_view(
    struct catalog **out, const struct retention_keep *k, const struct retention *r, struct err *err);

#endif
