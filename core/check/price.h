/* SPDX-License-Identifier: Apache-2.0 */
/*
 * price - what a replica costs a month: requests and bytes predicted from a load and the settings, times a provider's
 * published prices.  An estimate: restores, taxes, free allowances and minimum charges are not in it.
 *
 * Pure functions.
 */
#ifndef PRICE_H
#define PRICE_H

#include "config.h"

enum { PRICE_TEXT_SIZE = 160 };
#define PRICE_MONTH_S (30.0 * 24 * 3600)

/* In one currency; `known` false: nobody knows. */
struct price {
    bool known;
    double put, get, list;        /* per 1,000 requests */
    double gb_month;              /* 10^9 bytes for a month */
    char source[PRICE_TEXT_SIZE]; /* for people: whose prices, and as of when */
};

/* The list price of a kind of store (s3_quirk); NULL: a folder, which costs nothing per request.  Not known where the
 * provider charges in a way that these figures cannot say. */
struct price price_of(const char *provider);
/*
 * Replace what `text` gives: "put=0.005,get=0.0004,list=0.005,gb-month=0.023", at least one of them.  `list` is `put`
 * unless it is given or was known.  E_CONFIG with the reason.
 */
MUST_USE struct rc price_override(struct price *p, const char *text, struct err *err);

/* Digits with a point, and nothing else; at most `max`. */
MUST_USE struct rc price_number(const char *text, double max, double *out, struct err *err);

/* How much is written. */
struct price_load {
    double commits_per_s, bytes_per_commit; /* as they are stored in the log: deltas, compressed */
    double snapshot_bytes;                  /* as stored */
    size_t part_size;
};

struct price_estimate {
    double put, get, list, remove; /* requests a month */
    double sent_bytes;             /* a month */
    double stored_bytes;           /* after the first month, or once retention has its balance */
    double growth_bytes;           /* a month, from then on */
    double request_cost, storage_cost;
};

/* `price` may be unknown: the costs are 0 then. */
struct price_estimate price_predict(
    const struct config_db *db, const struct price_load *load, const struct price *price);

#endif
