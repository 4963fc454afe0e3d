/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_reset.h"

#include "clock.h"
#include "wal_gate.h"

#include <stdio.h>
#include <unistd.h>

enum {
    FIRST_SLOT = WAL_INDEX_LOCK_READ0 + 1,
    OTHER_SLOTS = WAL_INDEX_GATE_SLOT - 1, /* slots 1 to 3 */
    LOCK_PAUSE_US = 20,
    WAITER_PAUSE_US = 500,
};

static uint64_t now_us(void)
{
    return clock_mono_us(&clock_real);
}

static bool take_write_lock(struct wal_conn *c)
{
    uint64_t until = now_us() + WAL_RESET_WAIT_US;

    while (!wal_conn_lock(c, WAL_INDEX_LOCK_WRITE, 1, true)) {
        if (now_us() > until)
            return false;
        (void)usleep(LOCK_PAUSE_US);
    }
    return true;
}

static bool all_backfilled(const struct wal_conn *c)
{
    struct wal_index_header h;

    return wal_index_read(c->shm, &h) && h.max_frame > 0 && wal_index_backfilled(c->shm) == h.max_frame;
}

/* With writers held off, short readers go away and everything can be copied into the database; a long one cannot be
 * helped. */
static struct rc backfill(struct wal_conn *c, uint64_t until, bool *done, struct err *err)
{
    for (;;) {
        *done = all_backfilled(c);
        if (*done || now_us() > until)
            return RC_OK;
        TRY(wal_conn_checkpoint(c, err));
        if (!all_backfilled(c))
            (void)usleep(WAITER_PAUSE_US);
    }
}

/* Readers in the other slots would turn our commit into a mere append. */
static bool slots_free(struct wal_conn *c, uint64_t until)
{
    while (!wal_conn_lock(c, FIRST_SLOT, OTHER_SLOTS, true)) {
        if (now_us() > until)
            return false;
        (void)usleep(LOCK_PAUSE_US);
    }
    wal_conn_unlock(c, FIRST_SLOT, OTHER_SLOTS, true);
    return true;
}

static void rollback(struct wal_conn *c)
{
    struct err ignored;

    rc_ignore(wal_conn_exec(c, "ROLLBACK", &ignored), "there may be no transaction left to roll back");
}

/*
 * The commit itself.  In: write and checkpoint lock held, all backfilled, gate held.  Out: gate held, both locks free.
 * *ours tells whether our commit went through; a writer that slipped in between is no harm, only "later".
 */
static struct rc commit_page_one(struct wal_conn *c, bool *ours, struct err *err)
{
    char sql[64];
    int64_t version = 0;
    struct rc rc;
    struct err gate_err;

    *ours = false;
    rc = wal_conn_exec(c, "BEGIN", err);
    if (!rc_failed(rc))
        rc =
            wal_conn_pragma(c, "user_version", &version, err); /* begins reading, in slot 0: everything is backfilled */
    if (rc_failed(rc)) {
        rollback(c);
        wal_conn_unlock(c, WAL_INDEX_LOCK_WRITE, 1, true);
        wal_conn_unlock(c, WAL_INDEX_LOCK_CKPT, 1, true);
        return rc;
    }
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%lld", (long long)version);
    (void)sqlite3_busy_timeout(c->back, 0);
    wal_gate_open(c);
    wal_conn_unlock(c, WAL_INDEX_LOCK_WRITE, 1, true);
    rc = wal_conn_exec(c, sql, err);
    if (!rc_failed(rc))
        rc = wal_conn_exec(c, "COMMIT", err);
    *ours = !rc_failed(rc);
    if (!*ours)
        rollback(c);
    (void)sqlite3_busy_timeout(c->back, WAL_CONN_BUSY_MS);
    if (rc_failed(wal_gate_close(c, &gate_err))) {
        wal_conn_unlock(c, WAL_INDEX_LOCK_CKPT, 1, true);
        *err = gate_err;
        return rc_of(err);
    }
    wal_conn_unlock(c, WAL_INDEX_LOCK_CKPT, 1, true);
    return rc.code == E_BUSY ? RC_OK : rc;
}

/* Any connection that commits to a long log makes a checkpoint after it, so with writers held off there may be one to
 * wait for. */
static bool take_checkpoint_lock(struct wal_conn *c, uint64_t until)
{
    while (!wal_conn_lock(c, WAL_INDEX_LOCK_CKPT, 1, true)) {
        if (now_us() > until)
            return false;
        (void)usleep(LOCK_PAUSE_US);
    }
    return true;
}

/* Is a reader still there that was at the last try?  Then holding off writers would help nobody.  In slot 0 nobody can
 * have begun since then if something of the log as it was is not copied yet. */
static bool old_reader(struct wal_conn *c)
{
    struct wal_index_header now, before = c->tried;

    if (!wal_index_read(c->shm, &now))
        return false;
    c->tried = now;
    if (before.salt[0] != now.salt[0] || before.salt[1] != now.salt[1])
        return false;
    if (wal_index_backfilled(c->shm) < before.max_frame && wal_conn_others_share(c, WAL_INDEX_LOCK_READ0))
        return true;
    for (unsigned slot = 1; slot <= WAL_INDEX_GATE_SLOT; slot++)
        if (wal_index_read_mark(c->shm, slot) < before.max_frame
            && (slot == WAL_INDEX_GATE_SLOT ? c->gate_marked
                                            : wal_conn_others_share(c, WAL_INDEX_LOCK_READ0 + (int)slot)))
            return true;
    return false;
}

/* Write lock held.  *ready: the checkpoint lock is held too and nothing stands in the way. */
static struct rc prepare(struct wal_conn *c, uint32_t hold_us, bool *ready, const char **reason, struct err *err)
{
    uint64_t until = now_us() + hold_us;
    bool done = false;

    *ready = false;
    TRY(backfill(c, until, &done, err));
    *reason = "a reader holds back the checkpoint";
    if (!done)
        return RC_OK;
    *reason = "somebody else is checkpointing";
    if (!take_checkpoint_lock(c, until))
        return RC_OK;
    *reason = "a reader is using the log";
    if (!slots_free(c, until)) {
        wal_conn_unlock(c, WAL_INDEX_LOCK_CKPT, 1, true);
        return RC_OK;
    }
    *ready = true;
    return RC_OK;
}

struct rc wal_reset_try(struct wal_conn *c, wal_reset_copy_fn copy, void *ctx, uint32_t hold_us,
    enum wal_reset_outcome *outcome, const char **reason, struct err *err)
{
    struct wal_index_header before, after;
    bool ready = false, copied = false, ours;
    struct rc rc;

    *outcome = WAL_RESET_READER;
    *reason = "a reader holds back the checkpoint";
    TRY(wal_conn_checkpoint(c, err)); /* the bulk, while writers go on */
    if (old_reader(c))
        return RC_OK;
    *outcome = WAL_RESET_LATER;
    *reason = "a writer holds the write lock";
    if (!take_write_lock(c))
        return RC_OK;
    *reason = "the log grew faster than it could be read";
    rc = copy(ctx, &copied, err);
    if (copied)
        rc = prepare(c, hold_us, &ready, reason, err);
    if (!ready) {
        wal_conn_unlock(c, WAL_INDEX_LOCK_WRITE, 1, true);
        return rc;
    }
    if (!wal_index_read(c->shm, &before))
        before.max_frame = 0;
    TRY_CTX(commit_page_one(c, &ours, err), err, "reset the log");
    *reason = "another writer was faster";
    if (ours && wal_index_read(c->shm, &after)) {
        *reason = "a reader kept the log from starting over";
        if (after.salt[0] != before.salt[0] || after.salt[1] != before.salt[1])
            *outcome = WAL_RESET_DONE;
    }
    return RC_OK;
}

bool wal_reset_hold_writers(struct wal_conn *c)
{
    return take_write_lock(c);
}

void wal_reset_release_writers(struct wal_conn *c)
{
    wal_conn_unlock(c, WAL_INDEX_LOCK_WRITE, 1, true);
}

/* An empty log is nothing to copy, and SQLite starts it over all the same. */
static bool nothing_to_copy(const struct wal_conn *c)
{
    struct wal_index_header h;

    return wal_index_read(c->shm, &h) && wal_index_backfilled(c->shm) == h.max_frame;
}

bool wal_reset_waiter(const struct wal_conn *c)
{
    return wal_conn_others_hold(c, WAL_INDEX_LOCK_CKPT) && wal_conn_others_hold(c, WAL_INDEX_LOCK_WRITE)
           && nothing_to_copy(c);
}

static struct rc let_through(struct wal_conn *c, uint32_t limit_us, struct err *err)
{
    uint64_t until = now_us() + limit_us;

    wal_gate_open(c);
    while (now_us() < until && wal_conn_others_hold(c, WAL_INDEX_LOCK_CKPT)
           && wal_conn_others_hold(c, WAL_INDEX_LOCK_WRITE))
        (void)usleep(WAITER_PAUSE_US);
    return wal_gate_close(c, err);
}

struct rc wal_reset_tend_gate(struct wal_conn *c, const struct wal_reader *r, uint32_t limit_us, struct err *err)
{
    struct rc rc = RC_OK;

    if ((!c->gate_marked && !wal_reset_waiter(c)) || !wal_gate_pin(c))
        return RC_OK;
    /* Only under the pin is "read to the end" something that stays true of whatever may be reset. */
    if (wal_reader_at_end(r)) {
        rc = wal_gate_improve(c, err);
        if (!rc_failed(rc) && wal_reset_waiter(c))
            rc = let_through(c, limit_us, err);
    }
    wal_gate_unpin(c);
    return rc;
}
