/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prune_world - months of a database in moments: a virtual clock, commits, segments, folds, merges and snapshots as the
 * daemon makes them, and retention and restores over them by the real code, through a store that can be made to fail.
 *
 *     prune_world_init(&w, seed)
 *     prune_world_live(&w, 5 * PRUNE_WORLD_DAY)
 *     code = prune_world_prune(&w, &opts, no_fault)
 *     code = prune_world_restore(&w, timeline, txid, no_fault)      compared with the state that it must be
 *     prune_world_fini(&w)
 *
 * Everything follows from the seed.  Aborts when a restore succeeds with another state than it should.
 */
#ifndef PRUNE_WORLD_H
#define PRUNE_WORLD_H

#include "fault_store.h"
#include "make_history.h"
#include "prune.h"
#include "restore.h"
#include "store_wait.h"

#define PRUNE_WORLD_HOUR INT64_C(3600000)
#define PRUNE_WORLD_DAY  (24 * PRUNE_WORLD_HOUR)

enum { PRUNE_WORLD_LEVELS = 3, PRUNE_WORLD_SEGMENTS_MAX = 64, PRUNE_WORLD_PAGE = 512 };

struct prune_world_fault {
    enum fault_store_kind kind;
    long at;      /* the n-th request; 0: none */
    bool forever; /* from there on: a crash */
    unsigned verbs;
    enum err_code code; /* E_OK: the usual one */
};

struct prune_world {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    uint64_t random;

    /* How it lives. */
    int64_t commit_gap_ms; /* on average */
    unsigned commits_per_segment, segments_per_fold;
    int64_t merge_ms[PRUNE_WORLD_LEVELS]; /* level 0: snapshots; 0: none */
    bool keeps_folded;                    /* it may not delete, or died before it could */

    /* What it has done. */
    size_t base[PRUNE_WORLD_LEVELS]; /* states that merges build on; level 0: the last snapshot */
    int64_t made_ms[PRUNE_WORLD_LEVELS];
    struct {
        uint64_t first_txid;
        struct buf bytes;                 /* a fold is made of what is at hand, not of what is in the replica */
    } segments[PRUNE_WORLD_SEGMENTS_MAX]; /* that are not folded */
    size_t segment_count;
    uint64_t open_first; /* of the open segment; 0: none */
    unsigned open_commits;
    struct prune_opts *during;                /* prune in the middle of the next restore, once */
    void (*meanwhile)(struct prune_world *w); /* something else in the next restore, once, as it begins */
    bool intrude;                             /* a new timeline appears as soon as something is written, once */

    /* The outcome of the last run. */
    struct prune_report report;
    struct restore_report restored;
    struct err err;
    long requests, fired;
};

void prune_world_init(struct prune_world *w, uint64_t seed);
void prune_world_fini(struct prune_world *w);
uint64_t prune_world_pick(struct prune_world *w, uint64_t below);

void prune_world_live(struct prune_world *w, int64_t span_ms);
/* Nothing happens for so long. */
void prune_world_idle(struct prune_world *w, int64_t span_ms);
/* Another writer goes on from a state so many commits back. */
void prune_world_take_over(struct prune_world *w, uint64_t back);
const struct make_history_state *prune_world_now(const struct prune_world *w);

enum err_code prune_world_prune(struct prune_world *w, const struct prune_opts *opts, struct prune_world_fault fault);
enum err_code prune_world_restore(
    struct prune_world *w, uint32_t timeline, uint64_t txid, struct prune_world_fault fault);
enum err_code prune_world_restore_time(struct prune_world *w, int64_t time_ms);

/* Objects in this folder and below. */
size_t prune_world_count(const struct prune_world *w, const char *folder);
/* An object that somebody left there, so old. */
void prune_world_put(const struct prune_world *w, const char *key, int64_t age_ms);
bool prune_world_has(const struct prune_world *w, const char *key);

#endif
