/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog.h"
#include "cli.h"
#include "commands.h"
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

    const struct catalog *catalog;
    bool header_printed;
    /* Shares of the segment that the last commit was in. */
    uint32_t segment_timeline;
    uint64_t segment_base, segment_size;
    uint64_t weight, weight_done;
};

/* --- the size of a commit --------------------------------------------------------------------------------------------
 */

static uint64_t object_size(const struct catalog *c, uint32_t timeline, uint64_t first_txid)
{
    const struct catalog_timeline *t = catalog_timeline(c, timeline);
    size_t low = 0, high = t != NULL ? t->log_count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (t->logs[middle].first_txid < first_txid)
            low = middle + 1;
        else
            high = middle;
    }
    return t != NULL && low < t->log_count && t->logs[low].first_txid == first_txid ? t->logs[low].size : 0;
}

/* Every commit weighs its pages and one more, for its place in the table. */
static uint64_t weight_of(const struct seg_commit *commit)
{
    return commit->change_count + 1;
}

static void begin_segment(struct listing *l, const struct seg_info *segment, const struct seg_commit *first)
{
    l->segment_timeline = segment->timeline;
    l->segment_base = segment->base_txid;
    l->segment_size = object_size(l->catalog, segment->timeline, segment->base_txid + 1);
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

static void print_line(const struct seg_info *segment, const struct seg_commit *c, uint64_t bytes)
{
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];

    (void)printf("%10" PRIu64 "  %s  %8" PRIu64 "  %10s  %8" PRIu32 "%s%s\n", c->txid,
        strx_format_time(c->time_ms, time), c->change_count, strx_format_size(bytes, size), segment->timeline,
        (c->flags & SEG_RESYNC) != 0 ? "  resync" : "", (c->flags & SEG_SNAPSHOT) != 0 ? "  snapshot" : "");
}

static void print_object(const struct seg_info *segment, const struct seg_commit *c, uint64_t bytes)
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
    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct listing *l = ctx;
    uint64_t bytes = take_share(l, segment, commit);

    if (l->by_until && commit->time_ms > l->until_ms)
        return false; /* times never fall */
    if (l->by_since && commit->time_ms < l->since_ms)
        return true;
    if (l->json) {
        print_object(segment, commit, bytes);
        return true;
    }
    if (!l->header_printed)
        (void)printf("%10s  %-24s  %8s  %10s  %8s\n", "TXID", "TIME", "PAGES", "BYTES", "TIMELINE");
    l->header_printed = true;
    print_line(segment, commit, bytes);
    return true;
}

/* --- the command ---------------------------------------------------------------------------------------------------
 */

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct listing *l = ctx;
    uint64_t from = 1;

    TRY(catalog_load(&c, w, s, err));
    l->catalog = c;
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
    return catalog_commits(c, w, s, l->timeline, from, on_commit, l, err);
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
            "URL, or a database of the configuration.",
        .examples = "  weir log file:///backup/app --since 2026-11-21T02:00:00Z\n"
                    "  weir log file:///backup/app --json | jq 'select(.pages > 1000)'\n",
        .options = options,
        .operands = &source,
        .operand_min = 1,
        .operand_max = 1,
    };
    enum cli_outcome outcome = cli_parse(&cli, argc, argv);
    struct err err;

    if (outcome != CLI_RUN)
        return outcome == CLI_HELP ? 0 : rc_exit_status(E_CONFIG);
    return rc_failed(session_run_with(fs, file, source, run, &l, &err)) ? cli_fail(COMMAND, &err) : 0;
}
