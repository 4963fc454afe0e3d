/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples - a database's lag and throughput over time, for charts: two rings in memory, a fine one of the last hour and
 * a coarse one of the last week.  Their size is fixed when they are made; with many databases they have fewer, longer
 * steps, so that all of them together stay small.
 *
 * A step without a note has no values: nothing runs when nothing happens.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <jansson.h>
#include <stdint.h>

struct samples;

/* Counters grow; the others are as they are now. */
struct samples_point {
    uint64_t commits, bytes; /* shipped, ever */
    uint64_t lag_commits, lag_ms, log_bytes;
};

enum samples_span { SAMPLES_HOUR, SAMPLES_WEEK };
enum { SAMPLES_SPAN_COUNT = SAMPLES_WEEK + 1, SAMPLES_SLOTS_MAX = 10080 };

/* For one of so many databases. */
struct samples *samples_new(uint64_t database_count);
void samples_free(struct samples *s);
void samples_note(struct samples *s, int64_t now_ms, const struct samples_point *p);
/* The document (docs/http.md): one array for each value, oldest first, null where nothing was noted.  An owned
 * reference. */
json_t *samples_document(const struct samples *s, enum samples_span span, int64_t now_ms);

#endif
