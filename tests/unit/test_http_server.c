/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "http_listen.h"
#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { CALLS_MAX = 2100, STREAM_SIZE = 3000000, HEARD_MAX = 4 << 20 };

struct rig {
    uv_loop_t loop;
    char dir[64], path[400];
    struct http_guard owner, tcp;
    struct http_server *server;
    struct http_listener *unix_listener, *tcp_listener;
    unsigned calls, stopped, gone, freed;
    char asked[9000]; /* the last call */
    bool hold;        /* keep calls open */
    struct http_call *held[CALLS_MAX];
    unsigned held_count;
    size_t streamed;
};

static struct err err;
static char heard[HEARD_MAX];

static void more(void *ctx, struct buf *out)
{
    struct rig *g = ctx;
    size_t n = STREAM_SIZE - g->streamed < 100000 ? STREAM_SIZE - g->streamed : 100000;

    for (size_t i = 0; i < n; i++)
        buf_u8(out, (uint8_t)('a' + (g->streamed + i) % 26));
    g->streamed += n;
}

static void free_source(void *ctx)
{
    ((struct rig *)ctx)->freed++;
}

static void answer_text(struct http_call *c, unsigned status, const char *text)
{
    struct buf body;

    buf_init(&body, 10000);
    buf_text(&body, text);
    http_call_answer(c, status, "text/plain", &body);
}

static void on_gone(void *ctx)
{
    struct rig *g = ctx;

    g->gone++;
    answer_text(g->held[--g->held_count], 500, "nobody");
}

static void on_call(void *ctx, struct http_call *c)
{
    static const char *const known[] = {"path", "x", NULL};
    struct rig *g = ctx;
    const char *path = http_call_query(c, "path"), *unknown = http_call_query_name(c, known);

    g->calls++;
    (void)snprintf(g->asked, sizeof g->asked, "%s %s %s%s%s", http_call_method(c), http_call_path(c),
        path != NULL ? path : "-", unknown != NULL ? " unknown " : "", unknown != NULL ? unknown : "");
    if (g->hold) {
        g->held[g->held_count++] = c;
        http_call_on_gone(c, on_gone, g);
    } else if (strcmp(http_call_path(c), "/stream") == 0) {
        g->streamed = 0;
        http_call_stream(c, 200, "text/plain", &(struct http_source){.more = more, .free = free_source, .ctx = g});
    } else if (!http_call_is_trusted(c)) {
        http_call_header(c, "WWW-Authenticate", "Bearer");
        answer_text(c, 401, "no");
    } else {
        answer_text(c, http_call_is_owner(c) ? 200 : 203, g->asked);
    }
}

static void begin_with(struct rig *g, const char *below, unsigned connection_max)
{
    int fd;

    memset(g, 0, sizeof *g);
    memcpy(g->dir, "/tmp/weir-server-XXXXXX", 23);
    assert_non_null(mkdtemp(g->dir));
    (void)snprintf(g->path, sizeof g->path, "%s/%s", g->dir, below);
    if (strchr(below, '/') != NULL) {
        *strrchr(g->path, '/') = 0;
        assert_int_equal(mkdir(g->path, 0700), 0);
        g->path[strlen(g->path)] = '/';
    }
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->owner.owner_only = true;
    assert_ok_err(http_guard_init(&g->tcp, "127.0.0.1:0", &err), &err);
    assert_ok_err(http_server_start(&g->server, &g->loop, on_call, g, &err), &err);
    assert_ok_err(http_listen_unix(g->path, &fd, &err), &err);
    g->unix_listener = http_server_listen(g->server, fd, &g->owner, connection_max);
    assert_ok_err(http_listen_tcp(&g->tcp, &fd, &err), &err);
    assert_true(g->tcp.port > 0);
    g->tcp_listener = http_server_listen(g->server, fd, &g->tcp, 8);
}

static void begin(struct rig *g)
{
    begin_with(g, "control", 64);
}

static void on_stopped(void *ctx)
{
    ((struct rig *)ctx)->stopped++;
}

static void begin_stop(struct rig *g)
{
    http_server_unlisten(g->unix_listener);
    http_server_unlisten(g->tcp_listener);
    http_server_stop(g->server, on_stopped, g);
}

static void end(struct rig *g)
{
    char command[500];

    if (g->stopped == 0)
        begin_stop(g);
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(g->stopped, 1);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    (void)snprintf(command, sizeof command, "rm -r %s", g->dir);
    (void)!system(command); /* a leftover in /tmp is no failure of a test */
}

/* Turn the loop until the condition holds. */
#define TURN_UNTIL(g, condition)                     \
    do {                                             \
        for (int turn_ = 0; !(condition); turn_++) { \
            assert_true(turn_ < 60000);              \
            (void)uv_run(&(g)->loop, UV_RUN_NOWAIT); \
            if (!(condition))                        \
                (void)usleep(500);                   \
        }                                            \
    } while (0)

static void turn(struct rig *g)
{
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g->loop, UV_RUN_NOWAIT);
}

static int connect_unix(const struct rig *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.100s", g->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static int connect_tcp(const struct rig *g)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(g->tcp.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t heard_size;
static bool hung_up;

/* Take what has come; true when the text was among all of it, or the server hung up. */
static bool hear(int fd, const char *text)
{
    for (;;) {
        ssize_t n = recv(fd, heard + heard_size, sizeof heard - 1 - heard_size, MSG_DONTWAIT);

        hung_up = n == 0;
        if (n <= 0)
            break;
        heard_size += (size_t)n;
    }
    heard[heard_size] = 0;
    return hung_up || strstr(heard, text) != NULL;
}

static void listen_anew(void)
{
    heard_size = 0;
    hung_up = false;
    heard[0] = 0;
}

/* Ask over the connection and hear the answer up to this text. */
static void ask(struct rig *g, int fd, const char *request, const char *until)
{
    listen_anew();
    say(fd, request);
    TURN_UNTIL(g, hear(fd, until));
    if (strstr(heard, until) == NULL)
        fail_msg("%s\nis answered by\n%s", request, heard);
}

static void ask_once(struct rig *g, bool tcp, const char *request, const char *until)
{
    int fd = tcp ? connect_tcp(g) : connect_unix(g);

    ask(g, fd, request, until);
    (void)close(fd);
}

/* --- what works --------------------------------------------------------------------------------------------------- */

static void asked_and_answered(void **state)
{
    struct stat st;
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    assert_int_equal(stat(g.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    fd = connect_unix(&g); /* one connection, many requests */
    ask(&g, fd, "GET /a?path=%2Fx%20y HTTP/1.1\r\nHost: any\r\n\r\n", "GET /a /x y");
    assert_non_null(strstr(heard, "HTTP/1.1 200 "));
    assert_non_null(strstr(heard, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(heard, "X-Content-Type-Options: nosniff\r\n"));
    ask(&g, fd, "POST /b HTTP/1.1\r\nHost: any\r\nContent-Length: 0\r\n\r\n", "POST /b -");
    ask(&g, fd, "GET /c?x=1&y=2 HTTP/1.1\r\nHost: any\r\n\r\n", "unknown y");
    ask(&g, fd, "HEAD /d HTTP/1.1\r\nHost: any\r\n\r\n", "Content-Length: 8\r\n\r\n");
    assert_null(strstr(heard, "GET /d")); /* no body */
    assert_string_equal(g.asked, "GET /d -");
    (void)close(fd);
    ask_once(&g, true, "GET /e HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "GET /e -");
    assert_non_null(strstr(heard, "HTTP/1.1 203 ")); /* not the owner's */
    end(&g);
}

static void streamed(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    fd = connect_tcp(&g);
    ask(&g, fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n0\r\n\r\n");
    assert_non_null(strstr(heard, "Transfer-Encoding: chunked\r\n"));
    assert_true(heard_size > STREAM_SIZE);
    assert_int_equal(g.freed, 1);
    ask(&g, fd, "HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n\r\n");
    TURN_UNTIL(&g, g.freed == 2);
    assert_int_equal(g.streamed, 0);
    (void)close(fd);
    fd = connect_tcp(&g); /* does not wait for all of it */
    say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    TURN_UNTIL(&g, g.calls == 3);
    (void)close(fd);
    TURN_UNTIL(&g, g.freed == 3);
    end(&g);
}

static void answered_later_in_any_order(void **state)
{
    struct rig g;
    int fds[4];

    (void)state;
    begin(&g);
    g.hold = true;
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_unix(&g);
        say(fds[i], "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
        TURN_UNTIL(&g, g.held_count == i + 1);
    }
    for (unsigned i = 4; i-- > 0;) {
        char text[20];

        (void)snprintf(text, sizeof text, "number %u", i);
        answer_text(g.held[i], 200, text);
        listen_anew();
        TURN_UNTIL(&g, hear(fds[i], text));
        assert_false(hung_up);
    }
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
    end(&g);
}

/* Many wait at once, and all hear. */
static void thousands_wait(void **state)
{
    enum { COUNT = 2000 };
    struct rlimit limit;
    struct rig *g = malloc(sizeof *g);
    int *fds = malloc(COUNT * sizeof *fds);
    unsigned count = COUNT;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * COUNT + 100)
        count = (unsigned)(limit.rlim_max - 100) / 2;
    begin_with(g, "control", COUNT);
    g->hold = true;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = connect_unix(g);
        say(fds[i], "POST /sync?path=/x HTTP/1.1\r\nHost: x\r\n\r\n");
        (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    }
    TURN_UNTIL(g, g->held_count == count);
    for (unsigned i = 0; i < count; i++)
        answer_text(g->held[i], 200, "done");
    for (unsigned i = 0; i < count; i++) {
        listen_anew();
        TURN_UNTIL(g, hear(fds[i], "done"));
        assert_false(hung_up);
        (void)close(fds[i]);
    }
    end(g);
    free(fds);
    free(g);
}

/* --- who may ask -------------------------------------------------------------------------------------------------- */

static void guarded(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    ask_once(&g, true, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "the Host header must name");
    assert_non_null(strstr(heard, "HTTP/1.1 421 "));
    ask_once(&g, true, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    ask_once(&g, true, "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", "other origins");
    ask_once(&g, false, "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", "other origins");
    assert_int_equal(g.calls, 0); /* nobody was asked */
    assert_ok_err(http_guard_set_token(&g.tcp, "0123456789abcdef", 16, &err), &err);
    ask_once(&g, true, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 401 ");
    assert_non_null(strstr(heard, "WWW-Authenticate: Bearer\r\n"));
    ask_once(
        &g, true, "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "GET /x -");
    /* A browser does not have it, so whoever has it may use any name. */
    ask_once(&g, true, "GET /y HTTP/1.1\r\nHost: weir.example\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n",
        "GET /y -");
    ask_once(
        &g, true, "GET /z HTTP/1.1\r\nHost: weir.example\r\nAuthorization: Bearer 0123456789abcdeg\r\n\r\n", " 421 ");
    ask_once(&g, false, "GET /x HTTP/1.1\r\nHost: any\r\n\r\n", "GET /x -"); /* the owner needs none */
    end(&g);
}

static void no_bodies(void **state)
{
    static char request[200000];
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    ask_once(&g, false, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413 ");
    ask_once(&g, false, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 413 ");
    ask_once(&g, false, "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 4");
    assert_int_equal(g.calls, 0);
    /* Headers that are too large. */
    memcpy(request, "GET /", 5);
    memset(request + 5, 'a', 60000);
    memcpy(request + 60005, " HTTP/1.1\r\nHost: x\r\n\r\n", 23);
    fd = connect_unix(&g);
    say(fd, request);
    listen_anew();
    TURN_UNTIL(&g, hear(fd, " 414 "));
    (void)close(fd);
    fd = connect_unix(&g);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 40 && !hung_up; i++) {
        char line[1100];

        (void)snprintf(line, sizeof line, "X-%d: %01000d\r\n", i, i);
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT); /* it may hang up at any moment */
        turn(&g);
    }
    listen_anew();
    TURN_UNTIL(&g, hear(fd, " 431 "));
    (void)close(fd);
    assert_int_equal(g.calls, 0);
    end(&g);
}

/* --- clients that behave badly ------------------------------------------------------------------------------------ */

static void garbage(void **state)
{
    static const char *const lines[] = {"\r\n\r\n\r\n\r\n", "status\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n", "\x16\x03\x01\x02\x01", "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%00%zz?%=%&& HTTP/1.1\r\nHost: x\r\n\r\n", "POST /\x01\xff HTTP/1.1\r\nHost: x\r\n\r\n"};
    struct rig g;

    (void)state;
    begin(&g);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int fd = connect_tcp(&g);

        say(fd, lines[i]);
        turn(&g);
        (void)close(fd);
        turn(&g);
    }
    ask_once(&g, true, "GET /fine HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /fine -"); /* others are served */
    end(&g);
}

/* Byte by byte, and with the next request right behind the first. */
static void slow_and_fast(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    fd = connect_unix(&g);
    for (const char *p = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"; *p != 0; p++) {
        const char one[2] = {*p, 0};

        say(fd, one);
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    }
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "GET /slow -"));
    ask(&g, fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /2 -");
    assert_non_null(strstr(heard, "GET /1 -"));
    (void)close(fd);
    end(&g);
}

/* Gone while it waits: its call is told.  A client that only has no more to say still gets its answer. */
static void gone(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    g.hold = true;
    fd = connect_unix(&g);
    say(fd, "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    (void)close(fd);
    TURN_UNTIL(&g, g.gone == 1);
    fd = connect_unix(&g);
    say(fd, "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    TURN_UNTIL(&g, g.held_count == 1);
    turn(&g);
    assert_int_equal(g.gone, 1);
    answer_text(g.held[0], 200, "there you are");
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "there you are"));
    assert_non_null(strstr(heard, "there you are"));
    (void)close(fd);
    end(&g);
}

/* Who holds all connections keeps others waiting, until one is closed. */
static void connection_limit(void **state)
{
    struct rig g;
    int fds[4];

    (void)state;
    begin_with(&g, "control", 3);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_unix(&g);
        say(fds[i], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (unsigned i = 0; i < 3; i++) {
        listen_anew();
        TURN_UNTIL(&g, hear(fds[i], "GET /x -"));
    }
    turn(&g);
    listen_anew();
    assert_false(hear(fds[3], "GET /x -"));
    assert_int_equal(g.calls, 3);
    ask_once(&g, true, "GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /other -"); /* a limit of its own */
    (void)close(fds[0]);
    TURN_UNTIL(&g, hear(fds[3], "GET /x -"));
    for (unsigned i = 1; i < 4; i++)
        (void)close(fds[i]);
    end(&g);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void stops_with_open_calls(void **state)
{
    struct rig g;
    int fds[3];

    (void)state;
    begin(&g);
    fds[2] = connect_unix(&g); /* idle behind an answer */
    ask(&g, fds[2], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /x -");
    g.hold = true;
    fds[0] = connect_unix(&g);
    fds[1] = connect_unix(&g); /* has not asked */
    say(fds[0], "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    begin_stop(&g);
    turn(&g);
    assert_int_equal(g.stopped, 0); /* a call is open */
    answer_text(g.held[0], 200, "at last");
    TURN_UNTIL(&g, g.stopped == 1);
    listen_anew();
    assert_true(hear(fds[0], "at last"));
    assert_non_null(strstr(heard, "at last"));
    listen_anew();
    TURN_UNTIL(&g, hear(fds[1], "never said") && hung_up);
    for (unsigned i = 0; i < 3; i++)
        (void)close(fds[i]);
    end(&g);
}

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

/* Whoever takes too long is hung up on: with the header, taking the answer, between two requests.  Others are not, who
 * wait for an answer, however long. */
static void late(void **state)
{
    const struct http_limits forever = {3600000, 3600000, 3600000, 1}, header = {20, 3600000, 3600000, 1},
                             idle = {3600000, 3600000, 20, 1}, answer = {3600000, 20, 3600000, 1};
    struct rig g;
    int fd, waits;

    (void)state;
    begin(&g);
    http_server_set_limits(g.server, &header);
    g.hold = true;
    waits = connect_unix(&g);
    say(waits, "GET /waits HTTP/1.1\r\nHost: any\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    g.hold = false;
    fd = connect_unix(&g);
    say(fd, "GET /never HTTP/1.1\r\nHost: ");
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "there is nothing to hear"));
    assert_true(hung_up);
    (void)close(fd);
    http_server_set_limits(g.server, &idle);
    fd = connect_tcp(&g);
    ask(&g, fd, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /a");
    TURN_UNTIL(&g, hear(fd, "there is nothing more to hear"));
    assert_true(hung_up);
    (void)close(fd);
    http_server_set_limits(g.server, &answer);
    fd = connect_unix(&g);
    say(fd, "GET /stream HTTP/1.1\r\nHost: any\r\n\r\n");
    TURN_UNTIL(&g, g.freed == 1);
    assert_true(g.streamed < STREAM_SIZE); /* it is not that all was sent */
    (void)close(fd);
    http_server_set_limits(g.server, &forever);
    assert_int_equal(g.gone, 0);
    answer_text(g.held[--g.held_count], 200, "at last");
    listen_anew();
    TURN_UNTIL(&g, hear(waits, "at last"));
    assert_non_null(strstr(heard, "at last"));
    (void)close(waits);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_and_answered),
        cmocka_unit_test(streamed),
        cmocka_unit_test(answered_later_in_any_order),
        cmocka_unit_test(thousands_wait),
        cmocka_unit_test(guarded),
        cmocka_unit_test(no_bodies),
        cmocka_unit_test(garbage),
        cmocka_unit_test(slow_and_fast),
        cmocka_unit_test(late),
        cmocka_unit_test(gone),
        cmocka_unit_test(connection_limit),
        cmocka_unit_test(stops_with_open_calls),
        cmocka_unit_test(long_path),
        cmocka_unit_test(only_its_own_mode),
        cmocka_unit_test(what_is_in_the_way),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: clients hang up when they like */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
