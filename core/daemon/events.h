/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - the last EVENTS_MAX things worth knowing, in memory: a ring of fixed size.  Texts are cut.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <jansson.h>
#include <stdint.h>

enum { EVENTS_MAX = 200, EVENTS_TEXT_SIZE = 300, EVENTS_PATH_SIZE = 300 };

struct event {
    int64_t time_ms;  /* wall clock */
    const char *kind; /* a literal: "state", "failure", "gap" ... */
    char path[EVENTS_PATH_SIZE];
    char text[EVENTS_TEXT_SIZE];
};

struct events {
    struct event ring[EVENTS_MAX];
    uint64_t count; /* of all that ever were */
};

/* `path` is cut at its beginning, `text` at its end. */
void events_add(struct events *e, int64_t time_ms, const char *kind, const char *path, const char *text);
/* {"total": N, "events": [...]}, the newest first; an owned reference. */
json_t *events_document(const struct events *e);

#endif
