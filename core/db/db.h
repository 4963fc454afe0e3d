/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db - one database as an actor on the loop: it waits for the file, starts, captures by events, ships by interval,
 * takes snapshots, and starts over when something went wrong.
 *
 *     WAITING   no database file yet               STOPPING  ships what is left
 *     STARTING  db_start runs as a job             FENCED    another writer owns the history: nothing is sent any more
 *     RUNNING   steps in the lane                  FAILED    an error that no retry mends
 *     CLOSING   detaching, to start anew           STOPPED   over
 *     RETRYING  a start failed; the next is due
 *
 * db.c moves between the states; db_sync.c is what happens while RUNNING and STOPPING.  Loop thread only, but for what
 * is handed to lanes and jobs.
 */
#ifndef DB_H
#define DB_H

#include "db_drill.h"
#include "db_fold.h"
#include "db_missing.h"
#include "db_prune.h"
#include "db_scrub.h"
#include "db_snap.h"
#include "db_start.h"
#include "merge.h"
#include "park_mark.h"
#include "shipper.h"

#include <stdatomic.h>

enum db_state {
    DB_WAITING,
    DB_STARTING,
    DB_RUNNING,
    DB_CLOSING,
    DB_RETRYING,
    DB_STOPPING,
    DB_FENCED,
    DB_FAILED,
    DB_STOPPED,
};

#define DB_INTERVAL_OFF UINT64_MAX /* commits are not shipped because time goes by */

struct db_settings {
    char *path; /* owned by whoever owns the settings */
    char *url;
    char *state_dir; /* below which the local state is; NULL: beside the database; owned as path is */
    const struct store_option *options; /* of the replica, apart from its URL; borrowed */
    size_t option_count;
    uint64_t sync_interval_ms;                          /* or DB_INTERVAL_OFF */
    uint64_t sync_commits;                              /* 0: however many */
    bool sync_changed;                                  /* by somebody who asked: it lasts until a reload */
    uint64_t snapshot_interval_ms;                      /* 0: only the first, on demand, and when merges have grown */
    uint64_t merge_interval_ms, merge_long_interval_ms; /* 0: none */
    uint64_t merge_percent; /* of the log's bytes, that a level of merges may have; 0: no limit */
    uint64_t log_limit;     /* bytes of log that are held back for a replica that does not answer ... */
    uint64_t spool_limit;   /* ... and then of segments on the local disk; 0: none */
    bool may_switch, fork, adopt;
    bool require_fence;                /* else: warn */
    bool restore_if_missing;           /* at the first start, when there is no database */
    char *seed;                        /* then, when there is no replica either; NULL: none; owned as path is */
    char *price;                       /* of one's own, for estimates (price.h); NULL: list prices; owned as path is */
    uint64_t fold_count;               /* segments in a fold; less than 2: none */
    struct retention_policy retention; /* promises nothing: everything is kept */
    uint64_t retention_interval_ms;    /* 0: never */
    bool of_folder;             /* it was found in a folder: it comes and goes, and is parked when it is quiet ... */
    uint64_t park_after_ms;     /* ... for so long; 0: never */
    uint64_t drill_interval_ms; /* 0: none */
    uint64_t drill_window_ms, drill_max_size /* 0: no limit */, drill_rate /* bytes a second; 0: no limit */;
    uint64_t scrub_interval_ms, scrub_rate; /* 0: never; 0: no limit */
    uint64_t fold_delete_after_ms;          /* folded ones are not deleted earlier than this after they were shipped */
};

/* One snapshot or merge; the job's while it runs. */
struct db_snapshot_job {
    unsigned level; /* that was due; a merge may turn out to be a snapshot */
    struct merge_settings settings;
    struct merge_ledger ledger;
    char *dir; /* owned */
    enum merge_choice choice;
    struct merge_base_info made;
};

/* Somebody waits until everything committed before the call is durable in the replica, or for a snapshot. */
struct db_waiter {
    bool for_snapshot;
    bool seen;       /* a goal, or a snapshot, that began after it came is under way */
    uint64_t target; /* txid; 0: not known before that step has ended */
    void (*done)(struct db_waiter *w, uint64_t txid, const struct err *err); /* err->code E_OK: it is */
    struct db_waiter *next;
};

/* What was let through to the replica (db_trigger.h). */
struct db_trigger {
    uint64_t through_txid; /* up to here; what is shipped is anyway */
    bool asked;            /* for everything that is committed, of which the txid is not known yet */
    bool let;              /* something was let through since the last look for merges that are due */
    bool at_limit;         /* it was told */
};

struct db {
    const struct db_settings *settings; /* borrowed */
    uv_loop_t *loop;
    struct work *work;
    const struct fsys *fs;
    struct store_env *env; /* borrowed */
    const struct clock *clock;
    unsigned lane;
    void (*on_move)(struct db *db); /* another state; NULL: nobody wants to know */
    void (*on_over)(struct db *db); /* FENCED, FAILED or STOPPED was reached */
    void (*on_news)(struct db *db); /* something may look different: state, position, failure, snapshot; may be NULL */
    void (*on_settled)(struct db *db); /* a start has come to something, or waits; may be NULL */
    void (*closed)(struct db *db);     /* set by db_end() */
    void *ctx;

    enum db_state state;
    struct err error;          /* the last failure of a start or a step; code E_OK: none since it last worked */
    struct err local_error;    /* the local state cannot be written */
    struct store *store;       /* owned */
    uint64_t store_ms;         /* when it was opened, and its counts began (monotonic) */
    struct local_state *local; /* owned */
    char *state_dir;           /* owned: where it is */
    struct db_live *live;      /* owned; the lane's while a step, a close or a snapshot is under way */
    struct shipper shipper;
    bool shipper_open;
    struct spool *spool; /* owned; the lane's, or the start's job's */
    struct work_item load_item;
    struct db_segment *loading; /* the shipper's; its bytes are being read from the spool */
    struct err load_error, spool_error;
    uint64_t spool_bytes, spool_retry_ms;
    bool spool_full; /* of what waits to be asked for, which is no trouble: it is shipped */
    bool spooling;   /* it was told that segments go there */

    uv_timer_t timer;       /* the next step, or the next try to start */
    uv_fs_event_t watch[2]; /* the log; the database file (checkpoints, removal) */
    bool watching;
    unsigned open_handles;

    struct db_trigger trigger;
    struct db_fold fold;
    struct db_prune prune;
    struct db_drill drill;
    struct db_scrub scrub;

    enum fence fence;
    struct work_item fence_item; /* looks for other writers where the store does not keep them out */
    struct rc fence_rc;
    struct err fence_err;             /* the job's */
    struct err fence_failed;          /* why the last look failed; code E_OK: it did not */
    uint64_t fence_at_ms, fence_txid; /* when it last did, and what was shipped then */
    bool in_fence;

    struct work_item start_item, step_item, close_item, snap_item;
    struct db_start start;
    struct db_missing missing;
    bool may_make; /* a database that is not there may still be restored or seeded */
    bool held;     /* a start waits for the replica, with the log held */
    struct db_step step;
    struct db_snap snap;
    struct db_snapshot_job snap_job;
    struct merge_ledger ledger, recalled;        /* recalled: the start's job's */
    uint64_t put_bytes_before, put_count_before; /* the shipper's, when the ledger was up to date */
    struct rc job_rc;
    struct err step_err;
    struct err snap_err;     /* why the last snapshot or merge failed; code E_OK: it did not */
    struct err snap_job_err; /* the job's until it is done */
    bool in_step, again, in_snap, snap_wanted;
    bool goal_pending;       /* the end of the log at some moment is being read to */
    atomic_bool stop_wanted; /* the start's job reads it, too */
    bool abandon;            /* the time for an orderly stop is over */
    bool must_compare;
    bool tidy;
    atomic_bool snap_stop; /* the snapshot's job reads it, too */
    enum wal_conn_identity identity;
    struct rc snap_rc;
    struct backoff retry;
    uint64_t quiet_ms; /* the present pause between looks */

    /* Of a folder's databases (db_park.h). */
    struct park_mark mark; /* of before the start, until it has worked; and what the close leaves behind */
    bool marked;           /* it holds something */
    bool mark_wanted;      /* the close is to leave one behind */
    bool parking;          /* stopping only for a while */
    uint64_t active_ms;    /* monotonic: when something happened last */

    struct db_segment *acknowledged; /* for the next step */
    unsigned parts_done;
    struct db_waiter *waiters;

    /* Published. */
    uint32_t timeline;
    uint64_t txid, shipped_txid;
    int64_t time_ms, shipped_time_ms;
    int64_t unshipped_ms; /* no commit that waits is older; 0: it is not known since this attachment */
    uint64_t log_bytes, open_commits, open_frames, open_bytes;
    bool open_is_old;
    uint64_t break_count, reset_count; /* of this attachment */
    const char *reset_obstacle;
    uint64_t snapshot_txid;
    int64_t snapshot_ms;
    uint64_t start_count, resync_count, snapshot_count;
    bool in_gap; /* exact history has stopped; the next start compares */
    struct db_gap last_gap;
    uint64_t merge_txid, merge_count, merge_bytes; /* of this process */
    int64_t merge_ms;
};

const char *db_state_name(enum db_state state);

/* Begin.  Errors are those of the configuration: a bad URL, a lock that another process holds (E_FENCED). */
MUST_USE struct rc db_begin(struct db *db, struct err *err);
/* Ship what is left and detach; on_over is called.  Calling it a second time changes nothing. */
void db_stop(struct db *db);
/* Try at once what would be tried later: the database may have been made, or the replica be back. */
void db_hurry(struct db *db);
/* The time for that is over: drop what has not been shipped. */
void db_abandon(struct db *db);
/* Everything committed is in the replica. */
bool db_is_shipped(const struct db *db);

/* Somebody does not wait any more; `done` is not called. */
void db_forget_waiter(struct db *db, struct db_waiter *w);

/* Close handles after on_over; `closed` is called when the db may be freed. */
void db_end(struct db *db, void (*closed)(struct db *db));

/* --- for db_sync.c ---------------------------------------------------------------------------- */

/* Detach and, unless stopping, start over. */
void db_close_live(struct db *db);
void db_news(struct db *db);
void db_answer_waiters(struct db *db, const struct err *err);
void db_fenced(void *ctx, const struct err *err);

#endif
