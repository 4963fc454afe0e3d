/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "check_print.h"
#include "cli.h"
#include "commands.h"
#include "config_daemon.h"
#include "config_replica.h"
#include "folder_match.h"
#include "folder_scan.h"
#include "session.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND "check"

enum { OF_FOLDER_MAX = 20, TARGETS_MAX = CONFIG_DBS_MAX * OF_FOLDER_MAX };
#define RATE_MAX 1e6

/* Where nobody knows: a busy small application, and what its commits were measured to take (docs/benchmarks.md). */
#define ASSUMED_COMMITS_PER_S    1.0
#define ASSUMED_BYTES_PER_COMMIT 500.0

struct request {
    const struct fsys *fs;
    const char *file, *price;
    const char *operands[3];
    char *path; /* owned; of the database that was named */
    bool json;
    double commits_per_s;
    uint64_t bytes_per_commit;
    bool commits_given, bytes_given;

    struct config *config;        /* owned */
    struct check_target *targets; /* owned */
    size_t count, room;
};

static struct rc take_rate(const char *text, void *target, struct err *err)
{
    return price_number(text, RATE_MAX, target, err);
}

static struct rc take_price(const char *text, void *target, struct err *err)
{
    struct price ignored = {0};

    TRY(price_override(&ignored, text, err));
    return cli_text(text, target, err);
}

/* --- what is to be checked ---------------------------------------------------------------------------------------- */

static struct rc load(struct request *r, struct err *err)
{
    struct config_request request = {.fs = r->fs, .file = r->file, .any_count = r->operands[0] != NULL};

    if (r->operands[0] != NULL) {
        TRY(ask_absolute(r->operands[0], &r->path, err));
        r->operands[0] = r->path;
    }
    if (r->operands[1] != NULL) {
        request.operands = r->operands;
        request.operand_count = 2;
    }
    TRY(settings_load(&r->config, request, err));
    return config_daemon_check(r->config, r->fs, err);
}

/* Takes `path`. */
static struct rc add_target(
    struct request *r, const struct config_db *db, char *path, const char *relative, struct err *err)
{
    struct check_target *t;

    if (r->count == TARGETS_MAX) {
        mem_free(path);
        return rc_raise(err, E_CONFIG, "more than %d databases: name one", TARGETS_MAX);
    }
    if (!mem_grow(&r->targets, r->count, &r->room, sizeof *r->targets)) {
        mem_free(path);
        return rc_raise(err, E_NOMEM, "a list of %zu databases", r->count + 1);
    }
    t = &r->targets[r->count++];
    *t = (struct check_target){.db = db, .path = path};
    TRY(config_replica_url(db, relative, &t->url, err));
    t->shown_url = config_replica_redact(t->url);
    return RC_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first ones of a folder: what is wrong with its replica is wrong with all of them. */
static struct rc add_folder(struct request *r, const struct config_db *db, struct err *err)
{
    struct folder_scan scan = {.fs = r->fs, .dir = db->dir, .pattern = db->pattern, .recursive = db->recursive};
    struct err unread;
    struct rc read = folder_scan_run(&scan, &unread), rc = RC_OK;
    size_t first = r->count;

    if (!rc_failed(read) && scan.file_count > 0)
        qsort(scan.files, scan.file_count, sizeof *scan.files, by_name);
    for (size_t i = 0; i < scan.file_count && i < OF_FOLDER_MAX && !rc_failed(rc); i++) {
        const char *inside = folder_match_inside(db->dir, db->pattern, db->recursive, scan.files[i]);

        rc = add_target(r, db, mem_strdup(scan.files[i]), inside != NULL ? inside : scan.files[i], err);
    }
    if (!rc_failed(rc) && r->count == first)
        rc = add_target(r, db, mem_printf("%s/example.db", db->dir), "example.db", err);
    if (!rc_failed(rc) && rc_failed(read)) /* the others are looked at all the same */
        check_report_add(
            &r->targets[first].report, "dir", CHECK_FAILED, "%s; weir waits until it can be read", unread.msg);
    else if (!rc_failed(rc))
        check_report_add(&r->targets[first].report, "dir", scan.skipped_count > 0 ? CHECK_WARNING : CHECK_OK,
            "%s: %zu databases now, of which the first %zu are looked at%s%s", db->dir, scan.file_count,
            scan.file_count == 0 ? (size_t)0 : r->count - first, scan.skipped_count > 0 ? "; " : "",
            scan.skipped_count > 0 ? scan.skipped.msg : "");
    folder_scan_fini(&scan);
    return rc;
}

static struct rc find_targets(struct request *r, struct err *err)
{
    const struct config *c = r->config;
    const struct config_db *named;
    const char *relative;

    if (r->path != NULL) {
        named = config_find_path(c, r->path, &relative);
        if (named == NULL)
            return rc_raise(err, E_CONFIG, "%s is not a database of %s; to check it all the same name its URL, too",
                r->path, c->file != NULL ? c->file : "the environment");
        return add_target(r, named, mem_strdup(r->path), relative, err);
    }
    for (size_t i = 0; i < c->db_count; i++)
        TRY(c->dbs[i].path != NULL ? add_target(r, &c->dbs[i], mem_strdup(c->dbs[i].path), NULL, err)
                                   : add_folder(r, &c->dbs[i], err));
    return RC_OK;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct check_target *t = ctx;

    return check_store_run(&t->store, w, s, err);
}

static struct rc estimate(const struct request *r, struct check_target *t, struct err *err)
{
    struct price_load *load = &t->load;
    bool measured = t->store.load.commits_per_s > 0;

    *load = t->store.load;
    if (!measured) {
        load->commits_per_s = ASSUMED_COMMITS_PER_S;
        load->bytes_per_commit = ASSUMED_BYTES_PER_COMMIT;
    }
    if (load->snapshot_bytes <= 0)
        load->snapshot_bytes = (double)t->file.bytes;
    t->load_from = measured ? "measured" : "assumed";
    if (r->commits_given || r->bytes_given) {
        t->load_from = "given";
        t->store.measured_s = 0;
    }
    load->commits_per_s = r->commits_given ? r->commits_per_s : load->commits_per_s;
    load->bytes_per_commit = r->bytes_given ? (double)r->bytes_per_commit : load->bytes_per_commit;
    t->price = price_of(t->store.provider);
    if (t->db->price != NULL)
        TRY(price_override(&t->price, t->db->price, err));
    if (r->price != NULL)
        TRY(price_override(&t->price, r->price, err));
    t->estimate = price_predict(t->db, load, &t->price);
    t->estimated = true;
    return RC_OK;
}

static struct rc check(const struct request *r, struct check_target *t, struct err *err)
{
    struct store_option *options = config_replica_options(t->db);
    const struct session_place place = {t->url, options, t->db->option_count};
    struct rc rc;

    check_file_run(&t->file, &t->report, r->fs, t->db, t->path, "/proc");
    t->store = (struct check_store){
        .report = &t->report, .db = t->db, .fs = r->fs, .found = t->file.found, .local = &t->file.local};
    rc = session_run_at(r->fs, &place, run, t, err);
    mem_free(options);
    TRY(rc);
    return t->store.reached ? estimate(r, t, err) : RC_OK;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int conclude(const struct request *r, struct rc rc, const struct err *err)
{
    struct check_print p = {.targets = r->targets, .target_count = r->count, .config = r->config};

    p.file = r->config != NULL ? r->config->file : settings_file(r->file, r->operands[1] != NULL);
    if (rc_failed(rc)) {
        p.error = err->msg;
        p.target_count = 0;
        if (r->json)
            check_print_json(&p);
        return cli_fail(COMMAND, err);
    }
    for (size_t i = 0; i < r->count; i++) {
        p.failed += check_report_count(&r->targets[i].report, CHECK_FAILED);
        p.warnings += check_report_count(&r->targets[i].report, CHECK_WARNING);
    }
    if (r->json)
        check_print_json(&p);
    else
        check_print_text(&p);
    if (p.failed > 0)
        cli_complain(COMMAND, "%zu test%s failed", p.failed, p.failed == 1 ? "" : "s");
    return p.failed > 0 ? rc_exit_status(E_IO) : 0;
}

static int check_command(struct request *r)
{
    struct err err;
    struct rc rc = load(r, &err);
    int status;

    if (!rc_failed(rc))
        rc = find_targets(r, &err);
    for (size_t i = 0; i < r->count && !rc_failed(rc); i++)
        rc = check(r, &r->targets[i], &err);
    status = conclude(r, rc, &err);
    for (size_t i = 0; i < r->count; i++) {
        check_report_fini(&r->targets[i].report);
        mem_free(r->targets[i].path);
        mem_free(r->targets[i].url);
        mem_free(r->targets[i].shown_url);
    }
    mem_free(r->targets);
    config_free(r->config);
    mem_free(r->path);
    return status;
}

int cmd_check(int argc, char **argv, const struct fsys *fs)
{
    struct request r = {.fs = fs};
    const struct cli_option options[] = {
        SETTINGS_OPTION(&r.file),
        {0, "commits-per-second", "N",
            "predict requests and price for this load; default: what the replica's last week shows, or 1", take_rate,
            &r.commits_per_s, &r.commits_given},
        {0, "bytes-per-commit", "SIZE", "likewise: what a commit takes in the replica's log (deltas, compressed)",
            cli_size, &r.bytes_per_commit, &r.bytes_given},
        {0, "price", "PRICES",
            "instead of the provider's list prices: put=0.005,get=0.0004,list=0.005,gb-month=0.023, the first three "
            "for "
            "1,000 requests",
            take_price, &r.price, NULL},
        {0, "json", NULL, "print one JSON object (docs/check.md)", NULL, &r.json, NULL},
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[-c FILE] [DB [URL]] [OPTION...]",
        .about =
            "Try what replication needs, before it is needed: the configuration; each database; the credentials; each "
            "right on the replica, by a request that needs it; whether a second creation of an object fails; the "
            "clock; a scratch object that is written, read back and deleted.  Then predict requests and price of a "
            "month, as an estimate.  Each failing test says what, where, and what to do.\n"
            "\n"
            "Databases are those of the configuration, one of them (DB), or one that is named with its URL.  Nothing "
            "is changed, in the replica nothing but the scratch objects, and a running daemon is not disturbed.\n"
            "\n"
            "Exit status 0: all good; 1: something failed; 2: the configuration cannot be used.",
        .examples = "  weir check\n"
                    "  weir check -c weir.yml --json | jq '.databases[].tests[] | select(.result == \"failed\")'\n"
                    "  weir check /var/lib/app/app.db s3://backups/app --commits-per-second 20\n",
        .options = options,
        .operands = r.operands,
        .operand_min = 0,
        .operand_max = 2,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return check_command(&r);
}
