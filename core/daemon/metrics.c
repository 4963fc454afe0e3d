/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include "metrics_closed.h"
#include "metrics_text.h"
#include "status_price.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum kind { GAUGE, COUNTER, STATES, REQUESTS, FOLDERS, TROUBLES };

struct family {
    const char *name, *unit, *help; /* unit: NULL: none */
    enum kind kind;
    /* False: there is no value (yet). */
    bool (*value)(const struct metrics_database *d, double *out);
    enum metrics_closed_value closed;
};

/* --- values ------------------------------------------------------------------------------------------------------- */

static double seconds(int64_t ms)
{
    return (double)ms / 1000.0;
}

static bool time_of(int64_t ms, double *out)
{
    *out = seconds(ms);
    return ms != 0;
}

static bool number(uint64_t n, double *out)
{
    *out = (double)n;
    return true;
}

static bool never_parked(const struct metrics_database *d, double *out)
{
    (void)d;
    *out = 0;
    return true;
}

static bool lag_seconds(const struct metrics_database *d, double *out)
{
    *out = seconds((int64_t)status_lag_ms(d->db));
    return true;
}

static bool lag_commits(const struct metrics_database *d, double *out)
{
    return number(status_lag_commits(d->db), out);
}

/* Infinity: it is shipped when somebody asks. */
static bool sync_interval(const struct metrics_database *d, double *out)
{
    uint64_t ms = d->db->settings->sync_interval_ms;

    *out = ms == DB_INTERVAL_OFF ? (double)INFINITY : (double)ms / 1000.0;
    return true;
}

static bool local_txid(const struct metrics_database *d, double *out)
{
    return number(d->db->txid, out);
}

static bool shipped_txid(const struct metrics_database *d, double *out)
{
    return number(d->db->shipped_txid, out);
}

static bool shipped_time(const struct metrics_database *d, double *out)
{
    return time_of(d->db->shipped_time_ms, out);
}

static bool timeline(const struct metrics_database *d, double *out)
{
    return number(d->db->timeline, out);
}

static bool segments(const struct metrics_database *d, double *out)
{
    return number(d->db->shipper.put_count, out);
}

static bool shipped_bytes(const struct metrics_database *d, double *out)
{
    return number(d->db->shipper.put_bytes, out);
}

static bool changed_bytes(const struct metrics_database *d, double *out)
{
    return number(d->db->shipper.raw_bytes, out);
}

static bool log_bytes(const struct metrics_database *d, double *out)
{
    return number(d->db->log_bytes, out);
}

static bool log_resets(const struct metrics_database *d, double *out)
{
    return number(d->db->reset_count, out);
}

static bool spooled(const struct metrics_database *d, double *out)
{
    return number(d->db->spool_bytes, out);
}

static bool snapshot_time(const struct metrics_database *d, double *out)
{
    return time_of(d->db->snapshot_ms, out);
}

static bool snapshot_age(const struct metrics_database *d, double *out)
{
    int64_t age = clock_wall_ms(d->db->clock) - d->db->snapshot_ms;

    *out = age > 0 ? seconds(age) : 0;
    return d->db->snapshot_ms != 0;
}

static bool verified_time(const struct metrics_database *d, double *out)
{
    *out = seconds(d->db->drill.last.good_ms);
    return d->db->drill.last.good_ms != 0;
}

static bool drill_failed(const struct metrics_database *d, double *out)
{
    *out = d->db->drill.alert.code != E_OK ? 1 : 0;
    return d->db->settings->drill_interval_ms != 0 || d->db->drill.last.tried_ms != 0;
}

static bool drill_interval(const struct metrics_database *d, double *out)
{
    return time_of((int64_t)d->db->settings->drill_interval_ms, out);
}

static bool scrub_interval(const struct metrics_database *d, double *out)
{
    return time_of((int64_t)d->db->settings->scrub_interval_ms, out);
}

static bool scrub_time(const struct metrics_database *d, double *out)
{
    return time_of(d->db->scrub.view.passed_ms, out);
}

static bool scrub_pages(const struct metrics_database *d, double *out)
{
    return number(d->db->scrub.page_count, out);
}

static bool damaged_pages(const struct metrics_database *d, double *out)
{
    return number(d->db->scrub.view.damaged, out) && (d->db->settings->scrub_interval_ms != 0 || *out > 0);
}

static bool gaps(const struct metrics_database *d, double *out)
{
    return number(d->gap_count, out);
}

static bool gap_time(const struct metrics_database *d, double *out)
{
    *out = seconds(d->db->last_gap.time_ms);
    return d->db->last_gap.txid != 0;
}

static bool resyncs(const struct metrics_database *d, double *out)
{
    return number(d->db->resync_count, out);
}

static bool failures(const struct metrics_database *d, double *out)
{
    return number(d->failure_count, out);
}

static bool failure_time(const struct metrics_database *d, double *out)
{
    return time_of(d->failed_ms, out);
}

static bool trouble(const struct metrics_database *d, double *out)
{
    *out = status_trouble(d->db) != NULL ? 1 : 0;
    return true;
}

static bool ready(const struct metrics_database *d, double *out)
{
    return number(d->ready, out);
}

static bool fenced(const struct metrics_database *d, double *out)
{
    *out = d->db->state == DB_FENCED ? 1 : 0;
    return true;
}

static bool replica_bytes_in(const struct metrics_database *d, double *out)
{
    if (d->db->store == NULL)
        return false;
    return number(store_counts_of(d->db->store)->bytes_in, out);
}

static bool replica_bytes_out(const struct metrics_database *d, double *out)
{
    if (d->db->store == NULL)
        return false;
    return number(store_counts_of(d->db->store)->bytes_out, out);
}

static bool price_month(const struct metrics_database *d, double *out)
{
    struct status_price p;

    return status_price_of(d->db, &p) && status_price_total(&p, out);
}

static bool requests_price_month(const struct metrics_database *d, double *out)
{
    struct status_price p;

    if (!status_price_of(d->db, &p))
        return false;
    *out = p.month.requests;
    return p.month.requests_known;
}

/* A counter's name has no "_total": it is added where the format wants it. */
static const struct family families[] = {
    {"weir_state", NULL, "1 for the state that the database is in, 0 for the others.", STATES, NULL,
        METRICS_CLOSED_NONE},
    {"weir_parked", NULL, "1 when the database is quiet, closed, and watched.", GAUGE, never_parked,
        METRICS_CLOSED_PARKED},
    {"weir_error", NULL, "1 while the status of the database has an error.", GAUGE, trouble, METRICS_CLOSED_ERROR},
    {"weir_ready", NULL, "1 when the database is replicated and nothing is wrong with it.", GAUGE, ready,
        METRICS_CLOSED_READY},
    {"weir_fenced", NULL, "1 when another writer owns the replica.", GAUGE, fenced, METRICS_CLOSED_FENCED},
    {"weir_lag_seconds", "seconds", "Age of what is committed and not shipped; 0 when nothing is missing.", GAUGE,
        lag_seconds, METRICS_CLOSED_ZERO},
    {"weir_lag_commits", NULL, "Commits that are read and not shipped.", GAUGE, lag_commits, METRICS_CLOSED_ZERO},
    {"weir_sync_interval_seconds", "seconds",
        "How long a commit may wait before it is shipped; +Inf: until somebody asks.", GAUGE, sync_interval,
        METRICS_CLOSED_NONE},
    {"weir_local_txid", NULL, "The last commit that was read from the log.", GAUGE, local_txid, METRICS_CLOSED_TXID},
    {"weir_shipped_txid", NULL, "The last commit that is durable in the replica.", GAUGE, shipped_txid,
        METRICS_CLOSED_TXID},
    {"weir_shipped_time_seconds", "seconds", "When that commit was made (Unix time).", GAUGE, shipped_time,
        METRICS_CLOSED_TIME},
    {"weir_timeline", NULL, "The timeline that is being written.", GAUGE, timeline, METRICS_CLOSED_TIMELINE},
    {"weir_segments_shipped", NULL, "Segments that became durable in the replica.", COUNTER, segments,
        METRICS_CLOSED_SEGMENTS},
    {"weir_shipped_bytes", "bytes", "Bytes of those segments.", COUNTER, shipped_bytes, METRICS_CLOSED_SHIPPED_BYTES},
    {"weir_changed_bytes", "bytes", "Bytes of the pages that they stand for.", COUNTER, changed_bytes,
        METRICS_CLOSED_CHANGED_BYTES},
    {"weir_replica_requests", NULL, "Requests to the replica, by kind and outcome; what never was is left out.",
        REQUESTS, NULL, METRICS_CLOSED_NONE},
    {"weir_replica_sent_bytes", "bytes", "Bodies sent to the replica.", COUNTER, replica_bytes_out,
        METRICS_CLOSED_NONE},
    {"weir_replica_received_bytes", "bytes", "Bodies received from the replica.", COUNTER, replica_bytes_in,
        METRICS_CLOSED_NONE},
    {"weir_estimated_price_month", NULL, "What the replica costs a month, estimated: requests and storage.", GAUGE,
        price_month, METRICS_CLOSED_NONE},
    {"weir_estimated_requests_price_month", NULL, "What requests to the replica cost a month, estimated.", GAUGE,
        requests_price_month, METRICS_CLOSED_NONE},
    {"weir_log_bytes", "bytes", "Size of the log in use.", GAUGE, log_bytes, METRICS_CLOSED_NONE},
    {"weir_log_resets", NULL, "How often the log was started over since weir attached to it.", GAUGE, log_resets,
        METRICS_CLOSED_NONE},
    {"weir_spool_bytes", "bytes", "What waits on the local disk.", GAUGE, spooled, METRICS_CLOSED_NONE},
    {"weir_snapshot_time_seconds", "seconds", "When the last snapshot was taken (Unix time).", GAUGE, snapshot_time,
        METRICS_CLOSED_SNAPSHOT_TIME},
    {"weir_snapshot_age_seconds", "seconds", "How old the last snapshot is.", GAUGE, snapshot_age,
        METRICS_CLOSED_SNAPSHOT_AGE},
    {"weir_last_verified_restore_timestamp_seconds", "seconds",
        "When a drill last restored a commit and found it whole (Unix time).", GAUGE, verified_time,
        METRICS_CLOSED_VERIFIED_TIME},
    {"weir_drill_failed", NULL, "1 when a drill has failed and none went well since.", GAUGE, drill_failed,
        METRICS_CLOSED_DRILL_FAILED},
    {"weir_drill_interval_seconds", "seconds", "How often a drill is due; left out where there are none.", GAUGE,
        drill_interval, METRICS_CLOSED_DRILL_INTERVAL},
    {"weir_damaged_pages", NULL, "Pages of the database file that are not what was committed.", GAUGE, damaged_pages,
        METRICS_CLOSED_DAMAGED_PAGES},
    {"weir_scrub_pass_timestamp_seconds", "seconds", "When the scrub last came to the end of the file (Unix time).",
        GAUGE, scrub_time, METRICS_CLOSED_SCRUB_TIME},
    {"weir_scrub_interval_seconds", "seconds",
        "How often the scrub is to come to the end of the file; left out where there is none.", GAUGE, scrub_interval,
        METRICS_CLOSED_SCRUB_INTERVAL},
    {"weir_scrub_pages", NULL, "Pages that the scrub looked at.", COUNTER, scrub_pages, METRICS_CLOSED_SCRUB_PAGES},
    {"weir_gaps", NULL, "Places of this run where commits cannot be told apart.", COUNTER, gaps, METRICS_CLOSED_GAPS},
    {"weir_gap_time_seconds", "seconds", "The last such place (Unix time).", GAUGE, gap_time, METRICS_CLOSED_NONE},
    {"weir_resyncs", NULL, "Comparisons of all pages that found a difference.", COUNTER, resyncs,
        METRICS_CLOSED_RESYNCS},
    {"weir_failures", NULL, "Times that something began to fail.", COUNTER, failures, METRICS_CLOSED_FAILURES},
    {"weir_failure_time_seconds", "seconds", "When something last began to fail (Unix time).", GAUGE, failure_time,
        METRICS_CLOSED_FAILURE_TIME},
};

/* --- text --------------------------------------------------------------------------------------------------------- */

unsigned metrics_family_count(void)
{
    return sizeof families / sizeof families[0];
}

const char *metrics_type(enum metrics_format how)
{
    return how == METRICS_OPEN ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8";
}

static void put_head(const struct family *f, enum metrics_format how, struct buf *out)
{
    bool counter = f->kind == COUNTER || f->kind == REQUESTS;
    const char *suffix = counter && how == METRICS_CLASSIC ? "_total" : "";

    buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", f->name, suffix, f->help, f->name, suffix,
        counter ? "counter" : "gauge");
    if (f->unit != NULL && how == METRICS_OPEN)
        buf_printf(out, "# UNIT %s %s\n", f->name, f->unit);
}

void metrics_head(unsigned family, enum metrics_format how, struct buf *out)
{
    put_head(&families[family], how, out);
}

static void put_begin(const char *name, const char *suffix, const char *path, struct buf *out)
{
    buf_printf(out, "%s%s{", name, suffix);
    metrics_text_label("db", path, out);
}

static void put_states(const struct family *f, const char *path, const char *now, struct buf *out)
{
    for (unsigned i = 0; status_state_name(i) != NULL; i++) {
        put_begin(f->name, "", path, out);
        buf_text(out, ",");
        metrics_text_label("state", status_state_name(i), out);
        buf_text(out, strcmp(now, status_state_name(i)) == 0 ? "} 1\n" : "} 0\n");
    }
}

static void put_requests(const struct family *f, const struct db *db, struct buf *out)
{
    const struct store_counts *counts = db->store != NULL ? store_counts_of(db->store) : NULL;

    for (int kind = 0; counts != NULL && kind < STORE_KIND_COUNT; kind++)
        for (int outcome = 0; outcome < STORE_OUTCOME_COUNT; outcome++) {
            if (counts->outcomes[kind][outcome] == 0)
                continue;
            put_begin(f->name, "_total", db->settings->path, out);
            buf_printf(out, ",kind=\"%s\",outcome=\"%s\"} %" PRIu64 "\n", store_kind_name(kind),
                store_outcome_name((enum store_outcome)outcome), counts->outcomes[kind][outcome]);
        }
}

void metrics_samples(unsigned family, const struct metrics_database *d, enum metrics_format how, struct buf *out)
{
    const struct family *f = &families[family];
    double value;

    (void)how; /* samples are the same in both */
    if (f->kind == STATES) {
        put_states(f, d->db->settings->path, status_state(d->db), out);
    } else if (f->kind == REQUESTS) {
        put_requests(f, d->db, out);
    } else if (f->value(d, &value)) {
        put_begin(f->name, f->kind == COUNTER ? "_total" : "", d->db->settings->path, out);
        buf_text(out, "}");
        metrics_text_value(value, out);
    }
}

void metrics_closed(unsigned family, const struct status_closed *c, int64_t now_ms, struct buf *out)
{
    const struct family *f = &families[family];
    double value;

    if (f->kind == STATES) {
        put_states(f, c->path, c->state, out);
    } else if (metrics_closed_of(f->closed, c, now_ms, &value)) {
        put_begin(f->name, f->kind == COUNTER ? "_total" : "", c->path, out);
        buf_text(out, "}");
        metrics_text_value(value, out);
    }
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

static const struct family folder_families[] = {
    {"weir_folder_databases", NULL, "Databases of the folder, by what they are.", FOLDERS, NULL, METRICS_CLOSED_NONE},
    {"weir_folder_unproven", NULL,
        "Databases of the folder whose backup or file is not known to be whole, by what it is.", TROUBLES, NULL,
        METRICS_CLOSED_NONE},
    {"weir_folder_gone", NULL, "Databases that were deleted or renamed.", COUNTER, NULL, METRICS_CLOSED_NONE},
    {"weir_folder_error", NULL, "1 while the folder cannot be searched.", GAUGE, NULL, METRICS_CLOSED_NONE},
};
static const char *const folder_states[METRICS_FOLDER_STATE_COUNT] = {
    "open", "parked", "starting", "waiting", "failed"};
static const char *const folder_unproven[METRICS_UNPROVEN_COUNT] = {"drill_failed", "drill_overdue", "damaged"};

unsigned metrics_folder_family_count(void)
{
    return sizeof folder_families / sizeof folder_families[0];
}

void metrics_folder_head(unsigned family, enum metrics_format how, struct buf *out)
{
    put_head(&folder_families[family], how, out);
}

static void put_folder_begin(const char *name, const char *suffix, const struct metrics_folder *f, struct buf *out)
{
    buf_printf(out, "%s%s{", name, suffix);
    metrics_text_label("dir", f->dir, out);
    buf_text(out, ",");
    metrics_text_label("pattern", f->pattern, out);
}

void metrics_folder(unsigned family, const struct metrics_folder *f, struct buf *out)
{
    const struct family *m = &folder_families[family];

    for (unsigned i = 0; m->kind == FOLDERS && i < METRICS_FOLDER_STATE_COUNT; i++) {
        put_folder_begin(m->name, "", f, out);
        buf_printf(out, ",state=\"%s\"} %" PRIu64 "\n", folder_states[i], f->counts[i]);
    }
    for (unsigned i = 0; m->kind == TROUBLES && i < METRICS_UNPROVEN_COUNT; i++) {
        put_folder_begin(m->name, "", f, out);
        buf_printf(out, ",why=\"%s\"} %" PRIu64 "\n", folder_unproven[i], f->unproven[i]);
    }
    if (m->kind == FOLDERS || m->kind == TROUBLES)
        return;
    put_folder_begin(m->name, m->kind == COUNTER ? "_total" : "", f, out);
    buf_printf(out, "} %" PRIu64 "\n", m->kind == COUNTER ? f->gone_count : (uint64_t)f->failed);
}

void metrics_process(const struct metrics_process *p, enum metrics_format how, struct buf *out)
{
    static const struct family
        build = {"weir_build", NULL, "The version of weir.", GAUGE, NULL, METRICS_CLOSED_NONE},
        start = {"weir_start_time_seconds", "seconds", "When the daemon began (Unix time).", GAUGE, NULL,
            METRICS_CLOSED_NONE},
        loaded = {"weir_configuration_time_seconds", "seconds",
            "Since when the settings in force are in force (Unix time).", GAUGE, NULL, METRICS_CLOSED_NONE},
        failed = {"weir_configuration_error", NULL, "1 when the last reload could not be used.", GAUGE, NULL,
            METRICS_CLOSED_NONE},
        unshown = {"weir_databases_unshown", NULL,
            "Closed databases of folders beyond the first 1,000, which have no series of their own "
            "until they are open; weir_folder_databases counts all.",
            GAUGE, NULL, METRICS_CLOSED_NONE};

    if (how == METRICS_OPEN)
        buf_printf(out, "# HELP %s %s\n# TYPE %s info\n", build.name, build.help, build.name);
    else
        buf_printf(out, "# HELP %s_info %s\n# TYPE %s_info gauge\n", build.name, build.help, build.name);
    buf_printf(out, "%s_info{version=\"" WEIR_VERSION "\"} 1\n", build.name);
    put_head(&start, how, out);
    buf_text(out, start.name);
    metrics_text_value(seconds(p->start_ms), out);
    put_head(&loaded, how, out);
    buf_text(out, loaded.name);
    metrics_text_value(seconds(p->loaded_ms), out);
    put_head(&failed, how, out);
    buf_printf(out, "%s %d\n", failed.name, (int)p->reload_failed);
    put_head(&unshown, how, out);
    buf_printf(out, "%s %" PRIu64 "\n", unshown.name, p->unshown);
}

void metrics_end(enum metrics_format how, struct buf *out)
{
    if (how == METRICS_OPEN)
        buf_text(out, "# EOF\n");
}
