/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_snap_read - the steps of a snapshot that read the database: which pages, and is what was read right?
 *
 * Each is a step in the database's lane, and leaves what it read in the frames of a group.
 */
#ifndef DB_SNAP_READ_H
#define DB_SNAP_READ_H

#include "db_snap.h"
#include "snap_upload.h"

enum {
    DB_SNAP_GROUP = 4,             /* frames read at a time, at most */
    DB_SNAP_FINAL_BYTES = 1 << 20, /* pages that may be read in the one step in which nothing is captured */
};

struct db_snap_copy {
    struct db_snap *s;
    struct db_live *l;
    struct snap_writer *writer;
    struct upload *upload; /* owned */
    uint64_t expected;     /* bytes of all pages at the begin */
    struct snap_upload_frame *jobs[DB_SNAP_GROUP];
    size_t job_max;   /* as many as there are lanes: more would only be memory */
    size_t job_count; /* with pages, in this group */
    uint64_t next_page;
    uint32_t count; /* pages that differ from the base of a merge */
    uint64_t left;  /* bytes of changed pages, at the last look */
    bool frozen;    /* see db_freeze.h */
    bool final_done;

    /* A step in the lane. */
    struct work_item item;
    struct rc (*step)(struct db_snap_copy *c, struct err *err);
    struct rc rc;
    struct err err;
};

/* The list of changed pages begins; the index, when the snapshot is the first; the expected size. */
MUST_USE struct rc db_snap_read_begin(struct db_snap_copy *c, struct err *err);
/* It ends. */
MUST_USE struct rc db_snap_read_end(struct db_snap_copy *c, struct err *err);
/* Pages from c->next_page on, for all frames of a group; job_count 0: there are no more. */
MUST_USE struct rc db_snap_read_walk(struct db_snap_copy *c, struct err *err);
/* Changed pages from c->next_page on, likewise. */
MUST_USE struct rc db_snap_read_changed(struct db_snap_copy *c, struct err *err);
/* Read on to the end of the log, then the rest of the changed pages at one position: that is the snapshot's state, and
 * final_done. */
MUST_USE struct rc db_snap_read_final(struct db_snap_copy *c, struct err *err);
/* See db_freeze.h. */
MUST_USE struct rc db_snap_read_freeze(struct db_snap_copy *c, struct err *err);
MUST_USE struct rc db_snap_read_thaw(struct db_snap_copy *c, struct err *err);
/* c->count: pages that differ from the base of a merge. */
MUST_USE struct rc db_snap_read_count(struct db_snap_copy *c, struct err *err);
/* The index of the state that was reached, for merges to come.  Without it they begin with a snapshot. */
void db_snap_read_stage(struct db_snap_copy *c);

#endif
