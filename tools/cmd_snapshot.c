/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "settings.h"

int cmd_snapshot(int argc, char **argv, const struct fsys *fs)
{
    const char *operands[1] = {0}, *file = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {0, "json", NULL, "print JSON", NULL, &json, NULL},
        SETTINGS_OPTION(&file),
        {0},
    };
    const struct cli cli = {
        .command = "snapshot",
        .synopsis = "DB",
        .about = "Take a snapshot of a database that is being replicated now; returns when it is in the replica, and "
                 "prints its txid.",
        .examples = "  weir snapshot /var/lib/app/app.db\n",
        .options = options,
        .operands = operands,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return ask_print_txid(
        &(struct ask_request){
            .command = "snapshot", .page = "snapshot", .file = file, .path = operands[0], .json = json},
        fs);
}
