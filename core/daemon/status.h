/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status - where a running daemon stands, as JSON (docs/status.md): what is replicated, how far, and what is wrong.  It
 * tells what the loop knows at this moment; nothing is cached.
 */
#ifndef STATUS_H
#define STATUS_H

#include "db.h"
#include "status_proof.h"

#include <jansson.h>

/* One database: an owned reference.  `ready`: the verdict of whoever asks. */
json_t *status_database(const struct db *db, bool ready);
/* One that is not open: it is parked, or failed, or is to be opened. */
struct status_closed {
    const char *path, *url, *state;
    const struct db_settings *settings; /* of which the triggers are told; NULL where nobody looks at them */
    bool parked, ready;
    const struct err *error; /* NULL: none */
    uint32_t timeline;
    uint64_t txid, snapshot_txid, resyncs, segments, bytes_shipped, bytes_changed, failures, gaps;
    int64_t time_ms, snapshot_ms, failed_ms;
    struct status_drill drill;
    struct status_scrub scrub;
    int64_t now_ms;
};
json_t *status_closed(const struct status_closed *c);
/* What makes a database ship, as the configuration would have it. */
json_t *status_triggers(const struct db_settings *set);
/* null for 0 */
json_t *status_time(int64_t ms);
/* The configuration file, when it was loaded, and what the last reload complained about (code E_OK: nothing). */
json_t *status_configuration(const char *file, int64_t loaded_ms, const struct err *error, int64_t error_ms);
/*
 * The one word for how a database is, everywhere: "behind" is a replicating one whose uploads fail, "spooling" one
 * whose segments wait on the local disk, "gap" one whose exact history has stopped; else it is the actor's state.
 */
const char *status_state(const struct db *db);
/* All of these words; NULL behind the last. */
const char *status_state_name(unsigned i);
/* What is not shipped, and since when: the time of the last commit that is, as the oldest that is not is not known. */
uint64_t status_lag_commits(const struct db *db);
uint64_t status_lag_ms(const struct db *db);
/* Paths and messages may hold any bytes; JSON may not. */
json_t *status_text(const char *text);
/* The cause of the present trouble, or NULL when there is none. */
const struct err *status_trouble(const struct db *db);

#endif
