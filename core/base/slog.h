/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slog - structured log lines to stderr, as text or JSON.
 *
 *     2026-11-21T02:01:21.123Z info  segment shipped  db=app.db txid=1207 bytes=8192 ms=41
 *
 *     LOG_INFO("segment shipped", F_STR("db", name), F_U64("bytes", n));
 *
 * Only core and tools log; the layers below return errors.  Under systemd (JOURNAL_STREAM is set) the text form has a
 * "<6>" priority prefix in place of the time.  Values are escaped so that one event is one line.  There is no field
 * type for secrets on purpose.  Thread safe: one write per line.
 */
#ifndef SLOG_H
#define SLOG_H

#include "rc.h"

#include <stdint.h>

enum slog_level { SLOG_ERROR, SLOG_WARN, SLOG_INFO, SLOG_DEBUG, SLOG_TRACE };
enum slog_format { SLOG_TEXT, SLOG_JSON };

struct slog_field {
    const char *name;
    enum { SLOG_END, SLOG_F_STR, SLOG_F_U64, SLOG_F_I64, SLOG_F_HEX, SLOG_F_TIME } kind;
    const char *str;
    uint64_t num;
};

#define F_STR(name, value)  ((struct slog_field){name, SLOG_F_STR, value, 0})
#define F_U64(name, value)  ((struct slog_field){name, SLOG_F_U64, NULL, (uint64_t)(value)})
#define F_I64(name, value)  ((struct slog_field){name, SLOG_F_I64, NULL, (uint64_t)(int64_t)(value)})
#define F_HEX(name, value)  ((struct slog_field){name, SLOG_F_HEX, NULL, (uint64_t)(value)})
#define F_TIME(name, value) ((struct slog_field){name, SLOG_F_TIME, NULL, (uint64_t)(int64_t)(value)})
#define F_ERR(err)          F_STR("error", (err)->msg)

void slog_configure(enum slog_level level, enum slog_format format);
bool slog_parse_level(const char *text, enum slog_level *out);
bool slog_parse_format(const char *text, enum slog_format *out);
bool slog_enabled(enum slog_level level);
/* `fields` ends with an entry of kind SLOG_END. */
void slog_write(enum slog_level level, const char *event, const struct slog_field *fields);

#define SLOG_AT(level, event, ...)                                                                \
    do {                                                                                          \
        if (slog_enabled(level))                                                                  \
            slog_write(level, event, (const struct slog_field[]){__VA_ARGS__ __VA_OPT__(, ){0}}); \
    } while (0)
#define LOG_ERROR(event, ...) SLOG_AT(SLOG_ERROR, event, __VA_ARGS__)
#define LOG_WARN(event, ...)  SLOG_AT(SLOG_WARN, event, __VA_ARGS__)
#define LOG_INFO(event, ...)  SLOG_AT(SLOG_INFO, event, __VA_ARGS__)
#define LOG_DEBUG(event, ...) SLOG_AT(SLOG_DEBUG, event, __VA_ARGS__)

#endif
