/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "config_daemon.h"
#include "fold_keep.h"
#include "merge.h"
#include "settings.h"
#include "strx.h"

#include <string.h>

#define COMMAND "replicate"

enum { OPERANDS_MAX = 2 * CONFIG_DBS_MAX, OVERRIDES_MAX = 17 };

struct replicate {
    const struct fsys *fs;
    const char *file;
    bool no_switch, fork, adopt;
    struct config_override overrides[OVERRIDES_MAX];
    const char *operands[OPERANDS_MAX + 1];
    size_t operand_count;
    char *paths[CONFIG_DBS_MAX]; /* owned; the operands' absolute paths */

    /* In force, and what the daemon was given of it. */
    struct config *config;
    struct daemon_settings settings;
    unsigned load_count;
};

/* --- settings ----------------------------------------------------------------------------------------------------- */

/* Operands are pairs: a database and where it goes. */
static struct rc take_operands(struct replicate *r, struct err *err)
{
    while (r->operand_count < OPERANDS_MAX && r->operands[r->operand_count] != NULL)
        r->operand_count++;
    if (r->operand_count % 2 != 0)
        return rc_raise(err, E_CONFIG, "each database needs its URL: %s has none", r->operands[r->operand_count - 1]);
    for (size_t i = 0; i < r->operand_count; i += 2) {
        TRY(ask_absolute(r->operands[i], &r->paths[i / 2], err));
        r->operands[i] = r->paths[i / 2];
    }
    if (r->operand_count == 0 && (r->fork || r->adopt))
        return rc_raise(err, E_CONFIG, "--fork and --adopt are for a database that is named together with them");
    return RC_OK;
}

static struct rc load_config(const struct replicate *r, struct config **out, struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;

    TRY(settings_load(&c,
        (struct config_request){
            .fs = r->fs,
            .file = r->file,
            .overrides = r->overrides,
            .override_count = OVERRIDES_MAX,
            .operands = r->operands,
            .operand_count = r->operand_count,
        },
        err));
    TRY(config_daemon_check(c, r->fs, err));
    *out = MOVE(c);
    return RC_OK;
}

/* Of the daemon: at its start, and when it is told to load again.  What was in force stays when this fails. */
static struct rc load(void *ctx, const struct daemon_settings **out, struct err *err)
{
    struct replicate *r = ctx;
    struct config *c = NULL;

    TRY(load_config(r, &c, err));
    config_daemon_fini(&r->settings);
    config_free(r->config);
    r->config = c;
    config_daemon_init(&r->settings, c);
    /* Each is for one beginning: what is begun by a reload must not fork or adopt again. */
    for (size_t i = 0; i < r->settings.database_count; i++) {
        r->settings.databases[i].fork = r->fork && r->load_count == 0;
        r->settings.databases[i].adopt = r->adopt && r->load_count == 0;
    }
    r->load_count++;
    *out = &r->settings;
    return RC_OK;
}

static int run(struct replicate *r)
{
    struct daemon_source source = {.load = load, .ctx = r};
    struct err err;

    if (rc_failed(take_operands(r, &err)))
        return cli_fail(COMMAND, &err);
    source.file = settings_file(r->file, r->operand_count > 0);
    return rc_failed(daemon_run(&source, r->fs, &err)) ? cli_fail(COMMAND, &err) : 0;
}

/* --- the command line --------------------------------------------------------------------------------------------- */

/* Values are text until the configuration is merged, but what is wrong here is said here. */
static struct rc take_duration(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    TRY(strx_duration_ms(text, &ignored, err));
    return cli_text(text, target, err);
}

static struct rc take_size(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    TRY(strx_size(text, &ignored, err));
    return cli_text(text, target, err);
}

static struct rc take_count(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    TRY(strx_u64(text, 1, UINT32_MAX, &ignored, err));
    return cli_text(text, target, err);
}

static struct rc take_fold_count(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    TRY(strx_u64(text, 0, FOLD_KEEP_COUNT_MAX, &ignored, err));
    return cli_text(text, target, err);
}

static struct rc take_percent(const char *text, void *target, struct err *err)
{
    uint64_t ignored;

    TRY(strx_u64(text, 0, MERGE_PERCENT_MAX, &ignored, err));
    return cli_text(text, target, err);
}

static struct rc take_path(const char *text, void *target, struct err *err)
{
    TRY(cli_text(text, target, err));
    if (text[0] != '/')
        return rc_raise(err, E_CONFIG, "'%.200s' is not an absolute path", text);
    return RC_OK;
}

static struct config_override * override(struct replicate *r, const char *key, const char *option)
{
    struct config_override *o = r->overrides;

    while (o->key != NULL)
        o++;
    *o = (struct config_override){.key = key, .option = option};
    return o;
}

static int parse_and_run(struct replicate *r, int argc, char **argv)
{
    struct config_override *no_switch = override(r, "no-switch", "--no-switch");
    const struct cli_option options[] = {
        SETTINGS_OPTION(&r->file),
        {0, "sync-interval", "TIME",
            "ship at most this long after a commit (default 1s): one object for all commits in between", take_duration,
            &override(r, "sync.interval", "--sync-interval")->text, NULL},
        {0, "sync-commits", "N", "ship earlier, when this many commits wait", take_count,
            &override(r, "sync.commits", "--sync-commits")->text, NULL},
        {0, "snapshot-interval", "TIME",
            "take a snapshot at least this often if anything changed (default 7d; 0s: the first, and when merges have "
            "grown)",
            take_duration, &override(r, "snapshot.interval", "--snapshot-interval")->text, NULL},
        {0, "merge-interval", "TIME", "put what changed into a merge this often (default 1h; 0s: never)", take_duration,
            &override(r, "merge.interval", "--merge-interval")->text, NULL},
        {0, "merge-long-interval", "TIME", "and such merges into a larger one (default 1d; 0s: never)", take_duration,
            &override(r, "merge.long-interval", "--merge-long-interval")->text, NULL},
        {0, "merge-percent", "N",
            "of the log's bytes, that each of the two may store (default 50; 0: no limit, for faster restores)",
            take_percent, &override(r, "merge.percent", "--merge-percent")->text, NULL},
        {0, "log-limit", "SIZE",
            "how much log is held back for a replica that does not answer (default 256MiB); then segments go to the "
            "spool",
            take_size, &override(r, "log-limit", "--log-limit")->text, NULL},
        {0, "spool-limit", "SIZE",
            "how much waits on the local disk for such a replica (default 1GiB); beyond it exact history has a gap",
            take_size, &override(r, "spool-limit", "--spool-limit")->text, NULL},
        {0, "fencing", "MODE", "a replica that cannot keep a second writer out: warn (default), or require: refuse it",
            cli_text, &override(r, "fencing", "--fencing")->text, NULL},
        {0, "fold-count", "N",
            "put this many segments into one object (default 32, at most that; 0: each stays an object of its own)",
            take_fold_count, &override(r, "fold.count", "--fold-count")->text, NULL},
        {0, "fold-delete-after", "TIME", "how long segments stay beside the fold that has them (default 10m)",
            take_duration, &override(r, "fold.delete-after", "--fold-delete-after")->text, NULL},
        {0, "no-switch", NULL, "refuse a database in rollback mode instead of switching it to WAL mode", NULL,
            &r->no_switch, NULL},
        {0, "fork", NULL,
            "begin a timeline of its own at the state of this file, although the replica has gone on from there", NULL,
            &r->fork, NULL},
        {0, "adopt", NULL,
            "make this file the next state of the replica's history, although nothing proves that it comes from there",
            NULL, &r->adopt, NULL},
        {0, "shutdown-timeout", "TIME", "how long SIGTERM and SIGINT may take to ship what is left (default 30s)",
            take_duration, &override(r, "shutdown-timeout", "--shutdown-timeout")->text, NULL},
        {0, "socket", "PATH", "one control socket for all (default: control.sock in the local state of each database)",
            take_path, &override(r, "socket", "--socket")->text, NULL},
        {0, "log-level", "LEVEL", "error, warn, info (default), debug or trace", cli_text,
            &override(r, "log.level", "--log-level")->text, NULL},
        {0, "log-format", "FORMAT", "text (default) or json", cli_text,
            &override(r, "log.format", "--log-format")->text, NULL},
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[-c FILE] [DB URL...]",
        .about =
            "Follow SQLite databases and ship every commit to their replicas, until SIGTERM or SIGINT: those that are "
            "named here, or those of the configuration (docs/configuration.md).  Options here count for all of them, "
            "and more than the environment and the file.  SIGHUP reads the file again.\n"
            "\n"
            "A database may be made later by its application: weir waits for it. What weir remembers of a database is "
            "in the directory DB-weir beside it.\n"
            "\n"
            "Exit status 0 after a signal means that everything was shipped; 5 that another writer owns a replica.",
        .examples = "  weir replicate\n"
                    "  weir replicate -c weir.yml\n"
                    "  weir replicate /var/lib/app/app.db file:///backup/app\n"
                    "  weir replicate --sync-interval 100ms a.db file:///backup/a b.db file:///backup/b\n",
        .options = options,
        .operands = r->operands,
        .operand_min = 0,
        .operand_max = OPERANDS_MAX,
    };

    switch (cli_parse(&cli, argc, argv)) {
    case CLI_HELP:
        return 0;
    case CLI_BAD:
        return rc_exit_status(E_CONFIG);
    case CLI_RUN:
        break;
    }
    no_switch->text = r->no_switch ? "true" : NULL;
    return run(r);
}

int cmd_replicate(int argc, char **argv, const struct fsys *fs)
{
    struct replicate *r = mem_new(sizeof *r);
    int status;

    r->fs = fs;
    status = parse_and_run(r, argc, argv);
    config_daemon_fini(&r->settings);
    config_free(r->config);
    for (size_t i = 0; i < CONFIG_DBS_MAX; i++)
        mem_free(r->paths[i]);
    mem_free(r);
    return status;
}
