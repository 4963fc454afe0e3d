/* SPDX-License-Identifier: Apache-2.0 */
#include "status_print.h"

#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "-";
}

/* What makes it an error is in the error already. */
static void print_drill(const json_t *drill)
{
    if (!json_is_object(drill))
        return;
    if (json_is_string(json_object_get(drill, "verified_time")))
        (void)printf("  verified   txid %" PRIu64 " was restored and is whole, at %s\n", number(drill, "txid"),
            text(drill, "verified_time"));
    if (json_is_string(json_object_get(drill, "skipped")))
        (void)printf("  drill      skipped: %s\n", text(drill, "skipped"));
    else if (json_is_string(json_object_get(drill, "error")))
        (void)printf("  drill      could not be carried out: %s\n", text(drill, "error"));
    else if (json_is_true(json_object_get(drill, "overdue")))
        (void)printf("  drill      overdue: none went well for two intervals\n");
}

/* What makes it an error is in the error already. */
static void print_scrub(const json_t *scrub)
{
    if (!json_is_object(scrub))
        return;
    if (number(scrub, "damaged") > 0)
        (void)printf("  scrub      %" PRIu64 " pages of the file are damaged\n", number(scrub, "damaged"));
    else if (json_is_string(json_object_get(scrub, "pass_time")))
        (void)printf("  scrub      all %" PRIu64 " pages of the file were what was committed, at %s\n",
            number(scrub, "pass_pages"), text(scrub, "pass_time"));
    if (json_is_string(json_object_get(scrub, "error")))
        (void)printf("  scrub      could not be carried out: %s\n", text(scrub, "error"));
}

/* Nothing where it is not known, or not yet. */
static void print_price(const json_t *price)
{
    const json_t *requests = json_object_get(price, "requests"), *total = json_object_get(price, "total");
    const char *currency = json_string_value(json_object_get(price, "currency"));

    if (!json_is_real(requests))
        return;
    (void)printf("  price      about %.2f%s%s a month%s", json_real_value(json_is_real(total) ? total : requests),
        currency != NULL ? " " : "", currency != NULL ? currency : "", json_is_real(total) ? "" : " for requests");
    if (json_is_real(total))
        (void)printf(": %.2f for requests, %.2f for storage", json_real_value(requests),
            json_real_value(json_object_get(price, "storage")));
    (void)printf("\n");
}

static void print_running(const json_t *db)
{
    const json_t *lag = json_object_get(db, "lag"), *log = json_object_get(db, "log"),
                 *error = json_object_get(db, "error"), *triggers = json_object_get(db, "triggers");
    char size[STRX_HUMAN_SIZE];

    (void)printf("%s -> %s\n", text(db, "path"), text(db, "url"));
    (void)printf("  state      %s%s\n", text(db, "state"),
        json_is_true(json_object_get(db, "parked")) ? " (parked: quiet, and watched by file events)" : "");
    (void)printf("  timeline   %" PRIu64 "\n", number(db, "timeline"));
    (void)printf("  local      txid %" PRIu64 " of %s\n", number(db, "txid"), text(db, "time"));
    (void)printf("  shipped    txid %" PRIu64 " of %s\n", number(db, "shipped_txid"), text(db, "shipped_time"));
    (void)printf("  lag        %" PRIu64 " commits, %.1f s\n", number(lag, "commits"),
        json_real_value(json_object_get(lag, "seconds")));
    if (json_is_object(triggers))
        (void)printf("  triggers   interval %s, commits %s%s\n", text(triggers, "interval"), text(triggers, "commits"),
            json_is_true(json_object_get(triggers, "changed"))
                ? " (by 'weir sync', until the configuration is loaded again)"
                : "");
    if (log != NULL)
        (void)printf("  log        %s%s%s\n", strx_format_size(number(log, "bytes"), size),
            json_is_string(json_object_get(log, "reset_obstacle")) ? ", cannot be started over: " : "",
            json_is_string(json_object_get(log, "reset_obstacle")) ? text(log, "reset_obstacle") : "");
    if (json_is_integer(json_object_get(db, "snapshot_txid")))
        (void)printf("  snapshot   txid %" PRIu64 " of %s\n", number(db, "snapshot_txid"), text(db, "snapshot_time"));
    if (json_is_integer(json_object_get(db, "merge_txid")))
        (void)printf("  merge      txid %" PRIu64 " of %s\n", number(db, "merge_txid"), text(db, "merge_time"));
    print_drill(json_object_get(db, "drill"));
    print_scrub(json_object_get(db, "scrub"));
    print_price(json_object_get(db, "price"));
    if (number(db, "resyncs") > 0)
        (void)printf(
            "  gaps       %" PRIu64 " in this run: commits that cannot be told apart\n", number(db, "resyncs"));
    if (json_is_object(error))
        (void)printf("  error      %s\n", text(error, "message"));
}

static void print_stopped(const json_t *o)
{
    (void)printf("%s\n  state      not running (%s)\n", text(o, "path"), text(o, "message"));
    if (json_object_get(o, "shipped_txid") != NULL)
        (void)printf("  shipped    txid %" PRIu64 " of %s, when weir ran last\n", number(o, "shipped_txid"),
            text(o, "shipped_time"));
}

void status_print_database(const json_t *db)
{
    if (strcmp(text(db, "state"), "not running") == 0)
        print_stopped(db);
    else
        print_running(db);
}

void status_print_folder(const json_t *folder)
{
    (void)printf("folder %s\n  databases  %" PRIu64 ", %" PRIu64 " open, %" PRIu64 " parked, %" PRIu64 " failed\n",
        text(folder, "dir"), number(folder, "databases"), number(folder, "open"), number(folder, "parked"),
        number(folder, "failed"));
    if (!json_is_null(json_object_get(folder, "error")))
        (void)printf("  error      %s\n", text(folder, "error"));
}
