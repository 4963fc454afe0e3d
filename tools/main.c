/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "commands.h"
#include "config_table.h"
#include "describe.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command {
    const char *name, *about;
    int (*run)(int argc, char **argv, const struct fsys *fs);
} commands[] = {
    {"replicate", "follow databases and ship every commit: the daemon", cmd_replicate},
    {"run", "restore what is missing, run a program, ship every commit until it has ended", cmd_run},
    {"check", "try everything that replication needs, and predict what it costs", cmd_check},
    {"selftest", "write, ship, wipe, restore and compare: does the whole road work here?", cmd_selftest},
    {"restore", "make a database file from a replica, as it was at any commit", cmd_restore},
    {"ls", "what a replica holds: timelines, restorable ranges, snapshots, sizes", cmd_ls},
    {"log", "the commits of a replica, to find the right moment", cmd_log},
    {"import", "make a plain database file the first state of a new history", cmd_import},
    {"export", "write a state as a plain database file, here or into a bucket", cmd_export},
    {"share", "links to what a restore of one state needs, for who has no credentials", cmd_share},
    {"verify", "is every object of a replica there and whole, and what can be restored?", cmd_verify},
    {"prune", "delete what retention need not keep", cmd_prune},
    {"status", "where a running daemon stands: is the backup alive?", cmd_status},
    {"sync", "ship now, and wait until it is durable in the replica", cmd_sync},
    {"snapshot", "take a snapshot now", cmd_snapshot},
};

static void print_help(FILE *to)
{
    (void)fprintf(to, "weir ships every commit of a SQLite database to a replica and restores any of them.\n"
                      "\n"
                      "Usage: weir COMMAND [OPTION...] [ARGUMENT...]\n"
                      "\n"
                      "Commands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(to, "  %-12s%s\n", commands[i].name, commands[i].about);
    (void)fprintf(to,
        "\n"
        "'weir COMMAND --help' tells more.  'weir --version' prints the version.\n"
        "\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 no such backup, 4 integrity failure,\n"
        "5 fenced by another writer.\n");
}

static bool next_command(size_t i, struct describe_command *out)
{
    if (i == sizeof commands / sizeof commands[0])
        return false;
    *out = (struct describe_command){commands[i].name, commands[i].about};
    return true;
}

static int no_such_command(const char *name)
{
    enum { COUNT = sizeof commands / sizeof commands[0] };
    const char *names[COUNT + 1] = {0}, *nearest;

    for (size_t i = 0; i < COUNT; i++)
        names[i] = commands[i].name;
    nearest = config_table_nearest(name, names);
    cli_complain("", "there is no command '%.200s'%s%s%s", name, nearest != NULL ? ": did you mean '" : "",
        nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    (void)fprintf(stderr, "Try 'weir --help'.\n");
    return rc_exit_status(E_CONFIG);
}

/*
 * Whoever starts us may have closed standard input, output or error.  The next file that is opened would get that
 * number, a database perhaps, and what we say would be written into it; libuv ends the program when it meets such a
 * one. Opened the wrong way round, /dev/null fails like the closed one would, so output that is lost is still told of.
 */
static bool keep_standard_fds(const struct fsys *fs)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (fs->open(fs, "/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY, 0) != fd)
            return false;
    }
    return true;
}

int weir_main(int argc, char **argv, const struct fsys *fs)
{
    if (!keep_standard_fds(fs))
        return 1; /* and nobody whom it could be told to */
    if (argc < 2) {
        print_help(stderr);
        return rc_exit_status(E_CONFIG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return cli_finish("", 0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("weir %s (SQLite %s)\n", WEIR_VERSION, sqlite3_libversion());
        return cli_finish("", 0);
    }
    if (strcmp(argv[1], "--describe") == 0) {
        describe_program(next_command);
        return cli_finish("", 0);
    }
    if (strcmp(argv[1], "--databases") == 0)
        return describe_databases(fs, argv[2]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return cli_finish(argv[1], commands[i].run(argc - 1, argv + 1, fs));
    return no_such_command(argv[1]);
}
