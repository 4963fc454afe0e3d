/* SPDX-License-Identifier: Apache-2.0 */
#include "db_park.h"

#include "alloc.h"
#include "db_trigger.h"
#include "slog.h"

#include <string.h>
#include <unistd.h>

enum {
    SETTLE_TRIES = 20, /* for a tick of the system's clock: 1 to 10 ms */
    SETTLE_US = 2000,
};

/* --- when --------------------------------------------------------------------------------------------------------- */

static bool all_shipped(const struct db *db)
{
    return db->txid == db->shipped_txid && db->open_commits == 0 && db->acknowledged == NULL && db->parts_done == 0
           && shipper_idle(&db->shipper) && db->spool_bytes == 0;
}

/* What is not is in the queue only because nobody asked for it: it is shipped before the database is parked. */
static bool only_waits(const struct db *db)
{
    return db_trigger_waits(db) && db->acknowledged == NULL && db->parts_done == 0 && !db->shipper.in_flight;
}

/* A failed drill and damaged pages are told while it is parked, too, and drills go on then. */
static bool all_well(const struct db *db)
{
    return db->error.code == E_OK && db->local_error.code == E_OK && db->shipper.last_error.code == E_OK
           && !db->shipper.fenced && !db->in_gap;
}

/* A drill does not keep it open: one that is parked is drilled as well. */
static bool busy(const struct db *db)
{
    return db->in_step || db->in_snap || db->in_fence || db->prune.running || db->fold.in_flight || db->waiters != NULL
           || db->snap_wanted || db->loading != NULL || db->step.state != WAL_READER_QUIET || db->step.paused;
}

uint64_t db_park_idle_ms(const struct db *db, bool pressed)
{
    uint64_t now = clock_mono_ms(db->clock);

    /* Damaged pages are looked at every few seconds while it is open. */
    if (db->scrub.alert.code != E_OK && !pressed)
        return 0;
    if (db->state != DB_RUNNING || busy(db) || !(all_shipped(db) || (pressed && only_waits(db))) || !all_well(db)
        || now <= db->active_ms)
        return 0;
    return now - db->active_ms;
}

void db_park_begin(struct db *db)
{
    db->parking = true;
    db_stop(db);
}

bool db_park_may_mark(const struct db *db)
{
    return db->settings->of_folder && db->stop_wanted && !db->abandon && all_shipped(db) && all_well(db);
}

/* --- in the lane -------------------------------------------------------------------------------------------------- */

static bool look(const struct db_live *l, struct park_mark *m)
{
    struct err ignored;

    return !rc_failed(park_mark_look(l->fs, l->conn->path, &m->db, &ignored))
           && !rc_failed(park_mark_look(l->fs, l->conn->wal_path, &m->log, &ignored)) && m->db.there;
}

/* Until whatever is written later must have another time. */
static bool look_settled(const struct db_live *l, struct park_mark *m)
{
    for (int i = 0; i < SETTLE_TRIES; i++) {
        if (!look(l, m))
            return false;
        if (park_mark_settled(&m->db) && (!m->log.there || park_mark_settled(&m->log)))
            return true;
        (void)usleep(SETTLE_US); /* cut short by a signal: it looks a little earlier */
    }
    return false;
}

/* Everything that was committed up to this moment was read, and is in the database file. */
static bool all_copied(const struct db_live *l)
{
    struct wal_index_header h;

    return wal_reader_at_end(l->reader) && wal_index_read(l->conn->shm, &h)
           && (h.max_frame == 0 || wal_index_backfilled(l->conn->shm) == h.max_frame);
}

/*
 * The order matters: first what the files look like, then the proof that nothing came in before that look.  The gate is
 * held, so the log cannot have been started over in between.
 */
static bool take_mark(struct db *db, struct park_mark *m)
{
    const struct db_live *l = db->live;
    struct pos pos = db_live_pos(l);
    struct err ignored;

    if (l->cap.inside || wal_reader_broken(l->reader) || !local_state_ok(db->local)
        || wal_conn_check(l->conn) != WAL_CONN_SAME)
        return false;
    if (db->parking || wal_conn_alone(l->conn))
        rc_ignore(wal_conn_checkpoint(l->conn, &ignored), "what it copied is looked at");
    if (!look_settled(l, m) || !all_copied(l) || pos.txid != db->shipped_txid)
        return false;
    m->database = l->database;
    m->timeline = l->timeline;
    m->txid = pos.txid;
    m->checksum = pos.checksum;
    m->time_ms = pos.time_ms;
    m->replica = park_mark_replica(db->settings->url);
    return true;
}

/* Behind the close: a last connection has removed the log, which changes nothing in the database file. */
static bool still_holds(const struct db *db, struct park_mark *m)
{
    const char *path = db->settings->path;
    CLEANUP(mem_freep) char *log = mem_printf("%s-wal", path);
    struct park_mark_file now;
    struct err ignored;

    if (rc_failed(park_mark_look(db->fs, path, &now, &ignored)) || !park_mark_same(&m->db, &now)
        || rc_failed(park_mark_look(db->fs, log, &now, &ignored)))
        return false;
    if (!now.there)
        m->log = now;
    return true;
}

void db_park_close(struct work_item *item)
{
    struct db *db = item->owner;
    struct park_mark mark = {0};
    struct err err;

    db->marked = db->mark_wanted && take_mark(db, &mark);
    if (db->marked && wal_conn_alone(db->live->conn))
        wal_conn_let_go(db->live->conn); /* nothing is in the log that is not in the database: no need to keep it */
    db_live_close(db->live, db->tidy);
    db->marked = db->marked && still_holds(db, &mark);
    if (!db->marked)
        return;
    db->mark = mark;
    if (rc_failed(park_mark_write(db->fs, db->state_dir, &mark, &err))) {
        db->marked = false;
        LOG_WARN("a mark for the next start cannot be kept", F_STR("db", db->settings->path), F_ERR(&err));
    }
}

/* --- waking ------------------------------------------------------------------------------------------------------- */

struct rc db_park_take_mark(const struct db_start *s, struct err *err)
{
    if (s->mark == NULL)
        return RC_OK;
    *s->marked = park_mark_read(s->fs, s->state_dir, s->mark) || *s->marked;
    return park_mark_remove(s->fs, s->state_dir, err);
}

bool db_park_mark_holds(const struct db_start *s, const struct db_live *l, const struct pos *pos)
{
    const struct park_mark *m = s->mark;
    struct park_mark_file now;
    struct err ignored;

    if (m == NULL || !*s->marked || !nonce_equal(&m->database, &l->database) || m->txid != pos->txid
        || m->checksum != pos->checksum)
        return false;
    return !rc_failed(park_mark_look(s->fs, l->conn->path, &now, &ignored)) && park_mark_same(&m->db, &now);
}
