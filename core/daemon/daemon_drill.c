/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drill of a database of a folder that is parked.  It needs the replica alone, so the database stays as it is; when
 * it is opened meanwhile the drill goes on, and its outcome is the open one's.
 */
#include "daemon_chore.h"

#include "alloc.h"
#include "proof_due.h"

enum { BRAKE_MIN_MS = 60 * 1000, BRAKE_DOUBLINGS = 6 };

struct daemon_drill {
    struct daemon *daemon;
    struct daemon_item *item; /* NULL: it is gone */
    struct daemon_copy settings;
    char *state_dir; /* owned */
    struct drill_job job;
};

bool daemon_drill_is_of(const struct daemon_item *item)
{
    const struct daemon_drill *k = item->folder->daemon->chores->drill;

    return k != NULL && k->item == item;
}

/* --- the outcome -------------------------------------------------------------------------------------------------- */

/* While the replica is away each try is as good as any other's: they become rare. */
static void brake(struct daemon_folder *f)
{
    uint64_t pause = (uint64_t)BRAKE_MIN_MS << f->drills_undone;

    f->drills_undone += f->drills_undone < BRAKE_DOUBLINGS;
    daemon_chore_pause(f, DAEMON_CHORE_DRILL, proof_due_at_most(pause, PROOF_DUE_RETRY_MS));
}

static void plan_next(struct daemon_item *item, enum drill_outcome outcome)
{
    uint64_t interval = item->folder->settings.set.drill_interval_ms;

    if (outcome == DRILL_UNDONE) {
        brake(item->folder);
        daemon_chore_again(item, DAEMON_CHORE_DRILL, PROOF_DUE_RETRY_MS);
        return;
    }
    daemon_chore_again(item, DAEMON_CHORE_DRILL, outcome == DRILL_STOPPED ? PROOF_DUE_SOON_MS : interval);
    if (outcome != DRILL_STOPPED)
        item->folder->drills_undone = 0;
}

static void on_done(void *ctx)
{
    struct daemon_drill *k = ctx;
    struct daemon_item *item = k->item;
    struct daemon_member *m;
    struct local_drill last;
    enum drill_outcome outcome;
    enum err_code before;

    if (item == NULL)
        return;
    m = item->member;
    before = daemon_chore_trouble_code(item);
    daemon_proof_drill(&item->proof, &last);
    outcome = drill_job_judge(&k->job, &last);
    daemon_proof_drilled(item, &k->job, outcome, &last);
    plan_next(item, outcome);
    if (m != NULL && m->begun) {
        db_drill_take(&m->db, &k->job, outcome, &last);
        if (m->db.store != NULL)
            store_counts_add(m->db.store, store_counts_of(k->job.store)); /* they were made for this database */
        daemon_watch_news(&m->db);
        return;
    }
    if (outcome != DRILL_STOPPED)
        daemon_watch_drill(k->daemon, item);
    daemon_chore_note_trouble(item, before);
}

/* An open one waits for it to be over, for its own next one and for retention. */
static void let_go(struct daemon_item *item)
{
    struct daemon_member *m = item != NULL ? item->member : NULL;

    if (m == NULL)
        return;
    m->db.drill.elsewhere = false;
    daemon_queue_kick(item->folder->daemon);
}

static void on_over(void *ctx)
{
    struct daemon_drill *k = ctx;
    struct daemon *d = k->daemon;

    d->chores->drill = NULL;
    d->drill_turn.taken = false;
    let_go(k->item);
    daemon_member_copy_fini(&k->settings);
    mem_free(k->state_dir);
    mem_free(k);
    daemon_chore_over(d);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static void could_not_begin(struct daemon_drill *k, const struct err *why)
{
    drill_job_tell_undone(&k->job.site, why);
    daemon_proof_undone(k->item, why);
    plan_next(k->item, DRILL_UNDONE);
    on_over(k);
}

void daemon_drill_begin(struct daemon_item *item)
{
    struct daemon *d = item->folder->daemon;
    struct daemon_drill *k = mem_new(sizeof *k);
    struct db_settings set = item->folder->settings.set;
    struct drill_job_site site;
    struct err err;

    set.path = item->path;
    set.url = item->url;
    daemon_member_copy_init(&k->settings, &set);
    k->daemon = d;
    k->item = item;
    k->state_dir = local_place_dir(item->path, set.state_dir);
    k->job.on_done = on_done;
    k->job.on_over = on_over;
    k->job.ctx = k;
    site = (struct drill_job_site){
        .loop = &d->loop,
        .work = d->work,
        .fs = d->fs,
        .env = d->env,
        .clock = &clock_real,
        .settings = &k->settings.set,
        .state_dir = k->state_dir,
        .timeline = item->facts.timeline,
        .tip_txid = item->facts.txid,
        .tip_ms = item->facts.time_ms,
    };
    d->chores->drill = k;
    d->drill_turn.taken = true;
    if (rc_failed(drill_job_begin(&k->job, &site, item->proof.failed_ms != 0 ? item->proof.failed_txid : 0, &err)))
        could_not_begin(k, &err);
}

/* --- meanwhile ---------------------------------------------------------------------------------------------------- */

void daemon_drill_tend(struct daemon *d)
{
    struct daemon_drill *k = d->chores->drill;
    const struct daemon_member *m = k != NULL && k->item != NULL ? k->item->member : NULL;

    if (k != NULL && k->job.running)
        drill_job_hold(&k->job, m != NULL && m->begun && !m->over && db_drill_must_wait(&m->db));
}

void daemon_drill_stop(struct daemon_drill *k)
{
    drill_job_stop(&k->job);
}

void daemon_drill_forget(struct daemon_drill *k, const struct daemon_item *item)
{
    if (k->item != item)
        return;
    k->item = NULL;
    drill_job_stop(&k->job);
}
