/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_trigger.h"

#include "alloc.h"
#include "config_replica.h"

#include <string.h>
#include <unistd.h>

/* A slice is sent before the next one is made: so much of the loop's time is taken at once. */
enum { SLICE_SIZE = 64 << 10 };

/* The document in slices: its head, databases, its end. */
struct status_source {
    struct daemon *daemon;
    struct daemon_place at;
    struct daemon_item_place item_at;
    char *path; /* owned; the only one; NULL: all */
    bool begun, some, over;
};

void daemon_status_closed(const struct daemon_item *i, const char *url, struct status_closed *out)
{
    static const char *const names[] = {
        [DAEMON_ITEM_NEW] = "starting",
        [DAEMON_ITEM_EMPTY] = "waiting",
        [DAEMON_ITEM_QUEUED] = "starting",
        [DAEMON_ITEM_AWAKE] = "replicating", /* it is being parked */
        [DAEMON_ITEM_PARKED] = "replicating",
        [DAEMON_ITEM_FAILED] = "failed",
        [DAEMON_ITEM_FENCED] = "fenced",
    };
    const struct daemon_item_facts *f = &i->facts;

    *out = (struct status_closed){
        .path = i->path,
        .url = url,
        .state = i->state == DAEMON_ITEM_FENCED && i->error->code != E_FENCED ? "failed" : names[i->state],
        .parked = i->state == DAEMON_ITEM_PARKED,
        .ready = daemon_verdict_item(i),
        .error = daemon_proof_trouble(i),
        .timeline = f->timeline,
        .txid = f->txid,
        .snapshot_txid = f->snapshot_txid,
        .resyncs = f->resync_count,
        .segments = f->put_count,
        .bytes_shipped = f->put_bytes,
        .bytes_changed = f->raw_bytes,
        .failures = f->failure_count,
        .gaps = f->gap_count,
        .time_ms = f->time_ms,
        .snapshot_ms = f->snapshot_ms,
        .failed_ms = f->failed_ms,
    };
    daemon_proof_status(i, out);
}

static json_t *closed(const struct daemon_item *i)
{
    CLEANUP(mem_freep) char *url = config_replica_redact(i->url);
    struct db_settings set = i->folder->settings.set;
    struct status_closed c;

    daemon_status_closed(i, url, &c);
    daemon_trigger_overlay(i, &set);
    c.settings = &set;
    return status_closed(&c);
}

void daemon_status_count(const struct daemon_folder *f, uint64_t counts[METRICS_FOLDER_STATE_COUNT])
{
    static const enum metrics_folder_state groups[] = {
        [DAEMON_ITEM_NEW] = METRICS_STARTING,
        [DAEMON_ITEM_EMPTY] = METRICS_WAITING,
        [DAEMON_ITEM_QUEUED] = METRICS_STARTING,
        [DAEMON_ITEM_AWAKE] = METRICS_OPENED,
        [DAEMON_ITEM_PARKED] = METRICS_PARKED,
        [DAEMON_ITEM_FAILED] = METRICS_FAILED,
        [DAEMON_ITEM_FENCED] = METRICS_FAILED,
    };

    for (unsigned i = 0; i < METRICS_FOLDER_STATE_COUNT; i++)
        counts[i] = 0;
    for (const struct daemon_item *i = f->items; i != NULL; i = i->next)
        if (i->member != NULL)
            counts[METRICS_OPENED]++;
        else if (i->state != DAEMON_ITEM_LEAVING)
            counts[groups[i->state]]++;
}

static json_t *folders(const struct daemon *d)
{
    json_t *list = json_array();

    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        uint64_t n[METRICS_FOLDER_STATE_COUNT], unproven[METRICS_UNPROVEN_COUNT];

        daemon_status_count(f, n);
        daemon_proof_count(f, unproven);
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "dir",
                      status_text(f->dir), "pattern", status_text(f->pattern), "recursive", f->recursive, "watch",
                      f->watch, "databases", (json_int_t)f->item_count, "open", (json_int_t)n[METRICS_OPENED], "parked",
                      (json_int_t)n[METRICS_PARKED], "starting", (json_int_t)n[METRICS_STARTING], "waiting",
                      (json_int_t)n[METRICS_WAITING], "failed", (json_int_t)n[METRICS_FAILED], "drill_failed",
                      (json_int_t)unproven[METRICS_DRILL_FAILED], "drill_overdue",
                      (json_int_t)unproven[METRICS_DRILL_OVERDUE], "damaged", (json_int_t)unproven[METRICS_DAMAGED],
                      "error", f->error.code != E_OK ? status_text(f->error.msg) : json_null()));
    }
    return list;
}

/* The latest first. */
static json_t *gone(const struct daemon *d)
{
    json_t *list = json_array();

    for (size_t n = d->gone_count; n > 0 && d->gone_count - n < DAEMON_GONE_MAX; n--) {
        const struct daemon_gone *g = &d->gone[(n - 1) % DAEMON_GONE_MAX];

        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:I, s:o}", "path", status_text(g->path), "url", status_text(g->url), "txid",
                      (json_int_t)g->txid, "time", status_time(g->gone_ms)));
    }
    return list;
}

static void put_head(struct daemon *d, struct buf *out)
{
    json_t *version = json_string(WEIR_VERSION), *configuration;

    buf_text(out, "{\"version\":");
    daemon_http_json(out, version);
    buf_printf(out, ",\"pid\":%ld,\"started\":", (long)getpid());
    daemon_http_json(out, status_time(d->start_ms));
    buf_printf(out, ",\"ready\":%s", daemon_verdict_all(d) ? "true" : "false");
    buf_text(out, ",\"configuration\":");
    configuration = status_configuration(d->source->file, d->loaded_ms, &d->reload_error, d->reload_error_ms);
    daemon_http_json(out, configuration);
    buf_text(out, ",\"folders\":");
    daemon_http_json(out, folders(d));
    buf_text(out, ",\"gone\":");
    daemon_http_json(out, gone(d));
    buf_text(out, ",\"databases\":[");
}

/* The next database as JSON; NULL: there is none. */
static json_t *next_database(struct status_source *s)
{
    const struct daemon_member *m;
    const struct daemon_item *i;

    while ((m = daemon_member_next(s->daemon, &s->at)) != NULL) {
        bool shown = m->item == NULL || daemon_item_is_open(m->item);

        if (shown && (s->path == NULL || strcmp(s->path, m->settings.set.path) == 0))
            return status_database(&m->db, daemon_verdict_member(m));
    }
    while ((i = daemon_item_next(s->daemon, &s->item_at)) != NULL) {
        bool shown = i->state != DAEMON_ITEM_LEAVING && !daemon_item_is_open(i);

        if (shown && (s->path == NULL || strcmp(s->path, i->path) == 0))
            return closed(i);
    }
    return NULL;
}

static void more(void *ctx, struct buf *out)
{
    struct status_source *s = ctx;

    if (s->over)
        return;
    if (!s->begun)
        put_head(s->daemon, out);
    s->begun = true;
    while (out->size < SLICE_SIZE) {
        json_t *database = next_database(s);

        if (database == NULL) {
            buf_text(out, "]}\n");
            s->over = true;
            return;
        }
        if (s->some)
            buf_text(out, ",");
        s->some = true;
        daemon_http_json(out, database);
    }
}

static void free_source(void *ctx)
{
    struct status_source *s = ctx;

    mem_free(s->path);
    mem_free(s);
}

void daemon_status_answer(struct daemon *d, struct http_call *call)
{
    const char *path = http_call_query(call, "path");
    struct status_source *s = mem_new(sizeof *s);

    s->daemon = d;
    s->path = path != NULL ? mem_strdup(path) : NULL;
    http_call_stream(call, 200, "application/json", &(struct http_source){.more = more, .free = free_source, .ctx = s});
}
