/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "control.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELD_MAX = 8 };

struct rig {
    uv_loop_t loop;
    char dir[64], path[400];
    struct control *control;
    unsigned calls, stopped;
    char command[CONTROL_LINE_MAX], argument[CONTROL_LINE_MAX];
    bool hold; /* keep calls open */
    struct control_call *held[HELD_MAX];
    unsigned held_count;
};

static struct err err;

static void on_call(void *ctx, struct control_call *call, const char *command, const char *argument)
{
    struct rig *g = ctx;

    g->calls++;
    (void)snprintf(g->command, sizeof g->command, "%s", command);
    (void)snprintf(g->argument, sizeof g->argument, "%s", argument);
    if (g->hold)
        g->held[g->held_count++] = call;
    else if (strcmp(command, "big") == 0)
        control_answer(call, mem_printf("%0*d", 3000000, 7));
    else
        control_answer(call, mem_printf("{\"you\": \"%s|%s\"}", command, argument));
}

static void begin_at(struct rig *g, const char *below)
{
    memset(g, 0, sizeof *g);
    memcpy(g->dir, "/tmp/weir-control-XXXXXX", 25);
    assert_non_null(mkdtemp(g->dir));
    (void)snprintf(g->path, sizeof g->path, "%s/%s", g->dir, below);
    assert_int_equal(uv_loop_init(&g->loop), 0);
}

static void listen_now(struct rig *g)
{
    assert_ok_err(control_listen(&g->control, &g->loop, g->path, on_call, g, &err), &err);
}

static void begin(struct rig *g)
{
    begin_at(g, "control");
    listen_now(g);
}

static void on_stopped(void *ctx)
{
    ((struct rig *)ctx)->stopped++;
}

static void end(struct rig *g)
{
    if (g->control != NULL && g->stopped == 0)
        control_stop(g->control, on_stopped, g);
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(g->stopped, g->control != NULL);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    assert_int_not_equal(access(g->path, F_OK), 0); /* the socket is gone */
    (void)snprintf(g->command, sizeof g->command, "rm -r %s", g->dir);
    (void)!system(g->command); /* a leftover in /tmp is no failure of a test */
}

/* Turn the loop until the condition holds. */
#define TURN_UNTIL(g, condition)                     \
    do {                                             \
        for (int turn_ = 0; !(condition); turn_++) { \
            assert_true(turn_ < 3000);               \
            (void)uv_run(&(g)->loop, UV_RUN_NOWAIT); \
            (void)usleep(1000);                      \
        }                                            \
    } while (0)

static int connect_to(const struct rig *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.100s", g->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What came until now: -1 nothing yet, 0 hung up. */
static ssize_t hear(int fd, char *out, size_t size)
{
    ssize_t n = recv(fd, out, size - 1, MSG_DONTWAIT);

    out[n > 0 ? n : 0] = 0;
    return n;
}

/* A command of the daemon's user, in a thread, as control_ask() blocks. */
struct asker {
    pthread_t thread;
    const char *path, *line;
    uint64_t timeout_ms;
    struct buf answer;
    struct rc rc;
    struct err err;
    int done;
};

static void *ask(void *arg)
{
    struct asker *a = arg;

    a->rc = control_ask(a->path, a->line, a->timeout_ms, &a->answer, &a->err);
    __atomic_store_n(&a->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void asker_start(struct asker *a, const struct rig *g, const char *line, uint64_t timeout_ms)
{
    *a = (struct asker){.path = g->path, .line = line, .timeout_ms = timeout_ms};
    buf_init(&a->answer, CONTROL_ANSWER_MAX);
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void asker_finish(struct asker *a, struct rig *g)
{
    TURN_UNTIL(g, __atomic_load_n(&a->done, __ATOMIC_ACQUIRE));
    assert_int_equal(pthread_join(a->thread, NULL), 0);
}

/* --- what works
 * ------------------------------------------------------------------------------------------------------- */

static void asked_and_answered(void **state)
{
    static const struct {
        const char *line, *command, *argument;
    } lines[] = {{"status", "status", ""}, {"sync /data/app.db", "sync", "/data/app.db"},
        {"sync /a path/with spaces", "sync", "/a path/with spaces"}, {"", "", ""}};
    struct stat st;
    struct rig g;

    (void)state;
    begin(&g);
    assert_int_equal(stat(g.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct asker a;
        char want[100];

        asker_start(&a, &g, lines[i].line, 5000);
        asker_finish(&a, &g);
        assert_ok_err(a.rc, &a.err);
        (void)snprintf(want, sizeof want, "{\"you\": \"%s|%s\"}", lines[i].command, lines[i].argument);
        assert_string_equal(buf_str(&a.answer), want);
        assert_string_equal(g.command, lines[i].command);
        assert_string_equal(g.argument, lines[i].argument);
        buf_fini(&a.answer);
    }
    end(&g);
}

static void big_answer(void **state)
{
    struct asker a;
    struct rig g;

    (void)state;
    begin(&g);
    asker_start(&a, &g, "big", 20000);
    asker_finish(&a, &g);
    assert_ok_err(a.rc, &a.err);
    assert_int_equal(a.answer.size, 3000000);
    assert_int_equal(a.answer.data[2999999], '7');
    buf_fini(&a.answer);
    end(&g);
}

/* Several at once, answered in another order. */
static void several_clients(void **state)
{
    struct asker a[4];
    struct rig g;

    (void)state;
    begin(&g);
    g.hold = true;
    for (unsigned i = 0; i < 4; i++) {
        asker_start(&a[i], &g, "sync", 20000);
        TURN_UNTIL(&g, g.held_count == i + 1);
    }
    for (unsigned i = 4; i-- > 0;)
        control_answer(g.held[i], mem_printf("%u", i));
    for (unsigned i = 0; i < 4; i++) {
        char want[4];

        asker_finish(&a[i], &g);
        assert_ok_err(a[i].rc, &a[i].err);
        (void)snprintf(want, sizeof want, "%u", i);
        assert_string_equal(buf_str(&a[i].answer), want);
        buf_fini(&a[i].answer);
    }
    end(&g);
}

/* A line in pieces, and what comes behind it. */
static void byte_by_byte(void **state)
{
    struct rig g;
    char text[200];
    int fd;

    (void)state;
    begin(&g);
    g.hold = true;
    fd = connect_to(&g);
    for (const char *p = "sync /x\nsync /y\n"; *p != 0; p++) {
        char one[2] = {*p, 0};

        say(fd, one);
        for (int i = 0; i < 3; i++)
            (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    }
    TURN_UNTIL(&g, g.calls > 0);
    for (int i = 0; i < 2000; i += 16) /* far more than a line may hold */
        (void)send(fd, "0123456789abcdef", 16, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    assert_int_equal(g.calls, 1); /* one line is all */
    assert_string_equal(g.argument, "/x");
    control_answer(g.held[0], mem_strdup("{}"));
    TURN_UNTIL(&g, hear(fd, text, sizeof text) > 0);
    assert_string_equal(text, "{}\n");
    (void)close(fd);
    end(&g);
}

/* Whoever has said all closes its sending side (nc -N): the answer still comes, at once or later. */
static void half_closed(void **state)
{
    (void)state;
    for (int later = 0; later < 2; later++) {
        struct rig g;
        char text[200];
        int fd;

        begin(&g);
        g.hold = later;
        fd = connect_to(&g);
        say(fd, "sync /x\n");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        TURN_UNTIL(&g, g.calls == 1);
        if (later) {
            for (int i = 0; i < 20; i++)
                (void)uv_run(&g.loop, UV_RUN_NOWAIT);
            assert_int_equal(hear(fd, text, sizeof text), -1); /* not hung up on */
            control_answer(g.held[0], mem_strdup("{}"));
        }
        TURN_UNTIL(&g, hear(fd, text, sizeof text) > 0);
        assert_string_equal(text, later ? "{}\n" : "{\"you\": \"sync|/x\"}\n");
        TURN_UNTIL(&g, hear(fd, text, sizeof text) == 0); /* and then it is over */
        (void)close(fd);
        end(&g);
    }
}

/* --- clients that behave badly
 * ----------------------------------------------------------------------------------------- */

static void too_long(void **state)
{
    static char line[CONTROL_LINE_MAX + 2];
    struct asker a;
    struct rig g;
    char text[10];
    int fd;

    (void)state;
    begin(&g);
    memset(line, 'x', sizeof line - 1);
    fd = connect_to(&g);
    say(fd, line);
    TURN_UNTIL(&g, hear(fd, text, sizeof text) != -1 || g.calls > 0);
    assert_int_equal(g.calls, 0);
    (void)close(fd);

    line[CONTROL_LINE_MAX] = 0; /* one byte too much with its newline: refused at home */
    asker_start(&a, &g, line, 5000);
    asker_finish(&a, &g);
    assert_fails(a.rc, E_CONFIG);
    assert_non_null(strstr(a.err.msg, "the request is too long"));
    buf_fini(&a.answer);
    line[CONTROL_LINE_MAX - 1] = 0; /* just fits */
    asker_start(&a, &g, line, 5000);
    asker_finish(&a, &g);
    assert_ok_err(a.rc, &a.err);
    assert_int_equal(strlen(g.command), CONTROL_LINE_MAX - 1);
    buf_fini(&a.answer);
    end(&g);
}

/* Gone before the answer, gone without a word: nothing leaks, others are served. */
static void gone(void **state)
{
    struct asker a;
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    g.hold = true;
    fd = connect_to(&g);
    say(fd, "sync /x\n");
    TURN_UNTIL(&g, g.held_count == 1);
    (void)close(fd);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    control_answer(g.held[0], mem_strdup("{}"));
    fd = connect_to(&g);
    (void)close(fd);
    fd = connect_to(&g);
    say(fd, "half a li");
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    (void)close(fd);
    fd = connect_to(&g); /* does not wait for its big answer */
    g.hold = false;
    say(fd, "big\n");
    TURN_UNTIL(&g, g.calls == 2);
    (void)close(fd);
    asker_start(&a, &g, "status", 5000);
    asker_finish(&a, &g);
    assert_ok_err(a.rc, &a.err);
    buf_fini(&a.answer);
    end(&g);
}

/* A client that says nothing is hung up on. */
static void idle(void **state)
{
    struct rig g;
    char text[10];
    int fd, timeout;

    (void)state;
    begin(&g);
    fd = connect_to(&g);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    timeout = uv_backend_timeout(&g.loop); /* the only timer is that of the client */
    assert_in_range(timeout, CONTROL_IDLE_MS - 1000, CONTROL_IDLE_MS);
    assert_int_equal(hear(fd, text, sizeof text), -1);
    (void)close(fd);
    end(&g);
}

/* --- stopping
 * ------------------------------------------------------------------------------------------------------------ */

static void stops_with_open_calls(void **state)
{
    struct rig g;
    char text[10];
    int fds[3];

    (void)state;
    begin(&g);
    g.hold = true;
    for (unsigned i = 0; i < 3; i++)
        fds[i] = connect_to(&g);
    say(fds[0], "sync /x\n"); /* the second and third have not asked */
    TURN_UNTIL(&g, g.held_count == 1);
    control_stop(g.control, on_stopped, &g);
    for (int i = 0; i < 50; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    assert_int_equal(g.stopped, 0); /* a call is open */
    assert_int_equal(hear(fds[1], text, sizeof text), 0);
    assert_int_equal(hear(fds[0], text, sizeof text), -1);
    control_answer(g.held[0], mem_strdup("{}"));
    TURN_UNTIL(&g, g.stopped == 1);
    assert_int_equal(hear(fds[0], text, sizeof text), 3);
    assert_string_equal(text, "{}\n");
    for (unsigned i = 0; i < 3; i++)
        (void)close(fds[i]);
    end(&g);
}

/* --- paths
 * --------------------------------------------------------------------------------------------------------------- */

static void long_path(void **state)
{
    struct asker a;
    struct rig g;
    char below[300];

    (void)state;
    memset(below, 'd', sizeof below);
    below[200] = 0;
    begin_at(&g, below);
    assert_int_equal(mkdir(g.path, 0700), 0);
    (void)snprintf(g.path + strlen(g.path), 20, "/control");
    listen_now(&g);
    asker_start(&a, &g, "status", 5000);
    asker_finish(&a, &g);
    assert_ok_err(a.rc, &a.err);
    buf_fini(&a.answer);
    end(&g);
}

static void left_over_socket(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct asker a;
    struct rig g;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    begin_at(&g, "control");
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.100s", g.path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    (void)close(fd);
    assert_int_equal(access(g.path, F_OK), 0);
    listen_now(&g);
    asker_start(&a, &g, "status", 5000);
    asker_finish(&a, &g);
    assert_ok_err(a.rc, &a.err);
    buf_fini(&a.answer);
    end(&g);
}

static void nobody_there(void **state)
{
    struct asker a;
    struct rig g;

    (void)state;
    begin_at(&g, "missing/control");
    assert_true(rc_failed(control_listen(&g.control, &g.loop, g.path, on_call, &g, &err)));
    assert_non_null(strstr(err.msg, "missing/control"));
    assert_null(g.control);
    asker_start(&a, &g, "status", 5000);
    asker_finish(&a, &g);
    assert_fails(a.rc, E_NOTFOUND);
    buf_fini(&a.answer);
    end(&g);
    begin(&g); /* a daemon that takes its time */
    g.hold = true;
    asker_start(&a, &g, "sync", 100);
    asker_finish(&a, &g);
    assert_fails(a.rc, E_TIMEOUT);
    assert_non_null(strstr(a.err.msg, "the daemon did not answer in time"));
    buf_fini(&a.answer);
    TURN_UNTIL(&g, g.held_count == 1);
    control_answer(g.held[0], mem_strdup("{}"));
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_and_answered),
        cmocka_unit_test(big_answer),
        cmocka_unit_test(several_clients),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(half_closed),
        cmocka_unit_test(too_long),
        cmocka_unit_test(gone),
        cmocka_unit_test(idle),
        cmocka_unit_test(stops_with_open_calls),
        cmocka_unit_test(long_path),
        cmocka_unit_test(left_over_socket),
        cmocka_unit_test(nobody_there),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: clients hang up when they like */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
