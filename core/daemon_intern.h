/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_intern - what the parts of the daemon share.  Loop thread only. */
#ifndef DAEMON_INTERN_H
#define DAEMON_INTERN_H

#include "child.h"
#include "daemon.h"
#include "events.h"
#include "http_server.h"
#include "samples.h"
#include "status.h"

/* A copy of a database's settings that does not depend on where they came from. */
struct daemon_copy {
    struct db_settings set;
    struct store_option *options; /* owned, with their texts */
};

/* What the last news told, so that a change is seen. */
struct daemon_seen {
    const char *state; /* a literal */
    enum err_code code;
    uint32_t timeline;
    uint64_t gap_txid, snapshot_count;
    uint64_t failure_count, gap_count;
    int64_t failed_ms; /* the last failure; 0: none */
};

/*
 * A database in the daemon.
 *
 *     begun -> over (fenced, failed, stopped) -> closing -> gone
 *
 * Over by itself it stays in the list for the status.  One that is leaving (removed or changed by a reload) closes as
 * soon as it is over, and its successor, if any, begins then: only one at a time can hold the database's local state.
 */
struct daemon_member {
    struct db db;
    struct daemon *daemon;
    struct daemon_copy settings;
    struct http_listener *control; /* its own, when there is none for all */
    char *socket_path;             /* owned; of that */
    uint64_t number;               /* grows along the list */
    bool begun;                    /* the actor has handles to be closed */
    bool over, leaving, closing;
    struct err begin_error; /* why it did not begin in full; code E_OK: it did */
    struct daemon_seen seen;
    struct samples *samples; /* owned; NULL: it never ran */
    struct daemon_copy successor;
    bool has_successor;
    uv_timer_t patience; /* the time to leave in order */
    bool patience_open;
    struct daemon_member *next;
};

enum daemon_stage {
    DAEMON_TURN,    /* standby: another process has a database */
    DAEMON_BEFORE,  /* databases are being made ready */
    DAEMON_RUNNING, /* the program runs */
    DAEMON_LAST,    /* it has ended; what it made last gets its start */
    DAEMON_OVER,    /* everything is being stopped */
};

/* The program of `weir run`. */
struct daemon_child {
    struct daemon_command *command;         /* borrowed; NULL: there is none, and nothing else here counts */
    const struct daemon_settings *settings; /* borrowed: they are loaded once */
    enum daemon_stage stage;
    struct child child;
    uv_signal_t signals[SPAWN_SIGNAL_MAX];
    int signal_count;
    unsigned signals_behind; /* that came when the program had ended */
    uv_timer_t clock;        /* the next look before it begins; afterwards SIGKILL */
    uint64_t begin_ms;       /* monotonic */
    bool told_turn;
    bool closed;
};

enum { DAEMON_SIGNAL_COUNT = 3 };

struct daemon {
    const struct daemon_source *source;
    const struct fsys *fs;
    uv_loop_t loop;
    struct work *work;
    struct store_env *env;
    struct http_server *http;
    struct http_guard owner_guard, tcp_guard;
    struct http_listener *control; /* for all, when settings name a socket */
    char *socket_path;             /* owned; of that */
    struct http_listener *tcp;
    char *http_listen, *token_file; /* owned; of that; NULL: none */
    uint64_t shutdown_ms;
    struct daemon_member *members; /* in the order of the settings, as far as reloads allow */
    uint64_t member_number;        /* of the last one */
    uint64_t change_count;         /* of the list */
    uint64_t member_count;
    unsigned lane; /* of the next one */
    struct daemon_child child;
    uv_signal_t signals[DAEMON_SIGNAL_COUNT];
    uv_timer_t deadline;
    bool stopping, ending, http_stopping, signals_closed;
    bool reloading;   /* the list is being changed: it is not the end when nothing is left for a moment */
    struct err worst; /* what the process ends with */

    struct events events;
    int64_t start_ms;
    int64_t loaded_ms; /* wall clock: settings in force */
    struct err reload_error;
    int64_t reload_error_ms; /* of the last reload; code E_OK: it worked */
};

/* A place in the list that outlives changes of it.  Zeroed: before the first. */
struct daemon_place {
    struct daemon_member *member;
    uint64_t number, change_count;
};
/* --- daemon.c */
/* Something is over or gone: is there anything left to do? */
void daemon_check_end(struct daemon *d);

/* Begin with all databases of the settings. */
void daemon_begin_members(struct daemon *d, const struct daemon_settings *settings);
/* Ship what is left and end; `number` 0: no signal is the reason. */
void daemon_stop(struct daemon *d, int number);
/* The time for that begins now, if it has not begun. */
void daemon_start_deadline(struct daemon *d);

/* --- daemon_child.c; none of these does anything without a command, but for the first */
/* Takes the signals over; begins with the databases, or waits for its turn. */
void daemon_child_begin(struct daemon *d, const struct daemon_settings *settings);
/* Something has changed: may the program begin, or is there no sense in it? */
void daemon_child_look(struct daemon *d);
/* A database is over. */
void daemon_child_over(struct daemon *d, const struct db *db);
/* It keeps the daemon from ending. */
bool daemon_child_busy(const struct daemon *d);
/* Close what was opened; daemon_check_end() is called when that is done. */
void daemon_child_close(struct daemon *d);

/* --- daemon_member.c */
/* Begin to work on a database; what goes wrong is kept in the member. */
struct daemon_member *daemon_member_begin(struct daemon *d, const struct db_settings *set);
/* Ship, stop, close, and begin the successor (NULL: none).  For one that is leaving already only the successor
 * changes. */
void daemon_member_leave(struct daemon_member *m, const struct db_settings *successor);
/* Settings that a running database can take. */
void daemon_member_adjust(struct daemon_member *m, const struct db_settings *set);
/* Close one that is over, when the daemon ends. */
void daemon_member_close(struct daemon_member *m);
/* The time for an orderly stop is over. */
void daemon_member_abandon(struct daemon_member *m);
/* NULL: there is none behind that place. */
struct daemon_member *daemon_member_next(const struct daemon *d, struct daemon_place *at);
/* Its outcome counts for the process. */
void daemon_member_note(struct daemon *d, const struct daemon_member *m);

/* --- daemon_http.c */
/* Answers a client of any listener; `ctx` is the daemon. */
void daemon_http_call(void *ctx, struct http_call *call);
/* Append and free. */
void daemon_http_json(struct buf *out, json_t *o);
/* Answer with a small document, which is freed. */
void daemon_http_answer(struct http_call *call, unsigned status, json_t *o);
/* {"ok": false, "code": ..., "error": ...}; status 0: the one of the code. */
void daemon_http_error(struct http_call *call, unsigned status, const struct err *err);
/* The member that `path` names; NULL: the call has its answer. */
struct daemon_member *daemon_http_member(struct daemon *d, struct http_call *call);

/* --- daemon_listen.c */
/* Begin to listen at what the settings name for all databases. */
MUST_USE struct rc daemon_listen_begin(struct daemon *d, const struct daemon_settings *settings, struct err *err);
/* A reload: what cannot change must be the same; the token may be another one. */
MUST_USE struct rc daemon_listen_reload(struct daemon *d, const struct daemon_settings *settings, struct err *err);
void daemon_listen_end(struct daemon *d);
/* One socket for this database, where there is none for all; others find it by the local state. */
MUST_USE struct rc daemon_listen_member(struct daemon_member *m, struct err *err);
/* Close a listener (NULL: none) and remove its socket. */
void daemon_listen_close(struct http_listener **l, const char *path);

/* --- daemon_status.c */
void daemon_status_answer(struct daemon *d, struct http_call *call);

/* --- daemon_show.c: pages */
void daemon_show_ready(struct daemon *d, struct http_call *call);
void daemon_show_events(struct daemon *d, struct http_call *call);
void daemon_show_samples(struct daemon *d, struct http_call *call);
void daemon_show_metrics(struct daemon *d, struct http_call *call);

/* --- daemon_watch.c */
/* Of the actor of a member: what changed becomes events, counts and samples. */
void daemon_watch_news(struct db *db);
void daemon_watch_configuration(struct daemon *d, const char *kind, const char *text);

/* --- daemon_reload.c */
void daemon_reload_run(struct daemon *d);

#endif
