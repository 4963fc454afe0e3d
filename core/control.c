/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct control {
    uv_pipe_t pipe;
    uv_loop_t *loop;
    char *path; /* owned */
    control_fn fn;
    void *ctx;
    unsigned client_count;
    struct client *clients;
    bool stopping, pipe_closed;
    void (*on_stopped)(void *ctx);
    void *stop_ctx;
};

/* A connection and its one call. */
struct client {
    uv_pipe_t pipe;
    uv_timer_t timer;
    struct control *control;
    struct client *next, **at;
    unsigned open_handles;
    bool asked, answered, gone;
    char line[CONTROL_LINE_MAX + 1];
    size_t used;
    uv_write_t write;
    char *answer; /* owned */
};

struct control_call {
    struct client client;
};

/* --- closing -------------------------------------------------------------------------------------------------- */

static void settle(struct control *c)
{
    if (!c->stopping || !c->pipe_closed || c->client_count > 0)
        return;
    c->on_stopped(c->stop_ctx);
    mem_free(c->path);
    mem_free(c);
}

/* The memory stays until the call is answered: whoever answers holds it. */
static void release(struct client *k)
{
    struct control *c = k->control;

    if (k->open_handles > 0 || (k->asked && !k->answered))
        return;
    *k->at = k->next;
    if (k->next != NULL)
        k->next->at = k->at;
    c->client_count--;
    mem_free(k->answer);
    mem_free(k);
    settle(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct client *k = handle->data;

    k->open_handles--;
    release(k);
}

static void hang_up(struct client *k)
{
    if (k->gone)
        return;
    k->gone = true;
    uv_close((uv_handle_t *)&k->pipe, on_closed);
    uv_close((uv_handle_t *)&k->timer, on_closed);
}

/* --- a call ------------------------------------------------------------------------------------------------------ */

static void on_written(uv_write_t *write, int status)
{
    struct client *k = write->data;

    (void)status; /* a client that does not want its answer any more */
    hang_up(k);
}

void control_answer(struct control_call *call, char *text)
{
    struct client *k = &call->client;
    uv_buf_t buf;

    k->answered = true;
    k->answer = mem_printf("%s\n", text);
    mem_free(text);
    if (k->gone) {
        release(k);
        return;
    }
    buf = uv_buf_init(k->answer, (unsigned)strlen(k->answer));
    k->write.data = k;
    if (uv_write(&k->write, (uv_stream_t *)&k->pipe, &buf, 1, on_written) != 0)
        hang_up(k);
}

static void take_line(struct client *k)
{
    char *argument = strchr(k->line, ' ');

    (void)uv_timer_stop(&k->timer); /* stopping a timer cannot fail */
    k->asked = true;
    if (argument != NULL)
        *argument++ = 0;
    k->control->fn(k->control->ctx, (struct control_call *)k, k->line, argument != NULL ? argument : "");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *k = handle->data;

    (void)suggested;
    *buf = uv_buf_init(k->line + k->used, (unsigned)(CONTROL_LINE_MAX - k->used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *k = stream->data;
    char *end;

    (void)buf;
    if (n == UV_EOF && k->asked) {
        /* It has said all it had to say (nc -N), or it is gone: then the answer cannot be written.  Not to be read
         * again: the end would be reported for ever. */
        (void)uv_read_stop(stream); /* cannot fail */
        return;
    }
    if (n < 0) {
        hang_up(k); /* gone, or the line is too long (UV_ENOBUFS) */
        return;
    }
    if (k->asked)
        return; /* one line is all */
    k->used += (size_t)n;
    k->line[k->used] = 0;
    end = strchr(k->line, '\n');
    if (end == NULL)
        return;
    *end = 0;
    take_line(k);
}

static void on_idle(uv_timer_t *timer)
{
    hang_up(timer->data);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct control *c = server->data;
    struct control_call *call;
    struct client *k;
    int rc;

    if (status != 0)
        return;
    call = mem_new(sizeof *call);
    k = &call->client;
    k->control = c;
    k->next = c->clients;
    k->at = &c->clients;
    if (k->next != NULL)
        k->next->at = &k->next;
    c->clients = k;
    c->client_count++;
    k->pipe.data = k->timer.data = k;
    rc = uv_pipe_init(c->loop, &k->pipe, 0);
    assert(rc == 0);
    rc = uv_timer_init(c->loop, &k->timer);
    assert(rc == 0);
    k->open_handles = 2;
    if (uv_accept(server, (uv_stream_t *)&k->pipe) != 0 || c->client_count > CONTROL_CLIENTS_MAX
        || uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read) != 0
        || uv_timer_start(&k->timer, on_idle, CONTROL_IDLE_MS, 0) != 0)
        hang_up(k);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

/*
 * A socket address holds 107 bytes of path; a database may lie deeper.  Through a descriptor of its directory every
 * path is short.
 */
struct short_path {
    int dir;
    struct sockaddr_un addr;
};

static bool shorten(const char *path, struct short_path *out)
{
    const char *name = strrchr(path, '/');
    CLEANUP(mem_freep) char *dir = name == NULL ? mem_strdup(".") : mem_printf("%.*s", (int)(name - path + 1), path);
    int n;

    name = name == NULL ? path : name + 1;
    out->addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    out->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->dir < 0)
        return false;
    n = snprintf(out->addr.sun_path, sizeof out->addr.sun_path, "/proc/self/fd/%d/%s", out->dir, name);
    return n > 0 && (size_t)n < sizeof out->addr.sun_path;
}

static void short_path_fini(struct short_path *p)
{
    if (p->dir >= 0)
        (void)close(p->dir); /* only a reference to a directory */
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct control *c = handle->data;

    c->pipe_closed = true;
    settle(c);
}

static void ignore_stop(void *ctx)
{
    (void)ctx;
}

struct rc control_listen(
    struct control **out, uv_loop_t *loop, const char *path, control_fn fn, void *ctx, struct err *err)
{
    CLEANUP(short_path_fini) struct short_path at = {.dir = -1};
    struct control *c;
    mode_t mask;
    int rc;

    if (!shorten(path, &at))
        return rc_raise_sys(err, rc_from_errno(errno), errno, "control socket %s", path);
    (void)unlink(path); /* left over from a crash; the database's lock tells that nobody uses it */
    c = mem_new(sizeof *c);
    c->loop = loop;
    c->path = mem_strdup(path);
    c->fn = fn;
    c->ctx = ctx;
    rc = uv_pipe_init(loop, &c->pipe, 0);
    assert(rc == 0);
    c->pipe.data = c;
    mask = umask(0177); /* the socket is for its owner only from its first moment */
    rc = uv_pipe_bind(&c->pipe, at.addr.sun_path);
    (void)umask(mask);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&c->pipe, 64, on_connection);
    if (rc != 0) {
        control_stop(c, ignore_stop, NULL);
        return rc_raise(err, E_IO, "control socket %s: %s", path, uv_strerror(rc));
    }
    *out = c;
    return RC_OK;
}

void control_stop(struct control *c, void (*on_stopped)(void *ctx), void *ctx)
{
    c->stopping = true;
    c->on_stopped = on_stopped;
    c->stop_ctx = ctx;
    (void)unlink(c->path); /* it may be gone already */
    uv_close((uv_handle_t *)&c->pipe, on_pipe_closed);
    for (struct client *k = c->clients, *next; k != NULL; k = next) {
        next = k->next;
        if (!k->asked || k->answered)
            hang_up(k);
    }
}

/* --- the client's side
 * ------------------------------------------------------------------------------------------------ */

static struct rc read_answer(int fd, struct buf *answer, struct err *err)
{
    char chunk[4096];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return rc_raise(err, E_TIMEOUT, "the daemon did not answer in time");
        if (n < 0)
            return rc_raise_sys(err, E_IO, errno, "read the daemon's answer");
        if (n == 0)
            break;
        buf_put(answer, chunk, (size_t)n);
    }
    TRY(buf_check(answer, "the daemon's answer", err));
    if (answer->size == 0 || answer->data[answer->size - 1] != '\n')
        return rc_raise(err, E_IO, "the daemon hung up before it answered");
    buf_trim(answer, answer->size - 1);
    return RC_OK;
}

static struct rc ask(
    int fd, const struct sockaddr_un *addr, const char *line, uint64_t timeout_ms, struct buf *answer, struct err *err)
{
    CLEANUP(mem_freep) char *text = mem_printf("%s\n", line);
    struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000), .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
    size_t size = strlen(text);

    if (size > CONTROL_LINE_MAX)
        return rc_raise(err, E_CONFIG, "the request is too long");
    if (connect(fd, (const struct sockaddr *)addr, sizeof *addr) != 0)
        return rc_raise_sys(err, E_NOTFOUND, errno, "connect to the daemon");
    if (timeout_ms > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
        return rc_raise_sys(err, E_IO, errno, "set a time limit");
    if (send(fd, text, size, MSG_NOSIGNAL) != (ssize_t)size)
        return rc_raise_sys(err, E_IO, errno, "ask the daemon");
    return read_answer(fd, answer, err);
}

struct rc control_ask(const char *path, const char *line, uint64_t timeout_ms, struct buf *answer, struct err *err)
{
    CLEANUP(short_path_fini) struct short_path at = {.dir = -1};
    struct rc rc;
    int fd;

    if (!shorten(path, &at))
        return rc_raise_sys(err, E_NOTFOUND, errno, "control socket %s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return rc_raise_sys(err, E_IO, errno, "make a socket");
    rc = ask(fd, &at.addr, line, timeout_ms, answer, err);
    (void)close(fd); /* nothing is buffered in it */
    return rc_failed(rc) ? rc_wrap(err, "%s", path) : RC_OK;
}
