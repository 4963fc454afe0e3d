/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "config_replica.h"

#include <inttypes.h>
#include <stdio.h>

static void add(const struct daemon_member *m, const char *kind, const char *text)
{
    events_add(&m->daemon->events, clock_wall_ms(&clock_real), kind, m->settings.set.path, text);
    daemon_notify_news(m->daemon);
}

static void note_state(struct daemon_member *m, const char *state, const struct err *trouble)
{
    struct daemon_seen *s = &m->seen;
    CLEANUP(mem_freep) char *text = NULL;

    if (s->state == state) /* they are literals */
        return;
    text = mem_printf("%s%s%s%s%s", s->state != NULL ? s->state : "", s->state != NULL ? " -> " : "", state,
        trouble != NULL ? ": " : "", trouble != NULL ? trouble->msg : "");
    s->state = state;
    add(m, "state", text);
}

/* Something begins to fail, or fails in another way. */
static void note_trouble(struct daemon_member *m, const struct err *trouble)
{
    struct daemon_seen *s = &m->seen;
    enum err_code code = trouble != NULL ? trouble->code : E_OK;

    if (s->code == code) {
        if (code != E_OK)
            daemon_notify_news(m->daemon); /* the cause may be another one */
        return;
    }
    if (code != E_OK) {
        s->failure_count++;
        s->failed_ms = clock_wall_ms(&clock_real);
        add(m, "failure", trouble->msg);
    } else {
        add(m, "healed", "nothing is wrong any more");
    }
    s->code = code;
}

static void note_history(struct daemon_member *m)
{
    const struct db *db = &m->db;
    struct daemon_seen *s = &m->seen;
    char text[EVENTS_TEXT_SIZE];

    if (db->timeline != s->timeline) {
        (void)snprintf(text, sizeof text, "timeline %" PRIu32 " is written from here", db->timeline);
        add(m, "timeline", text);
        s->timeline = db->timeline;
    }
    if (db->last_gap.txid != s->gap_txid) {
        (void)snprintf(text, sizeof text, "commits behind txid %" PRIu64 " up to %" PRIu64 " cannot be told apart",
            db->last_gap.after_txid, db->last_gap.txid);
        add(m, "gap", text);
        s->gap_txid = db->last_gap.txid;
        s->gap_count++;
        daemon_history_gap(m);
    }
    if (db->snapshot_count != s->snapshot_count) {
        (void)snprintf(text, sizeof text, "snapshot of txid %" PRIu64, db->snapshot_txid);
        add(m, "snapshot", text);
        s->snapshot_count = db->snapshot_count;
    }
}

/* Texts are NULL where there is none. */
static void drill_text(char text[EVENTS_TEXT_SIZE], const struct status_drill *k)
{
    if (k->error != NULL)
        (void)snprintf(text, EVENTS_TEXT_SIZE, "could not be carried out: %.200s", k->error);
    else if (k->skipped != NULL)
        (void)snprintf(text, EVENTS_TEXT_SIZE, "skipped: %.200s", k->skipped);
    else if (k->failure != NULL)
        (void)snprintf(text, EVENTS_TEXT_SIZE, "failed: %.250s", k->failure);
    else
        (void)snprintf(text, EVENTS_TEXT_SIZE, "txid %" PRIu64 " was restored and is whole", k->txid);
}

static void note_drill(struct daemon_member *m)
{
    struct status_drill k;
    char text[EVENTS_TEXT_SIZE];

    if (m->db.drill.news_count == m->seen.drill_count)
        return;
    m->seen.drill_count = m->db.drill.news_count;
    status_proof_drill_of(&m->db, &k);
    drill_text(text, &k);
    add(m, "drill", text);
}

static void note_scrub(struct daemon_member *m)
{
    const struct db_scrub *k = &m->db.scrub;

    if (k->news_count == m->seen.scrub_count)
        return;
    m->seen.scrub_count = k->news_count;
    add(m, "scrub", k->news);
}

static void note_sample(struct daemon_member *m)
{
    const struct db *db = &m->db;

    if (db->state != DB_RUNNING && db->state != DB_STOPPING)
        return;
    if (m->samples == NULL) /* one that never runs needs none */
        m->samples = samples_new(m->daemon->member_count);
    samples_note(m->samples, clock_wall_ms(&clock_real),
        &(struct samples_point){
            .commits = db->shipped_txid,
            .bytes = db->shipper.put_bytes,
            .lag_commits = status_lag_commits(db),
            .lag_ms = status_lag_ms(db),
            .log_bytes = db->log_bytes,
        });
}

void daemon_watch_news(struct db *db)
{
    struct daemon_member *m = db->ctx;
    const struct err *trouble = status_trouble(db);

    if (m->item != NULL && m->leaving)
        return; /* being parked is no news */
    note_state(m, status_state(db), trouble);
    note_trouble(m, trouble);
    note_history(m);
    note_drill(m);
    note_scrub(m);
    note_sample(m);
}

void daemon_watch_path(struct daemon *d, const char *path, const struct err *why)
{
    bool failed = why->code != E_OK;

    events_add(&d->events, clock_wall_ms(&clock_real), failed ? "failure" : "healed", path,
        failed ? why->msg : "nothing is wrong any more");
    daemon_notify_news(d);
}

void daemon_watch_drill(struct daemon *d, const struct daemon_item *item)
{
    struct status_closed c;
    char text[EVENTS_TEXT_SIZE];

    daemon_proof_status(item, &c);
    drill_text(text, &c.drill);
    events_add(&d->events, clock_wall_ms(&clock_real), "drill", item->path, text);
}

void daemon_watch_folder(struct daemon_folder *f, const struct err *err)
{
    bool news = f->error.code != err->code;

    f->error = *err;
    if (!news)
        return;
    if (err->code != E_OK)
        LOG_ERROR("the folder cannot be searched, will try again", F_STR("folder", f->dir), F_ERR(err));
    else
        LOG_INFO("the folder can be searched again", F_STR("folder", f->dir));
    daemon_watch_path(f->daemon, f->dir, err);
}

void daemon_watch_gone(const struct daemon_item *item)
{
    struct daemon *d = item->folder->daemon;
    struct daemon_gone *g = &d->gone[d->gone_count++ % DAEMON_GONE_MAX];

    mem_free(g->path);
    mem_free(g->url);
    *g = (struct daemon_gone){.path = mem_strdup(item->path),
        .url = config_replica_redact(item->url),
        .gone_ms = clock_wall_ms(&clock_real),
        .txid = item->facts.txid};
    LOG_INFO("the database is gone, its history stays", F_STR("db", item->path), F_STR("url", g->url),
        F_U64("txid", item->facts.txid));
}

void daemon_watch_configuration(struct daemon *d, const char *kind, const char *text)
{
    events_add(&d->events, clock_wall_ms(&clock_real), kind, d->source->file != NULL ? d->source->file : "", text);
}
