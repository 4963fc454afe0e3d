/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "local_state.h"
#include "settings.h"
#include "strx.h"
#include "until_signal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "status"

enum {
    ANSWER_MS = 10000, /* a daemon that does not answer a status call for so long is not well, and that is the news */
    WATCH_MS = 1000,
};

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "-";
}

/* What makes it an error is in the error already. */
static void print_drill(const json_t *drill)
{
    if (!json_is_object(drill))
        return;
    if (json_is_string(json_object_get(drill, "verified_time")))
        (void)printf("  verified   txid %" PRIu64 " was restored and is whole, at %s\n", number(drill, "txid"),
            text(drill, "verified_time"));
    if (json_is_string(json_object_get(drill, "skipped")))
        (void)printf("  drill      skipped: %s\n", text(drill, "skipped"));
    else if (json_is_string(json_object_get(drill, "error")))
        (void)printf("  drill      could not be carried out: %s\n", text(drill, "error"));
    else if (json_is_true(json_object_get(drill, "overdue")))
        (void)printf("  drill      overdue: none went well for two intervals\n");
}

/* What makes it an error is in the error already. */
static void print_scrub(const json_t *scrub)
{
    if (!json_is_object(scrub))
        return;
    if (number(scrub, "damaged") > 0)
        (void)printf("  scrub      %" PRIu64 " pages of the file are damaged\n", number(scrub, "damaged"));
    else if (json_is_string(json_object_get(scrub, "pass_time")))
        (void)printf("  scrub      all %" PRIu64 " pages of the file were what was committed, at %s\n",
            number(scrub, "pass_pages"), text(scrub, "pass_time"));
    if (json_is_string(json_object_get(scrub, "error")))
        (void)printf("  scrub      could not be carried out: %s\n", text(scrub, "error"));
}

/* Nothing where it is not known, or not yet. */
static void print_price(const json_t *price)
{
    const json_t *requests = json_object_get(price, "requests"), *total = json_object_get(price, "total");
    const char *currency = json_string_value(json_object_get(price, "currency"));

    if (!json_is_real(requests))
        return;
    (void)printf("  price      about %.2f%s%s a month%s", json_real_value(json_is_real(total) ? total : requests),
        currency != NULL ? " " : "", currency != NULL ? currency : "", json_is_real(total) ? "" : " for requests");
    if (json_is_real(total))
        (void)printf(": %.2f for requests, %.2f for storage", json_real_value(requests),
            json_real_value(json_object_get(price, "storage")));
    (void)printf("\n");
}

static void print_database(const json_t *db)
{
    const json_t *lag = json_object_get(db, "lag"), *log = json_object_get(db, "log"),
                 *error = json_object_get(db, "error"), *triggers = json_object_get(db, "triggers");
    char size[STRX_HUMAN_SIZE];

    (void)printf("%s -> %s\n", text(db, "path"), text(db, "url"));
    (void)printf("  state      %s%s\n", text(db, "state"),
        json_is_true(json_object_get(db, "parked")) ? " (parked: quiet, and watched by file events)" : "");
    (void)printf("  timeline   %" PRIu64 "\n", number(db, "timeline"));
    (void)printf("  local      txid %" PRIu64 " of %s\n", number(db, "txid"), text(db, "time"));
    (void)printf("  shipped    txid %" PRIu64 " of %s\n", number(db, "shipped_txid"), text(db, "shipped_time"));
    (void)printf("  lag        %" PRIu64 " commits, %.1f s\n", number(lag, "commits"),
        json_real_value(json_object_get(lag, "seconds")));
    if (json_is_object(triggers))
        (void)printf("  triggers   interval %s, commits %s%s\n", text(triggers, "interval"), text(triggers, "commits"),
            json_is_true(json_object_get(triggers, "changed"))
                ? " (by 'weir sync', until the configuration is loaded again)"
                : "");
    if (log != NULL)
        (void)printf("  log        %s%s%s\n", strx_format_size(number(log, "bytes"), size),
            json_is_string(json_object_get(log, "reset_obstacle")) ? ", cannot be started over: " : "",
            json_is_string(json_object_get(log, "reset_obstacle")) ? text(log, "reset_obstacle") : "");
    if (json_is_integer(json_object_get(db, "snapshot_txid")))
        (void)printf("  snapshot   txid %" PRIu64 " of %s\n", number(db, "snapshot_txid"), text(db, "snapshot_time"));
    if (json_is_integer(json_object_get(db, "merge_txid")))
        (void)printf("  merge      txid %" PRIu64 " of %s\n", number(db, "merge_txid"), text(db, "merge_time"));
    print_drill(json_object_get(db, "drill"));
    print_scrub(json_object_get(db, "scrub"));
    print_price(json_object_get(db, "price"));
    if (number(db, "resyncs") > 0)
        (void)printf(
            "  gaps       %" PRIu64 " in this run: commits that cannot be told apart\n", number(db, "resyncs"));
    if (json_is_object(error))
        (void)printf("  error      %s\n", text(error, "message"));
}

/* Anything that an operator should look at makes the exit status 1; what that is the daemon knows. */
static int judge(const json_t *db)
{
    if (strcmp(text(db, "state"), "fenced") == 0)
        return rc_exit_status(E_FENCED);
    return json_is_true(json_object_get(db, "ready")) ? 0 : 1;
}

static int worse(int a, int b)
{
    return a > b ? a : b; /* 0, 1, and 5 for fenced */
}

/* --- without a daemon --------------------------------------------------------------------------------------------- */

/* What the local state says, which is the past. */
static json_t *stopped_object(const struct fsys *fs, const char *path, const char *state_base, const char *why)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(path, state_base);
    struct local_state_content content;
    enum local_state_found found;
    struct err err;
    char when[STRX_TIME_SIZE];
    json_t *o = json_pack("{s:s, s:s, s:s}", "path", path, "state", "not running", "message", why);

    if (!rc_failed(local_state_peek(fs, dir, &content, &found, &err)) && found == LOCAL_STATE_GOOD
        && content.pos.txid > 0)
        (void)json_object_update_new(o, json_pack("{s:I, s:s, s:I}", "shipped_txid", (json_int_t)content.pos.txid,
                                            "shipped_time", strx_format_time(content.pos.time_ms, when), "timeline",
                                            (json_int_t)content.pos.timeline)); /* fails only without memory */
    return o;
}

static void print_stopped(const json_t *o)
{
    (void)printf("%s\n  state      not running (%s)\n", text(o, "path"), text(o, "message"));
    if (json_object_get(o, "shipped_txid") != NULL)
        (void)printf("  shipped    txid %" PRIu64 " of %s, when weir ran last\n", number(o, "shipped_txid"),
            text(o, "shipped_time"));
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

struct request {
    const struct fsys *fs;
    const char *file;       /* -c */
    char *path;             /* owned; NULL: all of the configuration */
    char *state_base;       /* owned: of its local state; NULL: beside it */
    struct err passed_over; /* why a configuration that nobody named was of no use, or E_OK */
    struct config *config;  /* owned; NULL: not needed */
    bool json, watch;
};

static void request_fini(struct request *r)
{
    mem_free(r->path);
    mem_free(r->state_base);
    config_free(r->config);
}

static struct rc load_config(struct request *r, struct err *err)
{
    const char *relative;

    if (r->path != NULL)
        TRY(settings_state_base(&r->state_base, &r->passed_over, r->fs, r->file, r->path, err));
    if (r->passed_over.code != E_OK)
        return RC_OK; /* what its local state knows has to do */
    TRY(settings_load(&r->config,
        (struct config_request){.fs = r->fs, .file = r->file, .any_count = r->path != NULL, .no_options = true}, err));
    if (r->path == NULL || r->file != NULL || config_find_path(r->config, r->path, &relative) != NULL)
        return RC_OK;
    config_free(r->config); /* the configuration of other databases */
    r->config = NULL;
    return RC_OK;
}

/* Whoever replicates one of the configuration's databases: one that failed lies still, or its local state cannot be
 * read, but its daemon may be there for the others. */
static struct rc ask_any(const struct request *r, const struct http_ask *what, json_t **answer, struct err *err)
{
    const struct config *c = r->config;
    struct rc rc = rc_raise(err, E_CANCELED, "no weir process replicates it");

    for (size_t i = 0; i < c->db_count; i++) {
        struct err one;
        struct rc found;

        if (c->dbs[i].path != NULL)
            found = ask_daemon(r->fs, c->dbs[i].path, c->dbs[i].state_dir, what, answer, &one);
        else
            found = ask_folder(r->fs, c->dbs[i].dir, c->dbs[i].state_dir, what, answer, &one);
        if (!rc_failed(found))
            return found;
        if (rc.code == E_CANCELED && found.code != E_CANCELED) {
            *err = one;
            rc = found;
        }
        if (found.code == E_TIMEOUT)
            break; /* the others would wait for the same one */
    }
    return rc;
}

/* E_CANCELED: no daemon runs. */
static struct rc ask(const struct request *r, json_t **answer, struct err *err)
{
    const struct http_ask what = {.page = "status", .path = r->path, .timeout_ms = ANSWER_MS};
    const struct config *c = r->config;
    struct rc rc;

    if (r->file != NULL && c->socket != NULL)
        return ask_socket(c->socket, &what, answer, err);
    if (r->path != NULL) {
        rc = ask_daemon(r->fs, r->path, r->state_base, &what, answer, err);
        if (rc.code != E_CANCELED || c == NULL)
            return rc;
    }
    if (c->socket != NULL)
        return ask_socket(c->socket, &what, answer, err);
    return ask_any(r, &what, answer, err);
}

/* --- showing ------------------------------------------------------------------------------------------------------ */

static bool is_in(const json_t *list, const char *path)
{
    size_t i;
    const json_t *db;

    json_array_foreach(list, i, db) if (strcmp(text(db, "path"), path) == 0) return true;
    return false;
}

static bool is_folder_in(const json_t *answer, const struct config_db *db)
{
    const json_t *folders = json_object_get(answer, "folders");
    size_t i;
    const json_t *f;

    json_array_foreach(folders, i,
        f) if (strcmp(text(f, "dir"), db->dir) == 0 && strcmp(text(f, "pattern"), db->pattern) == 0) return true;
    return false;
}

/* What was asked for, but no daemon replicates. */
static void add_stopped(const struct request *r, const json_t *answer, const char *why)
{
    json_t *list = json_object_get(answer, "databases");

    if (r->path != NULL && !is_in(list, r->path))
        (void)json_array_append_new(
            list, stopped_object(r->fs, r->path, r->state_base, why)); /* fails only without memory */
    if (r->path != NULL)
        return;
    for (size_t i = 0; i < r->config->db_count; i++) {
        const struct config_db *db = &r->config->dbs[i];
        const char *path = db->path != NULL ? db->path : db->dir;

        if (db->path != NULL ? !is_in(list, path) : !is_folder_in(answer, db))
            (void)json_array_append_new(
                list, stopped_object(r->fs, path, db->state_dir, why)); /* fails only without memory */
    }
}

static int show_configuration(const json_t *answer, bool json)
{
    const json_t *configuration = json_object_get(answer, "configuration");
    const json_t *error = json_object_get(configuration, "error");

    if (!json_is_object(error))
        return 0;
    if (!json)
        (void)printf("configuration %s\n  loaded     %s\n  error      at %s, the old one stays in force: %s\n",
            text(configuration, "file"), text(configuration, "loaded"), text(error, "time"), text(error, "message"));
    return 1;
}

/* A folder that cannot be searched is as bad as a database that cannot be read. */
static int show_folders(const json_t *answer, bool json)
{
    const json_t *folders = json_object_get(answer, "folders"), *f;
    int status = 0;
    size_t i;

    json_array_foreach(folders, i, f)
    {
        if (!json)
            (void)printf("folder %s\n  databases  %" PRIu64 ", %" PRIu64 " open, %" PRIu64 " parked, %" PRIu64
                         " failed\n",
                text(f, "dir"), number(f, "databases"), number(f, "open"), number(f, "parked"), number(f, "failed"));
        if (json_is_null(json_object_get(f, "error")))
            continue;
        if (!json)
            (void)printf("  error      %s\n", text(f, "error"));
        status = 1;
    }
    return status;
}

static int show(const struct request *r, json_t *answer)
{
    json_t *list = json_object_get(answer, "databases"), *db;
    int status;
    size_t i;

    if (r->json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2)); /* the stream is checked at the end */
        (void)printf("\n");
    }
    status = show_configuration(answer, r->json);
    if (r->path == NULL)
        status = worse(status, show_folders(answer, r->json));
    json_array_foreach(list, i, db)
    {
        if (r->path != NULL && strcmp(text(db, "path"), r->path) != 0)
            continue;
        if (!r->json && strcmp(text(db, "state"), "not running") == 0)
            print_stopped(db);
        else if (!r->json)
            print_database(db);
        status = worse(status, judge(db));
    }
    return status;
}

static int look(const struct request *r)
{
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct err err;
    struct rc rc = ask(r, &answer, &err);

    if (rc.code == E_CANCELED)
        rc = settings_doubt(&r->passed_over, &err);
    else
        settings_warn(COMMAND, &r->passed_over);
    if (rc.code == E_CANCELED) {
        answer = json_pack("{s:[]}", "databases");
        add_stopped(r, answer, err.msg);
        return show(r, answer);
    }
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    add_stopped(r, answer, "the weir process that answers does not replicate it");
    return show(r, answer);
}

/* Once a second, until a signal; on a terminal always at its top.  What cannot be asked at the moment is said and asked
 * again. */
static int watch(const struct request *r)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    int status;

    until_signal_begin(1); /* cut short in the midst of a question: nobody knows */
    for (;;) {
        if (terminal)
            (void)fputs("\033[H\033[2J", stdout); /* ECMA-48: cursor home, erase the display */
        status = look(r);
        if (fflush(stdout) != 0 || until_signal_wait(WATCH_MS))
            return status;
        if (!terminal)
            (void)putchar('\n');
    }
}

/* Somebody has spoiled the file, and a daemon goes on with what it had: then this is the wrong moment to tell nothing.
 */
static int no_config(const struct request *r, const struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;
    int status = cli_fail(COMMAND, err);
    struct err again;

    if (r->path == NULL
        && rc_failed(settings_load(
            &c, (struct config_request){.fs = r->fs, .file = r->file, .any_count = true, .no_options = true}, &again)))
        cli_complain(COMMAND, "a daemon that runs goes on with the settings it has: 'weir status DB' asks it");
    return status;
}

static int run(struct request *r, const char *operand)
{
    struct err err;

    if (operand != NULL && rc_failed(ask_absolute(operand, &r->path, &err)))
        return cli_fail(COMMAND, &err);
    if (rc_failed(load_config(r, &err)))
        return no_config(r, &err);
    return r->watch ? watch(r) : look(r);
}

int cmd_status(int argc, char **argv, const struct fsys *fs)
{
    const char *operands[1] = {0};
    CLEANUP(request_fini) struct request r = {.fs = fs};
    const struct cli_option options[] = {
        SETTINGS_OPTION(&r.file),
        {0, "json", NULL, "print the status document (docs/status.md)", NULL, &r.json, NULL},
        {0, "watch", NULL, "print it anew every second, until SIGTERM or SIGINT", NULL, &r.watch, NULL},
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[DB] [--watch]",
        .about =
            "Are the backups alive, and how far behind are they?  Of one database, or of all in the "
            "configuration.\n"
            "\n"
            "Exit status 0: they are replicated and nothing is wrong; 1: no daemon runs, or something is wrong; 2: the "
            "configuration cannot be used, and it may be what says where the daemon is; 5: another writer owns a "
            "replica.",
        .examples = "  weir status\n"
                    "  weir status /var/lib/app/app.db --watch\n"
                    "  weir status -c weir.yml --json\n",
        .options = options,
        .operands = operands,
        .operand_min = 0,
        .operand_max = 1,
    };
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    return run(&r, operands[0]);
}
