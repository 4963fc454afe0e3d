/* SPDX-License-Identifier: Apache-2.0 */
#include "store_env.h"

#include "alloc.h"

struct store_env {
    uv_loop_t *loop;
    const struct fsys *fs;
};

struct store_env *store_env_new(uv_loop_t *loop, const struct fsys *fs)
{
    struct store_env *env = mem_new(sizeof *env);

    env->loop = loop;
    env->fs = fs;
    return env;
}

uv_loop_t *store_env_loop(const struct store_env *env)
{
    return env->loop;
}

const struct fsys *store_env_fsys(const struct store_env *env)
{
    return env->fs;
}

void store_env_stop(struct store_env *env, void (*on_stopped)(void *ctx), void *ctx)
{
    mem_free(env);
    on_stopped(ctx);
}
