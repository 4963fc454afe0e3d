/* SPDX-License-Identifier: Apache-2.0 */
#include "db_spool.h"

#include "alloc.h"
#include "db_trigger.h"
#include "slog.h"

#include <assert.h>

enum { TRY_AGAIN_MS = 10000 }; /* after the spool could not take a segment: a full disk may have room again */

struct rc db_spool_open(struct db *db, struct err *err)
{
    CLEANUP(mem_freep) char *dir = mem_printf("%s/spool", db->state_dir);

    db->load_item.owner = db;
    TRY(spool_open(&db->spool, db->fs, dir, db->settings->spool_limit, err));
    db->spool_bytes = spool_bytes(db->spool);
    return RC_OK;
}

void db_spool_close(struct db *db)
{
    spool_close(db->spool);
    db->spool = NULL;
}

static bool replica_stuck(const struct db *db)
{
    const struct shipper *s = &db->shipper;

    return !s->fenced && (s->last_error.code != E_OK || (!shipper_has_room(s) && !shipper_holds(s)));
}

bool db_spool_works(const struct db *db)
{
    return db->settings->spool_limit > 0 && !db->spool_full
           && (db->spool_error.code == E_OK || clock_mono_ms(db->clock) >= db->spool_retry_ms);
}

static bool must_spool(const struct db *db)
{
    bool wanted = db->log_bytes > db->settings->log_limit || db->shipper.spooled_count > 0
                  || (db->state == DB_STOPPING && db->shipper.last_error.code != E_OK);

    return wanted && replica_stuck(db) && db_spool_works(db);
}

bool db_spool_must_keep(const struct db *db)
{
    return db_trigger_waits(db) && db_spool_works(db) && (db_trigger_must_spool(db) || shipper_holds(&db->shipper));
}

/* Without an interval the queue may have been full because nobody asked: then it counts only if capturing stands still.
 */
static bool is_blocked(const struct db *db)
{
    return replica_stuck(db)
           && (db->settings->sync_interval_ms != DB_INTERVAL_OFF || db->shipper.last_error.code != E_OK
               || db->step.state == WAL_READER_MORE);
}

bool db_spool_exhausted(const struct db *db)
{
    return db->log_bytes > db->settings->log_limit && is_blocked(db) && !db->step.to_spool && !db_spool_works(db);
}

void db_spool_before(struct db *db)
{
    bool stuck = must_spool(db);

    db->step.careful = db_trigger_waits(db) && db_spool_works(db);
    if (!stuck && !db_spool_must_keep(db))
        return;
    if (stuck && !db->spooling)
        LOG_WARN("the replica does not take what the log holds: segments go to the local disk until it does",
            F_STR("db", db->settings->path), F_U64("log_bytes", db->log_bytes),
            F_U64("limit_bytes", db->settings->spool_limit));
    db->spooling = db->spooling || stuck;
    db->step.due = db->step.due || db_trigger_must_spool(db);
    db->step.to_spool = true;
    db->step.may_finish = true;
    db->step.waiting = shipper_pause(&db->shipper);
}

/* By its limit, not by the disk's. */
static bool is_full(const struct err *err)
{
    return err->code == E_NOSPACE && err->sys == 0;
}

void db_spool_after(struct db *db)
{
    struct err *now = &db->step.spool_err;

    if (db->step.to_spool || db->step.spool_bytes < db->settings->spool_limit / 2
        || db->shipper.last_error.code != E_OK) /* then the rest of it is for what the replica does not take */
        db->spool_full = false;
    if (db->step.to_spool && !db->spooling && is_full(now)) {
        db->spool_full = true;
        now->code = E_OK;
    }
    if (db->step.to_spool) {
        if (now->code != E_OK && db->spool_error.code == E_OK)
            LOG_ERROR("the spool takes no more", F_STR("db", db->settings->path), F_ERR(now));
        db->spool_error = *now;
        db->spool_retry_ms = clock_mono_ms(db->clock) + TRY_AGAIN_MS;
        shipper_resume(&db->shipper);
    }
    db->spool_bytes = db->step.spool_bytes;
    if (!db->spooling && db->settings->sync_interval_ms != DB_INTERVAL_OFF)
        db->spool_error.code = E_OK; /* nothing is to go there any more */
    if (!db->spooling || db->spool_bytes > 0 || replica_stuck(db))
        return;
    LOG_INFO("the spool is shipped", F_STR("db", db->settings->path));
    db->spooling = false;
    db->spool_error.code = E_OK;
}

/* --- back -------------------------------------------------------------------------------------------------------- */

static void run_load(struct work_item *item)
{
    struct db *db = item->owner;
    struct db_segment *s = db->loading;
    struct rc rc;

    db->load_error.code = E_OK;
    buf_init(&s->bytes, SPOOL_OBJECT_MAX);
    rc = spool_get(db->spool, &s->name, &s->bytes, &db->load_error);
    if (rc_failed(rc))
        buf_fini(&s->bytes);
}

static void on_loaded(struct work_item *item)
{
    struct db *db = item->owner;

    db->loading = NULL;
    shipper_loaded(&db->shipper, &db->load_error);
    if (db->state == DB_CLOSING || db->abandon)
        db_close_live(db);
}

void db_spool_load(void *ctx, struct db_segment *s)
{
    struct db *db = ctx;

    assert(db->loading == NULL);
    db->loading = s;
    db->load_item.run = run_load;
    db->load_item.done = on_loaded;
    work_lane(db->work, db->lane, &db->load_item);
}
