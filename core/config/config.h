/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - the settings of weir: from a file, the environment and the command line, checked, with their origin.
 *
 *     struct config *c;
 *     config_load(&c, &(struct config_request){.fs = fs, .file = "/etc/weir.yml", .environ_pairs = pairs}, err)
 *     c->dbs[0].sync_interval_ms
 *     config_free(c)
 *
 * A key may be given at several places; the first of these counts: command line, environment for one database,
 * environment for all, the database's entry in the file, `defaults:` in the file, built in.  What holds for a database
 * is already merged in its struct config_db.  docs/configuration.md is the reference of all keys.
 *
 * Strict: unknown and duplicate keys, values that do not parse, combinations that make no sense, two entries for one
 * database, two databases for one replica are errors.  Whether the replica's URL and options are right is asked apart
 * (config_replica.h), because that needs the stores.
 *
 * Errors: E_CONFIG "FILE:LINE:COLUMN: what", or "WEIR_NAME: what", or "--option: what".
 *
 * Limits: CONFIG_DBS_MAX databases, CONFIG_OPTIONS_MAX options of a replica, and those of config_yaml.h.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "fsys.h"
#include "slog.h"

enum { CONFIG_DBS_MAX = 1000, CONFIG_OPTIONS_MAX = 64 };
#define CONFIG_FILE_DEFAULT "/etc/weir.yml"
#define CONFIG_INTERVAL_OFF UINT64_MAX /* sync.interval: off */

/* Keys of one database, in the order of config_table_db. */
enum config_db_key {
    CONFIG_DB_PATH,
    CONFIG_DB_DIR,
    CONFIG_DB_PATTERN,
    CONFIG_DB_WATCH,
    CONFIG_DB_RECURSIVE,
    CONFIG_DB_REPLICA, /* the URL, also where the file has a mapping */
    CONFIG_DB_SYNC_INTERVAL,
    CONFIG_DB_SYNC_COMMITS,
    CONFIG_DB_SNAPSHOT_INTERVAL,
    CONFIG_DB_MERGE_INTERVAL,
    CONFIG_DB_MERGE_LONG_INTERVAL,
    CONFIG_DB_MERGE_PERCENT,
    CONFIG_DB_RETENTION_EXACT,
    CONFIG_DB_RETENTION_DAILY,
    CONFIG_DB_RETENTION_WEEKLY,
    CONFIG_DB_RETENTION_MONTHLY,
    CONFIG_DB_RETENTION_INTERVAL,
    CONFIG_DB_DRILL_INTERVAL,
    CONFIG_DB_DRILL_WINDOW,
    CONFIG_DB_DRILL_MAX_SIZE,
    CONFIG_DB_DRILL_RATE,
    CONFIG_DB_SCRUB_INTERVAL,
    CONFIG_DB_SCRUB_RATE,
    CONFIG_DB_RESTORE_IF_MISSING,
    CONFIG_DB_SEED,
    CONFIG_DB_NO_SWITCH,
    CONFIG_DB_LOG_LIMIT,
    CONFIG_DB_SPOOL_LIMIT,
    CONFIG_DB_FENCING,
    CONFIG_DB_FOLD_COUNT,
    CONFIG_DB_FOLD_DELETE_AFTER,
    CONFIG_DB_PARK_AFTER,
    CONFIG_DB_STATE_DIR,
    CONFIG_DB_PRICE,
    CONFIG_DB_KEY_COUNT,
};

enum config_top_key {
    CONFIG_TOP_HTTP_LISTEN,
    CONFIG_TOP_HTTP_TOKEN_FILE,
    CONFIG_TOP_SOCKET,
    CONFIG_TOP_LOG_LEVEL,
    CONFIG_TOP_LOG_FORMAT,
    CONFIG_TOP_SHUTDOWN_TIMEOUT,
    CONFIG_TOP_KEY_COUNT,
};

enum config_fencing { CONFIG_FENCING_REQUIRE, CONFIG_FENCING_WARN };

/* An option of a replica beside its URL. */
struct config_option {
    char *name, *value; /* the value is wiped when freed */
    char *at;           /* where it was given */
};

struct config_db {
    char *at[CONFIG_DB_KEY_COUNT]; /* where the key was given: "/etc/weir.yml:3:5"; NULL: nowhere, the default holds */
    char *entry_at;                /* where the database's entry begins */

    char *path;     /* a database, or */
    char *dir;      /* a folder of databases whose names match `pattern` */
    char *pattern;  /* as in a shell; NULL: *.db */
    bool watch;     /* new ones are found while running */
    bool recursive; /* below the folder, too */
    char *replica;  /* URL */
    uint64_t sync_interval_ms /* or CONFIG_INTERVAL_OFF */, sync_commits /* 0: off */;
    uint64_t snapshot_interval_ms;                      /* 0: only the first */
    uint64_t merge_interval_ms, merge_long_interval_ms; /* 0: none */
    uint64_t merge_percent;                             /* 0: no limit */
    uint64_t retention_exact_ms, retention_daily, retention_weekly, retention_monthly, retention_interval_ms;
    uint64_t drill_interval_ms;                           /* 0: none */
    uint64_t drill_window_ms, drill_max_size, drill_rate; /* the last two: 0: no limit */
    uint64_t scrub_interval_ms, scrub_rate;               /* 0: never; 0: no limit */
    bool restore_if_missing;
    char *seed; /* NULL: none */
    bool no_switch;
    uint64_t log_limit, spool_limit;
    int fencing;         /* enum config_fencing */
    uint64_t fold_count; /* segments in a fold; 0 or 1: none */
    uint64_t fold_delete_after_ms;
    uint64_t park_after_ms; /* of databases that are found in a dir; 0: never */
    char *state_dir;        /* where the local state is; NULL: beside the database */
    char *price;            /* what requests and storage cost (price.h); NULL: the provider's list prices */

    struct config_option *options; /* of the replica */
    size_t option_count;
};

struct config {
    char *file; /* NULL: none was read */

    char *at[CONFIG_TOP_KEY_COUNT];
    char *http_listen, *http_token_file; /* NULL: no HTTP */
    char *socket;                        /* NULL: one in the local state of each database */
    int log_level;                       /* enum slog_level */
    int log_format;                      /* enum slog_format */
    uint64_t shutdown_ms;

    struct config_db *dbs;
    size_t db_count;
};

/* A key given on the command line. */
struct config_override {
    const char *key;    /* "sync.interval", of databases or of the whole */
    const char *text;   /* NULL: not given */
    const char *option; /* "--sync-interval" */
};

struct config_request {
    const struct fsys *fs;
    const char *file;                 /* NULL: none */
    bool file_optional;               /* it need not exist */
    const char *const *environ_pairs; /* "NAME=value", NULL at the end; NULL: no environment */
    const struct config_override *overrides;
    size_t override_count;
    const char *const *operands; /* DB and URL in turn: these databases instead of all others; paths absolute */
    size_t operand_count;        /* even */
    bool any_count;              /* no database at all is fine: for commands that only look something up */
    bool no_options;             /* options of replicas in the file are passed over, with the variables in them: for
                                  * those who ask a daemon, and need not have the secrets of its service */
};

MUST_USE struct rc config_load(struct config **out, const struct config_request *request, struct err *err);
/* Two entries of one database, folder or replica?  Done by config_load() with the names as they are written; once more
 * by who has found out where they lead. */
MUST_USE struct rc config_check_pairs(const struct config *c, struct err *err);
void config_free(struct config *c); /* wipes secrets */
void config_freep(struct config **c);

/* Retention was asked for: at least one of its keys is given.  Otherwise everything is kept. */
bool config_has_retention(const struct config_db *db);
/* The entry of the database at this absolute path: its own, or that of a folder it lies in, and then *relative is its
 * path below the folder (else NULL).  NULL: there is none. */
const struct config_db *config_find_path(const struct config *c, const char *path, const char **relative);

#endif
