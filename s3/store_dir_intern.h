/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir_intern - what the parts of the directory store share.
 *
 * A request becomes a `struct dir_work` and runs in a thread of libuv's pool.  Functions that take a dir_work run
 * there; they may use the request, the work's upload, what is read-only in the store, and, under its lock, the levels.
 */
#ifndef STORE_DIR_INTERN_H
#define STORE_DIR_INTERN_H

#include "fsys.h"
#include "store_dir.h"

#include <stdatomic.h>
#include <sys/queue.h>

enum {
    STORE_DIR_PATH_SIZE = 4096,                                    /* Linux's PATH_MAX */
    STORE_DIR_ROOT_MAX = STORE_DIR_PATH_SIZE - STORE_KEY_MAX - 64, /* room for a key or a temporary name */
    STORE_DIR_NAME_SIZE = 40,                                      /* a temporary file's name, and an id */
    STORE_DIR_PART_SIZE = 1 << 20,                                 /* bytes */
    STORE_DIR_PARTS_MAX = 1 << 22,                                 /* 4 TiB in one object */
    STORE_DIR_UPLOADS_MAX = 64,                                    /* each holds a descriptor */
    STORE_DIR_LEVELS_MAX = 64,                                     /* remembered directories */
    STORE_DIR_DOUBTS_MAX = 16,                                     /* see store_dir_put.c */
    STORE_DIR_SWEEP_AGE_S = 24 * 3600,
    STORE_DIR_FILE_MODE = 0640,
    STORE_DIR_DIR_MODE = 0750,
};

typedef char store_dir_path[STORE_DIR_PATH_SIZE];

/* An upload that was started and neither finished nor aborted. */
struct dir_upload {
    struct dir_upload *next;
    char name[STORE_DIR_NAME_SIZE]; /* of the temporary file, and the id; unguessable */
    char key[STORE_KEY_MAX + 1];
    int fd; /* open all along: a write-back error is reported to whoever had the file open when it happened */

    /* Loop thread only. */
    unsigned in_flight; /* requests that use it */
    uint8_t *parts;     /* a bit for each part that is there */
    uint32_t part_room; /* bits */
    uint32_t part_count;
    uint32_t part_short; /* the one that is not full, 0 when there is none */
    size_t short_size;
    bool ending; /* FINISH or ABORT is under way */
};

struct dir_work {
    uv_work_t uv;
    struct store_dir *dir;
    struct store_req *req;
    LIST_ENTRY(dir_work) next;
    struct dir_upload *upload; /* borrowed while the request holds it; START: made here */
    bool refused;              /* the answer was known at once: nothing is to be done */
    bool sweep;                /* remove left-over temporary files on the way */
    bool counted;              /* START: a place in the table is reserved */
    bool upload_gone;          /* FINISH, ABORT: the descriptor is closed, the temporary file is no more */
};

struct store_dir {
    struct store base; /* must be first */

    /* Set at the start, read-only afterwards. */
    const struct fsys *fs;
    uv_loop_t *loop;
    char *root;

    /* Loop thread only. */
    uv_timer_t anchor;           /* never started: its close callback is the moment when everything is over */
    LIST_HEAD(, dir_work) works; /* in flight */
    struct dir_upload *uploads;
    unsigned upload_count;
    uint64_t swept_at_ms; /* on the loop's clock */
    bool swept, stopping, closing;
    void (*on_stopped)(void *ctx);
    void *ctx;
    uv_work_t farewell;

    /* From all threads. */
    atomic_bool no_rename_new; /* the file system cannot do it */
    uv_mutex_t lock; /* for the levels; also held while one is made, so that nobody relies on an unsynced one */
    char *levels[STORE_DIR_LEVELS_MAX]; /* directories whose entry in their parent is durable */
    unsigned level_next;
    bool root_known; /* the replica's directory was there, and was this one: */
    dev_t root_device;
    ino_t root_inode;
    char *keeper; /* the first key directly in the directory that was read or written: weir.json; NULL: none yet */
    uint64_t doubts[STORE_DIR_DOUBTS_MAX]; /* digests of keys whose name may not be durable; 0 is none */
    unsigned doubt_next;
};

/* `<root>/<name>`; what does not fit was refused by store_dir_open() and store_submit(). */
void store_dir_join(const struct store_dir *d, const char *name, store_dir_path out);

/* Turn ENOTDIR, about which `err` tells, into a message that names the file that stands in the way of `path`. */
MUST_USE struct rc store_dir_explain(const struct store_dir *d, const char *path, struct err *err);

#endif
