/* SPDX-License-Identifier: Apache-2.0 */
#include "db_prune.h"

#include "alloc.h"
#include "db_sync.h"
#include "slog.h"

enum {
    FIRST_MS = 10 * 60 * 1000, /* a process that only starts and stops has something better to do */
    RETRY_MS = 60 * 60 * 1000,
};

static bool wanted(const struct db_settings *set)
{
    struct err ignored;

    return set->retention_interval_ms > 0 && !rc_failed(retention_check(&set->retention, &ignored));
}

static void run_prune(struct work_item *item)
{
    struct db *db = item->owner;
    struct db_prune *p = &db->prune;

    p->rc = prune_run(db->work, db->store, &p->opts, &p->report, &p->job_err);
}

/* --- the outcome ---------------------------------------------------------------------------------------------------
 */

static void failed(struct db *db)
{
    struct db_prune *p = &db->prune;

    if (p->job_err.code == E_CANCELED)
        return;
    p->failed = p->job_err;
    if (rc_retryable(p->job_err.code))
        LOG_WARN("pruning failed, will try again", F_STR("db", db->settings->path), F_ERR(&p->job_err));
    else
        LOG_ERROR("pruning failed", F_STR("db", db->settings->path), F_ERR(&p->job_err));
}

/* Once is enough: it is a matter of rights, or of the kind of store. */
static void note_uploads(struct db *db)
{
    struct db_prune *p = &db->prune;

    if (p->report.uploads > 0)
        LOG_INFO("unfinished uploads aborted", F_STR("db", db->settings->path), F_U64("count", p->report.uploads));
    if (p->report.uploads_err.code == E_OK || p->uploads_noted)
        return;
    p->uploads_noted = true;
    LOG_WARN("unfinished uploads of processes that died cannot be looked for; a rule of the bucket can abort them",
        F_STR("db", db->settings->path), F_ERR(&p->report.uploads_err));
}

static void went_well(struct db *db)
{
    struct db_prune *p = &db->prune;

    p->failed.code = E_OK;
    p->time_ms = clock_wall_ms(db->clock);
    p->deleted_count += p->report.deleted;
    p->kept_bytes = p->report.kept.bytes;
    for (size_t i = 0; i < p->report.decision.point_count; i++) {
        const struct retention_point *point = &p->report.decision.points[i];

        if (point->lost)
            LOG_WARN("a state that retention keeps cannot be restored; what is around it stays",
                F_STR("db", db->settings->path), F_U64("timeline", point->timeline), F_U64("txid", point->txid));
    }
    note_uploads(db);
    LOG_INFO("pruned", F_STR("db", db->settings->path), F_U64("deleted", p->report.deleted),
        F_U64("kept", p->report.kept.objects), F_U64("bytes", p->report.kept.bytes));
}

static void on_prune_done(struct work_item *item)
{
    struct db *db = item->owner;
    struct db_prune *p = &db->prune;
    uint64_t pause_ms = db->settings->retention_interval_ms;

    p->running = false;
    if (rc_failed(p->rc)) {
        failed(db);
        if (pause_ms > RETRY_MS)
            pause_ms = RETRY_MS; /* whoever mends it wants to see it mended */
    } else {
        went_well(db);
    }
    prune_fini(&p->report);
    db_news(db);
    p->due_ms = clock_mono_ms(db->clock) + pause_ms;
    /* Something waited for it to come back. */
    if (db->state == DB_CLOSING || db->shipper.fenced || db->abandon)
        db_close_live(db);
    else
        db_sync_kick(db);
}

/* --- when ----------------------------------------------------------------------------------------------------------
 */

static void begin_prune(struct db *db)
{
    struct db_prune *p = &db->prune;

    p->stop = false;
    p->opts = (struct prune_opts){
        .policy = db->settings->retention,
        .grace_ms = PRUNE_GRACE_MS,
        .local_ms = clock_wall_ms(db->clock),
        .timeline = db->timeline,
        .stop = &p->stop,
    };
    local_verified_read(db->fs, db->state_dir, &p->opts.verified);
    p->running = true;
    p->item.owner = db;
    p->item.run = run_prune;
    p->item.done = on_prune_done;
    work_job(db->work, &p->item);
}

void db_prune_if_due(struct db *db)
{
    struct db_prune *p = &db->prune;
    const uint64_t now_ms = clock_mono_ms(db->clock), interval_ms = db->settings->retention_interval_ms;

    if (!wanted(db->settings))
        p->failed.code = E_OK; /* a reload has taken it away */
    if (!wanted(db->settings) || p->running || db->drill.running || db->drill.elsewhere || db->state != DB_RUNNING)
        return;
    if (!p->begun || p->due_ms > now_ms + interval_ms) {
        p->begun = true;
        p->due_ms = now_ms + (interval_ms < FIRST_MS ? interval_ms : FIRST_MS);
    }
    if (now_ms >= p->due_ms && db->shipper.last_error.code == E_OK && db->shipper.spooled_count == 0)
        begin_prune(db);
}

void db_prune_stop(struct db *db)
{
    db->prune.stop = true;
    db_drill_stop(db);
}
