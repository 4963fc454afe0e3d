/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told: READY when every database is attached or has told what is wrong with it, a line of
 * status, reloads, the end, and as long as the loop turns that it does.
 */
#include "daemon_intern.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 200,           /* between looks until everything is ready, and at most so often afterwards ... */
    ITEMS_A_MS = 100,        /* ... and a millisecond later for so many databases of folders, which are walked over */
    AGAIN_MS = 1000,         /* after it did not listen */
    PATIENCE_S = 60,         /* a start that goes on is given so long from look to look */
    STOP_EXTRA_MS = 10000,   /* beside `shutdown-timeout` */
    STATUS_ERROR_SIZE = 400, /* of the message in a line of status */
};

/* False: it does not listen. */
static bool is_heard(struct daemon *d, const char *text)
{
    struct daemon_notify *n = &d->notify;
    struct err err;

    if (!rc_failed(notify_send(&n->manager, text, &err))) {
        n->told_failure = false;
        return true;
    }
    if (!n->told_failure)
        LOG_WARN("the service manager does not know how this process is", F_ERR(&err));
    n->told_failure = true;
    return false;
}

static void tell(struct daemon *d, const char *text)
{
    (void)is_heard(d, text); /* it was logged, and nobody needs it later */
}

/* --- where everything stands -------------------------------------------------------------------------------------- */

/* It is attached, waits for its file, or has said what is wrong. */
static bool is_settled(const struct daemon_member *m)
{
    return m->over || m->db.state != DB_STARTING || m->db.error.code != E_OK;
}

static bool all_settled(const struct daemon *d)
{
    if (d->child.command != NULL && d->child.stage < DAEMON_RUNNING)
        return false;
    if (d->queue != NULL || d->looks != NULL || d->look != NULL)
        return false;
    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next)
        if (!f->scanned && f->error.code == E_OK)
            return false;
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (!is_settled(m))
            return false;
    return true;
}

/* A line: what the error says may have been said by anybody. */
static void clean(char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            *text = '?';
}

struct summary {
    size_t count;
    char path[STATUS_ERROR_SIZE], what[STATUS_ERROR_SIZE]; /* of the first */
};

static void take(void *ctx, const char *path, const char *state, const struct err *why)
{
    struct summary *s = ctx;

    if (s->count++ > 0)
        return;
    (void)snprintf(s->path, sizeof s->path, "%.*s", STATUS_ERROR_SIZE - 1, path);
    (void)snprintf(s->what, sizeof s->what, "%.*s", STATUS_ERROR_SIZE - 1, why != NULL ? why->msg : state);
}

static void describe(const struct daemon *d, char *out, size_t size)
{
    struct summary s = {0};
    size_t open = 0;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        open++;
    daemon_verdict_each(d, take, &s);
    if (s.count == 0)
        (void)snprintf(out, size, "%zu databases open, nothing is wrong", open);
    else
        (void)snprintf(out, size, "%zu databases open, %zu not well; %s: %s", open, s.count, s.path, s.what);
    clean(out);
}

/* --- telling it --------------------------------------------------------------------------------------------------- */

static void look_in(struct daemon *d, uint64_t ms)
{
    int rc = uv_timer_start(&d->notify.look, daemon_notify_on_look, ms, 0);

    assert(rc == 0);
}

static bool hears_of_reload(struct daemon *d)
{
    struct timespec now;
    char text[128];

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    (void)snprintf(
        text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    return is_heard(d, text);
}

void daemon_notify_on_look(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    struct daemon_notify *n = &d->notify;
    char status[sizeof n->status], text[NOTIFY_TEXT_MAX];
    bool heard = true;

    if (d->stopping || d->ending)
        return;
    if (n->reload_owed) {
        n->reload_owed = !hears_of_reload(d) || !is_heard(d, "READY=1");
        if (n->reload_owed) {
            look_in(d, AGAIN_MS);
            return;
        }
    }
    describe(d, status, sizeof status);
    if (!n->ready && all_settled(d)) {
        (void)snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
        heard = n->ready = is_heard(d, text);
    } else if (!n->ready) {
        /* However long a first snapshot takes, this is not hanging. */
        (void)snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%d000000\nSTATUS=starting: %s", PATIENCE_S, status);
        tell(d, text);
        look_in(d, LOOK_MS);
        return;
    } else if (strcmp(status, n->status) != 0) {
        (void)snprintf(text, sizeof text, "STATUS=%s", status);
        heard = is_heard(d, text);
    }
    if (heard)
        memcpy(n->status, status, sizeof status);
    else
        look_in(d, AGAIN_MS); /* or what it knows would stay wrong until the next news */
}

void daemon_notify_news(struct daemon *d)
{
    if (d->notify.manager.open && !d->ending && !uv_is_active((uv_handle_t *)&d->notify.look))
        look_in(d, LOOK_MS + d->item_count / ITEMS_A_MS);
}

static void on_watchdog(uv_timer_t *timer)
{
    tell(timer->data, "WATCHDOG=1");
}

void daemon_notify_begin(struct daemon *d)
{
    struct daemon_notify *n = &d->notify;
    struct err err;
    int rc;

    rc = uv_timer_init(&d->loop, &n->look);
    assert(rc == 0);
    rc = uv_timer_init(&d->loop, &n->watchdog);
    assert(rc == 0);
    n->look.data = n->watchdog.data = d;
    if (rc_failed(
            notify_open(&n->manager, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), &err)))
        LOG_WARN("the service manager does not know how this process is", F_ERR(&err));
    /* They are ours: what we start has nothing to say there. */
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    if (!n->manager.open)
        return;
    look_in(d, 0);
    if (n->manager.watchdog_ms == 0)
        return;
    rc = uv_timer_start(&n->watchdog, on_watchdog, 0, n->manager.watchdog_ms / 2 + 1);
    assert(rc == 0);
}

void daemon_notify_reload(struct daemon *d, bool begins)
{
    struct daemon_notify *n = &d->notify;

    if (!n->manager.open || !n->ready)
        return;
    if (begins) {
        n->reload_owed = !hears_of_reload(d);
        return;
    }
    /* Whoever waits for the reload would wait until the next one: both are told again, in this order. */
    if (!n->reload_owed)
        n->reload_owed = !is_heard(d, "READY=1");
    daemon_notify_news(d);
}

void daemon_notify_stop(struct daemon *d)
{
    char text[160];

    if (!d->notify.manager.open || d->notify.told_stop)
        return;
    d->notify.told_stop = true;
    (void)snprintf(text, sizeof text,
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "000\nSTATUS=stopping: shipping what is left",
        d->shutdown_ms + STOP_EXTRA_MS);
    tell(d, text);
}

void daemon_notify_close(struct daemon *d)
{
    uv_close((uv_handle_t *)&d->notify.look, NULL);
    uv_close((uv_handle_t *)&d->notify.watchdog, NULL);
    notify_close(&d->notify.manager);
}
