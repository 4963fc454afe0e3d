/* SPDX-License-Identifier: Apache-2.0 */
#include "http_server_kit.h"

/* --- listening ---------------------------------------------------------------------------------------------------- */

static void long_path(void **state)
{
    struct http_listen_short at;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char below[300];
    struct rig g;
    int fd;

    (void)state;
    memset(below, 'd', 200);
    memcpy(below + 200, "/control", 9);
    begin_with(&g, below, 8);
    assert_true(http_listen_shorten(g.path, &at));
    memcpy(addr.sun_path, at.path, sizeof addr.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    ask(&g, fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /x -");
    (void)close(fd);
    http_listen_short_fini(&at);
    end(&g);
}

static unsigned umask_count;

/* In place of the C library's: whoever asks for another mask is noticed. */
mode_t umask(mode_t mask)
{
    umask_count++;
    return (mode_t)syscall(SYS_umask, mask);
}

/* Other threads make files and folders meanwhile, which must get the modes that they would have without us. */
static void only_its_own_mode(void **state)
{
    char dir[] = "/tmp/weir-listen-XXXXXX", path[64];
    mode_t before = umask(0);
    unsigned asked = umask_count;
    struct stat st;
    int fd;

    (void)state;
    assert_int_equal(asked, 1); /* this test would notice */
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/control", dir);
    assert_ok_err(http_listen_unix(path, &fd, &err), &err);
    assert_int_equal(umask_count, asked);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    (void)umask(before);
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void what_is_in_the_way(void **state)
{
    struct http_guard g;
    char path[64] = "/tmp/weir-listen-XXXXXX", want[200];
    int fd, again;

    (void)state;
    fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_fails(http_listen_unix(path, &fd, &err), E_CONFIG); /* somebody's file */
    assert_non_null(strstr(err.msg, "not a socket"));
    assert_int_equal(unlink(path), 0);
    assert_ok_err(http_listen_unix(path, &fd, &err), &err);
    assert_fails(http_listen_unix(path, &again, &err), E_FENCED); /* somebody answers */
    (void)snprintf(want, sizeof want, "control socket %s: process %ld answers there: Address already in use", path,
        (long)getpid());
    assert_string_equal(err.msg, want);
    assert_int_equal(err.sys, EADDRINUSE);
    (void)close(fd);
    assert_int_equal(access(path, F_OK), 0);
    assert_ok_err(http_listen_unix(path, &fd, &err), &err); /* left over */
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_true(rc_failed(http_listen_unix("/tmp/weir/no/such/folder", &fd, &err)));
    assert_non_null(strstr(err.msg, "/tmp/weir/no/such/folder"));
    assert_ok_err(http_guard_init(&g, "127.0.0.1:0", &err), &err);
    assert_ok_err(http_listen_tcp(&g, &fd, &err), &err);
    assert_true(rc_failed(http_listen_tcp(&g, &again, &err))); /* the port is taken */
    assert_non_null(strstr(err.msg, "127.0.0.1 port "));
    (void)close(fd);
    assert_ok_err(http_guard_init(&g, "0.0.0.0:0", &err), &err);
    assert_fails(http_listen_tcp(&g, &fd, &err), E_CONFIG);
    assert_non_null(strstr(err.msg, "http.token-file"));
    assert_ok_err(http_guard_set_token(&g, "0123456789abcdef", 16, &err), &err);
    assert_ok_err(http_listen_tcp(&g, &fd, &err), &err);
    (void)close(fd);
    assert_ok_err(http_guard_init(&g, "no.such.name.invalid:1", &err), &err);
    assert_fails(http_listen_tcp(&g, &fd, &err), E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_path),
        cmocka_unit_test(only_its_own_mode),
        cmocka_unit_test(what_is_in_the_way),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: clients hang up when they like */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
