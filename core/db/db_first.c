/* SPDX-License-Identifier: Apache-2.0 */
#include "db_first.h"

void db_first_prepare(struct db *db)
{
    if (!db->may_make)
        return;
    db->missing = (struct db_missing){
        .work = db->work,
        .store = db->store,
        .fs = db->fs,
        .path = db->settings->path,
        .local = db->local,
        .seed = db->settings->seed,
        .restore = db->settings->restore_if_missing,
        .stop = &db->stop_wanted,
    };
}

/* This process has looked for something to restore, and there was nothing. */
static bool found_nothing(const struct db *db)
{
    const enum db_missing_done done = atomic_load(&db->missing.done);

    return (done == DB_MISSING_SEEDED || done == DB_MISSING_EMPTY) && db->timeline == 0;
}

struct rc db_first_run(struct db *db, struct err *err)
{
    if (db->may_make)
        TRY(db_missing_run(&db->missing, err));
    db->start.replace_unbegun = found_nothing(db);
    return RC_OK;
}

void db_first_done(struct db *db)
{
    if (atomic_load(&db->missing.done) != DB_MISSING_UNDECIDED)
        db->may_make = false;
}

void db_first_settled(struct db *db)
{
    if (db->on_settled != NULL)
        db->on_settled(db);
}

void db_first_leave(struct db *db)
{
    db->may_make = false;
}
