/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_http_intern.h"

#include "alloc.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECEIVE_SIZE = 64 << 10, /* what libcurl reads at a time: four pieces to us for one system call */
    CA_CACHE_S = 10, /* a file of authorities that was put right helps without a restart; libcurl's own is a day */
    STATUS_ERROR = 300,
};

/* --- what libcurl asks for and delivers -------------------------------------------------------------------------- */

/* End the transfer from inside a callback: libcurl is told with its own code, the reason is kept here. */
#define REFUSE(job, code, ...) ((job)->refused = rc_raise(&(job)->req->err, code, __VA_ARGS__))

/* Children of ours (credential processes) must not inherit connections. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *at)
{
    (void)ctx;
    (void)purpose;
    return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

/* Runs each time when a connection stands and the request is about to be sent. */
static int on_sending(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct s3_http_job *job = ctx;

    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    job->sends++;
    return CURL_PREREQFUNC_OK;
}

static size_t on_body_wanted(char *to, size_t size, size_t count, void *ctx)
{
    struct s3_http_job *job = ctx;
    const struct span *body = &job->req->body;
    size_t n = size * count, left = body->size - job->body_at, piece = s3_http_rate_piece(&job->http->up);

    n = n < left ? n : left;
    n = n < piece ? n : piece;
    if (n == 0)
        return 0;
    if (!s3_http_rate_take(&job->http->up, &job->up, n))
        return CURL_READFUNC_PAUSE;
    memcpy(to, body->data + job->body_at, n);
    job->body_at += n;
    return n;
}

/* libcurl sends the request again on another connection. */
static int on_rewind(void *ctx, curl_off_t offset, int origin)
{
    struct s3_http_job *job = ctx;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > job->req->body.size)
        return CURL_SEEKFUNC_FAIL;
    job->body_at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void forget_headers(struct s3_http_req *req)
{
    for (size_t i = 0; i < req->answer_header_count; i++) {
        mem_free(req->answer_headers[i].name);
        mem_free(req->answer_headers[i].value);
    }
    req->answer_header_count = 0;
}

static char *copy_of(const char *from, const char *to)
{
    char *text = mem_new((size_t)(to - from) + 1); /* at most S3_HTTP_HEADER_BYTES_MAX */

    memcpy(text, from, (size_t)(to - from));
    return text;
}

/* "Name: value" without white space around either. */
static void keep_header(struct s3_http_req *req, const char *line, const char *end)
{
    const char *colon = memchr(line, ':', (size_t)(end - line)), *value;
    struct s3_http_field *field;

    if (colon == NULL || colon == line)
        return; /* the empty line at the end, or a line without meaning */
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    if (req->answer_headers == NULL)
        req->answer_headers = mem_new(S3_HTTP_HEADERS_MAX * sizeof *req->answer_headers);
    field = &req->answer_headers[req->answer_header_count++];
    field->name = copy_of(line, colon);
    field->value = copy_of(value, end);
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct s3_http_job *job = ctx;
    struct s3_http_req *req = job->req;
    size_t n = size * count;

    if (job->in_body)
        return n; /* trailers of a chunked body */
    /* A status line begins a new answer: what came before was an interim one (1xx). */
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        forget_headers(req);
        return n;
    }
    job->header_bytes += n;
    if (job->header_bytes > S3_HTTP_HEADER_BYTES_MAX) {
        REFUSE(job, E_CORRUPT, "the answer has more than %d bytes of headers", S3_HTTP_HEADER_BYTES_MAX);
        return 0;
    }
    if (req->answer_header_count == S3_HTTP_HEADERS_MAX && n > 2) {
        REFUSE(job, E_CORRUPT, "the answer has more than %d headers", S3_HTTP_HEADERS_MAX);
        return 0;
    }
    keep_header(req, line, line + n);
    return n;
}

/* The first piece: how much will it be, and may it? */
static bool prepare_data(struct s3_http_job *job)
{
    struct s3_http_req *req = job->req;
    curl_off_t announced = -1;
    long status = 0;

    job->in_body = true;
    (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced); /* fails: it stays -1 */
    /* Whoever asks for ten bytes must still be able to read why there are none. */
    if (status >= STATUS_ERROR && req->data.max < S3_HTTP_ERROR_BYTES_MAX)
        req->data.max = S3_HTTP_ERROR_BYTES_MAX;
    if (announced <= 0)
        return true;
    if ((uint64_t)announced > req->data.max) {
        REFUSE(job, E_CORRUPT, "the answer has %lld bytes where at most %zu were expected", (long long)announced,
            req->data.max);
        return false;
    }
    /* Room at once, so that a large body is not copied as it grows.  Without memory the append fails, too. */
    if (buf_grow(&req->data, (size_t)announced) != NULL)
        buf_trim(&req->data, 0);
    return true;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct s3_http_job *job = ctx;
    struct s3_http_req *req = job->req;
    size_t n = size * count;

    if (!job->in_body && !prepare_data(job))
        return CURL_WRITEFUNC_ERROR;
    if (!s3_http_rate_take(&job->http->down, &job->down, n))
        return CURL_WRITEFUNC_PAUSE; /* the same bytes come again */
    buf_put(&req->data, data, n);
    if (req->data.failed == E_OK)
        return n;
    if (req->data.failed == E_NOMEM)
        REFUSE(job, E_NOMEM, "no memory for an answer of more than %zu bytes", req->data.size);
    else
        REFUSE(job, E_CORRUPT, "the answer has more than the %zu bytes that were expected at most", req->data.max);
    return CURL_WRITEFUNC_ERROR;
}

static void on_turn(struct s3_http_turn *turn)
{
    struct s3_http_job *job = turn->ctx;
    CURLcode code = curl_easy_pause(job->easy, CURLPAUSE_CONT);

    /* It delivers what it kept, and then what our callback says is only told here. */
    if (code != CURLE_OK)
        s3_http_job_doom(job, code);
}

/* --- options ----------------------------------------------------------------------------------------------------- */

/* The first option that is not taken is kept; the caller looks at the end. */
#define SET(job, option, value)                                                     \
    do {                                                                            \
        CURLcode taken_ = curl_easy_setopt((job)->easy, CURLOPT_##option, (value)); \
        if ((job)->setup == CURLE_OK)                                               \
            (job)->setup = taken_;                                                  \
    } while (0)

static void set_callbacks(struct s3_http_job *job)
{
    SET(job, PRIVATE, job);
    SET(job, ERRORBUFFER, job->text);
    SET(job, OPENSOCKETFUNCTION, on_open_socket);
    SET(job, PREREQFUNCTION, on_sending);
    SET(job, PREREQDATA, job);
    SET(job, HEADERFUNCTION, on_header);
    SET(job, HEADERDATA, job);
    SET(job, WRITEFUNCTION, on_data);
    SET(job, WRITEDATA, job);
    SET(job, READFUNCTION, on_body_wanted);
    SET(job, READDATA, job);
    SET(job, SEEKFUNCTION, on_rewind);
    SET(job, SEEKDATA, job);
}

/* What is the same for all requests. */
static void set_transport(struct s3_http_job *job)
{
    const struct s3_http *http = job->http;
    uint64_t stall_ms = job->req->stall_ms == 0 ? http->stall_ms : job->req->stall_ms;

    SET(job, NOSIGNAL, 1L);
    SET(job, PROTOCOLS_STR, "http,https");
    SET(job, DISALLOW_USERNAME_IN_URL, 1L);
    SET(job, PATH_AS_IS, 1L); /* a key may hold "/../", and the path is signed as it is */
    SET(job, FOLLOWLOCATION, 0L);
    SET(job, NETRC, (long)CURL_NETRC_IGNORED);
    SET(job, HTTP09_ALLOWED, 0L);
    SET(job, HTTP_CONTENT_DECODING, 0L);
    SET(job, SUPPRESS_CONNECT_HEADERS, 1L);
    SET(job, USERAGENT, "weir/" WEIR_VERSION);
    SET(job, TCP_NODELAY, 1L);
    SET(job, TCP_KEEPALIVE, 1L);
    SET(job, BUFFERSIZE, (long)RECEIVE_SIZE);
    /* Over TLS only, where the server says so in the handshake. */
    SET(job, HTTP_VERSION, (long)(http->no_http2 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    SET(job, SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(job, SSL_VERIFYPEER, 1L);
    SET(job, SSL_VERIFYHOST, 2L);
    if (http->ca_file != NULL) {
        SET(job, CAINFO, http->ca_file);
        SET(job, CAPATH, NULL); /* these authorities and no others */
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(job, CA_CACHE_TIMEOUT, (long)CA_CACHE_S); /* older ones read the file for each connection */
#endif
    /* A name server that does not answer must not hold up the loop: without this, libcurl waits for its resolver's
     * thread when a transfer ends before it. */
    SET(job, QUICK_EXIT, 1L);
    SET(job, CONNECTTIMEOUT_MS, (long)http->connect_ms);
    SET(job, LOW_SPEED_LIMIT, (long)S3_HTTP_STALL_BYTES);
    SET(job, LOW_SPEED_TIME, (long)((stall_ms + 999) / 1000)); /* it knows whole seconds */
}

static void set_route(struct s3_http_job *job)
{
    if (job->req->no_proxy) {
        SET(job, PROXY, ""); /* nor one from the environment */
        SET(job, NOPROXY, "*");
    } else if (job->http->proxy != NULL)
        SET(job, PROXY, job->http->proxy);
}

static void set_request(struct s3_http_job *job)
{
    const struct s3_http_req *req = job->req;
    bool put = strcmp(req->method, "PUT") == 0 || strcmp(req->method, "POST") == 0;

    SET(job, URL, req->url);
    SET(job, TIMEOUT_MS, (long)req->total_ms);
    if (strcmp(req->method, "HEAD") == 0) {
        SET(job, NOBODY, 1L);
        return;
    }
    /* As an upload for POST, too: then libcurl adds no Content-Type of its own. */
    if (put || req->body.size > 0) {
        SET(job, UPLOAD, 1L);
        SET(job, INFILESIZE_LARGE, (curl_off_t)req->body.size);
    }
    SET(job, CUSTOMREQUEST, req->method);
}

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static struct rc add_line(struct s3_http_job *job, const char *line, struct err *err)
{
    struct curl_slist *more = curl_slist_append(job->headers, line);

    if (more == NULL)
        return rc_raise(err, E_NOMEM, "no memory for a request's headers");
    job->headers = more;
    return RC_OK;
}

static struct rc set_headers(struct s3_http_job *job, struct err *err)
{
    const struct s3_http_req *req = job->req;

    /* libcurl would wait a second for "100 Continue" before larger bodies. */
    TRY(add_line(job, "Expect:", err));
    for (size_t i = 0; i < req->header_count; i++) {
        const struct s3_http_field *f = &req->headers[i];
        char *line;
        struct rc rc;

        if (has_line_break(f->name) || has_line_break(f->value))
            return rc_raise(err, E_CONFIG, "the value of header %s has a line break", f->name);
        /* "Name:" would take a header away; an empty one is written with a semicolon. */
        line = f->value[0] == 0 ? mem_printf("%s;", f->name) : mem_printf("%s: %s", f->name, f->value);
        rc = add_line(job, line, err);
        explicit_bzero(line, strlen(line));
        mem_free(line);
        TRY(rc);
    }
    SET(job, HTTPHEADER, job->headers);
    return RC_OK;
}

/* --- begin and end ----------------------------------------------------------------------------------------------- */

static void job_free(struct s3_http_job *job)
{
    curl_easy_cleanup(job->easy);
    for (struct curl_slist *line = job->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(job->headers);
    mem_free(job);
}

static void job_freep(struct s3_http_job **job)
{
    if (*job != NULL)
        job_free(*job);
}

struct rc s3_http_job_new(struct s3_http *http, struct s3_http_req *req, struct err *err)
{
    CLEANUP(job_freep) struct s3_http_job *job = mem_new(sizeof *job);

    *job = (struct s3_http_job){.http = http, .req = req};
    job->up = job->down = (struct s3_http_turn){.on_turn = on_turn, .ctx = job};
    job->easy = curl_easy_init();
    if (job->easy == NULL)
        return rc_raise(err, E_NOMEM, "no memory for a request");
    if (has_line_break(req->method) || has_line_break(req->url))
        return rc_raise(err, E_CONFIG, "the address of a request has a line break");
    set_callbacks(job);
    set_transport(job);
    set_route(job);
    set_request(job);
    TRY(set_headers(job, err));
    if (job->setup != CURLE_OK)
        return s3_http_fail_raise(job, job->setup, err);
    if (curl_multi_add_handle(http->multi, job->easy) != CURLM_OK)
        return rc_raise(err, E_NOMEM, "no memory for another request");
    req->impl = job;
    LIST_INSERT_HEAD(&http->jobs, job, next);
    http->job_count++;
    (void)MOVE(job); /* the list has it */
    return RC_OK;
}

void s3_http_job_doom(struct s3_http_job *job, CURLcode code)
{
    if (!job->doomed)
        job->doom_code = code;
    job->doomed = true;
    s3_http_soon(job->http);
}

static uint64_t time_of(const struct s3_http_job *job, CURLINFO what)
{
    curl_off_t us = 0;

    if (curl_easy_getinfo(job->easy, what, &us) != CURLE_OK || us < 0)
        return 0;
    return (uint64_t)us;
}

static struct rc outcome(struct s3_http_job *job, CURLcode code)
{
    struct s3_http_req *req = job->req;
    long status = 0;

    if (rc_failed(job->refused))
        return s3_http_fail_wrap(req, &req->err);
    if (code != CURLE_OK)
        return s3_http_fail_raise(job, code, &req->err);
    (void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status <= 0)
        return s3_http_fail_raise(job, CURLE_WEIRD_SERVER_REPLY, &req->err);
    req->status = (int)status;
    return RC_OK;
}

void s3_http_job_end(struct s3_http_job *job, CURLcode code)
{
    struct s3_http *http = job->http;
    struct s3_http_req *req = job->req;
    struct rc rc = outcome(job, code);

    req->maybe_sent = rc_failed(rc) && job->sends > 0;
    req->resent = job->sends > 1;
    req->first_byte_us = time_of(job, CURLINFO_STARTTRANSFER_TIME_T);
    req->total_us = time_of(job, CURLINFO_TOTAL_TIME_T);
    s3_http_rate_leave(&http->up, &job->up);
    s3_http_rate_leave(&http->down, &job->down);
    /* It can only say that there is no such handle. */
    (void)curl_multi_remove_handle(http->multi, job->easy);
    LIST_REMOVE(job, next);
    http->job_count--;
    req->impl = NULL;
    if (rc_failed(rc)) {
        forget_headers(req);
        buf_fini(&req->data);
    }
    job_free(job);
}
