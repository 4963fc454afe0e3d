/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"

#include <string.h>
#include <unistd.h>

/* A slice is sent before the next one is made: so much of the loop's time is taken at once. */
enum { SLICE_SIZE = 64 << 10 };

/* The document in slices: its head, databases, its end. */
struct status_source {
    struct daemon *daemon;
    struct daemon_place at;
    char *path; /* owned; the only one; NULL: all */
    bool begun, some, over;
};

static void put_head(struct daemon *d, struct buf *out)
{
    json_t *version = json_string(WEIR_VERSION), *configuration;

    buf_text(out, "{\"version\":");
    daemon_http_json(out, version);
    buf_printf(out, ",\"pid\":%ld,\"configuration\":", (long)getpid());
    configuration = status_configuration(d->source->file, d->loaded_ms, &d->reload_error, d->reload_error_ms);
    daemon_http_json(out, configuration);
    buf_text(out, ",\"databases\":[");
}

static void more(void *ctx, struct buf *out)
{
    struct status_source *s = ctx;
    const struct daemon_member *m;

    if (s->over)
        return;
    if (!s->begun)
        put_head(s->daemon, out);
    s->begun = true;
    while (out->size < SLICE_SIZE) {
        m = daemon_member_next(s->daemon, &s->at);
        if (m == NULL) {
            buf_text(out, "]}\n");
            s->over = true;
            return;
        }
        if (s->path != NULL && strcmp(s->path, m->settings.set.path) != 0)
            continue;
        if (s->some)
            buf_text(out, ",");
        s->some = true;
        daemon_http_json(out, status_database(&m->db));
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
