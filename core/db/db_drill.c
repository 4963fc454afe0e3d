/* SPDX-License-Identifier: Apache-2.0 */
#include "db_drill.h"

#include "alloc.h"
#include "db_sync.h"
#include "local_verified.h"
#include "pace.h"
#include "slog.h"

#include <stdio.h>

enum {
    FIRST_MS = 10 * 60 * 1000, /* a process that only starts and stops has something better to do */
    RETRY_MS = 60 * 60 * 1000,
    SOON_MS = 60 * 1000,         /* it was stopped, or somebody else's turn */
    PATIENCE_MS = 5 * 60 * 1000, /* so long it is held; then others may have the turn */
};

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- the outcome ---------------------------------------------------------------------------------------------------
 */

static void set_alert(struct db_drill *k)
{
    k->alert.code = E_OK;
    if (k->last.failed_ms != 0)
        rc_ignore(rc_raise(&k->alert, E_CORRUPT, "%.1000s", k->last.why), "it is told by the status");
}

static void remember(struct db *db)
{
    struct db_drill *k = &db->drill;
    struct err err;

    if (rc_failed(local_drill_write(db->fs, db->state_dir, &k->last, &err)))
        LOG_WARN("the outcome of the drill cannot be noted; a restart forgets it", F_STR("db", db->settings->path),
            F_ERR(&err));
}

/* Retention keeps the snapshot that is known to be of use. */
static void tell_retention(struct db *db)
{
    const struct restore_report *r = &db->drill.report.restore;
    const struct local_verified v = {r->timeline, r->txid, r->snapshot_txid, clock_wall_ms(db->clock)};
    struct err err;

    if (rc_failed(local_verified_write(db->fs, db->state_dir, &v, &err)))
        LOG_WARN("retention does not learn of the drill", F_STR("db", db->settings->path), F_ERR(&err));
}

static void went_well(struct db *db)
{
    struct db_drill *k = &db->drill;
    const struct restore_report *r = &k->report.restore;
    int64_t now_ms = clock_wall_ms(db->clock);
    bool healed = k->last.failed_ms != 0;

    k->good_count++;
    k->last = (struct local_drill){
        .tried_ms = now_ms,
        .good_ms = now_ms,
        .timeline = r->timeline,
        .txid = r->txid,
        .state_ms = r->time_ms,
    };
    set_alert(k);
    remember(db);
    tell_retention(db);
    LOG_INFO(healed ? "drill: a commit was restored and is whole again" : "drill: a commit was restored and is whole",
        F_STR("db", db->settings->path), F_U64("timeline", r->timeline), F_U64("txid", r->txid),
        F_U64("bytes", r->bytes_read), F_U64("ms", r->duration_ms));
}

static void found_damage(struct db *db)
{
    struct db_drill *k = &db->drill;

    k->failed_count++;
    k->last.tried_ms = k->last.failed_ms = clock_wall_ms(db->clock);
    k->last.failed_txid = k->report.txid;
    (void)snprintf(k->last.why, sizeof k->last.why, "%s", k->job_err.msg);
    k->err.code = E_OK;
    set_alert(k);
    remember(db);
    LOG_ERROR("drill: a commit cannot be restored as it should; `weir verify` finds everything that is damaged",
        F_STR("db", db->settings->path), F_ERR(&k->alert));
}

static uint64_t next_in_ms(const struct db *db)
{
    const struct db_drill *k = &db->drill;
    uint64_t interval_ms = db->settings->drill_interval_ms;

    if (k->stop)
        return at_most(interval_ms, SOON_MS);
    return k->err.code != E_OK ? at_most(interval_ms, RETRY_MS) : interval_ms;
}

static void judge(struct db *db)
{
    struct db_drill *k = &db->drill;

    k->bytes_read += k->report.restore.bytes_read;
    if (k->rc.code == E_CANCELED || (k->stop && rc_failed(k->rc))) {
        k->err.code = E_OK;
        return;
    }
    k->news_count++;
    k->skipped[0] = 0;
    if (k->rc.code == E_CORRUPT) {
        found_damage(db);
    } else if (rc_failed(k->rc)) {
        k->err = k->job_err;
        LOG_WARN("drill: could not be carried out, will try again", F_STR("db", db->settings->path), F_ERR(&k->err));
    } else if (k->report.skipped[0] != 0) {
        k->err.code = E_OK;
        (void)snprintf(k->skipped, sizeof k->skipped, "%s", k->report.skipped);
        LOG_WARN("drill: skipped", F_STR("db", db->settings->path), F_STR("reason", k->skipped));
    } else {
        k->err.code = E_OK;
        went_well(db);
    }
}

/* --- coming back ---------------------------------------------------------------------------------------------------
 */

static void on_store_stopped(void *ctx)
{
    struct db *db = ctx;
    struct db_drill *k = &db->drill;

    k->store = NULL;
    k->running = false;
    mem_free(MOVE(k->folder));
    if (k->turn != NULL)
        k->turn->running = NULL;
    k->due_ms = clock_mono_ms(db->clock) + next_in_ms(db);
    db_news(db);
    /* Something waited for it to come back. */
    if (db->state == DB_CLOSING || db->shipper.fenced || db->abandon)
        db_close_live(db);
    else
        db_sync_kick(db);
}

static void on_drill_done(struct work_item *item)
{
    struct db *db = item->owner;

    judge(db);
    store_counts_add(db->store, store_counts_of(db->drill.store)); /* they were made for this database */
    store_stop(db->drill.store, on_store_stopped, db);
}

static void run_drill(struct work_item *item)
{
    struct db *db = item->owner;
    struct db_drill *k = &db->drill;

    k->rc = drill_run(db->work, k->store, &k->opts, &k->report, &k->job_err);
}

/* --- when ----------------------------------------------------------------------------------------------------------
 */

static bool is_behind(const struct db *db)
{
    return db->shipper.last_error.code != E_OK || db->shipper.spooled_count > 0 || !shipper_has_room(&db->shipper);
}

static char *folder_of(const struct db *db)
{
    return mem_printf("%s/drill", db->state_dir);
}

/* What an earlier process knew, and left. */
static void recall(struct db *db)
{
    CLEANUP(mem_freep) char *folder = folder_of(db);

    drill_tidy(db->fs, folder);
    local_drill_read(db->fs, db->state_dir, &db->drill.last);
    set_alert(&db->drill);
    db->drill.recalled = true;
}

/* From what the local state says.  A clock that was set back says nothing, and one that jumped ahead makes one drill
 * too many at most: within a process only the monotonic clock counts. */
static uint64_t first_in_ms(const struct db *db)
{
    const uint64_t interval_ms = db->settings->drill_interval_ms, least_ms = at_most(interval_ms, FIRST_MS);
    int64_t age_ms = clock_wall_ms(db->clock) - db->drill.last.tried_ms;
    uint64_t left_ms = 0;

    if (db->drill.last.tried_ms != 0 && age_ms >= 0 && (uint64_t)age_ms < interval_ms)
        left_ms = interval_ms - (uint64_t)age_ms;
    return left_ms > least_ms ? left_ms : least_ms;
}

/* A store of its own: what it waits for and how it ends is nobody else's matter. */
static struct rc open_store(struct db *db, struct err *err)
{
    const struct db_settings *set = db->settings;
    struct store *below = NULL;

    TRY(store_open(db->env, set->url, set->options, set->option_count, &below, err));
    db->drill.store = pace_new(db->loop, below, set->drill_rate);
    return RC_OK;
}

static void begin_drill(struct db *db)
{
    struct db_drill *k = &db->drill;

    if (rc_failed(open_store(db, &k->err))) {
        LOG_WARN("drill: could not be carried out, will try again", F_STR("db", db->settings->path), F_ERR(&k->err));
        k->due_ms = clock_mono_ms(db->clock) + at_most(db->settings->drill_interval_ms, RETRY_MS);
        return;
    }
    k->stop = false;
    k->behind_ms = 0;
    k->running = true;
    k->folder = folder_of(db);
    if (k->turn != NULL)
        k->turn->running = db;
    k->opts = (struct drill_opts){
        .fs = db->fs,
        .path = db->settings->path,
        .folder = k->folder,
        .timeline = db->timeline,
        .tip_txid = db->shipped_txid,
        .tip_ms = db->shipped_time_ms,
        .window_ms = db->settings->drill_window_ms,
        .again_txid = k->last.failed_ms != 0 ? k->last.failed_txid : 0,
        .max_size = db->settings->drill_max_size,
        .stop = &k->stop,
    };
    k->item.owner = db;
    k->item.run = run_drill;
    k->item.done = on_drill_done;
    work_job(db->work, &k->item);
    db_news(db);
}

/* Not while something else of this database reads or deletes: each is short, and drills can wait. */
static bool may_begin(const struct db *db)
{
    return !is_behind(db) && !db->prune.running && !db->in_snap && db->shipped_txid > 0
           && (db->drill.turn == NULL || db->drill.turn->running == NULL);
}

void db_drill_if_due(struct db *db)
{
    struct db_drill *k = &db->drill;
    const uint64_t now_ms = clock_mono_ms(db->clock), interval_ms = db->settings->drill_interval_ms;

    if (!k->recalled)
        recall(db);
    if (interval_ms == 0 || k->running || db->state != DB_RUNNING)
        return;
    if (!k->begun) {
        k->begun = true;
        k->due_ms = now_ms + first_in_ms(db);
    }
    if (k->due_ms > now_ms + interval_ms) /* the settings changed */
        k->due_ms = now_ms + interval_ms;
    if (now_ms >= k->due_ms && may_begin(db))
        begin_drill(db);
}

void db_drill_tend(struct db *db)
{
    struct db_drill *k = &db->drill;
    const uint64_t now_ms = clock_mono_ms(db->clock);

    if (!k->running || k->store == NULL || k->stop)
        return;
    if (!is_behind(db))
        k->behind_ms = 0;
    else if (k->behind_ms == 0)
        k->behind_ms = now_ms;
    pace_hold(k->store, k->behind_ms != 0);
    if (k->behind_ms != 0 && now_ms > k->behind_ms + PATIENCE_MS)
        db_drill_stop(db);
}

void db_drill_stop(struct db *db)
{
    struct db_drill *k = &db->drill;

    if (!k->running || k->stop)
        return;
    k->stop = true;
    store_cancel(k->store);
}
