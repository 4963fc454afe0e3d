/* SPDX-License-Identifier: Apache-2.0 */
/* status_proof - what drills and scrubs came to, as the status shows it: of an open database, or of one that is not. */
#ifndef STATUS_PROOF_H
#define STATUS_PROOF_H

#include "db.h"

#include <jansson.h>

/* Times are of the wall clock, 0: never; texts are borrowed, NULL: there is none. */
struct status_drill {
    bool on; /* there are drills, or there was one */
    bool running, overdue;
    const char *failure, *skipped, *error;
    int64_t good_ms, state_ms, failed_ms;
    uint32_t timeline;
    uint64_t txid, failed_txid, bytes_read;
    uint64_t interval_ms; /* 0: none */
};

struct status_scrub {
    bool on; /* there are scrubs, or damage is known */
    const char *failure, *error;
    int64_t passed_ms, found_ms;
    uint64_t passed_pages, damaged, found_txid, page_count, pass_count;
    uint64_t next; /* page of the present pass; 0: nobody keeps that of a database that is not open */
    const uint32_t *shown;
    uint32_t shown_count;
    uint64_t interval_ms; /* 0: never */
};

void status_proof_drill_of(const struct db *db, struct status_drill *out);
void status_proof_scrub_of(const struct db *db, struct status_scrub *out);

/* null: there are none, and nothing is known. */
json_t *status_proof_drill(const struct status_drill *k, int64_t now_ms);
json_t *status_proof_scrub(const struct status_scrub *k);

#endif
