/* SPDX-License-Identifier: Apache-2.0 */
/* http_script_intern - a connection of the scripted server, for the two halves of it: http_script.c takes requests and
 * says what becomes of them, http_script_send.c sends answers. */
#ifndef HTTP_SCRIPT_INTERN_H
#define HTTP_SCRIPT_INTERN_H

#include "http_script.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { HTTP_SCRIPT_READ_SIZE = 65536 };

struct http_bytes {
    uint8_t *data;
    size_t size, room;
};

struct http_conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    struct http_script *script;
    struct http_conn *next, **prev;
    unsigned number, open_handles;
    SSL *tls;
    BIO *tls_in, *tls_out; /* owned by tls */
    struct http_bytes in, out;
    size_t out_at, head_size;
    struct http_answer answer; /* what is being sent; only its plain fields are used */
    bool answering, closing;
    uint8_t scratch[HTTP_SCRIPT_READ_SIZE];
};

static inline void *http_script_must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static inline void http_bytes_put(struct http_bytes *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    if (b->size + n > b->room) {
        b->room = (b->size + n) * 2;
        b->data = http_script_must(realloc(b->data, b->room));
    }
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

/* http_script.c */
/* The connection ends, in order or with a reset; twice is fine. */
void http_script_drop(struct http_conn *c, bool reset);
/* Answer the next request, if it is whole and no answer is on its way. */
void http_script_serve(struct http_conn *c);

/* http_script_send.c */
/* Begin to answer; http_script_serve() is called behind the last byte, where the connection lives on.  `head`: the
 * headers only. */
void http_script_send(struct http_conn *c, const struct http_answer *a, bool head);
/* What TLS wants to say of itself. */
void http_script_send_tls(struct http_conn *c);

#endif
