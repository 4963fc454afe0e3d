/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_env - what all stores on one loop share; made by store_env_new(), see store.h.
 *
 * Stores with the same connection settings share one s3_http, those that also have the same credential settings one
 * s3_cred: so that connections are used again, the limits hold for all together, and credentials are fetched once.
 * Both are kept until the environment stops.
 */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include "s3_config.h"
#include "s3_cred.h"

uv_loop_t *store_env_loop(const struct store_env *env);
const struct fsys *store_env_fsys(const struct store_env *env);
MUST_USE struct rc store_env_http(
    struct store_env *env, const struct s3_config *config, struct s3_http **out, struct err *err);
MUST_USE struct rc store_env_cred(
    struct store_env *env, const struct s3_config *config, struct s3_http *http, struct s3_cred **out, struct err *err);

#endif
