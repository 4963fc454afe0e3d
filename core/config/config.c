/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "alloc.h"
#include "config_env.h"
#include "config_file.h"
#include "config_table.h"
#include "folder_match.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = CONFIG_TOP_KEY_COUNT + CONFIG_DB_KEY_COUNT + 3, NAME_SIZE = 64 };

/* What each source says, before it is merged. */
struct sources {
    const struct config_request *request;
    struct config *c;
    struct err *err;

    struct config_yaml *root; /* NULL: no file */
    struct config_layer file;
    struct config_layer env;   /* defaults: for all; dbs: by index */
    struct config_db single;   /* WEIR_DB and WEIR_REPLICA */
    struct config_db command;  /* for all */
    struct config_layer given; /* databases of the command line */
};

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < CONFIG_TOP_KEY_COUNT; i++)
        mem_free(c->at[i]);
    for (size_t i = 0; i < c->db_count; i++)
        config_file_free_db(&c->dbs[i]);
    mem_free(c->dbs);
    mem_free(c->file);
    mem_free(c->http_listen);
    mem_free(c->http_token_file);
    mem_free(c->socket);
    mem_free(c);
}

void config_freep(struct config **c)
{
    config_free(*c);
}

static void free_sources(struct sources *s)
{
    config_yaml_free(s->root);
    config_file_free_layer(&s->file);
    config_file_free_layer(&s->env);
    config_file_free_layer(&s->given);
    config_file_free_db(&s->single);
    config_file_free_db(&s->command);
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static struct rc read_file(struct sources *s)
{
    const struct config_request *r = s->request;
    struct err why;
    struct rc rc;

    if (r->file == NULL)
        return RC_OK;
    rc = config_yaml_load(&s->root, r->fs, r->file, &why);
    if (rc.code == E_NOTFOUND && r->file_optional)
        return RC_OK;
    if (rc.code == E_NOTFOUND || rc.code == E_DENIED
        || (rc.code == E_IO && why.sys == EISDIR)) /* of the backup these codes would say something else */
        return rc_raise(s->err, E_CONFIG, "configuration: %s", why.msg);
    if (rc_failed(rc)) {
        *s->err = why;
        return rc;
    }
    s->c->file = mem_strdup(r->file);
    return config_file_read(s->c, &s->file, s->root, r->environ_pairs, !r->no_options, s->err);
}

/* --- the environment ---------------------------------------------------------------------------------------------- */

static const char *nearest_name(const char *name)
{
    static _Thread_local char names[NAMES_MAX][NAME_SIZE];
    const char *list[NAMES_MAX + 1] = {0};
    size_t n = 0;

    for (size_t i = 0; i < CONFIG_TOP_KEY_COUNT; i++)
        config_env_name(config_table_top[i].name, names[n++], NAME_SIZE);
    for (size_t i = CONFIG_DB_SYNC_INTERVAL; i < CONFIG_DB_KEY_COUNT; i++)
        config_env_name(config_table_db[i].name, names[n++], NAME_SIZE);
    (void)snprintf(names[n++], NAME_SIZE, "WEIR_DB");
    (void)snprintf(names[n++], NAME_SIZE, "WEIR_REPLICA");
    (void)snprintf(names[n++], NAME_SIZE, "WEIR_CONFIG");
    for (size_t i = 0; i < n; i++)
        list[i] = names[i];
    return config_table_nearest(name, list);
}

static struct rc unknown_variable(const struct sources *s, const char *name)
{
    const char *nearest;

    if (s->root != NULL && config_file_uses(s->root, name))
        return RC_OK; /* the file gives it its meaning */
    nearest = nearest_name(name);
    if (nearest != NULL)
        return rc_raise(s->err, E_CONFIG, "%.100s: there is no such setting: did you mean %s?", name, nearest);
    return rc_raise(s->err, E_CONFIG, "%.100s: there is no such setting", name);
}

static struct rc env_db(struct sources *s, size_t index, struct config_db **out)
{
    struct config_db *more;

    if (index >= s->env.db_count) {
        more = mem_resize(s->env.dbs, index + 1, sizeof *more);
        if (more == NULL)
            return rc_raise(s->err, E_NOMEM, "read the environment: out of memory");
        memset(more + s->env.db_count, 0, (index + 1 - s->env.db_count) * sizeof *more);
        s->env.dbs = more;
        s->env.db_count = index + 1;
    }
    *out = &s->env.dbs[index];
    if ((*out)->entry_at == NULL)
        (*out)->entry_at = mem_printf("WEIR_DATABASES_%zu", index);
    return RC_OK;
}

static struct rc take_key(struct sources *s, struct config_db *db, const struct config_env_var *v)
{
    int key = config_table_find(config_table_top, CONFIG_TOP_KEY_COUNT, v->key);

    if (v->kind == CONFIG_ENV_GLOBAL && key >= 0)
        return config_file_set_top(s->c, (enum config_top_key)key, v->value, v->name, s->err);
    key = config_table_find(config_table_db, CONFIG_DB_KEY_COUNT, v->key);
    return config_file_set_db(db, (enum config_db_key)key, v->value, v->name, s->err);
}

static struct rc take_variable(struct sources *s, const struct config_env_var *v)
{
    struct config_db *db = v->kind == CONFIG_ENV_SINGLE ? &s->single : &s->env.defaults;

    if (v->kind == CONFIG_ENV_OTHER || v->value[0] == 0) /* an empty variable is as good as none */
        return RC_OK;
    if (v->kind == CONFIG_ENV_UNKNOWN)
        return unknown_variable(s, v->name);
    if (v->has_index)
        TRY(env_db(s, v->index, &db));
    if (v->kind == CONFIG_ENV_OPTION)
        return config_file_set_option(db, v->key, v->value, v->name, s->err);
    return take_key(s, db, v);
}

static struct rc read_environment(struct sources *s)
{
    const char *const *pair = s->request->environ_pairs;

    for (; pair != NULL && *pair != NULL; pair++) {
        struct config_env_var v = config_env_parse(*pair);

        TRY(take_variable(s, &v));
    }
    if (s->request->operand_count > 0)
        return RC_OK; /* the command line names the databases */
    if ((s->single.path == NULL) != (s->single.replica == NULL))
        return rc_raise(s->err, E_CONFIG, "WEIR_DB and WEIR_REPLICA belong together: %s is not set",
            s->single.path == NULL ? "WEIR_DB" : "WEIR_REPLICA");
    if (s->single.path != NULL && s->env.db_count > 0)
        return rc_raise(s->err, E_CONFIG, "WEIR_DB and WEIR_DATABASES_<N>_... exclude each other");
    if (s->single.path != NULL)
        s->single.entry_at = mem_strdup("WEIR_DB");
    return RC_OK;
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static struct rc read_overrides(struct sources *s)
{
    for (size_t i = 0; i < s->request->override_count; i++) {
        const struct config_override *o = &s->request->overrides[i];
        int key;

        if (o->text == NULL)
            continue;
        key = config_table_find(config_table_top, CONFIG_TOP_KEY_COUNT, o->key);
        if (key >= 0) {
            TRY(config_file_set_top(s->c, (enum config_top_key)key, o->text, o->option, s->err));
            continue;
        }
        key = config_table_find(config_table_db, CONFIG_DB_KEY_COUNT, o->key);
        if (key < 0)
            return rc_raise(s->err, E_BUG, "%s: no key '%s'", o->option, o->key);
        TRY(config_file_set_db(&s->command, (enum config_db_key)key, o->text, o->option, s->err));
    }
    return RC_OK;
}

static struct rc read_operands(struct sources *s)
{
    const struct config_request *r = s->request;
    size_t count = r->operand_count / 2;

    if (count == 0)
        return RC_OK;
    s->given.dbs = mem_try(count, sizeof *s->given.dbs);
    if (s->given.dbs == NULL)
        return rc_raise(s->err, E_NOMEM, "read the command line: out of memory");
    for (size_t i = 0; i < count; i++) {
        struct config_db *db = &s->given.dbs[s->given.db_count++];

        db->entry_at = mem_strdup(r->operands[2 * i]);
        TRY(config_file_set_db(db, CONFIG_DB_PATH, r->operands[2 * i], "command line", s->err));
        TRY(config_file_set_db(db, CONFIG_DB_REPLICA, r->operands[2 * i + 1], "command line", s->err));
    }
    return RC_OK;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

static void add_options(struct config_db *to, const struct config_db *from)
{
    struct err ignored;

    for (size_t i = 0; i < from->option_count; i++) {
        const struct config_option *o = &from->options[i];

        if (config_file_option(to, o->name) == NULL)
            rc_ignore(config_file_set_option(to, o->name, o->value, o->at, &ignored),
                "it was accepted once, and there is room for the options of all sources");
    }
}

/* What `to` does not say yet is as `from` says. */
static void add_keys(struct config_db *to, const struct config_db *from)
{
    if (to->entry_at == NULL && from->entry_at != NULL)
        to->entry_at = mem_strdup(from->entry_at);
    for (size_t i = 0; i < CONFIG_DB_KEY_COUNT; i++) {
        if (to->at[i] != NULL || from->at[i] == NULL)
            continue;
        config_table_copy(&config_table_db[i], to, from);
        to->at[i] = mem_strdup(from->at[i]);
    }
}

/* The entry comes from the file, or is one that only the environment (`own`) or the command line knows. */
static void merge_one(
    const struct sources *s, const struct config_db *own, const struct config_db *entry, struct config_db *out)
{
    static const struct config_db nothing;
    const struct {
        const struct config_db *from;
        bool common; /* said for all databases */
    } layers[] = {
        {&s->command, true},
        {own != NULL ? own : &nothing, false},
        {&s->env.defaults, true},
        {entry != NULL ? entry : &nothing, false},
        {&s->file.defaults, true},
    };
    const size_t n = sizeof layers / sizeof layers[0];
    bool in_directory;

    if (entry != NULL && entry->entry_at != NULL) /* where the entry stands is where people look first */
        out->entry_at = mem_strdup(entry->entry_at);
    for (size_t i = 0; i < n; i++)
        add_keys(out, layers[i].from);
    /* A directory has no options, so what is said for all replicas is not for it. */
    in_directory = out->replica != NULL && strncmp(out->replica, "file:", 5) == 0;
    for (size_t i = 0; i < n; i++)
        if (!layers[i].common || !in_directory)
            add_options(out, layers[i].from);
    config_table_defaults(out);
}

static struct rc merge(struct sources *s)
{
    const struct config_layer single = {.dbs = &s->single, .db_count = 1};
    const struct config_layer *entries = s->request->operand_count > 0 ? &s->given
                                         : s->single.path != NULL      ? &single
                                                                       : &s->file;
    size_t count = entries->db_count, own_count = entries == &s->file ? s->env.db_count : 0;

    if (own_count > count)
        count = own_count;
    if (count > CONFIG_DBS_MAX)
        return rc_raise(s->err, E_CONFIG, "more than %d databases", CONFIG_DBS_MAX);
    s->c->dbs = mem_try(count + 1, sizeof *s->c->dbs); /* never of no size */
    if (s->c->dbs == NULL)
        return rc_raise(s->err, E_NOMEM, "merge the configuration: out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct config_db *own = i < own_count ? &s->env.dbs[i] : NULL;

        merge_one(s, own, i < entries->db_count ? &entries->dbs[i] : NULL, &s->c->dbs[i]);
        s->c->db_count++;
    }
    return RC_OK;
}

/* --- what makes sense together ------------------------------------------------------------------------------------ */

static struct rc needs_dir(const struct config_db *db, enum config_db_key key, struct err *err)
{
    if (db->at[key] == NULL || db->dir != NULL)
        return RC_OK;
    return rc_raise(
        err, E_CONFIG, "%s: %s is for databases that are found in a dir", db->at[key], config_table_db[key].name);
}

static struct rc check_replica(const struct config_db *db, struct err *err)
{
    const char *at = db->at[CONFIG_DB_REPLICA], *colon;
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789+";

    if (db->replica == NULL)
        return rc_raise(
            err, E_CONFIG, "%s: the database has no replica", db->entry_at != NULL ? db->entry_at : "the environment");
    colon = strstr(db->replica, "://");
    if (colon == NULL || colon == db->replica || strspn(db->replica, scheme) != (size_t)(colon - db->replica))
        return rc_raise(err, E_CONFIG, "%s: replica: it is not a URL like s3://bucket/path or file:///path", at);
    if (db->dir == NULL && (strstr(db->replica, "{path}") != NULL || strstr(db->replica, "{name}") != NULL))
        return rc_raise(err, E_CONFIG, "%s: replica: {path} and {name} are for databases that are found in a dir", at);
    return RC_OK;
}

static struct rc check_db(const struct config_db *db, struct err *err)
{
    const char *at = db->entry_at != NULL ? db->entry_at : "the environment";

    if (db->path == NULL && db->dir == NULL)
        return rc_raise(err, E_CONFIG, "%s: the database has no path (and no dir)", at);
    if (db->path != NULL && db->dir != NULL)
        return rc_raise(err, E_CONFIG, "%s: path and dir exclude each other", db->at[CONFIG_DB_DIR]);
    TRY(needs_dir(db, CONFIG_DB_PATTERN, err));
    TRY(needs_dir(db, CONFIG_DB_WATCH, err));
    TRY(needs_dir(db, CONFIG_DB_RECURSIVE, err));
    if (db->pattern != NULL && strchr(db->pattern, '/') != NULL)
        return rc_raise(
            err, E_CONFIG, "%s: pattern: it is for names of files, so it holds no '/'", db->at[CONFIG_DB_PATTERN]);
    return check_replica(db, err);
}

static bool same_place(const char *a, const char *b)
{
    size_t n = folder_match_trimmed(a);

    return n == folder_match_trimmed(b) && strncmp(a, b, n) == 0;
}

static bool same_options(const struct config_db *a, const struct config_db *b)
{
    for (size_t i = 0; i < a->option_count; i++) {
        const struct config_option *o = config_file_option(b, a->options[i].name);

        if (o == NULL || strcmp(o->value, a->options[i].value) != 0)
            return false;
    }
    return a->option_count == b->option_count;
}

static struct rc check_pair(const struct config_db *a, const struct config_db *b, struct err *err)
{
    if (a->path != NULL && b->path != NULL && same_place(a->path, b->path))
        return rc_raise(
            err, E_CONFIG, "%s: %s has an entry already, at %s", b->at[CONFIG_DB_PATH], b->path, a->at[CONFIG_DB_PATH]);
    if (a->dir != NULL && b->dir != NULL && same_place(a->dir, b->dir) && strcmp(a->pattern, b->pattern) == 0)
        return rc_raise(
            err, E_CONFIG, "%s: %s has an entry already, at %s", b->at[CONFIG_DB_DIR], b->dir, a->at[CONFIG_DB_DIR]);
    /* The same bucket and prefix at another endpoint is another replica. */
    if (same_place(a->replica, b->replica) && same_options(a, b))
        return rc_raise(err, E_CONFIG, "%s: replica: another database has this one already, at %s",
            b->at[CONFIG_DB_REPLICA], a->at[CONFIG_DB_REPLICA]);
    return RC_OK;
}

struct rc config_check_pairs(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->db_count; i++)
        for (size_t j = 0; j < i; j++)
            TRY(check_pair(&c->dbs[j], &c->dbs[i], err));
    return RC_OK;
}

static struct rc check(const struct sources *s)
{
    const struct config *c = s->c;

    if (c->http_token_file != NULL && c->http_listen == NULL)
        return rc_raise(s->err, E_CONFIG, "%s: http.token-file needs http.listen", c->at[CONFIG_TOP_HTTP_TOKEN_FILE]);
    for (size_t i = 0; i < c->db_count; i++)
        TRY(check_db(&c->dbs[i], s->err));
    TRY(config_check_pairs(c, s->err));
    if (c->db_count > 0 || s->request->any_count)
        return RC_OK;
    if (c->file != NULL)
        return rc_raise(s->err, E_CONFIG, "%s: it names no databases", c->file);
    return rc_raise(s->err, E_CONFIG,
        "no database is named: not on the command line, not by WEIR_DB and WEIR_REPLICA, and there is no %s",
        s->request->file != NULL ? s->request->file : "configuration file");
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

static struct rc load(struct sources *s)
{
    TRY(read_file(s));
    TRY(read_environment(s)); /* keys of the whole: the later source writes over the earlier */
    TRY(read_overrides(s));
    TRY(read_operands(s));
    TRY(merge(s));
    return check(s);
}

struct rc config_load(struct config **out, const struct config_request *request, struct err *err)
{
    CLEANUP(config_freep) struct config *c = mem_new(sizeof *c);
    CLEANUP(free_sources) struct sources s = {.request = request, .c = c, .err = err};

    c->log_level = SLOG_INFO;
    c->log_format = SLOG_TEXT;
    c->shutdown_ms = 30000;
    TRY(load(&s));
    *out = MOVE(c);
    return RC_OK;
}

bool config_has_retention(const struct config_db *db)
{
    for (int i = CONFIG_DB_RETENTION_EXACT; i <= CONFIG_DB_RETENTION_MONTHLY; i++)
        if (db->at[i] != NULL)
            return true;
    return false;
}

const struct config_db *config_find_path(const struct config *c, const char *path, const char **relative)
{
    const struct config_db *found = NULL;

    *relative = NULL;
    for (size_t i = 0; i < c->db_count; i++)
        if (c->dbs[i].path != NULL && strcmp(c->dbs[i].path, path) == 0)
            return &c->dbs[i];
    for (size_t i = 0; i < c->db_count; i++) {
        const struct config_db *db = &c->dbs[i];
        const char *rest = db->dir != NULL ? folder_match_inside(db->dir, db->pattern, db->recursive, path) : NULL;

        if (rest == NULL || (found != NULL && strlen(found->dir) >= strlen(c->dbs[i].dir)))
            continue; /* the innermost folder knows best */
        found = &c->dbs[i];
        *relative = rest;
    }
    return found;
}
