/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_child - another process that uses the database: an application, for tests.
 *
 *     sql_child_start(&c)                        before this process opens anything of SQLite
 *     sql_child_open(&c, 0, path)                connection 0 of the child
 *     sql_child_sql(&c, 0, "INSERT ...")         SQLite's result code; rows in c.answer, "a|b\n" each
 *     sql_child_send(&c, 0, "..."), sql_child_wait(&c)      the same in two steps, to do something meanwhile
 *     sql_child_stop(&c)
 *
 * The child is forked, so it must be started while this process has no SQLite connection: locks and connections do not
 * survive a fork.  It ends when the parent closes its end or dies.
 */
#ifndef SQL_CHILD_H
#define SQL_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SQL_CHILD_CONNECTIONS = 8, SQL_CHILD_ANSWER_MAX = 4096 };

struct sqlite3;
/* Something longer, run in the child. `conns` are its connections; the result is what sql_child_wait() gives. */
typedef int (*sql_child_fn)(struct sqlite3 **conns, uint64_t a, uint64_t b);

struct sql_child {
    pid_t pid;
    int fd;
    char answer[SQL_CHILD_ANSWER_MAX];
};

void sql_child_start(struct sql_child *c);
/* Ends the child, closing its connections first. */
void sql_child_stop(struct sql_child *c);
/* Ends it at once: SIGKILL. */
void sql_child_kill(struct sql_child *c);

/* `path` may be a URI.  All return SQLite's (extended) code. */
int sql_child_open(struct sql_child *c, unsigned conn, const char *path);
int sql_child_close(struct sql_child *c, unsigned conn);
int sql_child_sql(struct sql_child *c, unsigned conn, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int sql_child_call(struct sql_child *c, sql_child_fn fn, uint64_t a, uint64_t b);

void sql_child_send(struct sql_child *c, unsigned conn, const char *sql);
void sql_child_send_call(struct sql_child *c, sql_child_fn fn, uint64_t a, uint64_t b);
int sql_child_wait(struct sql_child *c);
/* Has it answered? */
bool sql_child_ready(const struct sql_child *c);

#endif
