/* SPDX-License-Identifier: Apache-2.0 */
/* follow_intern - one copy being followed, shared by follow.c and its helpers. */
#ifndef FOLLOW_INTERN_H
#define FOLLOW_INTERN_H

#include "follow.h"
#include "follow_copy.h"

struct follow {
    /* Borrowed; set at the begin. */
    struct work *work;
    struct store *store;
    const struct fsys *fs;
    const struct follow_opts *opts;

    struct follow_copy *copy; /* owned */

    bool met;                        /* the replica was there */
    bool must_list;                  /* what lies behind the copy's position is not known to be at its key */
    bool must_rebase;                /* the log does not lead on */
    char why[ERR_MSG_SIZE];          /* it does not */
    uint64_t looked_ms, presence_ms; /* monotonic: the last answer about the next key, about the replica itself */
    int64_t looked_wall_ms;
    bool progress; /* of this turn */
    bool told_current, in_trouble;
};

static inline const struct pos *follow_pos(const struct follow *f)
{
    return &follow_copy_content(f->copy)->pos;
}

/* Tell what the copy is at now. */
void follow_tell(struct follow *f, enum follow_what what, uint64_t commits, uint64_t pages, const char *text);
/* The log does not lead on, says `err`: the next turn finds another way. */
void follow_lost_way(struct follow *f, const char *why);

/* Apply a segment in the transaction that is open, up to `last_txid`.  Its parts are fetched. */
MUST_USE struct rc follow_apply(struct follow *f, struct seg_dec *segment, uint64_t last_txid, struct err *err);
/* Make what was applied visible. */
MUST_USE struct rc follow_commit(struct follow *f, enum follow_what what, const char *text, struct err *err);
/* Between transactions: is the copy as it should be, and may its log grow? */
MUST_USE struct rc follow_tend(struct follow *f, struct err *err);
/* The copy stays at its state, which timeline `number` shares. */
MUST_USE struct rc follow_switch(struct follow *f, uint32_t number, struct err *err);

/* follow_find: which state of the history is the file?  Also after a crash, when it is ahead of its local state. */
MUST_USE struct rc follow_find_state(struct follow *f, struct err *err);
/* follow_list: all that the replica has, by its listing. */
MUST_USE struct rc follow_list_all(struct follow *f, struct err *err);
/* follow_rebase: the newest state of the catalog's newest timeline, restored beside and applied as one transaction. */
MUST_USE struct rc follow_rebase_run(struct follow *f, struct err *err);
/* Remove what one that was cut short has left. */
void follow_rebase_clear(struct follow *f);

#endif
