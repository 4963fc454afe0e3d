/* SPDX-License-Identifier: Apache-2.0 */
/*
 * park_mark - proof that a database is still what it was when weir let go of it, and that nothing was committed since,
 * or that everything since is in the log (docs/mechanism.md, "Parking").
 *
 * A mark is taken when all that was committed is in the replica and in the database file itself, with the gate held.
 * It names the state of the history and what the system says of the database file and its log: device, inode, size and
 * times.  From then on:
 *
 *     both as in the mark        nothing happened: the database may lie parked without being opened
 *     the database file alone    no checkpoint has copied anything, so no log was started over with anything in it:
 *                                what the log holds now is everything since, from its first frame
 *     neither                    the mark proves nothing
 *
 * A time stands still for as long as the system's clock ticks (some milliseconds), so a mark is only taken when that
 * tick is over: whatever is written later has another time.
 *
 * On the disk it is `<database>-weir/parked`, a text with a checksum.  It is taken away, durably, before a start does
 * anything, so that a power cut cannot bring back a state that is not the last one.
 */
#ifndef PARK_MARK_H
#define PARK_MARK_H

#include "fsys.h"
#include "pos.h"

struct park_mark_file {
    bool there; /* the log may be absent */
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
};

struct park_mark {
    struct nonce database;
    uint32_t timeline;
    uint64_t txid, checksum;
    int64_t time_ms;
    uint64_t replica; /* digest of the URL */
    struct park_mark_file db, log;
};

/* What the system says now; absence is fine.  Errors: E_DENIED, E_IO. */
MUST_USE struct rc park_mark_look(const struct fsys *fs, const char *path, struct park_mark_file *out, struct err *err);
bool park_mark_same(const struct park_mark_file *a, const struct park_mark_file *b);
/* The same, but a log that is absent or empty holds as much as one that the mark saw absent. */
bool park_mark_same_log(const struct park_mark_file *marked, const struct park_mark_file *now);
/* Whatever is written from now on has another time than this file has; false: not yet. */
bool park_mark_settled(const struct park_mark_file *f);
uint64_t park_mark_replica(const char *url);

/* What is to be done with a parked database that looks like this now. */
enum park_verdict {
    PARK_STAY,  /* nothing was committed since */
    PARK_WAKE,  /* something may have been */
    PARK_EMPTY, /* its application has not written it yet */
    PARK_GONE,
};
enum park_verdict park_mark_judge(
    const struct park_mark *mark, const struct park_mark_file *db, const struct park_mark_file *log);

MUST_USE struct rc park_mark_write(
    const struct fsys *fs, const char *dir, const struct park_mark *mark, struct err *err);
/* False: there is none, or none that can be used. */
bool park_mark_read(const struct fsys *fs, const char *dir, struct park_mark *out);
/* Durable when it returns. */
MUST_USE struct rc park_mark_remove(const struct fsys *fs, const char *dir, struct err *err);

#endif
