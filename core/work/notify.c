/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include "strx.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* A path, or '@' and a name in the abstract name space, where a zero takes the place of the '@'. */
static struct rc set_address(struct notify *n, const char *address, struct err *err)
{
    size_t size = strlen(address);

    if (address[0] != '/' && address[0] != '@')
        return rc_raise(err, E_CONFIG, "NOTIFY_SOCKET is neither a path nor '@' and a name: %.128s", address);
    if (size < 2 || size >= sizeof n->address.sun_path)
        return rc_raise(err, E_CONFIG, "NOTIFY_SOCKET: a socket's name has 2 to %zu bytes, this one %zu",
            sizeof n->address.sun_path - 1, size);
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, address, size);
    if (address[0] == '@')
        n->address.sun_path[0] = 0;
    n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (address[0] == '/' ? 1 : 0));
    return RC_OK;
}

/* It may be meant for another process, whose environment this one has inherited. */
static struct rc set_watchdog(struct notify *n, const char *usec, const char *pid, struct err *err)
{
    uint64_t number;

    if (usec == NULL)
        return RC_OK;
    if (pid != NULL) {
        TRY_CTX(strx_u64(pid, 1, INT32_MAX, &number, err), err, "WATCHDOG_PID");
        if ((pid_t)number != getpid())
            return RC_OK;
    }
    TRY_CTX(strx_u64(usec, 1, UINT64_MAX, &number, err), err, "WATCHDOG_USEC");
    n->watchdog_ms = number / 1000 + (number < 1000);
    return RC_OK;
}

struct rc notify_open(
    struct notify *n, const char *address, const char *watchdog_usec, const char *watchdog_pid, struct err *err)
{
    *n = (struct notify){.fd = -1};
    if (address == NULL || address[0] == 0)
        return RC_OK;
    TRY(set_address(n, address, err));
    TRY(set_watchdog(n, watchdog_usec, watchdog_pid, err));
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd < 0)
        return rc_raise_sys(err, E_IO, errno, "a socket for the service manager");
    n->open = true;
    return RC_OK;
}

struct rc notify_send(struct notify *n, const char *text, struct err *err)
{
    size_t size = strlen(text);
    ssize_t sent;

    if (!n->open)
        return RC_OK;
    do {
        sent = sendto(n->fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&n->address, n->address_size);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        return rc_raise(err, E_BUSY, "tell the service manager: it does not read what it was told before");
    if (sent < 0)
        return rc_raise_sys(err, E_IO, errno, "tell the service manager");
    return RC_OK; /* a datagram goes whole or not at all */
}

void notify_close(struct notify *n)
{
    if (n->open)
        (void)close(n->fd); /* nothing is buffered in it */
    n->open = false;
}
