/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "alloc.h"
#include "ask.h"
#include "config_env.h"
#include "config_replica.h"

#include <string.h>
#include <unistd.h>

static const char *const *environment(void)
{
    return (const char *const *)environ;
}

/* A folder that is not there yet (a new machine, a disk that is not mounted) leaves a path as it is written. */
static void make_absolute(char **path)
{
    char *absolute = NULL;
    struct err ignored;
    struct rc rc = ask_absolute(*path, &absolute, &ignored);

    if (rc_failed(rc)) {
        rc_ignore(rc, "whoever uses the path will tell what is wrong with it");
        return;
    }
    mem_free(*path);
    *path = absolute;
}

const char *settings_file(const char *file, bool has_operands)
{
    if (file == NULL)
        file = config_env_get(environment(), "WEIR_CONFIG");
    if (file != NULL && file[0] != 0)
        return file;
    return has_operands ? NULL : CONFIG_FILE_DEFAULT;
}

/* A seed is read by this very process.  POSIX drops all locks that a process has on a file when it closes any
 * descriptor of it, so a database that is replicated here would lose those by which its log is kept. */
static struct rc check_seeds(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++) {
        CLEANUP(mem_freep) char *seed = c->dbs[i].seed != NULL ? mem_strdup(c->dbs[i].seed) : NULL;
        const char *relative;

        if (seed == NULL)
            continue;
        make_absolute(&seed);
        if (config_find_path(c, seed, &relative) != NULL)
            return rc_raise(err, E_CONFIG,
                "%s: seed: %s is itself a database of this configuration; name a copy of it, or a program that makes "
                "one",
                c->dbs[i].at[CONFIG_DB_SEED], seed);
    }
    return RC_OK;
}

struct rc settings_load(struct config **out, struct config_request request, struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;

    request.environ_pairs = environment();
    request.file_optional = settings_file(request.file, true) == NULL; /* nobody named it */
    request.file = settings_file(request.file, request.operand_count > 0);
    TRY(config_load(&c, &request, err));
    for (size_t i = 0; i < c->db_count; i++)
        make_absolute(c->dbs[i].path != NULL ? &c->dbs[i].path : &c->dbs[i].dir);
    TRY(config_check_pairs(c, err)); /* only now is it known which names are of one file */
    TRY(check_seeds(c, err));
    *out = MOVE(c);
    return RC_OK;
}

/* --- local states ------------------------------------------------------------------------------------------------- */

/* What a daemon without a file goes by. */
static char *state_base_of_environment(void)
{
    const char *base = config_env_get(environment(), "WEIR_STATE_DIR");

    return base != NULL && base[0] == '/' ? mem_strdup(base) : NULL;
}

struct rc settings_state_base(
    char **out, struct err *passed_over, const struct fsys *fs, const char *file, const char *path, struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;
    const struct config_db *db = NULL;
    const char *relative;
    const struct config_request request = {.fs = fs, .file = file, .any_count = true, .no_options = true};
    struct rc rc = settings_load(&c, request, err);

    if (rc_failed(rc) && file != NULL)
        return rc;
    *passed_over = (struct err){.code = E_OK};
    if (rc_failed(rc))
        *passed_over = *err;
    rc_ignore(rc, "the command tells it: without a configuration the usual places are looked at");
    if (c != NULL)
        db = config_find_path(c, path, &relative);
    if (db == NULL)
        *out = state_base_of_environment();
    else
        *out = db->state_dir != NULL ? mem_strdup(db->state_dir) : NULL;
    return RC_OK;
}

void settings_warn(const char *command, const struct err *passed_over)
{
    if (passed_over->code != E_OK)
        cli_complain(command, "warning: the configuration is passed over: %s", passed_over->msg);
}

struct rc settings_doubt(const struct err *passed_over, struct err *err)
{
    struct err found = *err;

    if (passed_over->code == E_OK)
        return rc_of(err);
    return rc_raise(
        err, E_CONFIG, "%s, as far as can be told without the configuration: %s", found.msg, passed_over->msg);
}

/* --- sources ------------------------------------------------------------------------------------------------------ */

void settings_source_fini(struct settings_source *s)
{
    mem_free(s->url);
    mem_free(s->options);
    mem_free(s->path);
    config_free(s->config);
    *s = (struct settings_source){0};
}

static struct rc take(struct settings_source *s, const struct config_db *db, const char *relative, struct err *err)
{
    TRY(config_replica_url(db, relative, &s->url, err));
    s->db = db;
    s->options = config_replica_options(db);
    s->option_count = db->option_count;
    return RC_OK;
}

static struct rc find_url(
    struct settings_source *s, const struct fsys *fs, const char *file, const char *url, struct err *err)
{
    const char *const alone[] = {"/", url}; /* a database without a name: only its replica counts */
    struct config_request request = {.fs = fs, .file = file, .any_count = true};

    if (file == NULL) {
        request =
            (struct config_request){.fs = fs, .environ_pairs = environment(), .operands = alone, .operand_count = 2};
        TRY(config_load(&s->config, &request, err));
        return take(s, &s->config->dbs[0], NULL, err);
    }
    TRY(settings_load(&s->config, request, err));
    for (size_t i = 0; i < s->config->db_count; i++)
        if (s->config->dbs[i].path != NULL && strcmp(s->config->dbs[i].replica, url) == 0) {
            s->path = mem_strdup(s->config->dbs[i].path);
            return take(s, &s->config->dbs[i], NULL, err);
        }
    return rc_raise(err, E_CONFIG, "%.*s is not the replica of a database of %s", (int)strcspn(url, "?"), url,
        file); /* what stands behind may be a secret */
}

static struct rc find_path(
    struct settings_source *s, const struct fsys *fs, const char *file, const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *absolute = mem_strdup(path);
    const struct config_db *db;
    const char *relative;

    make_absolute(&absolute);
    TRY(settings_load(&s->config, (struct config_request){.fs = fs, .file = file, .any_count = true}, err));
    db = config_find_path(s->config, absolute, &relative);
    if (db != NULL) {
        s->path = MOVE(absolute);
        return take(s, db, relative, err);
    }
    if (s->config->file == NULL && s->config->db_count == 0)
        return rc_raise(err, E_CONFIG, "%s is not a URL like file:///path, and there is no configuration (-c FILE, %s)",
            path, CONFIG_FILE_DEFAULT);
    return rc_raise(err, E_CONFIG, "%s is neither a URL nor a database of %s", path,
        s->config->file != NULL ? s->config->file : "the environment");
}

bool settings_is_url(const char *source)
{
    return strstr(source, "://") != NULL;
}

struct rc settings_find(
    struct settings_source *out, const struct fsys *fs, const char *file, const char *source, struct err *err)
{
    CLEANUP(settings_source_fini) struct settings_source s = {0};

    TRY(settings_is_url(source) ? find_url(&s, fs, file, source, err) : find_path(&s, fs, file, source, err));
    *out = s;
    s = (struct settings_source){0};
    return RC_OK;
}
