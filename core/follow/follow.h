/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - `weir restore --follow`: a warm copy of a database, kept current from its replica, that others may read all
 * the time (docs/follow.md).
 *
 * The copy is there already (core/restore/restore.h) and stands at a state of the history.  What comes behind that is
 * at one key of the replica: it is asked for, and "no such key" means that nothing is new.  A listing is made only at
 * the start, after a time in which nobody looked (keys may have been folded or pruned away), and where the log does not
 * lead on. Where it does not, because a commit is in a snapshot only, was pruned, or is damaged, the newest state is
 * restored to a file of its own and what differs is applied as one transaction.
 *
 * Failures of the replica are told once, and tried again with growing pauses; the copy stays as it is meanwhile.  What
 * no retry mends ends it: E_CORRUPT the copy was changed by somebody else, or the replica is damaged and no way leads
 * around it; E_FENCED the history went on from an earlier state than the copy has; E_CONFIG it is another history; and
 * what follow_copy_open() returns.
 *
 * Threads: one job's thread.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "catalog.h"
#include "fsys.h"

enum follow_what {
    FOLLOW_READY,    /* the copy is at this state, and everything in it was looked at */
    FOLLOW_APPLIED,  /* commits became visible */
    FOLLOW_REBASED,  /* likewise, but all at once: the newest state by another way; `text` says why */
    FOLLOW_TIMELINE, /* another writer took over at this state, and it is followed */
    FOLLOW_CURRENT,  /* there is nothing newer; only after one of the above */
    FOLLOW_TROUBLE,  /* it is tried again; `text` */
    FOLLOW_AGAIN,    /* the trouble is over */
    FOLLOW_WARNING,  /* `text` */
};

struct follow_event {
    enum follow_what what;
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;     /* of the commit */
    uint64_t checksum;   /* of the state */
    uint64_t commits;    /* FOLLOW_APPLIED */
    uint64_t pages;      /* written for it */
    uint32_t page_count; /* of the database */
    uint32_t log_frames; /* of the copy's log */
    int64_t lag_ms;      /* since that commit was made, by this machine's clock; not below 0 */
    const char *text;
};

struct follow_opts {
    const char *output;
    const char *state_base; /* below which local states are (local_state.h); NULL: beside the output */
    uint32_t interval_ms;
    uint64_t log_limit; /* bytes of the copy's log at which nothing more is applied, until no reader needs it */
    unsigned parallel;  /* for a state that is restored; 0: a default */
    const struct clock *clock;
    /* Called in the job's thread.  `wait` returns true when it is time to end, at once or before the time is over. */
    void (*on_event)(void *ctx, const struct follow_event *e);
    bool (*wait)(void *ctx, uint32_t ms);
    void *ctx;
};

enum {
    FOLLOW_IDLE_FACTOR = 10, /* pauses grow to this many intervals while nothing comes */
    FOLLOW_BLIND_MS =
        5 * 60 * 1000, /* after so long without a look the replica is listed; half of what a folded key stays */
    FOLLOW_PRESENCE_MS =
        5 * 60 * 1000 /* while nothing comes, whether the replica is there at all is asked this often */
};

/* Until `wait` says so. */
MUST_USE struct rc follow_run(
    struct work *w, struct store *s, const struct fsys *fs, const struct follow_opts *opts, struct err *err);

#endif
