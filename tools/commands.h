/* SPDX-License-Identifier: Apache-2.0 */
/* commands - the commands of the program, one cmd_*.c each.  Each returns the process's exit status. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "fsys.h"

int cmd_check(int argc, char **argv, const struct fsys *fs);
int cmd_export(int argc, char **argv, const struct fsys *fs);
int cmd_import(int argc, char **argv, const struct fsys *fs);
int cmd_log(int argc, char **argv, const struct fsys *fs);
int cmd_ls(int argc, char **argv, const struct fsys *fs);
int cmd_prune(int argc, char **argv, const struct fsys *fs);
int cmd_replicate(int argc, char **argv, const struct fsys *fs);
int cmd_run(int argc, char **argv, const struct fsys *fs);
int cmd_restore(int argc, char **argv, const struct fsys *fs);
int cmd_selftest(int argc, char **argv, const struct fsys *fs);
int cmd_share(int argc, char **argv, const struct fsys *fs);
int cmd_snapshot(int argc, char **argv, const struct fsys *fs);
int cmd_status(int argc, char **argv, const struct fsys *fs);
int cmd_sync(int argc, char **argv, const struct fsys *fs);
int cmd_verify(int argc, char **argv, const struct fsys *fs);

/* The program but for main(), so that a test can run it on a faulty file system. */
int weir_main(int argc, char **argv, const struct fsys *fs);

#endif
