/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_chore.h"

#include "alloc.h"
#include "daemon_memory.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

/* Who presses Ctrl-C once may send two: the terminal to the whole group, and a wrapper (timeout, npm, make) that passes
 * on what it got.  That is no haste, and must not cost what is still to be shipped. */
enum { SAME_MOMENT_MS = 500 };

static const int signal_numbers[DAEMON_SIGNAL_COUNT] = {SIGTERM, SIGINT, SIGHUP};

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void on_env_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->env = NULL;
}

static void end_loop(struct daemon *d)
{
    for (int i = 0; i < DAEMON_SIGNAL_COUNT; i++)
        uv_close((uv_handle_t *)&d->signals[i], NULL);
    uv_close((uv_handle_t *)&d->deadline, NULL);
    uv_close((uv_handle_t *)&d->tick, NULL);
    daemon_chore_close(d);
    daemon_notify_close(d);
    file_watch_stop(d->watch);
    work_stop(d->work);
    store_env_stop(d->env, on_env_stopped, d);
    d->signals_closed = true;
}

static void close_members(struct daemon *d)
{
    for (struct daemon_member *m = d->members, *next; m != NULL; m = next) {
        next = m->next;
        daemon_member_close(m);
    }
    daemon_check_end(d);
}

static void on_http_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->http = NULL;
    daemon_check_end(d);
}

/* What changed and was not opened in time is not lost: the next start finds it.  But it is not shipped either. */
static void note_queue(struct daemon *d)
{
    if (d->queue == NULL || d->worst.code != E_OK)
        return;
    rc_ignore(
        rc_raise(&d->worst, E_TIMEOUT, "%s: it was to be opened, and the process was stopped before", d->queue->path),
        "it is the outcome");
    LOG_ERROR("stopped before everything was shipped", F_STR("db", d->queue->path), F_ERR(&d->worst));
}

static void note_items(struct daemon *d, const struct daemon_folder *f)
{
    for (const struct daemon_item *i = f->items; i != NULL; i = i->next)
        if (i->member == NULL && i->error != NULL && (d->worst.code == E_OK || i->error->code == E_FENCED))
            d->worst = d->worst.code != E_FENCED ? *i->error : d->worst;
}

static void end(struct daemon *d)
{
    d->ending = true;
    daemon_notify_stop(d);
    daemon_child_close(d);
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        daemon_member_note(d, m);
    note_queue(d);
    for (; d->looks != NULL; d->looks = d->looks->look_next)
        d->looks->look_due = false;
    for (struct daemon_folder *f = d->folders, *next; f != NULL; f = next) {
        next = f->next;
        note_items(d, f);
        daemon_folder_leave(f, NULL);
    }
    daemon_listen_end(d);
    daemon_history_end(d);
    close_members(d);
}

void daemon_check_end(struct daemon *d)
{
    if (d->ending) {
        if (d->members != NULL || d->folders != NULL || d->histories != NULL || !d->child.closed || d->signals_closed)
            return;
        if (d->http == NULL)
            end_loop(d);
        else if (!d->http_stopping)
            http_server_stop(d->http, on_http_stopped, d);
        d->http_stopping = true;
        return;
    }
    if (d->reloading || daemon_child_busy(d) || daemon_chore_busy(d) || d->look != NULL
        || (!d->stopping && d->folders != NULL))
        return;
    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next)
        if (f->scanning)
            return;
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (!m->over || m->closing)
            return;
    end(d);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static void stop_members(struct daemon *d)
{
    d->stopping = true;
    daemon_notify_stop(d);
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->begun)
            db_stop(&m->db);
    daemon_check_end(d); /* nothing may be open */
}

/*
 * What was committed to a parked database a moment ago may be a file event that nobody has seen yet.  So each is looked
 * at once more, and those that changed are opened, as far as the time for the stop allows; the others go on meanwhile.
 */
static void look_at_parked(struct daemon *d)
{
    for (struct daemon_item *i = d->items; i != NULL; i = i->all_next)
        if (i->state == DAEMON_ITEM_PARKED)
            daemon_item_look_later(i);
    d->last_look = true; /* whatever happens from here on came too late */
}

void daemon_stop_looked(struct daemon *d)
{
    if (!d->last_look || d->stopping || d->look != NULL || d->looks != NULL || d->queue != NULL)
        return;
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item != NULL && daemon_queue_is_starting(m))
            return;
    stop_members(d);
}

static void on_deadline(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    LOG_ERROR("the time for an orderly stop is over");
    if (!d->stopping)
        stop_members(d); /* a database that the command made last, or that nobody had looked at, is still being begun */
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        daemon_member_abandon(m);
}

void daemon_start_deadline(struct daemon *d)
{
    int rc;

    if (uv_is_active((uv_handle_t *)&d->deadline))
        return;
    rc = uv_timer_start(&d->deadline, on_deadline, d->shutdown_ms, 0);
    assert(rc == 0);
}

void daemon_stop(struct daemon *d, int number)
{
    if (d->last_look && !d->stopping && number == 0)
        return; /* it is stopping */
    if (d->stopping || d->last_look) {
        if (clock_mono_ms(&clock_real) < d->stop_ms + SAME_MOMENT_MS)
            return;
        LOG_WARN("second signal: ending at once", F_I64("signal", number));
        on_deadline(&d->deadline);
        return;
    }
    daemon_notify_stop(d);
    if (number != 0) {
        d->stop_ms = clock_mono_ms(&clock_real);
        LOG_INFO("stopping: shipping what is left", F_I64("signal", number));
    } else {
        LOG_INFO("stopping: shipping what is left");
    }
    daemon_start_deadline(d);
    daemon_chore_stop(d);
    look_at_parked(d);
    daemon_stop_looked(d);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;

    if (number != SIGHUP)
        daemon_stop(d, number);
    else if (!d->stopping && !d->last_look && !d->ending)
        daemon_reload_run(d);
}

static void start_signals(struct daemon *d)
{
    int rc;

    for (int i = 0; i < DAEMON_SIGNAL_COUNT; i++) {
        rc = uv_signal_init(&d->loop, &d->signals[i]);
        assert(rc == 0);
        d->signals[i].data = d;
        if (d->child.command != NULL)
            continue; /* they are the command's */
        rc = uv_signal_start(&d->signals[i], on_signal, signal_numbers[i]);
        assert(rc == 0);
    }
    rc = uv_timer_init(&d->loop, &d->deadline);
    assert(rc == 0);
    d->deadline.data = d;
    rc = uv_timer_init(&d->loop, &d->tick);
    assert(rc == 0);
    d->tick.data = d;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static struct rc begin(struct daemon *d, struct err *err)
{
    const struct daemon_settings *settings = NULL;

    TRY(d->source->load(d->source->ctx, &settings, err));
    slog_configure(settings->log_level, settings->log_format);
    d->shutdown_ms = settings->shutdown_ms;
    d->loaded_ms = clock_wall_ms(&clock_real);
    TRY(daemon_listen_begin(d, settings, err));
    daemon_queue_limits(d);
    daemon_child_begin(d, settings);
    return RC_OK;
}

void daemon_begin_members(struct daemon *d, const struct daemon_settings *settings)
{
    for (size_t i = 0; i < settings->database_count; i++)
        (void)daemon_member_begin(d, &settings->databases[i]); /* it is in the list */
    for (size_t i = 0; i < settings->folder_count; i++)
        daemon_folder_begin(d, &settings->folders[i]);
}

static void daemon_fini(struct daemon *d)
{
    int rc = uv_loop_close(&d->loop);

    assert(rc == 0); /* every handle was closed */
    assert(d->env == NULL);
    assert(d->members == NULL);
    daemon_chore_free(d);
    mem_free(d->socket_path);
    mem_free(d->http_listen);
    mem_free(d->token_file);
    http_guard_fini(&d->tcp_guard);
    for (int i = 0; i < DAEMON_GONE_MAX; i++) {
        mem_free(d->gone[i].path);
        mem_free(d->gone[i].url);
    }
}

struct rc daemon_run(const struct daemon_source *source, const struct fsys *fs, struct err *err)
{
    struct daemon d = {
        .source = source,
        .fs = fs,
        .start_ms = clock_wall_ms(&clock_real),
        .child = {.command = source->command},
    };
    struct rc rc;
    int uv;

    daemon_memory_bound();
    (void)signal(SIGPIPE, SIG_IGN);
    uv = uv_loop_init(&d.loop);
    assert(uv == 0);
    d.queue_last = &d.queue;
    d.looks_last = &d.looks;
    d.work = work_new(&d.loop, 0);
    d.env = store_env_new(&d.loop, fs);
    start_signals(&d);
    daemon_notify_begin(&d);
    daemon_chore_begin(&d);
    rc = begin(&d, err);
    if (rc_failed(rc))
        d.worst = *err;
    daemon_memory_started();
    daemon_child_look(&d);
    daemon_check_end(&d); /* nothing may have begun */
    uv = uv_run(&d.loop, UV_RUN_DEFAULT);
    assert(uv == 0);
    daemon_fini(&d);
    if (d.worst.code == E_OK)
        return RC_OK;
    *err = d.worst;
    return rc_of(err);
}
