/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention_period - days, weeks and months in UTC: days from midnight, weeks from Monday, months of the calendar.
 *
 * Periods have numbers without gaps.  Times are ms since 1970.
 */
#ifndef RETENTION_PERIOD_H
#define RETENTION_PERIOD_H

#include <stdint.h>

enum retention_kind { RETENTION_DAY, RETENTION_WEEK, RETENTION_MONTH };
enum { RETENTION_KIND_COUNT = RETENTION_MONTH + 1 };

int64_t retention_period_of(enum retention_kind kind, int64_t time_ms);
/* The first millisecond of the period. */
int64_t retention_period_begin(enum retention_kind kind, int64_t period);

#endif
