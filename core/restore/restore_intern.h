/* SPDX-License-Identifier: Apache-2.0 */
/* restore_intern - one restore on its way, shared by restore.c and its helpers. */
#ifndef RESTORE_INTERN_H
#define RESTORE_INTERN_H

#include "image.h"
#include "plan.h"
#include "restore.h"

struct restore_reuse;

struct restore_job {
    /* Borrowed; set at the begin. */
    struct work *work;
    struct store *store;
    const struct fsys *fs;
    const struct restore_opts *opts;
    struct restore_report *report;
    const char *target;

    struct catalog *catalog; /* owned */
    struct plan *plan;       /* owned */
    struct plan_lost lost;   /* owned: what turned out to be missing or damaged on the way */
    struct image *image;     /* owned */

    struct nonce database; /* of the history */
    bool database_known;   /* false: weir.json and all timelines are damaged; the snapshot says it then */

    struct restore_reuse *reuse; /* owned; NULL: nothing local is looked at (any more) */
    bool no_reuse;               /* it led to a state that was none */
    uint64_t saved;              /* of a dry run: bytes that need not be read */

    /* The state that `image` has reached. */
    uint32_t page_size;
    uint32_t timeline;
    uint64_t checksum;
    uint64_t txid;
    int64_t time_ms;

    uint64_t done, total; /* bytes, for progress */
};

static inline void restore_progress(struct restore_job *j, const char *stage)
{
    if (j->opts->on_progress != NULL)
        j->opts->on_progress(j->opts->ctx, stage, j->done, j->done > j->total ? j->done : j->total);
}

static inline bool restore_stopped(const struct restore_job *j)
{
    return j->opts->stop != NULL && atomic_load(j->opts->stop);
}

MUST_USE static inline struct rc restore_check_stop(const struct restore_job *j, struct err *err)
{
    return restore_stopped(j) ? rc_raise(err, E_CANCELED, "the restore of %s was stopped", j->target) : RC_OK;
}

/* The next plan does without it. */
static inline void restore_blame(struct restore_job *j, const struct layout_key *key)
{
    struct err ignored;

    rc_ignore(plan_lost_add(&j->lost, key, &ignored), "without memory for it there is no other way, and that is told");
}

static inline void restore_blame_base(struct restore_job *j, size_t base)
{
    const struct layout_key key = plan_base_key(&j->plan->bases[base]);

    restore_blame(j, &key);
}

/* The object itself is at fault, not this machine or the way to the store. */
static inline bool restore_is_damage(struct rc rc)
{
    return rc.code == E_CORRUPT || rc.code == E_NOTFOUND;
}

#endif
