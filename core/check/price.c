/* SPDX-License-Identifier: Apache-2.0 */
#include "price.h"

#include "fold_keep.h"
#include "strx.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DAY_S 86400.0

/*
 * Published prices in US dollars, without free allowances.  Providers that are not listed were not found, are paid in
 * some other way (a flat fee with an allowance), or are machines of one's own.
 */
static const struct row {
    const char *provider;
    double put, get, list, gb_month;
    const char *source;
} rows[] = {
    /* aws.amazon.com/s3/pricing, S3 Standard in us-east-1, first 50 TB; PUT, COPY, POST and LIST are one price, DELETE
     * is free.  As quoted in 2025 and 2026; other regions and classes differ. */
    {"aws", 0.005, 0.0004, 0.005, 0.023, "Amazon S3 Standard, us-east-1, as quoted in 2026"},
    /* developers.cloudflare.com/r2/pricing, Standard, as of August 2026: class A $4.50 a million (PutObject,
     * ListObjects), class B $0.36 (GetObject, HeadObject); DeleteObject is free. */
    {"r2", 0.0045, 0.00036, 0.0045, 0.015, "Cloudflare R2 Standard, August 2026"},
    /* cloud.google.com/storage/pricing, Standard in us-central1, September 2026: $0.000027397 a GiB-hour; class A and B
     * operations by cloud.google.com/storage/pricing-examples. */
    {"gcs", 0.005, 0.0004, 0.005, 0.020, "Google Cloud Storage Standard, us-central1, September 2026"},
    /* tigrisdata.com/pricing, Standard, June 2026: class A (PUT, COPY, POST, LIST), class B (GET); DELETE is free. */
    {"tigris", 0.005, 0.0005, 0.005, 0.020, "Tigris Standard, June 2026"},
    /* backblaze.com/b2/b2-transactions-price.html: class A (PutObject, UploadPart, DeleteObject) is free, class B
     * (GetObject, HeadObject) $0.004 per 10,000, class C (ListObjects) $0.004 per 1,000; storage $6 a TB, as quoted in
     * 2025 and 2026. */
    {"b2", 0, 0.0004, 0.004, 0.006, "Backblaze B2, as quoted in 2026"},
    /* wasabi.com/pricing: $7.99 a TB from July 2026, no charge for requests.  A TB is charged at least, and 90 days of
     * every object. */
    {"wasabi", 0, 0, 0, 0.00799, "Wasabi, July 2026, without its minimum of 1 TB and of 90 days for each object"},
};

struct price price_of(const char *provider)
{
    struct price p = {0};

    if (provider == NULL) {
        p.known = true;
        (void)snprintf(p.source, sizeof p.source, "a folder costs nothing per request");
        return p;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].provider, provider) == 0) {
            p = (struct price){.known = true,
                .put = rows[i].put,
                .get = rows[i].get,
                .list = rows[i].list,
                .gb_month = rows[i].gb_month};
            (void)snprintf(p.source, sizeof p.source, "%s, list prices in US dollars", rows[i].source);
        }
    return p;
}

/* --- prices of one's own ------------------------------------------------------------------------------------------ */

enum { NUMBER_SIZE = 20, FIELDS = 4 };
static const char *const names[FIELDS] = {"put", "get", "list", "gb-month"};

struct rc price_number(const char *text, double max, double *out, struct err *err)
{
    char digits[NUMBER_SIZE];
    size_t n = strlen(text), whole = strcspn(text, "."), fraction = n - whole;
    uint64_t number;
    struct err ignored;

    /* Read without its point it is a whole number of 1, 10, 100 ... */
    fraction -= fraction > 0;
    (void)snprintf(digits, sizeof digits, "%.*s%.*s", (int)(whole < NUMBER_SIZE ? whole : NUMBER_SIZE), text,
        (int)(fraction < NUMBER_SIZE ? fraction : NUMBER_SIZE), text + n - fraction);
    if (n >= NUMBER_SIZE || whole == 0 || (fraction == 0 && whole != n)
        || rc_failed(strx_u64(digits, 0, UINT64_MAX, &number, &ignored)))
        return rc_raise(err, E_CONFIG, "'%.40s' is not a number like 0.005", text);
    *out = (double)number / pow(10, (double)fraction);
    if (*out > max)
        return rc_raise(err, E_CONFIG, "%s is more than %.0f", text, max);
    return RC_OK;
}

static struct rc parse_price(const char *text, size_t n, double *out, struct err *err)
{
    enum { MOST = 1000000 };
    char number[NUMBER_SIZE + 1];

    (void)snprintf(number, sizeof number, "%.*s", n < NUMBER_SIZE ? (int)n : NUMBER_SIZE, text);
    return price_number(number, MOST, out, err);
}

static struct rc parse_field(double values[FIELDS], const char *text, size_t n, struct err *err)
{
    const char *equals = memchr(text, '=', n);
    size_t size = equals != NULL ? (size_t)(equals - text) : n;

    for (int i = 0; i < FIELDS; i++) {
        if (equals == NULL || strlen(names[i]) != size || memcmp(names[i], text, size) != 0)
            continue;
        if (values[i] >= 0)
            return rc_raise(err, E_CONFIG, "a price for %s stands there twice", names[i]);
        return parse_price(equals + 1, n - size - 1, &values[i], err);
    }
    return rc_raise(err, E_CONFIG,
        "'%.*s' is not one of put=, get=, list= (each for 1,000 requests) and gb-month=, with a number",
        n < 40 ? (int)n : 40, text);
}

struct rc price_override(struct price *p, const char *text, struct err *err)
{
    double values[FIELDS] = {-1, -1, -1, -1};

    for (const char *at = text;; at++) {
        size_t n = strcspn(at, ",");

        TRY(parse_field(values, at, n, err));
        at += n;
        if (*at == 0)
            break;
    }
    if (values[2] < 0)
        values[2] = p->known && p->list > 0 ? p->list : values[0];
    p->put = values[0] >= 0 ? values[0] : p->put;
    p->get = values[1] >= 0 ? values[1] : p->get;
    p->list = values[2] >= 0 ? values[2] : p->list;
    p->gb_month = values[3] >= 0 ? values[3] : p->gb_month;
    p->known = true;
    (void)snprintf(p->source, sizeof p->source, "your prices: %.100s", text);
    return RC_OK;
}

/* --- what is going to happen -------------------------------------------------------------------------------------- */

/* PUTs of an object: a larger one is begun, sent in parts, put together and copied to its name. */
static double puts_of(double bytes, size_t part_size)
{
    return bytes <= (double)part_size ? 1 : ceil(bytes / (double)part_size) + 3;
}

/* So many times a month something happens that takes `interval_ms` at least, and a commit. */
static double times(uint64_t interval_ms, double commits)
{
    return interval_ms == 0 ? 0 : fmin(PRICE_MONTH_S * 1000 / (double)interval_ms, commits);
}

/* A segment holds what was committed within the interval, or so many commits.  How often somebody will ask for one
 * nobody knows. */
static double segments_per_s(const struct config_db *db, double commits_per_s)
{
    double rate = db->sync_interval_ms > 0 ? fmin(commits_per_s, 1000.0 / (double)db->sync_interval_ms) : commits_per_s;

    if (db->sync_interval_ms == CONFIG_INTERVAL_OFF)
        rate = 0;
    if (db->sync_commits > 0)
        rate = fmax(rate, commits_per_s / (double)db->sync_commits);
    return fmin(rate, commits_per_s);
}

/* Folds, and what they take away; the segments of a fold are deleted by one request, where the store has that. */
static void add_folds(struct price_estimate *e, const struct config_db *db, double segments, double segment_bytes)
{
    double count = (double)db->fold_count;

    if (count < 2 || segment_bytes > FOLD_KEEP_SEGMENT_MAX)
        return;
    count = fmax(fmin(count, FOLD_KEEP_FOLD_MAX / fmax(segment_bytes, 1)), 2);
    e->put += segments / count;
    e->remove += segments / count;
    e->sent_bytes += segments * segment_bytes;
    if (segment_bytes * count * 2 <= FOLD_KEEP_FOLD_MAX) {
        e->put += segments / count / count;
        e->sent_bytes += segments * segment_bytes;
    }
}

/* A writer that shipped nothing for half of the time that segments stay looks first whether the history is still its
 * own: three LISTs (ship_look.h).  Commits come at random. */
static double looks(const struct config_db *db, double segments)
{
    double rate = segments / PRICE_MONTH_S;

    return db->fold_count < 2 ? 0 : 3 * segments * exp(-rate * (double)db->fold_delete_after_ms / 2000);
}

struct kept {
    double log_per_s, snapshots_a_month, merged; /* merged: bytes of merges for each byte of the log */
    double snapshot;
};

/* What is kept of it: everything, or what retention promises, each state by a snapshot or the merge that leads to it.
 */
static void add_storage(struct price_estimate *e, const struct config_db *db, const struct kept *k)
{
    double exact_s = (double)db->retention_exact_ms / 1000, per_day = k->log_per_s * DAY_S;

    if (!config_has_retention(db)) {
        e->growth_bytes = k->log_per_s * PRICE_MONTH_S * (1 + k->merged) + k->snapshots_a_month * k->snapshot;
        e->stored_bytes = k->snapshot + e->growth_bytes;
        return;
    }
    /* The window reaches back to the snapshot before it. */
    exact_s += k->snapshots_a_month > 0 ? PRICE_MONTH_S / k->snapshots_a_month : 0;
    e->stored_bytes = k->log_per_s * exact_s * (1 + k->merged)
                      + k->snapshot * (1 + floor(exact_s / PRICE_MONTH_S * k->snapshots_a_month))
                      + (double)db->retention_daily * fmin(k->snapshot, per_day)
                      + (double)db->retention_weekly * fmin(k->snapshot, 7 * per_day)
                      + (double)db->retention_monthly * fmin(k->snapshot, 30 * per_day);
}

struct price_estimate price_predict(
    const struct config_db *db, const struct price_load *load, const struct price *price)
{
    enum { PRUNE_LISTS = 5, PRUNE_GETS = 10 };
    double commits = load->commits_per_s * PRICE_MONTH_S, log = commits * load->bytes_per_commit;
    double segments = segments_per_s(db, load->commits_per_s) * PRICE_MONTH_S;
    double merges = times(db->merge_interval_ms, commits), longs = times(db->merge_long_interval_ms, commits);
    double share = db->merge_percent > 0 ? fmin((double)db->merge_percent / 100, 1) : 1;
    struct price_estimate e = {.put = segments, .sent_bytes = log};
    struct kept kept = {.log_per_s = load->commits_per_s * load->bytes_per_commit,
        .snapshots_a_month = times(db->snapshot_interval_ms, commits),
        .merged = (merges > 0 ? share : 0) + (longs > 0 ? share : 0),
        .snapshot = load->snapshot_bytes};

    assert(load->part_size > 0);
    if (segments > 0)
        add_folds(&e, db, segments, log / segments);
    e.list = looks(db, segments);
    if (merges > 0)
        e.put += merges * puts_of(log * share / merges, load->part_size);
    if (longs > 0)
        e.put += longs * puts_of(log * share / longs, load->part_size);
    e.put += kept.snapshots_a_month * puts_of(load->snapshot_bytes, load->part_size);
    e.sent_bytes += log * kept.merged + kept.snapshots_a_month * load->snapshot_bytes;
    if (config_has_retention(db)) {
        double runs = PRICE_MONTH_S * 1000 / (double)db->retention_interval_ms;

        e.list += runs * PRUNE_LISTS;
        e.get += runs * PRUNE_GETS;
        e.remove += runs;
    }
    add_storage(&e, db, &kept);
    if (price->known) {
        e.request_cost = (e.put * price->put + e.get * price->get + e.list * price->list) / 1000;
        e.storage_cost = e.stored_bytes / 1e9 * price->gb_month;
    }
    return e;
}

/* --- what has happened -------------------------------------------------------------------------------------------- */

/* For 1,000 requests of a kind, as price_predict() counts them: what deletes or gives up is free. */
static double price_of_kind(const struct price *price, int kind)
{
    switch (kind) {
    case STORE_GET:
    case STORE_HEAD:
        return price->get;
    case STORE_LIST:
    case STORE_UPLOAD_SWEEP: /* a listing of uploads */
        return price->list;
    case STORE_DELETE:
    case STORE_DELETE_MANY:
    case STORE_UPLOAD_ABORT:
        return 0;
    default: /* an object, and all that a large one is made of */
        return price->put;
    }
}

struct price_measure price_measured(const struct price_counted *c, const struct price *price)
{
    struct price_measure m = {0};
    double cost = 0;

    if (!price->known)
        return m;
    if (c->elapsed_ms >= PRICE_MEASURED_MIN_MS) {
        for (int kind = 0; kind < STORE_KIND_COUNT; kind++)
            cost += (double)c->counts->requests[kind] / 1000 * price_of_kind(price, kind);
        m.requests_known = true;
        m.requests = cost * PRICE_MONTH_S * 1000 / (double)c->elapsed_ms;
    }
    m.storage_known = c->stored_known || price->gb_month <= 0;
    if (c->stored_known)
        m.storage = (double)c->stored_bytes / 1e9 * price->gb_month;
    return m;
}
