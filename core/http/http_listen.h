/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_listen - listening sockets: a Unix socket for its owner only (0600), and TCP.  The paths of Unix sockets may be
 * longer than a socket address allows.
 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include "http_guard.h"

enum { HTTP_LISTEN_BACKLOG = 1024 }; /* many wait at once for one sync */

/* A left-over socket there is replaced; anything else is not.  E_FENCED, with EADDRINUSE: somebody listens there. */
MUST_USE struct rc http_listen_unix(const char *path, int *fd, struct err *err);
/* At the guard's address, which gets the port when it asks for any.  E_CONFIG: reachable from other machines without a
 * token. */
MUST_USE struct rc http_listen_tcp(struct http_guard *g, int *fd, struct err *err);

/*
 * A socket address holds 107 bytes of path; a database may lie deeper.  Through a descriptor of its directory every
 * path is short: that text is good as long as `dir` is open.
 */
struct http_listen_short {
    int dir;
    char path[108];
};
bool http_listen_shorten(const char *path, struct http_listen_short *out); /* false: errno tells why */
void http_listen_short_fini(struct http_listen_short *s);

#endif
