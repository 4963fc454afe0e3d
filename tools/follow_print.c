/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_print.h"

#include "cli.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "restore"

static const char *const names[] = {
    [FOLLOW_READY] = "ready",
    [FOLLOW_APPLIED] = "applied",
    [FOLLOW_REBASED] = "rebased",
    [FOLLOW_TIMELINE] = "timeline",
    [FOLLOW_CURRENT] = "current",
    [FOLLOW_TROUBLE] = "trouble",
    [FOLLOW_AGAIN] = "again",
    [FOLLOW_WARNING] = "warning",
};

/* "txid 17 (2026-11-21T02:01:21.123Z) of timeline 2" */
static void state_text(char out[128], const struct follow_event *e)
{
    char when[STRX_TIME_SIZE];

    (void)snprintf(out, 128, "txid %" PRIu64 " (%s) of timeline %" PRIu32, e->txid, strx_format_time(e->time_ms, when),
        e->timeline);
}

void follow_print_text(const struct follow_event *e)
{
    char state[128], lag[STRX_HUMAN_SIZE];

    state_text(state, e);
    (void)strx_format_duration((uint64_t)e->lag_ms, lag);
    switch (e->what) {
    case FOLLOW_READY:
        (void)printf("following from %s\n", state);
        break;
    case FOLLOW_APPLIED:
        (void)printf("at %s: %" PRIu64 " commits, %" PRIu64 " pages, %s behind\n", state, e->commits, e->pages, lag);
        break;
    case FOLLOW_REBASED:
        (void)printf("at %s: all at once, %" PRIu64 " pages, because %s\n", state, e->pages, e->text);
        break;
    case FOLLOW_TIMELINE:
        (void)printf("another writer took over: following %s\n", state);
        break;
    case FOLLOW_CURRENT:
        (void)printf("nothing newer than %s\n", state);
        break;
    case FOLLOW_AGAIN:
        (void)printf("the replica answers again: at %s\n", state);
        break;
    case FOLLOW_TROUBLE:
        cli_complain(COMMAND, "%s (tried again; the copy stays at %s)", e->text, state);
        break;
    case FOLLOW_WARNING:
        cli_complain(COMMAND, "warning: %s", e->text);
        break;
    }
    (void)fflush(stdout); /* whoever reads it wants it now; that it fails is told at the end */
}

void follow_print_json(const struct follow_event *e)
{
    char time[STRX_TIME_SIZE], checksum[17];
    json_t *doc;

    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, e->checksum);
    doc = json_pack("{s:s, s:I, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "event", names[e->what], "timeline",
        (json_int_t)e->timeline, "txid", (json_int_t)e->txid, "time", strx_format_time(e->time_ms, time), "time_ms",
        (json_int_t)e->time_ms, "checksum", checksum, "commits", (json_int_t)e->commits, "pages", (json_int_t)e->pages,
        "page_count", (json_int_t)e->page_count, "log_frames", (json_int_t)e->log_frames, "lag_ms",
        (json_int_t)e->lag_ms, "text", e->text != NULL ? json_string(e->text) : json_null());
    if (doc == NULL || json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT) != 0)
        cli_complain(COMMAND, "print the result: out of memory or standard output is closed");
    (void)printf("\n");
    (void)fflush(stdout); /* as above */
    json_decref(doc);
}
