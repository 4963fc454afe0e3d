/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "ask.h"
#include "cli.h"
#include "commands.h"
#include "daemon.h"
#include "slog.h"

#define COMMAND "replicate"

enum { DATABASES_MAX = 1000 };

struct replicate {
    struct db_settings common;
    uint64_t shutdown_ms;
    bool no_switch;
    const char *log_level, *log_format, *socket_path;
    const char *operands[2 * DATABASES_MAX];
};

static struct rc configure_log(const struct replicate *r, struct err *err)
{
    enum slog_level level;
    enum slog_format format;

    if (!slog_parse_level(r->log_level, &level))
        return rc_raise(err, E_CONFIG, "--log-level %s: must be error, warn, info, debug or trace", r->log_level);
    if (!slog_parse_format(r->log_format, &format))
        return rc_raise(err, E_CONFIG, "--log-format %s: must be text or json", r->log_format);
    slog_configure(level, format);
    return RC_OK;
}

static void free_databases(struct daemon_settings *set)
{
    for (size_t i = 0; i < set->database_count; i++) {
        mem_free(set->databases[i].path);
        mem_free(set->databases[i].url);
    }
    mem_free(set->databases);
}

/* Operands are pairs: a database and where it goes. */
static struct rc take_databases(const struct replicate *r, size_t count, struct daemon_settings *set, struct err *err)
{
    if (count % 2 != 0)
        return rc_raise(err, E_CONFIG, "each database needs its URL: %s has none", r->operands[count - 1]);
    set->databases = mem_new(count / 2 * sizeof *set->databases);
    for (size_t i = 0; i < count / 2; i++) {
        struct db_settings *db = &set->databases[i];

        *db = r->common;
        db->may_switch = !r->no_switch;
        TRY(ask_absolute(r->operands[2 * i], &db->path, err));
        db->url = mem_strdup(r->operands[2 * i + 1]);
        set->database_count++;
    }
    return RC_OK;
}

static int run(const struct replicate *r, const struct fsys *fs)
{
    CLEANUP(free_databases) struct daemon_settings set = {.shutdown_ms = r->shutdown_ms};
    CLEANUP(mem_freep) char *socket_path = r->socket_path != NULL ? mem_strdup(r->socket_path) : NULL;
    struct err err;
    size_t count = 0;

    while (count < 2 * DATABASES_MAX && r->operands[count] != NULL)
        count++;
    set.socket_path = socket_path;
    if (rc_failed(configure_log(r, &err)) || rc_failed(take_databases(r, count, &set, &err))
        || rc_failed(daemon_run(&set, fs, &err)))
        return cli_fail(COMMAND, &err);
    return 0;
}

static int parse_and_run(struct replicate *r, int argc, char **argv, const struct fsys *fs)
{
    struct db_settings *c = &r->common;
    const struct cli_option options[] = {
        {0, "sync-interval", "TIME",
            "ship at most this long after a commit (default 1s): one object for all commits in between", cli_duration,
            &c->sync_interval_ms, NULL},
        {0, "sync-commits", "N", "ship earlier, when this many commits wait", cli_u64, &c->sync_commits, NULL},
        {0, "snapshot-interval", "TIME",
            "take a snapshot this often if anything changed (default 24h; 0s: only the first)", cli_duration,
            &c->snapshot_interval_ms, NULL},
        {0, "log-limit", "SIZE",
            "how much log is held back for a replica that does not answer (default 256MiB); then segments go to the "
            "spool",
            cli_size, &c->log_limit, NULL},
        {0, "spool-limit", "SIZE",
            "how much waits on the local disk for such a replica (default 1GiB); beyond it exact history has a gap",
            cli_size, &c->spool_limit, NULL},
        {0, "no-switch", NULL, "refuse a database in rollback mode instead of switching it to WAL mode", NULL,
            &r->no_switch, NULL},
        {0, "fork", NULL,
            "begin a timeline of its own at the state of this file, although the replica has gone on from there", NULL,
            &c->fork, NULL},
        {0, "adopt", NULL,
            "make this file the next state of the replica's history, although nothing proves that it comes from there",
            NULL, &c->adopt, NULL},
        {0, "shutdown-timeout", "TIME", "how long SIGTERM and SIGINT may take to ship what is left (default 30s)",
            cli_duration, &r->shutdown_ms, NULL},
        {0, "socket", "PATH", "control socket (default: control.sock in the local state of the first database)",
            cli_text, &r->socket_path, NULL},
        {0, "log-level", "LEVEL", "error, warn, info (default), debug or trace", cli_text, &r->log_level, NULL},
        {0, "log-format", "FORMAT", "text (default) or json", cli_text, &r->log_format, NULL},
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "DB URL [DB URL...]",
        .about =
            "Follow one or more SQLite databases and ship every commit to their replicas, until SIGTERM or SIGINT.\n"
            "\n"
            "A database may be made later by its application: weir waits for it. What weir remembers of a database is "
            "in the "
            "directory DB-weir beside it.\n"
            "\n"
            "Exit status 0 after a signal means that everything was shipped; 5 that another writer owns the replica.",
        .examples = "weir replicate /var/lib/app/app.db file:///backup/app\n"
                    "weir replicate --sync-interval 100ms a.db file:///backup/a b.db file:///backup/b",
        .options = options,
        .operands = r->operands,
        .operand_min = 2,
        .operand_max = 2 * DATABASES_MAX,
    };

    switch (cli_parse(&cli, argc, argv)) {
    case CLI_HELP:
        return 0;
    case CLI_BAD:
        return rc_exit_status(E_CONFIG);
    case CLI_RUN:
        break;
    }
    return run(r, fs);
}

int cmd_replicate(int argc, char **argv, const struct fsys *fs)
{
    struct replicate *r = mem_new(sizeof *r);
    int status;

    r->common = (struct db_settings){
        .sync_interval_ms = 1000,
        .snapshot_interval_ms = 24ULL * 3600 * 1000,
        .log_limit = 256ULL << 20,
        .spool_limit = 1ULL << 30,
    };
    r->shutdown_ms = 30000;
    r->log_level = "info";
    r->log_format = "text";
    status = parse_and_run(r, argc, argv, fs);
    mem_free(r);
    return status;
}
