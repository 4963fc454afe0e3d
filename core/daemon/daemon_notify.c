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
    LOOK_MS = 200,           /* between looks until everything is ready, and at most so often afterwards */
    PATIENCE_S = 60,         /* a start that goes on is given so long from look to look */
    STOP_EXTRA_MS = 10000,   /* beside `shutdown-timeout` */
    STATUS_ERROR_SIZE = 400, /* of the message in a line of status */
};

static void tell(struct daemon *d, const char *text)
{
    struct daemon_notify *n = &d->notify;
    struct err err;

    if (!rc_failed(notify_send(&n->manager, text, &err))) {
        n->told_failure = false;
        return;
    }
    if (!n->told_failure)
        LOG_WARN("the service manager does not know how this process is", F_ERR(&err));
    n->told_failure = true;
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

static void describe(const struct daemon *d, char *out, size_t size)
{
    const struct daemon_member *first = NULL;
    size_t count = 0, bad = 0;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        count++;
        if (status_trouble(&m->db) == NULL)
            continue;
        bad++;
        if (first == NULL)
            first = m;
    }
    if (first == NULL)
        (void)snprintf(out, size, "%zu databases open, nothing is wrong", count);
    else
        (void)snprintf(out, size, "%zu databases open, %zu with an error; %.*s: %.*s", count, bad, STATUS_ERROR_SIZE,
            first->settings.set.path, STATUS_ERROR_SIZE, status_trouble(&first->db)->msg);
    clean(out);
}

/* --- telling it --------------------------------------------------------------------------------------------------- */

static void look_in(struct daemon *d, uint64_t ms)
{
    int rc = uv_timer_start(&d->notify.look, daemon_notify_on_look, ms, 0);

    assert(rc == 0);
}

void daemon_notify_on_look(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    struct daemon_notify *n = &d->notify;
    char status[sizeof n->status], text[NOTIFY_TEXT_MAX];

    if (d->stopping || d->ending)
        return;
    describe(d, status, sizeof status);
    if (!n->ready && all_settled(d)) {
        n->ready = true;
        (void)snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
        tell(d, text);
    } else if (!n->ready) {
        /* However long a first snapshot takes, this is not hanging. */
        (void)snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%d000000\nSTATUS=starting: %s", PATIENCE_S, status);
        tell(d, text);
        look_in(d, LOOK_MS);
        return;
    } else if (strcmp(status, n->status) != 0) {
        (void)snprintf(text, sizeof text, "STATUS=%s", status);
        tell(d, text);
    }
    memcpy(n->status, status, sizeof status);
}

void daemon_notify_news(struct daemon *d)
{
    if (d->notify.manager.open && !d->ending && !uv_is_active((uv_handle_t *)&d->notify.look))
        look_in(d, LOOK_MS);
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
    struct timespec now;
    char text[128];

    if (!d->notify.manager.open || !d->notify.ready)
        return;
    if (!begins) {
        tell(d, "READY=1");
        daemon_notify_news(d);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    (void)snprintf(
        text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    tell(d, text);
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
