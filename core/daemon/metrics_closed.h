/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_closed - the figures of a database that is not open. */
#ifndef METRICS_CLOSED_H
#define METRICS_CLOSED_H

#include "status.h"

/* What a family has to say of a database that is not open: what it came to while it was. */
enum metrics_closed_value {
    METRICS_CLOSED_NONE,
    METRICS_CLOSED_ZERO, /* nothing was committed since, or its files would have woken it */
    METRICS_CLOSED_PARKED,
    METRICS_CLOSED_ERROR,
    METRICS_CLOSED_READY,
    METRICS_CLOSED_FENCED,
    METRICS_CLOSED_TXID,
    METRICS_CLOSED_TIME,
    METRICS_CLOSED_TIMELINE,
    METRICS_CLOSED_SEGMENTS,
    METRICS_CLOSED_SHIPPED_BYTES,
    METRICS_CLOSED_CHANGED_BYTES,
    METRICS_CLOSED_SNAPSHOT_TIME,
    METRICS_CLOSED_SNAPSHOT_AGE,
    METRICS_CLOSED_GAPS,
    METRICS_CLOSED_RESYNCS,
    METRICS_CLOSED_FAILURES,
    METRICS_CLOSED_FAILURE_TIME,
    METRICS_CLOSED_VERIFIED_TIME,
    METRICS_CLOSED_DRILL_FAILED,
    METRICS_CLOSED_DRILL_INTERVAL,
    METRICS_CLOSED_DAMAGED_PAGES,
    METRICS_CLOSED_SCRUB_TIME,
    METRICS_CLOSED_SCRUB_INTERVAL,
    METRICS_CLOSED_SCRUB_PAGES,
};

/* False: there is none. */
bool metrics_closed_of(enum metrics_closed_value which, const struct status_closed *c, int64_t now_ms, double *out);

#endif
