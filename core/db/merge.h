/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge - when a database's next merge or snapshot is due, and whether it is worth its bytes: pure decisions, made by
 * the actor (core/db_snapshot) from a ledger of what there is.
 *
 *     merge_due(&ledger, &settings, now, txid)       the level that is due: on the loop, at every step
 *     merge_choose(&ledger, &settings, level, &ask)  once it is known how many pages differ: in the job
 *     merge_made(&ledger, ...), merge_tried(&ledger, ...)
 *
 * Level 1 is made by the hour, level 2 by the day.  A merge that would cost a restore more than the log that it stands
 * for is not made: no plan would use it.  Nor is one that is larger than a percentage of the log since the last of its
 * level: so each level stores at most that share of what was shipped, and a load that touches pages here and there
 * waits until it is worth it.  When the merges that a restore reads behind the last snapshot come to half of its size,
 * and as much as it was shipped since, a snapshot is made in place of the next merge; and one is made in any case when
 * the last is older than its interval.
 */
#ifndef MERGE_H
#define MERGE_H

#include "merge_base.h"

enum {
    MERGE_RETRY_MS = 600 * 1000, /* after a failure, where the interval is not shorter */
    MERGE_PERCENT_MAX = 100000,
};

struct merge_settings {
    uint64_t interval_ms[MERGE_BASE_LEVELS + 1]; /* [0]: of snapshots; 0: never */
    uint64_t fold_count;                         /* of segments; less than 2: they are not folded */
    uint64_t percent;                            /* of the log, that a level may store; 0: no limit */
};

/* Loop thread; a job works with a copy. */
struct merge_ledger {
    bool known[MERGE_BASE_LEVELS + 1]; /* [0]: the last snapshot; [level]: the state that its next merge builds on */
    struct merge_base_info base[MERGE_BASE_LEVELS + 1];
    uint64_t start_txid; /* where this attachment began: for levels without a known base */
    /* Shipped since; a restart may forget the latest. */
    uint64_t log_bytes[MERGE_BASE_LEVELS + 1]; /* the last snapshot, the base of each level */
    uint64_t log_count;                        /* segments since the newest base */
    uint64_t merged_bytes, merged_count;       /* merges of level 1 since the last of level 2 */
    int64_t tried_ms[MERGE_BASE_LEVELS + 1];   /* by the wall clock; 0: not since the last one was made */
    bool failed[MERGE_BASE_LEVELS + 1];        /* the last try did; else it was not worth it */
};

/* So much was shipped. */
void merge_shipped(struct merge_ledger *l, uint64_t bytes, uint64_t count);

/* -1: nothing; 0: a snapshot; else a merge of this level. */
int merge_due(const struct merge_ledger *l, const struct merge_settings *s, int64_t now_ms, uint64_t txid);

/* The level that failed last time and is to be tried again, whether or not anything changed; -1: none (yet). */
int merge_again(const struct merge_ledger *l, const struct merge_settings *s, int64_t now_ms);

enum merge_choice { MERGE_NOTHING, MERGE_SNAPSHOT, MERGE_MERGE };

/* `pages`: how many differ from `base`. */
enum merge_choice merge_choose(const struct merge_ledger *l, const struct merge_settings *s, unsigned level,
    const struct merge_base_info *base, uint64_t pages);

/* A snapshot (level 0) or merge is in the replica, `info` its state. */
void merge_made(struct merge_ledger *l, unsigned level, const struct merge_base_info *info, uint64_t bytes);
void merge_tried(struct merge_ledger *l, unsigned level, int64_t now_ms, bool failed);

#endif
