/* SPDX-License-Identifier: Apache-2.0 */
#include "db_missing.h"

#include "alloc.h"
#include "catalog.h"
#include "seed.h"
#include "slog.h"
#include "strx.h"

#include <errno.h>

static struct rc is_there(const struct db_missing *m, bool *there, struct err *err)
{
    struct stat st;

    *there = m->fs->stat(m->fs, m->path, &st) == 0;
    if (!*there && errno != ENOENT && errno != ENOTDIR)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", m->path);
    return RC_OK;
}

/* *found: the replica had a history, and the database is there now. */
static struct rc restore(const struct db_missing *m, bool *found, struct err *err)
{
    const struct restore_opts opts = {
        .output = m->path,
        .verify = RESTORE_VERIFY_STATE,
        .with_state = true,
        .state_base = m->state_base,
        .held = m->local,
        .stop = m->stop,
    };
    struct restore_report report;
    char took[STRX_HUMAN_SIZE];
    struct rc rc = restore_run(m->work, m->store, m->fs, &opts, &report, err);

    *found = !rc_failed(rc);
    if (rc_failed(rc) && report.nothing_there)
        return RC_OK;
    TRY_CTX(rc, err, "there is no database, and restoring it from %s did not work", m->store->url);
    if (report.warning[0] != 0)
        LOG_WARN("restored, but", F_STR("db", m->path), F_STR("warning", report.warning));
    LOG_INFO("restored from the replica", F_STR("db", m->path), F_U64("txid", report.txid),
        F_TIME("time", report.time_ms), F_U64("timeline", report.timeline), F_STR("url", m->store->url),
        F_STR("took", strx_format_duration(report.duration_ms, took)));
    return RC_OK;
}

/* Without being asked to restore: a seed must not stand beside a history that is there. */
static struct rc look_for_history(const struct db_missing *m, bool *found, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct rc rc = catalog_load(&c, m->work, m->store, err);

    *found = !rc_failed(rc) && catalog_newest(c) != NULL;
    if (rc.code == E_NOTFOUND)
        return RC_OK;
    TRY_CTX(rc, err, "there is no database, and whether the replica has one cannot be told");
    if (*found)
        return rc_raise(err, E_CONFIG,
            "there is no database, but the replica at %s has a history, so the seed is not used: set "
            "restore-if-missing, or restore by hand",
            m->store->url);
    return RC_OK;
}

static struct rc make(struct db_missing *m, enum db_missing_done *done, struct err *err)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(m->path, m->state_base);
    bool found = false;

    TRY(m->restore ? restore(m, &found, err) : look_for_history(m, &found, err));
    if (found) {
        *done = DB_MISSING_RESTORED;
        return RC_OK;
    }
    *done = DB_MISSING_EMPTY;
    if (m->seed == NULL) {
        LOG_INFO("starting empty: there is neither a database nor a replica", F_STR("db", m->path),
            F_STR("url", m->store->url));
        return RC_OK;
    }
    TRY_CTX(seed_run(&(struct seed){.fs = m->fs, .source = m->seed, .path = m->path, .dir = dir, .stop = m->stop}, err),
        err, "seed");
    LOG_INFO("seeded: there was neither a database nor a replica", F_STR("db", m->path), F_STR("seed", m->seed));
    *done = DB_MISSING_SEEDED;
    return RC_OK;
}

struct rc db_missing_run(struct db_missing *m, struct err *err)
{
    enum db_missing_done done = DB_MISSING_THERE;
    bool there = false;
    struct rc rc = RC_OK;

    TRY(is_there(m, &there, err));
    if (!there && !m->restore && m->seed == NULL) {
        done = DB_MISSING_LEFT;
    } else if (!there) {
        rc = make(m, &done, err);
        if (rc.code == E_EXISTS) { /* the application was faster */
            LOG_WARN("the database was made by somebody else meanwhile", F_STR("db", m->path), F_ERR(err));
            done = DB_MISSING_THERE;
            rc = RC_OK;
        }
        TRY(rc);
    } else if (m->restore || m->seed != NULL) {
        LOG_INFO("the database is there", F_STR("db", m->path));
    }
    atomic_store(&m->done, done);
    return RC_OK;
}
