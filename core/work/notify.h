/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify - tells a service manager how the process is: datagrams to the socket that $NOTIFY_SOCKET names, as
 * sd_notify(3) describes them, without libsystemd.
 *
 *     notify_open(&n, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), err)
 *     notify_send(&n, "READY=1", err)
 *     notify_close(&n)
 *
 * Without an address nothing is opened, and nothing sent.  A send never waits: a service manager that does not read is
 * E_BUSY.
 *
 * Errors: E_CONFIG for an address or a time that nobody can use.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "rc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { NOTIFY_TEXT_MAX = 2048 };

struct notify {
    bool open;
    int fd;
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_ms; /* a sign of life is expected within it; 0: none is */
};

/* The arguments are those of the environment, NULL where it has none. */
MUST_USE struct rc notify_open(
    struct notify *n, const char *address, const char *watchdog_usec, const char *watchdog_pid, struct err *err);
/* One or more lines NAME=value; nothing happens when it is not open. */
MUST_USE struct rc notify_send(struct notify *n, const char *text, struct err *err);
void notify_close(struct notify *n);

#endif
