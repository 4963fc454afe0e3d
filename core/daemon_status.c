/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

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

/* One that is not open. */
static json_t *closed(const struct daemon_item *i)
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
    CLEANUP(mem_freep) char *url = config_replica_redact(i->url);
    struct status_closed c = {.path = i->path, .url = url, .error = i->error, .timeline = i->facts.timeline};

    c.state = i->state == DAEMON_ITEM_FENCED && i->error->code != E_FENCED ? "failed" : names[i->state];
    c.parked = i->state == DAEMON_ITEM_PARKED;
    c.txid = i->facts.txid;
    c.time_ms = i->facts.time_ms;
    c.snapshot_txid = i->facts.snapshot_txid;
    c.snapshot_ms = i->facts.snapshot_ms;
    c.resyncs = i->facts.resync_count;
    c.segments = i->facts.put_count;
    c.bytes_shipped = i->facts.put_bytes;
    c.bytes_changed = i->facts.raw_bytes;
    return status_closed(&c);
}

static json_t *folders(const struct daemon *d)
{
    json_t *list = json_array();

    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        size_t open = 0, parked = 0, failed = 0;

        for (const struct daemon_item *i = f->items; i != NULL; i = i->next) {
            open += i->member != NULL;
            parked += i->state == DAEMON_ITEM_PARKED;
            failed += i->state == DAEMON_ITEM_FAILED || i->state == DAEMON_ITEM_FENCED;
        }
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:o}", "dir", status_text(f->dir), "pattern",
                      status_text(f->pattern), "recursive", f->recursive, "watch", f->watch, "databases",
                      (json_int_t)f->item_count, "open", (json_int_t)open, "parked", (json_int_t)parked, "failed",
                      (json_int_t)failed, "error", f->error.code != E_OK ? status_text(f->error.msg) : json_null()));
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
    buf_printf(out, ",\"pid\":%ld,\"configuration\":", (long)getpid());
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
            return status_database(&m->db);
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
