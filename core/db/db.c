/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include "alloc.h"
#include "db_first.h"
#include "db_park.h"
#include "db_snapshot.h"
#include "db_spool.h"
#include "db_sync.h"
#include "db_trigger.h"
#include "slog.h"

#include <assert.h>
#include <string.h>

enum { WAIT_FOR_FILE_MS = 500, RETRY_BASE_MS = 500, RETRY_MAX_MS = 30000 };

static void begin_start(struct db *db);

const char *db_state_name(enum db_state state)
{
    static const char *const names[] = {
        [DB_WAITING] = "waiting",
        [DB_STARTING] = "starting",
        [DB_RUNNING] = "replicating",
        [DB_CLOSING] = "restarting",
        [DB_RETRYING] = "retrying",
        [DB_STOPPING] = "stopping",
        [DB_FENCED] = "fenced",
        [DB_FAILED] = "failed",
        [DB_STOPPED] = "stopped",
    };

    return names[state];
}

/* What may follow what: a move that is not here is a mistake in this program. */
static bool move_allowed(enum db_state from, enum db_state to)
{
    static const unsigned allowed[] = {
        [DB_WAITING] = 1u << DB_STARTING | 1u << DB_STOPPED,
        [DB_STARTING] = 1u << DB_WAITING | 1u << DB_RUNNING | 1u << DB_RETRYING | 1u << DB_FENCED | 1u << DB_FAILED
                        | 1u << DB_STOPPED | 1u << DB_STOPPING,
        [DB_RUNNING] = 1u << DB_CLOSING | 1u << DB_STOPPING,
        [DB_CLOSING] = 1u << DB_STARTING | 1u << DB_RETRYING | 1u << DB_FENCED | 1u << DB_STOPPED,
        [DB_RETRYING] = 1u << DB_STARTING | 1u << DB_STOPPED,
        [DB_STOPPING] = 1u << DB_STOPPED | 1u << DB_FENCED,
        [DB_FENCED] = 0,
        [DB_FAILED] = 0,
        [DB_STOPPED] = 0,
    };

    return (allowed[from] >> to & 1) != 0;
}

static void move_to(struct db *db, enum db_state to)
{
    assert(move_allowed(db->state, to));
    LOG_DEBUG("state", F_STR("db", db->settings->path), F_STR("from", db_state_name(db->state)),
        F_STR("to", db_state_name(to)));
    db->state = to;
    db_news(db);
    if (db->on_move != NULL)
        db->on_move(db);
}

void db_news(struct db *db)
{
    if (db->on_news != NULL)
        db->on_news(db);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void db_answer_waiters(struct db *db, const struct err *err)
{
    struct db_waiter *w = db->waiters, *next;

    db->waiters = NULL;
    for (; w != NULL; w = next) {
        next = w->next;
        w->done(w, db->shipped_txid, err);
    }
}

void db_forget_waiter(struct db *db, struct db_waiter *w)
{
    struct db_waiter **at = &db->waiters;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static void drop_acknowledged(struct db *db)
{
    while (db->acknowledged != NULL) {
        struct db_segment *next = db->acknowledged->next;

        db_live_free_segment(db->acknowledged);
        db->acknowledged = next;
    }
}

static void over(struct db *db, enum db_state state)
{
    struct err why = db->error;

    move_to(db, state);
    (void)uv_timer_stop(&db->timer);
    drop_acknowledged(db);
    db_fold_close(db);
    db_scrub_close(db);
    local_state_close(db->local);
    db->local = NULL;
    if (why.code == E_OK)
        rc_ignore(
            rc_raise(&why, E_CANCELED, "replication of %s has stopped", db->settings->path), "it is for the waiters");
    db_answer_waiters(db, &why);
    db->on_over(db);
}

bool db_is_shipped(const struct db *db)
{
    return db->shipped_txid == db->txid && db->error.code == E_OK && !db->abandon;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *timer)
{
    begin_start(timer->data);
}

static void wait_and_start(struct db *db, uint64_t pause_ms)
{
    int rc;

    if (db->stop_wanted) {
        over(db, DB_STOPPED);
        return;
    }
    rc = uv_timer_start(&db->timer, on_retry, pause_ms, 0);
    assert(rc == 0);
}

static void start_failed(struct db *db)
{
    const struct err *err = &db->error;

    if (err->code == E_FENCED) {
        LOG_ERROR("fenced", F_STR("db", db->settings->path), F_ERR(err));
        over(db, DB_FENCED);
    } else if (err->code == E_CANCELED && db->stop_wanted) {
        over(db, DB_STOPPED);
    } else if (!rc_retryable(err->code) && db->start_count == 0) {
        LOG_ERROR("cannot replicate", F_STR("db", db->settings->path), F_ERR(err));
        over(db, DB_FAILED);
    } else {
        uint32_t pause = backoff_next_ms(&db->retry);

        /* An application that is migrating, or a network that comes later, is no matter for a person yet. */
        SLOG_AT(rc_retryable(err->code) ? SLOG_WARN : SLOG_ERROR, "start failed, will try again",
            F_STR("db", db->settings->path), F_ERR(err), F_U64("retry_ms", pause));
        if (err->code == E_CORRUPT)
            db->must_compare = true;
        move_to(db, DB_RETRYING);
        wait_and_start(db, pause);
        db_first_settled(db);
    }
}

static void started(struct db *db)
{
    db->live = MOVE(db->start.live);
    db->live->spool = db->spool;
    db->spool_bytes = spool_bytes(db->spool);
    db->spool_error.code = E_OK;
    db->log_bytes = db->open_commits = db->open_frames = db->open_bytes = 0;
    db->open_is_old = false;
    db->timeline = db->live->timeline;
    shipper_follow(&db->shipper, db->live->timeline, &db->live->run);
    db->shipped_txid = db->start.shipped.txid;
    db->shipped_time_ms = db->start.shipped.time_ms;
    db->txid = db->live->cap.txid;
    db->time_ms = db->live->cap.time_ms;
    db_snapshot_started(db);
    if (db->start.took_snapshot) {
        db->snapshot_txid = db->shipped_txid;
        db->snapshot_ms = db->start.snapshot_ms;
        db->snapshot_count++;
    }
    db_fold_started(db);
    db->break_count = 0;
    db->resync_count += db->start.resynced;
    if (db->start.resynced)
        db->last_gap = db->start.gap;
    db->in_gap = false;
    db->start_count++;
    db->error.code = E_OK;
    db->must_compare = db->marked = false;
    backoff_reset(&db->retry);
    LOG_INFO("replicating", F_STR("db", db->settings->path), F_STR("url", db->store->url),
        F_U64("timeline", db->timeline), F_U64("txid", db->shipped_txid));
    move_to(db, db->stop_wanted ? DB_STOPPING : DB_RUNNING);
    db_sync_begin(db);
    db_first_settled(db);
}

static void on_start_done(struct work_item *item)
{
    struct db *db = item->owner;

    db->fence = db->start.fence;
    db->held = false;
    db_first_done(db);
    if (rc_failed(db->job_rc)) {
        db->error = db->step_err;
        start_failed(db);
    } else if (db->start.absent && db->settings->of_folder) {
        over(db, DB_STOPPED); /* its folder knows when it comes back */
    } else if (db->start.absent) {
        if (db->start_count == 0 && db->error.code == E_OK)
            LOG_INFO("waiting for the database", F_STR("db", db->settings->path));
        db->error.code = E_OK;
        db->start_count += db->start_count == 0; /* it was all right: later errors are tried again */
        move_to(db, DB_WAITING);
        wait_and_start(db, WAIT_FOR_FILE_MS);
        db_first_settled(db);
    } else {
        started(db);
    }
}

static void run_start(struct work_item *item)
{
    struct db *db = item->owner;

    db->job_rc = db_first_run(db, &db->step_err);
    if (!rc_failed(db->job_rc))
        db->job_rc = db_start_run(&db->start, &db->step_err);
    db_snapshot_recall(db);
}

/* The replica does not answer; the start holds the log and tries again. */
static void on_start_waits(void *ctx, const struct err *err)
{
    struct db *db = ctx;

    db->error = *err;
    db->held = true;
    LOG_WARN("the replica does not answer; the log is held until it does", F_STR("db", db->settings->path), F_ERR(err));
    db_first_settled(db);
}

static void begin_start(struct db *db)
{
    const struct db_settings *set = db->settings;

    move_to(db, DB_STARTING);
    shipper_know(&db->shipper);
    db_first_prepare(db);
    db->start = (struct db_start){
        .work = db->work,
        .store = db->store,
        .fs = db->fs,
        .clock = db->clock,
        .path = set->path,
        .state_dir = db->state_dir,
        .local = db->local,
        .spool = db->spool,
        .log_limit = set->log_limit,
        .on_wait = on_start_waits,
        .ctx = db,
        .may_switch = set->may_switch,
        /* Each is for one beginning: a later start must not fork or adopt again. */
        .fork = set->fork && db->timeline == 0,
        .adopt = set->adopt && db->timeline == 0,
        .must_compare = db->must_compare,
        .look_at_ms = db->shipper.look_after_ms > 0 ? clock_mono_ms(db->clock) + db->shipper.look_after_ms : 0,
        .require_fence = set->require_fence,
        .fence = db->fence,
        .stop = &db->stop_wanted,
        .mark = set->of_folder ? &db->mark : NULL,
        .marked = &db->marked,
    };
    db->start_item.run = run_start;
    db->start_item.done = on_start_done;
    work_job(db->work, &db->start_item);
}

/* --- detaching ---------------------------------------------------------------------------------------------------- */

static void on_live_closed(struct work_item *item)
{
    struct db *db = item->owner;

    db->live = NULL;
    drop_acknowledged(db);
    db->parts_done = 0;
    if (db->shipper.fenced)
        over(db, DB_FENCED);
    else if (db->stop_wanted)
        over(db, DB_STOPPED);
    else if (db->error.code == E_OK)
        begin_start(db);
    else {
        move_to(db, DB_RETRYING);
        wait_and_start(db, backoff_next_ms(&db->retry));
    }
}

static bool may_close(const struct db *db)
{
    bool shipped = shipper_idle(&db->shipper) || db->shipper.fenced || db->abandon;

    return !db->in_step && !db->in_snap && !db->in_fence && !db->prune.running && !db->drill.running && shipped
           && !db->shipper.in_flight && db->loading == NULL && db->close_item.run == NULL;
}

/* Called again whenever something that was under way has come back. */
void db_close_live(struct db *db)
{
    if (db->state == DB_RUNNING)
        move_to(db, DB_CLOSING);
    db_trigger_apply(db); /* what was read of it is shipped before it is attached anew */
    db->snap_stop = true;
    db_prune_stop(db);
    db_sync_unwatch(db);
    (void)uv_timer_stop(&db->timer);
    if (!may_close(db))
        return;
    db->tidy = db->stop_wanted;
    db->mark_wanted = db_park_may_mark(db);
    db->close_item.run = db_park_close;
    db->close_item.done = on_live_closed;
    work_lane(db->work, db->lane, &db->close_item);
}

void db_fenced(void *ctx, const struct err *err)
{
    struct db *db = ctx;

    db->error = *err;
    LOG_ERROR("fenced", F_STR("db", db->settings->path), F_ERR(err));
    db_close_live(db);
}

static void on_trouble(void *ctx)
{
    struct db *db = ctx;
    const struct shipper *s = &db->shipper;

    db_news(db);
    if (s->last_error.code == E_OK)
        LOG_INFO("shipping works again", F_STR("db", db->settings->path), F_U64("failures", s->failure_count));
    else if ((s->backoff.failure_count & (s->backoff.failure_count - 1)) == 0) /* at growing intervals */
        LOG_WARN("shipping fails, will try again", F_STR("db", db->settings->path), F_ERR(&s->last_error),
            F_U64("failures", s->backoff.failure_count));
    if (db->state != DB_CLOSING && !db->abandon)
        return;
    if (s->last_error.code != E_OK)
        shipper_drop(&db->shipper); /* not acknowledged, so the next start reads it again */
    if (db->state == DB_CLOSING || db->state == DB_STOPPING)
        db_close_live(db);
}

static void on_dropped(void *ctx)
{
    db_close_live(ctx);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

static void open_handles(struct db *db)
{
    int rc = uv_timer_init(db->loop, &db->timer);

    assert(rc == 0);
    db->timer.data = db;
    db->open_handles = 1;
    for (int i = 0; i < 2; i++) {
        rc = uv_fs_event_init(db->loop, &db->watch[i]);
        assert(rc == 0);
        db->watch[i].data = db;
        db->open_handles++;
    }
}

struct rc db_begin(struct db *db, struct err *err)
{
    db->state = DB_WAITING;
    db->may_make = true;
    db->start_item.owner = db->step_item.owner = db->close_item.owner = db->snap_item.owner = db;
    db->retry = (struct backoff){.base_ms = RETRY_BASE_MS, .max_ms = RETRY_MAX_MS};
    TRY(db_first_open(db, err));
    if (store_is_insecure(db->store))
        LOG_WARN("this replica is spoken to without TLS: everybody on the way can read the database",
            F_STR("db", db->settings->path), F_STR("url", db->store->url));
    open_handles(db);
    shipper_start(&db->shipper, db->loop, db->store);
    db->shipper.look_after_ms = db->settings->fold_delete_after_ms / 2;
    db->shipper_open = true;
    db->shipper.on_shipped = db_sync_shipped;
    db->shipper.on_fenced = db_fenced;
    db->shipper.on_trouble = on_trouble;
    db->shipper.on_dropped = on_dropped;
    db->shipper.on_load = db_spool_load;
    db->shipper.ctx = db;
    begin_start(db);
    return RC_OK;
}

void db_stop(struct db *db)
{
    if (db->stop_wanted)
        return;
    db->stop_wanted = true;
    switch (db->state) {
    case DB_WAITING:
    case DB_RETRYING:
        over(db, DB_STOPPED);
        break;
    case DB_RUNNING:
        move_to(db, DB_STOPPING);
        db->snap_stop = true;
        db_prune_stop(db);
        shipper_hurry(&db->shipper);
        db_sync_kick(db);
        break;
    case DB_STARTING:
    case DB_CLOSING:
    case DB_STOPPING:
    case DB_FENCED:
    case DB_FAILED:
    case DB_STOPPED:
        break;
    }
}

void db_hurry(struct db *db)
{
    if (db->stop_wanted || (db->state != DB_WAITING && db->state != DB_RETRYING))
        return;
    (void)uv_timer_stop(&db->timer);
    begin_start(db);
}

void db_abandon(struct db *db)
{
    db->abandon = true;
    if (db->store != NULL)
        store_cancel(db->store); /* a server that says nothing must not keep us */
    if (db->state == DB_STOPPING || db->state == DB_CLOSING)
        db_close_live(db);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct db *db = handle->data;

    if (--db->open_handles > 0)
        return;
    mem_free(MOVE(db->state_dir));
    db->closed(db);
}

static void on_store_stopped(void *ctx)
{
    struct db *db = ctx;

    db->store = NULL;
    db_fold_close(db);
    uv_close((uv_handle_t *)&db->timer, on_handle_closed);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&db->watch[i], on_handle_closed);
}

static void on_shipper_closed(void *ctx)
{
    struct db *db = ctx;

    db_spool_close(db);
    store_stop(db->store, on_store_stopped, db);
}

void db_end(struct db *db, void (*closed)(struct db *db))
{
    db->closed = closed;
    db->shipper.on_closed = on_shipper_closed;
    shipper_stop(&db->shipper);
}
