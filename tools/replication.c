/* SPDX-License-Identifier: Apache-2.0 */
#include "replication.h"

#include "alloc.h"
#include "ask.h"
#include "config_daemon.h"
#include "fold_keep.h"
#include "merge.h"
#include "settings.h"
#include "strx.h"

#include <assert.h>
#include <string.h>

enum { OVERRIDES_MAX = 20 };

struct replication {
    const struct fsys *fs;
    const char *file;
    bool restore; /* unless the configuration says otherwise */
    bool no_switch, restore_if_missing, fork, adopt;
    struct config_override overrides[OVERRIDES_MAX];
    const char *operands[REPLICATION_OPERANDS + 1];
    size_t operand_count;
    char *paths[CONFIG_DBS_MAX]; /* owned; the operands' absolute paths */

    /* In force, and what the daemon was given of it. */
    struct config *config;
    struct daemon_settings settings;
    unsigned load_count;
};

/* --- settings ----------------------------------------------------------------------------------------------------- */

/* Operands are pairs: a database and where it goes. */
static struct rc take_operands(struct replication *f, struct err *err)
{
    while (f->operand_count < REPLICATION_OPERANDS && f->operands[f->operand_count] != NULL)
        f->operand_count++;
    if (f->operand_count % 2 != 0)
        return rc_raise(err, E_CONFIG, "each database needs its URL: %s has none", f->operands[f->operand_count - 1]);
    for (size_t i = 0; i < f->operand_count; i += 2) {
        TRY(ask_absolute(f->operands[i], &f->paths[i / 2], err));
        f->operands[i] = f->paths[i / 2];
    }
    if (f->operand_count == 0 && (f->fork || f->adopt))
        return rc_raise(err, E_CONFIG, "--fork and --adopt are for a database that is named together with them");
    return RC_OK;
}

static struct rc load_config(const struct replication *f, struct config **out, struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;

    TRY(settings_load(&c,
        (struct config_request){
            .fs = f->fs,
            .file = f->file,
            .overrides = f->overrides,
            .override_count = OVERRIDES_MAX,
            .operands = f->operands,
            .operand_count = f->operand_count,
        },
        err));
    for (size_t i = 0; i < c->db_count && f->restore; i++)
        if (c->dbs[i].at[CONFIG_DB_RESTORE_IF_MISSING] == NULL)
            c->dbs[i].restore_if_missing = true;
    TRY(config_daemon_check(c, f->fs, err));
    *out = MOVE(c);
    return RC_OK;
}

/* Of the daemon: at its start, and when it is told to load again.  What was in force stays when this fails. */
static struct rc load(void *ctx, const struct daemon_settings **out, struct err *err)
{
    struct replication *f = ctx;
    struct config *c = NULL;

    TRY(load_config(f, &c, err));
    config_daemon_fini(&f->settings);
    config_free(f->config);
    f->config = c;
    config_daemon_init(&f->settings, c);
    /* Each is for one beginning: what is begun by a reload must not fork or adopt again. */
    for (size_t i = 0; i < f->settings.database_count; i++) {
        f->settings.databases[i].fork = f->fork && f->load_count == 0;
        f->settings.databases[i].adopt = f->adopt && f->load_count == 0;
    }
    f->load_count++;
    *out = &f->settings;
    return RC_OK;
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

static struct config_override * override(struct replication *f, const char *key, const char *option)
{
    struct config_override *o = f->overrides;

    while (o->key != NULL)
        o++;
    assert(o < f->overrides + OVERRIDES_MAX);
    *o = (struct config_override){.key = key, .option = option};
    return o;
}

size_t replication_options(struct replication *f, struct cli_option *out)
{
    const struct cli_option options[] = {
        SETTINGS_OPTION(&f->file),
        {0, "sync-interval", "TIME",
            "ship at most this long after a commit (default 1s): one object for all commits in between; off: only when "
            "asked to ('weir sync'), at the end, and where a limit makes it necessary",
            cli_duration_or_off, &override(f, "sync.interval", "--sync-interval")->text, NULL},
        {0, "sync-commits", "N", "ship earlier, when this many commits wait (default off)", cli_count_or_off,
            &override(f, "sync.commits", "--sync-commits")->text, NULL},
        {0, "snapshot-interval", "TIME",
            "take a snapshot at least this often if anything changed (default 7d; 0s: the first, and when merges have "
            "grown)",
            take_duration, &override(f, "snapshot.interval", "--snapshot-interval")->text, NULL},
        {0, "merge-interval", "TIME", "put what changed into a merge this often (default 1h; 0s: never)", take_duration,
            &override(f, "merge.interval", "--merge-interval")->text, NULL},
        {0, "merge-long-interval", "TIME", "and such merges into a larger one (default 1d; 0s: never)", take_duration,
            &override(f, "merge.long-interval", "--merge-long-interval")->text, NULL},
        {0, "merge-percent", "N",
            "of the log's bytes, that each of the two may store (default 50; 0: no limit, for faster restores)",
            take_percent, &override(f, "merge.percent", "--merge-percent")->text, NULL},
        {0, "log-limit", "SIZE",
            "how much log is held back for a replica that does not answer (default 256MiB); then segments go to the "
            "spool",
            take_size, &override(f, "log-limit", "--log-limit")->text, NULL},
        {0, "spool-limit", "SIZE",
            "how much waits on the local disk for such a replica (default 1GiB); beyond it exact history has a gap",
            take_size, &override(f, "spool-limit", "--spool-limit")->text, NULL},
        {0, "fencing", "MODE", "a replica that cannot keep a second writer out: warn (default), or require: refuse it",
            cli_text, &override(f, "fencing", "--fencing")->text, NULL},
        {0, "fold-count", "N",
            "put this many segments into one object (default 32, at most that; 0: each stays an object of its own)",
            take_fold_count, &override(f, "fold.count", "--fold-count")->text, NULL},
        {0, "fold-delete-after", "TIME", "how long segments stay beside the fold that has them (default 10m)",
            take_duration, &override(f, "fold.delete-after", "--fold-delete-after")->text, NULL},
        {0, "no-switch", NULL, "refuse a database in rollback mode instead of switching it to WAL mode", NULL,
            &f->no_switch, NULL},
        {0, "restore-if-missing", NULL, "restore from the replica when there is no database", NULL,
            &f->restore_if_missing, NULL},
        {0, "seed", "FILE",
            "when there is neither a database nor a replica: this database is copied, or this program makes one",
            take_path, &override(f, "seed", "--seed")->text, NULL},
        {0, "fork", NULL,
            "begin a timeline of its own at the state of this file, although the replica has gone on from there", NULL,
            &f->fork, NULL},
        {0, "adopt", NULL,
            "make this file the next state of the replica's history, although nothing proves that it comes from there",
            NULL, &f->adopt, NULL},
        {0, "shutdown-timeout", "TIME", "how long SIGTERM and SIGINT may take to ship what is left (default 30s)",
            take_duration, &override(f, "shutdown-timeout", "--shutdown-timeout")->text, NULL},
        {0, "socket", "PATH", "one control socket for all (default: control.sock in the local state of each database)",
            take_path, &override(f, "socket", "--socket")->text, NULL},
        {0, "log-level", "LEVEL", "error, warn, info (default), debug or trace", cli_text,
            &override(f, "log.level", "--log-level")->text, NULL},
        {0, "log-format", "FORMAT", "text (default) or json", cli_text,
            &override(f, "log.format", "--log-format")->text, NULL},
    };
    const size_t count = sizeof options / sizeof options[0];

    static_assert(sizeof options / sizeof options[0] == REPLICATION_OPTIONS, "replication.h counts them");
    memcpy(out, options, sizeof options);
    return count;
}

const char **replication_operands(struct replication *f)
{
    return f->operands;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

struct rc replication_run(struct replication *f, struct daemon_command *command, struct err *err)
{
    struct daemon_source source = {.load = load, .ctx = f, .command = command};

    if (f->no_switch)
        override(f, "no-switch", "--no-switch")->text = "true";
    if (f->restore_if_missing)
        override(f, "restore-if-missing", "--restore-if-missing")->text = "true";
    TRY(take_operands(f, err));
    source.file = settings_file(f->file, f->operand_count > 0);
    return daemon_run(&source, f->fs, err);
}

struct replication *replication_new(const struct fsys *fs, bool restore)
{
    struct replication *f = mem_new(sizeof *f);

    f->fs = fs;
    f->restore = restore;
    return f;
}

void replication_free(struct replication *f)
{
    config_daemon_fini(&f->settings);
    config_free(f->config);
    for (size_t i = 0; i < CONFIG_DBS_MAX; i++)
        mem_free(f->paths[i]);
    mem_free(f);
}
