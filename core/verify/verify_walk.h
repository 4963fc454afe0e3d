/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_walk - the log of one timeline as a chain of states, and which of its commits a restore can reach.
 *
 *     verify_walk_init(&w, j, t)
 *     verify_walk_segment() / verify_walk_seal() / verify_walk_damaged()     each object of the log, in order
 *     verify_walk_finish(&w, err), verify_walk_fini(&w)
 *
 * Snapshots were read before: `usable` says which are whole.  They are compared with the log here.
 */
#ifndef VERIFY_WALK_H
#define VERIFY_WALK_H

#include "verify_intern.h"

struct verify_walk {
    struct verify_job *job;
    struct verify_work *timeline;
    enum layout_kind kind; /* of the object that is walked: LAYOUT_LOG, or LAYOUT_FOLD with its segments one by one */
    bool begun, lost, sealed;
    uint64_t begin; /* the last txid before its own */
    uint64_t at;    /* the last txid that went by */
    bool known;     /* the state there */
    bool anywhere;  /* `at` is not known either */
    uint64_t checksum;
    uint32_t page_size; /* 0: not known */
    bool reached;       /* a restore gets there */
    char *why;          /* owned: else why not */
};

void verify_walk_init(struct verify_walk *w, struct verify_job *j, struct verify_work *t);
void verify_walk_fini(struct verify_walk *w);

/* `broken`: NULL, or the part of the segment that is missing or damaged, in words: its pages cannot be replayed.
 * `next_txid` is that of the next key, 0 when there is none. */
MUST_USE struct rc verify_walk_segment(struct verify_walk *w, const char *key, const struct seg_info *info,
    const char *broken, uint64_t next_txid, struct err *err);
MUST_USE struct rc verify_walk_seal(struct verify_walk *w, const char *key, const struct seal *seal, struct err *err);
/* An object that cannot be read, already reported. */
MUST_USE struct rc verify_walk_damaged(struct verify_walk *w, const char *key, uint64_t first_txid, uint64_t next_txid,
    bool missing, bool was_seal, struct err *err);
/* What is left over: snapshots without a commit; and whether the timeline has the end that it should. */
MUST_USE struct rc verify_walk_finish(struct verify_walk *w, struct err *err);

/* A segment lists this part. */
void verify_walk_claim_part(struct verify_work *t, const char *key);

#endif
