/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_batch - many calls of one kind, a few at a time.
 *
 * The first failure is kept; with `stop_early` nothing more is begun after it.  on_done is called when all that were
 * begun have come back, on the loop thread, never from inside store_s3_batch_run().
 */
#ifndef STORE_S3_BATCH_H
#define STORE_S3_BATCH_H

#include "store_s3_intern.h"

enum { STORE_S3_BATCH_WINDOW = 8 };

struct s3_batch {
    struct s3_store *store;
    size_t count; /* at least 1 */
    bool stop_early;
    void (*prepare)(struct s3_batch *b, size_t i, struct s3_call *call);
    /* The call came back; also when it failed. */
    MUST_USE struct rc (*take)(struct s3_batch *b, size_t i, struct s3_call *call, struct err *err);
    void (*on_done)(struct s3_batch *b);
    void *ctx;

    struct err err; /* the first failure, or code E_OK */

    /* Its own. */
    size_t next, in_flight;
};

/* The struct must live until on_done. */
void store_s3_batch_run(struct s3_batch *b);

#endif
