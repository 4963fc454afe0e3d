/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_place - where the local state of a database is: beside it, or in a folder of its own below another (the key
 * state-dir).
 *
 * A place is a matter of the path alone, so every process finds it that has the same setting.
 */
#ifndef LOCAL_PLACE_H
#define LOCAL_PLACE_H

#include "fsys.h"

enum { LOCAL_PLACE_BASE_MAX = 160 }; /* bytes of a `base`, so that a control socket below it can be announced */

/*
 * Where the state of a database is: `<path>-weir`, or, when `base` is not NULL (the key state-dir), in a folder of its
 * own below that: `<base>/<name>-<hash of the absolute path>-weir`.  Links in the path make no difference.  mem_free'd.
 */
char *local_place_dir(const char *database_path, const char *base);
/* Make `base` if it is missing, but nothing above it: that may be a disk that is not mounted.  NULL: nothing to do. */
MUST_USE struct rc local_place_make_base(const struct fsys *fs, const char *base, struct err *err);

#endif
