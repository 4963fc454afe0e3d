/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "history.h"

#include <assert.h>
#include <string.h>

/*
 * A dashboard asks again and again, and there may be several: all who ask within KEEP_MS share one listing.  What
 * failed is tried again earlier.
 */
enum { KEEP_MS = 30000, FAILED_KEEP_MS = 3000, JOBS_MAX = 4, KEPT_MAX = 64 };

struct waiting {
    struct http_call *call;
    struct daemon_history *history;
    struct waiting *next;
};

/*
 * The history of one database, from the first who asks until the answer is too old.
 *
 *     queued -> running -> kept -> gone
 *
 * It has a store of its own: a database of a folder may be parked, and one that is open may go away meanwhile.
 */
struct daemon_history {
    struct work_item item;
    struct daemon *daemon;
    char *path;               /* owned */
    struct store *store;      /* owned; the job's while it runs */
    struct history_opts opts; /* the job's while it runs */
    struct rc rc;
    struct err err;
    struct buf text;
    atomic_bool stop; /* the job reads it, too */
    bool queued, running;
    struct waiting *waiting;
    uv_timer_t timer;            /* the answer is kept until then */
    struct daemon_history *next; /* in the daemon's list: in the order of the first questions */
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void answer(const struct daemon_history *h, struct http_call *call)
{
    CLEANUP(buf_fini) struct buf copy = {0};

    if (rc_failed(h->rc)) {
        /* What else fails is the replica, not this server. */
        daemon_http_error(call, h->err.code == E_CANCELED ? 0 : 502, &h->err);
        return;
    }
    buf_init(&copy, HISTORY_SIZE_MAX);
    buf_put(&copy, h->text.data, h->text.size);
    http_call_answer(call, 200, "application/json", &copy);
}

static void answer_all(struct daemon_history *h)
{
    struct waiting *w = h->waiting, *next;

    h->waiting = NULL;
    for (; w != NULL; w = next) {
        next = w->next;
        answer(h, w->call);
        mem_free(w);
    }
}

/* Nobody hears the answer. */
static void on_gone(void *ctx)
{
    struct waiting *w = ctx, **at = &w->history->waiting;
    struct err err;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    rc_ignore(rc_raise(&err, E_CANCELED, "the client is gone"), "nobody hears it");
    daemon_http_error(w->call, 0, &err);
    mem_free(w);
}

static void wait_for_answer(struct daemon_history *h, struct http_call *call)
{
    struct waiting *w = mem_new(sizeof *w), **last = &h->waiting;

    while (*last != NULL)
        last = &(*last)->next;
    *w = (struct waiting){.call = call, .history = h};
    *last = w;
    http_call_on_gone(call, on_gone, w);
}

/* --- from the first question to the last answer ------------------------------------------------------------------- */

static void begin_next(struct daemon *d);

static void on_closed(uv_handle_t *handle)
{
    struct daemon_history *h = handle->data;

    buf_fini(&h->text);
    mem_free(h->path);
    mem_free(h);
}

static void drop(struct daemon_history *h)
{
    struct daemon_history **at = &h->daemon->histories;

    assert(h->waiting == NULL && !h->running);
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    uv_close((uv_handle_t *)&h->timer, on_closed);
}

static void on_old(uv_timer_t *timer)
{
    drop(timer->data);
}

static void finish(struct daemon_history *h)
{
    int rc;

    answer_all(h);
    if (h->daemon->ending) {
        drop(h);
        return;
    }
    rc = uv_timer_start(&h->timer, on_old, rc_failed(h->rc) ? FAILED_KEEP_MS : KEEP_MS, 0);
    assert(rc == 0);
}

static struct daemon_member *find_member(const struct daemon *d, const char *path)
{
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (strcmp(m->settings.set.path, path) == 0)
            return m;
    return NULL;
}

static void on_store_stopped(void *ctx)
{
    struct daemon_history *h = ctx;
    struct daemon *d = h->daemon;

    h->store = NULL;
    h->running = false;
    d->history_jobs--;
    finish(h);
    begin_next(d);
    daemon_check_end(d);
}

static void run(struct work_item *item)
{
    struct daemon_history *h = item->owner;

    h->rc = history_read(h->daemon->work, h->store, &h->opts, &h->text, &h->err);
}

/* The requests were made for the database, and are shown with its others as long as it is open. */
static void on_done(struct work_item *item)
{
    struct daemon_history *h = item->owner;
    const struct daemon_member *m = find_member(h->daemon, h->path);

    if (m != NULL && m->db.store != NULL)
        store_counts_add(m->db.store, store_counts_of(h->store));
    store_stop(h->store, on_store_stopped, h);
}

/* Its settings, as they are now. */
static struct rc open_store(struct daemon_history *h, const struct daemon_member *m, struct err *err)
{
    const struct daemon_item *item = m == NULL ? daemon_item_closed_at(h->daemon, h->path) : NULL;
    const struct db_settings *set;

    if (m == NULL && item == NULL)
        return rc_raise(err, E_CANCELED, "%s is not a database of this daemon any more", h->path);
    set = m != NULL ? &m->settings.set : &item->folder->settings.set;
    return store_open(
        h->daemon->env, m != NULL ? set->url : item->url, set->options, set->option_count, &h->store, err);
}

static void begin(struct daemon_history *h)
{
    const struct daemon_member *m = find_member(h->daemon, h->path);

    h->queued = false;
    h->rc = open_store(h, m, &h->err);
    if (rc_failed(h->rc)) {
        finish(h);
        return;
    }
    h->running = true;
    h->daemon->history_jobs++;
    h->opts.path = h->path;
    h->opts.now_ms = clock_wall_ms(&clock_real);
    h->opts.stop = &h->stop;
    if (m != NULL) {
        h->opts.since_ms = m->begun_ms;
        h->opts.gap_count = m->gap_count;
        h->opts.gaps_cut = m->seen.gap_count > m->gap_count;
        if (m->gap_count > 0)
            memcpy(h->opts.gaps, m->gaps, m->gap_count * sizeof *m->gaps);
    }
    h->item.owner = h;
    h->item.run = run;
    h->item.done = on_done;
    work_job(h->daemon->work, &h->item);
}

static void begin_next(struct daemon *d)
{
    for (struct daemon_history *h = d->histories, *next; h != NULL && d->history_jobs < JOBS_MAX; h = next) {
        next = h->next;
        if (h->queued)
            begin(h);
    }
}

/* Room for one more answer: the oldest that nobody waits for goes. */
static void make_room(struct daemon *d)
{
    struct daemon_history *oldest = NULL;
    size_t kept = 0;

    for (struct daemon_history *h = d->histories; h != NULL; h = h->next) {
        if (h->queued || h->running)
            continue;
        kept++;
        if (oldest == NULL)
            oldest = h;
    }
    if (kept >= KEPT_MAX)
        drop(oldest);
}

static struct daemon_history *find(struct daemon *d, const char *path)
{
    struct daemon_history *h = d->histories, **last = &d->histories;
    int rc;

    for (; h != NULL; h = h->next)
        if (strcmp(h->path, path) == 0)
            return h;
    make_room(d);
    h = mem_new(sizeof *h);
    rc = uv_timer_init(&d->loop, &h->timer);
    assert(rc == 0);
    h->timer.data = h;
    h->daemon = d;
    h->path = mem_strdup(path);
    buf_init(&h->text, HISTORY_SIZE_MAX);
    while (*last != NULL)
        last = &(*last)->next;
    *last = h;
    h->queued = true;
    return h;
}

void daemon_history_answer(struct daemon *d, struct http_call *call)
{
    const char *path = http_call_query(call, "path");
    struct daemon_history *h;
    struct err err;

    if ((path == NULL || daemon_item_closed_at(d, path) == NULL) && daemon_http_member(d, call) == NULL)
        return;
    if (d->ending) {
        rc_ignore(rc_raise(&err, E_CANCELED, "the daemon is ending"), "it is the answer");
        daemon_http_error(call, 0, &err);
        return;
    }
    h = find(d, path);
    if (!h->queued && !h->running) {
        answer(h, call);
        return;
    }
    wait_for_answer(h, call);
    begin_next(d);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void daemon_history_end(struct daemon *d)
{
    for (struct daemon_history *h = d->histories, *next; h != NULL; h = next) {
        next = h->next;
        if (h->running) {
            h->stop = true;
            store_cancel(h->store); /* a server that says nothing must not keep us */
            continue;
        }
        if (h->queued)
            h->rc = rc_raise(&h->err, E_CANCELED, "the daemon is ending");
        answer_all(h);
        drop(h);
    }
}

void daemon_history_gap(struct daemon_member *m)
{
    if (m->gaps == NULL)
        m->gaps = mem_new(HISTORY_GAPS_MAX * sizeof *m->gaps);
    if (m->gap_count == HISTORY_GAPS_MAX)
        memmove(m->gaps, m->gaps + 1, --m->gap_count * sizeof *m->gaps);
    m->gaps[m->gap_count++] = (struct history_gap){m->db.timeline, m->db.last_gap};
}
