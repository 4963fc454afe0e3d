/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_scrub - when a database's actor looks whether the live file still holds what was committed (scrub.h): a few pages
 * at a time, so that each is read once per interval; and what comes of it, which a damaged page keeps until it is
 * right.
 *
 * The pages are read at the end of the steps that the actor takes anyway, when the log has been read to its end; while
 * commits come in faster than they can be read it waits.  A parked database is not read.
 */
#ifndef DB_SCRUB_H
#define DB_SCRUB_H

#include "scrub.h"

struct db;

enum { DB_SCRUB_SHOWN_MAX = 100 };

/* What others may look at while a step is under way. */
struct db_scrub_view {
    uint64_t next;                                   /* page that the pass goes on with */
    int64_t passed_ms;                               /* the last one that came to its end; 0: none has */
    uint64_t passed_pages;                           /* of the database then */
    uint64_t damaged;                                /* pages */
    uint32_t shown[DB_SCRUB_SHOWN_MAX], shown_count; /* the first of them */
    uint64_t found_txid;                             /* of the first */
    int64_t found_ms;
};

struct db_scrub {
    struct scrub scrub; /* the lane's while a step is under way */
    struct scrub_step step;
    bool may; /* it may be this step's turn */
    bool recalled, begun;
    bool unsaved;
    uint64_t due_us, recheck_us, save_us; /* monotonic */
    uint32_t hint;                        /* a page that a snapshot met damaged; 0: none */
    uint32_t pages;                       /* of the database, at the last step; 0: not known */

    /* Published. */
    struct db_scrub_view view;
    struct err alert;                /* code E_OK: no page is known to be damaged */
    struct err err;                  /* why nothing could be read; code E_OK: it could */
    uint64_t page_count, pass_count; /* of this process */
    uint64_t told;                   /* damaged pages, when that was last said */
    uint64_t news_count;
    char news[ERR_MSG_SIZE]; /* the last */
};

/* --- for db.c and db_sync.c ----------------------------------------------------------------------------------------
 */

/* What an earlier process, or this one before the database was parked, knew and left. */
void db_scrub_recall(struct db *db);
void db_scrub_started(struct db *db);
void db_scrub_before(struct db *db);
void db_scrub_in_lane(struct db *db);
void db_scrub_after(struct db *db);
/* No step need come for it earlier than in so many ms; at most `pause_ms`. */
uint64_t db_scrub_pause_ms(const struct db *db, uint64_t pause_ms);
/* Somebody met a page that is not what was committed. */
void db_scrub_hint(struct db *db, uint32_t pgno);
/* It is over: what is not on the disk yet is written there, while the local state is still ours. */
void db_scrub_close(struct db *db);

#endif
