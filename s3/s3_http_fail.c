/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_http_intern.h"

#include <openssl/x509_vfy.h>
#include <string.h>

enum { URL_MAX = 512 };

enum err_code s3_http_fail_code(CURLcode code, bool sent)
{
    switch ((int)code) {
    case CURLE_OUT_OF_MEMORY:
        return E_NOMEM;
    case CURLE_OPERATION_TIMEDOUT:
        return E_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the answer (HTTP/0.9), or of the URL */
        return sent ? E_CORRUPT : E_CONFIG;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
        return E_CORRUPT;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_LOGIN_DENIED: /* CURLOPT_DISALLOW_USERNAME_IN_URL */
        return E_CONFIG;
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
        return E_UNSUPPORTED;
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_BAD_CALLING_ORDER:
    case CURLE_ABORTED_BY_CALLBACK:
        return E_BUG;
    default: /* name, connection, TLS, proxy, cut answers, and what later versions may add: try again */
        return E_NETWORK;
    }
}

void s3_http_fail_url(const char *url, struct buf *out)
{
    size_t n = strcspn(url, "?#");
    const char *host = strstr(url, "://"), *at;

    host = host != NULL && host < url + n ? host + 3 : url;
    at = memchr(host, '@', (size_t)(url + n - host));
    if (at != NULL && memchr(host, '/', (size_t)(at - host)) == NULL) {
        buf_put(out, url, (size_t)(host - url));
        buf_text(out, "...");
        buf_put(out, at, (size_t)(url + n - at));
    } else
        buf_put(out, url, n);
}

struct rc s3_http_fail_wrap(const struct s3_http_req *req, struct err *err)
{
    struct buf url;
    struct rc rc;

    buf_init(&url, S3_HTTP_URL_MAX);
    s3_http_fail_url(req->url, &url);
    rc = rc_wrap(err, "%s %.*s", req->method, URL_MAX, buf_str(&url));
    buf_fini(&url);
    return rc;
}

/* What a certificate that was not accepted means for the person who has to do something about it; NULL when libcurl's
 * own text says it all. */
static const char *about_certificate(const struct s3_http_job *job)
{
    long verdict = X509_V_OK;

    (void)curl_easy_getinfo(job->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    switch (verdict) {
    case X509_V_OK:
    case X509_V_ERR_UNSPECIFIED: /* the chain was fine, and libcurl looked at the name by itself */
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "the server's certificate is for another host name; is the endpoint right?";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the server's certificate has expired, or the clock of this machine is wrong";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the server's certificate is not valid yet, or the clock of this machine is wrong";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "the server's certificate comes from an authority that this machine does not trust; if it is the right "
               "one, name its certificate with ca-file";
    default:
        return "the server's certificate is not acceptable";
    }
}

/* libcurl's text, unless it quotes something that may hold a password. */
static const char *safe_text(const struct s3_http_job *job, CURLcode code)
{
    if (job->text[0] == 0)
        return curl_easy_strerror(code);
    if (strchr(job->text, '@') != NULL || strstr(job->text, "proxy syntax") != NULL
        || strstr(job->text, "proxy scheme") != NULL)
        return "an address that cannot be used, of a proxy perhaps";
    return job->text;
}

struct rc s3_http_fail_raise(const struct s3_http_job *job, CURLcode code, struct err *err)
{
    enum err_code ours = s3_http_fail_code(code, job->sends > 0);
    const char *text = safe_text(job, code);
    long sys = 0;
    struct rc rc;

    if (code == CURLE_COULDNT_CONNECT)
        (void)curl_easy_getinfo(job->easy, CURLINFO_OS_ERRNO, &sys);
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(text, "asn1 encoding") != NULL)
        /* What OpenSSL 3.0 says when an authority of the right name has another key. */
        rc = rc_raise(err, ours,
            "a signature in the server's certificate does not fit the authority of that name here; was that made anew? "
            "%s "
            "(curl %d)",
            text, (int)code);
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        rc = rc_raise(err, ours, "%s: %s (curl %d)", about_certificate(job), text, (int)code);
    else if (code == CURLE_SSL_CACERT_BADFILE)
        rc = rc_raise(err, ours, "the CA file %s cannot be used: %s (curl %d)",
            job->http->ca_file == NULL ? "of this system" : job->http->ca_file, text, (int)code);
    else
        rc = rc_raise_sys(err, ours, (int)sys, "%s (curl %d)", text, (int)code);
    rc_ignore(rc, "the request's name is added and gives it again");
    return s3_http_fail_wrap(job->req, err);
}
