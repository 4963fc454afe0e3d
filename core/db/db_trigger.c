/* SPDX-License-Identifier: Apache-2.0 */
#include "db_trigger.h"

#include "slog.h"

static bool is_off(const struct db *db)
{
    return db->settings->sync_interval_ms == DB_INTERVAL_OFF;
}

/* What is in finished segments, at least. */
static uint64_t finished_txid(const struct db *db)
{
    return db->txid > db->open_commits ? db->txid - db->open_commits : 0;
}

/* Behind which commits wait. */
static uint64_t through_txid(const struct db *db)
{
    return db->trigger.through_txid > db->shipped_txid ? db->trigger.through_txid : db->shipped_txid;
}

/* A part of what is open was let through. */
static bool open_is_due(const struct db *db)
{
    return db->open_commits > 0 && finished_txid(db) < db->trigger.through_txid;
}

bool db_trigger_waits(const struct db *db)
{
    return is_off(db) && db->state == DB_RUNNING && !db->in_snap && !db->trigger.asked && !db->goal_pending;
}

uint64_t db_trigger_due_in_ms(const struct db *db)
{
    uint64_t now = clock_mono_us(db->clock), due;

    if (is_off(db))
        return open_is_due(db) ? 0 : UINT64_MAX;
    due = db->shipper.last_put_us + db->settings->sync_interval_ms * 1000;
    return db->shipper.last_put_us == 0 || due <= now ? 0 : (due - now + 999) / 1000;
}

uint64_t db_trigger_commit_limit(const struct db *db)
{
    uint64_t commits = db->settings->sync_commits, before = finished_txid(db), through = through_txid(db);

    if (!is_off(db) || commits == 0 || before <= through)
        return commits;
    return before - through < commits ? commits - (before - through) : 1;
}

bool db_trigger_must_spool(const struct db *db)
{
    return db_trigger_waits(db) && db->open_commits > 0
           && (db->open_is_old || db->open_frames >= DB_TRIGGER_FRAMES_MAX || db->open_bytes >= DB_LIVE_SEGMENT_SIZE);
}

bool db_trigger_is_through(const struct db *db)
{
    return !is_off(db) || (!db->trigger.asked && !db->goal_pending && db->shipped_txid >= db->trigger.through_txid);
}

/* One look for each time that something was let through. */
bool db_trigger_may_merge(struct db *db)
{
    bool may = !is_off(db) || (db->trigger.let && db_trigger_is_through(db));

    if (may)
        db->trigger.let = false;
    return may;
}

void db_trigger_ask(struct db *db)
{
    db->trigger.asked = true;
}

void db_trigger_let(struct db *db, uint64_t txid)
{
    if (db->trigger.through_txid < txid)
        db->trigger.through_txid = txid;
    db->trigger.let = true;
}

static bool enough_commits(const struct db *db, uint64_t txid)
{
    uint64_t commits = db->settings->sync_commits, through = through_txid(db);

    return commits > 0 && txid > through && txid - through >= commits;
}

static bool limit_reached(const struct db *db, bool spool_works)
{
    if (!spool_works)
        return db->open_bytes >= DB_LIVE_SEGMENT_SIZE || shipper_holds(&db->shipper);
    return db->spool_bytes >= db->settings->spool_limit / 2 || db->shipper.spooled_count >= DB_TRIGGER_SEGMENTS_MAX;
}

static void look_at_limits(struct db *db, bool spool_works)
{
    bool reached = is_off(db) && limit_reached(db, spool_works);

    if (reached && !db->trigger.at_limit && db->settings->spool_limit > 0)
        LOG_INFO("what waits to be asked for has come to a limit: it is shipped", F_STR("db", db->settings->path),
            F_U64("spool_bytes", db->spool_bytes), F_U64("segments", db->shipper.spooled_count));
    db->trigger.at_limit = reached;
    if (reached)
        db_trigger_let(db, db->txid + 1); /* also the parts of a transaction that is being read */
}

void db_trigger_read(struct db *db, bool spool_works)
{
    if (!is_off(db)) /* should it be switched off, that was due already */
        db_trigger_let(db, finished_txid(db));
    else if (enough_commits(db, finished_txid(db)))
        db_trigger_let(db, finished_txid(db));
    else if (enough_commits(db, db->txid))
        db_trigger_let(db, db->txid);
    look_at_limits(db, spool_works);
}

void db_trigger_apply(struct db *db)
{
    shipper_allow(&db->shipper, db_trigger_waits(db) ? db->trigger.through_txid : UINT64_MAX);
}
