/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir_put - durable writes of the directory store: directories, temporary files, and giving a file its name.
 *
 * All run in a thread of the pool.  For the order of things and why, see docs/format.md, "Objects in a directory".
 */
#ifndef STORE_DIR_PUT_H
#define STORE_DIR_PUT_H

#include "store_dir_intern.h"

/* The request's verb. */
MUST_USE struct rc store_dir_put_object(struct dir_work *w, struct err *err);

/* Make a temporary file with a new random name that begins with `kind`. */
MUST_USE struct rc store_dir_put_temp(
    struct dir_work *w, char kind, char name[STORE_DIR_NAME_SIZE], int *fd, struct err *err);
/* Give the temporary file, whose content is durable, its key, for good.  `moved` tells whether the temporary name is
 * gone, also on failure. */
MUST_USE struct rc store_dir_put_name(struct dir_work *w, const char *name, bool *moved, struct err *err);
/* Remove it; a failure is left to the next sweep. */
void store_dir_put_discard(struct store_dir *d, const char *name);

void store_dir_put_forget(struct store_dir *d);

/* An object with this key is there; or is about to be removed by us.  Of the first one directly in the replica's
 * directory every later write makes sure that it still is. */
void store_dir_put_keep(struct store_dir *d, const char *key);
void store_dir_put_let_go(struct store_dir *d, const char *key);

#endif
