/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager receives, at a socket with a path and at an abstract one. */
#include "check.h"

#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char dir[64];
    struct err err;
} kit;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(kit.dir, sizeof kit.dir, "/tmp/weir-notify-XXXXXX");
    return mkdtemp(kit.dir) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(kit.dir);
}

static int listen_at(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

    assert_true(fd >= 0);
    memcpy(a.sun_path, name, strlen(name));
    if (name[0] == '@')
        a.sun_path[0] = 0;
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, name[0] == '@' ? size : (socklen_t)sizeof a), 0);
    return fd;
}

static void assert_arrives(int fd, struct notify *n, const char *text)
{
    char got[NOTIFY_TEXT_MAX];
    ssize_t size;

    assert_ok_err(notify_send(n, text, &kit.err), &kit.err);
    size = recv(fd, got, sizeof got, MSG_DONTWAIT);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void test_arrives(void **state)
{
    char names[2][100];
    struct notify n;

    (void)state;
    (void)snprintf(names[0], sizeof names[0], "%s/notify", kit.dir);
    (void)snprintf(names[1], sizeof names[1], "@%s/notify", kit.dir);
    for (int i = 0; i < 2; i++) {
        int fd = listen_at(names[i]);

        assert_ok_err(notify_open(&n, names[i], NULL, NULL, &kit.err), &kit.err);
        assert_arrives(fd, &n, "READY=1\nSTATUS=fine");
        assert_arrives(fd, &n, "STOPPING=1");
        assert_int_equal(n.watchdog_ms, 0);
        notify_close(&n);
        notify_close(&n);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(unlink(names[0]), 0);
}

static void test_nobody_there(void **state)
{
    char name[100];
    struct notify n;

    (void)state;
    assert_ok_err(notify_open(&n, NULL, "1000000", NULL, &kit.err), &kit.err);
    assert_false(n.open);
    assert_int_equal(n.watchdog_ms, 0);
    assert_ok_err(notify_send(&n, "READY=1", &kit.err), &kit.err);
    notify_close(&n);
    (void)snprintf(name, sizeof name, "%s/none", kit.dir);
    assert_ok_err(notify_open(&n, name, NULL, NULL, &kit.err), &kit.err);
    assert_true(rc_failed(notify_send(&n, "READY=1", &kit.err)));
    assert_non_null(strstr(kit.err.msg, "tell the service manager"));
    notify_close(&n);
}

/* One that does not read does not hold us up. */
static void test_full(void **state)
{
    struct rc rc = RC_OK;
    char name[100];
    struct notify n;
    int fd;

    (void)state;
    (void)snprintf(name, sizeof name, "@%s/full", kit.dir);
    fd = listen_at(name);
    assert_ok_err(notify_open(&n, name, NULL, NULL, &kit.err), &kit.err);
    for (int i = 0; i < 100000 && !rc_failed(rc); i++)
        rc = notify_send(&n, "STATUS=again", &kit.err);
    assert_fails(rc, E_BUSY);
    notify_close(&n);
    assert_int_equal(close(fd), 0);
}

static void test_watchdog(void **state)
{
    char pid[32];
    struct notify n;

    (void)state;
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_ok_err(notify_open(&n, "@weir-test", "30000000", pid, &kit.err), &kit.err);
    assert_int_equal(n.watchdog_ms, 30000);
    notify_close(&n);
    assert_ok_err(notify_open(&n, "@weir-test", "30000000", NULL, &kit.err), &kit.err);
    assert_int_equal(n.watchdog_ms, 30000);
    notify_close(&n);
    assert_ok_err(notify_open(&n, "@weir-test", "30000000", "1", &kit.err), &kit.err);
    assert_int_equal(n.watchdog_ms, 0);
    notify_close(&n);
}

static void test_nonsense(void **state)
{
    static const char *const bad[][3] = {{"relative", NULL, NULL}, {"@", NULL, NULL}, {"vsock:2:1", NULL, NULL},
        {"@x", "soon", NULL}, {"@x", "1", "me"}};
    char longest[200];
    struct notify n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(notify_open(&n, bad[i][0], bad[i][1], bad[i][2], &kit.err), E_CONFIG);
        assert_false(n.open);
    }
    memset(longest, '/', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_fails(notify_open(&n, longest, NULL, NULL, &kit.err), E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrives),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
