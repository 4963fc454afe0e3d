/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_file - one object of a store from and to a local file, in bounded memory: for plain database files, which are
 * not part of a history.
 *
 * Runs in a job thread: blocking.
 */
#ifndef OBJECT_FILE_H
#define OBJECT_FILE_H

#include "fsys.h"
#include "work.h"

struct object_file {
    struct work *work;
    struct store *store;
    const struct fsys *fs;
    const char *key, *path;
    /* Now and then, in bytes; may be NULL. */
    void (*on_progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *ctx;
};

/* Is the object there?  How large is it? */
MUST_USE struct rc object_file_look(const struct object_file *o, bool *there, uint64_t *size, struct err *err);
/* Into a new file.  E_NOTFOUND; E_BUSY when the object was replaced meanwhile: what was read so far and what comes then
 * do not belong together. */
MUST_USE struct rc object_file_get(const struct object_file *o, struct err *err);
/*
 * From a file.  The object appears whole or not at all.  E_EXISTS when it is there and `replace` is not set; where a
 * store cannot make that certain, it is a look just before.
 */
MUST_USE struct rc object_file_put(const struct object_file *o, bool replace, struct err *err);

#endif
