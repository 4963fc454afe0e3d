/* SPDX-License-Identifier: Apache-2.0 */
#include "slog.h"

#include "clock.h"
#include "strx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_SIZE = 16384,
    VALUE_MAX_SIZE = 4096, /* of one value, escaped; what is longer is cut and ends with "..." */
    TAIL_SIZE = 64,        /* kept free for what closes the line */
};

/* A line under construction.  It is made on the stack: a log line must not need memory when there is none. */
struct line {
    char data[LINE_MAX_SIZE];
    size_t size;
};

static const struct {
    const char *name, *padded;
    int priority; /* syslog's */
} levels[] = {
    [SLOG_ERROR] = {"error", "error", 3},
    [SLOG_WARN] = {"warn", "warn ", 4},
    [SLOG_INFO] = {"info", "info ", 6},
    [SLOG_DEBUG] = {"debug", "debug", 7},
    [SLOG_TRACE] = {"trace", "trace", 7},
};

static struct {
    enum slog_level level;
    enum slog_format format;
    bool journal;
} setting = {SLOG_INFO, SLOG_TEXT, false};

/* systemd sets JOURNAL_STREAM to device and inode of what it connected; a child whose stderr was redirected since then
 * has the variable too, so they are compared. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    char want[64];
    struct stat st;

    if (text == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    (void)snprintf(want, sizeof want, "%" PRIu64 ":%" PRIu64, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
    return strcmp(text, want) == 0;
}

void slog_configure(enum slog_level level, enum slog_format format)
{
    bool journal = stderr_is_journal();

    __atomic_store_n(&setting.level, level, __ATOMIC_RELAXED);
    __atomic_store_n(&setting.format, format, __ATOMIC_RELAXED);
    __atomic_store_n(&setting.journal, journal, __ATOMIC_RELAXED);
}

bool slog_parse_level(const char *text, enum slog_level *out)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(text, levels[i].name) == 0) {
            *out = (enum slog_level)i;
            return true;
        }
    return false;
}

bool slog_parse_format(const char *text, enum slog_format *out)
{
    if (strcmp(text, "text") == 0)
        *out = SLOG_TEXT;
    else if (strcmp(text, "json") == 0)
        *out = SLOG_JSON;
    else
        return false;
    return true;
}

bool slog_enabled(enum slog_level level)
{
    return level <= __atomic_load_n(&setting.level, __ATOMIC_RELAXED);
}

/* What does not fit is dropped; put_fields() stops long before. */
static void put(struct line *l, const char *text)
{
    size_t n = strlen(text), room = sizeof l->data - l->size;

    n = n < room ? n : room;
    memcpy(l->data + l->size, text, n);
    l->size += n;
}

/* Length of the well-formed UTF-8 sequence at `s`, 0 when there is none. */
static unsigned utf8_length(const unsigned char *s)
{
    unsigned n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 4;

    if (s[0] >= 0x80 && (s[0] < 0xc2 || s[0] > 0xf4))
        return 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90)
        || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0; /* overlong, a surrogate, or beyond Unicode */
    return n;
}

/* One character of a quoted value.  C1 controls are as good at driving a terminal as ESC, so they are escaped too. */
static unsigned put_char(struct line *l, const unsigned char *s, bool json)
{
    unsigned n = utf8_length(s);
    char text[8];

    if (n == 0)
        (void)snprintf(text, sizeof text, json ? "\\ufffd" : "\\x%02x", s[0]);
    else if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0)
        (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)s[1]);
    else if (n > 1)
        (void)snprintf(text, sizeof text, "%.*s", (int)n, (const char *)s);
    else if (*s == '"' || *s == '\\')
        (void)snprintf(text, sizeof text, "\\%c", *s);
    else if (*s == '\n' || *s == '\t' || *s == '\r')
        (void)snprintf(text, sizeof text, "\\%c", *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r');
    else if (*s < 0x20 || *s == 0x7f)
        (void)snprintf(text, sizeof text, json ? "\\u%04x" : "\\x%02x", *s);
    else
        (void)snprintf(text, sizeof text, "%c", *s);
    put(l, text);
    return n > 0 ? n : 1;
}

static void put_escaped(struct line *l, const char *text, bool json)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t end = l->size + VALUE_MAX_SIZE;

    while (*s != 0 && l->size < end)
        s += put_char(l, s, json);
    if (*s != 0)
        put(l, "...");
}

static void put_quoted(struct line *l, const char *text, bool json)
{
    put(l, "\"");
    put_escaped(l, text, json);
    put(l, "\"");
}

/* Plain when nothing in it can be mistaken for something else. */
static void put_text_value(struct line *l, const char *text)
{
    bool plain = text[0] != 0;

    for (const unsigned char *s = (const unsigned char *)text; *s != 0; s++)
        plain = plain && *s > ' ' && *s < 0x7f && *s != '"' && *s != '=' && *s != '\\';
    if (plain)
        put_escaped(l, text, false);
    else
        put_quoted(l, text, false);
}

static void put_value(struct line *l, const struct slog_field *f, bool json)
{
    char text[STRX_TIME_SIZE];
    bool bare = false;

    switch (f->kind) {
    case SLOG_F_STR:
        if (f->str == NULL)
            put(l, json ? "null" : "-");
        else if (json)
            put_quoted(l, f->str, true);
        else
            put_text_value(l, f->str);
        return;
    case SLOG_F_U64:
        (void)snprintf(text, sizeof text, "%" PRIu64, f->num);
        bare = true;
        break;
    case SLOG_F_I64:
        (void)snprintf(text, sizeof text, "%" PRId64, (int64_t)f->num);
        bare = true;
        break;
    case SLOG_F_HEX:
        (void)snprintf(text, sizeof text, "%016" PRIx64, f->num);
        break;
    case SLOG_F_TIME:
        (void)strx_format_time((int64_t)f->num, text);
        break;
    case SLOG_END:
    default:
        return;
    }
    if (json && !bare)
        put_quoted(l, text, true);
    else
        put(l, text);
}

/* Fields that do not fit into the line any more are left out, and the line says so. */
static void put_fields(struct line *l, const struct slog_field *fields, bool json)
{
    for (const struct slog_field *f = fields; f->kind != SLOG_END; f++) {
        size_t need = strlen(f->name) + VALUE_MAX_SIZE + TAIL_SIZE;

        if (sizeof l->data - l->size < need + TAIL_SIZE) {
            put(l, json ? ",\"cut\":true" : " cut=true");
            return;
        }
        put(l, json ? "," : f == fields ? "  " : " ");
        if (json)
            put_quoted(l, f->name, true);
        else
            put(l, f->name);
        put(l, json ? ":" : "=");
        put_value(l, f, json);
    }
}

/* One write per line, so that lines of several threads do not mix.  There is nobody to tell when it fails. */
static void send(const struct line *l)
{
    for (size_t done = 0; done < l->size;) {
        ssize_t n = write(STDERR_FILENO, l->data + done, l->size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

void slog_write(enum slog_level level, const char *event, const struct slog_field *fields)
{
    bool json = __atomic_load_n(&setting.format, __ATOMIC_RELAXED) == SLOG_JSON;
    char time[STRX_TIME_SIZE];
    int sys = errno; /* logging must not disturb whoever is about to look at it */
    struct line l;

    l.size = 0;
    (void)strx_format_time(clock_wall_ms(&clock_real), time);
    if (json) {
        put(&l, "{\"time\":\"");
        put(&l, time);
        put(&l, "\",\"level\":\"");
        put(&l, levels[level].name);
        put(&l, "\",\"event\":");
        put_quoted(&l, event, true);
    } else {
        if (__atomic_load_n(&setting.journal, __ATOMIC_RELAXED)) {
            const char prefix[] = {'<', (char)('0' + levels[level].priority), '>', 0};

            put(&l, prefix);
        } else {
            put(&l, time);
            put(&l, " ");
        }
        put(&l, levels[level].padded);
        put(&l, " ");
        put_escaped(&l, event, false);
    }
    put_fields(&l, fields, json);
    put(&l, json ? "}\n" : "\n");
    send(&l);
    errno = sys;
}
