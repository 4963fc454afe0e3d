/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention - which objects of a history may go, and what stays promised: a pure decision over its catalog.
 *
 * Promised are, on the path to the newest timeline,
 *
 *     the latest state,
 *     every commit that is not older than `exact`,
 *     and for the `daily` days, `weekly` weeks and `monthly` months that are wholly behind that, one state each: the
 *     last one that a snapshot of that period has, or a merge of the highest level in it, else the last commit at or
 *     before its end;
 *
 * likewise, for commits that no newer timeline took over, those of each period they were made in; and the last snapshot
 * that was verified.  What the plan of none of these needs may go.  Documents and seals stay, and the last object of
 * each log, which tells where the timeline ends; so does the newest snapshot, whatever the policy says.
 *
 * "Now" is a time of the history, not of this machine: see retention_now().
 *
 *     while (retention_ask(&in, &timeline, &time_ms))
 *         find the last commit at or before that time, and add it to in.marks
 *     retention_decide(&in, &out, err)
 *     retention_fini(&out)
 *
 * The decision is proven before it is told: every promised state has a plan in a catalog without what may go.
 */
#ifndef RETENTION_H
#define RETENTION_H

#include "catalog.h"
#include "retention_period.h"

struct retention_policy {
    uint64_t exact_ms;
    uint64_t periods[RETENTION_KIND_COUNT]; /* how many days, weeks, months */
};
/* E_CONFIG for one that promises nothing. */
MUST_USE struct rc retention_check(const struct retention_policy *policy, struct err *err);
/* "exact 1 day, 7 daily, 4 weekly, 12 monthly" */
enum { RETENTION_TEXT_SIZE = 128 };
const char *retention_text(const struct retention_policy *policy, char out[RETENTION_TEXT_SIZE]);

/*
 * The time that the policy counts from: that of the newest commit, or of the local clock if that is earlier.  A clock
 * that jumped ahead may have given its time to commits already, so what the newest commit says counts only once there
 * are commits that are RETENTION_TRUST_MS older by the same clock and not much older than that; `before_ms` is the time
 * of the last commit at or before `newest_ms` - RETENTION_TRUST_MS; INT64_MIN: there is none.
 */
enum { RETENTION_TRUST_MS = 2 * 86400 * 1000 };
int64_t retention_now(int64_t local_ms, int64_t newest_ms, int64_t before_ms);

/* The last commit at or before `asked_ms` on the path to the timeline; txid 0: there is none. */
struct retention_mark {
    uint32_t timeline;
    int64_t asked_ms;
    uint64_t txid;
    int64_t time_ms;
};

struct retention_input {
    const struct catalog *catalog; /* with tips */
    struct retention_policy policy;
    int64_t now_ms;
    uint64_t grace_ms; /* what was promised this long ago still is: somebody may be reading it */
    const struct retention_mark *marks;
    size_t mark_count;
    uint32_t verified_timeline; /* of the last verified snapshot; 0: none */
    uint64_t verified_txid;
};

enum retention_class {
    RETENTION_OF_DAY = RETENTION_DAY,
    RETENTION_OF_WEEK = RETENTION_WEEK,
    RETENTION_OF_MONTH = RETENTION_MONTH,
    RETENTION_LATEST,
    RETENTION_VERIFIED,
    RETENTION_EXACT, /* and every commit behind it */
};
const char *retention_class_name(enum retention_class c); /* "day" ... */

/* A promised state. */
struct retention_point {
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    enum retention_class why; /* the one that keeps it longest */
    int64_t until_ms;         /* 0: for as long as it is the latest, or the last verified */
    bool lost;                /* nothing leads to it any more, so what is around it stays */
};

enum retention_reason {
    RETENTION_EXPIRED,    /* no promised state needs it */
    RETENTION_DUPLICATE,  /* a fold has it */
    RETENTION_SUPERSEDED, /* a note on what was pruned, within a larger one */
};

struct retention_drop {
    struct layout_key key;
    uint64_t size;
    enum retention_reason reason;
};

struct retention {
    struct retention_point *points; /* owned; by txid, at one txid by timeline */
    size_t point_count, point_room;
    struct retention_drop *drops; /* owned; in the order in which they are to be deleted */
    size_t drop_count, drop_room;
    struct layout_key *ranges; /* owned; LAYOUT_PRUNED: to be written before anything is deleted */
    size_t range_count, range_room;
    struct catalog *remaining; /* owned: the catalog without what may go */
};

/* Is a commit's time to be looked up first? */
bool retention_ask(const struct retention_input *in, uint32_t *timeline, int64_t *time_ms);

/* E_NOTFOUND: the latest state cannot be restored, so nothing may go. */
MUST_USE struct rc retention_decide(const struct retention_input *in, struct retention *out, struct err *err);
void retention_fini(struct retention *r);

/* The same for a part of a large segment, which the catalog does not name: no segment that stays, and none that may
 * still come, has it. */
bool retention_drops_part(const struct retention *r, const struct layout_key *part);
MUST_USE struct rc retention_drop_part(
    struct retention *r, const struct layout_key *part, uint64_t size, struct err *err);

#endif
