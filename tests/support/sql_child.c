/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_child.h"
#include "must.h"

#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum what { OPEN, CLOSE, SQL, CALL };
enum { TEXT_MAX = 8000 };

/* One message each way; sequenced packets keep them apart. */
struct request {
    enum what what;
    unsigned conn;
    sql_child_fn fn; /* the same address on both sides of a fork */
    uint64_t a, b;
    char text[TEXT_MAX];
};

struct reply {
    int code;
    char text[SQL_CHILD_ANSWER_MAX];
};

/* --- the child ------------------------------------------------------------------------------------------------ */

static int on_row(void *ctx, int count, char **values, char **names)
{
    char *text = ctx;

    (void)names;
    for (int i = 0; i < count; i++) {
        size_t used = strlen(text);

        (void)snprintf(text + used, SQL_CHILD_ANSWER_MAX - used, "%s%s", values[i] != NULL ? values[i] : "NULL",
            i + 1 < count ? "|" : "\n");
    }
    return 0;
}

static int do_open(sqlite3 **db, const char *path)
{
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(*db, 1);
    return rc == SQLITE_OK ? sqlite3_busy_timeout(*db, 10000) : rc;
}

static void answer(sqlite3 **conns, const struct request *q, struct reply *out)
{
    sqlite3 **db = &conns[q->conn];

    switch (q->what) {
    case OPEN:
        out->code = do_open(db, q->text);
        return;
    case CLOSE:
        out->code = sqlite3_close(*db);
        *db = NULL;
        return;
    case SQL:
        out->code = sqlite3_exec(*db, q->text, on_row, out->text, NULL);
        if (out->code != SQLITE_OK)
            out->code = sqlite3_extended_errcode(*db);
        return;
    case CALL:
        out->code = q->fn(conns, q->a, q->b);
        return;
    }
    abort();
}

static void child_main(int fd)
{
    static struct request q;
    static struct reply r;
    sqlite3 *conns[SQL_CHILD_CONNECTIONS] = {0};

    while (recv(fd, &q, sizeof q, 0) == (ssize_t)sizeof q) {
        r.text[0] = 0;
        answer(conns, &q, &r);
        if (send(fd, &r, sizeof r, MSG_NOSIGNAL) != (ssize_t)sizeof r)
            break;
    }
    for (unsigned i = 0; i < SQL_CHILD_CONNECTIONS; i++)
        (void)sqlite3_close(conns[i]); /* accepts NULL */
    _exit(0);
}

/* --- the parent ------------------------------------------------------------------------------------------------- */

void sql_child_start(struct sql_child *c)
{
    int fds[2];

    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    (void)fflush(NULL); /* or the child might print it once more */
    c->pid = fork();
    MUST(c->pid >= 0);
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(fds[0]);
        child_main(fds[1]);
    }
    (void)close(fds[1]);
    c->fd = fds[0];
    c->answer[0] = 0;
}

static void reap(struct sql_child *c)
{
    int status;

    if (c->pid <= 0)
        return;
    (void)close(c->fd);
    MUST(waitpid(c->pid, &status, 0) == c->pid);
    c->pid = 0;
}

void sql_child_stop(struct sql_child *c)
{
    if (c->pid > 0)
        (void)shutdown(c->fd, SHUT_RDWR);
    reap(c);
}

void sql_child_kill(struct sql_child *c)
{
    if (c->pid > 0)
        (void)kill(c->pid, SIGKILL);
    reap(c);
}

static void request_send(struct sql_child *c, const struct request *q)
{
    MUST(send(c->fd, q, sizeof *q, MSG_NOSIGNAL) == (ssize_t)sizeof *q);
}

int sql_child_wait(struct sql_child *c)
{
    static struct reply r;

    MUST(recv(c->fd, &r, sizeof r, 0) == (ssize_t)sizeof r);
    memcpy(c->answer, r.text, sizeof c->answer);
    return r.code;
}

bool sql_child_ready(const struct sql_child *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static int ask(struct sql_child *c, enum what what, unsigned conn, const char *text)
{
    struct request q = {.what = what, .conn = conn};

    MUST(conn < SQL_CHILD_CONNECTIONS);
    MUST(strlen(text) < sizeof q.text);
    memcpy(q.text, text, strlen(text) + 1);
    request_send(c, &q);
    return sql_child_wait(c);
}

int sql_child_open(struct sql_child *c, unsigned conn, const char *path)
{
    return ask(c, OPEN, conn, path);
}

int sql_child_close(struct sql_child *c, unsigned conn)
{
    return ask(c, CLOSE, conn, "");
}

int sql_child_sql(struct sql_child *c, unsigned conn, const char *fmt, ...)
{
    char sql[TEXT_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    MUST(n >= 0);
    return ask(c, SQL, conn, sql);
}

void sql_child_send(struct sql_child *c, unsigned conn, const char *sql)
{
    struct request q = {.what = SQL, .conn = conn};

    MUST(strlen(sql) < sizeof q.text);
    memcpy(q.text, sql, strlen(sql) + 1);
    request_send(c, &q);
}

void sql_child_send_call(struct sql_child *c, sql_child_fn fn, uint64_t a, uint64_t b)
{
    struct request q = {.what = CALL, .fn = fn, .a = a, .b = b};

    request_send(c, &q);
}

int sql_child_call(struct sql_child *c, sql_child_fn fn, uint64_t a, uint64_t b)
{
    sql_child_send_call(c, fn, a, b);
    return sql_child_wait(c);
}
