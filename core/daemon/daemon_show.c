/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "metrics.h"

#include <string.h>

/* Reasons that are named; beyond it they are counted. */
enum { REASONS_MAX = 100, SLICE_SIZE = 64 << 10 };

/* --- ready? ------------------------------------------------------------------------------------------------------- */

struct reasons {
    json_t *list; /* NULL: nobody is told why */
    size_t count;
};

static void add_reason(void *ctx, const char *path, const char *state, const struct err *why)
{
    struct reasons *r = ctx;

    if (r->count++ < REASONS_MAX && r->list != NULL)
        (void)json_array_append_new(
            r->list, json_pack("{s:o, s:s, s:o}", "path", status_text(path), "state", state, "error",
                         why != NULL ? status_text(why->msg) : json_null())); /* fails only without memory */
}

/* Without the token only whether, not why. */
void daemon_show_ready(struct daemon *d, struct http_call *call)
{
    struct reasons r = {.list = http_call_is_trusted(call) ? json_array() : NULL};
    json_t *o;

    daemon_verdict_each(d, add_reason, &r);
    o = json_pack("{s:b}", "ready", r.count == 0);
    if (r.list != NULL)
        (void)json_object_update_new(o, json_pack("{s:I, s:o}", "not_ready", (json_int_t)r.count, "reasons", r.list));
    daemon_http_answer(call, r.count == 0 ? 200 : 503, o);
}

/* --- events and samples ------------------------------------------------------------------------------------------- */

void daemon_show_events(struct daemon *d, struct http_call *call)
{
    daemon_http_answer(call, 200, events_document(&d->events));
}

/* Of one that is not open: how it is now.  What was before it was parked is not kept. */
static struct samples *closed_samples(const struct daemon *d, const struct daemon_item *item)
{
    struct samples *s = samples_new(d->member_count);

    samples_note(s, clock_wall_ms(&clock_real),
        &(struct samples_point){.commits = item->facts.txid, .bytes = item->facts.put_bytes});
    return s;
}

void daemon_show_samples(struct daemon *d, struct http_call *call)
{
    const char *text = http_call_query(call, "span"), *path = http_call_query(call, "path");
    const struct daemon_item *item = path != NULL ? daemon_item_closed_at(d, path) : NULL;
    struct daemon_member *m = item == NULL ? daemon_http_member(d, call) : NULL;
    struct samples *own = NULL;
    enum samples_span span = SAMPLES_HOUR;
    json_t *o;

    if (item == NULL && m == NULL)
        return;
    if (text != NULL && strcmp(text, "week") == 0) {
        span = SAMPLES_WEEK;
    } else if (text != NULL && strcmp(text, "hour") != 0) {
        struct err err;

        rc_ignore(rc_raise(&err, E_CONFIG, "span is hour or week"), "it is the answer");
        daemon_http_error(call, 0, &err);
        return;
    }
    if (m == NULL)
        own = closed_samples(d, item);
    else if (m->samples == NULL)
        m->samples = samples_new(d->member_count);
    o = samples_document(m != NULL ? m->samples : own, span, clock_wall_ms(&clock_real));
    samples_free(own);
    (void)json_object_set_new(o, "path", status_text(path)); /* fails only without memory */
    daemon_http_answer(call, 200, o);
}

/* --- metrics, in slices: family by family, database by database --------------------------------------------------- */

struct shown_folder {
    char *dir, *pattern; /* owned */
    struct metrics_folder figures;
};

struct metrics_source {
    struct daemon *daemon;
    enum metrics_format how;
    struct shown_folder *folders; /* owned, as they were at the beginning */
    size_t folder_count, folder_at;
    unsigned folder_family, family;
    struct daemon_place at;
    struct daemon_item_place item_at;
    bool begun, in_family, over;
};

static void take_folders(struct metrics_source *s)
{
    size_t n = 0;

    for (const struct daemon_folder *f = s->daemon->folders; f != NULL; f = f->next)
        n++;
    if (n == 0)
        return;
    s->folders = mem_new(n * sizeof *s->folders);
    for (const struct daemon_folder *f = s->daemon->folders; f != NULL; f = f->next) {
        struct shown_folder *m = &s->folders[s->folder_count++];

        m->dir = mem_strdup(f->dir);
        m->pattern = mem_strdup(f->pattern);
        m->figures = (struct metrics_folder){
            .dir = m->dir, .pattern = m->pattern, .failed = f->error.code != E_OK, .gone_count = f->gone_count};
        daemon_status_count(f, m->figures.counts);
        daemon_proof_count(f, m->figures.unproven);
    }
}

static void free_metrics(void *ctx)
{
    struct metrics_source *s = ctx;

    for (size_t i = 0; i < s->folder_count; i++) {
        mem_free(s->folders[i].dir);
        mem_free(s->folders[i].pattern);
    }
    mem_free(s->folders);
    mem_free(s);
}

static uint64_t unshown(const struct daemon *d)
{
    uint64_t n = 0;

    for (const struct daemon_item *i = d->items; i != NULL; i = i->all_next)
        n += !i->shown && !daemon_item_is_open(i) && i->state != DAEMON_ITEM_LEAVING;
    return n;
}

static void begin_metrics(struct metrics_source *s, struct buf *out)
{
    const struct daemon *d = s->daemon;

    metrics_process(
        &(struct metrics_process){
            .start_ms = d->start_ms,
            .loaded_ms = d->loaded_ms,
            .reload_failed = d->reload_error.code != E_OK,
            .unshown = unshown(d),
        },
        s->how, out);
    take_folders(s);
    if (s->folder_count == 0)
        s->folder_family = metrics_folder_family_count(); /* nothing to tell */
    s->begun = true;
}

static void put_open(const struct metrics_source *s, const struct daemon_member *m, struct buf *out)
{
    if (m->item != NULL && !daemon_item_is_open(m->item))
        return; /* it is being parked, and told as such */
    metrics_samples(s->family,
        &(struct metrics_database){
            .db = &m->db,
            .ready = daemon_verdict_member(m),
            .failure_count = m->seen.failure_count,
            .gap_count = m->seen.gap_count,
            .failed_ms = m->seen.failed_ms,
        },
        s->how, out);
}

static void put_closed(const struct metrics_source *s, const struct daemon_item *i, struct buf *out)
{
    struct status_closed c;

    if (!i->shown || daemon_item_is_open(i) || i->state == DAEMON_ITEM_LEAVING)
        return;
    daemon_status_closed(i, NULL, &c);
    metrics_closed(s->family, &c, clock_wall_ms(&clock_real), out);
}

static bool in_folders(const struct metrics_source *s)
{
    return s->folder_family < metrics_folder_family_count();
}

static void put_head(const struct metrics_source *s, struct buf *out)
{
    if (in_folders(s))
        metrics_folder_head(s->folder_family, s->how, out);
    else
        metrics_head(s->family, s->how, out);
}

static void next_family(struct metrics_source *s)
{
    if (in_folders(s))
        s->folder_family++;
    else
        s->family++;
    s->folder_at = 0;
    s->at = (struct daemon_place){0};
    s->item_at = (struct daemon_item_place){0};
}

/* Something of the present family; false: there is no more. */
static bool put_next(struct metrics_source *s, struct buf *out)
{
    const struct daemon_member *m;
    const struct daemon_item *i;

    if (in_folders(s)) {
        if (s->folder_at == s->folder_count)
            return false;
        metrics_folder(s->folder_family, &s->folders[s->folder_at++].figures, out);
        return true;
    }
    m = daemon_member_next(s->daemon, &s->at);
    if (m != NULL) {
        put_open(s, m, out);
        return true;
    }
    i = daemon_item_next(s->daemon, &s->item_at);
    if (i != NULL)
        put_closed(s, i, out);
    return i != NULL;
}

static void more(void *ctx, struct buf *out)
{
    struct metrics_source *s = ctx;

    if (s->over)
        return;
    if (!s->begun)
        begin_metrics(s, out);
    while (out->size < SLICE_SIZE) {
        if (s->family == metrics_family_count()) {
            metrics_end(s->how, out);
            s->over = true;
            return;
        }
        if (!s->in_family)
            put_head(s, out);
        s->in_family = put_next(s, out);
        if (!s->in_family)
            next_family(s);
    }
}

void daemon_show_metrics(struct daemon *d, struct http_call *call)
{
    struct metrics_source *s = mem_new(sizeof *s);
    const char *accept = http_call_header_in(call, "Accept");

    s->daemon = d;
    s->how = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL ? METRICS_OPEN : METRICS_CLASSIC;
    http_call_stream(
        call, 200, metrics_type(s->how), &(struct http_source){.more = more, .free = free_metrics, .ctx = s});
}
