/* SPDX-License-Identifier: Apache-2.0 */
/* http_server_kit - for tests: a server on a loop, what it was asked, and clients of it. */
#ifndef HTTP_SERVER_KIT_H
#define HTTP_SERVER_KIT_H

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

static inline void more(void *ctx, struct buf *out)
{
    struct rig *g = ctx;
    size_t n = STREAM_SIZE - g->streamed < 100000 ? STREAM_SIZE - g->streamed : 100000;

    for (size_t i = 0; i < n; i++)
        buf_u8(out, (uint8_t)('a' + (g->streamed + i) % 26));
    g->streamed += n;
}

static inline void free_source(void *ctx)
{
    ((struct rig *)ctx)->freed++;
}

static inline void answer_text(struct http_call *c, unsigned status, const char *text)
{
    struct buf body;

    buf_init(&body, 10000);
    buf_text(&body, text);
    http_call_answer(c, status, "text/plain", &body);
}

static inline void on_gone(void *ctx)
{
    struct rig *g = ctx;

    g->gone++;
    answer_text(g->held[--g->held_count], 500, "nobody");
}

static inline void on_call(void *ctx, struct http_call *c)
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

static inline void begin_with(struct rig *g, const char *below, unsigned connection_max)
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
    http_server_set_limits(
        g->server, &(struct http_limits){3600000, 3600000, 3600000, 1000}); /* a machine may stand still */
    assert_ok_err(http_listen_unix(g->path, &fd, &err), &err);
    g->unix_listener = http_server_listen(g->server, fd, &g->owner, connection_max);
    assert_ok_err(http_listen_tcp(&g->tcp, &fd, &err), &err);
    assert_true(g->tcp.port > 0);
    g->tcp_listener = http_server_listen(g->server, fd, &g->tcp, 8);
}

static inline void begin(struct rig *g)
{
    begin_with(g, "control", 64);
}

static inline void on_stopped(void *ctx)
{
    ((struct rig *)ctx)->stopped++;
}

static inline void begin_stop(struct rig *g)
{
    http_server_unlisten(g->unix_listener);
    http_server_unlisten(g->tcp_listener);
    http_server_stop(g->server, on_stopped, g);
}

static inline void end(struct rig *g)
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

static inline void turn(struct rig *g)
{
    for (int i = 0; i < 20; i++)
        (void)uv_run(&g->loop, UV_RUN_NOWAIT);
}

static inline int connect_unix(const struct rig *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.100s", g->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static inline int connect_tcp(const struct rig *g)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(g->tcp.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t heard_size;

static bool hung_up;

/* Take what has come; true when the text was among all of it, or the server hung up. */
static inline bool hear(int fd, const char *text)
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

static inline void listen_anew(void)
{
    heard_size = 0;
    hung_up = false;
    heard[0] = 0;
}

/* Ask over the connection and hear the answer up to this text. */
static inline void ask(struct rig *g, int fd, const char *request, const char *until)
{
    listen_anew();
    say(fd, request);
    TURN_UNTIL(g, hear(fd, until));
    if (strstr(heard, until) == NULL)
        fail_msg("%s\nis answered by\n%s", request, heard);
}

static inline void ask_once(struct rig *g, bool tcp, const char *request, const char *until)
{
    int fd = tcp ? connect_tcp(g) : connect_unix(g);

    ask(g, fd, request, until);
    (void)close(fd);
}

#endif
