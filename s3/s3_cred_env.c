/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_env.h"

#include "alloc.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const char *copy(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

static void drop(const char **text)
{
    char *own = (char *)(uintptr_t)*text; /* made by copy() */

    if (own != NULL)
        OPENSSL_cleanse(own, strlen(own));
    mem_free(own);
    *text = NULL;
}

void s3_cred_env_init(struct s3_cred_env *env, const struct s3_cred_opts *opts)
{
    const char **pairs;
    size_t n = 0;

    env->opts = *opts;
    env->opts.access_key = copy(opts->access_key);
    env->opts.secret_key = copy(opts->secret_key);
    env->opts.session_token = copy(opts->session_token);
    env->opts.profile = copy(opts->profile);
    env->opts.imds_endpoint = copy(opts->imds_endpoint);
    env->opts.container_host = copy(opts->container_host);
    env->opts.sts_endpoint = copy(opts->sts_endpoint);
    env->opts.region = copy(opts->region);
    if (opts->environ_pairs == NULL)
        return;
    while (opts->environ_pairs[n] != NULL)
        n++;
    pairs = mem_new((n + 1) * sizeof *pairs);
    for (size_t i = 0; i < n; i++)
        pairs[i] = copy(opts->environ_pairs[i]);
    env->opts.environ_pairs = pairs;
}

void s3_cred_env_fini(struct s3_cred_env *env)
{
    const char **pairs = (const char **)(uintptr_t)env->opts.environ_pairs; /* made by s3_cred_env_init() */

    drop(&env->opts.access_key);
    drop(&env->opts.secret_key);
    drop(&env->opts.session_token);
    drop(&env->opts.profile);
    drop(&env->opts.imds_endpoint);
    drop(&env->opts.container_host);
    drop(&env->opts.sts_endpoint);
    drop(&env->opts.region);
    for (size_t i = 0; pairs != NULL && pairs[i] != NULL; i++)
        drop(&pairs[i]);
    mem_free(pairs);
    env->opts.environ_pairs = NULL;
}

const char *s3_cred_env_get(const struct s3_cred_env *env, const char *name)
{
    size_t n = strlen(name);
    const char *value = NULL;

    if (env->opts.environ_pairs == NULL)
        value = getenv(name);
    for (size_t i = 0; env->opts.environ_pairs != NULL && env->opts.environ_pairs[i] != NULL; i++) {
        if (strncmp(env->opts.environ_pairs[i], name, n) == 0 && env->opts.environ_pairs[i][n] == '=') {
            value = env->opts.environ_pairs[i] + n + 1;
            break;
        }
    }
    return value != NULL && value[0] != 0 ? value : NULL;
}

const char *s3_cred_env_region(const struct s3_cred_env *env)
{
    const char *region = env->opts.region;

    if (region == NULL)
        region = s3_cred_env_get(env, "AWS_REGION");
    return region != NULL ? region : s3_cred_env_get(env, "AWS_DEFAULT_REGION");
}

char *s3_cred_env_path(const struct s3_cred_env *env, const char *path)
{
    const char *home = s3_cred_env_get(env, "HOME");
    char found[PATH_MAX];
    size_t n = sizeof found;

    if (strncmp(path, "~/", 2) != 0)
        return mem_strdup(path);
    /* A service without HOME still has an entry among the users. */
    if (home == NULL && env->opts.environ_pairs == NULL && uv_os_homedir(found, &n) == 0)
        home = found;
    return home != NULL ? mem_printf("%s/%s", home, path + 2) : NULL;
}

void s3_cred_env_cancel(struct s3_cred_op *op)
{
    if (op != NULL)
        op->cancel(op);
}
