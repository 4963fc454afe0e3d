/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include "fsys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- what we were given ------------------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned first = STDERR_FILENO + 1;

    if (dir == NULL)
        return first;
    while ((entry = readdir(dir)) != NULL) {
        unsigned fd = 0;

        for (const char *c = entry->d_name; *c >= '0' && *c <= '9'; c++)
            fd = fd * 10 + (unsigned)(*c - '0');
        if (fd != (unsigned)dirfd(dir) && fd >= first)
            first = fd + 1;
    }
    (void)closedir(dir); /* read-only */
    return first;
}

void spawn_origin_take(struct spawn_origin *out)
{
    *out = (struct spawn_origin){.first_own_fd = count_fds()};
    (void)pthread_sigmask(SIG_SETMASK, NULL, &out->mask); /* cannot fail */
    for (int n = 1; n <= SPAWN_SIGNAL_MAX; n++) {
        struct sigaction now;

        out->ignored[n] = sigaction(n, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
    }
}

/* --- in the new process: only what may be called after a fork with threads -----------------------------------------
 */

static void reset_signals(const struct spawn_origin *origin)
{
    sigset_t mask;

    for (int n = 1; n <= SPAWN_SIGNAL_MAX; n++) {
        struct sigaction usual = {.sa_handler = SIG_DFL};

        if (origin != NULL && origin->ignored[n])
            usual.sa_handler = SIG_IGN;
        (void)sigaction(n, &usual, NULL); /* fails for those that cannot be changed */
    }
    (void)sigemptyset(&mask);
    (void)pthread_sigmask(SIG_SETMASK, origin != NULL ? &origin->mask : &mask, NULL); /* cannot fail */
}

static int redirect(const struct spawn_plan *plan)
{
    int fd;

    if (!plan->quiet)
        return 0;
    fd = fsys_real.open(&fsys_real, "/dev/null", O_RDONLY, 0);
    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
        return -1;
    return dup2(STDERR_FILENO, STDOUT_FILENO);
}

static int prepare(const struct spawn_plan *plan, pid_t parent)
{
    unsigned first = plan->origin != NULL ? plan->origin->first_own_fd : STDERR_FILENO + 1;

    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0)
        return -1;
    if (getppid() != parent) { /* it ended before we asked to be told */
        errno = ESRCH;
        return -1;
    }
    if (plan->foreground && tcsetpgrp(STDIN_FILENO, getpid()) != 0)
        return -1;
    if (redirect(plan) < 0)
        return -1;
    /* Ours are close-on-exec already, but for those of libraries; an old kernel leaves it at that. */
    (void)close_range(first, ~0u, CLOSE_RANGE_CLOEXEC);
    return 0;
}

__attribute__((noreturn)) static void become(const struct spawn_plan *plan, pid_t parent, int report)
{
    int sys = 0;

    if (prepare(plan, parent) == 0) {
        reset_signals(plan->origin);
        (void)execvp(
            plan->argv[0], (char *const *)(uintptr_t)plan->argv); /* returns only when it fails; changes nothing */
    }
    sys = errno;
    (void)!write(report, &sys, sizeof sys); /* the other end sees an end of file, too */
    _exit(127);
}

/* --- in the old one ----------------------------------------------------------------------------------------------- */

static struct rc explain(const char *name, int sys, struct err *err)
{
    enum err_code code = sys == ENOENT ? E_NOTFOUND : sys == EACCES ? E_DENIED : sys == ENOEXEC ? E_UNSUPPORTED : E_IO;

    return rc_raise_sys(err, code, sys, "run %.300s", name);
}

/* Nothing comes when the program has begun: the descriptor is closed by its beginning. */
static int read_report(int fd)
{
    int sys = 0;
    ssize_t n;

    do {
        n = read(fd, &sys, sizeof sys);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof sys ? sys : 0;
}

struct rc spawn_run(const struct spawn_plan *plan, pid_t *out, struct err *err)
{
    sigset_t all, before;
    pid_t pid, parent = getpid();
    int report[2], sys = 0;

    if (pipe2(report, O_CLOEXEC) != 0)
        return rc_raise_sys(err, E_IO, errno, "make a pipe to run %.300s", plan->argv[0]);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* so that none of our handlers runs in the new process */
    pid = fork();
    if (pid == 0)
        become(plan, parent, report[1]);
    sys = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)fsys_real.close(&fsys_real, report[1]); /* a pipe */
    if (pid > 0) {
        (void)setpgid(pid, pid); /* whoever comes first; it fails when the program has begun, which is fine */
        sys = read_report(report[0]);
    }
    (void)fsys_real.close(&fsys_real, report[0]);
    if (pid < 0)
        return rc_raise_sys(err, E_IO, sys, "start a process for %.300s", plan->argv[0]);
    if (sys != 0) {
        (void)waitpid(pid, NULL, 0);
        return explain(plan->argv[0], sys, err);
    }
    *out = pid;
    return RC_OK;
}

int spawn_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
