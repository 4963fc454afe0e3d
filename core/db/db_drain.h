/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_drain - at a start: ship what an earlier process left in the spool (core/spool), before the lineage is decided.
 *
 * Segments go out only when they chain to the replica's tip, number and state checksum both; those that the replica has
 * already are removed.  What is damaged or does not fit stays where it is, and so does all behind it: the lineage then
 * finds the replica behind the local state.
 *
 * Runs in a job: blocking.
 */
#ifndef DB_DRAIN_H
#define DB_DRAIN_H

#include "lineage.h"
#include "spool.h"
#include "work.h"

struct db_drain {
    struct work *work;
    struct store *store;
    struct spool *spool;
    const char *path;                  /* of the database, for the log */
    const struct lineage_facts *facts; /* of a survey; stale when something was shipped */

    /* Out. */
    uint64_t shipped_count; /* segments */
    bool damaged;           /* something could not be used; `why` tells what */
    struct err why;
};

MUST_USE struct rc db_drain_run(struct db_drain *d, struct err *err);

#endif
