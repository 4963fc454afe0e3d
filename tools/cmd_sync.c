/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "settings.h"
#include "strx.h"

#include <string.h>

struct sync {
    const char *database, *file, *interval, *commits;
    bool wait, json;
    uint64_t timeout_ms;
};

static int change_triggers(const struct sync *s, const struct fsys *fs)
{
    CLEANUP(mem_freep)
    char *options = mem_printf("%s%s%s%s%s", s->interval != NULL ? "interval=" : "",
        s->interval != NULL ? s->interval : "", s->interval != NULL && s->commits != NULL ? "&" : "",
        s->commits != NULL ? "commits=" : "", s->commits != NULL ? s->commits : "");

    if (s->wait || s->timeout_ms > 0) {
        cli_complain("sync",
            "--interval and --commits change what makes it ship, and do not ship: --wait is a command of its own");
        return rc_exit_status(E_CONFIG);
    }
    return ask_print_triggers(
        &(struct ask_request){
            .command = "sync",
            .page = "triggers",
            .options = options,
            .file = s->file,
            .path = s->database,
            .json = s->json,
        },
        fs);
}

static int ship(const struct sync *s, const struct fsys *fs)
{
    if (!s->wait && s->timeout_ms > 0) {
        cli_complain("sync", "--timeout needs --wait");
        return rc_exit_status(E_CONFIG);
    }
    return ask_print_txid(
        &(struct ask_request){
            .command = "sync",
            .page = "sync",
            .options = s->wait ? "wait=1" : NULL,
            .file = s->file,
            .path = s->database,
            .timeout_ms = s->timeout_ms,
            .json = s->json,
        },
        fs);
}

int cmd_sync(int argc, char **argv, const struct fsys *fs)
{
    const char *operands[1] = {0};
    struct sync s = {0};
    const struct cli_option options[] = {
        {0, "wait", NULL,
            "return when everything committed before the call is durable in the replica, and print its txid", NULL,
            &s.wait, NULL},
        {0, "timeout", "TIME",
            "with --wait: give up after this time, for example 30s (default: wait as long as it takes)", cli_duration,
            &s.timeout_ms, NULL},
        {0, "interval", "TIME",
            "instead of shipping now: from now on ship at most this long after a commit; off: not because time goes by",
            cli_duration_or_off, &s.interval, NULL},
        {0, "commits", "N", "instead of shipping now: from now on ship when this many commits wait; off: however many",
            cli_count_or_off, &s.commits, NULL},
        {0, "json", NULL, "print JSON", NULL, &s.json, NULL},
        SETTINGS_OPTION(&s.file),
        {0},
    };
    const struct cli cli = {
        .command = "sync",
        .synopsis = "DB [--wait | --interval TIME|off | --commits N|off]",
        .about =
            "Ship what is committed now instead of at the end of the sync interval, or change what makes the running "
            "daemon ship by itself: at once, until it ends or loads its configuration again (SIGHUP). What is in "
            "force then is printed.",
        .examples = "  weir sync /var/lib/app/app.db --wait\n"
                    "  weir sync /var/lib/app/app.db --interval off      # a bulk load begins\n"
                    "  weir sync /var/lib/app/app.db --interval 1s\n",
        .options = options,
        .operands = operands,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    s.database = operands[0];
    return s.interval != NULL || s.commits != NULL ? change_triggers(&s, fs) : ship(&s, fs);
}
