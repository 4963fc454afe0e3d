/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings - the configuration as commands use it: which file, whose environment, and what a SOURCE is.
 *
 * The file is the one of `-c`, or of WEIR_CONFIG, or /etc/weir.yml if there is one.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "cli.h"
#include "config.h"
#include "store.h"

/* A row for a command's table of options; `target` is a const char *. */
#define SETTINGS_OPTION(target)                                                                                   \
    {                                                                                                             \
        'c', "config", "FILE", "the configuration (default: $WEIR_CONFIG, or " CONFIG_FILE_DEFAULT ")", cli_text, \
            target, NULL                                                                                          \
    }

/*
 * Load.  In `request` fs, overrides, operands, any_count and no_options are the caller's; `file` is what `-c` said, or
 * NULL.  Paths of databases are made absolute the way all commands know them.  With operands and no `-c` or WEIR_CONFIG
 * no file is read.
 */
MUST_USE struct rc settings_load(struct config **out, struct config_request request, struct err *err);

/* The file that would be read, or NULL; `file` is what `-c` said. */
const char *settings_file(const char *file, bool has_operands);

/*
 * Below which folder the local state of a database is (the key state-dir), mem_free'd, or NULL: beside it.  That is
 * what the configuration says of this database, or else WEIR_STATE_DIR; `path` is the absolute one.
 *
 * A configuration that was not named with `-c` and cannot be used (others may not read it, variables are missing)
 * counts as none, because a command may do without; but then `passed_over` is why (its code E_OK: nothing was), and
 * the command tells it: by settings_warn(), or as the error when it found nothing in the usual places.
 */
MUST_USE struct rc settings_state_base(
    char **out, struct err *passed_over, const struct fsys *fs, const char *file, const char *path, struct err *err);
/* Say that a configuration was passed over, if it was. */
void settings_warn(const char *command, const struct err *passed_over);
/* `err` says that there is no daemon where it was looked for.  If a configuration was passed over, that may be why, and
 * it becomes an error of the configuration; what is returned is that of `err`. */
MUST_USE struct rc settings_doubt(const struct err *passed_over, struct err *err);

/* Where a replica is and how to speak to it. */
struct settings_source {
    char *url;                    /* owned */
    struct store_option *options; /* owned; the texts are the configuration's */
    size_t option_count;
    struct config *config; /* owned */
    const struct config_db
        *db;    /* what the configuration says of it; for a URL without a file, what the environment does */
    char *path; /* owned: of the database, absolute; NULL: a URL was given that is no database's */
};

/*
 * `source` is a URL, or a database of the configuration.  A URL goes with the options of that replica in the file of
 * `-c`, where it must be then, or else with those that the environment has for all (WEIR_REPLICA_...).
 */
bool settings_is_url(const char *source);
MUST_USE struct rc settings_find(
    struct settings_source *out, const struct fsys *fs, const char *file, const char *source, struct err *err);
void settings_source_fini(struct settings_source *s);

#endif
