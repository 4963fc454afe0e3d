/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_env - what the environment says: `${VAR}` in values, and WEIR_ variables.
 *
 * In values:
 *
 *     ${VAR}             its value; not being set is an error
 *     ${VAR:-default}    the default when it is not set or empty; the default reaches to the next '}' and is taken as
 * is
 *     $${                a plain "${"
 *     any other $        itself
 *
 * Values are expanded after the YAML was read, so what a variable holds is always one value, whatever is in it, and is
 * not expanded again.
 *
 * Variables: WEIR_ and the key in capitals, '.' and '-' as '_'.
 *
 *     WEIR_SOCKET, WEIR_LOG_LEVEL ...                  the keys of the whole
 *     WEIR_SYNC_INTERVAL, WEIR_RETENTION_EXACT ...     a key of databases, for all of them
 *     WEIR_REPLICA_ENDPOINT, WEIR_REPLICA_<OPTION>     an option of all replicas in object stores
 *     WEIR_DB, WEIR_REPLICA                            one database, instead of all that the file names
 *     WEIR_DATABASES_<N>_<KEY>                         a key of the N-th database, from 0; N may be one past the last
 *     WEIR_CONFIG                                      the file (read by the commands)
 *
 * Pure: `environ_pairs` is a list of "NAME=value" that ends with NULL.
 */
#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

#include "rc.h"

enum { CONFIG_ENV_VALUE_MAX = 64 << 10, CONFIG_ENV_INDEX_MAX = 1000 };

/* The value of a variable, borrowed, or NULL. */
const char *config_env_get(const char *const *environ_pairs, const char *name);

/* *out is mem_free'd by the caller.  E_CONFIG names the variable, never a value. */
MUST_USE struct rc config_env_expand(const char *const *environ_pairs, const char *text, char **out, struct err *err);

enum config_env_kind {
    CONFIG_ENV_OTHER,    /* not a variable of weir's */
    CONFIG_ENV_GLOBAL,   /* `key` of the whole, or of all databases */
    CONFIG_ENV_OPTION,   /* the option `key` of all replicas, or of that of the database `index` */
    CONFIG_ENV_DATABASE, /* `key` of the database `index` */
    CONFIG_ENV_SINGLE,   /* WEIR_DB, WEIR_REPLICA: key "path" or "replica" */
    CONFIG_ENV_UNKNOWN,  /* begins with WEIR_ and is none of the others */
};

/* What one variable of the environment means. */
struct config_env_var {
    enum config_env_kind kind;
    char name[128];    /* of the variable */
    char key[128];     /* "sync.interval"; for OPTION "endpoint" */
    const char *value; /* borrowed */
    bool has_index;
    size_t index;
};

/* `pair` is "NAME=value". */
struct config_env_var config_env_parse(const char *pair);
/* "WEIR_SYNC_INTERVAL" for "sync.interval": how a key is called in the environment. */
void config_env_name(const char *key, char *out, size_t size);

#endif
