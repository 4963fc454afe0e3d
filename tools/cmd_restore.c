/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "follow_print.h"
#include "moment.h"
#include "restore.h"
#include "session.h"
#include "settings.h"
#include "share.h"
#include "store_links.h"
#include "strx.h"
#include "until_signal.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "restore"

enum {
    INTERVAL_DEFAULT_MS = 1000,
    INTERVAL_MAX_MS = 60 * 60 * 1000,
    LOG_LIMIT_MIN = 1 << 20,
    LOG_LIMIT_DEFAULT = 1 << 30
};

struct request {
    const struct fsys *fs;
    const char *file; /* the configuration that was named */
    char *absolute;   /* owned: of the output; NULL: its folder is not there */
    char *state_base; /* owned: below which local states are; NULL: beside the output */
    struct restore_opts opts;
    struct restore_report report;
    struct moment moment;
    bool json, if_db_not_exists, if_replica_exists;
    uint64_t progress_ms; /* monotonic, when it was printed last */
    bool progress_shown;
    bool follow;
    uint64_t interval_ms; /* --interval */
    uint64_t log_limit;   /* --log-limit */
    bool by_interval, by_log_limit;
};

static struct rc parse_verify(const char *text, void *target, struct err *err)
{
    static const char *const names[] = {"none", "state", "quick", "full"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *(enum restore_verify *)target = (enum restore_verify)i;
            return RC_OK;
        }
    return rc_raise(err, E_CONFIG, "'%.100s' is not none, state, quick or full", text);
}

static struct rc parse_parallel(const char *text, void *target, struct err *err)
{
    uint64_t v = 0;

    TRY(strx_u64(text, 1, 256, &v, err));
    *(unsigned *)target = (unsigned)v;
    return RC_OK;
}

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;

    TRY(share_target(w, s, &r->opts, err));
    return restore_run(w, s, r->fs, &r->opts, &r->report, err);
}

/* --- progress ------------------------------------------------------------------------------------------------------
 */

static void on_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    enum { INTERVAL_MS = 100 };
    struct request *r = ctx;
    char have[STRX_HUMAN_SIZE], all[STRX_HUMAN_SIZE];
    uint64_t now = clock_mono_ms(&clock_real);

    if (now - r->progress_ms < INTERVAL_MS)
        return;
    r->progress_ms = now;
    r->progress_shown = true;
    (void)fprintf(stderr, "\r\033[K%-8s %3u%%  %s of %s", stage, total > 0 ? (unsigned)(done * 100 / total) : 100,
        strx_format_size(done, have), strx_format_size(total, all));
    (void)fflush(stderr);
}

static void clear_progress(const struct request *r)
{
    if (r->progress_shown)
        (void)fprintf(stderr, "\r\033[K");
}

/* --- results -------------------------------------------------------------------------------------------------------
 */

static void print_json(json_t *doc)
{
    if (doc == NULL || json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT) != 0)
        cli_complain(COMMAND, "print the result: out of memory or standard output is closed");
    (void)printf("\n");
    (void)fflush(stdout); /* that it fails is told at the end */
    json_decref(doc);
}

static json_t *text_or_null(const char *text)
{
    return text[0] != 0 ? json_string(text) : json_null();
}

static void report_json(const struct request *r)
{
    const struct restore_report *p = &r->report;
    char time[STRX_TIME_SIZE] = "", checksum[17];

    if (p->time_ms != 0)
        (void)strx_format_time(p->time_ms, time);
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, p->checksum);
    print_json(
        json_pack("{s:b, s:b, s:s, s:I, s:I, s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o}",
            "restored", !r->opts.dry_run, "dry_run", r->opts.dry_run, "output", r->opts.output, "timeline",
            (json_int_t)p->timeline, "txid", (json_int_t)p->txid, "time", text_or_null(time), "time_ms",
            (json_int_t)p->time_ms, "checksum", checksum, "page_size", (json_int_t)p->page_size, "page_count",
            (json_int_t)p->page_count, "snapshot_txid", (json_int_t)p->snapshot_txid, "merges",
            (json_int_t)p->merge_count, "objects", (json_int_t)p->object_count, "bytes_read", (json_int_t)p->bytes_read,
            "bytes_reused", (json_int_t)p->reused_bytes, "duration_ms", (json_int_t)p->duration_ms, "replaced",
            p->replaced, "kept", text_or_null(p->kept), "warning", text_or_null(p->warning)));
}

static void report_dry_run(const struct request *r, const char *read)
{
    const struct restore_report *p = &r->report;
    char reused[STRX_HUMAN_SIZE], base[96];

    if (p->reused_txid > 0)
        (void)snprintf(base, sizeof base, "the local file, which is txid %" PRIu64, p->reused_txid);
    else
        (void)snprintf(base, sizeof base, "the snapshot at txid %" PRIu64, p->snapshot_txid);
    (void)printf("would restore txid %" PRIu64 " of timeline %" PRIu32 ": %s, %zu merges and %zu objects of the log, "
                 "%s\n",
        p->txid, p->timeline, base, p->merge_count, p->object_count - 1 - p->merge_count, read);
    if (p->reused_bytes > 0)
        (void)printf("%s of the database would be taken from files that are here already\n",
            strx_format_size(p->reused_bytes, reused));
}

static char *word_beside(const struct request *r, const char *suffix)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s%s", r->absolute, suffix);

    return cli_word(path);
}

/* What an operator has to know about the file that was there; the way back works wherever it is pasted. */
static void report_old(const struct request *r)
{
    CLEANUP(mem_freep) char *state = NULL, *dir = NULL, *wal = NULL, *shm = NULL, *kept = NULL, *file = NULL;

    if (r->report.kept[0] == 0) {
        if (r->report.replaced)
            (void)printf("the database that was there was replaced\n");
        return;
    }
    dir = local_place_dir(r->absolute, r->state_base);
    state = cli_word(dir);
    wal = word_beside(r, "-wal");
    shm = word_beside(r, "-shm");
    file = word_beside(r, "");
    kept = cli_word(r->report.kept);
    (void)printf(
        "the database that was there is kept as %s; to go back, stop what uses %s, then: rm -rf %s %s %s && mv "
        "%s %s\n",
        r->report.kept, r->opts.output, wal, shm, state, kept, file);
}

/* A file that is made anew belongs to whoever makes it, and root often makes it for an application that is somebody
 * else.  One that takes the place of another belongs to whom that belonged. */
static void warn_of_owner(const struct request *r)
{
    CLEANUP(mem_freep) char *folder = NULL, *file = NULL, *dir = NULL, *state = NULL, *as = NULL;
    struct stat made, above;

    if (r->absolute == NULL || r->opts.dry_run || r->report.replaced)
        return;
    folder = mem_strdup(r->absolute);
    *strrchr(folder, '/') = 0;
    if (r->fs->stat(r->fs, r->absolute, &made) != 0 || r->fs->stat(r->fs, folder[0] != 0 ? folder : "/", &above) != 0
        || made.st_uid != 0 || above.st_uid == 0)
        return;
    dir = local_place_dir(r->absolute, r->state_base);
    file = word_beside(r, "");
    state = cli_word(dir);
    as = cli_word(folder);
    cli_complain(COMMAND,
        "note: %s belongs to user 0, its folder to user %u: if the application is that user: chown -R --reference=%s "
        "%s%s%s",
        r->opts.output, (unsigned)above.st_uid, as, file, r->opts.with_state ? " " : "",
        r->opts.with_state ? state : "");
}

static void report_text(const struct request *r)
{
    const struct restore_report *p = &r->report;
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE], read[STRX_HUMAN_SIZE], took[STRX_HUMAN_SIZE];

    if (p->warning[0] != 0)
        cli_complain(COMMAND, "warning: %s", p->warning);
    (void)strx_format_size(p->bytes_read, read);
    if (r->opts.dry_run) {
        report_dry_run(r, read);
        return;
    }
    (void)printf("restored txid %" PRIu64 " (%s) of timeline %" PRIu32 " to %s: %s, from %zu objects with %s, in %s\n",
        p->txid, strx_format_time(p->time_ms, time), p->timeline, r->opts.output,
        strx_format_size((uint64_t)p->page_size * p->page_count, size), p->object_count, read,
        strx_format_duration(p->duration_ms, took));
    if (p->reused_bytes > 0)
        (void)printf("%s of it were on this machine already\n", strx_format_size(p->reused_bytes, size));
    report_old(r);
}

/* Nothing was done, and that is fine. */
static int report_skipped(const struct request *r, const char *reason)
{
    if (r->json)
        print_json(json_pack("{s:b, s:b, s:s, s:s}", "restored", 0, "dry_run", r->opts.dry_run, "output",
            r->opts.output, "reason", reason));
    else
        (void)printf("nothing restored: %s\n", reason);
    return 0;
}

/* --- following -----------------------------------------------------------------------------------------------------
 */

static void on_event(void *ctx, const struct follow_event *e)
{
    const struct request *r = ctx;

    if (r->json)
        follow_print_json(e);
    else
        follow_print_text(e);
}

static bool on_wait(void *ctx, uint32_t ms)
{
    (void)ctx;
    return until_signal_wait(ms);
}

static struct rc run_follow(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;
    const struct follow_opts opts = {
        .output = r->opts.output,
        .state_base = r->state_base,
        .interval_ms = (uint32_t)r->interval_ms,
        .log_limit = r->log_limit,
        .parallel = r->opts.parallel,
        .clock = &clock_real,
        .on_event = on_event,
        .wait = on_wait,
        .ctx = r,
    };
    struct stat st;

    if (store_links_doc(s) != NULL)
        return rc_raise(err, E_CONFIG, "a share is one state, and nothing comes after it: follow the replica itself");
    if (r->opts.force || r->fs->stat(r->fs, r->opts.output, &st) != 0) {
        TRY(restore_run(w, s, r->fs, &r->opts, &r->report, err));
        clear_progress(r);
        r->progress_shown = false;
        if (r->json)
            report_json(r);
        else
            report_text(r);
    }
    until_signal_begin(0);
    return follow_run(w, s, r->fs, &opts, err);
}

static const char *check_follow(const struct request *r)
{
    if (!r->follow)
        return r->by_interval || r->by_log_limit ? "--interval and --log-limit are for --follow" : NULL;
    if (r->opts.by_txid || r->opts.by_time || r->moment.by_before || r->opts.timeline != 0)
        return "--follow follows the newest state: it takes no --txid, --timestamp, --before or --timeline";
    if (r->opts.dry_run || r->if_db_not_exists || r->if_replica_exists || !r->opts.with_state)
        return "--follow excludes --dry-run, --if-db-not-exists, --if-replica-exists and --no-state";
    if (r->opts.in_place || r->opts.keep_old)
        return "--follow excludes --in-place and --keep-old: it begins with a copy of its own";
    if (r->interval_ms == 0 || r->interval_ms > INTERVAL_MAX_MS)
        return "--interval is from 1ms to 1h";
    if (r->log_limit < LOG_LIMIT_MIN)
        return "--log-limit is at least 1MiB";
    return NULL;
}

/* A folder that is not there is told of later. */
static struct rc find_state_base(struct request *r, const char *source, struct err *err)
{
    struct err passed_over;

    if (rc_failed(ask_absolute(r->opts.output, &r->absolute, err)))
        return RC_OK;
    TRY(settings_state_base(&r->state_base, &passed_over, r->fs, r->file, r->absolute, err));
    if (settings_is_url(source)) /* else the source needs the configuration, and that is an error */
        settings_warn(COMMAND, &passed_over);
    r->opts.state_base = r->state_base;
    return RC_OK;
}

static int restore(struct request *r, const char *source)
{
    struct err err;
    struct stat st;
    struct rc rc;

    if (rc_failed(find_state_base(r, source, &err)))
        return cli_fail(COMMAND, &err);

    if (r->if_db_not_exists && r->fs->stat(r->fs, r->opts.output, &st) == 0)
        return report_skipped(r, "the database exists already");
    if (isatty(STDERR_FILENO) == 1) {
        r->opts.on_progress = on_progress;
        r->opts.ctx = r;
    }
    rc = session_run_with(r->fs, r->file, source, r->follow ? run_follow : run, r, &err);
    clear_progress(r);
    if (rc_failed(rc) && r->if_replica_exists && r->report.nothing_there)
        return report_skipped(r, err.msg);
    if (rc_failed(rc) && r->report.left[0] != 0) {
        int status = cli_fail(COMMAND, &err);

        cli_complain(COMMAND, "what was fetched is in %s: the same command goes on from there (or delete the file)",
            r->report.left);
        return status;
    }
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    if (r->follow)
        return 0;
    warn_of_owner(r);
    if (r->json)
        report_json(r);
    else
        report_text(r);
    return 0;
}

/* Options that cannot stand together or need another; what is wrong, or NULL. */
static const char *check_options(struct request *r)
{
    const char *wrong;

    if (r->opts.output == NULL)
        return "where to? -o FILE is missing";
    if (r->opts.keep_old && !r->opts.force && !r->opts.in_place)
        return "--keep-old needs --force or --in-place: without them nothing is replaced";
    wrong = moment_check(&r->moment, &r->opts);
    return wrong != NULL ? wrong : check_follow(r);
}

int cmd_restore(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs,
        .opts = {.verify = RESTORE_VERIFY_STATE},
        .interval_ms = INTERVAL_DEFAULT_MS,
        .log_limit = LOG_LIMIT_DEFAULT};
    bool no_state = false;
    const char *wrong;
    int status;
    const char *source = NULL;
    const struct cli_option options[] = {
        {'o', "output", "FILE", "the database file to make", cli_text, &r.opts.output, NULL},
        MOMENT_TXID_OPTION(&r.opts),
        {0, "timestamp", "TIME",
            "the last commit at or before this time, like 2026-11-21T02:01:21Z; a time before the first or after the "
            "last "
            "commit is refused",
            cli_time, &r.opts.time_ms, &r.opts.by_time},
        MOMENT_BEFORE_OPTION(&r.moment),
        {0, "timeline", "N", "the timeline to restore from (weir ls shows them); default: the newest", cli_timeline,
            &r.opts.timeline, NULL},
        {0, "force", NULL, "replace an existing file, once the restored state is proven; refused while it is in use",
            NULL, &r.opts.force, NULL},
        {0, "in-place", NULL,
            "the same, and fetch only what the existing file does not have: it may be older, newer or damaged", NULL,
            &r.opts.in_place, NULL},
        {0, "keep-old", NULL, "keep the file that is replaced (with --force or --in-place) beside it, as FILE.TIME",
            NULL, &r.opts.keep_old, NULL},
        {0, "if-db-not-exists", NULL, "do nothing, successfully, when the file exists", NULL, &r.if_db_not_exists,
            NULL},
        {0, "if-replica-exists", NULL, "do nothing, successfully, when there is no replica", NULL, &r.if_replica_exists,
            NULL},
        {0, "verify", "HOW",
            "none: compare the state checksum; state (default): and read every page back; quick, full: and let SQLite "
            "run quick_check or integrity_check",
            parse_verify, &r.opts.verify, NULL},
        {0, "dry-run", NULL, "only say what would be read", NULL, &r.opts.dry_run, NULL},
        {0, "parallel", "N", "requests and decoders side by side, 1 to 256; default: 16", parse_parallel,
            &r.opts.parallel, NULL},
        {0, "no-state", NULL,
            "do not write the local state beside the file; replication from it then begins by reading it", NULL,
            &no_state, NULL},
        {0, "follow", NULL,
            "go on: keep the file current, with others reading it all the time, until SIGTERM; a file that was "
            "followed "
            "before is gone on with",
            NULL, &r.follow, NULL},
        {0, "interval", "TIME", "with --follow: how often the replica is asked for more (default 1s)", cli_duration,
            &r.interval_ms, &r.by_interval},
        {0, "log-limit", "SIZE",
            "with --follow: nothing more is applied while readers keep the copy's log this long (default 1GiB)",
            cli_size, &r.log_limit, &r.by_log_limit},
        {0, "json", NULL, "print the result as one JSON object, with --follow and one more for each change", NULL,
            &r.json, NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE -o FILE [OPTION...]",
        .about = "Make a database file from a replica: SOURCE is a URL, or a database of the configuration.  The file "
                 "appears whole or not at all: it is built "
                 "beside its "
                 "place, proven by the state checksum, and renamed.  A restore that was interrupted goes on where it "
                 "was when the same command is given again.",
        .examples = "  weir restore file:///backup/app -o app.db\n"
                    "  weir restore file:///backup/app -o app.db --txid 1207\n"
                    "  weir restore file:///backup/app -o app.db --timestamp 2026-11-21T02:01:21Z --verify full\n"
                    "  weir restore file:///backup/app -o copy.db --follow\n"
                    "  weir restore file:///backup/app -o app.db --before 1207\n"
                    "  weir restore file:///backup/app -o app.db --in-place --keep-old\n",
        .options = options,
        .operands = &source,
        .operand_min = 1,
        .operand_max = 1,
    };

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    r.opts.with_state = !no_state;
    wrong = check_options(&r);
    if (wrong != NULL) {
        cli_complain(COMMAND, "%s", wrong);
        return rc_exit_status(E_CONFIG);
    }
    status = restore(&r, source);
    mem_free(r.state_base);
    mem_free(r.absolute);
    return status;
}
