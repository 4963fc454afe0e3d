/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "local_state.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMAND "status"

enum {
    ANSWER_MS = 10000
}; /* a daemon that does not answer a status call for so long is not well, and that is the news */

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "-";
}

static void print_database(const json_t *db)
{
    const json_t *lag = json_object_get(db, "lag"), *log = json_object_get(db, "log"),
                 *error = json_object_get(db, "error");
    char size[STRX_HUMAN_SIZE];

    (void)printf("%s -> %s\n", text(db, "path"), text(db, "url"));
    (void)printf("  state      %s\n", text(db, "state"));
    (void)printf("  timeline   %" PRIu64 "\n", number(db, "timeline"));
    (void)printf("  local      txid %" PRIu64 " of %s\n", number(db, "txid"), text(db, "time"));
    (void)printf("  shipped    txid %" PRIu64 " of %s\n", number(db, "shipped_txid"), text(db, "shipped_time"));
    (void)printf("  lag        %" PRIu64 " commits, %.1f s\n", number(lag, "commits"),
        json_real_value(json_object_get(lag, "seconds")));
    (void)printf("  log        %s%s%s\n", strx_format_size(number(log, "bytes"), size),
        json_is_string(json_object_get(log, "reset_obstacle")) ? ", cannot be started over: " : "",
        json_is_string(json_object_get(log, "reset_obstacle")) ? text(log, "reset_obstacle") : "");
    if (json_is_integer(json_object_get(db, "snapshot_txid")))
        (void)printf("  snapshot   txid %" PRIu64 " of %s\n", number(db, "snapshot_txid"), text(db, "snapshot_time"));
    if (number(db, "resyncs") > 0)
        (void)printf(
            "  gaps       %" PRIu64 " in this run: commits that cannot be told apart\n", number(db, "resyncs"));
    if (json_is_object(error))
        (void)printf("  error      %s\n", text(error, "message"));
}

/* Anything that an operator should look at makes the exit status 1. */
static int judge(const json_t *db)
{
    const char *state = text(db, "state");

    if (strcmp(state, "fenced") == 0)
        return rc_exit_status(E_FENCED);
    return strcmp(state, "replicating") == 0 && json_is_null(json_object_get(db, "error")) ? 0 : 1;
}

static int show_running(const char *path, json_t *answer, bool json)
{
    const json_t *list = json_object_get(answer, "databases");
    size_t i;
    json_t *db;
    int status = 1;

    if (json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2)); /* the stream is checked at the end */
        (void)printf("\n");
    }
    json_array_foreach(list, i, db)
    {
        if (strcmp(text(db, "path"), path) != 0)
            continue;
        if (!json)
            print_database(db);
        status = judge(db);
    }
    return status;
}

/* No daemon: what the local state says, which is the past. */
static int show_stopped(const struct fsys *fs, const char *path, const struct err *why, bool json)
{
    CLEANUP(mem_freep) char *dir = local_state_dir(path);
    struct local_state_content content;
    enum local_state_found found;
    struct err err;
    char when[STRX_TIME_SIZE];
    bool known;

    known = !rc_failed(local_state_peek(fs, dir, &content, &found, &err)) && found == LOCAL_STATE_GOOD
            && content.pos.txid > 0;
    if (json) {
        json_t *o = json_pack("{s:s, s:s, s:s}", "path", path, "state", "not running", "message", why->msg);

        if (known)
            (void)json_object_update_new(o, json_pack("{s:I, s:s, s:I}", "shipped_txid", (json_int_t)content.pos.txid,
                                                "shipped_time", strx_format_time(content.pos.time_ms, when), "timeline",
                                                (json_int_t)content.pos.timeline)); /* fails only without memory */
        o = json_pack("{s:[o]}", "databases", o);
        (void)json_dumpf(o, stdout, JSON_INDENT(2)); /* the stream is checked at the end */
        (void)printf("\n");
        json_decref(o);
        return 1;
    }
    (void)printf("%s\n  state      not running (%s)\n", path, why->msg);
    if (known)
        (void)printf("  shipped    txid %" PRIu64 " of %s, when weir ran last\n", content.pos.txid,
            strx_format_time(content.pos.time_ms, when));
    return 1;
}

int cmd_status(int argc, char **argv, const struct fsys *fs)
{
    const char *operands[1] = {0};
    bool json = false;
    const struct cli_option options[] = {
        {0, "json", NULL, "print the status document (docs/status.md)", NULL, &json, NULL},
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "DB",
        .about = "Is the backup of this database alive, and how far behind is it?\n"
                 "\n"
                 "Exit status 0: it is replicated and nothing is wrong; 1: no daemon runs, or something is wrong; 5: "
                 "another "
                 "writer owns the replica.",
        .examples = "weir status /var/lib/app/app.db\nweir status /var/lib/app/app.db --json",
        .options = options,
        .operands = operands,
        .operand_min = 1,
        .operand_max = 1,
    };
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct err err;
    struct rc rc;

    switch (cli_parse(&cli, argc, argv)) {
    case CLI_HELP:
        return 0;
    case CLI_BAD:
        return rc_exit_status(E_CONFIG);
    case CLI_RUN:
        break;
    }
    if (rc_failed(ask_absolute(operands[0], &path, &err)))
        return cli_fail(COMMAND, &err);
    rc = ask_daemon(fs, path, COMMAND, ANSWER_MS, &answer, &err);
    if (rc.code == E_CANCELED)
        return show_stopped(fs, path, &err, json);
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    return show_running(path, answer, json);
}
