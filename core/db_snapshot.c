/* SPDX-License-Identifier: Apache-2.0 */
#include "db_snapshot.h"

#include "db_sync.h"
#include "slog.h"

static void run_snap(struct work_item *item)
{
    struct db *db = item->owner;

    db->snap_rc = db_snap_run(&db->snap, db->snap.meta.txid, &db->snap_err);
}

static void answer_snapshot(struct db *db, const struct err *err)
{
    struct db_waiter **at = &db->waiters;

    while (*at != NULL) {
        struct db_waiter *w = *at;

        if (!w->for_snapshot || !w->seen) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->done(w, db->snapshot_txid, err);
    }
}

/* Something waited for the snapshot to come back. */
static void resume_close(struct db *db)
{
    if (db->state == DB_STOPPING && !db->shipper.fenced && !db->abandon)
        db_sync_kick(db);
    else
        db_close_live(db);
}

static void on_snap_done(struct work_item *item)
{
    static const struct err fine = {.code = E_OK};
    struct db *db = item->owner;

    db->in_snap = false;
    if (rc_failed(db->snap_rc)) {
        /* A log that was cut under the copy, a replica that is away: a later one will do. */
        if (rc_retryable(db->snap_err.code))
            LOG_WARN("snapshot failed", F_STR("db", db->settings->path), F_ERR(&db->snap_err));
        else
            LOG_ERROR("snapshot failed", F_STR("db", db->settings->path), F_ERR(&db->snap_err));
        db->snapshot_try_ms = clock_wall_ms(db->clock);
        answer_snapshot(db, &db->snap_err);
    } else {
        db->snap_err.code = E_OK;
        db->snapshot_txid = db->snap.meta.txid;
        db->snapshot_ms = db->snap.meta.time_ms;
        db->commits_since_snapshot = 0;
        db->snapshot_count++;
        LOG_INFO("snapshot taken", F_STR("db", db->settings->path), F_U64("txid", db->snapshot_txid),
            F_U64("pages", db->snap.meta.page_count), F_U64("bytes", db->snap.stored_bytes));
        answer_snapshot(db, &fine);
    }
    if (db->state == DB_CLOSING || db->state == DB_STOPPING || db->shipper.fenced || db->abandon)
        resume_close(db);
    else
        db_sync_kick(db);
}

static void begin_snapshot(struct db *db)
{
    db->in_snap = true;
    db->snap_wanted = false;
    for (struct db_waiter *w = db->waiters; w != NULL; w = w->next)
        w->seen = w->seen || w->for_snapshot;
    db->snap = (struct db_snap){
        .work = db->work,
        .store = db->store,
        .live = db->live,
        .lane = (int)db->lane,
        .stop = &db->snap_stop,
        .meta.txid = db->txid, /* for the job, which must not look at what the loop goes on changing */
    };
    db->snap_stop = false;
    db->snap_item.run = run_snap;
    db->snap_item.done = on_snap_done;
    work_job(db->work, &db->snap_item);
}

/* Never for a database that has not changed: the last snapshot is as good. */
void db_snapshot_if_due(struct db *db)
{
    uint64_t interval = db->settings->snapshot_interval_ms;
    int64_t since = db->snapshot_ms > db->snapshot_try_ms ? db->snapshot_ms : db->snapshot_try_ms;
    bool due = interval > 0 && db->commits_since_snapshot > 0 && clock_wall_ms(db->clock) - since >= (int64_t)interval;

    if (db->in_snap || db->state != DB_RUNNING || !(db->snap_wanted || due))
        return;
    begin_snapshot(db);
}

void db_snapshot_wait(struct db *db, struct db_waiter *w)
{
    w->for_snapshot = true;
    w->seen = false;
    w->target = 0;
    w->next = db->waiters;
    db->waiters = w;
    db->snap_wanted = true;
    db_sync_kick(db);
}
