/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_period.h"

#define DAY_MS INT64_C(86400000)

enum {
    MONDAY = 4, /* 1970-01-05, in days */
    DAYS_OF_WEEK = 7,
    MONTHS = 12,
    ERA_YEARS = 400, /* after which the calendar repeats itself */
    ERA_DAYS = 146097,
    EPOCH = 719468, /* days from 0000-03-01 to 1970-01-01 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/*
 * Years that begin in March have their leap day at the end, so the days before each month follow a line:
 * (153 * month + 2) / 5.
 */
static int64_t day_of_month(int64_t month)
{
    int64_t march = month - 2, year = floor_div(march, MONTHS) + 1970, of_year = march - (year - 1970) * MONTHS;
    int64_t era = floor_div(year, ERA_YEARS), y = year - era * ERA_YEARS;

    return era * ERA_DAYS + y * 365 + y / 4 - y / 100 + (153 * of_year + 2) / 5 - EPOCH;
}

static int64_t month_of_day(int64_t day)
{
    int64_t month = floor_div(day * MONTHS * ERA_YEARS, ERA_DAYS); /* at most one off */

    while (day_of_month(month) > day)
        month--;
    while (day_of_month(month + 1) <= day)
        month++;
    return month;
}

int64_t retention_period_of(enum retention_kind kind, int64_t time_ms)
{
    int64_t day = floor_div(time_ms, DAY_MS);

    if (kind == RETENTION_DAY)
        return day;
    if (kind == RETENTION_WEEK)
        return floor_div(day - MONDAY, DAYS_OF_WEEK);
    return month_of_day(day);
}

int64_t retention_period_begin(enum retention_kind kind, int64_t period)
{
    if (kind == RETENTION_DAY)
        return period * DAY_MS;
    if (kind == RETENTION_WEEK)
        return (period * DAYS_OF_WEEK + MONDAY) * DAY_MS;
    return day_of_month(period) * DAY_MS;
}
