/* SPDX-License-Identifier: Apache-2.0 */
/*
 * price - what a replica costs a month: requests and bytes, predicted from a load and the settings or counted while it
 * is written, times a provider's published prices.  An estimate: taxes, free allowances and minimum charges are not in
 * it, and nothing that other processes ask of the replica (restores).
 *
 * Pure functions.
 */
#ifndef PRICE_H
#define PRICE_H

#include "config.h"
#include "store.h"

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

/* Less says nothing about a month: a start has requests of its own. */
enum { PRICE_MEASURED_MIN_MS = 3600 * 1000 };

/* What a store was asked for since it was opened. */
struct price_counted {
    const struct store_counts *counts; /* borrowed */
    uint64_t elapsed_ms;
    bool stored_known;
    uint64_t stored_bytes; /* of all that is there now */
};

/* A month, if it goes on like that.  What is not known is left out: it is not 0. */
struct price_measure {
    bool requests_known; /* after PRICE_MEASURED_MIN_MS */
    bool storage_known;  /* the bytes are known, or cost nothing */
    double requests, storage;
};

/* Requests count when they are begun, each try by itself, as they are billed.  Nothing is known without a price. */
struct price_measure price_measured(const struct price_counted *c, const struct price *price);

#endif
