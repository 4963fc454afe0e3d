/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_state - what one database's replication remembers on the local disk, in `<database>-weir/` or below the
 * state-dir (docs/format.md, "Local state").
 *
 *     lock          held (flock) by the one process that replicates the database; its text: process id, control socket
 *     current       the checkpoint: its id, position, runs; replaced atomically
 *     pages.<id>    the page-hash index as it was at the checkpoint, guarded by a hash
 *     log.<id>      what changed since: records of page hashes, of acknowledged positions, of runs, each guarded by a
 *                   hash that also covers the one before
 *
 *     local_state_open(&ls, fs, dir, err)                         takes the lock
 *     local_state_load(ls, &content, hashes, &found, err)         or local_state_checkpoint() to begin
 *     local_state_add_run(ls, &run, err)
 *     local_state_page(ls, ...) ... mark = local_state_mark(ls)   as pages change, as segments end
 *     local_state_acknowledge(ls, mark, &pos, err)                in the order of the marks
 *     local_state_close(ls)
 *
 * The index in memory runs ahead of what the replica has acknowledged.  Its changes are appended to the log as they
 * happen, but count only once a position record, written after the acknowledgement, says up to which byte of the log
 * they do.  So loading yields the index of exactly the last acknowledged state (or an earlier one, when a power cut
 * took the log's end): its XOR must equal the state checksum in the position, otherwise it is not trusted.
 *
 * Nothing is fsynced per acknowledgement: a position that is older than the replica's tip is found out and made good by
 * whoever starts from it (core/db_start).  A checkpoint (new pages file, new log) is fsynced before it becomes current.
 *
 * A failing write (full disk) makes the state stale, not wrong: local_state_ok() turns false, later appends do nothing,
 * each local_state_acknowledge() returns what went wrong, and local_state_checkpoint() tries a fresh start. Replication
 * need not stop for it.  The same holds before there is anything to append to.
 *
 * Threads: one at a time for each object; local_state_peek(), local_state_look() and local_state_holder() at any time,
 * beside other processes.  Memory: up to 100 KiB while pages come in, a few KiB between.
 */
#ifndef LOCAL_STATE_H
#define LOCAL_STATE_H

#include "local_place.h"
#include "page_hash.h"
#include "pos.h"

enum {
    LOCAL_STATE_LOG_MAX =
        8 << 20, /* bytes after which local_state_wants_checkpoint(); at least as large as the index */
    LOCAL_STATE_RUNS_MAX = 64,
};

struct local_state;

/* Make the directory (0700) if it is missing and take the lock.  E_FENCED when another process holds it: the message
 * names its process id. */
MUST_USE struct rc local_state_open(struct local_state **out, const struct fsys *fs, const char *dir, struct err *err);
void local_state_close(struct local_state *ls);
void local_state_closep(struct local_state **ls);

/* What a holder of the lock writes into it for others to find (its control socket; may be empty), and what others read.
 */
MUST_USE struct rc local_state_announce(struct local_state *ls, const char *socket_path, struct err *err);
struct local_state_holder {
    bool held;
    long pid;
    char socket_path[1024]; /* SQLite takes paths of 512 bytes */
};
MUST_USE struct rc local_state_holder(
    const struct fsys *fs, const char *dir, struct local_state_holder *out, struct err *err);

struct local_state_content {
    struct nonce database; /* of the history that the state belongs to */
    struct pos pos;        /* acknowledged */
    bool restored;         /* made by a restore; no run has acknowledged anything since */
    bool chosen;           /* and the operator named the txid, time or timeline: it need not be the newest state */
    bool followed; /* kept by `weir restore --follow`: positions are states that were applied, and it stays restored */
    struct nonce runs[LOCAL_STATE_RUNS_MAX]; /* of the latest runs that may have written objects, newest last */
    size_t run_count;
};

enum local_state_found {
    LOCAL_STATE_NONE,   /* nothing there: a first start, or the directory was deleted */
    LOCAL_STATE_GOOD,   /* content and index */
    LOCAL_STATE_BROKEN, /* something is there but cannot be trusted; err->msg of the call says why; the content's
                           database and pos are the last readable ones, or zero */
};
/* Load content and index.  With LOCAL_STATE_BROKEN the reason is in `err` although the call returns RC_OK. */
MUST_USE struct rc local_state_load(struct local_state *ls, struct local_state_content *content,
    struct page_hash *hashes, enum local_state_found *found, struct err *err);
/* The same without the lock and without the index: for `weir status` beside a running or after a dead daemon. */
MUST_USE struct rc local_state_peek(const struct fsys *fs, const char *dir, struct local_state_content *content,
    enum local_state_found *found, struct err *err);

/* The same with the index.  Of a state that somebody writes to meanwhile it may be one that cannot be trusted. */
MUST_USE struct rc local_state_look(const struct fsys *fs, const char *dir, struct local_state_content *content,
    struct page_hash *hashes, enum local_state_found *found, struct err *err);

/*
 * Replace everything by this state, runs included: fsynced when it returns.  Also the way to begin (after a first
 * snapshot, a restore; a state without pages is a state too, so that runs can be recorded before the first one).
 *
 * `hashes` must be the index at content->pos, so nothing may be under way to the replica; E_BUG otherwise.  Marks from
 * before are void.  After a failure the disk holds the old state or this one, and the state is stale.
 */
MUST_USE struct rc local_state_checkpoint(
    struct local_state *ls, const struct local_state_content *content, const struct page_hash *hashes, struct err *err);
/* The log has grown so much that reading it would take longer than reading a new checkpoint.  (At several times that
 * size nothing more is appended: the state is then stale.) */
bool local_state_wants_checkpoint(const struct local_state *ls);
bool local_state_ok(const struct local_state *ls);

/* A run begins: its nonce is on disk (fsynced) before any object carries it.  Fails when the state is stale, and with
 * E_NOTFOUND when there is none to add it to. */
MUST_USE struct rc local_state_add_run(struct local_state *ls, const struct nonce *run, struct err *err);

/*
 * A page got a new hash (buffered).  Always RC_OK: what goes wrong is told by the next local_state_acknowledge().
 *
 * That the database shrank need not be told, the position's page count says so; but when it grows, every page that it
 * grows by must be told, whatever hash it had when it was there before.
 */
MUST_USE struct rc local_state_page(struct local_state *ls, uint32_t pgno, uint64_t hash, struct err *err);
/* How far the log reaches now: take it when a segment is finished ... */
uint64_t local_state_mark(struct local_state *ls);
/* ... and give it back when the replica has acknowledged the segment.  Not synced.  E_BUG for a mark that is older than
 * the last one, or of before the last checkpoint. */
MUST_USE struct rc local_state_acknowledge(
    struct local_state *ls, uint64_t mark, const struct pos *pos, struct err *err);

/* What was acknowledged so far is on the disk: for when the log that it was read from may be started over before the
 * replica has it (core/spool). */
MUST_USE struct rc local_state_sync(struct local_state *ls, struct err *err);

/* Remove the state (the directory stays, for its lock). */
MUST_USE struct rc local_state_discard(struct local_state *ls, struct err *err);

#endif
