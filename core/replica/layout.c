/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include "dbfmt.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define TIMELINES "t/"
enum {
    FORMAT = 1,
    DOCUMENT_MAX = 64 << 10,
    TIMELINE_DIGITS = 8,
    TXID_DIGITS = 16,
    TIME_DIGITS = 16,
    PART_DIGITS = 8,
    LEVEL_DIGITS = 2,
    LEVEL_MAX = 0xff,
};

/* --- keys ----------------------------------------------------------------------------------------------------------
 */

PRINTF(2, 3) static void print_key(layout_text out, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(out, sizeof(layout_text), fmt, ap);
    va_end(ap);
    assert(n > 0);
    assert((size_t)n < sizeof(layout_text));
}

void layout_timeline(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/timeline.json", timeline);
}

void layout_log(layout_text out, uint32_t timeline, uint64_t first_txid)
{
    print_key(out, TIMELINES "%08" PRIx32 "/log/%016" PRIx64, timeline, first_txid);
}

void layout_part(layout_text out, uint32_t timeline, uint64_t first_txid, const struct nonce *writer, uint32_t number)
{
    const uint8_t *w = writer->bytes;

    print_key(out, TIMELINES "%08" PRIx32 "/part/%016" PRIx64 "-%02x%02x%02x%02x-%08" PRIx32, timeline, first_txid,
        w[0], w[1], w[2], w[3], number);
}

void layout_snapshot(layout_text out, uint32_t timeline, uint64_t txid, int64_t time_ms)
{
    print_key(out, TIMELINES "%08" PRIx32 "/snap/%016" PRIx64 "-%016" PRIx64, timeline, txid, (uint64_t)time_ms);
}

void layout_fold(layout_text out, uint32_t timeline, uint64_t first_txid, uint64_t last_txid)
{
    print_key(out, TIMELINES "%08" PRIx32 "/fold/%016" PRIx64 "-%016" PRIx64, timeline, first_txid, last_txid);
}

void layout_pruned(layout_text out, uint32_t timeline, uint64_t first_txid, uint64_t last_txid)
{
    print_key(out, TIMELINES "%08" PRIx32 "/pruned/%016" PRIx64 "-%016" PRIx64, timeline, first_txid, last_txid);
}

void layout_merge(
    layout_text out, uint32_t timeline, unsigned level, uint64_t base_txid, uint64_t txid, int64_t time_ms)
{
    assert(level >= 1 && level <= LEVEL_MAX);
    print_key(out, TIMELINES "%08" PRIx32 "/merge/%02x/%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64, timeline, level,
        base_txid, txid, (uint64_t)time_ms);
}

void layout_timelines_prefix(layout_text out)
{
    print_key(out, TIMELINES);
}

void layout_timeline_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/", timeline);
}

void layout_log_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/log/", timeline);
}

void layout_snapshot_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/snap/", timeline);
}

void layout_part_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/part/", timeline);
}

void layout_fold_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/fold/", timeline);
}

void layout_merge_prefix(layout_text out, uint32_t timeline)
{
    print_key(out, TIMELINES "%08" PRIx32 "/merge/", timeline);
}

/* --- and back ------------------------------------------------------------------------------------------------------
 */

static bool take_text(const char **at, const char *text)
{
    size_t n = strlen(text);

    if (strncmp(*at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool take_hex(const char **at, unsigned digits, uint64_t *out)
{
    if (!strx_hex_fixed(*at, digits, out))
        return false;
    *at += digits;
    return true;
}

static bool take_log(const char *at, struct layout_key *k)
{
    k->kind = LAYOUT_LOG;
    return take_hex(&at, TXID_DIGITS, &k->txid) && *at == 0 && k->txid > 0;
}

static bool take_part(const char *at, struct layout_key *k)
{
    uint64_t writer, number;

    if (!take_hex(&at, TXID_DIGITS, &k->txid) || !take_text(&at, "-") || !take_hex(&at, PART_DIGITS, &writer)
        || !take_text(&at, "-") || !take_hex(&at, PART_DIGITS, &number) || *at != 0)
        return false;
    k->kind = LAYOUT_PART;
    k->writer = (uint32_t)writer;
    k->number = (uint32_t)number;
    return k->txid > 0;
}

static bool take_snapshot(const char *at, struct layout_key *k)
{
    uint64_t time;

    if (!take_hex(&at, TXID_DIGITS, &k->txid) || !take_text(&at, "-") || !take_hex(&at, TIME_DIGITS, &time) || *at != 0)
        return false;
    k->kind = LAYOUT_SNAPSHOT;
    k->time_ms = (int64_t)time;
    return k->txid > 0 && time <= INT64_MAX;
}

static bool take_range(const char *at, enum layout_kind kind, struct layout_key *k)
{
    k->kind = kind;
    return take_hex(&at, TXID_DIGITS, &k->txid) && take_text(&at, "-") && take_hex(&at, TXID_DIGITS, &k->last_txid)
           && *at == 0 && k->txid > 0 && k->txid <= k->last_txid;
}

static bool take_merge(const char *at, struct layout_key *k)
{
    uint64_t level, time;

    if (!take_hex(&at, LEVEL_DIGITS, &level) || !take_text(&at, "/") || !take_hex(&at, TXID_DIGITS, &k->base_txid)
        || !take_text(&at, "-") || !take_hex(&at, TXID_DIGITS, &k->txid) || !take_text(&at, "-")
        || !take_hex(&at, TIME_DIGITS, &time) || *at != 0)
        return false;
    k->kind = LAYOUT_MERGE;
    k->level = (unsigned)level;
    k->time_ms = (int64_t)time;
    return level > 0 && k->base_txid > 0 && k->base_txid < k->txid && time <= INT64_MAX;
}

static bool take_key(const char *at, struct layout_key *k)
{
    uint64_t timeline;

    if (strcmp(at, LAYOUT_IDENTITY) == 0) {
        k->kind = LAYOUT_IDENTITY_KEY;
        return true;
    }
    if (!take_text(&at, TIMELINES) || !take_hex(&at, TIMELINE_DIGITS, &timeline) || timeline == 0)
        return false;
    k->timeline = (uint32_t)timeline;
    if (take_text(&at, "/log/"))
        return take_log(at, k);
    if (take_text(&at, "/snap/"))
        return take_snapshot(at, k);
    if (take_text(&at, "/part/"))
        return take_part(at, k);
    if (take_text(&at, "/fold/"))
        return take_range(at, LAYOUT_FOLD, k);
    if (take_text(&at, "/pruned/"))
        return take_range(at, LAYOUT_PRUNED, k);
    if (take_text(&at, "/merge/"))
        return take_merge(at, k);
    k->kind = LAYOUT_TIMELINE;
    return strcmp(at, "/timeline.json") == 0;
}

struct layout_key layout_parse(const char *key)
{
    struct layout_key k = {0};

    return take_key(key, &k) ? k : (struct layout_key){.kind = LAYOUT_OTHER};
}

void layout_text_of(layout_text out, const struct layout_key *k)
{
    switch (k->kind) {
    case LAYOUT_IDENTITY_KEY:
        print_key(out, LAYOUT_IDENTITY);
        return;
    case LAYOUT_TIMELINE:
        layout_timeline(out, k->timeline);
        return;
    case LAYOUT_LOG:
        layout_log(out, k->timeline, k->txid);
        return;
    case LAYOUT_PART:
        print_key(out, TIMELINES "%08" PRIx32 "/part/%016" PRIx64 "-%08" PRIx32 "-%08" PRIx32, k->timeline, k->txid,
            k->writer, k->number);
        return;
    case LAYOUT_SNAPSHOT:
        layout_snapshot(out, k->timeline, k->txid, k->time_ms);
        return;
    case LAYOUT_FOLD:
        layout_fold(out, k->timeline, k->txid, k->last_txid);
        return;
    case LAYOUT_MERGE:
        layout_merge(out, k->timeline, k->level, k->base_txid, k->txid, k->time_ms);
        return;
    case LAYOUT_PRUNED:
        layout_pruned(out, k->timeline, k->txid, k->last_txid);
        return;
    case LAYOUT_OTHER:
        break;
    }
    assert(k->kind != LAYOUT_OTHER);
}

/* --- documents -----------------------------------------------------------------------------------------------------
 */

static void json_freep(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

static int on_json(const char *text, size_t size, void *ctx)
{
    buf_put(ctx, text, size);
    return 0;
}

static struct rc print_json(json_t *doc, const char *what, struct buf *out, struct err *err)
{
    if (doc == NULL || json_dump_callback(doc, on_json, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) != 0)
        return rc_raise(err, E_NOMEM, "%s", what);
    buf_text(out, "\n");
    return buf_check(out, what, err);
}

/* Paths and host names are bytes, JSON is UTF-8: what is none becomes a question mark. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    char plain[2048];
    size_t n;

    if (value != NULL)
        return value;
    n = strnlen(text, sizeof plain - 1);
    for (size_t i = 0; i < n; i++)
        plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    plain[n] = 0;
    return json_string(plain);
}

static struct rc parse_json(struct span text, const char *what, json_t **out, struct err *err)
{
    CLEANUP(json_freep) json_t *doc = NULL;
    json_error_t where;

    if (text.size > DOCUMENT_MAX)
        return rc_raise(err, E_CORRUPT, "%s: %zu bytes, at most %d are possible", what, text.size, DOCUMENT_MAX);
    doc = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &where);
    if (doc == NULL)
        return rc_raise(err, E_CORRUPT, "%s: not valid JSON: %s at byte %d", what, where.text, where.position);
    if (!json_is_object(doc))
        return rc_raise(err, E_CORRUPT, "%s: not a JSON object", what);
    *out = MOVE(doc);
    return RC_OK;
}

/* Readers take their fields one by one; the first that is missing or wrong is kept. */
struct fields {
    const json_t *doc;
    const char *what;
    struct rc rc;
    struct err *err;
};

static void bad_field(struct fields *f, const char *name, const char *expected)
{
    if (!rc_failed(f->rc))
        f->rc = rc_raise(f->err, E_CORRUPT, "%s: field \"%s\" is not %s", f->what, name, expected);
}

static uint64_t number(struct fields *f, const char *name, uint64_t max)
{
    const json_t *v = json_object_get(f->doc, name);

    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max) {
        bad_field(f, name, "a number in its range");
        return 0;
    }
    return (uint64_t)json_integer_value(v);
}

static struct nonce id(struct fields *f, const char *name)
{
    const char *text = json_string_value(json_object_get(f->doc, name));
    struct nonce n = {{0}};

    if (text == NULL || !nonce_parse(text, &n))
        bad_field(f, name, "32 hex digits");
    return n;
}

static uint64_t checksum(struct fields *f, const char *name)
{
    const char *text = json_string_value(json_object_get(f->doc, name));
    uint64_t v = 0;

    if (text == NULL || strlen(text) != 16 || !strx_hex_fixed(text, 16, &v))
        bad_field(f, name, "16 hex digits");
    return v;
}

static void text(struct fields *f, const char *name, char *out, size_t size)
{
    const char *v = json_string_value(json_object_get(f->doc, name));

    if (v == NULL || strlen(v) >= size)
        bad_field(f, name, "a short text");
    else
        (void)snprintf(out, size, "%s", v); /* fits */
}

/* The format comes first: a newer one may mean anything by the other fields. */
static struct rc check_format(const json_t *doc, const char *what, struct err *err)
{
    struct fields f = {.doc = doc, .what = what, .rc = RC_OK, .err = err};
    uint64_t format = number(&f, "format", UINT32_MAX);

    TRY(f.rc);
    if (format == 0)
        return rc_raise(err, E_CORRUPT, "%s: format 0", what);
    if (format > FORMAT)
        return rc_raise(
            err, E_UNSUPPORTED, "%s: format %" PRIu64 " needs a newer weir (this one knows %d)", what, format, FORMAT);
    return RC_OK;
}

struct rc layout_identity_encode(const struct layout_identity *i, struct buf *out, struct err *err)
{
    char database[NONCE_TEXT_SIZE];
    CLEANUP(json_freep)
    json_t *doc =
        json_pack("{s:i, s:s, s:I, s:I}", "format", (int)i->format, "database", nonce_format(&i->database, database),
            "page_size", (json_int_t)i->page_size, "created_ms", (json_int_t)i->created_ms);

    return print_json(doc, LAYOUT_IDENTITY, out, err);
}

struct rc layout_identity_decode(struct span json, struct layout_identity *out, struct err *err)
{
    CLEANUP(json_freep) json_t *doc = NULL;
    struct layout_identity i = {.format = FORMAT};
    struct fields f = {.what = LAYOUT_IDENTITY, .rc = RC_OK, .err = err};

    TRY(parse_json(json, LAYOUT_IDENTITY, &doc, err));
    TRY(check_format(doc, LAYOUT_IDENTITY, err));
    f.doc = doc;
    i.database = id(&f, "database");
    i.page_size = (uint32_t)number(&f, "page_size", DBFMT_PAGE_SIZE_MAX);
    i.created_ms = (int64_t)number(&f, "created_ms", INT64_MAX);
    TRY(f.rc);
    if (!dbfmt_page_size_ok(i.page_size))
        return rc_raise(err, E_CORRUPT, "%s: %" PRIu32 " is no page size", LAYOUT_IDENTITY, i.page_size);
    *out = i;
    return RC_OK;
}

#define ORIGIN "timeline.json"

struct rc layout_origin_encode(const struct layout_origin *o, struct buf *out, struct err *err)
{
    char database[NONCE_TEXT_SIZE], writer[NONCE_TEXT_SIZE], fork[17];
    CLEANUP(json_freep) json_t *doc = NULL;

    assert(o->fork_txid <= INT64_MAX);
    (void)snprintf(fork, sizeof fork, "%016" PRIx64, o->fork_checksum);
    doc = json_pack("{s:i, s:I, s:I, s:I, s:s, s:s, s:s, s:o, s:I, s:o, s:I}", "format", FORMAT, "timeline",
        (json_int_t)o->timeline, "parent", (json_int_t)o->parent, "fork_txid", (json_int_t)o->fork_txid,
        "fork_checksum", fork, "database", nonce_format(&o->database, database), "writer",
        nonce_format(&o->writer, writer), "host", text_value(o->host), "pid", (json_int_t)o->pid, "path",
        text_value(o->path), "time_ms", (json_int_t)o->time_ms);
    return print_json(doc, ORIGIN, out, err);
}

struct rc layout_origin_decode(struct span json, struct layout_origin *out, struct err *err)
{
    CLEANUP(json_freep) json_t *doc = NULL;
    struct layout_origin o = {0};
    struct fields f = {.what = ORIGIN, .rc = RC_OK, .err = err};

    TRY(parse_json(json, ORIGIN, &doc, err));
    TRY(check_format(doc, ORIGIN, err));
    f.doc = doc;
    o.timeline = (uint32_t)number(&f, "timeline", UINT32_MAX);
    o.parent = (uint32_t)number(&f, "parent", UINT32_MAX);
    o.fork_txid = number(&f, "fork_txid", INT64_MAX);
    o.fork_checksum = checksum(&f, "fork_checksum");
    o.database = id(&f, "database");
    o.writer = id(&f, "writer");
    text(&f, "host", o.host, sizeof o.host);
    o.pid = (long)number(&f, "pid", INT32_MAX);
    text(&f, "path", o.path, sizeof o.path);
    o.time_ms = (int64_t)number(&f, "time_ms", INT64_MAX);
    TRY(f.rc);
    /* A parent has a lower number, so a chain of parents comes to an end. */
    if (o.timeline == 0 || o.parent >= o.timeline)
        return rc_raise(err, E_CORRUPT, ORIGIN ": timeline %" PRIu32 " with parent %" PRIu32, o.timeline, o.parent);
    if (o.parent == 0 && o.fork_txid != 0)
        return rc_raise(err, E_CORRUPT, ORIGIN ": a first timeline that forks at txid %" PRIu64, o.fork_txid);
    *out = o;
    return RC_OK;
}
