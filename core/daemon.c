/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include "alloc.h"
#include "control.h"
#include "db_snapshot.h"
#include "db_sync.h"
#include "slog.h"
#include "status.h"

#include <assert.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct daemon {
    const struct daemon_settings *settings;
    const struct fsys *fs;
    uv_loop_t loop;
    struct work *work;
    struct store_env *env;
    struct control *control;
    char *socket_path; /* owned */
    struct db **dbs;   /* owned */
    size_t count, over_count, ended_count;
    uv_signal_t signals[2];
    uv_timer_t deadline;
    unsigned open_handles;
    bool stopping, ending;
    struct err worst; /* what the process ends with */
};

/* --- ending ------------------------------------------------------------------------------------------------------- */

/* What matters most to whoever looks at the exit status: fenced before anything, then the first failure. */
static void note_outcome(struct daemon *d, const struct db *db)
{
    struct err unshipped;

    if (db->state == DB_FENCED || db->error.code != E_OK) {
        if (d->worst.code == E_OK || (db->error.code == E_FENCED && d->worst.code != E_FENCED))
            d->worst = db->error;
        return;
    }
    if (db_is_shipped(db) || d->worst.code != E_OK)
        return;
    if (db->shipper.last_error.code != E_OK)
        rc_ignore(
            rc_raise(&unshipped, E_TIMEOUT, "%s: %llu commits were not shipped (last error: %s)", db->settings->path,
                (unsigned long long)(db->txid - db->shipped_txid), db->shipper.last_error.msg),
            "it is the outcome");
    else
        rc_ignore(rc_raise(&unshipped, E_TIMEOUT, "%s: %llu commits were not shipped in time", db->settings->path,
                      (unsigned long long)(db->txid - db->shipped_txid)),
            "it is the outcome");
    d->worst = unshipped;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct daemon *d = handle->data;

    d->open_handles--;
}

static void on_env_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->env = NULL;
}

static void end_loop(struct daemon *d)
{
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&d->signals[i], on_handle_closed);
    uv_close((uv_handle_t *)&d->deadline, on_handle_closed);
    work_stop(d->work);
    store_env_stop(d->env, on_env_stopped, d);
}

static void on_db_closed(struct db *db)
{
    struct daemon *d = db->ctx;

    if (++d->ended_count == d->count)
        end_loop(d);
}

static void on_control_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->control = NULL;
    for (size_t i = 0; i < d->count; i++)
        db_end(d->dbs[i], on_db_closed);
}

static void end(struct daemon *d)
{
    d->ending = true;
    if (d->control != NULL)
        control_stop(d->control, on_control_stopped, d);
    else
        on_control_stopped(d);
}

static void on_over(struct db *db)
{
    struct daemon *d = db->ctx;

    note_outcome(d, db);
    if (++d->over_count == d->count)
        end(d);
}

static void on_deadline(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    LOG_ERROR("the time for an orderly stop is over");
    for (size_t i = 0; i < d->count; i++)
        db_abandon(d->dbs[i]);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    int rc;

    if (d->stopping) {
        LOG_WARN("second signal: ending at once", F_I64("signal", number));
        on_deadline(&d->deadline);
        return;
    }
    d->stopping = true;
    LOG_INFO("stopping: shipping what is left", F_I64("signal", number));
    rc = uv_timer_start(&d->deadline, on_deadline, d->settings->shutdown_ms, 0);
    assert(rc == 0);
    for (size_t i = 0; i < d->count; i++)
        db_stop(d->dbs[i]);
}

/* --- the control socket ----------------------------------------------------------------------------------------------
 */

static int append(const char *text, size_t size, void *ctx)
{
    buf_put(ctx, text, size);
    return 0;
}

static void answer_json(struct control_call *call, json_t *o)
{
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, CONTROL_ANSWER_MAX);
    if (o == NULL || json_dump_callback(o, append, &text, JSON_COMPACT) != 0)
        buf_text(&text, "{\"ok\":false,\"code\":\"E_NOMEM\",\"error\":\"the daemon is out of memory\"}");
    json_decref(o);
    control_answer(call, mem_strdup(buf_str(&text)));
}

static void answer_error(struct control_call *call, const struct err *err)
{
    answer_json(call, json_pack("{s:b, s:s, s:s}", "ok", 0, "code", rc_name(err->code), "error", err->msg));
}

struct call_waiter {
    struct db_waiter waiter; /* must be first */
    struct control_call *call;
};

static void on_waited(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    struct call_waiter *cw = (struct call_waiter *)w;

    if (err->code != E_OK)
        answer_error(cw->call, err);
    else
        answer_json(cw->call, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)txid));
    mem_free(cw);
}

static bool db_is_over(const struct db *db)
{
    return db->state == DB_FENCED || db->state == DB_FAILED || db->state == DB_STOPPED;
}

enum wait_for { WAIT_NOT, WAIT_SYNC, WAIT_SNAPSHOT };

/* A waiter that nobody hears: its being there makes the actor ship at once. */
static void on_unheard(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    (void)txid;
    (void)err;
    mem_free(w);
}

static void begin_wait(struct db *db, struct control_call *call, enum wait_for what)
{
    struct call_waiter *cw = mem_new(sizeof *cw);

    cw->waiter.done = what == WAIT_NOT ? on_unheard : on_waited;
    cw->call = call;
    if (what == WAIT_SNAPSHOT)
        db_snapshot_wait(db, &cw->waiter);
    else
        db_sync_wait(db, &cw->waiter);
    if (what == WAIT_NOT)
        answer_json(call, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)db->txid));
}

static void wait_on_db(struct daemon *d, struct control_call *call, const char *path, enum wait_for what)
{
    struct err err;

    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->dbs[i]->settings->path, path) != 0)
            continue;
        if (db_is_over(d->dbs[i])) {
            rc_ignore(rc_raise(&err, E_CANCELED, "%s is not replicated any more: %s", path, d->dbs[i]->error.msg),
                "it is the answer");
            answer_error(call, &err);
            return;
        }
        begin_wait(d->dbs[i], call, what);
        return;
    }
    rc_ignore(rc_raise(&err, E_CONFIG, "%s is not a database of this daemon", path), "it is the answer");
    answer_error(call, &err);
}

static void answer_status(struct daemon *d, struct control_call *call)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->count; i++)
        (void)json_array_append_new(list, status_database(d->dbs[i])); /* fails only without memory */
    answer_json(
        call, json_pack("{s:s, s:I, s:o}", "version", WEIR_VERSION, "pid", (json_int_t)getpid(), "databases", list));
}

static void on_call(void *ctx, struct control_call *call, const char *command, const char *argument)
{
    struct daemon *d = ctx;
    struct err err;

    if (strcmp(command, "status") == 0) {
        answer_status(d, call);
    } else if (strcmp(command, "sync") == 0) {
        wait_on_db(d, call, argument, WAIT_SYNC);
    } else if (strcmp(command, "ship") == 0) {
        wait_on_db(d, call, argument, WAIT_NOT);
    } else if (strcmp(command, "snapshot") == 0) {
        wait_on_db(d, call, argument, WAIT_SNAPSHOT);
    } else {
        rc_ignore(rc_raise(&err, E_CONFIG, "no such command: %.64s", command), "it is the answer");
        answer_error(call, &err);
    }
}

/* --- beginning
 * -------------------------------------------------------------------------------------------------------- */

static void start_signals(struct daemon *d)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    int rc;

    for (int i = 0; i < 2; i++) {
        rc = uv_signal_init(&d->loop, &d->signals[i]);
        assert(rc == 0);
        d->signals[i].data = d;
        rc = uv_signal_start(&d->signals[i], on_signal, numbers[i]);
        assert(rc == 0);
    }
    rc = uv_timer_init(&d->loop, &d->deadline);
    assert(rc == 0);
    d->deadline.data = d;
    d->open_handles = 3;
}

static struct db *db_new(struct daemon *d, size_t i)
{
    struct db *db = mem_new(sizeof *db);

    db->settings = &d->settings->databases[i];
    db->loop = &d->loop;
    db->work = d->work;
    db->fs = d->fs;
    db->env = d->env;
    db->clock = &clock_real;
    db->lane = (unsigned)(i % work_lane_count(d->work));
    db->on_over = on_over;
    db->ctx = d;
    return db;
}

/* One database that cannot even begin stops the start: it is a mistake in the arguments. */
static struct rc begin_all(struct daemon *d, struct err *err)
{
    d->dbs = mem_new(d->settings->database_count * sizeof(struct db *));
    for (size_t i = 0; i < d->settings->database_count; i++) {
        struct db *db = db_new(d, i);
        struct rc rc = db_begin(db, err);

        if (rc_failed(rc)) {
            mem_free(db);
            return rc_wrap(err, "%s", d->settings->databases[i].path);
        }
        d->dbs[d->count++] = db;
    }
    return RC_OK;
}

static struct rc listen_for_control(struct daemon *d, struct err *err)
{
    CLEANUP(mem_freep) char *dir = local_state_dir(d->settings->databases[0].path);

    d->socket_path =
        d->settings->socket_path != NULL ? mem_strdup(d->settings->socket_path) : mem_printf("%s/control.sock", dir);
    TRY(control_listen(&d->control, &d->loop, d->socket_path, on_call, d, err));
    for (size_t i = 0; i < d->count; i++)
        TRY(local_state_announce(d->dbs[i]->local, d->socket_path, err));
    return RC_OK;
}

static void stop_all(struct daemon *d)
{
    d->stopping = true;
    if (d->count == 0)
        end_loop(d);
    for (size_t i = 0; i < d->count; i++)
        db_stop(d->dbs[i]);
}

/*
 * A daemon that is idle for hours should be small after a busy minute.  glibc gives each thread an arena of its own and
 * raises by itself the size from which memory goes back to the system; both keep megabytes that are never used again.
 */
static void bound_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 2); /* each returns 0 where it is not supported, and that is fine */
    (void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
}

static void daemon_fini(struct daemon *d)
{
    int rc = uv_loop_close(&d->loop);

    assert(rc == 0); /* every handle was closed */
    assert(d->env == NULL);
    for (size_t i = 0; i < d->count; i++)
        mem_free(d->dbs[i]);
    mem_free(d->dbs);
    mem_free(d->socket_path);
}

struct rc daemon_run(const struct daemon_settings *settings, const struct fsys *fs, struct err *err)
{
    struct daemon d = {.settings = settings, .fs = fs};
    struct rc rc;
    int uv;

    bound_memory();
    (void)signal(SIGPIPE, SIG_IGN);
    uv = uv_loop_init(&d.loop);
    assert(uv == 0);
    d.work = work_new(&d.loop, 0);
    d.env = store_env_new(&d.loop, fs);
    start_signals(&d);
    rc = begin_all(&d, err);
    if (!rc_failed(rc))
        rc = listen_for_control(&d, err);
    if (rc_failed(rc)) {
        d.worst = *err;
        stop_all(&d);
    }
    uv = uv_run(&d.loop, UV_RUN_DEFAULT);
    assert(uv == 0);
    daemon_fini(&d);
    if (d.worst.code == E_OK)
        return RC_OK;
    *err = d.worst;
    return rc_of(err);
}
