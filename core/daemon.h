/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon - the process that replicates: loop, signals, control socket, and one actor per database.
 *
 * SIGTERM and SIGINT ship what is left within `shutdown_ms` and end it; a second one ends it at once.  It also ends
 * when no database is left to work on (all fenced or failed).
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "db.h"

struct daemon_settings {
    struct db_settings *databases;
    size_t database_count;
    char *socket_path; /* NULL: in the local state of the first database */
    uint64_t shutdown_ms;
};

/*
 * Run until stopped.  RC_OK: everything was shipped.  Otherwise the worst of what happened: E_FENCED, the cause of a
 * failed database, E_TIMEOUT what could not be shipped in time.
 */
MUST_USE struct rc daemon_run(const struct daemon_settings *settings, const struct fsys *fs, struct err *err);

#endif
