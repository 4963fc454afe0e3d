/* SPDX-License-Identifier: Apache-2.0 */
#include "drill.h"

#include "alloc.h"
#include "plan.h"
#include "restore_target.h"
#include "rng.h"
#include "strx.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    PICKS = 32,            /* random commits to try when retention left few of them */
    SPARE_MIN = 128 << 20, /* bytes of the disk that stay free; the application needs them ... */
    SPARE_SHARE = 20,      /* ... and this part of it */
};

struct drill {
    struct work *work;
    struct store *store;
    const struct drill_opts *opts;
    struct drill_report *report;
    bool away; /* there was nothing at all where the replica should be */
};

/* --- the folder --------------------------------------------------------------------------------------------------- */

void drill_tidy(const struct fsys *fs, const char *folder)
{
    DIR *d = fs->opendir(fs, folder);

    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        CLEANUP(mem_freep) char *path = mem_printf("%s/%s", folder, e->d_name);

        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)fs->unlink(fs, path); /* the folder stays then, for the next try */
    }
    (void)closedir(d);
    (void)fs->rmdir(fs, folder);
}

static struct rc make_folder(const struct drill_opts *o, struct err *err)
{
    drill_tidy(o->fs, o->folder);
    if (o->fs->mkdir(o->fs, o->folder, 0700) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "make %s", o->folder);
    return RC_OK;
}

/* Is there room, and is it worth it?  If not, the report says why. */
static struct rc judge_size(struct drill *k, bool *fine, struct err *err)
{
    const struct drill_opts *o = k->opts;
    char size[STRX_HUMAN_SIZE], limit[STRX_HUMAN_SIZE];
    struct statvfs disk;
    struct stat st;
    uint64_t room, spare;

    *fine = false;
    if (o->fs->stat(o->fs, o->path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", o->path);
    if (o->max_size > 0 && (uint64_t)st.st_size > o->max_size) {
        (void)snprintf(k->report->skipped, sizeof k->report->skipped,
            "the database has %s, and drills are for up to %s (drill.max-size)",
            strx_format_size((uint64_t)st.st_size, size), strx_format_size(o->max_size, limit));
        return RC_OK;
    }
    if (statvfs(o->folder, &disk) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "free space of %s", o->folder);
    room = (uint64_t)disk.f_bavail * disk.f_frsize;
    spare = (uint64_t)disk.f_blocks * disk.f_frsize / SPARE_SHARE;
    spare = (spare < SPARE_MIN ? SPARE_MIN : spare) + (uint64_t)st.st_size;
    *fine = room >= spare;
    if (!*fine)
        (void)snprintf(k->report->skipped, sizeof k->report->skipped,
            "only %s are free on the disk of %s, and a drill of this database needs %s", strx_format_size(room, size),
            o->folder, strx_format_size(spare, limit));
    return RC_OK;
}

/* --- is it there? ------------------------------------------------------------------------------------------------- */

/* Nobody but a directory has nothing at all because it is not there: an unmounted disk is no folder, or an empty one. A
 * bucket that answers and has nothing has lost it. */
static bool may_be_away(const struct store *s)
{
    static const char scheme[] = "file://";

    return strncmp(s->url, scheme, strlen(scheme)) == 0;
}

static struct rc load(struct drill *k, struct catalog **out, struct err *err)
{
    struct rc rc = catalog_load(out, k->work, k->store, err);

    if (rc.code == E_NOTFOUND && may_be_away(k->store))
        k->away = true;
    return rc;
}

/* A disk may go away under a restore, too, and that looks as if objects were missing. */
static bool is_away(struct drill *k)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct err ignored;

    if (!k->away && may_be_away(k->store))
        rc_ignore(load(k, &c, &ignored), "what was found is told then");
    return k->away;
}

/* --- which commit --------------------------------------------------------------------------------------------------
 */

/* The first commit of the window.  A history that is younger begins with its first. */
static struct rc window_begin(const struct drill *k, struct catalog *c, uint64_t *txid, struct err *err)
{
    const struct drill_opts *o = k->opts;
    int64_t from_ms = o->tip_ms > (int64_t)o->window_ms ? o->tip_ms - (int64_t)o->window_ms : 0;
    struct rc rc = restore_find_time(c, k->work, k->store, o->timeline, from_ms, txid, err);

    if (rc.code == E_NOTFOUND) {
        *txid = 1;
        return RC_OK;
    }
    return rc;
}

static struct rc choose(struct drill *k, struct err *err)
{
    const struct drill_opts *o = k->opts;
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    uint64_t first = 1;

    k->report->txid = o->tip_txid;
    if (o->window_ms == 0 || o->tip_txid < 2)
        return RC_OK;
    TRY(load(k, &c, err));
    TRY(window_begin(k, c, &first, err));
    if (o->again_txid >= first && o->again_txid <= o->tip_txid && !plan_is_cut_off(c, o->timeline, o->again_txid)) {
        k->report->txid = o->again_txid;
        return RC_OK;
    }
    for (int i = 0; i < PICKS && first < o->tip_txid; i++) {
        uint64_t txid = first + rng_u64() % (o->tip_txid - first + 1);

        if (plan_is_cut_off(c, o->timeline, txid))
            continue; /* retention took it, as it was told to */
        k->report->txid = txid;
        return RC_OK;
    }
    return RC_OK;
}

/* --- trying it ---------------------------------------------------------------------------------------------------- */

static struct rc look(void *ctx, const char *path, struct err *err)
{
    const struct drill *k = ctx;

    return restore_target_check_until(path, false, k->opts->stop, err);
}

static struct rc try_once(struct drill *k, struct err *err)
{
    CLEANUP(mem_freep) char *output = mem_printf("%s/state.db", k->opts->folder);
    const struct restore_opts opts = {
        .output = output,
        .by_txid = true,
        .txid = k->report->txid,
        .timeline = k->opts->timeline,
        .parallel = 1,
        .background = true,
        .stop = k->opts->stop,
        .look = look,
        .ctx = k,
    };
    struct restore_report *r = &k->report->restore;
    struct rc rc = restore_run(k->work, k->store, k->opts->fs, &opts, r, err);

    if (rc_failed(rc) || r->warning[0] == 0)
        return rc;
    return rc_raise(err, E_CORRUPT, "it can be restored, but only around damage: %.900s", r->warning);
}

static bool is_damage(struct rc rc)
{
    return rc.code == E_CORRUPT || rc.code == E_NOTFOUND;
}

static struct rc stopped(const struct drill *k, struct err *err)
{
    return *k->opts->stop ? rc_raise(err, E_CANCELED, "stopping") : RC_OK;
}

/* What was pruned on purpose meanwhile is no damage, wherever it shows. */
static struct rc choose_and_try(struct drill *k, bool again, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;

    if (again) {
        TRY(load(k, &c, err));
        again = !plan_is_cut_off(c, k->opts->timeline, k->report->txid);
    }
    if (!again)
        TRY(choose(k, err));
    TRY(stopped(k, err));
    return try_once(k, err);
}

static struct rc run(struct drill *k, struct err *err)
{
    bool fine = false;
    struct rc rc;

    TRY(make_folder(k->opts, err));
    TRY(judge_size(k, &fine, err));
    if (!fine)
        return RC_OK;
    rc = choose_and_try(k, false, err);
    if (is_damage(rc) && !*k->opts->stop) {
        k->away = false; /* it may be back */
        rc = choose_and_try(k, true, err);
    }
    if (!is_damage(rc))
        return rc;
    if (is_away(k))
        return rc_raise(err, E_IO, "there is nothing at %s any more: is its disk mounted?", k->store->url);
    return rc_raise(err, E_CORRUPT, "drill: txid %" PRIu64 " of timeline %" PRIu32 ": %.900s", k->report->txid,
        k->opts->timeline, err->msg);
}

struct rc drill_run(
    struct work *w, struct store *s, const struct drill_opts *opts, struct drill_report *report, struct err *err)
{
    struct drill k = {.work = w, .store = s, .opts = opts, .report = report};
    struct rc rc;

    *report = (struct drill_report){0};
    work_background();
    rc = run(&k, err);
    drill_tidy(opts->fs, opts->folder);
    return rc;
}
