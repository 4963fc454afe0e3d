/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - one program on the loop that weir runs in its place: signals are passed on, its end is told, and whatever
 * becomes an orphan below it is waited for, as the first process of a container has to.
 *
 *     child_start(&c, loop, &origin, argv, err)
 *     child_signal(&c, SIGHUP)           ...
 *     c.on_end(&c)                       c.status is the exit status, as a shell would tell it
 *     child_close(&c, closed)
 *
 * It has a process group of its own, which gets the terminal at standard input if weir had it: so the keys for
 * interrupt, quit and suspend reach the program alone, and weir learns of them by what becomes of it.  When it is
 * suspended weir takes the terminal back and suspends itself, so that the shell sees the job stopped; "fg" and "bg"
 * wake weir, and weir wakes it.  Without a terminal a suspended program is only that: weir goes on.
 *
 * Loop thread only.  Other users of libuv's processes are left alone: children that are no orphans of the program lead
 * a session of their own for a moment longer (see ADOPTED_MS).
 */
#ifndef CHILD_H
#define CHILD_H

#include "spawn.h"

#include <uv.h>

struct child {
    /* Set by the owner before the start. */
    void (*on_end)(struct child *c); /* once */
    void *ctx;
    bool group; /* signals go to its whole process group */

    pid_t pid; /* 0: not running */
    int status;
    bool open, terminal;
    uv_signal_t ended; /* SIGCHLD */
    uv_timer_t again;
    pid_t suspect; /* a session's leader that has ended: an orphan, or somebody else's process who is about to look */
    unsigned open_handles;
    void (*closed)(struct child *c);
};

MUST_USE struct rc child_start(
    struct child *c, uv_loop_t *loop, const struct spawn_origin *origin, char *const *argv, struct err *err);
/* Nothing happens when it is not running. */
void child_signal(struct child *c, int number);
/* After its end, or when it was never started; `closed` is called later. */
void child_close(struct child *c, void (*closed)(struct child *c));

#endif
