/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - a database, an application, and the daemon's whole engine around it, on a virtual clock: for `sim_engine`.
 *
 *     engine_world_new(seed)                    an application in a process of its own, nothing replicated yet
 *     engine_life(w, &script)                   the daemon lives, in a process of its own, and may be killed
 *     engine_check(w, &what)                    every promised state restores, and nothing unneeded is left
 *     engine_world_free(w)
 *
 * The world lies in memory that all these processes share; so what a life did is known though it was killed.  The first
 * thing that is wrong is kept in `wrong`.
 *
 * engine_app.c is the application and what it knows of its states, engine_life.c the daemon, engine_check.c the judge,
 * engine_restore.c restores that are killed, engine_again.c the way back.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "fault_store.h"
#include "retention.h"
#include "sql_child.h"
#include "turns.h"
#include "virtual_time.h"

#define ENGINE_HOUR INT64_C(3600000)
#define ENGINE_DAY  (24 * ENGINE_HOUR)

enum {
    ENGINE_ROWS = 64,
    ENGINE_COMMITS_MAX = 20000,
    ENGINE_PROMISES_MAX = 4096,
    ENGINE_PATH_SIZE = 160,
    ENGINE_OBJECTS_MAX = 100, /* that the newest state may take to restore */
};

struct engine_row {
    uint64_t value;
    unsigned size; /* of a blob of zeros beside it */
    bool there;
};

/* After the application's commit number `number` the replica had this txid, acknowledged. */
struct engine_mark {
    uint32_t timeline;
    uint64_t txid, number;
    int64_t time_ms;
};

struct engine_promise {
    uint32_t timeline;
    uint64_t txid;
    int64_t until_ms;
};

struct engine_world {
    struct virtual_clock clock;
    uint64_t seed, random;
    struct turns turns;
    uint64_t trace; /* a hash of all that happened, in its order */
    char dir[64];
    char live[ENGINE_PATH_SIZE], root[ENGINE_PATH_SIZE], db[ENGINE_PATH_SIZE];

    /* The application. */
    struct sql_child app;
    unsigned databases; /* how many there were: each takeover makes another */
    struct engine_row rows[ENGINE_ROWS];
    uint64_t pings;
    uint64_t number; /* of its last commit; grows over all databases */
    uint64_t digests[ENGINE_COMMITS_MAX];

    /* How the daemon is set. */
    unsigned page_size;
    uint64_t fold_count, fold_delete_after_ms, merge_ms, merge_long_ms, snapshot_ms, merge_percent;
    struct retention_policy policy;
    int64_t gap_ms; /* between commits, on average */

    /* What is known. */
    struct engine_mark marks[ENGINE_COMMITS_MAX];
    size_t mark_count;
    struct engine_promise promises[ENGINE_PROMISES_MAX];
    size_t promise_count;
    uint32_t timeline;
    uint64_t tip;    /* acknowledged */
    bool lost_state; /* the local one, since it last was */
    char wrong[1024];
    uint64_t lives, kills, restores, merges, snapshots, folds, prunes, pruned, faults, most_objects, amid;
    long last_changes, last_requests; /* of the last life that was not killed: where it could have been */
};

struct engine_world *engine_world_new(uint64_t seed);
void engine_world_free(struct engine_world *w);
uint64_t engine_pick(struct engine_world *w, uint64_t below);
/* `fmt` is what is wrong; only the first one is kept. */
void engine_wrong(struct engine_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Where it went wrong, behind what is wrong. */
void engine_wrong_at(struct engine_world *w, const char *what, long n);
/* Something happened; paths are cut to what is within the world's folder. */
void engine_trace(struct engine_world *w, const char *what, const char *path, uint64_t a, uint64_t b);

/* --- the application -----------------------------------------------------------------------------------------------
 */

void engine_app_create(struct engine_world *w);
/* `db` becomes the path of the next one. */
void engine_app_name_next(struct engine_world *w);
/* The present database, whatever it is; and no database. */
void engine_app_open(struct engine_world *w);
void engine_app_close(struct engine_world *w);
void engine_app_commit(struct engine_world *w);
/* While the daemon is in the midst of something; false: it has a lock, and nothing was committed. */
bool engine_app_try_commit(struct engine_world *w);
/* Try something that makes a commit or none, and changes no row; `what` was drawn.  False: the daemon is in the way,
 * which has to go on first. */
bool engine_app_odd(struct engine_world *w, uint64_t what);
/* The model becomes what the file has, which must be a state that was. */
void engine_app_adopt(struct engine_world *w);
/* The process that talked with it was killed, perhaps in the midst of a word. */
void engine_app_resume(struct engine_world *w);
uint64_t engine_app_mix(uint64_t id, uint64_t value, uint64_t size);

/* --- the daemon ----------------------------------------------------------------------------------------------------
 */

struct engine_script {
    unsigned commits;            /* and time passes between them */
    unsigned amid;               /* commits while the daemon is at work, at most */
    int64_t idle_ms;             /* afterwards */
    long kill_at;                /* the n-th change of a file of its own or of the replica; 0: none */
    bool ends_by_kill;           /* else in order */
    enum fault_store_kind fault; /* of the n-th request */
    long fault_at;               /* 0: none */
    bool fault_forever;          /* from there on; after some of them it is killed */
    const char *db;              /* NULL: the present one */
};
enum engine_end { ENGINE_ENDED, ENGINE_KILLED, ENGINE_FENCED };
enum engine_end engine_life(struct engine_world *w, const struct engine_script *script);

/* --- the judge -----------------------------------------------------------------------------------------------------
 */

struct engine_question {
    bool all;   /* promised states; else a few */
    bool prune; /* to the end, and look for what is not needed */
};
void engine_check(struct engine_world *w, const struct engine_question *q);
/* The file is the state that the application had there. */
void engine_judge_file(struct engine_world *w, const char *path, uint32_t timeline, uint64_t txid, const char *why);
uint64_t engine_object_count(const struct engine_world *w);
/* A state is restored as the next database; `back`: not the newest, but one so many acknowledged commits ago. */
void engine_take_over(struct engine_world *w, size_t back);

/* Restore a state of the newest timeline to a file beside the world, and compare; `kill_at` as in a life, and then only
 * if it was not killed.  Nothing but the file may be left of it. */
enum engine_end engine_restore(struct engine_world *w, uint64_t txid, bool in_place, long kill_at);
void engine_restore_drop(struct engine_world *w);

/* --- the same once more ---------------------------------------------------------------------------------------------
 */

/* The world as it is now, files and replica too; and back to there. */
struct engine_saved;
struct engine_saved *engine_again_save(struct engine_world *w);
void engine_again_back(struct engine_world *w, const struct engine_saved *saved);
void engine_again_drop(struct engine_world *w, struct engine_saved *saved);
/* What the daemon keeps beside the database gets lost. */
void engine_again_lose_state(struct engine_world *w);

/* Run it in a process of its own, which shares the world; its wait status. */
int engine_apart(struct engine_world *w, void (*fn)(struct engine_world *w, const void *arg), const void *arg);

#endif
