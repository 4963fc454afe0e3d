/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_conn - weir's hold on a live database: two SQLite connections and the descriptors beside them.
 *
 * G is the gate connection: only raw locks through its file object (wal_gate.h).  B is an ordinary connection for
 * checkpoints and the reset commit.  Both have automatic checkpoints and the checkpoint at close switched off.
 *
 * POSIX drops every lock of a process on a file when the process closes any descriptor of it.  So the descriptors for
 * the database and the -shm file are opened before the connections, live as long as they do, are closed after them, and
 * nobody else in the process may open these files: a second wal_conn_open() of the same file is refused.
 *
 * One process at a time has a database open in this way: the descriptor of the database holds a flock, of which SQLite
 * knows nothing.  On a file system that has none, only the lock in the local state is left.
 *
 * Threads: one at a time.  Blocking, with short bounds (WAL_CONN_BUSY_MS).
 */
#ifndef WAL_CONN_H
#define WAL_CONN_H

#include "fsys.h"
#include "wal_index.h"

#include <sqlite3.h>

enum { WAL_CONN_BUSY_MS = 500 };

struct wal_conn {
    const struct fsys *fs;
    char *path, *wal_path, *shm_path; /* owned */
    int db_fd, wal_fd, shm_fd;        /* read-only; owned */
    dev_t device;                     /* identity of the database file */
    ino_t inode;
    uint32_t page_size;
    bool switched; /* it was in rollback mode and was switched to WAL by wal_conn_open() */

    sqlite3 *gate;           /* G; owned */
    sqlite3 *back;           /* B; owned */
    sqlite3_file *gate_file; /* G's file object; borrowed from it */
    volatile void *shm;      /* first region of the WAL index; borrowed from it */
    bool gate_held;          /* see wal_gate.h */
    bool gate_marked;        /* held, but beside a reader whose mark still limits checkpoints */
    bool gate_pinned;        /* no checkpoint can copy anything */

    struct wal_index_header tried; /* the log at the last try to start it over (wal_reset.h) */
};

enum wal_conn_outcome {
    WAL_CONN_OPENED,
    WAL_CONN_ABSENT, /* no such file yet, or it is empty: its application has not written it */
};

/*
 * Attach to the database.  `may_switch`: a database in rollback mode is switched to WAL, otherwise E_CONFIG.  No
 * transaction of others fails for that.
 * Errors: E_FENCED another process has it open in this way; E_CONFIG not a SQLite database (says what it looks like),
 * E_CORRUPT, E_BUSY somebody holds it exclusively, or is in a transaction when it is to be switched, E_DENIED, E_IO.
 */
MUST_USE struct rc wal_conn_open(struct wal_conn **out, const struct fsys *fs, const char *path, bool may_switch,
    enum wal_conn_outcome *outcome, struct err *err);
void wal_conn_close(struct wal_conn *c);
/* Let SQLite do at the close what it does for any last connection: copy the log into the database and remove it.  For a
 * log that must not be left to recovery (wal_reader_broken). */
void wal_conn_let_go(struct wal_conn *c);
void wal_conn_closep(struct wal_conn **c);

/* Is the file at the path still the one that is open, and its log?  A database in WAL mode has a first page at least:
 * one without a byte was truncated by somebody who is not SQLite. */
enum wal_conn_identity {
    WAL_CONN_SAME,
    WAL_CONN_REPLACED,
    WAL_CONN_EMPTIED,
    WAL_CONN_LOG_REMOVED,
    WAL_CONN_GONE,
};
enum wal_conn_identity wal_conn_check(const struct wal_conn *c);

/* Has no other process the database open?  (Every connection in WAL mode holds a shared lock on the file.) */
bool wal_conn_alone(const struct wal_conn *c);

/* Run SQL on B without results. */
MUST_USE struct rc wal_conn_exec(struct wal_conn *c, const char *sql, struct err *err);
/* Run `PRAGMA name` on B and give its one number. */
MUST_USE struct rc wal_conn_pragma(struct wal_conn *c, const char *name, int64_t *out, struct err *err);
/* A PASSIVE checkpoint by B.  Being unable to copy everything is not an error. */
MUST_USE struct rc wal_conn_checkpoint(struct wal_conn *c, struct err *err);
/* A TRUNCATE checkpoint by B: copy what can be copied, and start the log over if nobody needs it.  Waits for nobody.
 * *done false: readers, a writer or a checkpointer are in the way. */
MUST_USE struct rc wal_conn_truncate(struct wal_conn *c, bool *done, struct err *err);
/* The WAL index cannot be read: look through B, which makes SQLite recover it if whoever was changing it has died.
 * While that one lives and holds the write lock nothing happens, at once. */
MUST_USE struct rc wal_conn_recover(struct wal_conn *c, struct err *err);

/* Try a lock of the -shm file through G (numbers of wal_index.h).  False: somebody else holds it. */
bool wal_conn_lock(struct wal_conn *c, int first, int count, bool exclusive);
void wal_conn_unlock(struct wal_conn *c, int first, int count, bool exclusive);
/* Does another process hold this lock exclusively?  Shared?  Asks the system (F_GETLK), takes nothing. */
bool wal_conn_others_hold(const struct wal_conn *c, int lock);
bool wal_conn_others_share(const struct wal_conn *c, int lock);

#endif
