/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_guard - who may ask at a listener, decided from the address it listens at and the headers of a request.  Pure.
 *
 * A page in somebody's browser can send requests to loopback addresses, and by a name of its own that suddenly points
 * there even read the answers (DNS rebinding).  So a request must name, in Host, the address that is listened at or
 * localhost; and a request that changes something must not come from another origin.  Whoever has the token is no
 * browser that was tricked, and may use any name.
 *
 * The control socket has file permissions instead: nothing is checked there but the origin.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "rc.h"

#include <netinet/in.h>
#include <stdint.h>

enum { HTTP_TOKEN_MIN = 16, HTTP_TOKEN_MAX = 256, HTTP_HOST_SIZE = 256 };

struct http_guard {
    bool owner_only;           /* a socket that only its owner can open */
    char host[HTTP_HOST_SIZE]; /* that is listened at: an IP address or a name, without brackets */
    uint16_t port;
    bool any_address; /* 0.0.0.0, [::] */
    bool has_token;
    uint8_t token[HTTP_TOKEN_MAX]; /* wiped by http_guard_fini() */
    size_t token_size;
};

/* "HOST:PORT", "[IPV6]:PORT". E_CONFIG. */
MUST_USE struct rc http_guard_init(struct http_guard *g, const char *listen, struct err *err);
void http_guard_fini(struct http_guard *g);
/* White space around it is ignored.  E_CONFIG when it is too short, too long, or not printable ASCII. */
MUST_USE struct rc http_guard_set_token(struct http_guard *g, const char *text, size_t size, struct err *err);
/* Does this address (AF_INET, AF_INET6) reach this machine only? */
bool http_guard_is_loopback(const struct sockaddr *addr);

/* Headers that were not sent are NULL. */
bool http_guard_host_ok(const struct http_guard *g, const char *host);
bool http_guard_origin_ok(const struct http_guard *g, const char *origin, const char *host);
/* The time that it takes does not tell how much of the token was right.  True where no token is asked for. */
bool http_guard_token_ok(const struct http_guard *g, const char *authorization);

#endif
