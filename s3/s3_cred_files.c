/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_files.h"

#include "alloc.h"
#include "s3_ini.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG, CREDENTIALS };

static_assert(CREDENTIALS + 1 == S3_CRED_FILES_COUNT, "both files");

/* --- the files ---------------------------------------------------------------------------------------------------- */

static struct rc read_one(
    const struct s3_cred_env *env, struct s3_cred_files *files, unsigned i, bool named, struct err *err)
{
    const char *path = files->file[i].path;
    struct stat st;

    if (path == NULL) {
        files->file[i].absent = "no home directory";
        return RC_OK;
    }
    if (env->fs->stat(env->fs, path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            files->file[i].absent = "no such file";
        else if (errno == EACCES && !named)
            files->file[i].absent = "permission denied";
        else
            return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
        return RC_OK;
    }
    /* A pipe would stop the loop. */
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return rc_raise(err, E_CONFIG, "%s is not a file", path);
    s3_cred_box_buf(&files->file[i].text, S3_INI_SIZE_MAX);
    TRY(buf_check(&files->file[i].text, path, err));
    return fsys_read_file(env->fs, path, &files->file[i].text, err);
}

struct rc s3_cred_files_read(const struct s3_cred_env *env, struct s3_cred_files *files, struct err *err)
{
    static const char *const variables[] = {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"};
    static const char *const paths[] = {"~/.aws/config", "~/.aws/credentials"};

    memset(files, 0, sizeof *files);
    for (unsigned i = 0; i < S3_CRED_FILES_COUNT; i++) {
        const char *set = s3_cred_env_get(env, variables[i]);
        struct rc rc;

        files->file[i].path = s3_cred_env_path(env, set != NULL ? set : paths[i]);
        rc = read_one(env, files, i, set != NULL, err);
        if (rc_failed(rc)) {
            s3_cred_files_fini(files);
            return rc;
        }
    }
    return RC_OK;
}

void s3_cred_files_fini(struct s3_cred_files *files)
{
    for (unsigned i = 0; i < S3_CRED_FILES_COUNT; i++) {
        s3_cred_box_buf_end(&files->file[i].text);
        mem_free(files->file[i].path);
        files->file[i].path = NULL;
    }
}

char *s3_cred_files_names(const struct s3_cred_files *files)
{
    const char *why[S3_CRED_FILES_COUNT], *path[S3_CRED_FILES_COUNT];

    for (unsigned i = 0; i < S3_CRED_FILES_COUNT; i++) {
        why[i] = files->file[i].absent;
        path[i] = files->file[i].path != NULL ? files->file[i].path : i == CONFIG ? "config" : "credentials";
    }
    return mem_printf("%.150s%s%s%s and %.150s%s%s%s", path[1], why[1] != NULL ? " (" : "",
        why[1] != NULL ? why[1] : "", why[1] != NULL ? ")" : "", path[0], why[0] != NULL ? " (" : "",
        why[0] != NULL ? why[0] : "", why[0] != NULL ? ")" : "");
}

const char *s3_cred_files_profile_name(const struct s3_cred_env *env)
{
    const char *name = env->opts.profile != NULL ? env->opts.profile : s3_cred_env_get(env, "AWS_PROFILE");

    return name != NULL ? name : "default";
}

/* --- a profile ---------------------------------------------------------------------------------------------------- */

static const char *const setting_names[S3_CRED_SETTING_COUNT] = {
    [S3_CRED_ROLE_ARN] = "role_arn",
    [S3_CRED_SOURCE_PROFILE] = "source_profile",
    [S3_CRED_CREDENTIAL_SOURCE] = "credential_source",
    [S3_CRED_TOKEN_FILE] = "web_identity_token_file",
    [S3_CRED_SESSION_NAME] = "role_session_name",
    [S3_CRED_EXTERNAL_ID] = "external_id",
    [S3_CRED_MFA_SERIAL] = "mfa_serial",
    [S3_CRED_DURATION] = "duration_seconds",
    [S3_CRED_PROCESS] = "credential_process",
    [S3_CRED_REGION] = "region",
};

static const char *const key_names[] = {
    [S3_CRED_ACCESS_KEY] = "aws_access_key_id",
    [S3_CRED_SECRET_KEY] = "aws_secret_access_key",
    [S3_CRED_SESSION_TOKEN] = "aws_session_token",
};

/* Reads the sections of one profile in one file. */
struct gather {
    const char *path;
    bool config;
    bool default_hidden; /* [profile default] is there, too */
    struct s3_cred_profile *profile;
    struct s3_cred_box *keys;
    bool found;
    bool one_line; /* the setting we are in must not go on in the next line */
};

static bool is_ours(const struct gather *g, struct span section)
{
    if (g->config && strcmp(g->profile->name, "default") == 0 && !g->default_hidden
        && s3_ini_is_profile(section, false, "default"))
        return true;
    return s3_ini_is_profile(section, g->config, g->profile->name);
}

static void wiped_free(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text)); /* a command line may have a password in it */
    mem_free(text);
}

static struct rc take_setting(struct gather *g, const struct s3_ini_item *item, struct err *err)
{
    CLEANUP(mem_freep) char *where = mem_printf("%.300s:%u", g->path, item->line);

    for (size_t i = 0; i < sizeof key_names / sizeof *key_names; i++) {
        if (!s3_ini_key_is(item->key, key_names[i]))
            continue;
        g->one_line = true;
        return s3_cred_box_put(g->keys, (enum s3_cred_field)i, item->value, where, E_CONFIG, err);
    }
    for (unsigned i = 0; i < S3_CRED_SETTING_COUNT; i++) {
        if (!s3_ini_key_is(item->key, setting_names[i]))
            continue;
        if (item->value.size > S3_CRED_TEXT_MAX)
            return rc_raise(err, E_CONFIG, "%s: %s is longer than %d bytes", where, setting_names[i], S3_CRED_TEXT_MAX);
        wiped_free(g->profile->settings[i]);
        g->profile->settings[i] = mem_printf("%.*s", (int)item->value.size, (const char *)item->value.data);
        g->one_line = true;
        return RC_OK;
    }
    if (item->key.size > 4 && memcmp(item->key.data, "sso_", 4) == 0)
        g->profile->sso = true;
    return RC_OK;
}

static struct rc on_item(void *ctx, const struct s3_ini_item *item, struct err *err)
{
    struct gather *g = ctx;

    if (!is_ours(g, item->section))
        return RC_OK;
    g->found = true;
    if (item->kind == S3_INI_NESTED) {
        if (g->one_line)
            return rc_raise(
                err, E_CONFIG, "%.300s:%u: the line is indented, so the setting above goes on", g->path, item->line);
        return RC_OK;
    }
    g->one_line = false;
    if (item->kind == S3_INI_KEY && item->value.size > 0)
        return take_setting(g, item, err);
    return RC_OK;
}

static struct rc on_probe(void *ctx, const struct s3_ini_item *item, struct err *err)
{
    struct gather *g = ctx;

    (void)err;
    if (s3_ini_is_profile(item->section, true, "default"))
        g->default_hidden = true;
    return RC_OK;
}

static struct rc gather_file(struct gather *g, const struct s3_cred_files *files, unsigned i, struct err *err)
{
    struct span text = buf_span(&files->file[i].text);

    if (files->file[i].absent != NULL)
        return RC_OK;
    g->path = files->file[i].path;
    g->config = i == CONFIG;
    g->keys = s3_cred_box_new();
    if (g->keys == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    if (g->config)
        TRY(s3_ini_parse(text, g->path, on_probe, g, err));
    return s3_ini_parse(text, g->path, on_item, g, err);
}

/* Keys in the credentials file count more than those in the other one. */
static struct rc take_keys(struct gather *both, struct s3_cred_profile *p, struct err *err)
{
    const struct gather *half = NULL;

    for (unsigned n = S3_CRED_FILES_COUNT; n > 0 && p->keys == NULL; n--) {
        struct gather *g = &both[n - 1];

        if (g->keys == NULL)
            continue;
        if (g->keys->access_key[0] != 0 && g->keys->secret_key[0] != 0) {
            s3_cred_box_from(g->keys, "profile %s in %s", p->name, g->path);
            p->keys = MOVE(g->keys);
        } else if (g->keys->access_key[0] != 0 || g->keys->secret_key[0] != 0)
            half = g;
    }
    if (p->keys != NULL || half == NULL)
        return RC_OK;
    return rc_raise(err, E_CONFIG, "profile %.100s in %.200s has %s without %s", p->name, half->path,
        half->keys->access_key[0] != 0 ? key_names[S3_CRED_ACCESS_KEY] : key_names[S3_CRED_SECRET_KEY],
        half->keys->access_key[0] != 0 ? key_names[S3_CRED_SECRET_KEY] : key_names[S3_CRED_ACCESS_KEY]);
}

struct rc s3_cred_files_profile(
    const struct s3_cred_files *files, const char *name, struct s3_cred_profile **out, struct err *err)
{
    CLEANUP(s3_cred_files_free_profilep) struct s3_cred_profile *p = mem_new(sizeof *p);
    struct gather both[S3_CRED_FILES_COUNT] = {{.profile = p}, {.profile = p}};
    struct rc rc = RC_OK;

    p->name = mem_strdup(name);
    /* The credentials file is read last, so it wins. */
    for (unsigned i = 0; i < S3_CRED_FILES_COUNT && !rc_failed(rc); i++)
        rc = gather_file(&both[i], files, i, err);
    if (!rc_failed(rc))
        rc = take_keys(both, p, err);
    for (unsigned i = 0; i < S3_CRED_FILES_COUNT; i++)
        s3_cred_box_free(both[i].keys);
    TRY(rc);
    if (!both[CONFIG].found && !both[CREDENTIALS].found) {
        *out = NULL;
        return RC_OK;
    }
    p->where = mem_printf("profile %.100s in %.200s", name,
        both[CONFIG].found ? files->file[CONFIG].path : files->file[CREDENTIALS].path);
    *out = MOVE(p);
    return RC_OK;
}

void s3_cred_files_free_profile(struct s3_cred_profile *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < S3_CRED_SETTING_COUNT; i++)
        wiped_free(p->settings[i]);
    s3_cred_box_free(p->keys);
    mem_free(p->name);
    mem_free(p->where);
    mem_free(p);
}

void s3_cred_files_free_profilep(struct s3_cred_profile **p)
{
    s3_cred_files_free_profile(*p);
}
