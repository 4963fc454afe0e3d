/* SPDX-License-Identifier: Apache-2.0 */
/* store_env - what all stores on one loop share.  The rest of the interface is in store.h. */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include "store.h"

uv_loop_t *store_env_loop(const struct store_env *env);
const struct fsys *store_env_fsys(const struct store_env *env);

#endif
