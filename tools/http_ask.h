/* SPDX-License-Identifier: Apache-2.0 */
/* http_ask - one request to a daemon's control socket, for commands; blocking. */
#ifndef HTTP_ASK_H
#define HTTP_ASK_H

#include "buf.h"

enum { HTTP_ASK_MAX = 256 << 20 }; /* bytes of an answer: the status of 10,000 databases is a tenth of it */

struct http_ask {
    const char *page;    /* "status", below /api/v1/ */
    const char *path;    /* of the database; NULL: none */
    const char *options; /* "wait=1&timeout=3s"; NULL: none */
    bool post;
    uint64_t timeout_ms; /* 0: none */
};

/* Ask the daemon that listens at `socket_path`.  The answer is its body, whatever its status is.  E_NOTFOUND: nobody
 * listens; E_TIMEOUT. */
MUST_USE struct rc http_ask(const char *socket_path, const struct http_ask *what, struct buf *answer, struct err *err);

#endif
