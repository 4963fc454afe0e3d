/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest_place - where the scratch replica of `weir selftest` is: a new place below the replica's, with nothing in
 * it, and nothing left of it afterwards.
 *
 * Nothing outside of that place is ever written, read or removed; and nothing in it is removed unless it was found
 * empty before.
 */
#ifndef SELFTEST_PLACE_H
#define SELFTEST_PLACE_H

#include "fsys.h"
#include "work.h"

/* `url` with a last part of its path more, in front of its options.  E_CONFIG: nothing can be written there. */
MUST_USE struct rc selftest_place_url(const char *url, const char *name, char **out, struct err *err);
/* The URL of a local folder. */
char *selftest_place_folder_url(const char *path);

/* Job: E_EXISTS when there is anything in it. */
MUST_USE struct rc selftest_place_check_empty(struct work *w, struct store *s, struct err *err);
/* Job: remove all objects, also what unfinished uploads left; how many there were.  What cannot be removed is left. */
MUST_USE struct rc selftest_place_empty(struct work *w, struct store *s, uint64_t *removed, struct err *err);
/* How many objects there still are, at most one listing's. */
MUST_USE struct rc selftest_place_left(struct work *w, struct store *s, size_t *left, struct err *err);

/* The nearest folder above `path` that is there; mem_free'd. */
char *selftest_place_above(const struct fsys *fs, const char *path);
/* Remove a folder with all that is in it, and then the empty ones above it, up to `above`, which stays.  A folder that
 * is not there is removed already. */
MUST_USE struct rc selftest_place_remove_folder(
    const struct fsys *fs, const char *path, const char *above, struct err *err);

#endif
