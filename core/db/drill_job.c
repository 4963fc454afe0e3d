/* SPDX-License-Identifier: Apache-2.0 */
#include "drill_job.h"

#include "alloc.h"
#include "db.h"
#include "local_verified.h"
#include "pace.h"
#include "slog.h"

#include <stdio.h>

/* --- the outcome ---------------------------------------------------------------------------------------------------
 */

void drill_job_alert(const struct local_drill *last, struct err *alert)
{
    alert->code = E_OK;
    if (last->failed_ms != 0)
        rc_ignore(rc_raise(alert, E_CORRUPT, "%.1000s", last->why), "it is told by the status");
}

static void remember(const struct drill_job_site *s, const struct local_drill *last)
{
    struct err err;

    if (rc_failed(local_drill_write(s->fs, s->state_dir, last, &err)))
        LOG_WARN("the outcome of the drill cannot be noted; a restart forgets it", F_STR("db", s->settings->path),
            F_ERR(&err));
}

/* Retention keeps the snapshot that is known to be of use. */
static void tell_retention(const struct drill_job *j)
{
    const struct drill_job_site *s = &j->site;
    const struct restore_report *r = &j->report.restore;
    const struct local_verified v = {r->timeline, r->txid, r->snapshot_txid, clock_wall_ms(s->clock)};
    struct err err;

    if (rc_failed(local_verified_write(s->fs, s->state_dir, &v, &err)))
        LOG_WARN("retention does not learn of the drill", F_STR("db", s->settings->path), F_ERR(&err));
}

static void went_well(const struct drill_job *j, struct local_drill *last)
{
    const struct restore_report *r = &j->report.restore;
    int64_t now_ms = clock_wall_ms(j->site.clock);
    bool healed = last->failed_ms != 0;

    *last = (struct local_drill){
        .tried_ms = now_ms,
        .good_ms = now_ms,
        .timeline = r->timeline,
        .txid = r->txid,
        .state_ms = r->time_ms,
    };
    remember(&j->site, last);
    tell_retention(j);
    LOG_INFO(healed ? "drill: a commit was restored and is whole again" : "drill: a commit was restored and is whole",
        F_STR("db", j->site.settings->path), F_U64("timeline", r->timeline), F_U64("txid", r->txid),
        F_U64("bytes", r->bytes_read), F_U64("ms", r->duration_ms));
}

static void found_damage(const struct drill_job *j, struct local_drill *last)
{
    struct err alert;

    last->tried_ms = last->failed_ms = clock_wall_ms(j->site.clock);
    last->failed_txid = j->report.txid;
    (void)snprintf(last->why, sizeof last->why, "%s", j->err.msg);
    remember(&j->site, last);
    drill_job_alert(last, &alert);
    LOG_ERROR("drill: a commit cannot be restored as it should; `weir verify` finds everything that is damaged",
        F_STR("db", j->site.settings->path), F_ERR(&alert));
}

void drill_job_tell_undone(const struct drill_job_site *site, const struct err *why)
{
    LOG_WARN("drill: could not be carried out, will try again", F_STR("db", site->settings->path), F_ERR(why));
}

enum drill_outcome drill_job_judge(const struct drill_job *j, struct local_drill *last)
{
    if (j->rc.code == E_CANCELED || (j->stop && rc_failed(j->rc)))
        return DRILL_STOPPED;
    if (j->rc.code == E_CORRUPT) {
        found_damage(j, last);
        return DRILL_DAMAGED;
    }
    if (rc_failed(j->rc)) {
        drill_job_tell_undone(&j->site, &j->err);
        return DRILL_UNDONE;
    }
    if (j->report.skipped[0] != 0) {
        LOG_WARN("drill: skipped", F_STR("db", j->site.settings->path), F_STR("reason", j->report.skipped));
        return DRILL_SKIPPED;
    }
    went_well(j, last);
    return DRILL_GOOD;
}

/* --- coming back ---------------------------------------------------------------------------------------------------
 */

static void on_store_stopped(void *ctx)
{
    struct drill_job *j = ctx;

    j->store = NULL;
    j->running = false;
    mem_free(MOVE(j->folder));
    j->on_over(j->ctx);
}

static void on_job_done(struct work_item *item)
{
    struct drill_job *j = item->owner;

    j->on_done(j->ctx);
    store_stop(j->store, on_store_stopped, j);
}

static void run_job(struct work_item *item)
{
    struct drill_job *j = item->owner;

    j->rc = drill_run(j->site.work, j->store, &j->opts, &j->report, &j->err);
}

/* --- from outside --------------------------------------------------------------------------------------------------
 */

char *drill_job_folder(const char *state_dir)
{
    return mem_printf("%s/drill", state_dir);
}

/* A store of its own: what it waits for and how it ends is nobody else's matter. */
static struct rc open_store(struct drill_job *j, struct err *err)
{
    const struct db_settings *set = j->site.settings;
    struct store *below = NULL;

    TRY(store_open(j->site.env, set->url, set->options, set->option_count, &below, err));
    j->store = pace_new(j->site.loop, below, set->drill_rate);
    return RC_OK;
}

struct rc drill_job_begin(struct drill_job *j, const struct drill_job_site *site, uint64_t again_txid, struct err *err)
{
    const struct db_settings *set = site->settings;

    j->site = *site;
    TRY(open_store(j, err));
    j->stop = false;
    j->running = true;
    j->folder = drill_job_folder(site->state_dir);
    j->opts = (struct drill_opts){
        .fs = site->fs,
        .path = set->path,
        .folder = j->folder,
        .timeline = site->timeline,
        .tip_txid = site->tip_txid,
        .tip_ms = site->tip_ms,
        .window_ms = set->drill_window_ms,
        .again_txid = again_txid,
        .max_size = set->drill_max_size,
        .stop = &j->stop,
    };
    j->item.owner = j;
    j->item.run = run_job;
    j->item.done = on_job_done;
    work_job(site->work, &j->item);
    return RC_OK;
}

void drill_job_hold(struct drill_job *j, bool held)
{
    if (j->store != NULL)
        pace_hold(j->store, held);
}

void drill_job_stop(struct drill_job *j)
{
    if (!j->running || j->stop)
        return;
    j->stop = true;
    if (j->store != NULL)
        store_cancel(j->store);
}
