/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that print credentials, and programs that do not. */
#include "cred_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#define GOOD "{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"" KIT_SECRET "\"}"

static int setup(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_env_file(&k, "AWS_CONFIG_FILE", "config");
    kit_env(&k, "PATH=/usr/local/bin:/usr/bin:/bin");
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static void with_command_ms(struct kit *k, const char *command, uint32_t limit_ms)
{
    char config[2048];

    (void)snprintf(config, sizeof config, "[default]\ncredential_process = %s\n", command);
    kit_file(k, "config", config);
    kit_again(k, &(struct s3_cred_opts){.process_ms = limit_ms});
}

/* A shell script in the test's folder, which is also its first argument. */
static void with_script_ms(struct kit *k, const char *script, uint32_t limit_ms)
{
    char command[256];

    kit_file(k, "script", script);
    (void)snprintf(command, sizeof command, "sh '%s/script' %s", k->dir, k->dir);
    with_command_ms(k, command, limit_ms);
}

static void with_script(struct kit *k, const char *script)
{
    with_script_ms(k, script, 0);
}

static void expect_wrong(struct kit *k, enum err_code code, const char *text)
{
    char want[1024];

    (void)snprintf(want, sizeof want, "credential_process of profile default in %s/config: %s", k->dir, text);
    kit_expect_error(k, code, want);
}

static void test_good(void **state)
{
    struct kit *k = *state;

    with_command_ms(k, "echo '" GOOD "'", 0);
    kit_expect(k, "P");
    assert_non_null(strstr(k->keys.source, "credential_process of profile default in "));
    with_script(k, "echo talk >&2; echo more > /dev/stderr; sleep 0.1; echo '" GOOD "'");
    kit_expect(k, "P");
    /* It has the variables, and no input. */
    with_script(k, "cat; [ \"$HOME\" = \"$1/home\" ] || exit 1; echo '" GOOD "'");
    kit_expect(k, "P");
    /* Kept until they end. */
    with_script(k, "echo x >>\"$1/calls\"; echo '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"" KIT_SECRET
                   "\",\"Expiration\":\"2026-11-21T01:00:00Z\"}'");
    kit_expect(k, "P");
    kit_expect(k, "P");
    assert_int_equal(k->keys.expires_ms, KIT_WALL_START + 3600000);
}

static void test_fails(void **state)
{
    struct kit *k = *state;

    with_script(k, "echo '" GOOD "'; exit 3");
    expect_wrong(k, E_DENIED, "exit status 3");
    with_script(k, "echo '" KIT_SECRET "' >&2; echo 'please log in' >&2; exit 1");
    expect_wrong(k, E_DENIED, "exit status 1: (masked) please log in");
    with_script(k, "kill -9 $$");
    expect_wrong(k, E_DENIED, "killed by signal 9");
    with_script(k, "echo " KIT_SECRET);
    assert_fails(kit_ask(k), E_CORRUPT);
    with_script(k, "true");
    expect_wrong(k, E_CORRUPT, "the answer is empty");
    with_script(k, "echo '{\"AccessKeyId\":\"" KIT_SECRET "\"}'");
    expect_wrong(k, E_CORRUPT, "Version in the answer is not 1");
    with_command_ms(k, "/does/not/exist " KIT_SECRET, 0);
    expect_wrong(k, E_CONFIG, "run /does/not/exist: no such file or directory");
    with_command_ms(k, "sh '" KIT_SECRET, 0);
    expect_wrong(k, E_CONFIG, "the command ends inside of quotes or behind a backslash");
}

/* What a script wrote into the file "pid", once; 0: it did not come to that. */
static int take_pid(struct kit *k)
{
    char path[128], text[32] = "";
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/pid", k->dir);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fgets(text, sizeof text, f) == NULL)
        text[0] = 0;
    assert_int_equal(fclose(f), 0);
    assert_int_equal(unlink(path), 0);
    return (int)strtol(text, NULL, 10);
}

static bool runs(int pid)
{
    char path[64], line[256] = "";
    FILE *stat;

    assert_true(pid > 1);
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    stat = fopen(path, "r");
    if (stat == NULL)
        return false;
    if (fgets(line, sizeof line, stat) == NULL) /* it may go away meanwhile */
        line[0] = 0;
    (void)fclose(stat);
    /* An orphan waits for init to collect it; a zombie is gone enough. */
    return line[0] != 0 && strstr(line, ") Z ") == NULL;
}

/* However long a busy machine takes for it. */
static void wait_gone(int pid)
{
    for (unsigned i = 0; runs(pid); i++) {
        assert_true(i < 30000);
        (void)usleep(10000);
    }
}

/* The script is ended at a limit that it reaches after it has written its "pid", which a slow machine may not see to at
 * once. */
static int ended_at_limit(struct kit *k, const char *script)
{
    for (uint32_t limit_ms = 300;; limit_ms *= 2) {
        char want[64];
        int pid;

        assert_true(limit_ms < 300000);
        with_script_ms(k, script, limit_ms);
        (void)snprintf(want, sizeof want, "it has not ended after %u ms", limit_ms);
        expect_wrong(k, E_TIMEOUT, want);
        pid = take_pid(k);
        if (pid != 0)
            return pid;
    }
}

/* Its children end with it. */
static void test_never_ends(void **state)
{
    struct kit *k = *state;
    int pid;

    wait_gone(ended_at_limit(k, "sleep 1000 & echo $! >\"$1/pid\"; echo '" GOOD "'; sleep 1000"));
    /* The program ends, but what it left behind holds its output. */
    with_script(k, "sleep 1000 & echo $! >\"$1/pid\"; echo '" GOOD "'");
    kit_expect(k, "P");
    pid = take_pid(k);
    assert_true(runs(pid));
    assert_int_equal(kill(pid, SIGKILL), 0);
    /* It closes its output and stays. */
    wait_gone(ended_at_limit(k, "echo $$ >\"$1/pid\"; exec >&- 2>&-; exec sleep 1000"));
}

static void test_too_much(void **state)
{
    struct kit *k = *state;

    with_script(k, "echo $$ >\"$1/pid\"; exec cat /dev/zero");
    expect_wrong(k, E_CORRUPT, "it prints more than 65536 bytes");
    wait_gone(take_pid(k));
    /* As many complaints as it likes: the beginning or the end is told, not all. */
    with_script(k, "head -c 1000000 /dev/zero | tr '\\0' ' ' >&2; echo bye >&2; exit 1");
    expect_wrong(k, E_DENIED, "exit status 1: bye");
    with_script(k, "head -c 1000000 /dev/zero >&2; echo '" GOOD "'");
    kit_expect(k, "P");
}

/* A descriptor that we were started with, and did not ask for. */
static void test_descriptors(void **state)
{
    struct kit *k = *state;
    int fd = open("/dev/null", O_RDONLY);
    int high = fcntl(fd, F_DUPFD, 50);
    char script[512];

    assert_true(high >= 50);
    (void)snprintf(script, sizeof script,
        "[ ! -e /proc/$$/fd/%d ] || exit 7\n[ ! -e /proc/$$/fd/%d ] || exit 8\n"
        "[ $(readlink /proc/$$/fd/0) = /dev/null ] || exit 9\necho '" GOOD "'\n",
        fd, high);
    with_script(k, script);
    kit_expect(k, "P");
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(high), 0);
}

/* Nobody waits for the program. */
static void test_stop(void **state)
{
    struct kit *k = *state;

    with_script(k, "echo $$ >\"$1/pid\"; exec sleep 1000");
    k->wait = (struct s3_cred_wait){.on_ready = kit_on_ready, .ctx = k};
    k->answered = false;
    s3_cred_get(k->cred, &k->wait);
    for (unsigned i = 0;; i++) {
        char path[128];
        struct stat st;

        (void)snprintf(path, sizeof path, "%s/pid", k->dir);
        if (stat(path, &st) == 0 && st.st_size > 0)
            break;
        assert_true(i < 30000);
        (void)usleep(10000);
    }
    kit_stop(k);
    assert_true(k->answered);
    assert_fails(k->rc, E_CANCELED);
    (void)uv_run(&k->loop, UV_RUN_DEFAULT); /* until the child was collected */
    wait_gone(take_pid(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
