/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_live - one database while weir is attached to it: the connection, the reader, the page-hash index, the open
 * segment and the local state.  Everything here happens in the database's lane, one call at a time.
 *
 *     WAL -> wal_reader -> wal_capture -> seg_enc -> struct db_segment, handed to the loop, which ships it
 * (core/db/shipper.h)
 *                              |-> page_hash, local_state
 *
 * and back: db_live_acknowledge() once the replica has it.
 */
#ifndef DB_LIVE_H
#define DB_LIVE_H

#include "bitmap.h"
#include "local_state.h"
#include "spool.h"
#include "wal_capture.h"
#include "wal_gate.h"

enum {
    DB_LIVE_STEP_US = 20000,        /* one step's share of the lane */
    DB_LIVE_RESET_FRAMES = 1000,    /* frames after which the log is started over, as SQLite's own wal_autocheckpoint */
    DB_LIVE_SEGMENT_SIZE = 1 << 20, /* stored bytes after which a segment is shipped at once */
    DB_LIVE_PARTS_MAX = 2,          /* parts that wait for their upload before capturing pauses */
};

/* A finished segment or a part of one on its way to the replica. */
struct db_segment {
    struct buf bytes;
    bool is_part;
    uint64_t first_txid;
    uint32_t part_number; /* parts */
    struct pos pos;       /* segments: the state after the last commit */
    uint64_t mark;        /* segments: local_state_mark() */
    size_t commit_count;
    uint64_t raw_bytes; /* page bytes it stands for */
    bool spooled;       /* it is on the local disk, too; `bytes` may be empty then */
    struct spool_name name;
    struct db_segment *next;
};
void db_live_free_segment(struct db_segment *s);

struct db_live {
    /* Set at attach. */
    const struct fsys *fs;
    const struct clock *clock;
    struct local_state *local; /* borrowed from the actor, which keeps the lock over restarts */
    struct spool *spool;       /* likewise; NULL: none */
    struct nonce database, run;
    uint32_t timeline;

    struct wal_conn *conn;
    struct wal_reader *reader;
    struct page_hash *hashes;
    struct seg_enc *enc;
    struct wal_capture cap;

    uint64_t open_base_txid, open_base_checksum; /* of the open segment */
    unsigned open_parts;                         /* finished ones of it */
    struct db_segment *parts, **parts_last;      /* finished parts that the loop has not taken */
    unsigned parts_waiting;                      /* finished parts whose upload has not been confirmed */

    struct bitmap *changed; /* pages changed since a snapshot or a comparison began; borrowed from it; NULL: none */
    bool hold;              /* capturing is paused: it reads the last pages */
    bool quiesce;           /* likewise: the local state is due for a checkpoint */
    struct local_state_content content; /* for that: identity and runs */
    struct pos acked;                   /* of the last segment that counts; txid 0: none yet */
    uint64_t retry_ms;                  /* of a local state that could not be written: not before */

    bool has_goal, goal_known; /* wanted; its counter could be read */
    uint32_t goal;             /* commit counter of the WAL index */
    bool enough;

    struct wal_pos safe; /* what the local state counts as ours ends there */
    uint64_t open_begin; /* frames that were read before the open segment */
    bool careful;        /* the log is not started over before that is near its end */
    uint32_t reset_pause_ms;
    uint64_t reset_due_us;
    uint64_t reset_count;
    const char *reset_obstacle; /* why the last try did not work; NULL after one that did */
};

/* Attach: connection, switch to WAL mode, gate.  *absent: no database there yet. */
MUST_USE struct rc db_live_open(struct db_live **out, const struct fsys *fs, const struct clock *clock,
    const char *path, bool may_switch, bool *absent, struct err *err);
/* Detach.  With `tidy`, and nobody else attached, the log is checkpointed first, so that the database file is complete
 * for whoever copies it.  With others there it is left alone: their next commit would start it over. */
void db_live_close(struct db_live *l, bool tidy);

/* Begin to read at `how`, the state of the history being `pos` (hashes hold it), into a segment of this timeline. */
MUST_USE struct rc db_live_follow(
    struct db_live *l, const struct wal_resume *how, const struct pos *pos, struct err *err);
/* The open segment, still empty, begins behind this state of the history. */
MUST_USE struct rc db_live_begin_segment(
    struct db_live *l, uint64_t base_txid, uint64_t base_checksum, struct err *err);
/* No commit has ended in the open segment, and the state is again the one that it begins with: it is empty then.  False
 * when it has parts already, which cannot be taken back. */
bool db_live_discard(struct db_live *l);
/* Pages of the database as the log or the file has it now. */
MUST_USE struct rc db_live_page_count(struct db_live *l, uint32_t *out, struct err *err);

struct db_step {
    /* In. */
    bool due;              /* finish the open segment */
    uint64_t commit_limit; /* or when it has this many commits; 0: no limit */
    bool may_finish;       /* the shipper has room for a segment */
    struct db_segment
        *acknowledged;   /* durable in the replica since the last step: noted in the local state; stay the caller's */
    unsigned parts_done; /* parts that are durable in the replica since the last step */
    bool want_goal;      /* tell when everything that is committed at this moment has been read */
    bool stopping;       /* and then read no further */
    bool careful;        /* what is not shipped must outlive this process: see db_trigger.h */
    bool to_spool;       /* finished segments go to the local disk first ... */
    struct db_segment *waiting; /* ... beginning with these, which wait for their upload; they stay the caller's */
    /* Out. */
    struct db_segment *ready;    /* parts and at most one segment, in order; owned by the receiver */
    enum wal_reader_state state; /* MORE while capturing is paused */
    bool paused;
    bool goal_reached;
    bool enough; /* stopping: nothing more is read */
    uint64_t txid;
    int64_t time_ms;
    uint32_t log_frames;
    uint64_t open_commits;            /* in the segment that is still open */
    uint64_t open_frames, open_bytes; /* of the log, read into it; stored so far */
    bool open_is_old;                 /* the log was started over since the last place in it that is known to be ours */
    uint64_t break_count;             /* places where SQLite broke the chain of checksums */
    uint64_t reset_count;             /* of the log, by us */
    const char *reset_obstacle;       /* why the last try did not work; NULL: it did */
    uint64_t frame_count;             /* frames that were read */
    struct err local_err;             /* the local state could not be written (code E_OK: it could) */
    struct err spool_err;             /* likewise the spool */
    uint64_t spool_bytes;
};

/* Capture, finish the segment if it is due, look after the log (reset, waiting checkpointers). */
MUST_USE struct rc db_live_step(struct db_live *l, struct db_step *step, struct err *err);
/* A part is durable: room for another. */
void db_live_part_done(struct db_live *l);
/* Absorb (or capture) what the log has, without finishing segments; *end is true at its end. */
MUST_USE struct rc db_live_absorb(struct db_live *l, bool *end, struct err *err);
/* Another finished part may wait; without room nothing is captured. */
bool db_live_has_room(const struct db_live *l);
/* The same, only reading: nothing is done about the log, so it may be called under the pin (wal_gate.h).  A step that
 * is cut short by its time ends behind a commit. */
MUST_USE struct rc db_live_absorb_commit(struct db_live *l, bool *end, struct err *err);
/* Finish the open segment now; NULL when it is empty. */
MUST_USE struct rc db_live_finish(struct db_live *l, struct db_segment **out, struct err *err);
/* The state after the last captured commit. */
struct pos db_live_pos(const struct db_live *l);

#endif
