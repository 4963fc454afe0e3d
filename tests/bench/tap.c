/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap - a thin proxy that writes down when each HTTP request came, and when it was answered.  bench_s3.py puts it
 * between a tool and an S3 server, so that both tools are measured by the same clock, which is that of load.c.
 *
 *     tap PORT SERVER-PORT [MB-PER-SECOND MILLISECONDS]
 *
 * 127.0.0.1 on both sides; runs until its standard input ends.  With the last two it is a line to a server elsewhere:
 * all answers together get no more than that rate, and each begins that much later.
 *
 * For each request, as soon as its answer's head has come:
 *
 *     <ns of its first byte> <ns of its last byte> <ns of the answer> <status> <bytes of its body> <method> <target>
 *
 * HTTP/1.1 without TLS and without pipelining: what a client sends behind an answer is the next request.  Bytes pass as
 * they are.  A thread for each connection; nothing is kept of bodies.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_MAX = 64 << 10,
    PIECE = 64 << 10,
    BACKLOG = 128,
    LINE_SLACK_NS = 5000000, /* a sleep that lasted too long is made up for */
};

/* A head as far as it has come. */
struct head {
    char text[HEAD_MAX + 1];
    size_t size;
    bool whole;
};

struct exchange {
    int64_t began, ended; /* the request */
    uint64_t body, body_wanted;
    char method[16], target[4096];
    bool answered;
    struct head request, answer;
};

struct connection {
    int client, server;
    struct exchange now;
    char piece[PIECE];
};

static uint16_t server_port;
static double line_rate; /* bytes a nanosecond; 0: no limit */
static int64_t line_delay_ns;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t line_free_ns; /* under line_lock: when all bytes so far have passed */

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void sleep_until_ns(int64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        continue;
}

/* Wait as long as the bytes of an answer take to come over the line. */
static void cross_line(size_t size, bool begins)
{
    int64_t now = now_ns(), there;

    if (line_rate <= 0)
        return;
    pthread_mutex_lock(&line_lock);
    if (line_free_ns < now - LINE_SLACK_NS)
        line_free_ns = now - LINE_SLACK_NS;
    line_free_ns += (int64_t)((double)size / line_rate);
    there = line_free_ns;
    pthread_mutex_unlock(&line_lock);
    sleep_until_ns(begins && there < now + line_delay_ns ? now + line_delay_ns : there);
}

/* Returns how many of the bytes belong to the head. */
static size_t head_take(struct head *h, const char *bytes, size_t size)
{
    size_t before = h->size, room = HEAD_MAX - h->size, n = size < room ? size : room;
    const char *end;

    memcpy(h->text + before, bytes, n);
    h->size += n;
    h->text[h->size] = 0;
    end = memmem(h->text, h->size, "\r\n\r\n", 4);
    h->whole = end != NULL || h->size == HEAD_MAX;
    if (end == NULL)
        return n;
    h->size = (size_t)(end + 4 - h->text);
    h->text[h->size] = 0;
    return h->size - before;
}

static uint64_t content_length(const struct head *h)
{
    const char *at = strcasestr(h->text, "\r\nContent-Length:");

    return at == NULL ? 0 : strtoull(at + strlen("\r\nContent-Length:"), NULL, 10);
}

static void take_request(struct exchange *e, const char *bytes, size_t size)
{
    if (e->began == 0 || e->answered) {
        e->request.size = e->answer.size = 0;
        e->request.whole = e->answer.whole = e->answered = false;
        e->began = now_ns();
        e->body = 0;
    }
    if (!e->request.whole) {
        size_t n = head_take(&e->request, bytes, size);

        bytes += n;
        size -= n;
        if (!e->request.whole)
            return;
        e->body_wanted = content_length(&e->request);
        if (sscanf(e->request.text, "%15s %4095s", e->method, e->target) != 2)
            fprintf(stderr, "tap: no HTTP: %.40s\n", e->request.text);
    }
    e->body += size;
    e->ended = now_ns();
}

static void take_answer(struct exchange *e, const char *bytes, size_t size)
{
    while (!e->answered && size > 0) {
        size_t n = head_take(&e->answer, bytes, size);
        int status = 0;

        bytes += n;
        size -= n;
        if (!e->answer.whole)
            return;
        if (sscanf(e->answer.text, "HTTP/%*s %d", &status) != 1)
            fprintf(stderr, "tap: no HTTP answer: %.40s\n", e->answer.text);
        if (status >= 200) {
            e->answered = true;
            printf("%" PRId64 " %" PRId64 " %" PRId64 " %d %" PRIu64 " %s %s\n", e->began, e->ended, now_ns(), status,
                e->body, e->method, e->target);
        }
        e->answer.size = 0; /* 1xx: the real one follows */
        e->answer.whole = false;
    }
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return true;
}

/* false: this direction has ended. */
static bool relay(struct connection *c, bool from_client)
{
    ssize_t n = recv(from_client ? c->client : c->server, c->piece, sizeof c->piece, 0);

    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    /* An answer counts before it is passed on: else the client could be quicker with its next request. */
    if (from_client) {
        take_request(&c->now, c->piece, (size_t)n);
    } else {
        cross_line((size_t)n, !c->now.answered);
        take_answer(&c->now, c->piece, (size_t)n);
    }
    return send_all(from_client ? c->server : c->client, c->piece, (size_t)n);
}

static int tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static struct sockaddr_in local(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void *serve(void *ctx)
{
    struct connection *c = ctx;
    struct sockaddr_in to = local(server_port);
    bool open = true;

    c->server = tcp();
    open = c->server >= 0 && connect(c->server, (struct sockaddr *)&to, sizeof to) == 0;
    while (open) {
        struct pollfd p[] = {{.fd = c->client, .events = POLLIN}, {.fd = c->server, .events = POLLIN}};

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents != 0)
            open = relay(c, true);
        if (open && p[1].revents != 0)
            open = relay(c, false);
    }
    if (c->server >= 0)
        close(c->server);
    close(c->client);
    free(c);
    return NULL;
}

static void accept_one(int listener)
{
    struct connection *c = calloc(1, sizeof *c);
    pthread_t thread;
    int on = 1;

    if (c == NULL)
        abort();
    c->client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (c->client < 0) {
        free(c);
        return;
    }
    (void)setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (pthread_create(&thread, NULL, serve, c) != 0)
        abort();
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    struct sockaddr_in at;
    int listener = tcp(), on = 1;

    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: tap PORT SERVER-PORT [MB-PER-SECOND MILLISECONDS]\n");
        return 2;
    }
    if (argc == 5) {
        line_rate = strtod(argv[3], NULL) / 1000;
        line_delay_ns = (int64_t)(strtod(argv[4], NULL) * 1e6);
    }
    at = local((uint16_t)strtoul(argv[1], NULL, 10));
    server_port = (uint16_t)strtoul(argv[2], NULL, 10);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, BACKLOG) != 0) {
        perror("tap");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        struct pollfd p[] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (p[1].revents != 0)
            return 0;
        if (p[0].revents != 0)
            accept_one(listener);
    }
}
