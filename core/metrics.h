/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - what is told to Prometheus and its kind, as OpenMetrics text or in the older text format that preceded it.
 * Pure: figures to text.
 *
 *     metrics_process(&p, how, out)
 *     for each family f: metrics_head(f, how, out), metrics_samples(f, db, how, out) for each database
 *     metrics_end(how, out)
 *
 * A family is one block, as the format wants it, so that the text can be made in slices over many databases.
 */
#ifndef METRICS_H
#define METRICS_H

#include "buf.h"
#include "db.h"

enum metrics_format { METRICS_OPEN, METRICS_CLASSIC };

struct metrics_process {
    int64_t start_ms;
    bool reload_failed;
    int64_t loaded_ms;
};

/* What is known of a database beside itself. */
struct metrics_database {
    const struct db *db;
    uint64_t failure_count, gap_count;
    int64_t failed_ms; /* the last failure; 0: none */
};

const char *metrics_type(enum metrics_format how); /* for Content-Type */
unsigned metrics_family_count(void);
void metrics_process(const struct metrics_process *p, enum metrics_format how, struct buf *out);
void metrics_head(unsigned family, enum metrics_format how, struct buf *out);
void metrics_samples(unsigned family, const struct metrics_database *d, enum metrics_format how, struct buf *out);
void metrics_end(enum metrics_format how, struct buf *out);

#endif
