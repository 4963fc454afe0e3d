/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "commands.h"
#include "replication.h"

#define COMMAND "replicate"

static int parse_and_run(struct replication *f, int argc, char **argv)
{
    struct cli_option options[REPLICATION_OPTIONS + 1] = {0};
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[-c FILE] [DB URL...]",
        .about =
            "Follow SQLite databases and ship every commit to their replicas, until SIGTERM or SIGINT: those that are "
            "named here, or those of the configuration (docs/configuration.md).  Options here count for all of them, "
            "and more than the environment and the file.  SIGHUP reads the file again.\n"
            "\n"
            "A database may be made later by its application: weir waits for it. What weir remembers of a database is "
            "in the directory DB-weir beside it, or below the state-dir of the configuration.\n"
            "\n"
            "Exit status 0 after a signal means that everything was shipped; 5 that another writer owns a replica.",
        .examples = "  weir replicate\n"
                    "  weir replicate -c weir.yml\n"
                    "  weir replicate /var/lib/app/app.db file:///backup/app\n"
                    "  weir replicate --sync-interval 100ms a.db file:///backup/a b.db file:///backup/b\n",
        .options = options,
        .operands = replication_operands(f),
        .operand_min = 0,
        .operand_max = REPLICATION_OPERANDS,
    };
    struct err err;
    int status;

    (void)replication_options(f, options); /* all there are */
    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return rc_failed(replication_run(f, NULL, &err)) ? cli_fail(COMMAND, &err) : 0;
}

int cmd_replicate(int argc, char **argv, const struct fsys *fs)
{
    struct replication *f = replication_new(fs, false);
    int status = parse_and_run(f, argc, argv);

    replication_free(f);
    return status;
}
