/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "local_state.h"
#include "settings.h"
#include "status_print.h"
#include "strx.h"
#include "until_signal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "status"

enum {
    ANSWER_MS = 10000, /* a daemon that does not answer a status call for so long is not well, and that is the news */
    WATCH_MS = 1000,
};

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "-";
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

/* --- asking ------------------------------------------------------------------------------------------------------- */

struct request {
    const struct fsys *fs;
    const char *file;       /* -c */
    char *path;             /* owned; NULL: all of the configuration */
    char *state_base;       /* owned: of its local state; NULL: beside it */
    struct err passed_over; /* why a configuration that nobody named was of no use, or E_OK */
    struct config *config;  /* owned; NULL: not needed */
    bool is_folder;         /* what `path` is: all that is below it */
    bool json, watch;
};

static void request_fini(struct request *r)
{
    mem_free(r->path);
    mem_free(r->state_base);
    config_free(r->config);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    if (strncmp(path, folder, n) != 0)
        return false;
    return path[n] == 0 || path[n] == '/' || folder[n - 1] == '/';
}

/* Is it an entry of what was asked for? */
static bool concerns(const struct request *r, const struct config_db *db)
{
    return r->path == NULL || (r->is_folder && is_below(db->path != NULL ? db->path : db->dir, r->path));
}

static bool knows_it(const struct request *r)
{
    const char *relative;

    for (size_t i = 0; i < r->config->db_count; i++)
        if (concerns(r, &r->config->dbs[i]))
            return true;
    return r->path == NULL || config_find_path(r->config, r->path, &relative) != NULL;
}

static struct rc load_config(struct request *r, struct err *err)
{

    if (r->path != NULL)
        TRY(settings_state_base(&r->state_base, &r->passed_over, r->fs, r->file, r->path, err));
    if (r->passed_over.code != E_OK)
        return RC_OK; /* what its local state knows has to do */
    TRY(settings_load(&r->config,
        (struct config_request){.fs = r->fs, .file = r->file, .any_count = r->path != NULL, .no_options = true}, err));
    if (r->file != NULL || knows_it(r))
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
    const struct http_ask what = {.page = "status", .path = r->is_folder ? NULL : r->path, .timeout_ms = ANSWER_MS};
    const struct config *c = r->config;
    struct rc rc;

    if (r->file != NULL && c->socket != NULL)
        return ask_socket(c->socket, &what, answer, err);
    if (r->path != NULL) {
        rc = r->is_folder ? ask_folder_of(r->fs, r->path, r->state_base, &what, answer, err)
                          : ask_daemon(r->fs, r->path, r->state_base, &what, answer, err);
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

static void keep_below(json_t *list, const char *key, const char *folder)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (!is_below(text(json_array_get(list, i), key), folder))
            (void)json_array_remove(list, i); /* it is there */
}

/* Of a daemon's answer for a folder, what is below it. */
static void keep_folder(const struct request *r, const json_t *answer)
{
    if (!r->is_folder)
        return;
    keep_below(json_object_get(answer, "databases"), "path", r->path);
    keep_below(json_object_get(answer, "folders"), "dir", r->path);
    keep_below(json_object_get(answer, "gone"), "path", r->path);
}

/* What was asked for, but no daemon replicates. */
static void add_stopped(const struct request *r, const json_t *answer, const char *why)
{
    json_t *list = json_object_get(answer, "databases");

    if (r->path != NULL && !r->is_folder && !is_in(list, r->path))
        (void)json_array_append_new(
            list, stopped_object(r->fs, r->path, r->state_base, why)); /* fails only without memory */
    for (size_t i = 0; r->config != NULL && i < r->config->db_count; i++) {
        const struct config_db *db = &r->config->dbs[i];
        const char *path = db->path != NULL ? db->path : db->dir;

        if (!concerns(r, db))
            continue;
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
            status_print_folder(f);
        if (!json_is_null(json_object_get(f, "error")))
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
    if (r->path == NULL || r->is_folder)
        status = worse(status, show_folders(answer, r->json));
    json_array_foreach(list, i, db)
    {
        if (r->path != NULL && !r->is_folder && strcmp(text(db, "path"), r->path) != 0)
            continue;
        if (!r->json)
            status_print_database(db);
        status = worse(status, judge(db));
    }
    return status;
}

/* A folder that nobody has is most likely meant to be a database in it. */
static int no_folder(const struct request *r, const char *why)
{
    struct err err;

    rc_ignore(rc_raise(&err, E_CONFIG,
                  "%s is a folder: name a database in it, or nothing for all databases of the configuration; %s",
                  r->path, why),
        "it is printed");
    return cli_fail(COMMAND, &err);
}

static bool is_empty(const json_t *answer)
{
    return json_array_size(json_object_get(answer, "databases")) == 0
           && json_array_size(json_object_get(answer, "folders")) == 0;
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
        return is_empty(answer) && r->is_folder ? no_folder(r, err.msg) : show(r, answer);
    }
    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    keep_folder(r, answer);
    add_stopped(r, answer, "the weir process that answers does not replicate it");
    if (r->is_folder && is_empty(answer))
        return no_folder(r, "the weir process that answers replicates nothing in it");
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
    struct stat st;
    struct err err;

    if (operand != NULL && rc_failed(ask_absolute(operand, &r->path, &err)))
        return cli_fail(COMMAND, &err);
    r->is_folder = r->path != NULL && r->fs->stat(r->fs, r->path, &st) == 0 && S_ISDIR(st.st_mode);
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
        .synopsis = "[DB | DIR] [--watch]",
        .about =
            "Are the backups alive, and how far behind are they?  Of one database, of all in a folder, or of all in "
            "the configuration.\n"
            "\n"
            "Exit status 0: they are replicated and nothing is wrong; 1: no daemon runs, or something is wrong; 2: the "
            "configuration cannot be used, and it may be what says where the daemon is; 5: another writer owns a "
            "replica.",
        .examples = "  weir status\n"
                    "  weir status /var/lib/app/app.db --watch\n"
                    "  weir status /var/lib/app\n"
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
