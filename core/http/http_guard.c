/* SPDX-License-Identifier: Apache-2.0 */
#include "http_guard.h"

#include "strx.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Take "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT" apart; `port` points behind the colon, or is NULL. */
static bool split(const char *text, char host[HTTP_HOST_SIZE], const char **port)
{
    const char *end, *begin = text;
    size_t size;

    if (*text == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        if (end == NULL || (end[1] != 0 && end[1] != ':'))
            return false;
        *port = end[1] == ':' ? end + 2 : NULL;
    } else {
        end = strchrnul(text, ':');
        if (*end == ':' && strchr(end + 1, ':') != NULL)
            return false; /* an IPv6 address needs brackets */
        *port = *end == ':' ? end + 1 : NULL;
    }
    size = (size_t)(end - begin);
    if (size == 0 || size >= HTTP_HOST_SIZE)
        return false;
    memcpy(host, begin, size);
    host[size] = 0;
    return true;
}

static bool is_ip(const char *host)
{
    struct in6_addr ignored;

    return inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1;
}

struct rc http_guard_init(struct http_guard *g, const char *listen, struct err *err)
{
    const char *port = NULL;
    uint64_t number;
    struct in6_addr six;

    *g = (struct http_guard){0};
    if (!split(listen, g->host, &port) || port == NULL)
        return rc_raise(err, E_CONFIG, "'%.200s' is not HOST:PORT or [IPV6]:PORT", listen);
    TRY_CTX(strx_u64(port, 0, UINT16_MAX, &number, err), err, "port of '%.200s'", listen);
    g->port = (uint16_t)number;
    g->any_address = strcmp(g->host, "0.0.0.0") == 0
                     || (inet_pton(AF_INET6, g->host, &six) == 1 && memcmp(&six, &in6addr_any, sizeof six) == 0);
    return RC_OK;
}

void http_guard_fini(struct http_guard *g)
{
    explicit_bzero(g->token, sizeof g->token);
    g->token_size = 0;
    g->has_token = false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct rc http_guard_set_token(struct http_guard *g, const char *text, size_t size, struct err *err)
{
    while (size > 0 && is_space(text[size - 1]))
        size--;
    while (size > 0 && is_space(*text)) {
        text++;
        size--;
    }
    if (size < HTTP_TOKEN_MIN || size > HTTP_TOKEN_MAX)
        return rc_raise(
            err, E_CONFIG, "a token of %zu bytes: it must have %d to %d", size, HTTP_TOKEN_MIN, HTTP_TOKEN_MAX);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return rc_raise(err, E_CONFIG, "a token of which byte %zu is not a printable character of ASCII", i + 1);
    explicit_bzero(g->token, sizeof g->token);
    memcpy(g->token, text, size);
    g->token_size = size;
    g->has_token = true;
    return RC_OK;
}

bool http_guard_is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in four;

        memcpy(&four, addr, sizeof four);
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 six;

        memcpy(&six, addr, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr)
               || (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/* The port is not compared: it is another one behind a port that is passed on. */
bool http_guard_host_ok(const struct http_guard *g, const char *host)
{
    char name[HTTP_HOST_SIZE];
    const char *port;

    if (g->owner_only)
        return true;
    if (host == NULL || !split(host, name, &port))
        return false;
    if (strcasecmp(name, "localhost") == 0 || strcasecmp(name, g->host) == 0)
        return true;
    if (strcasecmp(g->host, "localhost") == 0)
        return strcmp(name, "127.0.0.1") == 0 || strcmp(name, "::1") == 0;
    return g->any_address && is_ip(name); /* a number cannot be made to point elsewhere */
}

/* The page must be one of ours: from the very address that it asks. */
bool http_guard_origin_ok(const struct http_guard *g, const char *origin, const char *host)
{
    if (origin == NULL)
        return true; /* not a browser */
    if (g->owner_only || host == NULL)
        return false; /* no browser opens such a socket */
    return strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}

bool http_guard_token_ok(const struct http_guard *g, const char *authorization)
{
    volatile uint8_t differs = 0;
    uint8_t given[HTTP_TOKEN_MAX] = {0};
    size_t size;

    if (!g->has_token)
        return true;
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    size = strnlen(authorization + 7, sizeof given + 1);
    if (size > sizeof given)
        return false;
    memcpy(given, authorization + 7, size);
    for (size_t i = 0; i < sizeof given; i++)
        differs = (uint8_t)(differs | (given[i] ^ g->token[i]));
    explicit_bzero(given, sizeof given);
    return differs == 0 && size == g->token_size;
}
