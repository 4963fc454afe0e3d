/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "commands.h"
#include "replication.h"

#include <stdio.h>
#include <string.h>

#define COMMAND "run"

enum {
    START_MS = 30000,
    OWN_OPTIONS = 5,
    NOT_FOUND = 127, /* as shells say it */
    NOT_RUNNABLE = 126,
    BY_SIGNAL = 128,
};

/* What stands behind the first "--" is the command; NULL: there is none. */
static char **split(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], "--") == 0) {
            char **command = argv[i + 1] != NULL ? &argv[i + 1] : NULL;

            *argc = i;
            argv[i] = NULL;
            return command;
        }
    return NULL;
}

/* What the process ends with: weir's own outcome before the command's, because it is about what is not in the replica.
 */
static int status_of(const struct daemon_command *c, struct rc rc, const struct err *err)
{
    int status;

    if (!rc_failed(rc))
        return c->started ? c->status : BY_SIGNAL + c->signal;
    if (!c->started && c->signal != 0 && err->code == E_CANCELED)
        return BY_SIGNAL + c->signal; /* told to stop before there was anything to lose */
    status = cli_fail(COMMAND, err);
    if (c->exec_failed)
        return err->code == E_NOTFOUND ? NOT_FOUND : NOT_RUNNABLE;
    return status;
}

static int run(struct replication *f, struct daemon_command *command)
{
    struct err err;
    struct rc rc = replication_run(f, command, &err);

    return status_of(command, rc, &err);
}

static const char about[] =
    "Run a program whose databases are replicated while it runs: what is missing is restored (or made from a seed), "
    "then "
    "the program is started, every commit is shipped, and when it has ended the rest is.  Databases are those named "
    "here, or those of the configuration or the environment (docs/run.md).\n"
    "\n"
    "The program is not started when a database is missing and its replica cannot be asked, when a database cannot be "
    "replicated, or when another process replicates it already.  One that is there is enough: what is committed while "
    "its replica does not answer waits on the local disk.\n"
    "\n"
    "Signals are passed on.  Exit status: that of the program, 128+n when signal n ended it; or weir's own, which is "
    "never 0, when something was not shipped, and 5 when another writer has taken the replica over (the program is "
    "ended "
    "then).  127 there is no such program, 126 it cannot be run.";

static int parse_and_run(struct replication *f, int argc, char **argv)
{
    struct spawn_origin origin;
    struct daemon_command command = {.origin = &origin, .start_ms = START_MS};
    struct cli_option options[REPLICATION_OPTIONS + OWN_OPTIONS + 1] = {0};
    const struct cli_option own[OWN_OPTIONS] = {
        {0, "start-timeout", "TIME",
            "wait so long for replication to begin, or for a replica that does not answer (default 30s); a restore may "
            "take longer",
            cli_duration, &command.start_ms, NULL, false},
        {0, "kill-after", "TIME", "kill a program that has not ended so long after SIGTERM (default 0s: never)",
            cli_duration, &command.kill_ms, NULL, false},
        {0, "group", NULL, "pass signals on to the program's whole process group", NULL, &command.group, NULL, false},
        {0, "standby", NULL, "wait, instead of ending, while another process replicates a database here", NULL,
            &command.standby, NULL, false},
        {0, "start-empty", NULL,
            "start the program without a database whose replica does not answer, although it may be there", NULL,
            &command.start_missing, NULL, false},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[-c FILE] [DB URL...] [OPTION...] -- COMMAND [ARGUMENT...]",
        .about = about,
        .examples = "  weir run -c weir.yml -- /app/start\n"
                    "  weir run /data/app.db s3://backups/app -- gunicorn app:wsgi\n"
                    "  weir run /data/app.db file:///backup/app --seed /app/seed.db -- ./server --port 8080\n",
        .options = options,
        .operands = replication_operands(f),
        .operand_min = 0,
        .operand_max = REPLICATION_OPERANDS,
    };
    int status;

    spawn_origin_take(&origin); /* before anything is opened */
    command.argv = split(&argc, argv);
    memcpy(options + replication_options(f, options), own, sizeof own);
    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    if (command.argv != NULL)
        return run(f, &command);
    cli_complain(COMMAND, "which program? It stands behind '--': weir run ... -- COMMAND [ARGUMENT...]");
    return rc_exit_status(E_CONFIG);
}

int cmd_run(int argc, char **argv, const struct fsys *fs)
{
    struct replication *f = replication_new(fs, true);
    int status = parse_and_run(f, argc, argv);

    replication_free(f);
    return status;
}
