/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void runs(void **state)
{
    (void)state;
}

static void passes_over(void **state)
{
    (void)state;
    check_skip("there is no moon");
    fail();
}

static int run_two(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs), cmocka_unit_test(passes_over)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* In a process of its own: cmocka runs one group at a time. */
static void skipped_is_no_failure(void **state)
{
    char text[2000] = "";
    size_t size = 0;
    int fds[2], status;
    ssize_t n;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(fds[1], STDOUT_FILENO) < 0 || dup2(fds[1], STDERR_FILENO) < 0
            || setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1) != 0)
            _exit(99);
        status = run_two();
        (void)fflush(stdout); /* the parent reads what there is */
        _exit(status);
    }
    (void)close(fds[1]); /* the child's */
    while (size < sizeof text - 1 && (n = read(fds[0], text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)n;
    (void)close(fds[0]); /* it was read to its end */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(strstr(text, "ok 1 - runs\n"));
    assert_non_null(strstr(text, "ok 2 - passes_over # SKIP there is no moon\n"));
    assert_null(strstr(text, "not ok"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(skipped_is_no_failure)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
