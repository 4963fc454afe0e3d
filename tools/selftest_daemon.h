/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest_daemon - the engine of `weir selftest`: the daemon itself, in a process of its own that knows one database.
 *
 *     selftest_daemon_fork(&d, &plan, err)       before any thread: the process waits, and has done nothing yet
 *     selftest_daemon_go(d, err)                 it begins to replicate
 *     selftest_daemon_ready(d, timeout, err)     until it does
 *     selftest_daemon_sync(d, timeout, &txid, err)   everything that is committed is durable in the replica
 *     selftest_daemon_stop(d, err)               in order: it ships the rest and ends
 *     selftest_daemon_end(d)                     it is gone, however
 *     selftest_daemon_free(d)
 *
 * It is forked rather than started as another program, so that credentials need not be written down for it.  It is a
 * process group of its own (a Ctrl-C in a terminal is the parent's alone), and ends when the parent does.
 *
 * Threads: selftest_daemon_interrupt() from any, the others from one at a time.
 */
#ifndef SELFTEST_DAEMON_H
#define SELFTEST_DAEMON_H

#include "config.h"
#include "fsys.h"

struct selftest_daemon;

struct selftest_daemon_plan {
    const struct fsys *fs;
    const struct config_db *db; /* of the replica: its options, intervals and limits; borrowed */
    char *path, *url;           /* the scratch database and its replica; borrowed, as all texts */
    char *socket;               /* where it is asked */
    const char *log_path;       /* where its log lines go */
};

MUST_USE struct rc selftest_daemon_fork(
    struct selftest_daemon **out, const struct selftest_daemon_plan *plan, struct err *err);
MUST_USE struct rc selftest_daemon_go(struct selftest_daemon *d, struct err *err);
/* E_TIMEOUT with what it says itself; or what ended it. */
MUST_USE struct rc selftest_daemon_ready(struct selftest_daemon *d, uint64_t timeout_ms, struct err *err);
MUST_USE struct rc selftest_daemon_sync(
    struct selftest_daemon *d, uint64_t timeout_ms, uint64_t *txid, struct err *err);
/* Fails with what it failed with. */
MUST_USE struct rc selftest_daemon_stop(struct selftest_daemon *d, struct err *err);
/* It need not ship anything any more; who waits for it waits no longer. */
void selftest_daemon_interrupt(struct selftest_daemon *d);
/* It has ended when this returns; again: nothing happens. */
void selftest_daemon_end(struct selftest_daemon *d);
void selftest_daemon_free(struct selftest_daemon *d);

#endif
