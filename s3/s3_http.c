/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_http.h"

#include "alloc.h"
#include "s3_http_intern.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* --- requests ---------------------------------------------------------------------------------------------------- */

void s3_http_req_init(struct s3_http_req *req, const char *method, const char *url)
{
    *req = (struct s3_http_req){.method = mem_strdup(method), .url = mem_strdup(url)};
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    mem_free(text);
}

static void free_answer(struct s3_http_req *req)
{
    for (size_t i = 0; i < req->answer_header_count; i++) {
        mem_free(req->answer_headers[i].name);
        mem_free(req->answer_headers[i].value);
    }
    mem_free(req->answer_headers);
    buf_fini(&req->data);
    req->answer_headers = NULL;
    req->answer_header_count = 0;
}

void s3_http_req_fini(struct s3_http_req *req)
{
    assert(req->impl == NULL);
    free_answer(req);
    for (size_t i = 0; i < req->header_count; i++) {
        mem_free(req->headers[i].name);
        wipe(req->headers[i].value);
    }
    mem_free(req->headers);
    mem_free(req->method);
    wipe(req->url); /* a presigned one is as good as a key */
    *req = (struct s3_http_req){0};
}

void s3_http_header(struct s3_http_req *req, const char *name, const char *value)
{
    struct s3_http_field *more = mem_new((req->header_count + 1) * sizeof *more);

    if (req->header_count > 0)
        memcpy(more, req->headers, req->header_count * sizeof *more);
    mem_free(req->headers);
    req->headers = more;
    more[req->header_count].name = mem_strdup(name);
    more[req->header_count++].value = mem_strdup(value);
}

const char *s3_http_answer(const struct s3_http_req *req, const char *name)
{
    for (size_t i = 0; i < req->answer_header_count; i++)
        if (strcasecmp(req->answer_headers[i].name, name) == 0)
            return req->answer_headers[i].value;
    return NULL;
}

/* --- lists ------------------------------------------------------------------------------------------------------- */

static void list_add(struct s3_http_list *list, struct s3_http_req *req)
{
    req->next = NULL;
    *list->last = req;
    list->last = &req->next;
    list->count++;
}

static bool list_remove(struct s3_http_list *list, const struct s3_http_req *req)
{
    for (struct s3_http_req **at = &list->first; *at != NULL; at = &(*at)->next)
        if (*at == req) {
            *at = req->next;
            if (*at == NULL)
                list->last = at;
            list->count--;
            return true;
        }
    return false;
}

static struct s3_http_req *list_pop(struct s3_http_list *list)
{
    struct s3_http_req *req = list->first;

    if (req != NULL)
        (void)list_remove(list, req); /* it is the first */
    return req;
}

/* --- what libcurl wants from the loop ---------------------------------------------------------------------------- */

static void on_handle_closed(struct s3_http *http);

static void on_watch_closed(uv_handle_t *handle)
{
    struct s3_http_watch *w = handle->data;
    struct s3_http *http = w->http;

    mem_free(w);
    on_handle_closed(http);
}

/* Where nothing is in flight, nothing of ours keeps the loop running, whatever libcurl still watches. */
static void hold_loop(struct s3_http *http, bool hold)
{
    void (*set)(uv_handle_t *) = hold ? uv_ref : uv_unref;
    struct s3_http_watch *w;

    LIST_FOREACH (w, &http->watches, next)
        set((uv_handle_t *)&w->poll);
    set((uv_handle_t *)&http->timer);
}

/* Every result is read each time, whatever libcurl says about what is running: a transfer that timed out is found only
 * so. */
static void read_results(struct s3_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct s3_http_job *job = NULL;
        struct s3_http_req *req;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job); /* set in s3_http_job_new() */
        req = job->req;
        s3_http_job_end(job, message->data.result);
        req->on_done(req);
    }
    if (http->queue.first != NULL)
        s3_http_soon(http);
    if (http->job_count == 0)
        hold_loop(http, false);
}

static void act(struct s3_http *http, curl_socket_t fd, int events)
{
    int running;

    /* What it may say is told of each transfer, too. */
    (void)curl_multi_socket_action(http->multi, fd, events, &running);
    read_results(http);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long ms, void *ctx)
{
    struct s3_http *http = ctx;

    (void)multi;
    if (http->closing)
        return 0;
    /* Zero, too, goes through the loop: libcurl must not be called from inside its own callback. */
    return ms < 0 ? uv_timer_stop(&http->timer) : uv_timer_start(&http->timer, on_timer, (uint64_t)ms, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct s3_http_watch *w = poll->data; /* may be gone after act() */
    int flags = 0;

    /* libuv has stopped watching, and without a word the transfer would wait for ever.  With the error alone libcurl
     * says "select/poll returned error"; told to read or write, too, it finds what is left and the real reason. */
    if (status < 0) {
        flags = CURL_CSELECT_ERR;
        events = w->events;
        (void)uv_poll_start(poll, events, on_poll); /* it was open a moment ago */
    }
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    act(w->http, w->fd, flags);
}

static void watch_end(struct s3_http_watch *w)
{
    struct s3_http *http = w->http;

    /* The descriptor is closed next and its number may be used again at once. */
    (void)uv_poll_stop(&w->poll);
    (void)curl_multi_assign(http->multi, w->fd, NULL); /* fails when libcurl has forgotten it: as well */
    LIST_REMOVE(w, next);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static struct s3_http_watch *watch_begin(struct s3_http *http, curl_socket_t fd)
{
    struct s3_http_watch *w = mem_new(sizeof *w);

    if (uv_poll_init_socket(http->loop, &w->poll, fd) != 0) {
        mem_free(w);
        return NULL;
    }
    w->poll.data = w;
    w->http = http;
    w->fd = fd;
    LIST_INSERT_HEAD(&http->watches, w, next);
    http->open_handles++;
    if (http->job_count == 0)
        uv_unref((uv_handle_t *)&w->poll);
    (void)curl_multi_assign(http->multi, fd, w); /* the descriptor is the one we are asked about */
    return w;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct s3_http *http = ctx;
    struct s3_http_watch *w = socket_ctx;
    struct s3_http_job *job = NULL;
    int events = 0;

    if (what == CURL_POLL_REMOVE) {
        if (w != NULL)
            watch_end(w);
        return 0;
    }
    if (http->closing)
        return 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= UV_READABLE;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= UV_WRITABLE;
    if (w == NULL)
        w = watch_begin(http, fd);
    if (w != NULL && uv_poll_start(&w->poll, events, on_poll) == 0) {
        w->events = events;
        return 0;
    }
    /* A failure told to libcurl here would end all transfers and the multi handle with them; end this one. */
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &job);
    s3_http_job_doom(job, CURLE_RECV_ERROR);
    return 0;
}

/* --- what is done from the loop ---------------------------------------------------------------------------------- */

static void tell_ended(struct s3_http *http)
{
    struct s3_http_req *req;

    while ((req = list_pop(&http->ended)) != NULL)
        req->on_done(req);
}

static void end_doomed(struct s3_http *http)
{
    struct s3_http_job *job = LIST_FIRST(&http->jobs);

    while (job != NULL) {
        struct s3_http_req *req = job->req;

        if (!job->doomed) {
            job = LIST_NEXT(job, next);
            continue;
        }
        s3_http_job_end(job, job->doom_code);
        req->on_done(req);
        job = LIST_FIRST(&http->jobs); /* from the begin: the list has changed, and on_done may change it */
    }
}

static void start_some(struct s3_http *http)
{
    while (http->job_count < http->parallel_max && http->queue.first != NULL) {
        struct s3_http_req *req = list_pop(&http->queue);

        if (http->job_count == 0)
            hold_loop(http, true);
        if (rc_failed(s3_http_job_new(http, req, &req->err)))
            req->on_done(req);
    }
    if (http->job_count == 0)
        hold_loop(http, false);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void close_all(struct s3_http *http)
{
    CURLMcode code;

    http->closing = true;
    /* Its last connections end in on_socket_wanted(). */
    code = curl_multi_cleanup(http->multi);
    assert(code == CURLM_OK); /* no handle is in use */
    while (!LIST_EMPTY(&http->watches))
        watch_end(LIST_FIRST(&http->watches));
    s3_http_rate_close(&http->up, on_timer_closed, http);
    s3_http_rate_close(&http->down, on_timer_closed, http);
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
    uv_close((uv_handle_t *)&http->soon, on_timer_closed);
}

static void cancel_queued(struct s3_http *http, struct s3_http_req *req)
{
    struct rc rc = rc_raise(&req->err, E_CANCELED, "canceled");

    rc_ignore(rc, "it is told with the request");
    rc_ignore(s3_http_fail_wrap(req, &req->err), "it is told with the request");
    list_add(&http->ended, req);
}

static void cancel_job(struct s3_http_job *job)
{
    if (job->doomed || rc_failed(job->refused))
        return;
    job->refused = rc_raise(&job->req->err, E_CANCELED, "canceled");
    s3_http_job_doom(job, CURLE_OK);
}

static void on_soon(uv_timer_t *timer)
{
    struct s3_http *http = timer->data;
    struct s3_http_req *req;
    struct s3_http_job *job;

    if (http->closing)
        return;
    if (http->stopping) {
        while ((req = list_pop(&http->queue)) != NULL)
            cancel_queued(http, req);
        LIST_FOREACH (job, &http->jobs, next)
            cancel_job(job);
    }
    end_doomed(http);
    tell_ended(http);
    if (http->stopping)
        close_all(http);
    else
        start_some(http);
}

void s3_http_soon(struct s3_http *http)
{
    /* It can only refuse when it is being closed; then the last close callback does what is left. */
    (void)uv_timer_start(&http->soon, on_soon, 0, 0);
}

/* --- the outside ------------------------------------------------------------------------------------------------- */

void s3_http_submit(struct s3_http *http, struct s3_http_req *req)
{
    struct rc rc;

    assert(req->on_done != NULL);
    assert(req->impl == NULL);
    free_answer(req);
    req->err = (struct err){0};
    req->maybe_sent = req->resent = false;
    req->status = 0;
    req->first_byte_us = req->total_us = 0;
    buf_init(&req->data, req->answer_max);
    if (http->stopping) {
        cancel_queued(http, req);
    } else if (http->queue.count >= S3_HTTP_QUEUE_MAX) {
        rc = rc_raise(&req->err, E_BUSY, "%zu requests are waiting already", http->queue.count);
        rc_ignore(rc, "it is told with the request");
        rc_ignore(s3_http_fail_wrap(req, &req->err), "it is told with the request");
        list_add(&http->ended, req);
    } else
        list_add(&http->queue, req);
    s3_http_soon(http);
}

void s3_http_cancel(struct s3_http *http, struct s3_http_req *req)
{
    if (req->impl != NULL)
        cancel_job(req->impl);
    else if (list_remove(&http->queue, req)) {
        cancel_queued(http, req);
        s3_http_soon(http);
    }
}

static struct rc multi_new(struct s3_http *http, struct err *err)
{
    CURLMcode code = CURLM_OK;

    http->multi = curl_multi_init();
    if (http->multi == NULL)
        return rc_raise(err, E_NOMEM, "no memory for HTTP connections");
    code = curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    assert(code == CURLM_OK);
    code = curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    assert(code == CURLM_OK);
    code = curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    assert(code == CURLM_OK);
    code = curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    assert(code == CURLM_OK);
    /* Without this libcurl keeps four connections for each request that runs at the moment, so few after a lull. */
    code = curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->parallel_max);
    assert(code == CURLM_OK);
    /* Each request has a connection for itself, with HTTP/2, too: large bodies do not share one flow of packets, and no
     * request waits for another's. */
    code = curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    assert(code == CURLM_OK);
    return RC_OK;
}

struct rc s3_http_new(struct s3_http **out, uv_loop_t *loop, const struct s3_http_opts *opts, struct err *err)
{
    struct s3_http *http;
    struct rc rc;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counts, and may be called by any thread since 7.84 */
        return rc_raise(err, E_NOMEM, "libcurl does not start");
    http = mem_new(sizeof *http);
    http->loop = loop;
    http->parallel_max = opts->parallel_max == 0 ? S3_HTTP_PARALLEL : opts->parallel_max;
    http->connect_ms = opts->connect_ms == 0 ? S3_HTTP_CONNECT_MS : opts->connect_ms;
    http->stall_ms = opts->stall_ms == 0 ? S3_HTTP_STALL_MS : opts->stall_ms;
    rc = multi_new(http, err);
    if (rc_failed(rc)) {
        mem_free(http);
        curl_global_cleanup();
        return rc;
    }
    http->ca_file = opts->ca_file == NULL ? NULL : mem_strdup(opts->ca_file);
    http->proxy = opts->proxy == NULL ? NULL : mem_strdup(opts->proxy);
    http->no_http2 = opts->no_http2;
    http->queue.last = &http->queue.first;
    http->ended.last = &http->ended.first;
    s3_http_rate_init(&http->up, loop, opts->upload_rate);
    s3_http_rate_init(&http->down, loop, opts->download_rate);
    (void)uv_timer_init(loop, &http->timer); /* cannot fail */
    (void)uv_timer_init(loop, &http->soon);
    http->timer.data = http->soon.data = http;
    http->open_handles = 4;
    hold_loop(http, false);
    *out = http;
    return RC_OK;
}

/* The last one ends it all. */
static void on_handle_closed(struct s3_http *http)
{
    void (*on_stopped)(void *ctx) = http->on_stopped;
    void *ctx = http->ctx;

    if (--http->open_handles > 0)
        return;
    tell_ended(http); /* what was submitted while we were closing */
    mem_free(http->ca_file);
    wipe(http->proxy);
    mem_free(http);
    curl_global_cleanup();
    on_stopped(ctx);
}

void s3_http_stop(struct s3_http *http, void (*on_stopped)(void *ctx), void *ctx)
{
    assert(!http->stopping);
    http->stopping = true;
    http->on_stopped = on_stopped;
    http->ctx = ctx;
    s3_http_soon(http);
}
