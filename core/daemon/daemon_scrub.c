/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrub of a database of a folder that is parked.  It needs the file and the local state alone, so the database
 * stays as it is; whoever opens it waits until the file has been let go of.  One with damaged pages is opened, because
 * they are looked at again and again then.
 */
#include "daemon_chore.h"

#include "alloc.h"
#include "proof_due.h"
#include "scrub_parked.h"
#include "scrub_tell.h"

#include <string.h>

struct daemon_scrub {
    struct daemon *daemon;
    struct daemon_item *item; /* NULL: it is gone */
    char *path, *state_dir;   /* owned */
    struct work_item work;
    struct scrub_parked run;
    atomic_bool stop; /* the job reads it, too */
    struct rc rc;
    struct err err; /* the job's until it is done */
};

/* --- the outcome -------------------------------------------------------------------------------------------------- */

static void could_not(struct daemon_item *item, const struct err *why)
{
    if (item->proof.scrub_error == NULL)
        LOG_WARN("scrub: the database could not be read, will try again", F_STR("db", item->path), F_ERR(why));
    daemon_proof_unscrubbed(item, why);
    daemon_chore_again(item, DAEMON_CHORE_SCRUB, PROOF_DUE_RETRY_MS);
    daemon_notify_news(item->folder->daemon);
}

static void tell(struct daemon_scrub *k, uint64_t damaged_before)
{
    struct daemon_item *item = k->item;
    const struct daemon_proof *p = &item->proof;

    scrub_tell_pages(&k->run.note, item->path, item->facts.txid);
    if (p->damaged == damaged_before)
        return;
    scrub_tell_many(item->path, p->damaged);
    events_add(&k->daemon->events, clock_wall_ms(&clock_real), "scrub", item->path,
        p->scrub_alert != NULL ? p->scrub_alert->msg : "no page of the database is damaged any more");
}

static void judge(struct daemon_scrub *k)
{
    struct daemon_item *item = k->item;
    uint64_t damaged = item->proof.damaged;
    enum err_code before = daemon_chore_trouble_code(item);

    item->proof.page_count += k->run.page_count;
    if (rc_failed(k->rc)) {
        could_not(item, &k->err);
        return;
    }
    if (k->run.end != SCRUB_PARKED_PASSED) {
        daemon_chore_again(item, DAEMON_CHORE_SCRUB, PROOF_DUE_SOON_MS);
        daemon_item_look_later(item);
        return;
    }
    item->proof.pass_count++;
    daemon_proof_scrubbed(item, &k->run.note);
    daemon_chore_again(item, DAEMON_CHORE_SCRUB, item->folder->settings.set.scrub_interval_ms);
    tell(k, damaged);
    daemon_chore_note_trouble(item, before);
    if (item->proof.damaged > 0)
        daemon_item_reopen(item);
}

static void on_done(struct work_item *work)
{
    struct daemon_scrub *k = work->owner;
    struct daemon *d = k->daemon;

    d->chores->scrub = NULL;
    if (k->item != NULL)
        judge(k);
    scrub_parked_fini(&k->run);
    mem_free(k->path);
    mem_free(k->state_dir);
    mem_free(k);
    daemon_chore_over(d);
}

/* --- the job ------------------------------------------------------------------------------------------------------ */

static void run(struct work_item *work)
{
    struct daemon_scrub *k = work->owner;

    work_background();
    k->rc = scrub_parked_run(&k->run, &k->err);
}

void daemon_scrub_begin(struct daemon_item *item)
{
    const struct db_settings *set = &item->folder->settings.set;
    struct daemon *d = item->folder->daemon;
    struct daemon_scrub *k = mem_new(sizeof *k);

    k->daemon = d;
    k->item = item;
    k->path = mem_strdup(item->path);
    k->state_dir = local_place_dir(item->path, set->state_dir);
    k->run = (struct scrub_parked){
        .fs = d->fs,
        .clock = &clock_real,
        .path = k->path,
        .state_dir = k->state_dir,
        .mark = item->mark,
        .interval_ms = set->scrub_interval_ms,
        .rate = set->scrub_rate,
        .stop = &k->stop,
    };
    k->work.owner = k;
    k->work.run = run;
    k->work.done = on_done;
    d->chores->scrub = k;
    work_job(d->work, &k->work);
}

bool daemon_scrub_holds(struct daemon *d, const char *path)
{
    struct daemon_scrub *k = d->chores->scrub;

    if (k == NULL || strcmp(k->path, path) != 0)
        return false;
    k->stop = true;
    return true;
}

void daemon_scrub_stop(struct daemon_scrub *k)
{
    k->stop = true;
}

void daemon_scrub_forget(struct daemon_scrub *k, const struct daemon_item *item)
{
    if (k->item != item)
        return;
    k->item = NULL;
    k->stop = true;
}
