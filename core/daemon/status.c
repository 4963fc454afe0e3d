/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include "alloc.h"
#include "config_replica.h"
#include "config_table.h"
#include "status_json.h"
#include "status_price.h"
#include "strx.h"

#include <stdio.h>

json_t *status_text(const char *text)
{
    json_t *s = json_string(text);
    char safe[ERR_MSG_SIZE];
    size_t i;

    if (s != NULL)
        return s;
    for (i = 0; text[i] != 0 && i < sizeof safe - 1; i++)
        safe[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    safe[i] = 0;
    return json_string(safe);
}

json_t *status_time(int64_t ms)
{
    char text[STRX_TIME_SIZE];

    return ms == 0 ? json_null() : json_string(strx_format_time(ms, text));
}

const struct err *status_trouble(const struct db *db)
{
    if (db->error.code != E_OK)
        return &db->error;
    if (db->shipper.last_error.code != E_OK)
        return &db->shipper.last_error;
    if (db->local_error.code != E_OK)
        return &db->local_error;
    if (db->spool_error.code != E_OK)
        return &db->spool_error;
    if (db->snap_err.code != E_OK)
        return &db->snap_err;
    if (db->fence_failed.code != E_OK)
        return &db->fence_failed;
    if (db->prune.failed.code != E_OK)
        return &db->prune.failed;
    if (db->fold.trouble.code != E_OK)
        return &db->fold.trouble;
    if (db->scrub.alert.code != E_OK)
        return &db->scrub.alert;
    return db->drill.alert.code != E_OK ? &db->drill.alert : NULL;
}

static const char *const derived[] = {"behind", "spooling", "gap"};

/* In the spool because nobody has asked for it yet. */
static bool waits_on_purpose(const struct db *db)
{
    return db->settings->sync_interval_ms == DB_INTERVAL_OFF && db->shipper.last_error.code == E_OK;
}

const char *status_state(const struct db *db)
{
    if (db->in_gap)
        return "gap";
    if (db->state == DB_RUNNING && db->spool_bytes > 0 && !waits_on_purpose(db))
        return "spooling";
    if (db->state == DB_RUNNING && db->shipper.last_error.code != E_OK)
        return "behind";
    return db_state_name(db->state);
}

const char *status_state_name(unsigned i)
{
    if (i <= DB_STOPPED)
        return db_state_name((enum db_state)i);
    i -= DB_STOPPED + 1;
    return i < sizeof derived / sizeof derived[0] ? derived[i] : NULL;
}

uint64_t status_lag_commits(const struct db *db)
{
    return db->txid > db->shipped_txid ? db->txid - db->shipped_txid : 0;
}

/* Where nothing had to be shipped for a day, the commit that came a second ago is a second late, and not a day. */
uint64_t status_lag_ms(const struct db *db)
{
    int64_t from = db->unshipped_ms > db->shipped_time_ms ? db->unshipped_ms : db->shipped_time_ms;
    int64_t since = clock_wall_ms(db->clock) - from;

    return status_lag_commits(db) > 0 && since > 0 ? (uint64_t)since : 0;
}

/* null: everything is kept. */
static json_t *retention_object(const struct db *db)
{
    const struct db_prune *p = &db->prune;
    char policy[RETENTION_TEXT_SIZE];
    struct err none;
    json_t *o;

    if (rc_failed(retention_check(&db->settings->retention, &none)))
        return json_null();
    o = json_object();
    status_json_put(o, "policy", json_string(retention_text(&db->settings->retention, policy)));
    status_json_put(o, "pruned_time", status_time(p->time_ms));
    status_json_put(o, "deleted", status_json_u64(p->deleted_count));
    status_json_put(o, "kept_bytes", p->time_ms != 0 ? status_json_u64(p->kept_bytes) : json_null());
    status_json_put(o, "error", p->failed.code != E_OK ? status_text(p->failed.msg) : json_null());
    return o;
}

static json_t *requests(const struct store_counts *counts)
{
    json_t *o = json_object();

    for (int kind = 0; kind < STORE_KIND_COUNT; kind++) {
        json_t *one = json_object();

        for (int outcome = 0; outcome < STORE_OUTCOME_COUNT; outcome++)
            status_json_put(
                one, store_outcome_name((enum store_outcome)outcome), status_json_u64(counts->outcomes[kind][outcome]));
        status_json_put(o, store_kind_name(kind), one);
    }
    return o;
}

static json_t *error_object(const struct db *db)
{
    const struct err *err = status_trouble(db);
    json_t *o;

    if (err == NULL)
        return json_null();
    o = json_object();
    status_json_put(o, "code", json_string(rc_name(err->code)));
    status_json_put(o, "message", status_text(err->msg));
    if (err == &db->shipper.last_error) {
        status_json_put(o, "since", status_time((int64_t)db->shipper.error_since_ms));
        status_json_put(o, "failures", status_json_u64(db->shipper.backoff.failure_count));
    }
    return o;
}

static json_t *log_object(const struct db *db)
{
    json_t *o = json_object();

    status_json_put(o, "bytes", status_json_u64(db->log_bytes));
    status_json_put(o, "limit_bytes", status_json_u64(db->settings->log_limit));
    status_json_put(o, "resets", status_json_u64(db->reset_count));
    status_json_put(o, "reset_obstacle", db->reset_obstacle != NULL ? json_string(db->reset_obstacle) : json_null());
    return o;
}

static json_t *spool_object(const struct db *db)
{
    json_t *o = json_object();

    status_json_put(o, "bytes", status_json_u64(db->spool_bytes));
    status_json_put(o, "limit_bytes", status_json_u64(db->settings->spool_limit));
    return o;
}

/* The last place where commits could not be told apart. */
static json_t *gap_object(const struct db *db)
{
    const struct db_gap *gap = &db->last_gap;
    json_t *o;

    if (gap->txid == 0)
        return json_null();
    o = json_object();
    status_json_put(o, "after_txid", status_json_u64(gap->after_txid));
    status_json_put(o, "after_time", status_time(gap->after_ms));
    status_json_put(o, "txid", status_json_u64(gap->txid));
    status_json_put(o, "time", status_time(gap->time_ms));
    return o;
}

json_t *status_triggers(const struct db_settings *set)
{
    const struct config_db db = {.sync_interval_ms = set->sync_interval_ms, .sync_commits = set->sync_commits};
    CLEANUP(mem_freep) char *interval = config_table_text(&config_table_db[CONFIG_DB_SYNC_INTERVAL], &db);
    CLEANUP(mem_freep) char *commits = config_table_text(&config_table_db[CONFIG_DB_SYNC_COMMITS], &db);
    json_t *o = json_object();

    status_json_put(o, "interval", json_string(interval));
    status_json_put(o, "commits", json_string(commits));
    status_json_put(o, "changed", json_boolean(set->sync_changed));
    return o;
}

static json_t *lag_object(const struct db *db)
{
    json_t *o = json_object();

    status_json_put(o, "commits", status_json_u64(status_lag_commits(db)));
    status_json_put(o, "seconds", json_real((double)status_lag_ms(db) / 1000.0));
    return o;
}

json_t *status_configuration(const char *file, int64_t loaded_ms, const struct err *error, int64_t error_ms)
{
    json_t *o = json_object(), *e = NULL;

    status_json_put(o, "file", file != NULL ? status_text(file) : json_null());
    status_json_put(o, "loaded", status_time(loaded_ms));
    if (error->code != E_OK) {
        e = json_object();
        status_json_put(e, "code", json_string(rc_name(error->code)));
        status_json_put(e, "message", status_text(error->msg));
        status_json_put(e, "time", status_time(error_ms));
    }
    status_json_put(o, "error", e != NULL ? e : json_null());
    return o;
}

/* Without a store its own words are all there is. */
static json_t *url_text(const struct db *db)
{
    CLEANUP(mem_freep) char *url = db->store == NULL ? config_replica_redact(db->settings->url) : NULL;

    return status_text(url != NULL ? url : db->store->url);
}

json_t *status_closed(const struct status_closed *c)
{
    json_t *o = json_object(), *e = NULL;

    status_json_put(o, "path", status_text(c->path));
    status_json_put(o, "url", status_text(c->url));
    status_json_put(o, "state", json_string(c->state));
    status_json_put(o, "ready", json_boolean(c->ready));
    status_json_put(o, "parked", json_boolean(c->parked));
    status_json_put(o, "timeline", status_json_u64(c->timeline));
    status_json_put(o, "txid", status_json_u64(c->txid));
    status_json_put(o, "time", status_time(c->time_ms));
    status_json_put(o, "shipped_txid", status_json_u64(c->txid));
    status_json_put(o, "shipped_time", status_time(c->time_ms));
    status_json_put(o, "lag", json_pack("{s:i, s:f}", "commits", 0, "seconds", 0.0));
    status_json_put(o, "triggers", c->settings != NULL ? status_triggers(c->settings) : json_null());
    status_json_put(o, "snapshot_txid", c->snapshot_txid != 0 ? status_json_u64(c->snapshot_txid) : json_null());
    status_json_put(o, "snapshot_time", status_time(c->snapshot_ms));
    status_json_put(o, "drill", status_proof_drill(&c->drill, c->now_ms));
    status_json_put(o, "scrub", status_proof_scrub(&c->scrub));
    status_json_put(o, "resyncs", status_json_u64(c->resyncs));
    status_json_put(o, "segments", status_json_u64(c->segments));
    status_json_put(o, "bytes_shipped", status_json_u64(c->bytes_shipped));
    status_json_put(o, "bytes_changed", status_json_u64(c->bytes_changed));
    if (c->error != NULL) {
        e = json_object();
        status_json_put(e, "code", json_string(rc_name(c->error->code)));
        status_json_put(e, "message", status_text(c->error->msg));
    }
    status_json_put(o, "price", json_null());
    status_json_put(o, "error", e != NULL ? e : json_null());
    return o;
}

json_t *status_database(const struct db *db, bool ready)
{
    struct status_drill drill;
    struct status_scrub scrub;
    json_t *o = json_object();

    status_proof_drill_of(db, &drill);
    status_proof_scrub_of(db, &scrub);

    status_json_put(o, "path", status_text(db->settings->path));
    status_json_put(o, "url", url_text(db));
    status_json_put(o, "state", json_string(status_state(db)));
    status_json_put(o, "ready", json_boolean(ready));
    status_json_put(o, "parked", json_false());
    status_json_put(o, "timeline", status_json_u64(db->timeline));
    status_json_put(o, "txid", status_json_u64(db->txid));
    status_json_put(o, "time", status_time(db->time_ms));
    status_json_put(o, "shipped_txid", status_json_u64(db->shipped_txid));
    status_json_put(o, "shipped_time", status_time(db->shipped_time_ms));
    status_json_put(o, "lag", lag_object(db));
    status_json_put(o, "triggers", status_triggers(db->settings));
    status_json_put(o, "log", log_object(db));
    status_json_put(o, "spool", spool_object(db));
    status_json_put(o, "gap", gap_object(db));
    status_json_put(o, "fencing", json_string(fence_name(db->fence)));
    status_json_put(o, "snapshot_txid", db->snapshot_txid != 0 ? status_json_u64(db->snapshot_txid) : json_null());
    status_json_put(o, "snapshot_time", status_time(db->snapshot_ms));
    status_json_put(o, "merge_txid", db->merge_txid != 0 ? status_json_u64(db->merge_txid) : json_null());
    status_json_put(o, "merge_time", status_time(db->merge_ms));
    status_json_put(o, "merges", status_json_u64(db->merge_count));
    status_json_put(o, "bytes_merged", status_json_u64(db->merge_bytes));
    status_json_put(o, "retention", retention_object(db));
    status_json_put(o, "drill", status_proof_drill(&drill, clock_wall_ms(db->clock)));
    status_json_put(o, "scrub", status_proof_scrub(&scrub));
    status_json_put(o, "resyncs", status_json_u64(db->resync_count));
    status_json_put(o, "segments", status_json_u64(db->shipper.put_count));
    status_json_put(o, "bytes_shipped", status_json_u64(db->shipper.put_bytes));
    status_json_put(o, "bytes_changed", status_json_u64(db->shipper.raw_bytes));
    status_json_put(o, "price", status_price_object(db));
    status_json_put(o, "error", error_object(db));
    if (db->store != NULL)
        status_json_put(o, "requests", requests(store_counts_of(db->store)));
    return o;
}
