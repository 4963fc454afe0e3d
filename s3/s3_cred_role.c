/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_role.h"

#include "alloc.h"
#include "s3_cred_chain.h"
#include "s3_cred_container.h"
#include "s3_cred_imds.h"
#include "s3_cred_process.h"
#include "s3_cred_sts.h"
#include "strx.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* Roles to assume one after the other, the last of the list first. */
struct roles {
    struct s3_cred_op op;
    const struct s3_cred_env *env;
    struct s3_cred_profile *list[S3_CRED_ROLE_DEPTH_MAX]; /* owned */
    size_t count;
    struct s3_cred_op *inner; /* what is under way */
};

static void free_roles(struct roles *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->count; i++)
        s3_cred_files_free_profile(r->list[i]);
    mem_free(r);
}

static void roles_freep(struct roles **r)
{
    free_roles(*r);
}

static const char *setting(const struct s3_cred_profile *p, enum s3_cred_setting which)
{
    return p->settings[which];
}

/* --- one role ----------------------------------------------------------------------------------------------------- */

static struct rc describe(
    const struct s3_cred_env *env, const struct s3_cred_profile *p, struct s3_cred_sts_role *out, struct err *err)
{
    uint64_t seconds = 0;

    if (setting(p, S3_CRED_MFA_SERIAL) != NULL)
        return rc_raise(err, E_UNSUPPORTED,
            "%s wants a second factor (mfa_serial), which needs a person; use a profile without one, or "
            "credential_process",
            p->where);
    if (setting(p, S3_CRED_DURATION) != NULL)
        TRY_CTX(strx_u64(setting(p, S3_CRED_DURATION), S3_CRED_STS_DURATION_MIN_S, S3_CRED_STS_DURATION_MAX_S, &seconds,
                    err),
            err, "%s: duration_seconds", p->where);
    *out = (struct s3_cred_sts_role){
        .arn = setting(p, S3_CRED_ROLE_ARN),
        .session = setting(p, S3_CRED_SESSION_NAME),
        .external_id = setting(p, S3_CRED_EXTERNAL_ID),
        .region = s3_cred_env_region(env),
        .duration_s = (unsigned)seconds,
        .asked_by = p->where,
    };
    if (out->region == NULL)
        out->region = setting(p, S3_CRED_REGION);
    return RC_OK;
}

static struct rc start_web(
    const struct s3_cred_env *env, const struct s3_cred_profile *p, struct s3_cred_start *start, struct err *err)
{
    struct s3_cred_sts_role role;

    TRY(describe(env, p, &role, err));
    return s3_cred_sts_web(env, &role, setting(p, S3_CRED_TOKEN_FILE), start, err);
}

static struct rc start_named_source(
    const struct s3_cred_env *env, const struct s3_cred_profile *p, struct s3_cred_start *start, struct err *err)
{
    const char *name = setting(p, S3_CRED_CREDENTIAL_SOURCE);

    if (strcasecmp(name, "Environment") == 0) {
        TRY_CTX(s3_cred_chain_environment(env, &start->box, err), err, "%s", p->where);
        if (start->box == NULL)
            return rc_raise(
                err, E_CONFIG, "%s wants keys in the environment, but AWS_ACCESS_KEY_ID is not set", p->where);
        return RC_OK;
    }
    if (strcasecmp(name, "EcsContainer") == 0) {
        if (!s3_cred_container_configured(env))
            return rc_raise(err, E_CONFIG,
                "%s wants the container's credentials, but AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set",
                p->where);
        return s3_cred_container_start(env, start, err);
    }
    if (strcasecmp(name, "Ec2InstanceMetadata") == 0)
        return s3_cred_imds_start(env, NULL, start, err);
    return rc_raise(err, E_CONFIG,
        "%s: credential_source '%.50s' is none of Environment, EcsContainer, Ec2InstanceMetadata", p->where, name);
}

/* --- what a profile without a source says ------------------------------------------------------------------------- */

static struct rc start_plain(const struct s3_cred_env *env, const struct s3_cred_profile *p,
    struct s3_cred_start *start, bool *has, struct err *err)
{
    *has = true;
    if (setting(p, S3_CRED_ROLE_ARN) != NULL && setting(p, S3_CRED_TOKEN_FILE) != NULL)
        return start_web(env, p, start, err);
    if (setting(p, S3_CRED_TOKEN_FILE) != NULL)
        return rc_raise(err, E_CONFIG, "%s has web_identity_token_file without role_arn", p->where);
    if (p->keys != NULL) {
        start->box = s3_cred_box_new();
        if (start->box == NULL)
            return rc_raise(err, E_NOMEM, "memory for credentials");
        memcpy(start->box, p->keys, sizeof *p->keys);
        return RC_OK;
    }
    if (setting(p, S3_CRED_PROCESS) != NULL)
        return s3_cred_process_start(env, setting(p, S3_CRED_PROCESS), p->where, start, err);
    if (p->sso)
        return rc_raise(err, E_UNSUPPORTED,
            "%s is one for SSO, which is not supported; give it the line: credential_process = aws configure "
            "export-credentials --profile NAME, where NAME is a copy of the profile",
            p->where);
    *has = false;
    return RC_OK;
}

/* --- the list of roles -------------------------------------------------------------------------------------------- */

/* Assume the next role; without one, hand out what is there. */
static struct rc go_on(struct roles *r, struct s3_cred_box *with, bool *finished, struct err *err);

static void on_inner_done(void *ctx, struct s3_cred_box *box, const struct err *inner_err)
{
    struct roles *r = ctx;
    struct err err = *inner_err;
    bool finished = box != NULL && r->count == 0;
    struct s3_cred_box *with = box;

    r->inner = NULL;
    if (box != NULL && !finished) {
        struct rc rc = go_on(r, with, &finished, &err);

        s3_cred_box_free(with);
        box = NULL;
        if (!rc_failed(rc))
            return;
    }
    r->op.on_done(r->op.ctx, box, &err);
    free_roles(r);
}

static struct rc go_on(struct roles *r, struct s3_cred_box *with, bool *finished, struct err *err)
{
    struct s3_cred_start start = {.on_done = on_inner_done, .ctx = r};
    struct s3_cred_profile *p;
    struct s3_cred_sts_role role;
    struct rc rc;

    assert(r->count > 0);
    *finished = false;
    p = r->list[--r->count];
    rc = describe(r->env, p, &role, err);
    if (!rc_failed(rc))
        rc = s3_cred_sts_assume(r->env, &role, with, &start, err);
    s3_cred_files_free_profile(p);
    r->inner = start.op;
    return rc;
}

static void on_cancel(struct s3_cred_op *op)
{
    struct roles *r = (struct roles *)op; /* the first member */

    s3_cred_env_cancel(r->inner);
    free_roles(r);
}

/* Follow source_profile: afterwards `*at` is the profile whose credentials come first. */
static struct rc follow(
    struct roles *r, const struct s3_cred_files *files, struct s3_cred_profile **at, struct err *err)
{
    for (;;) {
        struct s3_cred_profile *p = *at, *next;
        const char *source = setting(p, S3_CRED_SOURCE_PROFILE);

        if (setting(p, S3_CRED_ROLE_ARN) == NULL || source == NULL)
            return RC_OK;
        if (setting(p, S3_CRED_CREDENTIAL_SOURCE) != NULL)
            return rc_raise(err, E_CONFIG, "%s has both source_profile and credential_source", p->where);
        if (r->count == S3_CRED_ROLE_DEPTH_MAX)
            return rc_raise(err, E_CONFIG, "%s: a chain of more than %d roles", p->where, S3_CRED_ROLE_DEPTH_MAX);
        TRY(s3_cred_files_profile(files, source, &next, err));
        if (next == NULL)
            return rc_raise(err, E_CONFIG, "%s: its source_profile %.100s is not there", p->where, source);
        r->list[r->count++] = p;
        *at = next;
        if (strcmp(source, p->name) == 0) {
            /* Its own keys assume the role. */
            mem_free(next->settings[S3_CRED_ROLE_ARN]);
            next->settings[S3_CRED_ROLE_ARN] = NULL;
            continue;
        }
        for (size_t i = 0; i < r->count; i++) {
            if (strcmp(r->list[i]->name, source) == 0)
                return rc_raise(err, E_CONFIG, "%s: its source_profile %.100s leads back to itself", p->where, source);
        }
    }
}

/* What the first role is assumed with. */
static struct rc start_source(struct roles *r, struct s3_cred_profile *at, struct s3_cred_start *start, struct err *err)
{
    bool has;

    if (setting(at, S3_CRED_ROLE_ARN) != NULL && setting(at, S3_CRED_CREDENTIAL_SOURCE) != NULL)
        return start_named_source(r->env, at, start, err);
    if (setting(at, S3_CRED_ROLE_ARN) != NULL && setting(at, S3_CRED_TOKEN_FILE) == NULL)
        return rc_raise(err, E_CONFIG,
            "%s has role_arn without source_profile, credential_source or web_identity_token_file", at->where);
    TRY(start_plain(r->env, at, start, &has, err));
    if (!has)
        return rc_raise(err, E_CONFIG, "%s has no credentials, but is the source of %s", at->where,
            r->count > 0 ? r->list[r->count - 1]->where : "a role");
    return RC_OK;
}

static struct rc start_roles(struct roles **own, struct s3_cred_profile **at, const struct s3_cred_files *files,
    struct s3_cred_start *start, struct err *err)
{
    struct s3_cred_start inner = {.on_done = on_inner_done, .ctx = *own};
    struct roles *r = *own;
    bool finished;
    struct rc rc;

    TRY(follow(r, files, at, err));
    TRY(start_source(r, *at, &inner, err));
    /* With a credential_source the profile is itself a role to assume. */
    if (setting(*at, S3_CRED_CREDENTIAL_SOURCE) != NULL && setting(*at, S3_CRED_ROLE_ARN) != NULL)
        r->list[r->count++] = MOVE(*at);
    r->inner = inner.op;
    if (inner.box != NULL) {
        if (r->count == 0) { /* cannot be with an operation of ours, which begins with a role */
            start->box = inner.box;
            return RC_OK;
        }
        rc = go_on(r, inner.box, &finished, err);
        s3_cred_box_free(inner.box);
        TRY(rc);
    }
    r->op.on_done = start->on_done;
    r->op.ctx = start->ctx;
    r->op.cancel = on_cancel;
    start->op = &MOVE(*own)->op;
    return RC_OK;
}

struct rc s3_cred_role_start(const struct s3_cred_env *env, const struct s3_cred_files *files,
    const struct s3_cred_profile *profile, struct s3_cred_start *start, bool *has, struct err *err)
{
    CLEANUP(s3_cred_files_free_profilep) struct s3_cred_profile *at = NULL;
    CLEANUP(roles_freep) struct roles *r = NULL;
    bool web_only = setting(profile, S3_CRED_SOURCE_PROFILE) == NULL
                    && setting(profile, S3_CRED_CREDENTIAL_SOURCE) == NULL
                    && setting(profile, S3_CRED_TOKEN_FILE) != NULL;

    if (setting(profile, S3_CRED_ROLE_ARN) == NULL || web_only)
        return start_plain(env, profile, start, has, err);
    *has = true;
    TRY(s3_cred_files_profile(files, profile->name, &at, err));
    assert(at != NULL); /* it was read from the same text */
    r = mem_new(sizeof *r);
    r->env = env;
    return start_roles(&r, &at, files, start, err);
}
