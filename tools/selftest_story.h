/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest_story - the steps of `weir selftest`: write, ship, wipe, restore, compare, verify, remove.
 *
 *     selftest_story_prepare(&t, err)     before any thread is started
 *     selftest_story_run(&t, err)         the first failure ends it
 *     selftest_story_remove(&t, err)      always
 *
 * Everything that it makes is below a name that nobody had before: a folder on this machine, and a place in the store,
 * where nothing is done unless it is empty.
 */
#ifndef SELFTEST_STORY_H
#define SELFTEST_STORY_H

#include "selftest_app.h"
#include "selftest_daemon.h"
#include "selftest_print.h"
#include "settings.h"
#include "work.h"

#include <pthread.h>

enum {
    SELFTEST_POINTS = 5,  /* states that are copied and restored: the last one, one by its time, others by their txid */
    SELFTEST_ROUNDS = 40, /* so often the test waits until a commit is durable, which gives the lag */
    SELFTEST_COMMITS_DEFAULT = 2000,
    SELFTEST_COMMITS_MAX = 1000000,
    SELFTEST_TIMEOUT_DEFAULT_MS = 60 * 1000,
};

/* A state that was copied when it was durable in the replica. */
struct selftest_point {
    uint64_t txid, size;
    int64_t time_ms; /* after it was durable, and before anything else was committed */
    char *copy;      /* owned */
};

struct selftest_story {
    /* Filled in by the caller. */
    const struct fsys *fs;
    const char *source, *file; /* NULL: a temporary folder; what `-c` said */
    const char *scratch_dir;   /* NULL: $TMPDIR, or /tmp */
    uint64_t commits, timeout_ms;
    bool keep, json;

    struct settings_source from;
    struct selftest_print print;
    char *url, *shown_url;       /* owned; of the scratch replica */
    char *folder, *above;        /* owned; of a replica in a folder; above it is what was there before */
    char *scratch, *db, *socket; /* owned; on this machine */
    bool scratch_made;
    bool ours; /* the place in the store was found empty, so that what is in it is ours */
    bool objects_left;
    struct selftest_daemon *daemon; /* owned */
    struct selftest_app *app;       /* owned */
    struct selftest_point points[SELFTEST_POINTS];
    size_t point_count;
    uint64_t lags_us[SELFTEST_ROUNDS];
    size_t lag_count;

    /* For whoever interrupts it: the session under way that may be cut short. */
    pthread_mutex_t lock;
    struct work *work;
    struct store *store;
};

MUST_USE struct rc selftest_story_prepare(struct selftest_story *t, struct err *err);
MUST_USE struct rc selftest_story_run(struct selftest_story *t, struct err *err);
/* E_OK: nothing is left, or all is kept on purpose. */
MUST_USE struct rc selftest_story_remove(struct selftest_story *t, struct err *err);
void selftest_story_fini(struct selftest_story *t);

/* Any thread: end what is under way soon. */
void selftest_story_interrupt(struct selftest_story *t);

#endif
