/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog.h"
#include "cli.h"
#include "commands.h"
#include "log_tables.h"
#include "restore.h"
#include "session.h"
#include "settings.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "log"

struct listing {
    bool json, by_since, by_until;
    int64_t since_ms, until_ms;
    uint32_t timeline;
    struct log_tables tables;

    bool header_printed;
    uint64_t last_txid; /* walked past; 0: none yet */
    /* Shares of the segment that the last commit was in. */
    uint32_t segment_timeline;
    uint64_t segment_base, segment_size;
    uint64_t weight, weight_done;
};

/* --- the size of a commit --------------------------------------------------------------------------------------------
 */

/* Every commit weighs its pages and one more, for its place in the table. */
static uint64_t weight_of(const struct seg_commit *commit)
{
    return commit->change_count + 1;
}

static void begin_segment(struct listing *l, const struct seg_info *segment, const struct seg_commit *first)
{
    l->segment_timeline = segment->timeline;
    l->segment_base = segment->base_txid;
    l->segment_size = segment->object_size;
    for (size_t i = 0; i < segment->part_count; i++)
        l->segment_size += segment->parts[i].size;
    l->weight = l->weight_done = 0;
    for (size_t i = 0; i < segment->commit_count; i++) {
        l->weight += weight_of(&segment->commits[i]);
        if (segment->commits[i].txid < first->txid)
            l->weight_done += weight_of(&segment->commits[i]);
    }
}

/* The shares of all commits of a segment add up to its size. */
static uint64_t share(const struct listing *l, uint64_t weight)
{
    return (uint64_t)((__uint128_t)l->segment_size * weight / l->weight);
}

static uint64_t take_share(struct listing *l, const struct seg_info *segment, const struct seg_commit *commit)
{
    uint64_t before;

    if (l->weight == 0 || l->segment_timeline != segment->timeline || l->segment_base != segment->base_txid)
        begin_segment(l, segment, commit);
    before = share(l, l->weight_done);
    l->weight_done += weight_of(commit);
    return share(l, l->weight_done) - before;
}

/* --- printing ------------------------------------------------------------------------------------------------------
 */

/* `traced` NULL: nobody asked for tables. */
static void print_line(
    const struct seg_info *segment, const struct seg_commit *c, uint64_t bytes, const struct trace_commit *traced)
{
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];

    (void)printf("%10" PRIu64 "  %s  %8" PRIu64 "  %10s  %8" PRIu32, c->txid, strx_format_time(c->time_ms, time),
        c->change_count, strx_format_size(bytes, size), segment->timeline);
    if (traced != NULL) {
        (void)printf("  ");
        log_tables_print(traced);
    }
    (void)printf(
        "%s%s\n", (c->flags & SEG_RESYNC) != 0 ? "  resync" : "", (c->flags & SEG_SNAPSHOT) != 0 ? "  snapshot" : "");
}

static void print_object(
    const struct seg_info *segment, const struct seg_commit *c, uint64_t bytes, const struct trace_commit *traced)
{
    char time[STRX_TIME_SIZE], checksum[17];
    json_t *flags = json_array(), *doc;

    if ((c->flags & SEG_RESYNC) != 0)
        (void)json_array_append_new(flags, json_string("resync"));
    if ((c->flags & SEG_SNAPSHOT) != 0)
        (void)json_array_append_new(flags, json_string("snapshot"));
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, c->checksum);
    doc = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "txid", (json_int_t)c->txid, "time",
        strx_format_time(c->time_ms, time), "time_ms", (json_int_t)c->time_ms, "pages", (json_int_t)c->change_count,
        "page_count", (json_int_t)c->page_count, "bytes", (json_int_t)bytes, "timeline", (json_int_t)segment->timeline,
        "checksum", checksum, "flags", flags);
    if (traced != NULL) {
        (void)json_object_set_new(doc, "tables", log_tables_json(traced));
        if (traced->damage[0] != 0)
            (void)json_object_set_new(doc, "damage", json_string(traced->damage));
    }
    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}

/* A hole is retention's, or the walk had failed: a state before it needs the log, and those in it are not promised. */
static void print_hole(uint64_t first_txid, uint64_t last_txid)
{
    (void)printf(
        "%10s  txid %" PRIu64 " to %" PRIu64 " are gone: retention need not keep them\n", "...", first_txid, last_txid);
}

static void print(struct listing *l, const struct seg_info *segment, const struct seg_commit *commit, uint64_t bytes,
    const struct trace_commit *traced)
{
    if (l->json) {
        print_object(segment, commit, bytes, traced);
        return;
    }
    if (!l->header_printed)
        (void)printf("%10s  %-24s  %8s  %10s  %8s%s\n", "TXID", "TIME", "PAGES", "BYTES", "TIMELINE",
            traced != NULL ? "  TABLES" : "");
    l->header_printed = true;
    if (l->last_txid != 0 && commit->txid > l->last_txid + 1)
        print_hole(l->last_txid + 1, commit->txid - 1);
    print_line(segment, commit, bytes, traced);
}

/* --- commits -------------------------------------------------------------------------------------------------------
 */

enum place { BEFORE, INSIDE, BEHIND };

/* Times never fall. */
static enum place place_of(const struct listing *l, const struct seg_commit *commit)
{
    if (l->by_until && commit->time_ms > l->until_ms)
        return BEHIND;
    return l->by_since && commit->time_ms < l->since_ms ? BEFORE : INSIDE;
}

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct listing *l = ctx;
    uint64_t bytes = take_share(l, segment, commit);
    enum place place = place_of(l, commit);

    if (place == INSIDE)
        print(l, segment, commit, bytes, NULL);
    l->last_txid = commit->txid;
    return place != BEHIND;
}

/* With tables: first only which commits these are, so that no state is restored for nothing. */
static bool on_find_range(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct listing *l = ctx;
    enum place place = place_of(l, commit);

    (void)segment;
    if (place == INSIDE) {
        if (l->tables.first_txid == 0)
            l->tables.first_txid = commit->txid;
        l->tables.last_txid = commit->txid;
    }
    return place != BEHIND;
}

static bool on_traced(void *ctx, const struct trace_commit *c)
{
    struct listing *l = ctx;
    uint64_t bytes = take_share(l, c->segment, c->commit);

    if (log_tables_wants(&l->tables, c)) {
        progress_clear(&l->tables.progress);
        print(l, c->segment, c->commit, bytes, c);
    }
    l->last_txid = c->commit->txid;
    return log_tables_flush(&l->tables);
}

/* --- the command ---------------------------------------------------------------------------------------------------
 */

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct listing *l = ctx;
    uint64_t from = 1;

    TRY(catalog_load(&c, w, s, err));
    if (catalog_newest(c) == NULL)
        return RC_OK; /* a history that has just been begun */
    if (l->timeline == 0)
        l->timeline = catalog_newest(c)->number;
    if (l->by_since) {
        struct rc rc = restore_find_time(c, w, s, l->timeline, l->since_ms - 1, &from, err);

        if (rc.code == E_NOTFOUND)
            from = 1; /* before the first, or after the last: then nothing is printed */
        else
            TRY(rc);
    }
    if (!log_tables_on(&l->tables))
        return catalog_commits(c, w, s, l->timeline, from, on_commit, l, err);
    TRY(catalog_commits(c, w, s, l->timeline, from, on_find_range, l, err));
    return log_tables_run(&l->tables, w, s, c, l->timeline, on_traced, l, err);
}

static struct rc run_session(
    struct listing *l, const struct fsys *fs, const char *file, const char *source, struct err *err)
{
    struct rc rc;

    if (!log_tables_on(&l->tables))
        return session_run_with(fs, file, source, run, l, err);
    TRY(log_tables_open(&l->tables, fs, err));
    rc = session_run_with(fs, file, source, run, l, err);
    log_tables_close(&l->tables, COMMAND, !rc_failed(rc));
    return rc;
}

int cmd_log(int argc, char **argv, const struct fsys *fs)
{
    struct listing l = {0};
    const char *source = NULL, *file = NULL;
    const struct cli_option options[] = {
        {0, "since", "TIME", "only commits at or after this time, like 2026-11-21T02:01:21Z", cli_time, &l.since_ms,
            &l.by_since},
        {0, "until", "TIME", "only commits at or before this time", cli_time, &l.until_ms, &l.by_until},
        {0, "timeline", "N", "the commits that lead to this timeline's end; default: the newest timeline", cli_timeline,
            &l.timeline, NULL},
        {0, "tables", NULL,
            "and the tables and indexes that each commit touched; restores the state before the first of them to a "
            "scratch file and reads the pages of all of them",
            NULL, &l.tables.asked, NULL},
        {0, "table", "NAME",
            "only commits that touched this table (or its indexes) or this index, with tables; may be given more than "
            "once",
            log_tables_name, &l.tables, NULL, .many = true},
        {0, "scratch", "DIR", "with tables: where the scratch files go; default: $TMPDIR, or /tmp", cli_text,
            &l.tables.scratch_dir, NULL},
        {0, "json", NULL, "one JSON object per line", NULL, &l.json, NULL},
        SETTINGS_OPTION(&file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE [OPTION...]",
        .about =
            "List the commits in a replica, oldest first: transaction number, time, pages changed, bytes "
            "stored, timeline.  'resync' marks a commit that stands for changes made while weir was away, "
            "'snapshot' one whose state is in a snapshot only.  Any txid can be given to weir restore.  SOURCE is a "
            "URL, or a database of the configuration.\n\n"
            "With --tables each commit is followed by what it touched: tables, indexes, 'schema', 'free pages', "
            "'pointer map', and 'file header' when there was nothing else.  A name after + was created by that commit, "
            "one after - was dropped; ? means that it cannot be known, because the state before is gone.  The "
            "scratch files take the size of the database, for a moment twice, and are removed at the end.",
        .examples = "  weir log file:///backup/app --since 2026-11-21T02:00:00Z\n"
                    "  weir log file:///backup/app --json | jq 'select(.pages > 1000)'\n"
                    "  weir log file:///backup/app --table users --since 2026-11-21T02:00:00Z\n"
                    "  weir restore file:///backup/app -o before.db --before 1207     # just before that commit\n",
        .options = options,
        .operands = &source,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;
    struct err err;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    if (l.tables.scratch_dir != NULL && !log_tables_on(&l.tables)) {
        cli_complain(COMMAND, "--scratch goes with --tables or --table");
        return rc_exit_status(E_CONFIG);
    }
    return rc_failed(run_session(&l, fs, file, source, &err)) ? cli_fail(COMMAND, &err) : 0;
}
