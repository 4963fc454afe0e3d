/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_chore.h"
#include "daemon_trigger.h"

#include "alloc.h"
#include "config_replica.h"
#include "db_trigger.h"
#include "folder_match.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNPARKED_PAUSE_MIN_MS = 10 * 1000, /* a reader that never ends keeps a database from being parked */
    UNPARKED_PAUSE_MAX_MS = 30 * 60 * 1000,
    PRUNE_OPEN_MS = 60 * 60 * 1000, /* longest: the replica may be away */
};

static int by_path(const void *a, const void *b)
{
    const struct daemon_item *x = a, *y = b;

    return strcmp(x->path, y->path);
}

struct daemon_item *daemon_item_find(struct daemon_folder *f, const char *path)
{
    struct daemon_item key = {0};
    void *at;

    key.path = mem_strdup(path);
    at = tfind(&key, &f->by_path, by_path);
    mem_free(key.path);
    return at != NULL ? *(struct daemon_item **)at : NULL;
}

bool daemon_item_is_open(const struct daemon_item *item)
{
    return item->member != NULL && !item->member->leaving;
}

struct daemon_item *daemon_item_closed_at(struct daemon *d, const char *path)
{
    for (struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        struct daemon_item *item = daemon_item_find(f, path);

        if (item != NULL && item->state != DAEMON_ITEM_LEAVING)
            return daemon_item_is_open(item) ? NULL : item;
    }
    return NULL;
}

struct daemon_item *daemon_item_next(struct daemon *d, struct daemon_item_place *at)
{
    struct daemon_item *item = at->item;

    if (item == NULL || at->change_count != d->item_change_count) {
        for (item = d->items; item != NULL && at->number != 0 && item->number >= at->number; item = item->all_next)
            ;
    } else {
        item = item->all_next;
    }
    at->item = item;
    at->number = item != NULL ? item->number : 1; /* the last one has number 1: nothing is behind it */
    at->change_count = d->item_change_count;
    return item;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

static void on_event(void *ctx, const char *name, uint32_t mask)
{
    (void)name;
    (void)mask; /* whatever it is: look */
    daemon_item_look_later(ctx);
}

static void unwatch(struct daemon_item *item)
{
    file_watch_remove(item->folder->daemon->watch, &item->watch);
}

/* A commit changes the log; where there is none, its making is an event of the folder, and a change of the database
 * one of its own. */
static void watch(struct daemon_item *item, bool log)
{
    struct daemon *d = item->folder->daemon;
    CLEANUP(mem_freep) char *path = mem_printf("%s%s", item->path, log ? "-wal" : "");
    struct err err;
    struct rc rc;

    if (item->watch.number != 0 && item->watches_log == log)
        return;
    unwatch(item);
    item->watch.fn = on_event;
    item->watch.ctx = item;
    item->watches_log = log;
    if (d->watch == NULL) {
        item->folder->blind = true;
        return;
    }
    rc = file_watch_add(d->watch, &item->watch, path, false, &err);
    if (!rc_failed(rc)) {
        daemon_item_look_later(item); /* what happened just before gave no event */
        return;
    }
    if (rc.code == E_NOTFOUND) {
        daemon_item_look_later(item);
        return;
    }
    item->folder->blind = true;
    if (!d->told_blind)
        LOG_WARN("no more file events are to be had (fs.inotify.max_user_watches): some parked databases are looked at "
                 "every few seconds instead",
            F_STR("db", item->path), F_ERR(&err));
    d->told_blind = true;
}

void daemon_item_look_later(struct daemon_item *item)
{
    struct daemon *d = item->folder->daemon;

    if (d->last_look || item->look_due || item->state == DAEMON_ITEM_AWAKE || item->state == DAEMON_ITEM_LEAVING)
        return;
    item->look_due = true;
    item->look_next = NULL;
    *d->looks_last = item;
    d->looks_last = &item->look_next;
    daemon_look_run(d);
}

/* --- coming and going --------------------------------------------------------------------------------------------- */

static void item_free(struct daemon_item *item)
{
    struct daemon_folder *f = item->folder;
    static const struct err gone = {.code = E_CANCELED, .msg = "the database is gone"};

    daemon_wait_fail(item, &gone);
    daemon_chore_forget(item);
    unwatch(item);
    (void)tdelete(item, &f->by_path, by_path); /* it is in the tree */
    *item->at = item->next;
    if (item->next != NULL)
        item->next->at = item->at;
    *item->all_at = item->all_next;
    if (item->all_next != NULL)
        item->all_next->all_at = item->all_at;
    f->daemon->item_change_count++;
    f->daemon->item_count--;
    f->daemon->item_shown_count -= item->shown;
    f->item_count--;
    mem_free(item->path);
    mem_free(item->url);
    mem_free(item->error);
    daemon_trigger_forget(item);
    daemon_proof_fini(&item->proof);
    mem_free(item);
    daemon_folder_check(f);
}

void daemon_item_leave(struct daemon_item *item)
{
    if (item->state == DAEMON_ITEM_QUEUED)
        daemon_queue_remove(item);
    item->state = DAEMON_ITEM_LEAVING;
    if (item->member != NULL) {
        if (!item->member->leaving)
            daemon_member_leave(item->member, NULL);
        return;
    }
    if (!item->in_look && !item->look_due)
        item_free(item);
}

static void gone(struct daemon_item *item)
{
    if (item->state != DAEMON_ITEM_NEW && item->facts.txid > 0) {
        item->folder->gone_count++;
        daemon_watch_gone(item);
    }
    daemon_item_leave(item);
}

void daemon_item_add(struct daemon_folder *f, const char *path)
{
    struct daemon_item *item = mem_new(sizeof *item);
    size_t n = folder_match_trimmed(f->dir);
    struct err err;
    struct rc rc;

    item->folder = f;
    item->path = mem_strdup(path);
    item->seen = true;
    item->proof.known_ms = clock_mono_ms(&clock_real);
    item->next = f->items;
    item->at = &f->items;
    if (item->next != NULL)
        item->next->at = &item->next;
    f->items = item;
    item->all_next = f->daemon->items;
    item->all_at = &f->daemon->items;
    if (item->all_next != NULL)
        item->all_next->all_at = &item->all_next;
    f->daemon->items = item;
    item->number = ++f->daemon->item_number;
    f->daemon->item_count++;
    item->shown = f->daemon->item_shown_count < DAEMON_SHOWN_MAX;
    f->daemon->item_shown_count += item->shown;
    f->item_count++;
    if (tsearch(item, &f->by_path, by_path) == NULL)
        abort(); /* without memory nothing works; a crash is safe */
    rc = config_replica_expand(f->settings.set.url, path + (n == 1 ? 1 : n + 1), &item->url, &err);
    if (rc_failed(rc)) {
        item->url = mem_strdup(f->settings.set.url);
        daemon_item_fail(item, DAEMON_ITEM_FENCED, &err); /* nothing but another configuration mends it */
        return;
    }
    daemon_item_look_later(item);
}

/* --- its states --------------------------------------------------------------------------------------------------- */

static void keep_error(struct daemon_item *item, const struct err *err)
{
    if (item->error == NULL)
        item->error = mem_new(sizeof *item->error);
    *item->error = *err;
}

static void forget_error(struct daemon_item *item)
{
    mem_free(item->error);
    item->error = NULL;
    item->prune_failed = false;
}

void daemon_item_fail(struct daemon_item *item, enum daemon_item_state state, const struct err *err)
{
    bool news = item->error == NULL || item->error->code != err->code;

    keep_error(item, err);
    item->state = state;
    if (news)
        daemon_watch_path(item->folder->daemon, item->path, err);
    item->pause_ms = daemon_member_failed_pause(item->pause_ms);
    item->due_ms = clock_mono_ms(&clock_real) + item->pause_ms;
    daemon_wait_fail(item, err);
    if (state == DAEMON_ITEM_FAILED)
        daemon_item_look_later(item);
}

static void queue(struct daemon_item *item)
{
    item->state = DAEMON_ITEM_QUEUED;
    item->due_ms = 0;
    daemon_queue_put(item);
}

static void parked(struct daemon_item *item, const struct park_mark *mark)
{
    item->state = DAEMON_ITEM_PARKED;
    item->ship_wanted = false;
    item->mark = *mark;
    item->facts.timeline = mark->timeline;
    item->facts.txid = mark->txid;
    item->facts.time_ms = mark->time_ms;
    item->replicated = true;
    daemon_prune_plan(item);
    item->due_ms = item->prune_due_ms;
    daemon_chore_plan(item);
    LOG_DEBUG("parked", F_STR("db", item->path), F_U64("txid", mark->txid));
}

static void judge_new(struct daemon_item *item, const struct park_mark_file *db, const struct park_mark_file *log,
    const struct daemon_left *left)
{
    struct db_settings set = item->folder->settings.set;
    const char *other;
    struct err err;

    set.url = item->url;
    other = daemon_folder_same_replica(item, &set);
    if (other != NULL) {
        item->mark.db = *db;
        rc_ignore(rc_raise(&err, E_CONFIG, "%s: its replica %s is that of %s already", item->path, item->url, other),
            "it is kept");
        LOG_ERROR("cannot replicate", F_STR("db", item->path), F_ERR(&err));
        daemon_item_fail(item, DAEMON_ITEM_FAILED, &err);
        return;
    }
    if (left != NULL)
        daemon_proof_left(item, left);
    /* Damaged pages are looked at again and again while it is open. */
    if (left == NULL || left->mark.replica != park_mark_replica(item->url)
        || park_mark_judge(&left->mark, db, log) != PARK_STAY || item->proof.damaged > 0) {
        queue(item);
        return;
    }
    parked(item, &left->mark);
    watch(item, log->there);
}

static void judge_parked(struct daemon_item *item, const struct park_mark_file *db, const struct park_mark_file *log)
{
    if (park_mark_judge(&item->mark, db, log) == PARK_WAKE || !daemon_wait_settle(item))
        queue(item);
    else {
        item->ship_wanted = false; /* nothing was committed */
        watch(item, log->there);
    }
}

static void judge_waiting(struct daemon_item *item, const struct park_mark_file *db)
{
    bool changed = !park_mark_same(&item->mark.db, db);

    if (item->state == DAEMON_ITEM_EMPTY ? db->size > 0 : changed && item->mark.db.there) {
        item->mark.db = *db;
        judge_new(item, db, db, NULL);
        return;
    }
    item->mark.db = *db;
    watch(item, false);
}

void daemon_item_retry(struct daemon_item *item)
{
    item->due_ms = 0;
    if (item->state == DAEMON_ITEM_PARKED) {
        item->for_prune = true;
        item->keep_open_ms = clock_mono_ms(&clock_real) + PRUNE_OPEN_MS;
        queue(item);
    } else if (item->state == DAEMON_ITEM_FAILED) {
        item->state = DAEMON_ITEM_NEW;
        daemon_item_look_later(item);
    }
}

void daemon_item_reopen(struct daemon_item *item)
{
    if (item->state == DAEMON_ITEM_PARKED)
        queue(item);
}

void daemon_item_judge(struct daemon_item *item, const struct park_mark_file *db, const struct park_mark_file *log,
    const struct daemon_left *left, const struct err *err)
{
    if (item->look_due)
        return; /* once more, and then with what is known by then */
    if (item->state == DAEMON_ITEM_LEAVING) {
        daemon_item_leave(item);
        return;
    }
    if (item->state == DAEMON_ITEM_AWAKE || item->state == DAEMON_ITEM_FENCED)
        return;
    if (err->code != E_OK) {
        if (item->state != DAEMON_ITEM_FAILED) {
            LOG_ERROR("cannot replicate", F_STR("db", item->path), F_ERR(err));
            daemon_item_fail(item, DAEMON_ITEM_FAILED, err);
        }
        return;
    }
    if (!db->there) {
        gone(item);
        return;
    }
    if (db->size == 0 && item->state != DAEMON_ITEM_QUEUED) {
        item->state = DAEMON_ITEM_EMPTY;
        forget_error(item);
        watch(item, false);
        return;
    }
    if (item->state == DAEMON_ITEM_NEW)
        judge_new(item, db, log, left);
    else if (item->state == DAEMON_ITEM_PARKED)
        judge_parked(item, db, log);
    else if (item->state != DAEMON_ITEM_QUEUED)
        judge_waiting(item, db);
}

/* --- open --------------------------------------------------------------------------------------------------------- */

void daemon_item_wake(struct daemon_item *item)
{
    struct daemon_folder *f = item->folder;
    struct db_settings set = f->settings.set;
    struct daemon_member *m;

    unwatch(item);
    set.path = item->path;
    set.url = item->url;
    daemon_trigger_overlay(item, &set);
    item->state = DAEMON_ITEM_AWAKE;
    m = daemon_member_begin_item(item, &set);
    if (m->over)
        daemon_item_over(item);
}

/* Nobody works on it any more: keep what it came to, and give back the rest. */
void daemon_item_over(struct daemon_item *item)
{
    struct daemon_member *m = item->member;
    struct daemon_folder *f = item->folder;

    daemon_facts_take(item);
    if (m->db.fence != FENCE_UNKNOWN)
        f->fence = m->db.fence;
    if (f->daemon->stopping)
        return; /* it stays for the exit status */
    m->leaving = true;
    daemon_member_close(m);
}

static void not_parked(struct daemon_item *item)
{
    uint64_t now = clock_mono_ms(&clock_real);

    item->pause_ms = item->pause_ms * 2 < UNPARKED_PAUSE_MIN_MS   ? UNPARKED_PAUSE_MIN_MS
                     : item->pause_ms * 2 > UNPARKED_PAUSE_MAX_MS ? UNPARKED_PAUSE_MAX_MS
                                                                  : item->pause_ms * 2;
    item->keep_open_ms = now + item->pause_ms;
    queue(item);
}

void daemon_item_closed(struct daemon_item *item)
{
    struct daemon_member *m = item->member;
    struct err why = m->db.error;
    bool fenced = m->db.state == DB_FENCED && m->begun, absent = m->db.start.absent;

    item->member = NULL;
    if (why.code == E_OK)
        forget_error(item);
    if (item->state == DAEMON_ITEM_LEAVING) {
        daemon_item_leave(item);
    } else if (why.code != E_OK) {
        item->mark.db.there = false; /* its next look is what it looked like */
        daemon_item_fail(item, fenced ? DAEMON_ITEM_FENCED : DAEMON_ITEM_FAILED, &why);
    } else if (m->db.marked) {
        item->pause_ms = 0;
        item->prune_failed = m->db.prune.failed.code != E_OK;
        if (item->prune_failed)
            keep_error(item, &m->db.prune.failed); /* being closed mends nothing */
        parked(item, &m->db.mark);
        daemon_item_look_later(item); /* once it is watched nothing that came in between is missed */
    } else if (absent) {
        item->state = DAEMON_ITEM_EMPTY; /* or gone */
        daemon_item_look_later(item);
    } else {
        not_parked(item);
    }
}
