/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include "alloc.h"
#include "strx.h"

#include <string.h>

/* 24 bytes. */
struct slot {
    uint32_t noted; /* 0: nothing was */
    uint32_t commits, lag_commits, lag_ms;
    uint32_t bytes_kib, log_kib;
};

struct ring {
    struct slot *slots; /* owned */
    uint32_t count;
    int64_t step_ms;
    int64_t last; /* the number of the newest step: time / step_ms; -1: none */
};

struct samples {
    struct ring rings[SAMPLES_SPAN_COUNT];
    struct samples_point before;
    bool begun;
    uint64_t rest_bytes[SAMPLES_SPAN_COUNT]; /* of the present step */
};

/* Up to so many databases: 320 KiB, 33 KiB, 6 KiB each. */
static const struct tier {
    uint64_t database_max;
    int64_t step_ms[SAMPLES_SPAN_COUNT];
    uint32_t count[SAMPLES_SPAN_COUNT];
} tiers[] = {
    {50, {1000, 60000}, {3600, SAMPLES_SLOTS_MAX}},
    {1000, {10000, 600000}, {360, 1008}},
    {UINT64_MAX, {60000, 3600000}, {60, 168}},
};

struct samples *samples_new(uint64_t database_count)
{
    struct samples *s = mem_new(sizeof *s);
    const struct tier *t = tiers;

    while (database_count > t->database_max)
        t++;
    for (int i = 0; i < SAMPLES_SPAN_COUNT; i++) {
        s->rings[i].slots = mem_new(t->count[i] * sizeof *s->rings[i].slots);
        s->rings[i].count = t->count[i];
        s->rings[i].step_ms = t->step_ms[i];
        s->rings[i].last = -1;
    }
    return s;
}

void samples_free(struct samples *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < SAMPLES_SPAN_COUNT; i++)
        mem_free(s->rings[i].slots);
    mem_free(s);
}

static uint32_t clamp(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The slot of this moment; those that were passed over are empty.  A clock that went back stays in the newest one. */
static struct slot *slot_at(struct ring *r, int64_t now_ms, bool *is_new)
{
    int64_t number = now_ms / r->step_ms, from;

    *is_new = number > r->last;
    if (*is_new) {
        from = r->last < 0 || number - r->last > r->count ? number - r->count : r->last;
        for (int64_t i = from + 1; i <= number; i++)
            r->slots[i % r->count] = (struct slot){0};
        r->last = number;
    }
    return &r->slots[r->last % r->count];
}

void samples_note(struct samples *s, int64_t now_ms, const struct samples_point *p)
{
    uint64_t commits = s->begun && p->commits > s->before.commits ? p->commits - s->before.commits : 0;
    uint64_t bytes = s->begun && p->bytes > s->before.bytes ? p->bytes - s->before.bytes : 0;

    if (now_ms < 0)
        return; /* a clock before 1970 */
    for (int i = 0; i < SAMPLES_SPAN_COUNT; i++) {
        bool is_new;
        struct slot *slot = slot_at(&s->rings[i], now_ms, &is_new);

        if (is_new)
            s->rest_bytes[i] = 0;
        s->rest_bytes[i] += bytes;
        slot->noted = 1;
        slot->commits = clamp(slot->commits + commits);
        slot->bytes_kib = clamp((s->rest_bytes[i] + 1023) / 1024);
        slot->lag_commits = larger(slot->lag_commits, clamp(p->lag_commits));
        slot->lag_ms = larger(slot->lag_ms, clamp(p->lag_ms));
        slot->log_kib = clamp((p->log_bytes + 1023) / 1024);
    }
    s->before = *p;
    s->begun = true;
}

/* --- showing ------------------------------------------------------------------------------------------------------ */

enum { COLUMN_COUNT = 5 };
static const char *const column_names[COLUMN_COUNT] = {"commits", "bytes", "lag_commits", "lag_ms", "log_bytes"};

static uint64_t column(const struct slot *s, int which)
{
    const uint64_t values[COLUMN_COUNT] = {
        s->commits, (uint64_t)s->bytes_kib * 1024, s->lag_commits, s->lag_ms, (uint64_t)s->log_kib * 1024};

    return values[which];
}

/* Up to now, though the last note may be older. */
json_t *samples_document(const struct samples *s, enum samples_span span, int64_t now_ms)
{
    const struct ring *r = &s->rings[span];
    int64_t end = now_ms / r->step_ms > r->last ? now_ms / r->step_ms : r->last, first = end - r->count + 1;
    char time[STRX_TIME_SIZE];
    json_t *o = json_pack("{s:I, s:s, s:I}", "step_ms", (json_int_t)r->step_ms, "first_time",
        strx_format_time(first * r->step_ms, time), "first_ms", (json_int_t)first * r->step_ms);

    for (int c = 0; c < COLUMN_COUNT; c++) {
        json_t *list = json_array();

        for (int64_t i = first; i <= end; i++) {
            bool in = r->last >= 0 && i <= r->last && i > r->last - r->count && r->slots[i % r->count].noted != 0;

            (void)json_array_append_new(
                list, in ? json_integer((json_int_t)column(&r->slots[i % r->count], c)) : json_null());
        }
        (void)json_object_set_new(o, column_names[c], list); /* fails only without memory */
    }
    return o;
}
