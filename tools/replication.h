/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replication - what the commands that replicate have in common: databases from arguments or configuration, the options
 * that go with them, and loading it all for the daemon.
 *
 *     struct replication *f = replication_new(fs);
 *     options[replication_options(f, options)] = ...          the command's own behind them
 *     replication_run(f, command or NULL, err)
 *     replication_free(f)
 */
#ifndef REPLICATION_H
#define REPLICATION_H

#include "cli.h"
#include "daemon.h"

enum { REPLICATION_OPTIONS = 21, REPLICATION_OPERANDS = 2 * 1000 /* a database and its URL in turn */ };

struct replication;

/* `restore`: a database that is not there is restored unless the configuration says otherwise. */
struct replication *replication_new(const struct fsys *fs, bool restore);
void replication_free(struct replication *f);

/* Fill in the first rows of a command's table; their number. */
size_t replication_options(struct replication *f, struct cli_option *out);
/* REPLICATION_OPERANDS of them. */
const char **replication_operands(struct replication *f);

/* Until the daemon ends. */
MUST_USE struct rc replication_run(struct replication *f, struct daemon_command *command, struct err *err);

#endif
