/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_chain.h"

#include "alloc.h"
#include "s3_cred_container.h"
#include "s3_cred_files.h"
#include "s3_cred_imds.h"
#include "s3_cred_role.h"
#include "s3_cred_sts.h"

#include <string.h>
#include <strings.h>

/* --- texts -------------------------------------------------------------------------------------------------------- */

static struct rc make(const char *access, const char *secret, const char *token, const char *source,
    struct s3_cred_box **out, struct err *err)
{
    CLEANUP(s3_cred_box_freep) struct s3_cred_box *box = s3_cred_box_new();

    if (box == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    TRY(s3_cred_box_put(box, S3_CRED_ACCESS_KEY, span_of(access, strlen(access)), source, E_CONFIG, err));
    TRY(s3_cred_box_put(box, S3_CRED_SECRET_KEY, span_of(secret, strlen(secret)), source, E_CONFIG, err));
    if (token != NULL && token[0] != 0)
        TRY(s3_cred_box_put(box, S3_CRED_SESSION_TOKEN, span_of(token, strlen(token)), source, E_CONFIG, err));
    s3_cred_box_from(box, "%s", source);
    *out = MOVE(box);
    return RC_OK;
}

struct rc s3_cred_chain_environment(const struct s3_cred_env *env, struct s3_cred_box **out, struct err *err)
{
    const char *access = s3_cred_env_get(env, "AWS_ACCESS_KEY_ID");
    const char *secret = s3_cred_env_get(env, "AWS_SECRET_ACCESS_KEY");

    *out = NULL;
    if (access == NULL && secret == NULL)
        return RC_OK;
    if (access == NULL || secret == NULL)
        return rc_raise(err, E_CONFIG, "environment: %s is set, but %s is not",
            access != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
            access != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    return make(access, secret, s3_cred_env_get(env, "AWS_SESSION_TOKEN"), "environment", out, err);
}

/* --- sources that take a while ------------------------------------------------------------------------------------ */

static bool is_started(const struct s3_cred_start *start)
{
    return start->box != NULL || start->op != NULL;
}

static struct rc try_web_identity(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err)
{
    const char *file = s3_cred_env_get(env, "AWS_WEB_IDENTITY_TOKEN_FILE");
    struct s3_cred_sts_role role = {
        .arn = s3_cred_env_get(env, "AWS_ROLE_ARN"),
        .session = s3_cred_env_get(env, "AWS_ROLE_SESSION_NAME"),
        .region = s3_cred_env_region(env),
        .asked_by = "AWS_WEB_IDENTITY_TOKEN_FILE",
    };

    if (file == NULL)
        return RC_OK;
    if (role.arn == NULL)
        return rc_raise(err, E_CONFIG, "environment: AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    return s3_cred_sts_web(env, &role, file, start, err);
}

/* `looked` tells where, for people. */
static struct rc try_profile(const struct s3_cred_env *env, const struct s3_cred_files *files,
    struct s3_cred_start *start, char **looked, struct err *err)
{
    CLEANUP(s3_cred_files_free_profilep) struct s3_cred_profile *p = NULL;
    CLEANUP(mem_freep) char *names = s3_cred_files_names(files);
    const char *name = s3_cred_files_profile_name(env);
    bool named = env->opts.profile != NULL || s3_cred_env_get(env, "AWS_PROFILE") != NULL;
    bool has = false;

    TRY(s3_cred_files_profile(files, name, &p, err));
    if (p == NULL && named)
        return rc_raise(err, E_CONFIG, "profile %.100s is not in %s", name, names);
    if (p != NULL)
        TRY(s3_cred_role_start(env, files, p, start, &has, err));
    *looked = p == NULL ? mem_printf("profile %.100s in %s", name, names)
                        : mem_printf("%s (it has no credentials)", p->where);
    return RC_OK;
}

static struct rc try_files(const struct s3_cred_env *env, struct s3_cred_start *start, char **looked, struct err *err)
{
    struct s3_cred_files files;
    struct rc rc;

    TRY(s3_cred_files_read(env, &files, err));
    rc = try_profile(env, &files, start, looked, err);
    s3_cred_files_fini(&files);
    return rc;
}

static struct rc try_environment(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err)
{
    TRY(s3_cred_chain_environment(env, &start->box, err));
    if (start->box == NULL)
        TRY(try_web_identity(env, start, err));
    return RC_OK;
}

/* --- the chain ---------------------------------------------------------------------------------------------------- */

struct rc s3_cred_chain_start(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err)
{
    const struct s3_cred_opts *opts = &env->opts;
    const char *disabled = s3_cred_env_get(env, "AWS_EC2_METADATA_DISABLED");
    CLEANUP(mem_freep) char *profile = NULL;
    CLEANUP(mem_freep) char *looked = NULL;

    if (opts->access_key != NULL)
        return make(
            opts->access_key, opts->secret_key, opts->session_token, "options of the replica", &start->box, err);
    if (opts->profile == NULL)
        TRY(try_environment(env, start, err));
    if (!is_started(start))
        TRY(try_files(env, start, &profile, err));
    if (is_started(start))
        return RC_OK;
    if (s3_cred_container_configured(env))
        return s3_cred_container_start(env, start, err);
    looked = mem_printf("options of the replica; %s%s; AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI",
        opts->profile == NULL ? "AWS_ACCESS_KEY_ID; AWS_WEB_IDENTITY_TOKEN_FILE; " : "", profile);
    if (disabled != NULL && strcasecmp(disabled, "true") == 0)
        return rc_raise(err, E_DENIED,
            "no credentials found; looked for: %s; not for EC2 instance metadata (AWS_EC2_METADATA_DISABLED)", looked);
    return s3_cred_imds_start(env, looked, start, err);
}
