/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include "status.h"
#include "strx.h"

#include <stdio.h>
#include <string.h>

void events_add(struct events *e, int64_t time_ms, const char *kind, const char *path, const char *text)
{
    struct event *one = &e->ring[e->count++ % EVENTS_MAX];
    size_t size = strlen(path), skip = size < EVENTS_PATH_SIZE ? 0 : size - EVENTS_PATH_SIZE + 1;

    one->time_ms = time_ms;
    one->kind = kind;
    (void)snprintf(one->path, sizeof one->path, "%s", path + skip); /* what is cut is cut */
    (void)snprintf(one->text, sizeof one->text, "%s", text);
}

json_t *events_document(const struct events *e)
{
    uint64_t count = e->count < EVENTS_MAX ? e->count : EVENTS_MAX;
    json_t *list = json_array();

    for (uint64_t i = 1; i <= count; i++) {
        const struct event *one = &e->ring[(e->count - i) % EVENTS_MAX];
        char time[STRX_TIME_SIZE];

        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o}", "time", strx_format_time(one->time_ms, time), "kind", one->kind,
                      "path", status_text(one->path), "text", status_text(one->text))); /* fails only without memory */
    }
    return json_pack("{s:I, s:o}", "total", (json_int_t)e->count, "events", list);
}
