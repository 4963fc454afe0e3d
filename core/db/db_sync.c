/* SPDX-License-Identifier: Apache-2.0 */
#include "db_sync.h"

#include "db_fence.h"
#include "db_fold.h"
#include "db_snapshot.h"
#include "db_spool.h"
#include "db_trigger.h"
#include "slog.h"

#include <assert.h>
#include <string.h>

enum {
    TICK_MS = 20, /* between two looks at a busy log: a page's image before is still to be had, commit times are near */
    TICK_MIN_MS = 2,
    FAST_FRAMES = 100, /* in one step: a writer at full speed */
    QUIET_MAX_MS =
        500, /* between two looks at a quiet one, for what gives no event: an application waiting in a checkpoint */
};

static void take_step(struct db *db);

/* --- events
 * ------------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer)
{
    take_step(timer->data);
}

static void step_in(struct db *db, uint64_t ms)
{
    int rc = uv_timer_start(&db->timer, on_timer, ms, 0);

    assert(rc == 0);
}

static void on_event(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct db *db = watch->data;

    (void)name;
    (void)events;
    (void)status; /* an error is as good as an event: look */
    db_sync_unwatch(db);
    db->quiet_ms = 0;
    take_step(db);
}

void db_sync_unwatch(struct db *db)
{
    if (!db->watching)
        return;
    for (int i = 0; i < 2; i++)
        (void)uv_fs_event_stop(&db->watch[i]); /* fails only when it is not active */
    db->watching = false;
}

/*
 * A busy writer's automatic checkpoint writes to the database file.  From then on it checkpoints at every commit, until
 * the log is started over: that is worth a look at once.
 */
static void watch_checkpoints(struct db *db)
{
    if (!uv_is_active((const uv_handle_t *)&db->watch[1]))
        (void)uv_fs_event_start(&db->watch[1], on_event, db->live->conn->path, 0); /* without it the timer does it */
    db->watching = true;
}

/* Where no event can be had (some file systems), the timer alone does it. */
static void watch(struct db *db)
{
    if (uv_is_active((const uv_handle_t *)&db->watch[0]))
        return;
    (void)uv_fs_event_start(&db->watch[0], on_event, db->live->conn->wal_path, 0);
    watch_checkpoints(db);
    db->again = true; /* what happened just before the watch began gave no event */
}

/* --- waiters
 * ------------------------------------------------------------------------------------------------------------- */

static void settle_waiters(struct db *db)
{
    static const struct err fine = {.code = E_OK};
    struct db_waiter **at = &db->waiters;

    while (*at != NULL) {
        struct db_waiter *w = *at;

        if (w->for_snapshot || w->target == 0 || w->target > db->shipped_txid) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->done(w, db->shipped_txid, &fine);
    }
}

/* Everything that was committed when they came has been read. */
static void set_targets(struct db *db, uint64_t txid)
{
    db->goal_pending = false;
    db_trigger_let(db, txid);
    for (struct db_waiter *w = db->waiters; w != NULL; w = w->next) {
        if (!w->for_snapshot && w->target == 0 && w->seen)
            w->target = txid;
    }
}

static bool anybody_waits(const struct db *db)
{
    for (const struct db_waiter *w = db->waiters; w != NULL; w = w->next) {
        if (!w->for_snapshot)
            return true;
    }
    return false;
}

/* One goal at a time: those who come while it is pursued share the next one. */
static bool set_goal(struct db *db)
{
    if (db->goal_pending)
        return false;
    db->goal_pending = db->state == DB_STOPPING || db->trigger.asked;
    db->trigger.asked = false;
    for (struct db_waiter *w = db->waiters; w != NULL; w = w->next) {
        if (w->for_snapshot || w->target != 0)
            continue;
        w->seen = true;
        db->goal_pending = true;
    }
    return db->goal_pending;
}

void db_sync_wait(struct db *db, struct db_waiter *w)
{
    w->for_snapshot = false;
    w->seen = false;
    w->target = 0;
    w->next = db->waiters;
    db->waiters = w;
    db_trigger_ask(db); /* it is done also when nobody waits for it any more */
    db_sync_kick(db);
}

/* --- steps
 * ---------------------------------------------------------------------------------------------------------------- */

static void run_step(struct work_item *item)
{
    struct db *db = item->owner;

    db->identity = wal_conn_check(db->live->conn);
    if (db->identity != WAL_CONN_SAME)
        db->step.due = db->step.may_finish = true; /* nobody can read it again: ship what was read of it */
    db->job_rc = db_live_step(db->live, &db->step, &db->step_err);
    db_fold_in_lane(db);
    db_scrub_in_lane(db);
}

static void next_step(struct db *db)
{
    uint64_t tick = db->settings->sync_interval_ms < TICK_MS ? db->settings->sync_interval_ms : TICK_MS;
    uint64_t pause;

    if (tick < TICK_MIN_MS)
        tick = TICK_MIN_MS;
    if (db->step.frame_count > 0) {
        db->quiet_ms = 0;
        watch_checkpoints(db);
        /* Fast writers checkpoint every few milliseconds, and overwrite the images from before. */
        if (db_spool_must_keep(db))
            tick = 0;
        step_in(db, db->step.frame_count > FAST_FRAMES && tick > TICK_MIN_MS ? TICK_MIN_MS : tick);
        return;
    }
    watch(db);
    if (db->again) {
        db->again = false;
        step_in(db, 0);
        return;
    }
    db->quiet_ms = db->quiet_ms == 0 ? tick : db->quiet_ms * 2;
    if (db->quiet_ms > QUIET_MAX_MS)
        db->quiet_ms = QUIET_MAX_MS;
    pause = db->quiet_ms;
    if (db_spool_must_keep(db))
        pause = 0;
    else if (db->step.open_commits > 0 && shipper_has_room(&db->shipper) && db_trigger_due_in_ms(db) < pause)
        pause = db_trigger_due_in_ms(db);
    step_in(db, db_scrub_pause_ms(db, pause));
}

static void hand_to_shipper(struct db *db)
{
    struct db_segment *s = db->step.ready, *next;

    for (; s != NULL; s = next) {
        next = s->next;
        shipper_put(&db->shipper, s);
    }
    db->step.ready = NULL;
}

static void publish(struct db *db)
{
    if (db->txid <= db->shipped_txid && db->step.txid > db->txid)
        db->unshipped_ms = db->step.time_ms; /* all before is in the replica: what waits begins here */
    db->txid = db->step.txid;
    db->time_ms = db->step.time_ms;
    db->open_commits = db->step.open_commits;
    db->open_frames = db->step.open_frames;
    db->open_bytes = db->step.open_bytes;
    db->open_is_old = db->step.open_is_old;
    db->reset_count = db->step.reset_count;
    db->reset_obstacle = db->step.reset_obstacle;
    db->log_bytes = (uint64_t)db->step.log_frames * (WAL_FMT_FRAME_HEADER_SIZE + db->live->conn->page_size);
    if (db->step.break_count > db->break_count)
        LOG_WARN(
            "SQLite left committed frames without a valid checksum in the log (a bug of the application's SQLite, "
            "after a "
            "rollback to a savepoint); its own recovery after a crash would lose them, so the log is started over now",
            F_STR("db", db->settings->path), F_U64("txid", db->txid));
    db->break_count = db->step.break_count;
    if (db->step.local_err.code != E_OK && db->local_error.code == E_OK)
        LOG_ERROR("the local state cannot be written; replication goes on, a restart will compare every page",
            F_STR("db", db->settings->path), F_ERR(&db->step.local_err));
    db->local_error = db->step.local_err;
}

/* What the last step found makes it necessary to attach anew.  The reason is for the log. */
static const char *must_reattach(struct db *db)
{
    static const char *const changed[] = {
        [WAL_CONN_REPLACED] = "the database file was replaced",
        [WAL_CONN_EMPTIED] = "the database file was emptied: it has no byte any more",
        [WAL_CONN_LOG_REMOVED] = "somebody removed the log (the -wal file) of the open database",
        [WAL_CONN_GONE] = "the database file is gone",
    };

    if (db->step.state == WAL_READER_LOST)
        return "commits were overwritten before they were read";
    if (db->identity != WAL_CONN_SAME)
        return changed[db->identity];
    if (db_spool_exhausted(db))
        return "the replica takes nothing, and the log and the spool have reached their limits: exact history stops "
               "here";
    return NULL;
}

static void reattach(struct db *db, const char *reason)
{
    LOG_WARN("attaching anew", F_STR("db", db->settings->path), F_STR("reason", reason));
    db->must_compare = true;
    db->error.code = E_OK;
    if (db_spool_exhausted(db)) {
        db->in_gap = true;
        shipper_drop(&db->shipper);
    }
    db_close_live(db);
}

static void step_failed(struct db *db)
{
    db->error = db->step_err;
    if (db->error.code == E_CORRUPT)
        db->must_compare = true;
    LOG_ERROR("replication stopped, will start anew", F_STR("db", db->settings->path), F_ERR(&db->error));
    db_close_live(db);
}

/* Stopping: everything that was committed before is read, shipped, and noted in the local state. */
static bool all_done(const struct db *db)
{
    return db->step.enough && db->open_commits == 0 && shipper_idle(&db->shipper) && db->acknowledged == NULL
           && db->txid == db->shipped_txid;
}

static void on_step_done(struct work_item *item)
{
    struct db *db = item->owner;
    const char *reason;

    for (struct db_segment *s = db->step.acknowledged, *next; s != NULL; s = next) {
        next = s->next;
        db_live_free_segment(s);
    }
    db_spool_after(db);
    db_fold_after(db);
    db_scrub_after(db);
    hand_to_shipper(db);
    db->in_step =
        false; /* not earlier: what came back meanwhile must not begin the next step over this one's outcome */
    if (!rc_failed(db->job_rc))
        publish(db); /* also where this was the last one: what it handed over is shipped and counted */
    if (db->state == DB_CLOSING || db->shipper.fenced || db->abandon) {
        db_close_live(db);
        return;
    }
    if (rc_failed(db->job_rc)) {
        step_failed(db);
        return;
    }
    db_news(db);
    if (db->step.frame_count > 0)
        db->active_ms = clock_mono_ms(db->clock);
    reason = must_reattach(db);
    if (reason != NULL) {
        reattach(db, reason);
        return;
    }
    if (db->step.goal_reached)
        set_targets(db, db->txid);
    settle_waiters(db);
    if (db->state == DB_STOPPING && all_done(db)) {
        db_close_live(db);
        return;
    }
    db_trigger_read(db, db_spool_works(db));
    db_trigger_apply(db);
    db_snapshot_if_due(db);
    db_prune_if_due(db);
    db_drill_tend(db);
    db_drill_if_due(db);
    db_fence_look_if_due(db);
    if (db->step.state == WAL_READER_MORE)
        step_in(db, shipper_has_room(&db->shipper) && !db->step.paused ? 0 : TICK_MS);
    else
        next_step(db);
}

static bool is_due(const struct db *db)
{
    bool asked = db->settings->sync_interval_ms == DB_INTERVAL_OFF ? db->goal_pending : anybody_waits(db);

    return asked || db->state == DB_STOPPING || db_trigger_due_in_ms(db) == 0;
}

static void take_step(struct db *db)
{
    bool want_goal;

    if (db->state != DB_RUNNING && db->state != DB_STOPPING)
        return;
    if (db->in_step) {
        db->again = true;
        return;
    }
    want_goal = set_goal(db);
    db_trigger_apply(db);
    db->step = (struct db_step){
        .commit_limit = db_trigger_commit_limit(db),
        .may_finish = shipper_has_room(&db->shipper),
        .stopping = db->state == DB_STOPPING,
        .want_goal = want_goal,
        .due = is_due(db),
        .acknowledged = db->acknowledged,
        .parts_done = db->parts_done,
        .local_err = db->local_error,
    };
    db_spool_before(db);
    db_fold_before(db);
    db_scrub_before(db);
    db->acknowledged = NULL;
    db->parts_done = 0;
    db->in_step = true;
    db->again = false;
    (void)uv_timer_stop(&db->timer); /* stopping a timer cannot fail */
    db->step_item.run = run_step;
    db->step_item.done = on_step_done;
    work_lane(db->work, db->lane, &db->step_item);
}

void db_sync_kick(struct db *db)
{
    db->again = true;
    if (!db->in_step)
        take_step(db);
}

void db_sync_begin(struct db *db)
{
    db_scrub_started(db);
    db->close_item.run = NULL;
    db->trigger.asked = db->trigger.asked || db->goal_pending;
    db->goal_pending = false;
    db->quiet_ms = 0;
    db->active_ms = clock_mono_ms(db->clock);
    db->local_error.code = E_OK;
    take_step(db);
}

/* --- shipped
 * ---------------------------------------------------------------------------------------------------------------- */

void db_sync_shipped(void *ctx, struct db_segment *s)
{
    struct db *db = ctx;

    if (s->is_part && !s->spooled) {
        db->parts_done++;
        db_live_free_segment(s);
    } else {
        struct db_segment **last = &db->acknowledged;

        if (!s->is_part) {
            db->shipped_txid = s->pos.txid;
            db->shipped_time_ms = s->pos.time_ms;
        }
        if (!db_fold_wants(db, s))
            buf_fini(&s->bytes);
        while (*last != NULL)
            last = &(*last)->next;
        *last = s;
    }
    settle_waiters(db);
    if (db->state == DB_CLOSING)
        db_close_live(db);
    else
        db_sync_kick(db);
}
