/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prune - retention carried out: what no promised state needs is deleted from a replica.
 *
 * In this order, so that every promised state can be restored whenever it is cut short:
 *
 *     decide        from a fresh listing (core/retention); a dry run ends here
 *     try           whether this process may delete at all, on a scratch object
 *     look          for a newer timeline; there is one: stop.  Again before each deletion
 *     note          which commits leave the log: from then on no reader plans with what is about to go
 *     delete        at most STORE_LIST_MAX objects at a time
 *     abort         unfinished uploads of processes that died, as old as PRUNE_UPLOAD_MS by the store's clock.  A store
 *                   that does not list them, or not to us, is no failure
 *
 * What is left of a run that was cut short, the next one deletes.
 *
 * Runs in a job thread: blocking, through work_store().
 */
#ifndef PRUNE_H
#define PRUNE_H

#include "local_verified.h"
#include "retention.h"

#include <stdatomic.h>

enum {
    PRUNE_GRACE_MS = 3600 * 1000,           /* a restore may take this long before it has to plan anew */
    PRUNE_LEFTOVER_MS = 24 * 3600 * 1000,   /* scratch objects of whoever may be at work are not older */
    PRUNE_UPLOAD_MS = 3 * 24 * 3600 * 1000, /* nor are uploads, which may take as long as a line is slow */
};

struct prune_opts {
    struct retention_policy policy;
    bool dry_run;
    uint64_t grace_ms;
    int64_t local_ms;               /* what the local clock says */
    struct local_verified verified; /* txid 0: not known */
    uint32_t timeline;              /* the newest must be this one; 0: any */
    const atomic_bool *stop;        /* give up with E_CANCELED; may be NULL */
};

struct prune_count {
    uint64_t objects, bytes;
};

struct prune_report {
    struct retention decision;                   /* owned; parts of segments are in its list, too */
    struct catalog *catalog;                     /* owned: what was there */
    int64_t now_ms;                              /* what the policy counted from; INT64_MIN: too early for anything */
    struct prune_count kinds[LAYOUT_PRUNED + 1]; /* to be deleted */
    struct prune_count leftovers;                /* and scratch objects */
    uint64_t uploads;                            /* that nobody will finish: to be aborted */
    struct err uploads_err;                      /* why they could not be looked for; code E_OK: they were */
    struct prune_count all, kept;
    uint64_t deleted; /* objects */
};

/*
 * E_CONFIG: the policy promises nothing.  E_NOTFOUND: there is no replica.  E_FENCED: a newer timeline appeared, or it
 * is not `timeline`.  E_DENIED: deleting is not allowed.  The report is filled as far as it got; free it in any case.
 */
MUST_USE struct rc prune_run(
    struct work *w, struct store *s, const struct prune_opts *opts, struct prune_report *report, struct err *err);
void prune_fini(struct prune_report *report);

/* What a policy promises of this replica, without a look at what may go.  For those who only want to know. */
MUST_USE struct rc prune_decide(
    struct work *w, struct store *s, const struct prune_opts *opts, struct prune_report *report, struct err *err);

#endif
