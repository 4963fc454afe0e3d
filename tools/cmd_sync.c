/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "settings.h"

int cmd_sync(int argc, char **argv, const struct fsys *fs)
{
    const char *operands[1] = {0}, *file = NULL;
    bool wait = false, json = false;
    uint64_t timeout_ms = 0;
    const struct cli_option options[] = {
        {0, "wait", NULL,
            "return when everything committed before the call is durable in the replica, and print its txid", NULL,
            &wait, NULL},
        {0, "timeout", "TIME",
            "with --wait: give up after this time, for example 30s (default: wait as long as it takes)", cli_duration,
            &timeout_ms, NULL},
        {0, "json", NULL, "print JSON", NULL, &json, NULL},
        SETTINGS_OPTION(&file),
        {0},
    };
    const struct cli cli = {
        .command = "sync",
        .synopsis = "DB [--wait]",
        .about = "Ship what is committed now instead of at the end of the sync interval.",
        .examples = "  weir sync /var/lib/app/app.db --wait\n",
        .options = options,
        .operands = operands,
        .operand_min = 1,
        .operand_max = 1,
    };

    switch (cli_parse(&cli, argc, argv)) {
    case CLI_HELP:
        return 0;
    case CLI_BAD:
        return rc_exit_status(E_CONFIG);
    case CLI_RUN:
        break;
    }
    if (!wait && timeout_ms > 0) {
        cli_complain("sync", "--timeout needs --wait");
        return rc_exit_status(E_CONFIG);
    }
    return ask_print_txid(
        &(struct ask_request){
            .command = "sync",
            .page = "sync",
            .options = wait ? "wait=1" : NULL,
            .file = file,
            .path = operands[0],
            .timeout_ms = timeout_ms,
            .json = json,
        },
        fs);
}
