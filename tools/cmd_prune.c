/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "config_daemon.h"
#include "local_state.h"
#include "prune.h"
#include "retention_print.h"
#include "session.h"
#include "settings.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "prune"

struct request {
    const char *file, *source;
    struct prune_opts opts;
    struct prune_report report;
    char *url; /* owned */
    bool json;
};

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;

    r->url = mem_strdup(s->url);
    return prune_run(w, s, &r->opts, &r->report, err);
}

/* --- as text -------------------------------------------------------------------------------------------------------
 */

static void print_count(const char *verb, const char *what, const struct prune_count *n)
{
    char size[STRX_HUMAN_SIZE];

    if (n->objects > 0)
        (void)printf("  %-11s %" PRIu64 " %s, %s\n", verb, n->objects, what, strx_format_size(n->bytes, size));
}

/* What came to no end, however young the history is. */
static void print_leftovers(const struct request *r, const char *verb)
{
    const struct prune_report *report = &r->report;

    print_count(verb, "scratch objects", &report->leftovers);
    if (report->uploads > 0)
        (void)printf(
            "  %-11s %" PRIu64 " unfinished uploads\n", r->opts.dry_run ? "would go" : "aborted", report->uploads);
    if (report->uploads_err.code != E_OK)
        (void)printf("  note        unfinished uploads cannot be looked for: %s\n", report->uploads_err.msg);
}

static void print_text(const struct request *r)
{
    static const char *const names[LAYOUT_PRUNED + 1] = {[LAYOUT_LOG] = "segments",
        [LAYOUT_PART] = "parts",
        [LAYOUT_SNAPSHOT] = "snapshots",
        [LAYOUT_FOLD] = "folds",
        [LAYOUT_MERGE] = "merges",
        [LAYOUT_PRUNED] = "older notes on what was pruned"};
    const struct prune_report *report = &r->report;
    const char *verb = r->opts.dry_run ? "would go" : "deleted";
    char policy[RETENTION_TEXT_SIZE], time[STRX_TIME_SIZE];

    (void)printf("%s\n  policy      %s\n", r->url, retention_text(&r->opts.policy, policy));
    if (report->now_ms == INT64_MIN) {
        (void)printf("  everything  is kept: the history is not old enough\n");
        print_leftovers(r, verb);
        return;
    }
    (void)printf("  as of       %s\n", strx_format_time(report->now_ms, time));
    retention_print_text(&report->decision);
    for (int kind = LAYOUT_TIMELINE; kind <= LAYOUT_PRUNED; kind++)
        if (names[kind] != NULL)
            print_count(verb, names[kind], &report->kinds[kind]);
    print_leftovers(r, verb);
    print_count(r->opts.dry_run ? "would stay" : "stay", "objects", &report->kept);
}

/* --- as JSON -------------------------------------------------------------------------------------------------------
 */

static json_t *count_object(const struct prune_count *n)
{
    return json_pack("{s:I, s:I}", "objects", (json_int_t)n->objects, "bytes", (json_int_t)n->bytes);
}

static json_t *key_array(const struct retention *d)
{
    static const char *const reasons[] = {
        [RETENTION_EXPIRED] = "expired", [RETENTION_DUPLICATE] = "folded", [RETENTION_SUPERSEDED] = "superseded"};
    json_t *array = json_array();

    for (size_t i = 0; i < d->drop_count; i++) {
        layout_text key;

        layout_text_of(key, &d->drops[i].key);
        (void)json_array_append_new(array, json_pack("{s:s, s:I, s:s}", "key", key, "bytes",
                                               (json_int_t)d->drops[i].size, "reason", reasons[d->drops[i].reason]));
    }
    return array;
}

static void print_json(const struct request *r)
{
    const struct prune_report *report = &r->report;
    char policy[RETENTION_TEXT_SIZE];
    json_t *doc = json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "url", r->url, "policy",
        retention_text(&r->opts.policy, policy), "dry_run", (int)r->opts.dry_run, "as_of",
        retention_print_time(report->now_ms), "promised", retention_print_points(&report->decision), "objects",
        key_array(&report->decision), "leftovers", count_object(&report->leftovers), "uploads",
        report->uploads_err.code == E_OK ? json_integer((json_int_t)report->uploads) : json_null(), "deleted",
        (json_int_t)report->deleted, "kept", count_object(&report->kept));

    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_INDENT(2)); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}

/* --- the command ---------------------------------------------------------------------------------------------------
 */

/* What the command line says stands in place of the configuration as a whole. */
static struct rc complete(struct request *r, const struct fsys *fs, bool given, struct err *err)
{
    CLEANUP(settings_source_fini) struct settings_source from = {0};
    CLEANUP(mem_freep) char *dir = NULL;

    TRY(settings_find(&from, fs, r->file, r->source, err));
    if (!given)
        r->opts.policy = config_daemon_retention(from.db);
    if (!given && !config_has_retention(from.db))
        return rc_raise(err, E_CONFIG,
            "%s: no retention is configured, so everything is kept; to prune all the same: --exact, --daily, --weekly, "
            "--monthly",
            r->source);
    if (from.path != NULL) {
        dir = local_place_dir(from.path, from.db->state_dir);
        local_verified_read(fs, dir, &r->opts.verified);
    }
    return RC_OK;
}

static int prune(struct request *r, const struct fsys *fs, bool given)
{
    struct err err;
    struct rc rc = complete(r, fs, given, &err);

    r->opts.grace_ms = PRUNE_GRACE_MS;
    r->opts.local_ms = clock_wall_ms(&clock_real);
    if (!rc_failed(rc))
        rc = session_run_with(fs, r->file, r->source, run, r, &err);
    if (!rc_failed(rc) && r->json)
        print_json(r);
    else if (!rc_failed(rc))
        print_text(r);
    prune_fini(&r->report);
    mem_free(r->url);
    if (rc_failed(rc) && r->report.deleted > 0)
        cli_complain(COMMAND, "%" PRIu64 " objects were deleted; the next run goes on", r->report.deleted);
    return rc_failed(rc) ? cli_fail(COMMAND, &err) : 0;
}

int cmd_prune(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {0};
    struct retention_policy *policy = &r.opts.policy;
    bool given[1 + RETENTION_KIND_COUNT] = {false};
    const struct cli_option options[] = {
        {0, "dry-run", NULL, "only tell what would be deleted, and what is kept until when", NULL, &r.opts.dry_run,
            NULL},
        {0, "exact", "TIME", "keep every commit that is not older (24h, 7d)", cli_duration, &policy->exact_ms,
            &given[0]},
        {0, "daily", "N", "keep one state of each of N days behind that", cli_count, &policy->periods[RETENTION_DAY],
            &given[1]},
        {0, "weekly", "N", "weeks likewise", cli_count, &policy->periods[RETENTION_WEEK], &given[2]},
        {0, "monthly", "N", "months likewise", cli_count, &policy->periods[RETENTION_MONTH], &given[3]},
        {0, "json", NULL, "print one JSON object", NULL, &r.json, NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE [OPTION...]",
        .about = "Delete from a replica what its retention need not keep.  The policy is that of the configuration, or "
                 "what the options say, all of them together.  The latest state, the newest snapshot and the last one "
                 "that 'weir verify --deep' proved are kept in any case.  The daemon does the same once a day.  SOURCE "
                 "is a URL, or a database of the configuration.",
        .examples = "  weir prune /var/lib/app/app.db --dry-run\n"
                    "  weir prune s3://bucket/app --exact 24h --daily 7 --weekly 4 --monthly 12\n",
        .options = options,
        .operands = &r.source,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return prune(&r, fs, given[0] || given[1] || given[2] || given[3]);
}
