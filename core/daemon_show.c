/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "metrics.h"

#include <string.h>

/* Reasons that are named; beyond it they are counted. */
enum { REASONS_MAX = 100, SLICE_SIZE = 64 << 10 };

/* --- ready? ------------------------------------------------------------------------------------------------------- */

static bool is_ready(const struct db *db)
{
    return db->state == DB_RUNNING && strcmp(status_state(db), db_state_name(DB_RUNNING)) == 0
           && status_trouble(db) == NULL;
}

static json_t *reason(const struct db *db)
{
    const struct err *trouble = status_trouble(db);

    return json_pack("{s:o, s:s, s:o}", "path", status_text(db->settings->path), "state", status_state(db), "error",
        trouble != NULL ? status_text(trouble->msg) : json_null());
}

/* Without the token only whether, not why. */
void daemon_show_ready(struct daemon *d, struct http_call *call)
{
    bool trusted = http_call_is_trusted(call);
    json_t *o, *reasons = json_array();
    size_t count = 0;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next) {
        if (is_ready(&m->db))
            continue;
        if (count++ < REASONS_MAX && trusted)
            (void)json_array_append_new(reasons, reason(&m->db)); /* fails only without memory */
    }
    o = json_pack("{s:b}", "ready", count == 0);
    if (trusted)
        (void)json_object_update_new(o, json_pack("{s:I, s:o}", "not_ready", (json_int_t)count, "reasons", reasons));
    else
        json_decref(reasons);
    daemon_http_answer(call, count == 0 ? 200 : 503, o);
}

/* --- events and samples ------------------------------------------------------------------------------------------- */

void daemon_show_events(struct daemon *d, struct http_call *call)
{
    daemon_http_answer(call, 200, events_document(&d->events));
}

void daemon_show_samples(struct daemon *d, struct http_call *call)
{
    const char *text = http_call_query(call, "span");
    struct daemon_member *m = daemon_http_member(d, call);
    enum samples_span span = SAMPLES_HOUR;
    json_t *o;

    if (m == NULL)
        return;
    if (text != NULL && strcmp(text, "week") == 0) {
        span = SAMPLES_WEEK;
    } else if (text != NULL && strcmp(text, "hour") != 0) {
        struct err err;

        rc_ignore(rc_raise(&err, E_CONFIG, "span is hour or week"), "it is the answer");
        daemon_http_error(call, 0, &err);
        return;
    }
    if (m->samples == NULL)
        m->samples = samples_new(d->member_count);
    o = samples_document(m->samples, span, clock_wall_ms(&clock_real));
    (void)json_object_set_new(o, "path", status_text(m->settings.set.path)); /* fails only without memory */
    daemon_http_answer(call, 200, o);
}

/* --- metrics, in slices: family by family, database by database --------------------------------------------------- */

struct metrics_source {
    struct daemon *daemon;
    enum metrics_format how;
    unsigned family;
    struct daemon_place at;
    bool begun, over;
};

static void put_database(const struct metrics_source *s, const struct daemon_member *m, struct buf *out)
{
    metrics_samples(s->family,
        &(struct metrics_database){
            .db = &m->db,
            .failure_count = m->seen.failure_count,
            .gap_count = m->seen.gap_count,
            .failed_ms = m->seen.failed_ms,
        },
        s->how, out);
}

static void begin_metrics(struct metrics_source *s, struct buf *out)
{
    const struct daemon *d = s->daemon;

    metrics_process(
        &(struct metrics_process){
            .start_ms = d->start_ms, .loaded_ms = d->loaded_ms, .reload_failed = d->reload_error.code != E_OK},
        s->how, out);
    metrics_head(s->family, s->how, out);
    s->begun = true;
}

static void more(void *ctx, struct buf *out)
{
    struct metrics_source *s = ctx;

    if (s->over)
        return;
    if (!s->begun)
        begin_metrics(s, out);
    while (out->size < SLICE_SIZE) {
        const struct daemon_member *m = daemon_member_next(s->daemon, &s->at);

        if (m != NULL) {
            put_database(s, m, out);
            continue;
        }
        s->at = (struct daemon_place){0};
        if (++s->family == metrics_family_count()) {
            metrics_end(s->how, out);
            s->over = true;
            return;
        }
        metrics_head(s->family, s->how, out);
    }
}

void daemon_show_metrics(struct daemon *d, struct http_call *call)
{
    struct metrics_source *s = mem_new(sizeof *s);
    const char *accept = http_call_header_in(call, "Accept");

    s->daemon = d;
    s->how = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL ? METRICS_OPEN : METRICS_CLASSIC;
    http_call_stream(call, 200, metrics_type(s->how), &(struct http_source){.more = more, .free = mem_free, .ctx = s});
}
