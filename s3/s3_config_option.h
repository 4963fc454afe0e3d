/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_config_option - the options of s3_config one by one: their names, and what each value may be.  What follows from
 * several of them together is decided in s3_config.
 */
#ifndef S3_CONFIG_OPTION_H
#define S3_CONFIG_OPTION_H

#include "s3_config.h"

enum { S3_CONFIG_OPTION_MAX = 32 };

/* "" behind the last. */
const char *s3_config_option_name(size_t index);
/* False: there is no such option. */
bool s3_config_option_find(const char *name, size_t *index);
/* May this value stand in a URL, which others can see? */
MUST_USE struct rc s3_config_option_in_url(size_t index, const char *value, struct err *err);
/* Check the value and keep a copy of it in `c`. */
MUST_USE struct rc s3_config_option_set(
    struct s3_config *c, const struct fsys *fs, size_t index, const char *value, struct err *err);

/* Two of them, for values that do not come from options. */
MUST_USE struct rc s3_config_option_endpoint(struct s3_config *c, const char *value, struct err *err);
MUST_USE struct rc s3_config_option_region(struct s3_config *c, const char *value, struct err *err);

#endif
