/* SPDX-License-Identifier: Apache-2.0 */
/* verify_fold - folds: which of them readers go by, what is in them, and what they make superfluous. */
#ifndef VERIFY_FOLD_H
#define VERIFY_FOLD_H

#include "fold.h"
#include "verify_intern.h"

/* The route through a timeline's own log, as readers take it without the folds that are lost.  *steps is to be freed
 * with mem_free. */
MUST_USE struct rc verify_fold_route(
    const struct verify_work *t, struct catalog_step **steps, size_t *count, struct err *err);

/* A fold's table and all of its segments, each by itself.  *out is to be freed with fold_fini. */
MUST_USE struct rc verify_fold_check(
    struct span object, const struct catalog_step *step, struct fold *out, struct err *err);
/* One of its segments; `zstd` is borrowed for as long as it is open. */
MUST_USE struct rc verify_fold_open(struct span object, const struct fold *f, const struct fold_row *row,
    struct zstr_dec *zstd, struct catalog_object *out, struct err *err);

void verify_fold_judged(struct verify_work *t, const struct catalog_step *step);
void verify_fold_lose(struct verify_work *t, const struct catalog_step *step);

/* Objects that no reader looks at because a fold stands for them: still there, and whole? */
MUST_USE struct rc verify_fold_rest(struct verify_job *j, struct verify_work *t, struct err *err);

#endif
