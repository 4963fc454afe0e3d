/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - is every object of a replica there and whole, and which commits can be restored?
 *
 * Each object gets one of four answers.  Every byte is read once: documents are parsed, segments and parts proven by
 * their hashes and their directories decoded, snapshots decoded whole and their state checksum compared with the log's.
 * The log is followed as a chain of states: each segment must begin at the state where the one before it ends.  What
 * only a replay shows (that the data of a block fits the old pages) is left to a restore.
 *
 * What a replica by itself cannot tell: that the last segments of a timeline that is not sealed were removed (it is
 * then a shorter history), or a snapshot that no commit depends on.
 *
 * Linear code in a job thread.  Objects that a live daemon stores meanwhile are no problem: the logs are listed again
 * behind everything else, and what is newer is not judged.
 *
 * Memory: 16 to 64 bytes per object, and at most about 64 MiB of objects at a time.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "catalog.h"

enum { VERIFY_FINDINGS_MAX = 10000 }; /* more are only counted */

enum verify_answer {
    VERIFY_GOOD,
    VERIFY_MISSING,
    VERIFY_DAMAGED,
    VERIFY_UNEXPECTED, /* harmless: nothing refers to it */
};
enum { VERIFY_ANSWER_COUNT = VERIFY_UNEXPECTED + 1, VERIFY_KIND_COUNT = LAYOUT_PRUNED + 1 };

struct verify_finding {
    enum verify_answer answer; /* never VERIFY_GOOD */
    enum layout_kind kind;
    uint32_t timeline; /* 0: none */
    char *key;         /* owned */
    char *text;        /* owned: what is wrong */
    const char *advice;
};

/* Commits [first, last] of a timeline. */
struct verify_range {
    uint64_t first_txid, last_txid;
};

struct verify_loss {
    uint64_t first_txid, last_txid; /* last 0: from `first` on, nobody can tell how many */
    uint64_t before_txid;           /* the last commit before them that can be restored; 0: none */
    char *why;                      /* owned */
};

typedef uint64_t verify_counts[VERIFY_KIND_COUNT][VERIFY_ANSWER_COUNT];

struct verify_timeline {
    uint32_t number, parent; /* parent 0: none, or not known */
    uint64_t fork_txid;
    bool sealed;
    uint32_t successor;
    uint64_t tip_txid; /* the last commit that was seen; 0: none */
    int64_t tip_time_ms;
    verify_counts counts;
    uint64_t bytes;              /* as listed */
    struct verify_range *ranges; /* owned: its own commits that can be restored */
    size_t range_count, range_room;
    struct verify_loss *losses; /* owned: and those that cannot */
    size_t loss_count, loss_room;
};

struct verify_report {
    struct nonce database;
    bool database_known;
    verify_counts counts; /* of all */
    uint64_t totals[VERIFY_ANSWER_COUNT];
    struct verify_timeline *timelines; /* owned; those that were looked at */
    size_t timeline_count;
    struct verify_finding *findings; /* owned */
    size_t finding_count, finding_room;
    uint64_t findings_left_out;
    uint64_t bytes_read;
};

struct verify_opts {
    uint32_t timeline;    /* 0: all; else this one and those that it comes from */
    unsigned patience_ms; /* how long a takeover may take between its two steps */
    /* Called now and then from the job's thread; may be NULL. */
    void (*on_progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/*
 * E_OK: everything was looked at, see the report (verify_failed).  E_NOTFOUND: there is no replica, no commit in it, or
 * not that timeline.  Any other failure: it could not be looked at, and the report tells nothing.  Zero the report
 * before, free it after, in any case.
 */
MUST_USE struct rc verify_run(
    struct work *w, struct store *s, const struct verify_opts *opts, struct verify_report *report, struct err *err);
void verify_fini(struct verify_report *report);

/* Anything missing or damaged? */
bool verify_failed(const struct verify_report *report);
const char *verify_answer_name(enum verify_answer answer);
const char *verify_kind_name(enum layout_kind kind);

#endif
