/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_fold - the actor's side of folds: shipped segments are kept (core/fold_keep), put into folds in the background,
 * and deleted once a fold stands for them.
 *
 * Files are the lane's: at the end of each step it takes in what was shipped since, and prepares the next object or
 * deletion, if one is due.  The loop sends it, one request at a time, and tells the next step what became of it.
 *
 * Nothing here is urgent: while uploads fail or wait there are no folds, and what fails is tried again much later.
 * Where deletion is not allowed it is tried once per process.
 */
#ifndef DB_FOLD_H
#define DB_FOLD_H

#include "backoff.h"
#include "db_live.h"
#include "fold_keep.h"
#include "store.h"

struct db;

enum { DB_FOLD_DELETE_MAX = STORE_LIST_MAX };

enum db_fold_answer {
    DB_FOLD_NONE,
    DB_FOLD_STORED,
    DB_FOLD_TAKEN, /* by another object */
    DB_FOLD_DELETED,
    DB_FOLD_FORBIDDEN, /* to delete */
    DB_FOLD_FAILED,
};

struct db_fold {
    /* The lane's, while a step is under way; and between steps nobody's. */
    struct fold_keep *keep; /* owned; NULL: not open */
    uint32_t timeline;      /* of `keep` */
    bool failed;
    struct err error; /* why */

    /* From the loop to the lane. */
    bool may_begin;
    uint64_t tip_txid;          /* of the last segment that was shipped */
    enum db_fold_answer answer; /* about `next` or `keys` */

    /* From the lane to the loop. */
    struct fold_keep_next next; /* to be stored: level 0: nothing */
    layout_text *keys;          /* owned; to be deleted */
    const char **key_list;      /* owned; points into them */
    size_t key_count;
    uint64_t first_txid; /* fold_keep_first_txid() */

    /* Loop. */
    struct store_req req;
    bool in_flight, told_forbidden;
    bool off; /* it failed, until `off_ms` or the next start */
    uint64_t off_ms;
    bool again;              /* this step is another try after that */
    enum db_fold_answer got; /* for the next step */
    struct backoff backoff;
    uint64_t retry_ms;

    /* Published. */
    struct err trouble; /* folds are not made, and why; code E_OK: they are */
    uint64_t fold_count, folded_bytes, deleted_count;
};

/* Should a segment that was shipped keep its bytes for the next step? */
bool db_fold_wants(const struct db *db, const struct db_segment *s);
/* Around a step; and in the lane, at its end. */
void db_fold_before(struct db *db);
void db_fold_in_lane(struct db *db);
void db_fold_after(struct db *db);
/* A start has come to its end. */
void db_fold_started(struct db *db);
/* No step comes any more. */
void db_fold_close(struct db *db);

#endif
