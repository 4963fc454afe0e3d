/* SPDX-License-Identifier: Apache-2.0 */
#include "config_daemon.h"

#include "alloc.h"
#include "config_replica.h"
#include "config_table.h"
#include "price.h"

#include <assert.h>
#include <string.h>

/* Keys that mean nothing for the databases of a folder: one that is not there has no name. */
static const enum config_db_key not_for_folders[] = {
    CONFIG_DB_RESTORE_IF_MISSING,
    CONFIG_DB_SEED,
};
struct retention_policy config_daemon_retention(const struct config_db *db)
{
    struct retention_policy policy = {.exact_ms = db->retention_exact_ms};

    policy.periods[RETENTION_DAY] = db->retention_daily;
    policy.periods[RETENTION_WEEK] = db->retention_weekly;
    policy.periods[RETENTION_MONTH] = db->retention_monthly;
    return policy;
}

/* To say what happens anyway is fine: "false". */
static bool asks_for_nothing(const struct config_key *key, const void *base)
{
    static const struct config_db nothing;

    return (key->type == CONFIG_BOOL || key->type == CONFIG_CHOICE) && config_table_equal(key, base, &nothing);
}

static struct rc check_for_folders(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++)
        for (size_t k = 0; k < sizeof not_for_folders / sizeof not_for_folders[0]; k++) {
            const struct config_key *key = &config_table_db[not_for_folders[k]];
            const char *at = c->dbs[i].at[not_for_folders[k]];

            if (c->dbs[i].dir != NULL && at != NULL && !asks_for_nothing(key, &c->dbs[i]))
                return rc_raise(
                    err, E_CONFIG, "%s: %s is for a database with a path, not for those of a dir", at, key->name);
        }
    return RC_OK;
}

static struct rc check_retention(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++) {
        const struct retention_policy policy = config_daemon_retention(&c->dbs[i]);
        const char *at = NULL;

        for (int k = CONFIG_DB_RETENTION_EXACT; k <= CONFIG_DB_RETENTION_MONTHLY; k++)
            at = c->dbs[i].at[k] != NULL ? c->dbs[i].at[k] : at;
        if (at != NULL)
            TRY_CTX(retention_check(&policy, err), err, "%s", at);
    }
    return RC_OK;
}

/* Longer ones would make control sockets whose name nobody can be told. */
static struct rc check_state_dirs(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++)
        if (c->dbs[i].state_dir != NULL && strlen(c->dbs[i].state_dir) > LOCAL_PLACE_BASE_MAX)
            return rc_raise(err, E_CONFIG, "%s: state-dir: the path is longer than %d bytes",
                c->dbs[i].at[CONFIG_DB_STATE_DIR], LOCAL_PLACE_BASE_MAX);
    return RC_OK;
}

static struct rc check_prices(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++) {
        struct price price = {0};

        if (c->dbs[i].price != NULL)
            TRY_CTX(price_override(&price, c->dbs[i].price, err), err, "%s", c->dbs[i].at[CONFIG_DB_PRICE]);
    }
    return RC_OK;
}

struct rc config_daemon_check(const struct config *c, const struct fsys *fs, struct err *err)
{
    TRY(check_for_folders(c, err));
    TRY(check_state_dirs(c, err));
    TRY(check_retention(c, err));
    TRY(check_prices(c, err));
    return config_replica_check(c, fs, err);
}

static_assert(CONFIG_INTERVAL_OFF == DB_INTERVAL_OFF, "settings are handed over as they are");

struct db_settings config_daemon_database(const struct config_db *db)
{
    return (struct db_settings){
        .path = db->path,
        .state_dir = db->state_dir,
        .url = db->replica,
        .options = config_replica_options(db),
        .option_count = db->option_count,
        .sync_interval_ms = db->sync_interval_ms,
        .sync_commits = db->sync_commits,
        .snapshot_interval_ms = db->snapshot_interval_ms,
        .merge_interval_ms = db->merge_interval_ms,
        .merge_long_interval_ms = db->merge_long_interval_ms,
        .merge_percent = db->merge_percent,
        .retention = config_daemon_retention(db),
        .retention_interval_ms = db->retention_interval_ms,
        .drill_interval_ms = db->drill_interval_ms,
        .drill_window_ms = db->drill_window_ms,
        .drill_max_size = db->drill_max_size,
        .drill_rate = db->drill_rate,
        .scrub_interval_ms = db->scrub_interval_ms,
        .scrub_rate = db->scrub_rate,
        .log_limit = db->log_limit,
        .spool_limit = db->spool_limit,
        .fold_count = db->fold_count,
        .fold_delete_after_ms = db->fold_delete_after_ms,
        .may_switch = !db->no_switch,
        .restore_if_missing = db->restore_if_missing,
        .seed = db->seed,
        .price = db->price,
        .require_fence = db->fencing == CONFIG_FENCING_REQUIRE,
        .of_folder = db->dir != NULL,
        .park_after_ms = db->park_after_ms,
    };
}

void config_daemon_init(struct daemon_settings *out, const struct config *c)
{
    *out = (struct daemon_settings){
        .socket_path = c->socket,
        .http_listen = c->http_listen,
        .token_file = c->http_token_file,
        .shutdown_ms = c->shutdown_ms,
        .log_level = (enum slog_level)c->log_level,
        .log_format = (enum slog_format)c->log_format,
    };
    out->databases = mem_new((c->db_count + 1) * sizeof *out->databases); /* never of no size */
    out->folders = mem_new((c->db_count + 1) * sizeof *out->folders);
    for (size_t i = 0; i < c->db_count; i++) {
        const struct config_db *db = &c->dbs[i];

        if (db->dir == NULL)
            out->databases[out->database_count++] = config_daemon_database(db);
        else
            out->folders[out->folder_count++] = (struct daemon_folder_settings){
                .set = config_daemon_database(db),
                .dir = db->dir,
                .pattern = db->pattern,
                .recursive = db->recursive,
                .watch = db->watch,
            };
    }
}

void config_daemon_fini(struct daemon_settings *s)
{
    for (size_t i = 0; i < s->database_count; i++) {
        const struct store_option *options = s->databases[i].options;

        mem_freep(&options);
    }
    for (size_t i = 0; i < s->folder_count; i++) {
        const struct store_option *options = s->folders[i].set.options;

        mem_freep(&options);
    }
    mem_free(s->databases);
    mem_free(s->folders);
    *s = (struct daemon_settings){0};
}
