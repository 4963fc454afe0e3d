/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_price - what the replica of an open database costs a month, by what was counted since it was opened: for the
 * status and the metrics.
 *
 * Stored bytes are those that the last prune left; weir asks for nothing only to know a price, so without retention
 * they are not known.  A folder costs something only by prices of one's own.
 */
#ifndef STATUS_PRICE_H
#define STATUS_PRICE_H

#include "db.h"
#include "price.h"

#include <jansson.h>

struct status_price {
    struct price price;
    bool own; /* by the configuration, whose currency nobody knows; else US dollars */
    struct price_measure month;
    uint64_t elapsed_ms; /* for so long it was counted */
};

/* False: the replica is not open, or its prices are not known. */
bool status_price_of(const struct db *db, struct status_price *out);
/* False: a part of it is not known. */
bool status_price_total(const struct status_price *p, double *out);
/* An owned reference; null where status_price_of() is false. */
json_t *status_price_object(const struct db *db);

#endif
