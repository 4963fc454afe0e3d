/* SPDX-License-Identifier: Apache-2.0 */
#include "db_snapshot.h"

#include "alloc.h"
#include "db_sync.h"
#include "db_trigger.h"
#include "slog.h"

/* --- what to build on ----------------------------------------------------------------------------------------------
 */

static bool belongs(const struct merge_base_info *info, const struct db_live *l)
{
    return nonce_equal(&info->database, &l->database) && info->pos.timeline == l->timeline
           && info->pos.page_size == l->conn->page_size;
}

/* A state behind what the replica has was never acknowledged: its txid may become another state's. */
void db_snapshot_recall(struct db *db)
{
    struct merge_ledger *l = &db->recalled;
    const struct db_live *live = db->start.live;
    struct merge_base_info info;
    struct err ignored;

    *l = (struct merge_ledger){0};
    if (live == NULL)
        return;
    for (unsigned level = MERGE_BASE_LEVELS; level > 0; level--) {
        if (level < MERGE_BASE_LEVELS && l->known[level + 1]) {
            l->base[level] = l->base[level + 1];
            l->known[level] = true;
        }
        if (rc_failed(merge_base_peek(db->fs, db->state_dir, level, &info, &ignored)))
            continue; /* the next object is a snapshot */
        if (!belongs(&info, live) || info.pos.txid > db->start.shipped.txid) {
            merge_base_drop(db->fs, db->state_dir, level);
            continue;
        }
        if (l->known[level] && l->base[level].pos.txid >= info.pos.txid)
            continue;
        l->base[level] = info;
        l->known[level] = true;
    }
    if (l->known[1]) {
        l->base[0] = l->base[1];
        l->base[0].pos.txid = l->base[1].snapshot_txid;
        l->base[0].pos.time_ms = l->base[1].snapshot_time_ms;
        l->known[0] = true;
    }
    if (l->known[2] && l->base[1].pos.txid > l->base[2].pos.txid) {
        l->merged_bytes = l->base[1].merge_bytes - l->base[2].merge_bytes;
        l->merged_count = 1; /* or more */
    }
    l->log_bytes[0] = l->base[1].log_bytes;
    l->log_bytes[2] = l->base[1].log_bytes_long;
}

void db_snapshot_started(struct db *db)
{
    db->ledger = db->recalled;
    db->ledger.start_txid = db->txid;
    if (db->snap_err.code != E_OK)
        merge_tried(&db->ledger, db->snap_job.level, clock_wall_ms(db->clock), true);
    db->put_bytes_before = db->shipper.put_bytes;
    db->put_count_before = db->shipper.put_count;
    if (db->ledger.known[0] && !db->start.took_snapshot) {
        db->snapshot_txid = db->ledger.base[0].pos.txid;
        db->snapshot_ms = db->ledger.base[0].pos.time_ms;
    }
}

/* --- the job -------------------------------------------------------------------------------------------------------
 */

/* The newest usable base of this level or above; false: there is none, so it becomes a snapshot. */
static bool find_base(
    struct db_snapshot_job *j, const struct db_live *l, struct page_hash **hashes, struct merge_base_info *out)
{
    bool found = false;

    for (unsigned level = j->level; level <= MERGE_BASE_LEVELS; level++) {
        struct page_hash *some = NULL;
        struct merge_base_info info;
        struct err ignored;

        if (rc_failed(merge_base_load(l->fs, j->dir, level, &info, &some, &ignored)))
            continue;
        if (!belongs(&info, l) || (found && info.pos.txid <= out->pos.txid)) {
            page_hash_free(some);
            continue;
        }
        page_hash_free(*hashes);
        *hashes = some;
        *out = info;
        found = true;
    }
    return found;
}

/* The state that was reached, for what is built on it. */
static struct merge_base_info info_of(
    const struct db_snap *s, const struct merge_ledger *l, const struct merge_base_info *base)
{
    struct merge_base_info info = s->level > 0 ? *base : (struct merge_base_info){0};

    info.database = s->meta.database;
    info.pos = (struct pos){
        .timeline = s->meta.timeline,
        .txid = s->meta.txid,
        .time_ms = s->meta.time_ms,
        .checksum = s->meta.checksum,
        .page_size = s->meta.page_size,
        .page_count = s->meta.page_count,
    };
    if (s->level == 0) {
        info.snapshot_txid = s->meta.txid;
        info.snapshot_time_ms = s->meta.time_ms;
        info.snapshot_bytes = s->stored_bytes;
    } else {
        info.merge_bytes += s->stored_bytes;
        info.log_bytes = l->log_bytes[0];
        info.log_bytes_long = s->level == 1 ? l->log_bytes[2] : 0;
    }
    return info;
}

static struct rc run_job(struct db *db, struct db_snapshot_job *j, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = NULL;
    struct merge_base_info base = {0};
    struct db_snap *s = &db->snap;

    j->choice = MERGE_SNAPSHOT;
    if (j->level > 0 && find_base(j, s->live, &hashes, &base)) {
        s->base = hashes;
        j->choice = merge_choose(&j->ledger, &j->settings, j->level, &base, db_snap_count(s));
    }
    if (j->choice == MERGE_NOTHING)
        return RC_OK;
    if (j->choice == MERGE_MERGE) {
        s->level = j->level;
        s->base_txid = base.pos.txid;
        if (base.pos.txid >= s->meta.txid) { /* nothing was committed since: another run of the same step */
            j->choice = MERGE_NOTHING;
            return RC_OK;
        }
    } else {
        s->base = NULL;
    }
    TRY(db_snap_run(s, s->meta.txid, err));
    j->made = info_of(s, &j->ledger, &base);
    if (s->stage_err.code == E_OK)
        rc_ignore(merge_base_adopt(db->fs, j->dir, s->level == 0 ? MERGE_BASE_LEVELS : s->level, &j->made,
                      s->entries_hash, &s->stage_err),
            "the error is kept");
    s->base = NULL;
    return RC_OK;
}

static void run_snap(struct work_item *item)
{
    struct db *db = item->owner;

    db->snap_rc = run_job(db, &db->snap_job, &db->snap_job_err);
    db->snap.base = NULL;
}

/* --- the loop ------------------------------------------------------------------------------------------------------
 */

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

/* A log that was cut under the copy, a replica that is away: a later one will do. */
static void failed(struct db *db)
{
    const char *what = db->snap.level > 0 ? "merge failed" : "snapshot failed";
    const struct err *why = &db->snap_job_err;

    if (why->code == E_CANCELED)
        LOG_DEBUG("a snapshot or merge was given up", F_STR("db", db->settings->path), F_ERR(why));
    else if (rc_retryable(why->code))
        LOG_WARN(what, F_STR("db", db->settings->path), F_ERR(why));
    else
        LOG_ERROR(what, F_STR("db", db->settings->path), F_ERR(why));
    if (why->code != E_CANCELED) /* giving up is our own doing, and no trouble */
        db->snap_err = *why;
    if (why->code == E_CORRUPT && db->snap.stuck_page != 0)
        db_scrub_hint(db, db->snap.stuck_page);
    merge_tried(&db->ledger, db->snap_job.level, clock_wall_ms(db->clock), true);
    answer_snapshot(db, why);
}

static void made(struct db *db)
{
    const struct db_snap *s = &db->snap;
    static const struct err fine = {.code = E_OK};

    if (s->stage_err.code == E_OK)
        merge_made(&db->ledger, s->level, &db->snap_job.made, s->stored_bytes);
    else {
        LOG_WARN("the index for merges cannot be kept", F_STR("db", db->settings->path), F_ERR(&s->stage_err));
        merge_tried(&db->ledger, db->snap_job.level, clock_wall_ms(db->clock), true);
    }
    if (s->level == 0) {
        db->snapshot_txid = s->meta.txid;
        db->snapshot_ms = s->meta.time_ms;
        db->snapshot_count++;
        LOG_INFO("snapshot taken", F_STR("db", db->settings->path), F_U64("txid", db->snapshot_txid),
            F_U64("pages", s->meta.page_count), F_U64("bytes", s->stored_bytes));
    } else {
        db->merge_txid = s->meta.txid;
        db->merge_ms = s->meta.time_ms;
        db->merge_count++;
        db->merge_bytes += s->stored_bytes;
        LOG_INFO("merge made", F_STR("db", db->settings->path), F_U64("txid", s->meta.txid),
            F_U64("base_txid", s->base_txid), F_U64("level", s->level), F_U64("pages", s->pages_done),
            F_U64("bytes", s->stored_bytes));
    }
    db_trigger_let(db, s->meta.txid); /* the log that leads to it */
    answer_snapshot(db, &fine);
}

static void on_snap_done(struct work_item *item)
{
    struct db *db = item->owner;

    db->in_snap = false;
    if (rc_failed(db->snap_rc)) {
        failed(db);
    } else {
        db->snap_err.code = E_OK;
        if (db->snap_job.choice == MERGE_NOTHING)
            merge_tried(&db->ledger, db->snap_job.level, clock_wall_ms(db->clock), false);
        else
            made(db);
    }
    mem_free(db->snap_job.dir);
    db->snap_job.dir = NULL;
    if (db->state == DB_CLOSING || db->state == DB_STOPPING || db->shipper.fenced || db->abandon)
        resume_close(db);
    else
        db_sync_kick(db);
}

static struct merge_settings settings_of(const struct db *db)
{
    return (struct merge_settings){
        .interval_ms = {db->settings->snapshot_interval_ms, db->settings->merge_interval_ms,
            db->settings->merge_long_interval_ms},
        .fold_count = db->settings->fold_count,
        .percent = db->settings->merge_percent,
    };
}

static void begin(struct db *db, unsigned level)
{
    merge_shipped(
        &db->ledger, db->shipper.put_bytes - db->put_bytes_before, db->shipper.put_count - db->put_count_before);
    db->put_bytes_before = db->shipper.put_bytes;
    db->put_count_before = db->shipper.put_count;
    db->in_snap = true;
    if (level == 0) {
        db->snap_wanted = false;
        for (struct db_waiter *w = db->waiters; w != NULL; w = w->next)
            w->seen = w->seen || w->for_snapshot;
    }
    db->snap_job = (struct db_snapshot_job){
        .level = level,
        .settings = settings_of(db),
        .ledger = db->ledger,
        .dir = mem_strdup(db->state_dir),
    };
    db->snap = (struct db_snap){
        .work = db->work,
        .store = db->store,
        .live = db->live,
        .lane = (int)db->lane,
        .stop = &db->snap_stop,
        .dir = db->snap_job.dir,
        .meta.txid = db->txid, /* for the job, which must not look at what the loop goes on changing */
    };
    db->snap_stop = false;
    db->snap_item.run = run_snap;
    db->snap_item.done = on_snap_done;
    work_job(db->work, &db->snap_item);
}

/* Never for a database that has not changed: the last snapshot is as good.  But what failed is tried again all the
 * same, or nobody would ever learn that the trouble is over. */
void db_snapshot_if_due(struct db *db)
{
    const struct merge_settings settings = settings_of(db);
    int level = 0;

    if (db->in_snap || db->state != DB_RUNNING)
        return;
    if (db->snap_wanted ? !db_trigger_is_through(db) : !db_trigger_may_merge(db))
        return;
    if (!db->snap_wanted)
        level = merge_due(&db->ledger, &settings, clock_wall_ms(db->clock), db->txid);
    if (level < 0 && db->snap_err.code != E_OK)
        level = merge_again(&db->ledger, &settings, clock_wall_ms(db->clock));
    if (level >= 0)
        begin(db, (unsigned)level);
}

void db_snapshot_wait(struct db *db, struct db_waiter *w)
{
    w->for_snapshot = true;
    w->seen = false;
    w->target = 0;
    w->next = db->waiters;
    db->waiters = w;
    db->snap_wanted = true;
    db_trigger_ask(db); /* the log up to there goes first */
    db_sync_kick(db);
}
