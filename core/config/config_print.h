/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_print - the settings in force, as YAML that could be a configuration file: every key of every database with
 * its value and where that comes from, secrets hidden.
 */
#ifndef CONFIG_PRINT_H
#define CONFIG_PRINT_H

#include "config.h"

enum { CONFIG_PRINT_MAX = 16 << 20 };

/* Append to `out`.  With `places` each value is followed by a comment that says where it was given, or "default". */
void config_print_yaml(const struct config *c, bool places, struct buf *out);

/* The same, one after the other: "databases[0].sync.interval", its value, and where it was given; NULL: the default. */
typedef void (*config_print_fn)(void *ctx, const char *key, const char *value, const char *at);
void config_print_each(const struct config *c, config_print_fn fn, void *ctx);

#endif
