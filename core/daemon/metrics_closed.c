/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_closed.h"

#include <string.h>

static double seconds(int64_t ms)
{
    return (double)ms / 1000.0;
}

static bool time_of(int64_t ms, double *out)
{
    *out = seconds(ms);
    return ms != 0;
}

static bool number(uint64_t n, double *out)
{
    *out = (double)n;
    return true;
}

bool metrics_closed_of(enum metrics_closed_value which, const struct status_closed *c, int64_t now_ms, double *out)
{
    int64_t age = now_ms > c->snapshot_ms ? now_ms - c->snapshot_ms : 0;

    switch (which) {
    case METRICS_CLOSED_NONE:
        break;
    case METRICS_CLOSED_ZERO:
        return number(0, out);
    case METRICS_CLOSED_PARKED:
        return number(c->parked, out);
    case METRICS_CLOSED_ERROR:
        return number(c->error != NULL, out);
    case METRICS_CLOSED_READY:
        return number(c->ready, out);
    case METRICS_CLOSED_FENCED:
        return number(strcmp(c->state, db_state_name(DB_FENCED)) == 0, out);
    case METRICS_CLOSED_TXID:
        return number(c->txid, out);
    case METRICS_CLOSED_TIME:
        return time_of(c->time_ms, out);
    case METRICS_CLOSED_TIMELINE:
        return number(c->timeline, out);
    case METRICS_CLOSED_SEGMENTS:
        return number(c->segments, out);
    case METRICS_CLOSED_SHIPPED_BYTES:
        return number(c->bytes_shipped, out);
    case METRICS_CLOSED_CHANGED_BYTES:
        return number(c->bytes_changed, out);
    case METRICS_CLOSED_SNAPSHOT_TIME:
        return time_of(c->snapshot_ms, out);
    case METRICS_CLOSED_SNAPSHOT_AGE:
        *out = seconds(age);
        return c->snapshot_ms != 0;
    case METRICS_CLOSED_GAPS:
        return number(c->gaps, out);
    case METRICS_CLOSED_RESYNCS:
        return number(c->resyncs, out);
    case METRICS_CLOSED_FAILURES:
        return number(c->failures, out);
    case METRICS_CLOSED_FAILURE_TIME:
        return time_of(c->failed_ms, out);
    case METRICS_CLOSED_VERIFIED_TIME:
        return time_of(c->drill.good_ms, out);
    case METRICS_CLOSED_DRILL_FAILED:
        return number(c->drill.failure != NULL, out) && c->drill.on;
    case METRICS_CLOSED_DRILL_INTERVAL:
        return time_of((int64_t)c->drill.interval_ms, out);
    case METRICS_CLOSED_DAMAGED_PAGES:
        return number(c->scrub.damaged, out) && c->scrub.on;
    case METRICS_CLOSED_SCRUB_TIME:
        return time_of(c->scrub.passed_ms, out);
    case METRICS_CLOSED_SCRUB_INTERVAL:
        return time_of((int64_t)c->scrub.interval_ms, out);
    case METRICS_CLOSED_SCRUB_PAGES:
        return number(c->scrub.page_count, out) && c->scrub.on;
    }
    return false;
}
