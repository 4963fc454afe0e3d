/* SPDX-License-Identifier: Apache-2.0 */
#include "http_ask.h"

#include "alloc.h"
#include "http_listen.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

static size_t on_body(char *data, size_t one, size_t size, void *ctx)
{
    struct buf *answer = ctx;

    (void)one; /* is 1 */
    buf_put(answer, data, size);
    return answer->failed == E_OK ? size : 0;
}

/* libcurl refuses only what it does not know or has no memory for. */
#define SET(curl, option, value)                                   \
    do {                                                           \
        CURLcode set_ = curl_easy_setopt((curl), option, (value)); \
        assert(set_ == CURLE_OK);                                  \
    } while (0)

static char *address(CURL *curl, const struct http_ask *what)
{
    char *escaped = what->path != NULL ? curl_easy_escape(curl, what->path, 0) : NULL, *out;

    assert((escaped != NULL) == (what->path != NULL));
    out = mem_printf("http://localhost/api/v1/%s%s%s%s%s%s", what->page,
        escaped != NULL || what->options != NULL ? "?" : "", escaped != NULL ? "path=" : "",
        escaped != NULL ? escaped : "", escaped != NULL && what->options != NULL ? "&" : "",
        what->options != NULL ? what->options : "");
    curl_free(escaped);
    return out;
}

/* One that is there and not for us is no sign that nobody listens. */
static bool is_refused(int sys)
{
    return sys == EACCES || sys == EPERM;
}

static struct rc refused(int sys, struct err *err)
{
    return rc_raise_sys(err, E_DENIED, sys, "a daemon answers only the user that it runs as, and root: connect to it");
}

static struct rc translate(CURLcode code, int sys, const struct buf *answer, struct err *err)
{
    if (code == CURLE_OK || answer->failed != E_OK)
        return buf_check(answer, "the daemon's answer", err);
    if (code == CURLE_COULDNT_CONNECT && is_refused(sys))
        return refused(sys, err);
    if (code == CURLE_COULDNT_CONNECT)
        return rc_raise(err, E_NOTFOUND, "connect to the daemon: nobody listens");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return rc_raise(err, E_TIMEOUT, "the daemon did not answer in time");
    if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE)
        return rc_raise(err, E_IO, "the daemon hung up before it answered");
    return rc_raise(err, E_IO, "ask the daemon: %s", curl_easy_strerror(code));
}

static struct rc ask(const char *short_path, const struct http_ask *what, struct buf *answer, struct err *err)
{
    CURL *curl = curl_easy_init();
    CURLcode code;
    long sys = 0;
    char *url;
    struct rc rc;

    if (curl == NULL)
        return rc_raise(err, E_NOMEM, "libcurl cannot begin");
    url = address(curl, what);
    SET(curl, CURLOPT_URL, url);
    SET(curl, CURLOPT_UNIX_SOCKET_PATH, short_path);
    SET(curl, CURLOPT_NOPROXY, "*");
    SET(curl, CURLOPT_NOSIGNAL, 1L);
    SET(curl, CURLOPT_TIMEOUT_MS, (long)what->timeout_ms);
    SET(curl, CURLOPT_WRITEFUNCTION, on_body);
    SET(curl, CURLOPT_WRITEDATA, answer);
    if (what->post)
        SET(curl, CURLOPT_POSTFIELDS, "");
    code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &sys); /* stays 0 where it is not known */
    rc = translate(code, (int)sys, answer, err);
    curl_easy_cleanup(curl);
    mem_free(url);
    return rc;
}

struct rc http_ask(const char *socket_path, const struct http_ask *what, struct buf *answer, struct err *err)
{
    CLEANUP(http_listen_short_fini) struct http_listen_short at = {.dir = -1};
    struct rc rc;

    if (http_listen_shorten(socket_path, &at))
        rc = ask(at.path, what, answer, err);
    else if (is_refused(errno))
        rc = refused(errno, err);
    else
        return rc_raise_sys(err, E_NOTFOUND, errno, "control socket %s", socket_path);
    return rc_failed(rc) ? rc_wrap(err, "%s", socket_path) : RC_OK;
}
