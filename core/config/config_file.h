/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file - a YAML document into settings: which key may stand where, and "did you mean".
 *
 * What the document says is written into layers that config.c merges: a struct config_db in which at[] tells what was
 * given.  Values are expanded (config_env.h) before they are parsed.
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config.h"
#include "config_yaml.h"

/* What a source says, not merged yet. */
struct config_layer {
    struct config_db defaults; /* for all databases */
    struct config_db *dbs;     /* owned */
    size_t db_count;
};

/* Top-level keys go to `c`, the rest to `layer`, which was zeroed; options of replicas only `with_options`. */
MUST_USE struct rc config_file_read(struct config *c, struct config_layer *layer, const struct config_yaml *root,
    const char *const *environ_pairs, bool with_options, struct err *err);
/* The document uses the variable in a value. */
bool config_file_uses(const struct config_yaml *node, const char *variable);

/* --- what layers are made of; shared with config.c ------------------------------------------------- */

/* Set a key; `at` is copied.  The error has `at` in front. */
MUST_USE struct rc config_file_set_db(
    struct config_db *db, enum config_db_key key, const char *text, const char *at, struct err *err);
MUST_USE struct rc config_file_set_top(
    struct config *c, enum config_top_key key, const char *text, const char *at, struct err *err);
MUST_USE struct rc config_file_set_option(
    struct config_db *db, const char *name, const char *value, const char *at, struct err *err);
const struct config_option *config_file_option(const struct config_db *db, const char *name);
void config_file_free_db(struct config_db *db);
void config_file_free_layer(struct config_layer *layer);

#endif
