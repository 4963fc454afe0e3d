/* SPDX-License-Identifier: Apache-2.0 */
#include "status_price.h"

#include "status.h"

/* What the last prune left, where there are any: what it said before retention was taken away is not true for long. */
static bool stored(const struct db *db, uint64_t *out)
{
    struct err none;

    *out = db->prune.kept_bytes;
    return db->prune.time_ms != 0 && !rc_failed(retention_check(&db->settings->retention, &none));
}

static bool find_price(const struct db *db, struct status_price *out)
{
    const char *provider = store_provider(db->store), *own = db->settings->price;
    struct err ignored;

    out->price = price_of(provider);
    out->own = own != NULL;
    if (own != NULL)
        return !rc_failed(price_override(&out->price, own, &ignored)); /* the configuration was refused otherwise */
    return out->price.known && provider != NULL;
}

bool status_price_of(const struct db *db, struct status_price *out)
{
    struct price_counted counted;
    uint64_t now_ms = clock_mono_ms(db->clock);

    *out = (struct status_price){0};
    if (db->store == NULL || !find_price(db, out))
        return false;
    out->elapsed_ms = now_ms > db->store_ms ? now_ms - db->store_ms : 0;
    counted = (struct price_counted){.counts = store_counts_of(db->store), .elapsed_ms = out->elapsed_ms};
    counted.stored_known = stored(db, &counted.stored_bytes);
    out->month = price_measured(&counted, &out->price);
    return true;
}

bool status_price_total(const struct status_price *p, double *out)
{
    *out = p->month.requests + p->month.storage;
    return p->month.requests_known && p->month.storage_known;
}

static json_t *number(bool known, double value)
{
    return known ? json_real(value) : json_null();
}

json_t *status_price_object(const struct db *db)
{
    struct status_price p;
    double total;
    bool whole;

    if (!status_price_of(db, &p))
        return json_null();
    whole = status_price_total(&p, &total);
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:o}", "currency", p.own ? json_null() : json_string("USD"), "requests",
        number(p.month.requests_known, p.month.requests), "storage", number(p.month.storage_known, p.month.storage),
        "total", number(whole, total), "measured_seconds", (json_int_t)(p.elapsed_ms / 1000), "source",
        status_text(p.price.source));
}
