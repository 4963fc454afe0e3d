/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_intern - what the parts of the daemon share.  Loop thread only. */
#ifndef DAEMON_INTERN_H
#define DAEMON_INTERN_H

#include "child.h"
#include "daemon.h"
#include "daemon_proof.h"
#include "events.h"
#include "file_watch.h"
#include "folder_scan.h"
#include "history.h"
#include "http_server.h"
#include "metrics.h"
#include "notify.h"
#include "samples.h"
#include "status.h"

struct daemon_folder;
struct daemon_item;
struct daemon_triggers;
struct daemon_chores;

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
    uint64_t gap_txid, snapshot_count, drill_count, scrub_count;
    uint64_t failure_count, gap_count;
    int64_t failed_ms; /* the last failure; 0: none */
};

struct daemon_history;

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
    struct daemon_item *item; /* of a folder; NULL: it has an entry of its own */
    struct daemon_copy settings;
    struct http_listener *control; /* its own, when there is none for all */
    char *socket_path;             /* owned; of that */
    uint64_t number;               /* grows along the list */
    bool begun;                    /* the actor has handles to be closed */
    bool over, leaving, closing;
    struct err begin_error; /* why it did not begin in full; code E_OK: it did */
    struct daemon_seen seen;
    struct samples *samples;  /* owned; NULL: it never ran */
    struct history_gap *gaps; /* owned; the last ones, oldest first; NULL: there was none */
    size_t gap_count;
    int64_t begun_ms;                     /* wall clock: since when it notes them */
    uint64_t opened_txid, opened_resyncs; /* of a folder's: what it had come to when it was opened */
    struct daemon_copy successor;
    bool has_successor;
    bool returns;        /* its folder looks for it when it has left */
    uv_timer_t patience; /* the time to leave in order; of one that failed: until the next try */
    bool patience_open;
    uint32_t failed_pause_ms; /* the last such pause */
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
    enum err_code told_listen; /* why it cannot listen */
    bool closed;
};

enum { DAEMON_SIGNAL_COUNT = 3 };

/* Somebody on a control socket waits for a database that is not open. */
struct daemon_wait {
    struct daemon_item *item;
    struct http_call *call;
    bool for_snapshot;
    uint64_t timeout_ms; /* 0: none */
    uv_timer_t timer;
    struct daemon_wait *next, **at;
};

enum daemon_item_state {
    DAEMON_ITEM_NEW,     /* not looked at yet */
    DAEMON_ITEM_EMPTY,   /* its application has not written it yet */
    DAEMON_ITEM_QUEUED,  /* is to be opened */
    DAEMON_ITEM_AWAKE,   /* a member of the daemon */
    DAEMON_ITEM_PARKED,  /* nothing to do until its files change */
    DAEMON_ITEM_FAILED,  /* tried again when its file changes, and at growing pauses */
    DAEMON_ITEM_FENCED,  /* another writer has its replica */
    DAEMON_ITEM_LEAVING, /* forgotten as soon as nobody holds it any more */
};

/* What is shown of a database that is not open. */
struct daemon_item_facts {
    uint32_t timeline;
    uint64_t txid, snapshot_txid, resync_count, put_count, put_bytes, raw_bytes, failure_count, gap_count;
    int64_t time_ms, snapshot_ms, failed_ms;
};

/* A database of a folder.  There may be very many, so this is small; what an open one needs is in its member. */
struct daemon_item {
    struct daemon_folder *folder;
    char *path, *url; /* owned */
    enum daemon_item_state state;
    struct daemon_member *member;     /* AWAKE */
    struct err *error;                /* owned; FAILED, FENCED; and what failed while it was open and is not mended */
    bool prune_failed;                /* that is its last prune */
    struct park_mark mark;            /* PARKED: what its files must look like; EMPTY, FAILED: what they looked like */
    struct daemon_triggers *triggers; /* owned; others than the folder's, until a reload; NULL: none */
    struct daemon_item_facts facts;
    struct daemon_proof proof;
    struct file_watch_entry watch;
    bool watches_log; /* not the database itself */
    bool look_due, in_look;
    bool ship_wanted;      /* what its opening finds is to be shipped at once */
    bool seen;             /* by the present scan */
    bool shown;            /* it has series of its own in /metrics also while it is not open */
    bool replicated;       /* by this process: what goes wrong from then on is tried again */
    uint64_t due_ms;       /* monotonic: FAILED: the next try; PARKED: retention is due; 0: never */
    uint64_t keep_open_ms; /* AWAKE: not parked earlier than this */
    uint64_t prune_due_ms; /* monotonic, over all that it is opened and parked; 0: not planned */
    bool for_prune;        /* AWAKE: opened for that, and parked when it is done */
    uint32_t pause_ms;
    unsigned unsure;                        /* wakings in a row that had to compare all pages: parked later and later */
    struct daemon_wait *waits;              /* owned */
    struct daemon_item *next, **at;         /* in the folder's list */
    struct daemon_item *all_next, **all_at; /* in the daemon's */
    uint64_t number;                        /* falls along that list */
    struct daemon_item *look_next, *queue_next; /* look_due; QUEUED */
};

/* Databases of folders that have series of their own while they are closed: as many as can be open. */
enum { DAEMON_SHOWN_MAX = 1000 };

/* A folder that is looked into, and the databases found there. */
struct daemon_folder {
    struct daemon *daemon;
    struct daemon_copy settings; /* of each database */
    char *dir, *pattern;         /* owned */
    bool recursive, watch;
    char *state_dir, *socket_path; /* owned */
    int lock_fd;                   /* -1: not held */
    struct http_listener *control;
    struct err error; /* the folder cannot be read, or is another process's; code E_OK: it is fine */
    enum fence fence; /* of its replicas, once one of them has found out */
    struct daemon_item *items;
    void *by_path; /* tree of the same */
    size_t item_count;
    uint64_t gone_count; /* ever */
    void *watches;       /* tree of the folders that are watched */
    uv_timer_t timer;
    struct work_item scan_item;
    struct folder_scan scan;
    struct rc scan_rc;
    struct err scan_err;
    bool scanning, scan_again, scan_full, scanned;
    uint64_t full_ms; /* monotonic: when every database was looked at; 0: that is due */
    size_t watch_count;
    bool blind; /* no events for some of it: looked into more often */
    bool told_link, told_skipped;
    bool leaving, closing;
    uint64_t begun_ms, chore_next_ms[DAEMON_CHORE_COUNT]; /* monotonic */
    unsigned drills_undone;                               /* in a row */
    struct daemon_folder_settings *successor;             /* owned, with `heir` */
    struct daemon_copy heir;
    struct daemon_folder *next;
};

/* A database of a folder that is not there any more. */
struct daemon_gone {
    char *path, *url; /* owned */
    int64_t gone_ms;
    uint64_t txid;
};
enum { DAEMON_GONE_MAX = 100 };

/* What the service manager was told. */
struct daemon_notify {
    struct notify manager;
    uv_timer_t look, watchdog;
    bool ready, told_stop, told_failure;
    bool reload_owed; /* it did not hear of the last reload, or not of its end */
    char status[1024];
};

struct daemon {
    const struct daemon_source *source;
    const struct fsys *fs;
    uv_loop_t loop;
    struct work *work;
    struct store_env *env;
    struct db_drill_turn drill_turn;
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
    struct daemon_folder *folders;
    struct daemon_item *items; /* of all folders */
    uint64_t item_number, item_change_count, item_count;
    size_t item_shown_count;
    struct daemon_item *queue, **queue_last; /* to be opened */
    size_t open_max;                         /* members of folders at once */
    struct file_watch *watch;                /* NULL: none, or not to be had */
    struct daemon_item *looks, **looks_last; /* to be looked at */
    struct daemon_look *look;                /* under way; NULL: none */
    bool told_blind;
    uv_timer_t tick;
    struct daemon_gone gone[DAEMON_GONE_MAX]; /* the latest, a ring */
    size_t gone_count;
    struct daemon_history *histories; /* that somebody asked for lately */
    unsigned history_jobs;            /* under way */
    struct daemon_chores *chores;     /* owned (daemon_chore.h) */
    struct daemon_child child;
    struct daemon_notify notify;
    uv_signal_t signals[DAEMON_SIGNAL_COUNT];
    uv_timer_t deadline;
    uint64_t stop_ms; /* when a signal asked for the stop; 0: none did */
    bool last_look;   /* the stop has begun: parked databases are looked at once more, then `stopping` */
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

/* The same in the list of the databases of folders. */
struct daemon_item_place {
    struct daemon_item *item;
    uint64_t number, change_count;
};
/* --- daemon.c */
/* Something is over or gone: is there anything left to do? */
void daemon_check_end(struct daemon *d);

/* Begin with all databases of the settings. */
void daemon_begin_members(struct daemon *d, const struct daemon_settings *settings);
/* Ship what is left and end; `number` 0: no signal is the reason. */
void daemon_stop(struct daemon *d, int number);
/* A last look at parked databases, or an opening, has come to something: may the stop go on? */
void daemon_stop_looked(struct daemon *d);
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
/* The same for a database of a folder. */
struct daemon_member *daemon_member_begin_item(struct daemon_item *item, const struct db_settings *set);
/* The pause after a failure that no retry mends by itself, by the one before: a person may have mended it. */
uint32_t daemon_member_failed_pause(uint32_t before_ms);
/* Could a running one go on with these settings?  And the ones that it takes. */
bool daemon_member_can_take(const struct db_settings *now, const struct db_settings *set);
void daemon_member_take(struct db_settings *now, const struct db_settings *set);
/* Let go of it for a while. */
void daemon_member_park(struct daemon_member *m);
void daemon_member_copy_init(struct daemon_copy *c, const struct db_settings *set);
void daemon_member_copy_fini(struct daemon_copy *c);
bool daemon_member_same_replica(const struct db_settings *a, const struct db_settings *b);
/* Ship, stop, close, and begin the successor (NULL: none).  For one that is leaving already only the successor
 * changes. */
void daemon_member_leave(struct daemon_member *m, const struct db_settings *successor);
/* It was to have a successor outside its folder, and stays with the folder after all. */
void daemon_member_return(struct daemon_member *m);
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
/* One that is at work; NULL: the call has its answer, there is none. */
struct daemon_member *daemon_http_working_member(struct daemon *d, struct http_call *call);
/* A folder's database that is not open, or NULL: it is opened when that turns out to be necessary. */
struct daemon_item *daemon_http_closed_item(struct daemon *d, struct http_call *call);
/* Let somebody wait for a sync or a snapshot of an open database. */
void daemon_http_wait(struct db *db, struct http_call *call, bool for_snapshot, uint64_t timeout_ms);

/* --- daemon_listen.c */
/* Begin to listen at what the settings name for all databases.  Who stands by need not have it all yet. */
MUST_USE struct rc daemon_listen_begin(struct daemon *d, const struct daemon_settings *settings, struct err *err);
/* Is all of it ours?  What is not is tried once more. */
bool daemon_listen_turn(struct daemon *d);
/* A reload: what cannot change must be the same; the token may be another one. */
MUST_USE struct rc daemon_listen_reload(struct daemon *d, const struct daemon_settings *settings, struct err *err);
void daemon_listen_end(struct daemon *d);
/* One socket for this database, where there is none for all; others find it by the local state. */
MUST_USE struct rc daemon_listen_member(struct daemon_member *m, struct err *err);
/* The same for a folder. */
MUST_USE struct rc daemon_listen_folder(struct daemon_folder *f, struct err *err);
/* Close a listener (NULL: none) and remove its socket. */
void daemon_listen_close(struct http_listener **l, const char *path);

/* --- daemon_status.c */
void daemon_status_answer(struct daemon *d, struct http_call *call);
/* What is shown of a database that is not open; `url` (borrowed, without secrets) may be NULL where nobody looks at it.
 */
void daemon_status_closed(const struct daemon_item *item, const char *url, struct status_closed *out);
/* How many of a folder's databases are how. */
void daemon_status_count(const struct daemon_folder *f, uint64_t counts[METRICS_FOLDER_STATE_COUNT]);

/* --- daemon_verdict.c */
/* Something that is not well: a database, a folder, the configuration; `why` NULL: its state says it. */
typedef void daemon_verdict_fn(void *ctx, const char *path, const char *state, const struct err *why);
void daemon_verdict_each(const struct daemon *d, daemon_verdict_fn *found, void *ctx);
/* Is everything well?  Is an open one?  One that is not open? */
bool daemon_verdict_all(const struct daemon *d);
bool daemon_verdict_member(const struct daemon_member *m);
bool daemon_verdict_item(const struct daemon_item *i);

/* --- daemon_show.c: pages */
void daemon_show_ready(struct daemon *d, struct http_call *call);
void daemon_show_events(struct daemon *d, struct http_call *call);
void daemon_show_samples(struct daemon *d, struct http_call *call);
void daemon_show_metrics(struct daemon *d, struct http_call *call);

/* --- daemon_history.c */
void daemon_history_answer(struct daemon *d, struct http_call *call);
/* The daemon is ending; daemon_check_end() is called when that is through. */
void daemon_history_end(struct daemon *d);
/* The actor has found a gap. */
void daemon_history_gap(struct daemon_member *m);

/* --- daemon_notify.c; without a service manager none of these does anything, but for begin and close */
void daemon_notify_begin(struct daemon *d);
void daemon_notify_on_look(uv_timer_t *timer);
/* Something looks different. */
void daemon_notify_news(struct daemon *d);
/* A reload begins, or is over. */
void daemon_notify_reload(struct daemon *d, bool begins);
void daemon_notify_stop(struct daemon *d);
void daemon_notify_close(struct daemon *d);

/* --- daemon_watch.c */
/* Of the actor of a member: what changed becomes events, counts and samples. */
void daemon_watch_news(struct db *db);
void daemon_watch_configuration(struct daemon *d, const char *kind, const char *text);
/* The same of a folder, or of a database that is not open; `why` code E_OK: it is well again. */
void daemon_watch_path(struct daemon *d, const char *path, const struct err *why);
/* A folder was searched, or could not be. */
void daemon_watch_folder(struct daemon_folder *f, const struct err *err);
/* A database of a folder is not there any more. */
void daemon_watch_gone(const struct daemon_item *item);

/* --- daemon_folder.c */
void daemon_folder_begin(struct daemon *d, const struct daemon_folder_settings *set);
/* Stop its databases in order, close, and begin the successor (NULL: none). */
void daemon_folder_leave(struct daemon_folder *f, const struct daemon_folder_settings *successor);
void daemon_folder_close(struct daemon_folder *f);
/* Look into it soon. */
void daemon_folder_kick(struct daemon_folder *f);
/* Settings that take effect at once; false: it has to begin anew. */
bool daemon_folder_adjust(struct daemon_folder *f, const struct daemon_folder_settings *set);
/* Is there anything left? */
void daemon_folder_check(struct daemon_folder *f);
/* Another database of this daemon that has the same replica, or NULL. */
const char *daemon_folder_same_replica(const struct daemon_item *item, const struct db_settings *set);
/* Is this path one of the folder's databases, and no entry's, and no inner folder's? */
bool daemon_folder_owns(const struct daemon_folder *f, const char *path);

/* --- daemon_item.c */
void daemon_item_add(struct daemon_folder *f, const char *path);
struct daemon_item *daemon_item_find(struct daemon_folder *f, const char *path);
/* One that is not open, of any folder; NULL: there is none of this path. */
struct daemon_item *daemon_item_closed_at(struct daemon *d, const char *path);
/* NULL: there is none behind that place. */
struct daemon_item *daemon_item_next(struct daemon *d, struct daemon_item_place *at);
/* Its member is at work, or to be shown: not one that is being parked. */
bool daemon_item_is_open(const struct daemon_item *item);
/* Its files may have changed. */
void daemon_item_look_later(struct daemon_item *item);
void daemon_item_judge(struct daemon_item *item, const struct park_mark_file *db, const struct park_mark_file *log,
    const struct daemon_left *left, const struct err *err);
/* One that is parked. */
void daemon_item_reopen(struct daemon_item *item);
void daemon_item_wake(struct daemon_item *item);
/* Its time has come: another try, or something to be done with it. */
void daemon_item_retry(struct daemon_item *item);
void daemon_item_fail(struct daemon_item *item, enum daemon_item_state state, const struct err *err);
/* Of its member: it is over, it is gone. */
void daemon_item_over(struct daemon_item *item);
void daemon_item_closed(struct daemon_item *item);
/* Forget it when nobody holds it any more. */
void daemon_item_leave(struct daemon_item *item);

/* --- daemon_wait.c */
/* Answer when the database is open, or when it is certain that nothing happened. */
void daemon_wait_add(struct daemon_item *item, struct http_call *call, bool for_snapshot, uint64_t timeout_ms);
void daemon_wait_fail(struct daemon_item *item, const struct err *err);
/* Nothing was committed: whoever waits for that to be shipped has it.  False: somebody waits for more than that. */
bool daemon_wait_settle(struct daemon_item *item);
/* It is open now. */
void daemon_wait_begin(struct daemon_item *item, struct db *db);

/* --- daemon_look.c */
void daemon_look_run(struct daemon *d);

/* --- daemon_prune.c */
/* When is retention to be at work on it next?  0: never. */
void daemon_prune_plan(struct daemon_item *item);
/* It was opened for that, which has not been at work yet. */
bool daemon_prune_awaited(const struct daemon_item *item);

/* --- daemon_queue.c */
void daemon_queue_limits(struct daemon *d);
/* Of a folder's database: it is being attached, and nothing is in the way yet. */
bool daemon_queue_is_starting(const struct daemon_member *m);
void daemon_queue_put(struct daemon_item *item);
void daemon_queue_remove(struct daemon_item *item);
/* Open and park what is due, soon. */
void daemon_queue_kick(struct daemon *d);
void daemon_queue_on_tick(uv_timer_t *timer);

/* --- daemon_reload.c */
void daemon_reload_run(struct daemon *d);

#endif
