/* SPDX-License-Identifier: Apache-2.0 */
/* retention_points - what is promised (core/retention): the lines of a history, and the states on them. */
#ifndef RETENTION_POINTS_H
#define RETENTION_POINTS_H

#include "plan_search.h"
#include "retention.h"

/* The path to the newest timeline, or the commits of another timeline that are not on it. */
struct retention_line {
    uint32_t timeline;
    bool main;
    uint64_t low, high;  /* its commits: behind low, up to high */
    int64_t tip_ms;      /* time of the last one */
    struct plan_map map; /* owned */
};

struct retention_lines {
    struct retention_line *lines; /* owned; the main one first */
    size_t count;
};

MUST_USE struct rc retention_points_lines(struct retention_lines *out, const struct catalog *c, struct err *err);
void retention_points_free_lines(struct retention_lines *l);

/* This base gives a state of the line.  (That of the fork belongs to a line that has a snapshot of it.) */
bool retention_points_on_line(const struct retention_line *l, const struct plan_base *b);

/* The coarsest base that gives this state, of twins the later one; NULL: none does. */
const struct plan_base *retention_points_base(const struct retention_line *l, uint64_t txid);

/* Can replay go on behind this txid?  A fold does not tell where its segments begin; see plan.h. */
bool retention_points_goes_on(const struct retention_line *l, uint64_t txid);

/* States of periods that end at or before `cutoff_ms`, added to out->points; *asked: a mark is missing. */
MUST_USE struct rc retention_points_collect(struct retention *out, const struct retention_input *in,
    const struct retention_line *l, int64_t cutoff_ms, struct retention_mark *missing, bool *asked, struct err *err);
/* One more, or the same for longer. */
MUST_USE struct rc retention_points_add(struct retention *out, const struct retention_point *p, struct err *err);

#endif
