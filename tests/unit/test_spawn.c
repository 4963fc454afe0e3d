/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const struct spawn_plan *plan)
{
    struct err err;
    pid_t pid = 0;
    int status = 0;

    assert_ok_err(spawn_run(plan, &pid, &err), &err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return spawn_status(status);
}

static int shell(const struct spawn_origin *origin, const char *text)
{
    const char *argv[] = {"sh", "-c", text, NULL};

    return run(&(struct spawn_plan){.origin = origin, .argv = argv});
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(shell(NULL, "exit 0"), 0);
    assert_int_equal(shell(NULL, "exit 7"), 7);
    assert_int_equal(shell(NULL, "kill -9 $$"), 128 + SIGKILL);
}

static void test_group(void **state)
{
    (void)state;
    assert_int_equal(shell(NULL, "set -- $(cat /proc/$$/stat); [ $5 = $$ ]"), 0);
}

/* What weir itself ignores and blocks is not the program's; what it was started with is. */
static void test_signals(void **state)
{
    struct spawn_origin origin;
    sigset_t set;

    (void)state;
    for (int n = 1; n < 32; n++) /* what the test itself was started with: shells ignore some for the background */
        (void)signal(n, SIG_DFL);
    (void)signal(SIGHUP, SIG_IGN);
    spawn_origin_take(&origin);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    assert_int_equal(shell(&origin, "grep -q 'SigIgn:.*0001$' /proc/self/status"), 0);
    assert_int_equal(shell(&origin, "grep -q 'SigBlk:.*0000$' /proc/self/status"), 0);
    assert_int_equal(shell(NULL, "grep -q 'SigIgn:.*0000$' /proc/self/status"), 0);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)signal(SIGHUP, SIG_DFL);
}

static void test_descriptors(void **state)
{
    struct spawn_origin origin;
    int before, after;

    (void)state;
    (void)close_range(3, ~0u, 0); /* what the test itself was started with */
    before = dup(2);
    spawn_origin_take(&origin);
    after = dup(2);
    assert_true(before > 2 && after > before);
    assert_int_equal(after < (int)origin.first_own_fd, false);
    assert_true(before < (int)origin.first_own_fd);
    assert_int_equal(dup2(after, 9) == 9 && dup2(before, 8) == 8, true);
    assert_int_equal(shell(NULL, "[ ! -e /proc/self/fd/8 ] && [ ! -e /proc/self/fd/9 ]"), 0);
    origin.first_own_fd = 9;
    assert_int_equal(shell(&origin, "[ -e /proc/self/fd/8 ] && [ ! -e /proc/self/fd/9 ]"), 0);
    (void)close(before);
    (void)close(after);
    (void)close(8);
    (void)close(9);
}

static void test_quiet(void **state)
{
    const char *argv[] = {"sh", "-c", "[ -z \"$(cat)\" ] && [ /proc/self/fd/1 -ef /proc/self/fd/2 ]", NULL};

    (void)state;
    assert_int_equal(run(&(struct spawn_plan){.argv = argv, .quiet = true}), 0);
}

static void test_refused(void **state)
{
    const char *none[] = {"/no/such/program", NULL}, *folder[] = {"/tmp", NULL};
    struct err err;
    pid_t pid;

    (void)state;
    assert_fails(spawn_run(&(struct spawn_plan){.argv = none}, &pid, &err), E_NOTFOUND);
    assert_string_equal(err.msg, "run /no/such/program: No such file or directory");
    assert_fails(spawn_run(&(struct spawn_plan){.argv = folder}, &pid, &err), E_DENIED);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
