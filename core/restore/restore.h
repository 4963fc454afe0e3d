/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore - from a history to a database file: plan, fetch, decode, prove, publish.
 *
 * Linear code in a job thread; snapshot frames are fetched and decoded by `parallel` threads.  The target is replaced
 * only at the last step, by rename, when the state checksum was proven; the local state that lets replication go on
 * comes with it.
 */
#ifndef RESTORE_H
#define RESTORE_H

#include "catalog.h"
#include "local_state.h"

#include <stdatomic.h>

enum restore_verify {
    RESTORE_VERIFY_NONE,  /* the state checksum is compared all the same: it costs nothing */
    RESTORE_VERIFY_STATE, /* and every page is read back from the file */
    RESTORE_VERIFY_QUICK, /* and PRAGMA quick_check */
    RESTORE_VERIFY_FULL,  /* and PRAGMA integrity_check */
};

struct restore_opts {
    const char *output;
    bool by_txid, by_time;
    uint64_t txid;
    int64_t time_ms;
    uint32_t timeline; /* 0: the newest */
    enum restore_verify verify;
    bool dry_run;
    bool force;               /* replace an existing file */
    bool in_place;            /* the same, and take from it what is the same in the new state */
    bool keep_old;            /* keep the file that is replaced under another name */
    bool with_state;          /* write the local state beside it (default for the command) */
    unsigned parallel;        /* 0: a default */
    const char *state_base;   /* below which local states are (local_state.h); NULL: beside the output */
    struct local_state *held; /* borrowed: the output's local state, when the caller holds its lock; NULL: it is free */
    const atomic_bool *stop;  /* E_CANCELED once it is set; NULL: never */
    bool background;          /* its threads have the lowest priority */
    /* Nothing is published: the file is shown, once its state is proven, and removed.  May be NULL. */
    struct rc (*look)(void *ctx, const char *path, struct err *err);
    /* Progress: called now and then from the job's thread; may be NULL. */
    void (*on_progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *ctx;
};

struct restore_report {
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    uint64_t checksum;
    uint32_t page_size, page_count;
    uint64_t snapshot_txid;
    size_t merge_count;    /* behind it */
    size_t object_count;   /* of a dry run: to be read, without the parts of large segments */
    uint64_t bytes_read;   /* of a dry run: to be read */
    uint64_t reused_bytes; /* of the database: not fetched, because they were on this machine */
    uint64_t reused_txid;  /* the state that was at hand as a whole; 0: none */
    uint64_t duration_ms;
    bool replaced;              /* a file was there */
    char kept[ERR_MSG_SIZE];    /* "" or the name under which it was kept */
    char left[ERR_MSG_SIZE];    /* "" or, of a restore that failed, the file that holds what was fetched */
    char warning[ERR_MSG_SIZE]; /* "" or what had to be worked around (a damaged object passed over) */
    bool nothing_there;         /* E_NOTFOUND because there is no replica, or one without any commit */
};

/*
 * Errors: E_NOTFOUND nothing there, or no such txid or time (with the nearest that exist); E_EXISTS the output exists
 * and `force` is not set; E_BUSY it is in use; E_CORRUPT an object is damaged or missing (named), or the state does not
 * prove; E_NOSPACE, E_IO, E_DENIED.  Nothing existing is changed then.
 */
MUST_USE struct rc restore_run(struct work *w, struct store *s, const struct fsys *fs, const struct restore_opts *opts,
    struct restore_report *report, struct err *err);

/* The newest commit at or before the time / its place in words when there is none (before the first, after the last).
 * Where the log was pruned, the newest state that was kept. */
struct restore_commit {
    uint64_t txid;
    int64_t time_ms;
    bool exact; /* false: later commits that may have been before the time were pruned */
};
MUST_USE struct rc restore_find_commit(struct catalog *c, struct work *w, struct store *s, uint32_t timeline,
    int64_t time_ms, struct restore_commit *out, struct err *err);
MUST_USE struct rc restore_find_time(struct catalog *c, struct work *w, struct store *s, uint32_t timeline,
    int64_t time_ms, uint64_t *txid, struct err *err);

#endif
