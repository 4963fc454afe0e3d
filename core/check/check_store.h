/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_store - what `weir check` finds out about a replica by trying: who we are to the store, whether it can be
 * reached, each right that weir needs by a request that needs it, whether a second creation of an object fails, what
 * its clock says, whether what was written comes back; and what is there already.
 *
 * Nothing of the replica is changed: what is written are scratch objects (`probe/<random>`), and an upload that is
 * aborted.  They are deleted again; where that is not allowed they stay, a few bytes that nobody reads, and a prune
 * that is allowed to takes them away.
 *
 * Runs in a job: blocking.
 */
#ifndef CHECK_STORE_H
#define CHECK_STORE_H

#include "check_report.h"
#include "config.h"
#include "local_state.h"
#include "price.h"
#include "work.h"

/* Clocks that are further apart than this deserve a warning; than that, stores refuse what is signed by them. */
enum { CHECK_STORE_SKEW_WARN_MS = 60 * 1000, CHECK_STORE_SKEW_FAIL_MS = 5 * 60 * 1000 };

struct check_store {
    /* Filled in by the caller. */
    struct check_report *report;
    const struct config_db *db;
    const struct fsys *fs;
    enum local_state_found found;            /* what the local state says */
    const struct local_state_content *local; /* of it */

    /* The answer. */
    bool reached;           /* requests are answered */
    const char *provider;   /* for prices; NULL: a folder */
    struct price_load load; /* of the history's last days; commits_per_s 0: there is no history to learn from */
    uint64_t stored_bytes;  /* of the history, as listed */
    double measured_s;      /* how long the time was that `load` comes from */
};

/* Fails only when it was canceled: everything else is a line of the report. */
MUST_USE struct rc check_store_run(struct check_store *c, struct work *w, struct store *s, struct err *err);

#endif
