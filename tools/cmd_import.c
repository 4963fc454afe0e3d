/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "import.h"
#include "object_file.h"
#include "plain_url.h"
#include "progress.h"
#include "scratch.h"
#include "session.h"
#include "settings.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define COMMAND "import"

struct request {
    const struct fsys *fs;
    const char *source, *url, *file, *scratch_dir;
    bool next, verify, json;
    struct scratch *scratch; /* owned */
    struct progress progress;
    struct plain_url from; /* owned */
    struct plain_db *db;   /* owned */
    struct import_report report;
};

/* --- an object as the source ---------------------------------------------------------------------------------------
 */

static struct rc check_target(void *ctx, struct work *w, struct store *s, struct err *err)
{
    const struct request *r = ctx;

    return import_check(w, s, r->next, err);
}

/* The database, and what lies beside it and belongs to it. */
static struct rc download(void *ctx, struct work *w, struct store *s, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    struct request *r = ctx;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        CLEANUP(mem_freep) char *key = mem_printf("%s%s", r->from.key, suffixes[i]);
        CLEANUP(mem_freep) char *path = mem_printf("%s/object.db%s", scratch_path(r->scratch), suffixes[i]);
        struct object_file o = {.work = w,
            .store = s,
            .fs = r->fs,
            .key = key,
            .path = path,
            .on_progress = progress_show,
            .ctx = &r->progress};
        bool there = true;
        uint64_t size;

        if (i > 0)
            TRY(object_file_look(&o, &there, &size, err));
        if (there)
            TRY(object_file_get(&o, err));
    }
    return RC_OK;
}

/* "No such backup" is said of histories; a file or an object that is named and is not there is a wrong name. */
static struct rc wrong_name(struct rc rc, struct err *err)
{
    return rc.code == E_NOTFOUND ? rc_raise(err, E_CONFIG, "%s", err->msg) : rc;
}

/* The local path to read. */
static struct rc fetch(struct request *r, char **path, struct err *err)
{
    TRY(plain_url_parse(r->source, &r->from, err));
    if (r->from.path != NULL) {
        *path = mem_strdup(r->from.path);
        return RC_OK;
    }
    /* Before much is downloaded for nothing. */
    TRY(session_run_with(r->fs, r->file, r->url, check_target, r, err));
    TRY(wrong_name(session_run(r->fs, r->from.store, download, r, err), err));
    *path = mem_printf("%s/object.db", scratch_path(r->scratch));
    return RC_OK;
}

/* --- the work ------------------------------------------------------------------------------------------------------
 */

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct request *r = ctx;
    struct import_opts opts = {
        .clock = &clock_real,
        .source = r->db,
        .name = r->source,
        .next = r->next,
        .on_progress = progress_show,
        .ctx = &r->progress,
    };

    return import_run(w, s, &opts, &r->report, err);
}

static struct rc import(struct request *r, struct err *err)
{
    CLEANUP(mem_freep) char *path = NULL;

    TRY(fetch(r, &path, err));
    TRY(wrong_name(plain_db_open(&r->db, r->fs, path, scratch_path(r->scratch), err), err));
    if (r->verify)
        TRY(plain_db_check(r->db, err));
    return session_run_with(r->fs, r->file, r->url, run, r, err);
}

static void print(const struct request *r, bool had_log, uint64_t duration_ms)
{
    const struct import_report *p = &r->report;
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE], stored[STRX_HUMAN_SIZE], took[STRX_HUMAN_SIZE], checksum[17];

    (void)strx_format_time(p->time_ms, time);
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, p->checksum);
    if (r->json) {
        json_t *doc = json_pack("{s:s, s:s, s:b, s:I, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:s?}", "source",
            r->source, "url", r->url, "log_applied", had_log, "timeline", (json_int_t)p->timeline, "txid",
            (json_int_t)p->txid, "time", time, "time_ms", (json_int_t)p->time_ms, "checksum", checksum, "page_size",
            (json_int_t)p->page_size, "page_count", (json_int_t)p->page_count, "stored_bytes",
            (json_int_t)p->stored_bytes, "duration_ms", (json_int_t)duration_ms, "warning",
            p->warning[0] != 0 ? p->warning : NULL);

        (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT); /* the stream is checked at the end */
        (void)printf("\n");
        json_decref(doc);
        return;
    }
    if (p->warning[0] != 0)
        cli_complain(COMMAND, "warning: %s", p->warning);
    (void)printf("imported %s (%s%s) as txid %" PRIu64 " of timeline %" PRIu32 ": %s stored, in %s\n", r->source,
        strx_format_size((uint64_t)p->page_size * p->page_count, size), had_log ? ", with the log beside it" : "",
        p->txid, p->timeline, strx_format_size(p->stored_bytes, stored), strx_format_duration(duration_ms, took));
}

static int import_command(struct request *r)
{
    uint64_t begin_ms = clock_mono_ms(&clock_real);
    bool had_log = false;
    struct err err;
    struct rc rc = scratch_open(&r->scratch, r->fs, r->scratch_dir, &err);

    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    rc = import(r, &err);
    if (r->db != NULL)
        had_log = plain_db_had_log(r->db);
    plain_db_close(r->db);
    plain_url_fini(&r->from);
    progress_clear(&r->progress);
    if (!scratch_close(r->scratch))
        cli_complain(COMMAND, "warning: a scratch folder could not be removed");
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    print(r, had_log, clock_mono_ms(&clock_real) - begin_ms);
    return 0;
}

int cmd_import(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs};
    const char *operands[2] = {0};
    const struct cli_option options[] = {
        {0, "next", NULL,
            "there is a history already, and this file is its next state: whoever writes it is fenced, what was before "
            "stays restorable",
            NULL, &r.next, NULL},
        {0, "verify", NULL, "let SQLite run quick_check first", NULL, &r.verify, NULL},
        {0, "scratch", "DIR", "where a copy goes, if one is needed; default: $TMPDIR, or /tmp", cli_text,
            &r.scratch_dir, NULL},
        {0, "json", NULL, "print the result as one JSON object", NULL, &r.json, NULL},
        SETTINGS_OPTION(&r.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "FILE URL [OPTION...]",
        .about =
            "Make a plain database file the first state of a new history at URL, or with --next the next state of the "
            "one that is there.  FILE is a local path, file:///path, or an object by its own URL, "
            "s3://bucket/folder/app.db?options.  URL may be a database of the configuration.\n\n"
            "The file may be in use.  It is not changed; a log beside it (-wal) is applied to a copy.",
        .examples = "  weir import app.db file:///backup/app\n"
                    "  weir import s3://bucket/databases/app.db s3://bucket/weir/app --verify\n"
                    "  weir import repaired.db file:///backup/app --next\n",
        .options = options,
        .operands = operands,
        .operand_min = 2,
        .operand_max = 2,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    r.source = operands[0];
    r.url = operands[1];
    return import_command(&r);
}
