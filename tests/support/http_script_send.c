/* SPDX-License-Identifier: Apache-2.0 */
#include "http_script_intern.h"

#include <stdio.h>

enum { CHUNK_SIZE = 7 };

static void send_more(struct http_conn *c);

struct write {
    uv_write_t uv;
    struct http_conn *conn;
    bool last; /* the next step of the answer comes behind it */
    uint8_t data[];
};

static void on_written(uv_write_t *uv, int status)
{
    struct write *w = (struct write *)uv;
    struct http_conn *c = w->conn;
    bool last = w->last;

    free(w);
    if (c->closing)
        return;
    if (status < 0)
        http_script_drop(c, false);
    else if (last)
        send_more(c);
}

static void write_raw(struct http_conn *c, const void *data, size_t n, bool last)
{
    struct write *w = http_script_must(malloc(sizeof *w + n));
    uv_buf_t piece;

    w->conn = c;
    w->last = last;
    memcpy(w->data, data, n);
    piece = uv_buf_init((char *)w->data, (unsigned)n);
    if (uv_write(&w->uv, (uv_stream_t *)&c->tcp, &piece, 1, on_written) != 0) {
        free(w);
        http_script_drop(c, false);
    }
}

static void flush_tls(struct http_conn *c, bool last)
{
    char *data;
    long n = BIO_get_mem_data(c->tls_out, &data);

    if (n > 0) {
        write_raw(c, data, (size_t)n, last);
        (void)BIO_reset(c->tls_out);
    }
}

static void write_bytes(struct http_conn *c, const void *data, size_t n)
{
    if (c->tls == NULL) {
        write_raw(c, data, n, true);
        return;
    }
    if (SSL_write(c->tls, data, (int)n) <= 0)
        http_script_drop(c, false);
    else
        flush_tls(c, true);
}

static void answer_sent(struct http_conn *c)
{
    enum http_how how = c->answer.how;

    if (how == HTTP_HALF_HANG)
        return;
    if (how == HTTP_HALF_RESET)
        http_script_drop(c, true);
    else if (how == HTTP_THEN_CLOSE || how == HTTP_RAW || how == HTTP_HALF_CLOSE || how == HTTP_EARLY)
        http_script_drop(c, false);
    else {
        c->answering = false;
        http_script_serve(c); /* what came meanwhile */
    }
}

static void on_pause_over(uv_timer_t *timer);

static void pause_ms(struct http_conn *c, unsigned ms)
{
    (void)uv_timer_start(&c->timer, on_pause_over, ms, 0);
    uv_unref((uv_handle_t *)&c->timer);
}

/* The next piece of what is in `out`. */
static void send_now(struct http_conn *c)
{
    size_t n = c->out.size - c->out_at;
    const uint8_t *at = c->out.data + c->out_at;

    if (n == 0) {
        answer_sent(c);
        return;
    }
    if (c->answer.how == HTTP_BYTES)
        n = c->answer.drip_ms > 0 && c->out_at == 0 ? c->head_size : 1;
    c->out_at += n;
    write_bytes(c, at, n);
}

static void on_pause_over(uv_timer_t *timer)
{
    send_now(timer->data);
}

static void send_more(struct http_conn *c)
{
    if (c->answer.how == HTTP_BYTES && c->answer.drip_ms > 0 && c->out_at > 0)
        pause_ms(c, c->answer.drip_ms);
    else
        send_now(c);
}

static bool headers_have(const char *headers, const char *name)
{
    return headers != NULL && strcasestr(headers, name) != NULL;
}

/* Everything that will be sent, into `out`. */
static void compose(struct http_conn *c, const struct http_answer *a, bool head)
{
    size_t size = a->body == NULL ? 0 : a->body_size > 0 ? a->body_size : strlen(a->body);
    bool half = a->how == HTTP_HALF_CLOSE || a->how == HTTP_HALF_RESET || a->how == HTTP_HALF_HANG;
    int status = a->status == 0 ? 200 : a->status;
    char line[128];

    c->out.size = c->out_at = 0;
    if (a->how == HTTP_RAW) {
        http_bytes_put(&c->out, a->body, size);
        return;
    }
    (void)snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, status < 400 ? "Fine" : "Not so fine");
    http_bytes_put(&c->out, line, strlen(line));
    if (a->headers != NULL)
        http_bytes_put(&c->out, a->headers, strlen(a->headers));
    line[0] = 0;
    if (a->how == HTTP_CHUNKED)
        (void)snprintf(line, sizeof line, "Transfer-Encoding: chunked\r\n");
    else if (!headers_have(a->headers, "content-length:") && status != 204 && status != 304)
        (void)snprintf(line, sizeof line, "Content-Length: %zu\r\n", size);
    http_bytes_put(&c->out, line, strlen(line));
    http_bytes_put(&c->out, "\r\n", 2);
    c->head_size = c->out.size;
    if (head)
        return;
    if (a->how != HTTP_CHUNKED) {
        http_bytes_put(&c->out, a->body, half ? size / 2 : size);
        return;
    }
    for (size_t at = 0; at < size; at += CHUNK_SIZE) {
        size_t n = size - at < CHUNK_SIZE ? size - at : CHUNK_SIZE;

        (void)snprintf(line, sizeof line, "%zx\r\n", n);
        http_bytes_put(&c->out, line, strlen(line));
        http_bytes_put(&c->out, (const char *)a->body + at, n);
        http_bytes_put(&c->out, "\r\n", 2);
    }
    http_bytes_put(&c->out, "0\r\n\r\n", 5);
}

void http_script_send(struct http_conn *c, const struct http_answer *a, bool head)
{
    c->answering = true;
    c->answer = *a;
    if (a->how == HTTP_HANG || a->how == HTTP_EARLY_HANG)
        return;
    if (a->how == HTTP_CLOSE || a->how == HTTP_RESET || a->how == HTTP_EARLY_CLOSE) {
        http_script_drop(c, a->how == HTTP_RESET);
        return;
    }
    compose(c, a, head);
    if (a->delay_ms > 0)
        pause_ms(c, a->delay_ms);
    else
        send_more(c);
}

void http_script_send_tls(struct http_conn *c)
{
    flush_tls(c, false);
}
