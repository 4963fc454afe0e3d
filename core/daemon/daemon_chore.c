/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_chore.h"

#include "alloc.h"
#include "proof_due.h"

#include <assert.h>
#include <malloc.h>

enum {
    FIRST_SCRUB_MS = 10 * 1000,
    GAP_MAX_MS = 5 * 60 * 1000, /* between two of a small folder */
    LOOK_MS = 100,              /* many changes are one look */
    TURN_MS = 1000,             /* an open database has the drills' turn */
    REOPEN_MS = 10 * 1000,      /* between two that are opened because of damaged pages, without scrubs */
};

/* --- when --------------------------------------------------------------------------------------------------------- */

static uint64_t interval_of(const struct daemon_folder *f, enum daemon_chore which)
{
    const struct db_settings *set = &f->settings.set;

    return which == DAEMON_CHORE_DRILL ? set->drill_interval_ms : set->scrub_interval_ms;
}

static uint64_t first_ms(enum daemon_chore which)
{
    return which == DAEMON_CHORE_DRILL ? PROOF_DUE_FIRST_MS : FIRST_SCRUB_MS;
}

/* All of a folder take an eighth of an interval, if none takes long. */
static uint64_t gap_ms(const struct daemon_folder *f, enum daemon_chore which)
{
    uint64_t gap = interval_of(f, which) / (8 * (f->item_count + 1));

    return gap < GAP_MAX_MS ? gap : GAP_MAX_MS;
}

void daemon_chore_plan(struct daemon_item *item)
{
    struct daemon_proof *p = &item->proof;
    int64_t now = (int64_t)clock_mono_ms(&clock_real), wall = clock_wall_ms(&clock_real);

    p->due_ms[DAEMON_CHORE_DRILL] =
        now + proof_due_in_ms(p->tried_ms, interval_of(item->folder, DAEMON_CHORE_DRILL), wall);
    p->due_ms[DAEMON_CHORE_SCRUB] =
        now + proof_due_in_ms(p->passed_ms, interval_of(item->folder, DAEMON_CHORE_SCRUB), wall);
    if (p->damaged > 0)
        p->due_ms[DAEMON_CHORE_SCRUB] = now; /* is it still? */
    daemon_chore_kick(item->folder->daemon);
}

void daemon_chore_again(struct daemon_item *item, enum daemon_chore which, uint64_t ms)
{
    uint64_t interval = interval_of(item->folder, which);

    item->proof.due_ms[which] = (int64_t)(clock_mono_ms(&clock_real) + proof_due_at_most(ms, interval));
}

void daemon_chore_pause(struct daemon_folder *f, enum daemon_chore which, uint64_t ms)
{
    uint64_t gap = gap_ms(f, which), pause = proof_due_at_most(ms, interval_of(f, which));

    f->chore_next_ms[which] = clock_mono_ms(&clock_real) + (pause > gap ? pause : gap);
}

/* --- which -------------------------------------------------------------------------------------------------------- */

/* Who switches scrubs off does not mean what is known to be damaged: that is looked at until it is right. */
static bool is_wanted(const struct daemon_item *i, enum daemon_chore which, int64_t interval)
{
    if (i->state != DAEMON_ITEM_PARKED || i->facts.txid == 0)
        return false;
    return interval != 0 || (which == DAEMON_CHORE_SCRUB && i->proof.damaged > 0);
}

static void look_at_folder(
    struct daemon_folder *f, enum daemon_chore which, struct daemon_item **best, int64_t now, int64_t *next)
{
    const int64_t interval = (int64_t)interval_of(f, which);
    int64_t gate = (int64_t)(f->begun_ms + proof_due_at_most(first_ms(which), (uint64_t)interval));

    if ((interval == 0 && which == DAEMON_CHORE_DRILL) || f->leaving || f->item_count == 0)
        return;
    if (gate < (int64_t)f->chore_next_ms[which])
        gate = (int64_t)f->chore_next_ms[which];
    if (now < gate) {
        *next = gate < *next ? gate : *next;
        return;
    }
    for (struct daemon_item *i = f->items; i != NULL; i = i->next) {
        int64_t due = i->proof.due_ms[which];

        if (!is_wanted(i, which, interval))
            continue;
        if (due > now + interval) /* the settings changed */
            due = i->proof.due_ms[which] = now + interval;
        if (due > now)
            *next = due < *next ? due : *next;
        else if (*best == NULL || due < (*best)->proof.due_ms[which])
            *best = i;
    }
}

/* An open one's damaged pages are looked at again and again, with scrubs or without. */
static void reopen(struct daemon_item *item, int64_t now, int64_t *next)
{
    item->folder->chore_next_ms[DAEMON_CHORE_SCRUB] = (uint64_t)now + REOPEN_MS;
    daemon_item_reopen(item);
    *next = now; /* other folders, and when this one is next */
}

/* Begins the next one, if one is due; else `next` is when to look again. */
static void run(struct daemon *d, enum daemon_chore which, int64_t now, int64_t *next)
{
    struct daemon_item *best = NULL;

    for (struct daemon_folder *f = d->folders; f != NULL; f = f->next)
        look_at_folder(f, which, &best, now, next);
    if (best == NULL)
        return;
    if (which == DAEMON_CHORE_DRILL && d->drill_turn.taken) {
        *next = now + TURN_MS < *next ? now + TURN_MS : *next;
        return;
    }
    if (interval_of(best->folder, which) == 0) {
        reopen(best, now, next);
        return;
    }
    best->folder->chore_next_ms[which] = (uint64_t)now + gap_ms(best->folder, which);
    if (which == DAEMON_CHORE_DRILL)
        daemon_drill_begin(best);
    else
        daemon_scrub_begin(best);
}

static void look_in(struct daemon *d, uint64_t ms);

static void on_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    int64_t now = (int64_t)clock_mono_ms(&clock_real), next = INT64_MAX;

    if (d->chores->drill == NULL)
        run(d, DAEMON_CHORE_DRILL, now, &next);
    if (d->chores->scrub == NULL)
        run(d, DAEMON_CHORE_SCRUB, now, &next);
    if (next < INT64_MAX)
        look_in(d, (uint64_t)(next - now) + 1);
}

static void look_in(struct daemon *d, uint64_t ms)
{
    struct daemon_chores *c = d->chores;
    int rc;

    if (c->stopping || d->stopping || d->ending || d->last_look)
        return;
    if (uv_is_active((const uv_handle_t *)&c->timer) && uv_timer_get_due_in(&c->timer) <= ms)
        return;
    rc = uv_timer_start(&c->timer, on_timer, ms, 0);
    assert(rc == 0);
}

void daemon_chore_kick(struct daemon *d)
{
    look_in(d, LOOK_MS);
}

/* --- what is under way -------------------------------------------------------------------------------------------- */

static bool any_open(const struct daemon *d)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item != NULL)
            return true;
    return false;
}

void daemon_chore_over(struct daemon *d)
{
    struct daemon_chores *c = d->chores;

    if (!any_open(d))
        (void)malloc_trim(0); /* as when the last one was parked: an idle daemon is small */
    if (c->reload_wanted && c->scrub == NULL) {
        c->reload_wanted = false;
        if (!d->stopping && !d->last_look && !d->ending)
            daemon_reload_run(d);
    }
    look_in(d, 0);
    daemon_queue_kick(d);
    daemon_check_end(d);
}

void daemon_chore_stop(struct daemon *d)
{
    struct daemon_chores *c = d->chores;

    c->stopping = true;
    (void)uv_timer_stop(&c->timer); /* stopping a timer cannot fail */
    if (c->drill != NULL)
        daemon_drill_stop(c->drill);
    if (c->scrub != NULL)
        daemon_scrub_stop(c->scrub);
}

bool daemon_chore_busy(const struct daemon *d)
{
    return d->chores->drill != NULL || d->chores->scrub != NULL;
}

void daemon_chore_forget(const struct daemon_item *item)
{
    struct daemon_chores *c = item->folder->daemon->chores;

    if (c->drill != NULL)
        daemon_drill_forget(c->drill, item);
    if (c->scrub != NULL)
        daemon_scrub_forget(c->scrub, item);
}

bool daemon_chore_delays_reload(struct daemon *d)
{
    struct daemon_chores *c = d->chores;

    if (c->scrub == NULL)
        return false;
    daemon_scrub_stop(c->scrub);
    c->reload_wanted = true;
    return true;
}

/* --- what is told ------------------------------------------------------------------------------------------------- */

enum err_code daemon_chore_trouble_code(const struct daemon_item *item)
{
    const struct err *trouble = daemon_proof_trouble(item);

    return trouble != NULL ? trouble->code : E_OK;
}

void daemon_chore_note_trouble(struct daemon_item *item, enum err_code before)
{
    static const struct err well = {.code = E_OK};
    const struct err *now = daemon_proof_trouble(item);

    if (daemon_chore_trouble_code(item) == before) {
        daemon_notify_news(item->folder->daemon); /* the cause may be another one */
        return;
    }
    if (now != NULL) {
        item->facts.failure_count++;
        item->facts.failed_ms = clock_wall_ms(&clock_real);
    }
    daemon_watch_path(item->folder->daemon, item->path, now != NULL ? now : &well);
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

void daemon_chore_begin(struct daemon *d)
{
    int rc;

    d->chores = mem_new(sizeof *d->chores);
    rc = uv_timer_init(&d->loop, &d->chores->timer);
    assert(rc == 0);
    d->chores->timer.data = d;
}

void daemon_chore_close(struct daemon *d)
{
    uv_close((uv_handle_t *)&d->chores->timer, NULL);
}

void daemon_chore_free(struct daemon *d)
{
    mem_free(d->chores);
}
