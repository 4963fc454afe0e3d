/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_kit - for tests: work in a child process that is killed in place of one of its changes of files.
 *
 *     KILL_OR_SKIP();
 *     for (n = 1; killed; n++) {
 *         ...
 *         killed = killed_at(n, work, ctx);
 *         ...
 *     }
 */
#ifndef KILL_KIT_H
#define KILL_KIT_H

#include "check.h"

#include "fault_fsys.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* First in each test that does it. */
#ifdef __SANITIZE_THREAD__
#define KILL_OR_SKIP() check_skip("the sanitizer loses its way among the threads of a child of a process that had some")
#else
#define KILL_OR_SKIP() ((void)0)
#endif

/* True when the child was killed; false when it came to its end, and then the work had no failure. */
static inline bool killed_at(long n, struct rc (*work)(const struct fsys *fs, void *ctx), void *ctx)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct fault_fsys f;

        fault_fsys_init(&f, FAULT_KILL, n, EIO);
        f.ops = FAULT_CHANGES;
        _exit(rc_failed(work(&f.fs, ctx)) ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(status, 0);
    return false;
}

#endif
