/* SPDX-License-Identifier: Apache-2.0 */
#include "db_first.h"

#include "alloc.h"
#include "db_spool.h"

static struct rc open_all(struct db *db, struct err *err)
{
    const struct db_settings *set = db->settings;

    TRY(local_place_make_base(db->fs, set->state_dir, err));
    TRY(local_state_open(&db->local, db->fs, db->state_dir, err));
    TRY(db_spool_open(db, err));
    TRY(store_open(db->env, set->url, set->options, set->option_count, &db->store, err));
    db->store_ms = clock_mono_ms(db->clock);
    return RC_OK;
}

struct rc db_first_open(struct db *db, struct err *err)
{
    struct rc rc;

    db->state_dir = local_place_dir(db->settings->path, db->settings->state_dir);
    rc = open_all(db, err);
    if (!rc_failed(rc))
        return rc;
    db_spool_close(db);
    local_state_close(db->local);
    db->local = NULL;
    mem_free(MOVE(db->state_dir));
    return rc;
}

void db_first_prepare(struct db *db)
{
    if (!db->may_make)
        return;
    db->missing = (struct db_missing){
        .work = db->work,
        .store = db->store,
        .fs = db->fs,
        .path = db->settings->path,
        .state_base = db->settings->state_dir,
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
