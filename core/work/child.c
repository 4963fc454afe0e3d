/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <assert.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADOPTED_MS = 200 };

/* --- the terminal ------------------------------------------------------------------------------------------------- */

static bool have_terminal(void)
{
    return isatty(STDIN_FILENO) == 1 && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Never from somebody else (the shell, when we are in the background).  SIGTTOU is ignored, so this works while the
 * program is in the foreground. */
static void take_terminal_from(const struct child *c, pid_t group)
{
    if (c->terminal && tcgetpgrp(STDIN_FILENO) == group)
        (void)tcsetpgrp(STDIN_FILENO, getpgrp()); /* it may have been hung up */
}

/* The shell has put us into the foreground or not; the program follows. */
static void wake(const struct child *c)
{
    if (c->terminal && have_terminal())
        (void)tcsetpgrp(STDIN_FILENO, c->pid); /* it may have been hung up */
    (void)kill(-c->pid, SIGCONT);              /* it may have ended just now */
}

static void on_suspended(const struct child *c)
{
    if (!c->terminal)
        return;
    take_terminal_from(c, c->pid);
    (void)raise(SIGSTOP); /* the first process of a container goes on instead, since nobody could wake it */
    wake(c);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void on_program_ended(struct child *c, int wait_status)
{
    pid_t group = c->pid;

    c->pid = 0;
    c->status = spawn_status(wait_status);
    take_terminal_from(c, group);
    (void)kill(-group, SIGTERM); /* what it left running in its group; usually nothing */
    c->on_end(c);
}

static void look_at_program(struct child *c)
{
    int status = 0;

    while (c->pid != 0 && waitpid(c->pid, &status, WNOHANG | WUNTRACED) == c->pid) {
        if (WIFSTOPPED(status))
            on_suspended(c);
        else
            on_program_ended(c, status);
    }
}

/*
 * Orphans are waited for by nobody else.  Somebody's own process (a credential_process) must be left to its owner, who
 * looks for it when the loop delivers the same signal; such processes lead sessions of their own, so those are given
 * some time.  A daemon that has detached itself is then collected late, which harms nobody.
 */
static void on_again(uv_timer_t *timer);

static void look_again(struct child *c)
{
    int rc = uv_timer_start(&c->again, on_again, ADOPTED_MS, 0);

    assert(rc == 0);
}

static void collect_orphans(struct child *c, bool time_is_up)
{
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 && info.si_pid != c->pid) {
        if (getsid(info.si_pid) == info.si_pid && !(time_is_up && c->suspect == info.si_pid)) {
            c->suspect = info.si_pid;
            look_again(c);
            return;
        }
        (void)waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}

static void on_again(uv_timer_t *timer)
{
    struct child *c = timer->data;

    collect_orphans(c, true);
    look_at_program(c);
}

static void on_child_signal(uv_signal_t *handle, int number)
{
    struct child *c = handle->data;

    (void)number;
    look_at_program(c);
    collect_orphans(c, false);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

static void open_handles(struct child *c, uv_loop_t *loop)
{
    int rc = uv_signal_init(loop, &c->ended);

    assert(rc == 0);
    rc = uv_timer_init(loop, &c->again);
    assert(rc == 0);
    c->ended.data = c->again.data = c;
    c->open = true;
    c->open_handles = 2;
    rc = uv_signal_start(&c->ended, on_child_signal, SIGCHLD);
    assert(rc == 0);
}

struct rc child_start(
    struct child *c, uv_loop_t *loop, const struct spawn_origin *origin, char *const *argv, struct err *err)
{
    const struct spawn_plan plan = {.origin = origin, .argv = (const char *const *)argv, .foreground = have_terminal()};

    /* In a container orphans come to the first process anyway; so they do elsewhere. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    c->terminal = isatty(STDIN_FILENO) == 1;
    if (c->terminal)
        (void)signal(SIGTTOU, SIG_IGN);
    open_handles(c, loop);
    TRY(spawn_run(&plan, &c->pid, err));
    return RC_OK;
}

void child_signal(struct child *c, int number)
{
    if (c->pid == 0)
        return;
    if (number == SIGCONT && c->terminal)
        wake(c);
    else
        (void)kill(c->group ? -c->pid : c->pid, number); /* it may have ended just now */
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;

    if (--c->open_handles == 0)
        c->closed(c);
}

void child_close(struct child *c, void (*closed)(struct child *c))
{
    assert(c->pid == 0);
    c->closed = closed;
    if (!c->open) {
        closed(c);
        return;
    }
    uv_close((uv_handle_t *)&c->ended, on_handle_closed);
    uv_close((uv_handle_t *)&c->again, on_handle_closed);
}
