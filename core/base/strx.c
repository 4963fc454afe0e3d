/* SPDX-License-Identifier: Apache-2.0 */
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    QUOTE_MAX = 100, /* of the given text in a message */
    SECONDS_PER_DAY = 86400,
};

struct unit {
    const char *name;
    uint64_t factor;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at `*text`, which moves behind them.  False without a digit or when the value does not fit. */
static bool take_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t v = 0;

    if (!is_digit(*at))
        return false;
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
            return false;
    *text = at;
    *out = v;
    return true;
}

struct rc strx_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct err *err)
{
    const char *at = text;
    uint64_t v = 0;
    bool fits = take_digits(&at, &v);

    if (text[0] == 0 || text[strspn(text, "0123456789")] != 0)
        return rc_raise(err, E_CONFIG, "'%.*s' is not a whole number", QUOTE_MAX, text);
    if (!fits || v < min || v > max)
        return rc_raise(err, E_CONFIG, "%.*s is not between %" PRIu64 " and %" PRIu64, QUOTE_MAX, text, min, max);
    *out = v;
    return RC_OK;
}

bool strx_hex_fixed(const char *text, unsigned digits, uint64_t *out)
{
    uint64_t v = 0;

    assert(digits > 0);
    assert(digits <= 16);
    for (unsigned i = 0; i < digits; i++) {
        char c = text[i];

        if (is_digit(c))
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false; /* also at the end of the string, so nothing is read behind it */
    }
    *out = v;
    return true;
}

/* A number and one of the units; a unit named "" stands for a bare number. */
static struct rc take_with_unit(
    const char *text, const struct unit *units, const char *example, uint64_t *out, struct err *err)
{
    const char *at = text;
    uint64_t v = 0, total;
    bool fits = take_digits(&at, &v);

    at = text + strspn(text, "0123456789");
    for (; at != text && units->name != NULL; units++)
        if (strcmp(at, units->name) == 0) {
            if (!fits || __builtin_mul_overflow(v, units->factor, &total))
                return rc_raise(err, E_CONFIG, "'%.*s' is too large", QUOTE_MAX, text);
            *out = total;
            return RC_OK;
        }
    if (at != text && *at == 0)
        return rc_raise(err, E_CONFIG, "'%.*s' has no unit (%s)", QUOTE_MAX, text, example);
    return rc_raise(err, E_CONFIG, "'%.*s' is not %s", QUOTE_MAX, text, example);
}

struct rc strx_duration_ms(const char *text, uint64_t *out, struct err *err)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

    return take_with_unit(text, units, "a duration like 250ms, 10s, 5m, 24h or 7d", out, err);
}

struct rc strx_size(const char *text, uint64_t *out, struct err *err)
{
    static const struct unit units[] = {{"", 1}, {"B", 1}, {"kB", 1000}, {"KB", 1000}, {"MB", 1000000},
        {"GB", 1000000000}, {"TB", 1000000000000}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30},
        {"TiB", 1ull << 40}, {NULL, 0}};

    return take_with_unit(text, units, "a size like 512, 64KiB, 64MB or 1GiB", out, err);
}

/* --- times ------------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar.  Years are counted from March, so that the leap day is the
 * last one of a year. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = floor_div(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

static int days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Exactly `digits` digits with a value of `min` to `max`. */
static bool take_field(const char **at, unsigned digits, int64_t min, int64_t max, int64_t *out)
{
    int64_t v = 0;

    for (unsigned i = 0; i < digits; i++) {
        if (!is_digit((*at)[i]))
            return false;
        v = v * 10 + ((*at)[i] - '0');
    }
    *at += digits;
    *out = v;
    return v >= min && v <= max;
}

static bool take_char(const char **at, const char *any_of)
{
    if (**at == 0 || strchr(any_of, **at) == NULL)
        return false;
    ++*at;
    return true;
}

static bool take_date(const char **at, int64_t *days)
{
    int64_t year, month, day;

    if (!take_field(at, 4, 0, 9999, &year) || !take_char(at, "-") || !take_field(at, 2, 1, 12, &month)
        || !take_char(at, "-") || !take_field(at, 2, 1, days_in_month(year, month), &day))
        return false;
    *days = days_from_date(year, month, day);
    return true;
}

/* hh:mm, hh:mm:ss or hh:mm:ss.fff; digits after the milliseconds are dropped. */
static bool take_clock(const char **at, int64_t *ms)
{
    int64_t hour, minute, second = 0, fraction = 0, weight = 100;

    if (!take_field(at, 2, 0, 23, &hour) || !take_char(at, ":") || !take_field(at, 2, 0, 59, &minute))
        return false;
    if (take_char(at, ":")) {
        if (!take_field(at, 2, 0, 59, &second))
            return false;
        if (take_char(at, ".")) {
            if (!is_digit(**at))
                return false;
            for (; is_digit(**at); ++*at, weight /= 10)
                fraction += (**at - '0') * weight;
        }
    }
    *ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    return true;
}

static bool take_zone(const char **at, int64_t *minutes)
{
    int64_t h, m;
    bool west = **at == '-';

    *minutes = 0;
    if (take_char(at, "Zz"))
        return true;
    if (!take_char(at, "+-") || !take_field(at, 2, 0, 23, &h) || !take_char(at, ":") || !take_field(at, 2, 0, 59, &m))
        return false;
    *minutes = (west ? -1 : 1) * (h * 60 + m);
    return true;
}

struct rc strx_time_ms(const char *text, int64_t *out, struct err *err)
{
    const char *at = text;
    int64_t days, ms, zone;

    if (!take_date(&at, &days) || !take_char(&at, "Tt ") || !take_clock(&at, &ms))
        return rc_raise(err, E_CONFIG, "'%.*s' is not a time like 2026-11-21T02:01:21Z", QUOTE_MAX, text);
    if (*at == 0)
        return rc_raise(
            err, E_CONFIG, "'%.*s' has no time zone: add Z for UTC, or an offset like +01:00", QUOTE_MAX, text);
    if (!take_zone(&at, &zone) || *at != 0)
        return rc_raise(err, E_CONFIG, "'%.*s' is not a time like 2026-11-21T02:01:21Z or 2026-11-21T03:01:21+01:00",
            QUOTE_MAX, text);
    *out = days * SECONDS_PER_DAY * 1000 + ms - zone * 60000;
    return RC_OK;
}

const char *strx_format_time(int64_t ms, char out[STRX_TIME_SIZE])
{
    const int64_t day_ms = (int64_t)SECONDS_PER_DAY * 1000;
    int64_t days = floor_div(ms, day_ms), year;
    int rest = (int)(ms % day_ms + (ms % day_ms < 0 ? day_ms : 0)), second = rest / 1000, month, day;

    date_from_days(days, &year, &month, &day);
    (void)snprintf(out, STRX_TIME_SIZE, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day, second / 3600,
        second / 60 % 60, second % 60, rest % 1000); /* every int64_t fits */
    return out;
}

/* --- for people -------------------------------------------------------------------------------------------------- */

const char *strx_format_size(uint64_t bytes, char out[STRX_HUMAN_SIZE])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t unit = 1000, tenths;
    size_t i = 0;

    if (bytes < unit) {
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 " B", bytes);
        return out;
    }
    for (;; i++, unit *= 1000) {
        uint64_t tenth = unit / 10;

        tenths = bytes / tenth + (bytes % tenth >= tenth / 2 ? 1 : 0);
        if (tenths < 10000 || i + 1 == sizeof units / sizeof units[0])
            break;
    }
    (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[i]);
    return out;
}

/* Cut, not rounded: "1.0 s" has really passed. */
const char *strx_format_duration(uint64_t ms, char out[STRX_HUMAN_SIZE])
{
    uint64_t s = ms / 1000, m = s / 60, h = m / 60;

    if (ms < 1000)
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 " ms", ms);
    else if (s < 60)
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    else if (m < 60)
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 " min %" PRIu64 " s", m, s % 60);
    else if (h < 24)
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 " h %" PRIu64 " min", h, m % 60);
    else
        (void)snprintf(out, STRX_HUMAN_SIZE, "%" PRIu64 " d %" PRIu64 " h", h / 24, h % 24);
    return out;
}
