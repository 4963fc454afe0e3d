/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "restore.h"
#include "store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_fsys.h"

struct order {
    struct work_item item; /* must be first */
    struct engine_world *w;
    struct work *work;
    struct store *store;
    struct fault_fsys disk;
    char folder[ENGINE_PATH_SIZE], target[ENGINE_PATH_SIZE + 16];
    uint64_t txid;
    bool in_place, done;
    long kill_at;
};

static void paths(struct engine_world *w, struct order *o)
{
    (void)snprintf(o->folder, sizeof o->folder, "%s/again", w->dir);
    (void)snprintf(o->target, sizeof o->target, "%s/app.db", o->folder);
}

void engine_restore_drop(struct engine_world *w)
{
    struct order o;
    char line[3 * ENGINE_PATH_SIZE];

    paths(w, &o);
    (void)snprintf(line, sizeof line, "rm -rf %s && mkdir %s", o.folder, o.folder);
    if (system(line) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe): paths of our own, and one thread */
        engine_wrong(w, "%s", line);
}

static void run(struct work_item *item)
{
    struct order *o = (struct order *)item;
    const struct restore_opts opts = {.output = o->target,
        .by_txid = true,
        .txid = o->txid,
        .timeline = o->w->timeline,
        .parallel = 1,
        .force = true,
        .in_place = o->in_place,
        .with_state = true};
    struct restore_report report = {0};
    struct err err;

    if (rc_failed(restore_run(o->work, o->store, &o->disk.fs, &opts, &report, &err)))
        engine_wrong(o->w, "restore txid %" PRIu64 ": %s", o->txid, err.msg);
}

static void on_done(struct work_item *item)
{
    ((struct order *)item)->done = true;
}

/* The file, and what lets replication go on. */
static void look_around(const struct order *o)
{
    DIR *dir = opendir(o->folder);
    struct dirent *entry;

    if (dir == NULL)
        abort();
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "app.db") != 0
            && strcmp(entry->d_name, "app.db-weir") != 0)
            engine_wrong(o->w, "a restore left %s behind", entry->d_name);
    (void)closedir(dir);
}

static void restore(struct engine_world *w, const void *arg)
{
    struct order o = *(const struct order *)arg;
    uv_loop_t loop;
    struct err err;

    o.item = (struct work_item){.run = run, .done = on_done};
    o.w = w;
    turns_use(&w->turns, 1);
    fault_fsys_init(&o.disk, FAULT_KILL, o.kill_at, EIO);
    o.disk.ops = FAULT_CHANGES & ~(unsigned)(FAULT_OPEN | FAULT_FSYNC);
    if (uv_loop_init(&loop) != 0 || rc_failed(store_dir_open(&loop, &fsys_real, w->root, &o.store, &err)))
        abort();
    o.work = work_new(&loop, 1);
    work_job(o.work, &o.item);
    while (!o.done)
        if (!turns_take()) {
            engine_wrong(w, "the restore waits for nothing");
            return;
        }
    engine_judge_file(w, o.target, w->timeline, o.txid, "restored after a kill");
    look_around(&o);
}

enum engine_end engine_restore(struct engine_world *w, uint64_t txid, bool in_place, long kill_at)
{
    struct order o = {.txid = txid, .in_place = in_place, .kill_at = kill_at};
    int status;

    paths(w, &o);
    w->restores++;
    status = engine_apart(w, restore, &o);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        w->kills++;
        return ENGINE_KILLED;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        engine_wrong(w, "the restore ended with status %#x", (unsigned)status);
    return ENGINE_ENDED;
}
