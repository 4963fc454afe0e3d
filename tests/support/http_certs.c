/* SPDX-License-Identifier: Apache-2.0 */
#include "http_certs.h"

#include <assert.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { DAY = 24 * 3600 };

static void extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert(ext != NULL);
    (void)X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* From `from` to `to`, in seconds from now; issued by `issuer` or by itself, not signed yet. */
static X509 *make(const char *name, long from, long to, EVP_PKEY *key, X509 *issuer)
{
    X509 *cert = X509_new();
    static long serial = 1;

    (void)X509_set_version(cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), from);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), to);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(
        X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(issuer == NULL ? cert : issuer));
    return cert;
}

SSL_CTX *http_certs_make(enum http_certs_kind kind, const char *ca_file)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    long from = kind == HTTP_CERTS_NOT_YET ? DAY : -2 * DAY, to = kind == HTTP_CERTS_EXPIRED ? -DAY : 2 * DAY;
    X509 *ca = make("test authority", -10 * DAY, 10 * DAY, ca_key, NULL), *cert;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    FILE *out = fopen(ca_file, "w");

    assert(tls != NULL);
    assert(out != NULL);
    extend(ca, NID_basic_constraints, "critical,CA:TRUE");
    assert(X509_sign(ca, ca_key, EVP_sha256()) > 0);
    (void)PEM_write_X509(out, ca);
    (void)fclose(out);
    cert = make("test server", from, to, key, kind == HTTP_CERTS_SELF_SIGNED ? NULL : ca);
    extend(cert, NID_subject_alt_name, kind == HTTP_CERTS_WRONG_HOST ? "DNS:other.example" : "IP:127.0.0.1");
    assert(X509_sign(cert, kind == HTTP_CERTS_SELF_SIGNED ? key : ca_key, EVP_sha256()) > 0);
    assert(SSL_CTX_use_certificate(tls, cert) == 1);
    assert(SSL_CTX_use_PrivateKey(tls, key) == 1);
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return tls;
}
