/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which databases of folders are open.  Some start at the same time; how many are open at once is bounded by the
 * process's descriptors; when others wait, those that have been quiet for longest give way, and without that each is
 * parked when it has been quiet for `park-after`.
 */
#include "daemon_chore.h"

#include "db_park.h"

#include <assert.h>
#include <malloc.h>
#include <sys/resource.h>

enum {
    STARTS_MAX = 8, /* side by side: each is a thread, and a handful of requests */
    OPEN_MAX = 1000,
    OPEN_MIN = 16,
    DESCRIPTORS_EACH = 16,  /* lock, log of the local state, two connections, our own; a snapshot on its way */
    DESCRIPTORS_KEPT = 256, /* connections to replicas, control sockets, folders */
    TICK_MS = 1000,
    FIRST_QUIET_MS = 2000,   /* one that did nothing since it was opened need not stay open for long ... */
    PRESSED_QUIET_MS = 1000, /* ... and when others wait, nobody who is quiet does */
    PARKING_MAX = 16,
};

/* The limit was raised before (daemon_listen.c). */
void daemon_queue_limits(struct daemon *d)
{
    struct rlimit limit = {0};
    size_t room;

    (void)getrlimit(RLIMIT_NOFILE, &limit); /* cannot fail for a resource that there is */
    room = limit.rlim_cur > DESCRIPTORS_KEPT ? (size_t)(limit.rlim_cur - DESCRIPTORS_KEPT) / DESCRIPTORS_EACH : 0;
    d->open_max = room > OPEN_MAX ? OPEN_MAX : room < OPEN_MIN ? OPEN_MIN : room;
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

void daemon_queue_put(struct daemon_item *item)
{
    struct daemon *d = item->folder->daemon;

    item->queue_next = NULL;
    *d->queue_last = item;
    d->queue_last = &item->queue_next;
    daemon_queue_kick(d);
}

void daemon_queue_remove(struct daemon_item *item)
{
    struct daemon *d = item->folder->daemon;
    struct daemon_item **at = &d->queue;

    while (*at != item)
        at = &(*at)->queue_next;
    *at = item->queue_next;
    if (*at == NULL)
        d->queue_last = at;
}

/* A start that waits for its replica does not keep others from starting. */
bool daemon_queue_is_starting(const struct daemon_member *m)
{
    return !m->over && m->db.state == DB_STARTING && m->db.error.code == E_OK;
}

static void open_next(struct daemon *d)
{
    size_t open = 0, starting = 0;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        open += m->item != NULL;
        starting += m->item != NULL && daemon_queue_is_starting(m);
    }
    while (d->queue != NULL && open < d->open_max && starting < STARTS_MAX) {
        struct daemon_item *item = d->queue;

        if (daemon_scrub_holds(d, item->path))
            return; /* in a moment */
        daemon_queue_remove(item);
        daemon_item_wake(item);
        open++;
        starting++;
    }
}

/* --- parking ------------------------------------------------------------------------------------------------------ */

static uint64_t park_after_ms(const struct daemon *d, const struct daemon_member *m)
{
    uint64_t ms = m->settings.set.park_after_ms;

    if (ms == 0)
        return d->queue != NULL ? PRESSED_QUIET_MS : UINT64_MAX;
    if (d->queue != NULL && ms > PRESSED_QUIET_MS)
        return PRESSED_QUIET_MS;
    if (m->item->for_prune)
        return 1; /* done, and nothing else was wanted of it */
    if (m->db.resync_count > m->item->facts.resync_count)
        return ms << (m->item->unsure + 1);
    if (m->db.shipped_txid == m->item->facts.txid && ms > FIRST_QUIET_MS)
        return FIRST_QUIET_MS;
    return ms << m->item->unsure;
}

static bool may_park(const struct daemon_member *m, uint64_t now)
{
    return now >= m->item->keep_open_ms || (m->item->for_prune && !daemon_prune_awaited(m->item));
}

static void park_quiet(struct daemon *d)
{
    uint64_t now = clock_mono_ms(&clock_real);
    unsigned parking = 0;
    size_t open = 0;
    bool pressed;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        parking += m->item != NULL && m->leaving;
        open += m->item != NULL;
    }
    pressed = d->queue != NULL && open >= d->open_max;
    while (parking++ < PARKING_MAX) {
        struct daemon_member *quietest = NULL;
        uint64_t most = 0;

        for (struct daemon_member *m = d->members; m != NULL; m = m->next) {
            uint64_t ms = m->item == NULL || m->over || m->leaving ? 0 : db_park_idle_ms(&m->db, pressed);

            if (ms > most && ms >= park_after_ms(d, m) && may_park(m, now)) {
                most = ms;
                quietest = m;
            }
        }
        if (quietest == NULL)
            return;
        daemon_member_park(quietest);
    }
}

static bool any_open(const struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item != NULL)
            return true;
    return false;
}

static void tick_in(struct daemon *d, uint64_t ms)
{
    int rc = uv_timer_start(&d->tick, daemon_queue_on_tick, ms, TICK_MS);

    assert(rc == 0);
}

void daemon_queue_on_tick(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    if (d->stopping || d->ending)
        return;
    open_next(d);
    park_quiet(d);
    daemon_drill_tend(d);
    daemon_stop_looked(d);
    if (d->stopping)
        return;
    if (d->queue != NULL || any_open(d)) {
        tick_in(d, TICK_MS);
        return;
    }
    (void)uv_timer_stop(timer); /* nothing to look after: no wake-ups; cannot fail */
    /* Between what is kept of each database lie the pages that its opening needed; nobody waits for us now. */
    (void)malloc_trim(0);
}

void daemon_queue_kick(struct daemon *d)
{
    if (!d->stopping && !d->ending)
        tick_in(d, 0);
}
