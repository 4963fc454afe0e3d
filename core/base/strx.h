/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strx - strict parsing and printing of numbers, sizes, durations and times.
 *
 * The whole string must be consumed; units are explicit; out of range is an error, never a clamp.  Errors are E_CONFIG
 * and quote what was given.
 */
#ifndef STRX_H
#define STRX_H

#include "rc.h"

#include <stdint.h>

MUST_USE struct rc strx_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct err *err);
/* Exactly `digits` lower-case hex digits at `text` (which may go on). */
bool strx_hex_fixed(const char *text, unsigned digits, uint64_t *out);
/* "250ms", "10s", "5m", "24h", "7d"; a bare number is refused.  Milliseconds. */
MUST_USE struct rc strx_duration_ms(const char *text, uint64_t *out, struct err *err);
/* "512", "64KiB", "64MB", "1GiB" (decimal and binary units).  Bytes. */
MUST_USE struct rc strx_size(const char *text, uint64_t *out, struct err *err);
/* RFC 3339 with 'Z' or an offset, fraction optional, seconds optional: "2026-11-21T02:01:21.123Z".  A space in place of
 * the T is taken; a time without a zone is refused with a message that says so.  Milliseconds since 1970. */
MUST_USE struct rc strx_time_ms(const char *text, int64_t *out, struct err *err);

enum { STRX_TIME_SIZE = 64, STRX_HUMAN_SIZE = 48 };
/* "2026-11-21T02:01:21.123Z" */
const char *strx_format_time(int64_t ms, char out[STRX_TIME_SIZE]);
/* "17.3 MB" (decimal units), "1.4 s", "3 h 12 min" */
const char *strx_format_size(uint64_t bytes, char out[STRX_HUMAN_SIZE]);
const char *strx_format_duration(uint64_t ms, char out[STRX_HUMAN_SIZE]);

#endif
