/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "catalog.h"
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "config_daemon.h"
#include "local_state.h"
#include "plan.h"
#include "prune.h"
#include "retention_print.h"
#include "session.h"
#include "settings.h"
#include "sorted.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "ls"

struct listing {
    bool json, gaps;
    const char *url; /* of the store */
    struct prune_opts retention;
    bool has_retention; /* it is configured */
    struct prune_report promised;

    /* While a timeline is being printed. */
    uint32_t timeline;
    json_t *gap_array; /* owned; [] also for text */
    struct rc worst;
    struct err worst_err;
};

/* What can be restored on a timeline beside single snapshots. */
struct range {
    uint64_t first_txid, last_txid; /* 0: nothing */
    int64_t first_ms;               /* 0: not known without reading more */
    int64_t last_ms;
};

/* --- looking -------------------------------------------------------------------------------------------------------
 */

static bool can_restore(const struct catalog *c, uint32_t timeline, uint64_t txid)
{
    CLEANUP(plan_freep) struct plan *p = NULL;
    struct err ignored;

    return !rc_failed(plan_restore(c, timeline, txid, NULL, &p, &ignored));
}

/* A segment, or the inside of a fold, where it is not known from the listing. */
static bool log_begins_at(const struct catalog_timeline *t, uint64_t txid)
{
    size_t at = SORTED_AT(t->logs, t->log_count, first_txid, txid);

    for (size_t i = 0; i < t->fold_count; i++)
        if (t->folds[i].first_txid <= txid && txid <= t->folds[i].last_txid)
            return true;

    return at < t->log_count && t->logs[at].first_txid == txid;
}

/* Of the log that reaches up to the tip: what lies before a pruned range is there for single states. */
static uint64_t first_txid(const struct catalog_timeline *t)
{
    uint64_t first = t->log_count > 0 ? t->logs[0].first_txid : UINT64_MAX;

    if (t->fold_count > 0 && t->folds[0].first_txid < first)
        first = t->folds[0].first_txid;
    for (size_t i = 0; i < t->pruned_count; i++)
        if (t->pruned[i].last_txid >= first && t->pruned[i].last_txid < t->tip_txid)
            first = t->pruned[i].last_txid + 1;
    return first;
}

/* From the timeline's own first commit, if a snapshot leads to it, else from the first snapshot that leads on. */
static struct range range_of(const struct catalog *c, const struct catalog_timeline *t)
{
    struct range r = {0};

    if (t->tip_txid == 0)
        return r;
    if (can_restore(c, t->number, first_txid(t))) {
        r.first_txid = first_txid(t);
        if (t->snapshot_count > 0 && t->snapshots[0].txid == r.first_txid)
            r.first_ms = t->snapshots[0].time_ms;
    }
    for (size_t i = 0; i < t->snapshot_count && r.first_txid == 0; i++) {
        const struct catalog_snapshot *s = &t->snapshots[i];

        if ((s->txid == t->tip_txid || log_begins_at(t, s->txid + 1)) && can_restore(c, t->number, s->txid)) {
            r.first_txid = s->txid;
            r.first_ms = s->time_ms;
        }
    }
    r.last_txid = r.first_txid != 0 ? t->tip_txid : 0;
    r.last_ms = t->tip_time_ms;
    return r;
}

static uint64_t log_bytes(const struct catalog_timeline *t)
{
    uint64_t sum = t->part_size;

    for (size_t i = 0; i < t->log_count; i++)
        sum += t->logs[i].size;
    for (size_t i = 0; i < t->fold_count; i++)
        sum += t->folds[i].size;
    return sum;
}

static uint64_t merge_bytes(const struct catalog_timeline *t)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < t->merge_count; i++)
        sum += t->merges[i].size;
    return sum;
}

static uint64_t all_bytes(const struct catalog_timeline *t)
{
    uint64_t sum = log_bytes(t);

    for (size_t i = 0; i < t->snapshot_count; i++)
        sum += t->snapshots[i].size;
    return sum + merge_bytes(t);
}

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct listing *l = ctx;
    char time[STRX_TIME_SIZE];

    /* The first commit of a history is a snapshot, and nothing is missing before it. */
    if (segment->timeline == l->timeline && commit->txid > 1 && (commit->flags & (SEG_RESYNC | SEG_SNAPSHOT)) != 0)
        (void)json_array_append_new(
            l->gap_array, json_pack("{s:I, s:s, s:I, s:s}", "txid", (json_int_t)commit->txid, "time",
                              strx_format_time(commit->time_ms, time), "time_ms", (json_int_t)commit->time_ms, "kind",
                              (commit->flags & SEG_SNAPSHOT) != 0 ? "snapshot" : "resync"));
    return true;
}

/* Damage in one timeline does not hide the others: it is printed there, and decides the exit status. */
static void note_damage(struct listing *l, struct rc rc, const struct err *err)
{
    if (rc_failed(rc) && !rc_failed(l->worst)) {
        l->worst = rc;
        l->worst_err = *err;
    }
}

/* --- as text -------------------------------------------------------------------------------------------------------
 */

static void print_origin(const struct catalog_timeline *t)
{
    char time[STRX_TIME_SIZE];
    const struct layout_origin *o = &t->origin;

    (void)printf("\ntimeline %" PRIu32, t->number);
    if (o->timeline == 0) {
        (void)printf(": its timeline.json is missing or damaged\n");
        return;
    }
    if (o->parent != 0)
        (void)printf(", from timeline %" PRIu32 " behind txid %" PRIu64, o->parent, o->fork_txid);
    (void)printf(
        "\n  begun       %s by %s, process %ld, %s\n", strx_format_time(o->time_ms, time), o->host, o->pid, o->path);
}

static void print_range(const struct range *r)
{
    char time[STRX_TIME_SIZE];

    if (r->first_txid == 0) {
        (void)printf("  restorable  nothing: no snapshot leads to its commits\n");
        return;
    }
    (void)printf("  restorable  txid %" PRIu64, r->first_txid);
    if (r->first_ms != 0)
        (void)printf(" (%s)", strx_format_time(r->first_ms, time));
    (void)printf(" to %" PRIu64 " (%s)\n", r->last_txid, strx_format_time(r->last_ms, time));
}

static void print_gaps(const json_t *gaps)
{
    size_t i;
    json_t *gap;

    json_array_foreach(gaps, i, gap)(void)
        printf("  gap         before txid %" JSON_INTEGER_FORMAT " (%s), closed by a %s\n",
            json_integer_value(json_object_get(gap, "txid")), json_string_value(json_object_get(gap, "time")),
            json_string_value(json_object_get(gap, "kind")));
}

static void print_timeline(
    const struct listing *l, const struct catalog *c, const struct catalog_timeline *t, const char *damage)
{
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];

    print_origin(t);
    if (damage[0] != 0)
        (void)printf("  DAMAGED     %s\n", damage);
    else if (t->tip_txid == 0)
        (void)printf("  no commit yet\n");
    else {
        struct range r = range_of(c, t);

        print_range(&r);
    }
    if (t->sealed)
        (void)printf("  sealed      by timeline %" PRIu32 "\n", t->successor);
    (void)printf("  log         %zu segments, %zu folds, %" PRIu64 " parts, %s\n", t->log_count - (t->sealed ? 1 : 0),
        t->fold_count, t->part_count, strx_format_size(log_bytes(t), size));
    for (size_t i = 0; i < t->snapshot_count; i++)
        (void)printf("  snapshot    txid %" PRIu64 " (%s), %s\n", t->snapshots[i].txid,
            strx_format_time(t->snapshots[i].time_ms, time), strx_format_size(t->snapshots[i].size, size));
    for (size_t i = 0; i < t->pruned_count; i++)
        (void)printf("  pruned      txid %" PRIu64 " to %" PRIu64 ": not every commit is kept\n",
            t->pruned[i].first_txid, t->pruned[i].last_txid);
    if (t->merge_count > 0)
        (void)printf("  merges      %zu, %s\n", t->merge_count, strx_format_size(merge_bytes(t), size));
    if (l->gaps && json_array_size(l->gap_array) == 0 && damage[0] == 0)
        (void)printf("  gaps        none\n");
    print_gaps(l->gap_array);
}

/* --- as JSON -------------------------------------------------------------------------------------------------------
 */

static json_t *time_value(int64_t ms)
{
    char time[STRX_TIME_SIZE];

    return ms != 0 ? json_string(strx_format_time(ms, time)) : json_null();
}

static json_t *number_or_null(uint64_t n)
{
    return n != 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *range_object(const struct catalog *c, const struct catalog_timeline *t)
{
    struct range r = range_of(c, t);

    if (r.first_txid == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:o, s:o}", "first_txid", (json_int_t)r.first_txid, "last_txid",
        (json_int_t)r.last_txid, "first_time", time_value(r.first_ms), "last_time", time_value(r.last_ms));
}

static json_t *tip_object(const struct catalog_timeline *t)
{
    char checksum[17];

    if (t->tip_txid == 0)
        return json_null();
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, t->tip_checksum);
    return json_pack("{s:I, s:o, s:I, s:s}", "txid", (json_int_t)t->tip_txid, "time", time_value(t->tip_time_ms),
        "time_ms", (json_int_t)t->tip_time_ms, "checksum", checksum);
}

static json_t *snapshot_array(const struct catalog_timeline *t)
{
    json_t *array = json_array();

    for (size_t i = 0; i < t->snapshot_count; i++)
        (void)json_array_append_new(
            array, json_pack("{s:I, s:o, s:I, s:I}", "txid", (json_int_t)t->snapshots[i].txid, "time",
                       time_value(t->snapshots[i].time_ms), "time_ms", (json_int_t)t->snapshots[i].time_ms, "bytes",
                       (json_int_t)t->snapshots[i].size));
    return array;
}

static json_t *merge_array(const struct catalog_timeline *t)
{
    json_t *array = json_array();

    for (size_t i = 0; i < t->merge_count; i++) {
        const struct catalog_merge *m = &t->merges[i];

        (void)json_array_append_new(
            array, json_pack("{s:I, s:I, s:I, s:o, s:I, s:I}", "level", (json_int_t)m->level, "base_txid",
                       (json_int_t)m->base_txid, "txid", (json_int_t)m->txid, "time", time_value(m->time_ms), "time_ms",
                       (json_int_t)m->time_ms, "bytes", (json_int_t)m->size));
    }
    return array;
}

static json_t *pruned_array(const struct catalog_timeline *t)
{
    json_t *array = json_array();

    for (size_t i = 0; i < t->pruned_count; i++)
        (void)json_array_append_new(array, json_pack("{s:I, s:I}", "first_txid", (json_int_t)t->pruned[i].first_txid,
                                               "last_txid", (json_int_t)t->pruned[i].last_txid));
    return array;
}

static json_t *timeline_object(
    const struct listing *l, const struct catalog *c, const struct catalog_timeline *t, const char *damage)
{
    const struct layout_origin *o = &t->origin;

    return json_pack(
        "{s:I, s:o, s:I, s:s, s:I, s:s, s:o, s:b, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
        "timeline", (json_int_t)t->number, "parent", number_or_null(o->parent), "fork_txid", (json_int_t)o->fork_txid,
        "host", o->host, "pid", (json_int_t)o->pid, "path", o->path, "begun", time_value(o->time_ms), "sealed",
        (int)t->sealed, "successor", number_or_null(t->successor), "tip", tip_object(t), "restorable",
        range_object(c, t), "segments", (json_int_t)(t->log_count - (t->sealed ? 1 : 0)), "folds",
        (json_int_t)t->fold_count, "parts", (json_int_t)t->part_count, "log_bytes", (json_int_t)log_bytes(t),
        "snapshots", snapshot_array(t), "merges", merge_array(t), "pruned", pruned_array(t), "gaps",
        l->gaps ? json_deep_copy(l->gap_array) : json_null(), "damage",
        damage[0] != 0 ? json_string(damage) : json_null());
}

/* --- the command ---------------------------------------------------------------------------------------------------
 */

static struct rc list_timeline(
    struct listing *l, struct catalog *c, struct work *w, struct store *s, size_t i, json_t *timelines, struct err *err)
{
    const struct catalog_timeline *t = &c->timelines[i];
    struct err damage = {0};
    struct rc rc;

    l->timeline = t->number;
    l->gap_array = json_array();
    rc = catalog_load_tip(c, w, s, t->number, &damage);
    if (!rc_failed(rc) && l->gaps)
        rc = catalog_commits(c, w, s, t->number, first_txid(t), on_commit, l, &damage);
    if (rc_failed(rc) && rc.code != E_CORRUPT && rc.code != E_NOTFOUND) {
        json_decref(l->gap_array);
        *err = damage;
        return rc;
    }
    note_damage(l, rc, &damage);
    if (l->json)
        (void)json_array_append_new(timelines, timeline_object(l, c, t, damage.msg));
    else
        print_timeline(l, c, t, damage.msg);
    json_decref(l->gap_array);
    return RC_OK;
}

static void print_head(const struct listing *l, const struct catalog *c, uint64_t bytes)
{
    char database[NONCE_TEXT_SIZE], time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];

    (void)printf("%s\n  database    %s\n", l->url, nonce_format(&c->identity.database, database));
    if (c->identity.format == 0)
        (void)printf("  DAMAGED     " LAYOUT_IDENTITY " is missing or damaged\n");
    else
        (void)printf("  begun       %s, pages of %" PRIu32 " bytes\n", strx_format_time(c->identity.created_ms, time),
            c->identity.page_size);
    (void)printf("  size        %s\n", strx_format_size(bytes, size));
    if (c->unexpected_count > 0)
        (void)printf("  unexpected  %zu keys that are not weir's\n", c->unexpected_count);
}

static void print_document(const struct listing *l, const struct catalog *c, uint64_t bytes, json_t *timelines)
{
    char database[NONCE_TEXT_SIZE];
    json_t *doc = json_pack("{s:s, s:s, s:I, s:o, s:o, s:I, s:I, s:o, s:o}", "url", l->url, "database",
        nonce_format(&c->identity.database, database), "format", (json_int_t)c->identity.format, "page_size",
        number_or_null(c->identity.page_size), "begun", time_value(c->identity.created_ms), "bytes", (json_int_t)bytes,
        "unexpected", (json_int_t)c->unexpected_count, "timelines", timelines, "promised",
        l->has_retention ? retention_print_points(&l->promised.decision) : json_null());

    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_INDENT(2)); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}

static void print_promised(const struct listing *l)
{
    char policy[RETENTION_TEXT_SIZE];

    (void)printf("\nretention     %s\n", retention_text(&l->retention.policy, policy));
    if (l->promised.now_ms == INT64_MIN)
        (void)printf("  everything  is kept: the history is not old enough\n");
    else
        retention_print_text(&l->promised.decision);
}

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct listing *l = ctx;
    json_t *timelines = json_array();
    uint64_t bytes = 0;
    struct rc rc = catalog_load(&c, w, s, err);

    l->url = s->url;
    for (size_t i = 0; !rc_failed(rc) && i < c->timeline_count; i++)
        bytes += all_bytes(&c->timelines[i]);
    if (!rc_failed(rc) && !l->json)
        print_head(l, c, bytes);
    for (size_t i = 0; !rc_failed(rc) && i < c->timeline_count; i++)
        rc = list_timeline(l, c, w, s, i, timelines, err);
    if (!rc_failed(rc) && l->has_retention && !rc_failed(l->worst))
        rc = prune_decide(w, s, &l->retention, &l->promised, err);
    if (!rc_failed(rc) && l->has_retention && !l->json)
        print_promised(l);
    if (!rc_failed(rc) && l->json)
        print_document(l, c, bytes, json_incref(timelines));
    json_decref(timelines);
    prune_fini(&l->promised);
    return rc;
}

/* What the configuration says of retention, if it says anything. */
static struct rc find_retention(
    struct listing *l, const struct fsys *fs, const char *file, const char *source, struct err *err)
{
    CLEANUP(settings_source_fini) struct settings_source from = {0};
    CLEANUP(mem_freep) char *dir = NULL;

    TRY(settings_find(&from, fs, file, source, err));
    l->has_retention = config_has_retention(from.db);
    l->retention = (struct prune_opts){
        .policy = config_daemon_retention(from.db), .grace_ms = PRUNE_GRACE_MS, .local_ms = clock_wall_ms(&clock_real)};
    if (from.path != NULL) {
        dir = local_place_dir(from.path, from.db->state_dir);
        local_verified_read(fs, dir, &l->retention.verified);
    }
    return RC_OK;
}

int cmd_ls(int argc, char **argv, const struct fsys *fs)
{
    struct listing l = {.worst = RC_OK};
    const char *source = NULL, *file = NULL;
    const struct cli_option options[] = {
        {0, "gaps", NULL,
            "read every segment and list the commits that are not exact transactions: 'resync' (changes made while "
            "weir was "
            "away) and 'snapshot' (the state is in a snapshot only)",
            NULL, &l.gaps, NULL},
        {0, "json", NULL, "print one JSON object", NULL, &l.json, NULL},
        SETTINGS_OPTION(&file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE [OPTION...]",
        .about = "Show what a replica holds: its timelines and where they fork, which commits can be restored, "
                 "snapshots, sizes, and damage as far as it can be seen without reading everything.  SOURCE is a URL, "
                 "or a database of the "
                 "configuration.",
        .examples = "  weir ls file:///backup/app\n"
                    "  weir ls /var/lib/app/app.db -c weir.yml\n",
        .options = options,
        .operands = &source,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;
    struct err err;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    if (rc_failed(find_retention(&l, fs, file, source, &err))
        || rc_failed(session_run_with(fs, file, source, run, &l, &err)))
        return cli_fail(COMMAND, &err);
    return rc_failed(l.worst) ? cli_fail(COMMAND, &l.worst_err) : 0;
}
