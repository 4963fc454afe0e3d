/* SPDX-License-Identifier: Apache-2.0 */
#include "db_drill.h"

#include "alloc.h"
#include "db_sync.h"
#include "proof_due.h"

#include <stdio.h>

enum { PATIENCE_MS = 5 * 60 * 1000 /* so long it is held; then others may have the turn */ };

/* --- the outcome ---------------------------------------------------------------------------------------------------
 */

void db_drill_take(struct db *db, const struct drill_job *j, enum drill_outcome outcome, const struct local_drill *last)
{
    struct db_drill *k = &db->drill;

    k->bytes_read += j->report.restore.bytes_read;
    k->err.code = E_OK;
    if (outcome == DRILL_STOPPED)
        return;
    k->news_count++;
    k->skipped[0] = 0;
    if (outcome == DRILL_UNDONE)
        k->err = j->err;
    else if (outcome == DRILL_SKIPPED)
        (void)snprintf(k->skipped, sizeof k->skipped, "%s", j->report.skipped);
    k->good_count += outcome == DRILL_GOOD;
    k->failed_count += outcome == DRILL_DAMAGED;
    k->last = *last;
    drill_job_alert(&k->last, &k->alert);
}

static uint64_t next_in_ms(const struct db *db)
{
    const struct db_drill *k = &db->drill;
    uint64_t interval_ms = db->settings->drill_interval_ms;

    if (k->job.stop)
        return proof_due_at_most(PROOF_DUE_SOON_MS, interval_ms);
    return k->err.code != E_OK ? proof_due_at_most(PROOF_DUE_RETRY_MS, interval_ms) : interval_ms;
}

/* --- coming back ---------------------------------------------------------------------------------------------------
 */

static void on_drill_over(void *ctx)
{
    struct db *db = ctx;
    struct db_drill *k = &db->drill;

    k->running = false;
    if (k->turn != NULL)
        k->turn->taken = false;
    k->due_ms = clock_mono_ms(db->clock) + next_in_ms(db);
    db_news(db);
    /* Something waited for it to come back. */
    if (db->state == DB_CLOSING || db->shipper.fenced || db->abandon)
        db_close_live(db);
    else
        db_sync_kick(db);
}

static void on_drill_done(void *ctx)
{
    struct db *db = ctx;
    struct drill_job *j = &db->drill.job;
    struct local_drill last = db->drill.last;

    db_drill_take(db, j, drill_job_judge(j, &last), &last);
    store_counts_add(db->store, store_counts_of(j->store)); /* they were made for this database */
}

/* --- when ----------------------------------------------------------------------------------------------------------
 */

bool db_drill_must_wait(const struct db *db)
{
    return db->shipper.last_error.code != E_OK || db->shipper.spooled_count > 0 || !shipper_has_room(&db->shipper);
}

void db_drill_recall(struct db *db)
{
    CLEANUP(mem_freep) char *folder = drill_job_folder(db->state_dir);

    if (!db->drill.elsewhere)
        drill_tidy(db->fs, folder);
    local_drill_read(db->fs, db->state_dir, &db->drill.last);
    drill_job_alert(&db->drill.last, &db->drill.alert);
    db->drill.recalled = true;
}

static uint64_t first_in_ms(const struct db *db)
{
    const uint64_t interval_ms = db->settings->drill_interval_ms;
    const uint64_t least_ms = proof_due_at_most(PROOF_DUE_FIRST_MS, interval_ms);
    int64_t in_ms = proof_due_in_ms(db->drill.last.tried_ms, interval_ms, clock_wall_ms(db->clock));

    return in_ms > (int64_t)least_ms ? (uint64_t)in_ms : least_ms;
}

static void begin_drill(struct db *db)
{
    const struct drill_job_site site = {
        .loop = db->loop,
        .work = db->work,
        .fs = db->fs,
        .env = db->env,
        .clock = db->clock,
        .settings = db->settings,
        .state_dir = db->state_dir,
        .timeline = db->timeline,
        .tip_txid = db->shipped_txid,
        .tip_ms = db->shipped_time_ms,
    };
    struct db_drill *k = &db->drill;

    k->job.on_done = on_drill_done;
    k->job.on_over = on_drill_over;
    k->job.ctx = db;
    if (rc_failed(drill_job_begin(&k->job, &site, k->last.failed_ms != 0 ? k->last.failed_txid : 0, &k->err))) {
        drill_job_tell_undone(&site, &k->err);
        k->due_ms = clock_mono_ms(db->clock) + proof_due_at_most(PROOF_DUE_RETRY_MS, db->settings->drill_interval_ms);
        return;
    }
    k->behind_ms = 0;
    k->running = true;
    if (k->turn != NULL)
        k->turn->taken = true;
    db_news(db);
}

/* Not while something else of this database reads or deletes: each is short, and drills can wait. */
static bool may_begin(const struct db *db)
{
    return !db_drill_must_wait(db) && !db->prune.running && !db->in_snap && db->shipped_txid > 0 && !db->drill.elsewhere
           && (db->drill.turn == NULL || !db->drill.turn->taken);
}

void db_drill_if_due(struct db *db)
{
    struct db_drill *k = &db->drill;
    const uint64_t now_ms = clock_mono_ms(db->clock), interval_ms = db->settings->drill_interval_ms;

    if (!k->recalled)
        db_drill_recall(db);
    if (interval_ms == 0 || k->running || db->state != DB_RUNNING)
        return;
    if (!k->begun) {
        k->begun = true;
        k->known_ms = k->known_ms == 0 ? now_ms : k->known_ms;
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

    if (!k->running || k->job.stop)
        return;
    if (!db_drill_must_wait(db))
        k->behind_ms = 0;
    else if (k->behind_ms == 0)
        k->behind_ms = now_ms;
    drill_job_hold(&k->job, k->behind_ms != 0);
    if (k->behind_ms != 0 && now_ms > k->behind_ms + PATIENCE_MS)
        db_drill_stop(db);
}

void db_drill_stop(struct db *db)
{
    if (db->drill.running)
        drill_job_stop(&db->drill.job);
}
