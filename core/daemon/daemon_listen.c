/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "http_listen.h"
#include "local_lock.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Connections.  Whoever waits for a sync keeps one, and those of the owner may be thousands. */
enum { OWNER_MAX = 4096, TCP_MAX = 128, TOKEN_FILE_MAX = 4096 };

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static char *copy_text(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

/* Each connection is a descriptor, and each database some: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG_WARN("the limit of open files stays as it is", F_STR("error", strerrordesc_np(errno)));
}

static struct rc read_token(const struct fsys *fs, const char *file, struct http_guard *g, struct err *err)
{
    struct buf text;
    struct err why;
    struct rc rc;

    buf_init(&text, TOKEN_FILE_MAX);
    rc = fsys_read_file(fs, file, &text, err);
    if (!rc_failed(rc))
        rc = http_guard_set_token(g, buf_str(&text), text.size, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    buf_fini(&text);
    if (!rc_failed(rc))
        return RC_OK;
    why = *err;
    return rc_raise(err, E_CONFIG, "token file %s: %s", file, why.msg); /* whatever it is, the settings are wrong */
}

static struct rc listen_tcp(struct daemon *d, struct err *err)
{
    int fd = -1;

    TRY(http_guard_init(&d->tcp_guard, d->http_listen, err));
    if (d->token_file != NULL)
        TRY(read_token(d->fs, d->token_file, &d->tcp_guard, err));
    TRY_CTX(http_listen_tcp(&d->tcp_guard, &fd, err), err, "http.listen %s", d->http_listen);
    d->tcp = http_server_listen(d->http, fd, &d->tcp_guard, TCP_MAX);
    LOG_INFO("listening", F_STR("http", d->tcp_guard.host), F_U64("port", d->tcp_guard.port));
    return RC_OK;
}

static struct rc listen_owner(struct daemon *d, const char *path, struct http_listener **out, struct err *err)
{
    int fd = -1;

    TRY(http_listen_unix(path, &fd, err));
    *out = http_server_listen(d->http, fd, &d->owner_guard, OWNER_MAX);
    return RC_OK;
}

/* What is not listened at yet. */
static struct rc listen_at_all(struct daemon *d, struct err *err)
{
    struct rc rc = RC_OK;

    if (d->socket_path != NULL && d->control == NULL)
        rc = listen_owner(d, d->socket_path, &d->control, err);
    if (rc.code == E_NOTFOUND) /* of the backup this would say something else */
        return rc_raise(err, E_CONFIG, "control socket %s: its folder is not there", d->socket_path);
    TRY(rc);
    if (d->http_listen != NULL && d->tcp == NULL)
        TRY(listen_tcp(d, err));
    return RC_OK;
}

struct rc daemon_listen_begin(struct daemon *d, const struct daemon_settings *settings, struct err *err)
{
    bool standby = d->child.command != NULL && d->child.command->standby;
    struct rc rc;

    raise_descriptor_limit();
    d->owner_guard.owner_only = true;
    d->socket_path = copy_text(settings->socket_path);
    d->http_listen = copy_text(settings->http_listen);
    d->token_file = copy_text(settings->token_file);
    TRY(http_server_start(&d->http, &d->loop, daemon_http_call, d, err));
    rc = listen_at_all(d, err);
    return standby && rc_failed(rc) && err->sys == EADDRINUSE ? RC_OK : rc; /* daemon_listen_turn() tries again */
}

bool daemon_listen_turn(struct daemon *d)
{
    struct err err;

    if (!rc_failed(listen_at_all(d, &err)))
        return true;
    if (d->child.told_listen != err.code && err.sys == EADDRINUSE)
        LOG_INFO("standing by: another process has the address", F_ERR(&err));
    else if (d->child.told_listen != err.code)
        LOG_WARN("standing by: cannot listen, will try again", F_ERR(&err));
    d->child.told_listen = err.code;
    return false;
}

/* A socket that moves would cut off those who wait on it. */
struct rc daemon_listen_reload(struct daemon *d, const struct daemon_settings *settings, struct err *err)
{
    if (!same_text(d->socket_path, settings->socket_path))
        return rc_raise(err, E_CONFIG, "the control socket cannot change while the daemon runs: restart it for that");
    if (!same_text(d->http_listen, settings->http_listen) || !same_text(d->token_file, settings->token_file))
        return rc_raise(
            err, E_CONFIG, "http.listen and http.token-file cannot change while the daemon runs: restart it for that");
    return d->token_file != NULL ? read_token(d->fs, d->token_file, &d->tcp_guard, err) : RC_OK;
}

void daemon_listen_close(struct http_listener **l, const char *path)
{
    struct err err;

    if (*l == NULL)
        return;
    http_server_unlisten(*l);
    *l = NULL;
    if (path != NULL)
        rc_ignore(fsys_remove(&fsys_real, path, &err), "a left-over socket is replaced by the next process");
}

void daemon_listen_end(struct daemon *d)
{
    daemon_listen_close(&d->control, d->socket_path);
    daemon_listen_close(&d->tcp, NULL);
}

struct rc daemon_listen_member(struct daemon_member *m, struct err *err)
{
    struct daemon *d = m->daemon;

    if (d->control != NULL)
        return local_state_announce(m->db.local, d->socket_path, err);
    if (m->item != NULL && m->item->folder->control != NULL)
        return local_state_announce(m->db.local, m->item->folder->socket_path, err);
    m->socket_path = mem_printf("%s/control.sock", m->db.state_dir);
    TRY(listen_owner(d, m->socket_path, &m->control, err));
    return local_state_announce(m->db.local, m->socket_path, err);
}

struct rc daemon_listen_folder(struct daemon_folder *f, struct err *err)
{
    struct daemon *d = f->daemon;

    if (d->control == NULL && f->control == NULL)
        TRY(listen_owner(d, f->socket_path, &f->control, err));
    return local_lock_announce(
        d->fs, f->state_dir, f->lock_fd, d->control != NULL ? d->socket_path : f->socket_path, err);
}
