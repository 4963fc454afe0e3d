/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - start a program as if weir were not in between: with the signals, and the descriptors, that weir itself was
 * started with, in a process group of its own.
 *
 *     spawn_origin_take(&origin)                     first thing in the process
 *     spawn_run(&plan, &pid, err)                    any thread
 *
 * The program ends by SIGTERM when the thread that started it does, however that ends (PR_SET_PDEATHSIG): what nobody
 * replicates any more must not go on unnoticed.  A program that changes its user loses that.
 *
 * The caller waits for the process.
 *
 * Errors: E_NOTFOUND there is no such program; E_DENIED it may not be run; E_UNSUPPORTED it is no program; E_IO.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include "rc.h"

#include <signal.h>
#include <sys/types.h>

enum { SPAWN_SIGNAL_MAX = 64 };

/* What this process was given by whoever started it. */
struct spawn_origin {
    sigset_t mask;
    bool ignored[SPAWN_SIGNAL_MAX + 1]; /* signals */
    unsigned first_own_fd;              /* from here on descriptors are ours */
};

void spawn_origin_take(struct spawn_origin *out);

struct spawn_plan {
    const struct spawn_origin *origin; /* NULL: all signals as usual, no descriptor but 0, 1 and 2 */
    const char *const *argv;           /* argv[0] is looked for in PATH */
    bool foreground;                   /* the terminal at standard input is its from the start */
    bool quiet;                        /* standard input is empty, standard output goes to standard error */
};

MUST_USE struct rc spawn_run(const struct spawn_plan *plan, pid_t *pid, struct err *err);

/* The exit status that a shell would tell. */
int spawn_status(int wait_status);

#endif
