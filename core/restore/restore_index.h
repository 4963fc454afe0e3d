/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_index - the indexes of the snapshot and merges of a stage: fetched, held against each other, and told which
 * pages are wanted of which.
 *
 * Memory: 5 bytes a page, and at most RESTORE_INDEX_KEPT_MAX of small objects that came whole.
 */
#ifndef RESTORE_INDEX_H
#define RESTORE_INDEX_H

#include "restore_intern.h"
#include "snap_index.h"

enum {
    RESTORE_INDEX_TAILS = 16,          /* ends of objects that are fetched at a time */
    RESTORE_INDEX_KEPT_MAX = 16 << 20, /* bytes of objects that are as small as what is fetched of their end */
};

/* A snapshot or merge of the stage. */
struct restore_source {
    const struct plan_base *base;
    size_t number; /* in the plan */
    layout_text key;
    struct snap_index *index; /* owned */
    struct buf whole;         /* owned: all of a small object, which came with its end; else empty */
};

struct restore_sources {
    struct restore_job *job;
    struct restore_source *at; /* owned; in the order of the plan */
    size_t count;
    size_t kept; /* bytes of whole objects */
};

/* Each builds on the one before it, the first on the image.  E_CORRUPT or E_NOTFOUND: j->lost has the one that cannot
 * be used. */
MUST_USE struct rc restore_index_open(
    struct restore_sources *all, struct restore_job *j, const struct plan_stage *stage, struct err *err);
void restore_index_fini(struct restore_sources *all);

/* Fetch a range of the object. */
MUST_USE struct rc restore_index_get(struct restore_job *j, const struct restore_source *s, uint64_t offset,
    uint64_t length, struct store_req *req, struct err *err);

#endif
