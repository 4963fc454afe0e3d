/* SPDX-License-Identifier: Apache-2.0 */
#include "http_intern.h"

#include "alloc.h"
#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_AT_ONCE = 64, SWEEP_MS = 1000 };

static void pump(struct http_server *s);

uint64_t http_server_now_ms(void)
{
    return clock_mono_ms(&clock_real);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void link_conn(struct http_conn **list, struct http_conn *k)
{
    k->at = list;
    k->next = *list;
    if (k->next != NULL)
        k->next->at = &k->next;
    *list = k;
}

static void unlink_conn(struct http_conn *k)
{
    *k->at = k->next;
    if (k->next != NULL)
        k->next->at = k->at;
}

static void settle_listener(struct http_listener *l)
{
    if (!l->closed || l->connection_count > 0)
        return;
    *l->at = l->next;
    if (l->next != NULL)
        l->next->at = l->at;
    mem_free(l);
}

static void on_connection(uv_poll_t *handle, int status, int events);

static void go_on_accepting(struct http_listener *l)
{
    int rc;

    if (!l->paused || l->closing || l->connection_count >= l->connection_max)
        return;
    l->paused = false;
    rc = uv_poll_start(&l->poll, UV_READABLE, on_connection);
    assert(rc == 0);
}

static void free_conn(struct http_conn *k)
{
    struct http_listener *l = k->listener;

    unlink_conn(k);
    l->connection_count--;
    mem_free(k);
    go_on_accepting(l);
    settle_listener(l);
}

/* Of libmicrohttpd: a connection begins or ends. */
static void on_notify(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = cls;
    const union MHD_ConnectionInfo *info;
    struct http_conn *k = s->accepted;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        free_conn(*context);
        return;
    }
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    while (k->fd != info->connect_fd)
        k = k->next;
    unlink_conn(k);
    link_conn(&s->conns, k);
    *context = k;
}

static void pause_accepting(struct http_listener *l)
{
    (void)uv_poll_stop(&l->poll); /* cannot fail */
    l->paused = true;
}

static bool is_accepted(const struct http_server *s, const struct http_conn *k)
{
    const struct http_conn *one = s->accepted;

    while (one != NULL && one != k)
        one = one->next;
    return one != NULL;
}

/* False: no more for now. */
static bool accept_one(struct http_listener *l)
{
    struct http_server *s = l->server;
    struct sockaddr_storage addr = {0};
    socklen_t size = sizeof addr;
    struct http_conn *k;
    int fd = accept4(l->fd, (struct sockaddr *)&addr, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            pause_accepting(l); /* no descriptors: the next sweep tries again */
        return errno == EINTR || errno == ECONNABORTED;
    }
    k = mem_new(sizeof *k);
    k->listener = l;
    k->guard = l->guard;
    k->fd = fd;
    k->deadline_ms = http_server_now_ms() + s->limits.header_ms;
    l->connection_count++;
    link_conn(&s->accepted, k);
    /* An address of a Unix socket has no name, but a family. */
    if (MHD_add_connection(s->mhd, fd, (const struct sockaddr *)&addr, size) != MHD_YES && is_accepted(s, k))
        free_conn(k); /* it has closed the descriptor */
    return true;
}

static void on_connection(uv_poll_t *handle, int status, int events)
{
    struct http_listener *l = handle->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        if (l->connection_count >= l->connection_max) {
            pause_accepting(l);
            break;
        }
        if (!accept_one(l))
            break;
    }
    pump(l->server);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *l = handle->data;
    struct http_server *s = l->server;

    (void)close(l->fd); /* nothing is buffered in it */
    s->listening_count--;
    l->closed = true;
    settle_listener(l);
    if (s->stopping)
        pump(s);
}

struct http_listener *http_server_listen(
    struct http_server *s, int fd, const struct http_guard *guard, unsigned connection_max)
{
    struct http_listener *l = mem_new(sizeof *l);
    int rc;

    l->server = s;
    l->fd = fd;
    l->guard = guard;
    l->connection_max = connection_max;
    l->next = s->listeners;
    l->at = &s->listeners;
    if (l->next != NULL)
        l->next->at = &l->next;
    s->listeners = l;
    s->listening_count++;
    rc = uv_poll_init(s->loop, &l->poll, fd);
    assert(rc == 0);
    l->poll.data = l;
    rc = uv_poll_start(&l->poll, UV_READABLE, on_connection);
    assert(rc == 0);
    return l;
}

void http_server_unlisten(struct http_listener *l)
{
    assert(!l->closing);
    l->closing = true;
    uv_close((uv_handle_t *)&l->poll, on_listener_closed);
}

/* --- the library on the loop -------------------------------------------------------------------------------------- */

/* Whoever takes longer than is decent is hung up on; libmicrohttpd notices that by itself. */
static void sweep(struct http_server *s)
{
    uint64_t now = http_server_now_ms();

    if (now - s->swept_ms < s->limits.look_ms)
        return;
    s->swept_ms = now;
    for (struct http_conn *k = s->conns; k != NULL; k = k->next) {
        if (k->deadline_ms == 0 || k->deadline_ms > now)
            continue;
        (void)shutdown(k->fd, SHUT_RDWR); /* it may be gone already */
        k->deadline_ms = 0;
    }
    for (struct http_listener *l = s->listeners; l != NULL; l = l->next)
        go_on_accepting(l);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;

    if (--s->handles > 0)
        return;
    s->on_stopped(s->stop_ctx);
    mem_free(s);
}

/* What is idle is closed; what was asked has been answered. */
static void finish(struct http_server *s)
{
    uv_close((uv_handle_t *)&s->poll, on_handle_closed);
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
    MHD_stop_daemon(s->mhd);
    s->mhd = NULL;
}

static bool needs_sweep(const struct http_server *s)
{
    if (s->conns != NULL)
        return true;
    for (const struct http_listener *l = s->listeners; l != NULL; l = l->next)
        if (l->paused && !l->closing)
            return true;
    return false;
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

void http_server_pump_soon(struct http_server *s)
{
    int rc = uv_timer_start(&s->timer, on_timer, 0, 0);

    assert(rc == 0);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    pump(handle->data);
}

static void pump(struct http_server *s)
{
    const uint64_t look_ms = s->limits.look_ms;
    MHD_UNSIGNED_LONG_LONG wait = look_ms;
    int rc;

    if (s->running || s->mhd == NULL)
        return;
    sweep(s);
    s->running = true;
    (void)MHD_run(s->mhd); /* fails only when it is not ours to run */
    s->running = false;
    if (s->stopping && s->call_count == 0 && s->listening_count == 0) {
        finish(s);
        return;
    }
    if (MHD_get_timeout(s->mhd, &wait) != MHD_YES || wait > look_ms)
        wait = look_ms;
    if (wait == look_ms && !needs_sweep(s)) {
        (void)uv_timer_stop(&s->timer); /* stopping a timer cannot fail */
        return;
    }
    rc = uv_timer_start(&s->timer, on_timer, wait, 0);
    assert(rc == 0);
}

static struct rc start_library(struct http_server *s, struct err *err)
{
    const union MHD_DaemonInfo *info;

    s->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        http_call_on_request, s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_MAX, MHD_OPTION_NOTIFY_COMPLETED,
        http_call_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_notify, s, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (s->mhd == NULL)
        return rc_raise(err, E_IO, "start the HTTP server: libmicrohttpd refuses (no descriptors?)");
    info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    assert(info != NULL && info->epoll_fd >= 0);
    if (uv_poll_init(s->loop, &s->poll, info->epoll_fd) == 0)
        return RC_OK;
    MHD_stop_daemon(s->mhd);
    return rc_raise(err, E_IO, "start the HTTP server: its events cannot be watched");
}

struct rc http_server_start(struct http_server **out, uv_loop_t *loop, http_fn fn, void *ctx, struct err *err)
{
    struct http_server *s = mem_new(sizeof *s);
    int rc;

    s->limits = (struct http_limits){HTTP_HEADER_MS, HTTP_ANSWER_MS, HTTP_IDLE_MS, SWEEP_MS};
    s->loop = loop;
    s->fn = fn;
    s->ctx = ctx;
    if (rc_failed(start_library(s, err))) {
        mem_free(s);
        return rc_of(err);
    }
    rc = uv_timer_init(loop, &s->timer);
    assert(rc == 0);
    s->poll.data = s->timer.data = s;
    s->handles = 2;
    rc = uv_poll_start(&s->poll, UV_READABLE, on_ready);
    assert(rc == 0);
    *out = s;
    return RC_OK;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
    s->limits = *limits;
}

void http_server_stop(struct http_server *s, void (*on_stopped)(void *ctx), void *ctx)
{
    uint64_t latest = http_server_now_ms() + HTTP_STOP_MS;

    s->stopping = true;
    s->on_stopped = on_stopped;
    s->stop_ctx = ctx;
    for (struct http_conn *k = s->conns; k != NULL; k = k->next)
        if (k->deadline_ms > latest)
            k->deadline_ms = latest;
    http_server_pump_soon(s);
}
