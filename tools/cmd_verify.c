/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "local_state.h"
#include "local_verified.h"
#include "scratch.h"
#include "session.h"
#include "settings.h"
#include "share.h"
#include "store_links.h"
#include "strx.h"
#include "verify_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "verify"

enum { PATIENCE_MS = 2000 };

struct request {
    const struct fsys *fs;
    const char *source, *file, *scratch_dir;
    struct verify_opts opts;
    struct verify_report report;
    struct restore_opts restore;
    struct verify_print_deep deep;
    bool share, share_whole; /* a part of a replica, and it has what it is for */
    uint64_t progress_ms;    /* monotonic, when it was printed last */
    bool progress_shown;
};

/* --- progress ------------------------------------------------------------------------------------------------------
 */

static void show_progress(struct request *r, const char *stage, uint64_t done, uint64_t total)
{
    enum { INTERVAL_MS = 100 };
    char have[STRX_HUMAN_SIZE], all[STRX_HUMAN_SIZE];
    uint64_t now = clock_mono_ms(&clock_real);

    if (now - r->progress_ms < INTERVAL_MS)
        return;
    r->progress_ms = now;
    r->progress_shown = true;
    (void)fprintf(stderr, "\r\033[K%-8s %3u%%  %s of %s", stage,
        total > 0 ? (unsigned)((__uint128_t)done * 100 / total) : 100, strx_format_size(done, have),
        strx_format_size(total, all));
    (void)fflush(stderr);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    show_progress(ctx, "verify", done, total);
}

static void on_restore_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    show_progress(ctx, stage, done, total);
}

/* --- the work ------------------------------------------------------------------------------------------------------
 */

/* A trial restore that fails because of what is stored is a result; any other failure means that we could not look. */
static struct rc try_restore(struct request *r, struct work *w, struct store *s, struct err *err)
{
    struct rc rc = restore_run(w, s, r->fs, &r->restore, &r->deep.report, &r->deep.err);
    const bool asked_for = r->restore.by_txid || r->restore.by_time;

    r->deep.restored = !rc_failed(rc);
    if (!rc_failed(rc) || rc.code == E_CORRUPT)
        return RC_OK;
    if (rc.code == E_NOTFOUND && (!asked_for || verify_failed(&r->report)))
        return RC_OK;
    *err = r->deep.err;
    return rc_wrap(err, "trial restore");
}

/* What leads to the state that it is for is all that a share promises. */
static bool is_whole(const struct verify_report *report, const struct share_doc *d)
{
    bool found = false;

    for (size_t i = 0; i < report->timeline_count; i++)
        for (size_t k = 0; k < report->timelines[i].range_count; k++) {
            const struct verify_range *range = &report->timelines[i].ranges[k];

            found = found || (range->first_txid <= d->txid && d->txid <= range->last_txid);
        }
    return found && report->totals[VERIFY_DAMAGED] == 0;
}

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;

    TRY(verify_run(w, s, &r->opts, &r->report, err));
    r->share = store_links_is(s);
    if (r->share) {
        r->share_whole = is_whole(&r->report, store_links_doc(s));
        TRY(share_target(w, s, &r->restore, err));
    }
    return r->deep.asked ? try_restore(r, w, s, err) : RC_OK;
}

/* Retention keeps the last snapshot that was proven to be of use.  Only a note: the verification stands without it. */
static void remember(const struct request *r)
{
    CLEANUP(settings_source_fini) struct settings_source from = {0};
    CLEANUP(mem_freep) char *dir = NULL;
    const struct local_verified v = {
        r->deep.report.timeline, r->deep.report.txid, r->deep.report.snapshot_txid, clock_wall_ms(&clock_real)};
    struct err err;

    if (!r->deep.restored || verify_failed(&r->report)
        || rc_failed(settings_find(&from, r->fs, r->file, r->source, &err)) || from.path == NULL)
        return;
    dir = local_place_dir(from.path, from.db->state_dir);
    if (rc_failed(local_verified_write(r->fs, dir, &v, &err)))
        cli_complain(COMMAND, "warning: retention does not learn of this trial: %s", err.msg);
}

static struct rc run_session(struct request *r, struct err *err)
{
    CLEANUP(mem_freep) char *target = NULL;
    struct scratch *scratch = NULL;
    struct rc rc;

    if (!r->deep.asked)
        return session_run_with(r->fs, r->file, r->source, run, r, err);
    TRY(scratch_open(&scratch, r->fs, r->scratch_dir, err));
    target = mem_printf("%s/trial.db", scratch_path(scratch));
    r->restore.output = target;
    rc = session_run_with(r->fs, r->file, r->source, run, r, err);
    if (!scratch_close(scratch))
        cli_complain(COMMAND, "warning: %s could not be removed", target);
    return rc;
}

static int conclude(const struct request *r)
{
    const uint64_t *n = r->report.totals;
    const bool failed = r->share ? !r->share_whole : verify_failed(&r->report);

    if (r->share && r->share_whole && verify_failed(&r->report))
        cli_complain(COMMAND, "note: the share has all that it is for; what is missing here is not a part of it");
    else if (verify_failed(&r->report))
        cli_complain(
            COMMAND, "%" PRIu64 " objects are missing, %" PRIu64 " are damaged", n[VERIFY_MISSING], n[VERIFY_DAMAGED]);
    if (r->deep.asked && !r->deep.restored)
        cli_complain(COMMAND, "trial restore: %s", r->deep.err.msg);
    return failed || (r->deep.asked && !r->deep.restored) ? rc_exit_status(E_CORRUPT) : 0;
}

static int verify(struct request *r, bool json)
{
    /* What stands behind a '?' may be a secret. */
    CLEANUP(mem_freep) char *url = mem_printf("%.*s", (int)strcspn(r->source, "?"), r->source);
    struct verify_print print = {.url = url, .report = &r->report, .deep = &r->deep};
    uint64_t begin_ms = clock_mono_ms(&clock_real);
    struct err err;
    struct rc rc;
    int status;

    r->opts.patience_ms = PATIENCE_MS;
    r->restore.timeline = r->opts.timeline;
    r->restore.verify = RESTORE_VERIFY_QUICK;
    if (isatty(STDERR_FILENO) == 1) {
        r->opts.on_progress = on_progress;
        r->restore.on_progress = on_restore_progress;
        r->opts.ctx = r->restore.ctx = r;
    }
    rc = run_session(r, &err);
    print.duration_ms = clock_mono_ms(&clock_real) - begin_ms;
    if (r->progress_shown)
        (void)fprintf(stderr, "\r\033[K");
    if (rc_failed(rc)) {
        status = cli_fail(COMMAND, &err);
    } else {
        if (json)
            verify_print_json(&print);
        else
            verify_print_text(&print);
        status = conclude(r);
        remember(r);
    }
    verify_fini(&r->report);
    return status;
}

int cmd_verify(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs};
    bool json = false;
    const struct cli_option options[] = {
        {0, "timeline", "N", "only this timeline and those that it comes from; default: all", cli_timeline,
            &r.opts.timeline, NULL},
        {0, "deep", NULL,
            "and restore the newest state to a scratch file, prove it by its state checksum, let SQLite run "
            "quick_check, and remove it",
            NULL, &r.deep.asked, NULL},
        {0, "txid", "N", "with --deep: the state after commit N instead", cli_u64, &r.restore.txid, &r.restore.by_txid},
        {0, "timestamp", "TIME", "with --deep: the last commit at or before this time instead", cli_time,
            &r.restore.time_ms, &r.restore.by_time},
        {0, "scratch", "DIR", "with --deep: where the scratch file goes; default: $TMPDIR, or /tmp", cli_text,
            &r.scratch_dir, NULL},
        {0, "json", NULL, "print the result as one JSON object (docs/verify.md)", NULL, &json, NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE [OPTION...]",
        .about = "Read a whole replica and check that every object is there and whole, that the log has no "
                 "hole, and which commits can be restored.  A daemon may go on writing meanwhile.  Each object is "
                 "good, missing, damaged, or unexpected (harmless).  SOURCE is a URL, or a database of the "
                 "configuration.\n\n"
                 "Exit status 0: all good; 4: something is missing or damaged; 3: no backup there; 1: it could not "
                 "be looked at.",
        .examples = "  weir verify file:///backup/app\n"
                    "  weir verify file:///backup/app --deep --scratch /var/tmp\n"
                    "  weir verify file:///backup/app --json | jq '.findings[]'\n",
        .options = options,
        .operands = &r.source,
        .operand_min = 1,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    if (r.restore.by_txid && r.restore.by_time) {
        cli_complain(COMMAND, "--txid and --timestamp exclude each other");
        return rc_exit_status(E_CONFIG);
    }
    if (!r.deep.asked && (r.restore.by_txid || r.restore.by_time || r.scratch_dir != NULL)) {
        cli_complain(COMMAND, "--txid, --timestamp and --scratch go with --deep");
        return rc_exit_status(E_CONFIG);
    }
    return verify(&r, json);
}
