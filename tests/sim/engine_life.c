/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "db.h"
#include "fault_fsys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FENCED_STATUS = 5, REST_STEPS = 3, STEPS_MAX = 5000, ODD_TRIES = 20, HOPELESS = 10, AMID_EVERY = 40 };

struct life {
    struct engine_world *w;
    const struct engine_script *script;
    struct fsys traced; /* below `disk` */
    struct fault_fsys disk;
    struct fault_store store;
    bool store_made;
    uv_loop_t loop;
    struct db_settings settings;
    struct db db;
    unsigned amid;
    bool over;
};

static struct life l;

/* --- the store ------------------------------------------------------------------------------------------------------
 */

static const struct store_ops *fault_ops;

/* What was written now has the time of now: retention asks for the age of some objects. */
static void date(const struct store_req *req)
{
    const int64_t now_ms = virtual_time_now();
    const struct timespec times[2] = {
        {now_ms / 1000, now_ms % 1000 * 1000000}, {now_ms / 1000, now_ms % 1000 * 1000000}};
    char path[ENGINE_PATH_SIZE + STORE_KEY_MAX + 1];

    (void)snprintf(path, sizeof path, "%s/%s", l.w->root, req->key);
    (void)utimensat(AT_FDCWD, path, times, 0); /* it may have been deleted already */
}

static void on_dated(struct store_req *inner)
{
    struct store_req *outer = inner->ctx;

    engine_trace(l.w, "answer", inner->key, inner->err.code, 0);
    if (inner->err.code == E_OK)
        date(inner);
    store_req_take(outer, inner);
    store_req_fini(inner);
    free(inner);
    store_complete(&l.store.base, outer);
}

static void submit_dated(struct store *s, struct store_req *req)
{
    struct store_req *inner;

    engine_trace(l.w, store_verb_name(req->verb), req->key, 0, 0);
    if (req->verb != STORE_PUT && req->verb != STORE_UPLOAD_FINISH) {
        fault_ops->submit(s, req);
        return;
    }
    inner = calloc(1, sizeof *inner);
    if (inner == NULL)
        abort();
    store_req_forward(inner, req, on_dated, req);
    fault_ops->submit(s, inner);
}

/* The linker gives them these names (--wrap). */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
struct rc __real_store_open(struct store_env *env, const char *url, const struct store_option *options,
    size_t option_count, struct store **out, struct err *err);
struct rc __wrap_store_open(struct store_env *env, const char *url, const struct store_option *options,
    size_t option_count, struct store **out, struct err *err);

struct rc __wrap_store_open(struct store_env *env, const char *url, const struct store_option *options,
    size_t option_count, struct store **out, struct err *err)
{
    static struct store_ops ops;
    struct store *below;

    TRY(__real_store_open(env, url, options, option_count, &below, err));
    fault_store_init(&l.store, &l.loop, below);
    if (l.script->fault_at > 0)
        fault_store_arm(&l.store, l.script->fault, l.script->fault_at, l.script->fault_forever);
    fault_ops = l.store.base.ops;
    ops = *fault_ops;
    ops.submit = submit_dated;
    l.store.base.ops = &ops;
    l.store_made = true;
    *out = &l.store.base;
    return RC_OK;
}

/* NOLINTEND(bugprone-reserved-identifier) */

/* --- time passes ----------------------------------------------------------------------------------------------------
 */

static bool busy(void)
{
    const struct db *db = &l.db;

    return db->in_step || db->in_snap || db->in_fence || db->prune.running || db->fold.in_flight
           || db->shipper.in_flight || db->loading != NULL || db->close_item.run != NULL || db->state == DB_STARTING
           || db->state == DB_CLOSING;
}

static bool at_rest(void)
{
    const struct db *db = &l.db;

    return db->state == DB_RUNNING && db->shipped_txid == db->txid && db->open_commits == 0 && db->acknowledged == NULL
           && db->shipper.last_error.code == E_OK && db->fold.next.object.size == 0 && db->fold.got == DB_FOLD_NONE;
}

/* The application does not wait for the daemon to come to rest. */
static void commit_amid(void)
{
    if (l.amid == 0 || engine_pick(l.w, AMID_EVERY) > 0)
        return;
    l.amid--;
    l.w->amid += engine_app_try_commit(l.w);
}

/* Those who can go on do so, and what is due now, in an order that is drawn. */
static void drain(void)
{
    bool more = true;

    while (more && !l.over) {
        const bool timer_first = engine_pick(l.w, 2) == 0;

        commit_amid();
        more = timer_first ? virtual_time_fire(0) || turns_take() : turns_take() || virtual_time_fire(0);
        if (more && engine_pick(l.w, 8) > 0)
            continue;
        (void)uv_run(&l.loop, UV_RUN_NOWAIT); /* events of files */
        more = turns_take() || more;
        if (l.script->fault_forever && l.store_made && l.store.fired >= HOPELESS)
            (void)raise(SIGKILL);
    }
}

/* Everything that is under way comes to an end; later timers run only when nothing else does. */
static void finish(void)
{
    drain();
    for (unsigned steps = 0; busy() && !l.over; steps++) {
        if (!virtual_time_fire(INT64_MAX) || steps > STEPS_MAX) {
            engine_wrong(l.w, "the daemon is busy for ever, in state %s", db_state_name(l.db.state));
            _exit(0);
        }
        drain();
    }
}

/* Nothing is to be done any more, for some steps in a row. */
static void settle(void)
{
    uint64_t before = 0;

    for (unsigned steps = 0, rest = 0; rest < REST_STEPS && !l.over; steps++) {
        uint64_t now;

        finish();
        now = l.db.txid + l.db.merge_count + l.db.snapshot_count + l.db.fold.fold_count + l.db.fold.deleted_count;
        rest = at_rest() && now == before ? rest + 1 : 0;
        before = now;
        if (l.over || busy()) /* an event began something */
            continue;
        if (!virtual_time_fire(INT64_MAX)) {
            engine_wrong(l.w, "the daemon waits for nothing, in state %s", db_state_name(l.db.state));
            return;
        }
        if (steps > STEPS_MAX) {
            engine_wrong(l.w, "the daemon does not come to rest: %s, txid %" PRIu64 ", shipped %" PRIu64 ": %s",
                db_state_name(l.db.state), l.db.txid, l.db.shipped_txid,
                l.db.error.code != E_OK ? l.db.error.msg : l.db.shipper.last_error.msg);
            return;
        }
    }
}

static void note(void)
{
    struct engine_world *w = l.w;

    if (!at_rest() || l.script->db != NULL || w->mark_count == ENGINE_COMMITS_MAX)
        return;
    w->lost_state = false;
    w->timeline = l.db.timeline;
    w->tip = l.db.shipped_txid;
    w->marks[w->mark_count++] = (struct engine_mark){l.db.timeline, l.db.txid, w->number, l.db.shipped_time_ms};
}

/* In parts, as a machine does: nobody sleeps through a whole day. */
static void pass(int64_t ms)
{
    while (ms > 0 && !l.over) {
        int64_t part = ms < 2 * ENGINE_HOUR ? ms : 2 * ENGINE_HOUR;

        virtual_time_sleep(part);
        ms -= part;
        settle();
    }
}

/* --- what is written down --------------------------------------------------------------------------------------------
 */

static int traced_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    if ((flags & (O_WRONLY | O_RDWR)) != 0)
        engine_trace(l.w, "open", path, (uint64_t)flags, 0);
    return fsys_real.open(&fsys_real, path, flags, mode);
}

static ssize_t traced_pwrite(const struct fsys *fs, int fd, const void *buf, size_t n, off_t off)
{
    (void)fs;
    engine_trace(l.w, "write", "", n, (uint64_t)off);
    return fsys_real.pwrite(&fsys_real, fd, buf, n, off);
}

static int traced_rename(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    engine_trace(l.w, "rename", to, 0, 0);
    return fsys_real.rename(&fsys_real, from, to);
}

static int traced_rename_new(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    engine_trace(l.w, "rename", to, 1, 0);
    return fsys_real.rename_new(&fsys_real, from, to);
}

static int traced_unlink(const struct fsys *fs, const char *path)
{
    (void)fs;
    engine_trace(l.w, "unlink", path, 0, 0);
    return fsys_real.unlink(&fsys_real, path);
}

/* Every change of a file, where it happens. */
static void trace_disk(void)
{
    l.traced = fsys_real;
    l.traced.open = traced_open;
    l.traced.pwrite = traced_pwrite;
    l.traced.rename = traced_rename;
    l.traced.rename_new = traced_rename_new;
    l.traced.unlink = traced_unlink;
    l.disk.below = &l.traced;
}

/* --- a life ---------------------------------------------------------------------------------------------------------
 */

static void on_over(struct db *db)
{
    (void)db;
    l.over = true;
}

static void configure(void)
{
    static char url[ENGINE_PATH_SIZE + 16], path[ENGINE_PATH_SIZE];
    const struct engine_world *w = l.w;

    (void)snprintf(url, sizeof url, "file://%s", w->root);
    (void)snprintf(path, sizeof path, "%s", l.script->db != NULL ? l.script->db : w->db);
    l.settings = (struct db_settings){
        .path = path,
        .url = url,
        .sync_interval_ms = 1000,
        .snapshot_interval_ms = w->snapshot_ms,
        .merge_interval_ms = w->merge_ms,
        .merge_long_interval_ms = w->merge_long_ms,
        .merge_percent = w->merge_percent,
        .log_limit = 64 << 20,
        .spool_limit = 64 << 20,
        .may_switch = true,
        .adopt = w->lost_state, /* commits that nobody saw made another state of the file */
        .fold_count = w->fold_count,
        .retention = w->policy,
        .retention_interval_ms = (uint64_t)ENGINE_DAY,
        .fold_delete_after_ms = w->fold_delete_after_ms,
    };
}

static void begin(void)
{
    static const struct db nothing;
    struct err err;

    l.amid = l.script->amid;
    virtual_time_use(&l.w->clock);
    turns_use(&l.w->turns, 1000 + (int)l.w->lives);
    fault_fsys_init(&l.disk, FAULT_KILL, l.script->kill_at, EIO);
    trace_disk();
    /* An open or a sync changes nothing for who is killed, and what it makes is there before the next change. */
    l.disk.ops = FAULT_CHANGES & ~(unsigned)(FAULT_OPEN | FAULT_FSYNC);
    configure();
    if (uv_loop_init(&l.loop) != 0)
        abort();
    l.db = nothing;
    l.db.settings = &l.settings;
    l.db.loop = &l.loop;
    l.db.work = work_new(&l.loop, 1);
    l.db.fs = &l.disk.fs;
    l.db.env = store_env_new(&l.loop, &l.disk.fs);
    l.db.clock = &clock_real; /* whose clocks are the virtual ones here */
    l.db.on_over = on_over;
    if (rc_failed(db_begin(&l.db, &err))) {
        engine_wrong(l.w, "the daemon cannot begin: %s", err.msg);
        l.over = true;
    }
}

static void count(void)
{
    l.w->merges += l.db.merge_count;
    l.w->snapshots += l.db.snapshot_count;
    l.w->folds += l.db.fold.fold_count;
    l.w->prunes += l.db.prune.time_ms != 0;
    l.w->pruned += l.db.prune.report.deleted;
    l.w->faults += l.store_made ? (uint64_t)l.store.fired : 0;
}

/* A checkpoint may wait for the daemon to let it pass. */
static void do_something_odd(void)
{
    const uint64_t what = engine_pick(l.w, 1000);

    for (int tries = 0; !engine_app_odd(l.w, what) && tries < ODD_TRIES; tries++) {
        finish();
        (void)virtual_time_fire(ENGINE_HOUR);
    }
}

static void live(struct engine_world *w, const void *arg)
{
    char path[ENGINE_PATH_SIZE];

    l.w = w;
    l.script = arg;
    (void)snprintf(path, sizeof path, "%s/log", w->dir);
    if (freopen(path, "a", stderr) == NULL)
        abort();
    begin();
    settle();
    note();
    for (unsigned i = 0; i < l.script->commits && !l.over && w->wrong[0] == 0; i++) {
        virtual_time_sleep((int64_t)engine_pick(w, (uint64_t)(2 * w->gap_ms)));
        for (uint64_t n = engine_pick(w, 12) == 0 ? 5 : 1; n > 0; n--)
            engine_app_commit(w);
        if (engine_pick(w, 25) == 0)
            do_something_odd();
        settle();
        note();
    }
    pass(l.script->idle_ms);
    note();
    count();
    if (l.script->ends_by_kill)
        (void)raise(SIGKILL);
    if (!l.over)
        db_stop(&l.db);
    for (unsigned i = 0; i < STEPS_MAX && !l.over; i++) {
        finish();
        (void)virtual_time_fire(INT64_MAX);
    }
    w->last_changes = l.disk.calls;
    w->last_requests = l.store_made ? l.store.requests : 0;
    if (l.db.state == DB_FENCED)
        _exit(FENCED_STATUS);
    if (!l.over || l.db.state != DB_STOPPED)
        engine_wrong(w, "the daemon ended as %s: %s", db_state_name(l.db.state), l.db.error.msg);
    _exit(0);
}

enum engine_end engine_life(struct engine_world *w, const struct engine_script *script)
{
    const int status = engine_apart(w, live, script);

    w->lives++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        w->kills++;
        engine_app_resume(w);
        return ENGINE_KILLED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == FENCED_STATUS)
        return ENGINE_FENCED;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        engine_wrong(w, "the daemon ended with status %#x", (unsigned)status);
    return ENGINE_ENDED;
}
