/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_certs - TLS servers for tests, with certificates made on the spot for 127.0.0.1.
 */
#ifndef HTTP_CERTS_H
#define HTTP_CERTS_H

#include <openssl/ssl.h>

enum http_certs_kind {
    HTTP_CERTS_GOOD,
    HTTP_CERTS_WRONG_HOST,
    HTTP_CERTS_EXPIRED,
    HTTP_CERTS_NOT_YET,
    HTTP_CERTS_SELF_SIGNED, /* by nobody else */
};

/* A server's context; free it with SSL_CTX_free().  The certificate of the authority that signed is written to
 * `ca_file` as PEM. */
SSL_CTX *http_certs_make(enum http_certs_kind kind, const char *ca_file);

#endif
