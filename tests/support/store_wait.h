/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_wait - for tests: a store on a loop of its own, requests that wait for their answer, and scratch directories.
 *
 *     store_wait_open(&w, &fsys_real, root);
 *     rc = store_wait_put(&w, "a/b", "text", true, &err);
 *     store_wait_close(&w);                           stops the store; nothing may be left on the loop
 */
#ifndef STORE_WAIT_H
#define STORE_WAIT_H

#include "fsys.h"
#include "store.h"

struct store_wait {
    uv_loop_t loop;
    struct store *store;
};

enum { STORE_WAIT_PATH_SIZE = 64 };

/* A directory store; the directory is not made.  Aborts on failure, as do all functions here that return nothing. */
void store_wait_open(struct store_wait *w, const struct fsys *fs, const char *root);
void store_wait_close(struct store_wait *w);
/* Stop the store and run the loop until it has gone. */
void store_wait_stop(uv_loop_t *loop, struct store *s);
/* The same, and close the loop, on which nothing may be left. */
void store_wait_end(uv_loop_t *loop, struct store *s);

/* The same for what the loop's stores share. */
void store_wait_stop_env(uv_loop_t *loop, struct store_env *env);

/* Submit and run the loop until the answer is there. */
MUST_USE struct rc store_wait_run(uv_loop_t *loop, struct store *s, struct store_req *req, struct err *err);

MUST_USE struct rc store_wait_put(
    struct store_wait *w, const char *key, const char *text, bool create_only, struct err *err);
/* Appends to `out`, which the caller has initialized. */
MUST_USE struct rc store_wait_get(struct store_wait *w, const char *key, struct buf *out, struct err *err);
MUST_USE struct rc store_wait_delete(struct store_wait *w, const char *key, struct err *err);

/* How many temporary files the store in a directory has. */
unsigned store_wait_temps(const char *root);

/* A new empty directory: below $WEIR_TEST_TMP, or in memory. */
void store_wait_scratch(char out[STORE_WAIT_PATH_SIZE]);
/* Remove it with all that is in it. */
void store_wait_unscratch(const char *path);

#endif
