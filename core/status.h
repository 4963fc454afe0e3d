/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status - where a running daemon stands, as JSON (docs/status.md): what is replicated, how far, and what is wrong.  It
 * tells what the loop knows at this moment; nothing is cached.
 */
#ifndef STATUS_H
#define STATUS_H

#include "db.h"

#include <jansson.h>

/* One database: an owned reference. */
json_t *status_database(const struct db *db);
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
