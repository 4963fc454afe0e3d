/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - what is told to Prometheus and its kind, as OpenMetrics text or in the older text format that preceded it.
 * Pure: figures to text.
 *
 *     metrics_process(&p, how, out)
 *     for each family of folders f: metrics_folder_head(f, how, out), metrics_folder(f, folder, out) for each folder
 *     for each family f: metrics_head(f, how, out), metrics_samples(f, db, how, out) for each open database,
 *         metrics_closed(f, db, now, out) for each that is not open
 *     metrics_end(how, out)
 *
 * A family is one block, as the format wants it, so that the text can be made in slices over many databases.
 */
#ifndef METRICS_H
#define METRICS_H

#include "buf.h"
#include "db.h"
#include "status.h"

enum metrics_format { METRICS_OPEN, METRICS_CLASSIC };

struct metrics_process {
    int64_t start_ms;
    bool reload_failed;
    int64_t loaded_ms;
    uint64_t unshown; /* databases without series of their own */
};

/* A folder and how many of its databases are how. */
enum metrics_folder_state {
    METRICS_OPENED,
    METRICS_PARKED,
    METRICS_STARTING, /* new, or about to be opened */
    METRICS_WAITING,  /* for its application to write it */
    METRICS_FAILED,   /* or fenced */
};
enum { METRICS_FOLDER_STATE_COUNT = METRICS_FAILED + 1 };

/* Of how many of them it is not known that they can be restored, or that their file is what was committed. */
enum metrics_folder_unproven { METRICS_DRILL_FAILED, METRICS_DRILL_OVERDUE, METRICS_DAMAGED };
enum { METRICS_UNPROVEN_COUNT = METRICS_DAMAGED + 1 };

struct metrics_folder {
    const char *dir, *pattern;
    bool failed; /* it cannot be searched */
    uint64_t counts[METRICS_FOLDER_STATE_COUNT];
    uint64_t unproven[METRICS_UNPROVEN_COUNT];
    uint64_t gone_count;
};

/* What is known of a database beside itself. */
struct metrics_database {
    const struct db *db;
    bool ready; /* nothing is wrong with it */
    uint64_t failure_count, gap_count;
    int64_t failed_ms; /* the last failure; 0: none */
};

const char *metrics_type(enum metrics_format how); /* for Content-Type */
unsigned metrics_family_count(void);
void metrics_process(const struct metrics_process *p, enum metrics_format how, struct buf *out);
void metrics_head(unsigned family, enum metrics_format how, struct buf *out);
void metrics_samples(unsigned family, const struct metrics_database *d, enum metrics_format how, struct buf *out);
void metrics_closed(unsigned family, const struct status_closed *c, int64_t now_ms, struct buf *out);
unsigned metrics_folder_family_count(void);
void metrics_folder_head(unsigned family, enum metrics_format how, struct buf *out);
void metrics_folder(unsigned family, const struct metrics_folder *f, struct buf *out);
void metrics_end(enum metrics_format how, struct buf *out);

#endif
