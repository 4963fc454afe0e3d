/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon - the process that replicates: loop, signals, HTTP, and one actor per database.
 *
 * Databases do not disturb each other: one that cannot begin, fails or is fenced is told in the log and in the status,
 * and the others go on.  The daemon ends when none is left to work on.
 *
 * SIGTERM and SIGINT ship what is left within `shutdown_ms` and end it; a second one ends it at once.
 *
 * SIGHUP loads the settings again.  What did not change goes on untouched; numbers that a running database can take
 * (intervals, limits of commits and log) are changed in place; a database whose replica changed is stopped in order and
 * begun anew, one that is gone is shipped and stopped, each within `shutdown_ms`; new ones are begun, failed ones get
 * another chance.  Settings that cannot be loaded or carried out change nothing, and that is told in the log and in the
 * status.
 *
 * The databases of a folder are found while it runs (daemon_folder.c).  Those that are quiet are parked: not open, and
 * watched by file events alone.  How many are open at once has a maximum (daemon_queue.c).
 *
 * daemon.c is the loop and the end, daemon_member.c the life of one database in it, daemon_listen.c who can ask it,
 * daemon_http.c what they can ask, daemon_status.c where everything stands, daemon_reload.c SIGHUP, daemon_child.c the
 * program of `weir run`; daemon_folder.c finds databases, daemon_item.c is what is known of each of them, daemon_look.c
 * looks at the files of many, daemon_queue.c opens and parks them.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "db.h"
#include "slog.h"
#include "spawn.h"

/* A folder of databases that come and go. */
struct daemon_folder_settings {
    struct db_settings set; /* of each; `url` is expanded for it (config_replica_expand), `path` is NULL */
    const char *dir, *pattern;
    bool recursive, watch;
};

struct daemon_settings {
    struct db_settings *databases;
    size_t database_count;
    struct daemon_folder_settings *folders;
    size_t folder_count;
    char *socket_path;              /* NULL: one in the local state of each database */
    char *http_listen, *token_file; /* "HOST:PORT"; NULL: none */
    uint64_t shutdown_ms;
    enum slog_level log_level;
    enum slog_format log_format;
};

/*
 * A program that lives as long as the daemon (`weir run`): it begins when every database is either replicated, or there
 * while its replica does not answer, or known to be nowhere; all signals are its own; its end is the daemon's.
 *
 * A database that cannot be replicated keeps it from beginning.  One that is fenced later ends it (SIGTERM): what it
 * would go on to write belongs to no history any more.
 */
struct daemon_command {
    char *const *argv;
    const struct spawn_origin *origin;
    uint64_t start_ms;  /* wait so long for replication to begin; databases that are there are enough then */
    uint64_t kill_ms;   /* SIGKILL so long after SIGTERM; 0: never */
    bool group;         /* signals go to its whole process group */
    bool standby;       /* another process replicates a database here: wait until it does not */
    bool start_missing; /* begin although it is unknown whether a database that is not there has a replica */

    /* Out. */
    bool started, exec_failed;
    int status; /* as of a shell, when it was started */
    int signal; /* that came before it was started; 0: none */
};

/* Where settings come from, at the start and at SIGHUP. */
struct daemon_source {
    const char *file; /* for log and status; NULL: there is none, and SIGHUP does nothing */
    /* What is handed out is borrowed until the next call, or the end of daemon_run(). */
    struct rc (*load)(void *ctx, const struct daemon_settings **out, struct err *err);
    void *ctx;
    struct daemon_command *command; /* NULL: none */
};

/*
 * Run until stopped.  RC_OK: everything was shipped.  Otherwise the worst of what happened: E_FENCED, the cause of a
 * failed database, E_TIMEOUT what could not be shipped in time.  With a command: likewise, whatever its status;
 * E_NOTFOUND and E_DENIED when it could not be run.
 */
MUST_USE struct rc daemon_run(const struct daemon_source *source, const struct fsys *fs, struct err *err);

#endif
