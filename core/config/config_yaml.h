/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_yaml - a YAML document as a small tree in which everything knows where it stands.
 *
 *     config_yaml_load(&root, fs, "/etc/weir.yml", err)        or config_yaml_parse() for bytes at hand
 *     config_yaml_get(root, "databases")                       NULL: not there
 *     config_yaml_free(root)
 *
 * The part of YAML that people write in configuration files: mappings, lists and scalars in any quoting.  Scalars stay
 * text; whoever knows the key decides what a text means, so there is no guessing of types ("no" is never a boolean by
 * surprise, "1.10" never a number).
 *
 * Refused, each with its place: anchors and aliases (a few bytes could stand for gigabytes), tags, duplicate keys, keys
 * that are not scalars, several documents, control characters in scalars (a newline at the end of a block scalar is how
 * secrets stop working).
 *
 * Errors: E_CONFIG "FILE:LINE:COLUMN: what"; lines and columns (characters) count from 1.  Reading the file: the error
 * of fsys.
 *
 * Limits: CONFIG_YAML_SIZE_MAX bytes, CONFIG_YAML_DEPTH_MAX levels, CONFIG_YAML_NODES_MAX nodes,
 * CONFIG_YAML_KEYS_MAX keys in one mapping.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "fsys.h"

enum {
    CONFIG_YAML_SIZE_MAX = 1 << 20, /* a thousand databases with every key need a quarter of it */
    CONFIG_YAML_DEPTH_MAX = 8,      /* the deepest key of the configuration stands at level 5 */
    CONFIG_YAML_NODES_MAX = 100000,
    CONFIG_YAML_KEYS_MAX = 100, /* in one mapping */
};

enum config_yaml_kind { CONFIG_YAML_SCALAR, CONFIG_YAML_LIST, CONFIG_YAML_MAP };

struct config_yaml {
    enum config_yaml_kind kind;
    unsigned line, column;
    char *text; /* SCALAR: the value */
    bool empty; /* SCALAR: nothing, "~" or "null", without quotes */
    char *key;  /* in a map: under which key it stands, which is at key_line and key_column */
    unsigned key_line, key_column;
    struct config_yaml *first, *next; /* children in their order, siblings */
    size_t count;                     /* of children */
};

/* `file` is for messages.  An empty document is an empty map. */
MUST_USE struct rc config_yaml_parse(struct config_yaml **out, const char *file, struct span bytes, struct err *err);
MUST_USE struct rc config_yaml_load(struct config_yaml **out, const struct fsys *fs, const char *path, struct err *err);
void config_yaml_free(struct config_yaml *node); /* with all below; texts are wiped, they may be secrets */
void config_yaml_freep(struct config_yaml **node);

/* The value under `key` of a map, or NULL. */
const struct config_yaml *config_yaml_get(const struct config_yaml *map, const char *key);
/* "a scalar", "a list", "a mapping": for messages. */
const char *config_yaml_kind_name(enum config_yaml_kind kind);

#endif
