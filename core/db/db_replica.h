/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_replica - the replica's side of a start: ask it, patiently; find out whether it keeps a second writer out; ship
 * what an earlier run left in the spool.
 *
 * Runs in the start's job: blocking.
 */
#ifndef DB_REPLICA_H
#define DB_REPLICA_H

#include "db_start.h"

struct db_replica {
    struct db_start *start;
    const struct db_live *live;
    const struct local_state_content *local;
    enum local_state_found found;
    struct db_survey *survey; /* filled in; facts->spool_damaged as well */
};

MUST_USE struct rc db_replica_ask(struct db_replica *r, struct err *err);

/* The start has worked, so what is still in the spool belongs to nothing any more. */
void db_replica_clear_spool(const struct db_start *start);

#endif
