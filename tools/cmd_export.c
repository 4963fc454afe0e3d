/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "cli.h"
#include "commands.h"
#include "moment.h"
#include "object_file.h"
#include "plain_url.h"
#include "progress.h"
#include "restore.h"
#include "scratch.h"
#include "session.h"
#include "settings.h"
#include "share.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "export"

struct request {
    const struct fsys *fs;
    const char *source, *dest, *file, *scratch_dir;
    bool json;
    struct moment moment;
    struct scratch *scratch; /* owned; for an object */
    struct progress progress;
    struct plain_url to; /* owned */
    struct restore_opts restore;
    struct restore_report report;
};

static struct object_file object_of(struct request *r, struct work *w, struct store *s)
{
    return (struct object_file){.work = w,
        .store = s,
        .fs = r->fs,
        .key = r->to.key,
        .path = r->restore.output,
        .on_progress = progress_show,
        .ctx = &r->progress};
}

/* Before much is restored for nothing; and for a store that cannot be reached or written. */
static struct rc look(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;
    struct object_file o = object_of(r, w, s);
    uint64_t size = 0;
    bool there = false;

    TRY(object_file_look(&o, &there, &size, err));
    if (there && !r->restore.force)
        return rc_raise(err, E_EXISTS, "%s exists already (%" PRIu64 " bytes): replace it with --force", r->dest, size);
    return RC_OK;
}

static struct rc restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;

    TRY(share_target(w, s, &r->restore, err));
    return restore_run(w, s, r->fs, &r->restore, &r->report, err);
}

static struct rc put(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;
    struct object_file o = object_of(r, w, s);

    return object_file_put(&o, r->restore.force, err);
}

static struct rc export_object(struct request *r, struct err *err)
{
    CLEANUP(mem_freep) char *path = NULL;

    TRY(session_run(r->fs, r->to.store, look, r, err));
    path = mem_printf("%s/export.db", scratch_path(r->scratch));
    r->restore.output = path;
    TRY(session_run_with(r->fs, r->file, r->source, restore, r, err));
    TRY(session_run(r->fs, r->to.store, put, r, err));
    return RC_OK;
}

static struct rc export(struct request *r, struct err *err)
{
    struct rc rc;

    TRY(plain_url_parse(r->dest, &r->to, err));
    r->restore.on_progress = progress_show;
    r->restore.ctx = &r->progress;
    if (r->to.path != NULL) {
        r->restore.output = r->to.path;
        return session_run_with(r->fs, r->file, r->source, restore, r, err);
    }
    TRY(scratch_open(&r->scratch, r->fs, r->scratch_dir, err));
    rc = export_object(r, err);
    progress_clear(&r->progress);
    if (!scratch_close(r->scratch))
        cli_complain(COMMAND, "warning: a scratch folder could not be removed");
    return rc;
}

static void print(const struct request *r)
{
    const struct restore_report *p = &r->report;
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE], checksum[17];

    (void)strx_format_time(p->time_ms, time);
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, p->checksum);
    if (r->json) {
        json_t *doc = json_pack("{s:s, s:I, s:I, s:s, s:I, s:s, s:I, s:I, s:s?}", "dest", r->dest, "timeline",
            (json_int_t)p->timeline, "txid", (json_int_t)p->txid, "time", time, "time_ms", (json_int_t)p->time_ms,
            "checksum", checksum, "page_size", (json_int_t)p->page_size, "page_count", (json_int_t)p->page_count,
            "warning", p->warning[0] != 0 ? p->warning : NULL);

        (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT); /* the stream is checked at the end */
        (void)printf("\n");
        json_decref(doc);
        return;
    }
    if (p->warning[0] != 0)
        cli_complain(COMMAND, "warning: %s", p->warning);
    (void)printf("exported txid %" PRIu64 " (%s) of timeline %" PRIu32 " to %s: %s\n", p->txid, time, p->timeline,
        r->dest, strx_format_size((uint64_t)p->page_size * p->page_count, size));
}

static int export_command(struct request *r)
{
    const char *wrong = moment_check(&r->moment, &r->restore);
    struct err err;
    struct rc rc;

    if (wrong != NULL) {
        cli_complain(COMMAND, "%s", wrong);
        return rc_exit_status(E_CONFIG);
    }
    rc = export(r, &err);
    progress_clear(&r->progress);
    plain_url_fini(&r->to);
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    print(r);
    return 0;
}

int cmd_export(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs, .restore = {.verify = RESTORE_VERIFY_STATE}};
    const char *operands[2] = {0};
    const struct cli_option options[] = {
        MOMENT_TXID_OPTION(&r.restore),
        MOMENT_TIME_OPTION(&r.restore),
        MOMENT_BEFORE_OPTION(&r.moment),
        {0, "timeline", "N", "the timeline to take it from; default: the newest", cli_timeline, &r.restore.timeline,
            NULL},
        {0, "force", NULL, "replace what is there", NULL, &r.restore.force, NULL},
        {0, "scratch", "DIR", "for an object: where the file is made first; default: $TMPDIR, or /tmp", cli_text,
            &r.scratch_dir, NULL},
        {0, "json", NULL, "print the result as one JSON object", NULL, &r.json, NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "SOURCE DEST [OPTION...]",
        .about =
            "Write a state as a plain database file, for tools that expect one.  SOURCE is the URL of a replica, or a "
            "database of the configuration; DEST a local path, file:///path, or an object by its own URL, "
            "s3://bucket/folder/app.db?options.\n\n"
            "It appears whole or not at all, and proven by the state checksum.  A local file is made like that of "
            "weir restore, but without the local state that lets weir replicate go on from it.  An object is made in a "
            "scratch file first and uploaded in parts.",
        .examples = "  weir export file:///backup/app /tmp/app.db\n"
                    "  weir export s3://bucket/weir/app s3://bucket/databases/app.db --force\n"
                    "  weir export file:///backup/app s3://bucket/yesterday.db --timestamp 2026-11-20T23:59:59Z\n",
        .options = options,
        .operands = operands,
        .operand_min = 2,
        .operand_max = 2,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    r.source = operands[0];
    r.dest = operands[1];
    return export_command(&r);
}
