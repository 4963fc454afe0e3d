/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe - what the program knows of itself, as JSON for the programs that write its manual pages and shell
 * completions (tools/man/pages.py, tools/completion/shells.py), so that both are made of the tables that the program
 * itself goes by.
 *
 *     weir --describe                the commands, and the keys of the configuration
 *     weir COMMAND --describe        options, operands, text and examples of one command
 *     weir --databases [FILE]        the databases of the configuration, one a line: what completion offers
 *
 * None of the three is for people or stable, so no help names them.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "cli.h"
#include "fsys.h"

struct describe_command {
    const char *name, *about;
};

/* Print to stdout.  `next` gives command number i, or false behind the last. */
void describe_program(bool (*next)(size_t i, struct describe_command *out));
void describe_cli(const struct cli *cli);

/* Print the paths that the configuration in `file` (NULL: the one of all commands) names.  Whoever presses a key wants
 * no complaints: one that cannot be read has no databases, which is exit status 2. */
int describe_databases(const struct fsys *fs, const char *file);

#endif
