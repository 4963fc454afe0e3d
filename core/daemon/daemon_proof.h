/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_proof - what is kept of the drills and scrubs of a folder's database while it is not open: small, because
 * there may be very many, and true, because everybody is told by it.
 */
#ifndef DAEMON_PROOF_H
#define DAEMON_PROOF_H

#include "db.h"
#include "metrics.h"
#include "status.h"

struct daemon;
struct daemon_folder;
struct daemon_item;

/* What is done for a database while it is parked, without opening it. */
enum daemon_chore { DAEMON_CHORE_DRILL, DAEMON_CHORE_SCRUB };
enum { DAEMON_CHORE_COUNT = DAEMON_CHORE_SCRUB + 1 };

struct daemon_proof {
    uint64_t known_ms;                  /* monotonic: since when drills could be made */
    int64_t due_ms[DAEMON_CHORE_COUNT]; /* monotonic; may be long ago */
    /* Of local_drill. */
    int64_t tried_ms, good_ms, state_ms, failed_ms;
    uint64_t txid, failed_txid, bytes_read;
    uint32_t timeline;
    /* Of local_scrub. */
    uint32_t passed_pages;
    int64_t passed_ms, found_ms;
    uint64_t damaged, found_txid, page_count, pass_count;
    /* Owned; NULL: there is none. */
    struct err *drill_alert, *scrub_alert;
    char *drill_skipped, *drill_error, *scrub_error;
};

/* What an earlier process left beside a database that is parked at once. */
struct daemon_left {
    struct park_mark mark;
    struct local_drill drill;
    struct local_scrub scrub; /* of local_scrub_fini() */
};

void daemon_proof_fini(struct daemon_proof *p);
void daemon_proof_left(struct daemon_item *item, const struct daemon_left *left);
/* From the actor that is closed, and to the one that begins. */
void daemon_proof_take(struct daemon_item *item, const struct db *db);
void daemon_proof_give(const struct daemon_item *item, struct db *db);
/* An outcome of a drill, and of a scrub. */
void daemon_proof_drilled(
    struct daemon_item *item, const struct drill_job *j, enum drill_outcome outcome, const struct local_drill *last);
void daemon_proof_undone(struct daemon_item *item, const struct err *why);
void daemon_proof_scrubbed(struct daemon_item *item, const struct local_scrub *note);
void daemon_proof_unscrubbed(struct daemon_item *item, const struct err *why);
/* As local_drill; without its text. */
void daemon_proof_drill(const struct daemon_proof *p, struct local_drill *out);
/* What is wrong with one that is not open, or NULL. */
const struct err *daemon_proof_trouble(const struct daemon_item *item);
void daemon_proof_status(const struct daemon_item *item, struct status_closed *out);
/* How many of a folder's databases are not known to be whole. */
void daemon_proof_count(const struct daemon_folder *f, uint64_t counts[METRICS_UNPROVEN_COUNT]);

/* --- daemon_facts.c: all that is kept of it, from its actor, which is over, and to one that begins */
void daemon_facts_take(struct daemon_item *item);
/* What is told of one from now on whose actor is still closing. */
void daemon_facts_show(struct daemon_item *item);
void daemon_facts_give(struct daemon_item *item);
/* --- daemon_watch.c: the outcome of the drill of one that is not open */
void daemon_watch_drill(struct daemon *d, const struct daemon_item *item);

#endif
