/* SPDX-License-Identifier: Apache-2.0 */
#include "http_listen.h"

#include "alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- Unix --------------------------------------------------------------------------------------------------------- */

bool http_listen_shorten(const char *path, struct http_listen_short *out)
{
    const char *name = strrchr(path, '/');
    CLEANUP(mem_freep) char *dir = name == NULL ? mem_strdup(".") : mem_printf("%.*s", (int)(name - path + 1), path);
    int n;

    name = name == NULL ? path : name + 1;
    out->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->dir < 0)
        return false;
    n = snprintf(out->path, sizeof out->path, "/proc/self/fd/%d/%s", out->dir, name);
    if (n > 0 && (size_t)n < sizeof out->path)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

void http_listen_short_fini(struct http_listen_short *s)
{
    if (s->dir >= 0)
        (void)close(s->dir); /* only a reference to a directory */
}

static struct sockaddr_un address_of(const char *short_path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memcpy(addr.sun_path, short_path, strlen(short_path) + 1);
    return addr;
}

/* The socket is for its owner only from its first moment: Linux gives the name the mode that the descriptor has.  A
 * umask would be that of all threads, which make files and folders meanwhile. */
static bool bind_and_listen(int fd, const char *short_path)
{
    const struct sockaddr_un addr = address_of(short_path);

    return fchmod(fd, 0600) == 0 && bind(fd, (const struct sockaddr *)&addr, sizeof addr) == 0
           && listen(fd, HTTP_LISTEN_BACKLOG) == 0;
}

/* The process that listens there; 0: there is none, -1: there is one, and the system does not say which. */
static pid_t find_listener(const char *short_path)
{
    const struct sockaddr_un addr = address_of(short_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct ucred other = {.pid = -1};
    socklen_t size = sizeof other;
    pid_t found = 0;

    if (fd < 0)
        return 0; /* the socket that we want cannot be had either, and that is told */
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0)
        found = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &size) == 0 && other.pid > 0 ? other.pid : -1;
    else if (errno == EAGAIN)
        found = -1;  /* so many wait there that there is no room for us */
    (void)close(fd); /* nothing was said */
    return found;
}

static struct rc make_room(const char *path, const char *short_path, struct err *err)
{
    struct stat st;
    pid_t other;

    if (lstat(path, &st) != 0)
        return RC_OK; /* what is wrong with it, the bind tells */
    if (!S_ISSOCK(st.st_mode))
        return rc_raise(err, E_CONFIG, "control socket %s: there is a file that is not a socket", path);
    other = find_listener(short_path);
    if (other > 0)
        return rc_raise_sys(
            err, E_FENCED, EADDRINUSE, "control socket %s: process %ld answers there", path, (long)other);
    if (other < 0)
        return rc_raise_sys(err, E_FENCED, EADDRINUSE, "control socket %s: another process answers there", path);
    (void)unlink(path); /* left over from a crash */
    return RC_OK;
}

struct rc http_listen_unix(const char *path, int *fd, struct err *err)
{
    CLEANUP(http_listen_short_fini) struct http_listen_short at = {.dir = -1};
    int made;

    if (!http_listen_shorten(path, &at))
        return rc_raise_sys(err, rc_from_errno(errno), errno, "control socket %s", path);
    TRY(make_room(path, at.path, err));
    made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "control socket %s", path);
    if (!bind_and_listen(made, at.path)) {
        struct rc rc = rc_raise_sys(err, rc_from_errno(errno), errno, "control socket %s", path);

        (void)close(made); /* nobody used it */
        return rc;
    }
    *fd = made;
    return RC_OK;
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

/* Of the addresses that the name has, the first one that can be had. */
static int bind_one_of(const struct addrinfo *list)
{
    int on = 1;

    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
            continue;
        /* A port that a former process has just left may be taken at once. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0
            && listen(fd, HTTP_LISTEN_BACKLOG) == 0)
            return fd;
        (void)close(fd); /* nobody used it */
    }
    return -1;
}

static bool all_loopback(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        if (!http_guard_is_loopback(a->ai_addr))
            return false;
    return true;
}

static void learn_port(struct http_guard *g, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } at = {0};
    socklen_t size = sizeof at;

    if (getsockname(fd, &at.any, &size) == 0) /* of our own socket */
        g->port = ntohs(at.any.sa_family == AF_INET6 ? at.six.sin6_port : at.four.sin_port);
}

struct rc http_listen_tcp(struct http_guard *g, int *fd, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    bool local;
    int rc, made;

    (void)snprintf(port, sizeof port, "%u", (unsigned)g->port); /* fits */
    rc = getaddrinfo(g->host, port, &hints, &list);
    if (rc != 0)
        return rc_raise(err, E_CONFIG, "listen at %s: %s", g->host, gai_strerror(rc));
    local = all_loopback(list);
    made = local || g->has_token ? bind_one_of(list) : -1;
    rc = errno;
    freeaddrinfo(list);
    if (!local && !g->has_token)
        return rc_raise(err, E_CONFIG,
            "listen at %s: other machines can reach this address: name a token file (http.token-file), or listen at "
            "127.0.0.1",
            g->host);
    if (made < 0)
        return rc_raise_sys(err, rc_from_errno(rc), rc, "listen at %s port %u", g->host, (unsigned)g->port);
    learn_port(g, made);
    *fd = made;
    return RC_OK;
}
