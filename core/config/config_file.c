/* SPDX-License-Identifier: Apache-2.0 */
#include "config_file.h"

#include "alloc.h"
#include "config_env.h"
#include "config_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { KEY_SIZE = 128, WORDS_MAX = 40, WORD_SIZE = 40 };

/* Where the keys of a mapping go. */
enum target { TO_TOP, TO_DB, TO_DEFAULTS };

struct reader {
    struct config *c;
    const char *file;
    const char *const *environ_pairs;
    bool with_options;
    struct err *err;
};

/* --- layers ------------------------------------------------------------------------------------------------------- */

static void free_option(struct config_option *o)
{
    mem_free(o->name);
    explicit_bzero(o->value, strlen(o->value));
    mem_free(o->value);
    mem_free(o->at);
}

void config_file_free_db(struct config_db *db)
{
    for (size_t i = 0; i < CONFIG_DB_KEY_COUNT; i++)
        mem_free(db->at[i]);
    for (size_t i = 0; i < db->option_count; i++)
        free_option(&db->options[i]);
    mem_free(db->options);
    mem_free(db->entry_at);
    mem_free(db->path);
    mem_free(db->dir);
    mem_free(db->pattern);
    mem_free(db->replica);
    mem_free(db->seed);
    mem_free(db->price);
    mem_free(db->state_dir);
    *db = (struct config_db){0};
}

void config_file_free_layer(struct config_layer *layer)
{
    config_file_free_db(&layer->defaults);
    for (size_t i = 0; i < layer->db_count; i++)
        config_file_free_db(&layer->dbs[i]);
    mem_free(layer->dbs);
}

static void note_place(char **at, const char *text)
{
    char *copy = mem_strdup(text);

    mem_free(*at);
    *at = copy;
}

/* What came from outside is one line: it goes into the control protocol, URLs and headers. */
static struct rc check_line(const char *text, struct err *err)
{
    /* In UTF-8: line and paragraph separators, the byte order mark, what is no character at all. */
    static const char *const odd[] = {"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};

    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++) {
        if (*at < 0x20 || *at == 0x7f)
            return rc_raise(err, E_CONFIG, "the value holds a control character (0x%02x)", *at);
        if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            return rc_raise(err, E_CONFIG, "the value holds a control character (0x%02x)", at[1]);
    }
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        if (strstr(text, odd[i]) != NULL)
            return rc_raise(err, E_CONFIG, "the value holds a character that cannot be seen");
    return RC_OK;
}

static struct rc set(const struct config_key *key, void *base, const char *text, const char *at, struct err *err)
{
    struct rc rc = check_line(text, err);

    if (!rc_failed(rc))
        rc = config_table_set(key, base, text, err);
    return rc_failed(rc) ? rc_wrap(err, "%s: %s", at, key->name) : RC_OK;
}

struct rc config_file_set_db(
    struct config_db *db, enum config_db_key key, const char *text, const char *at, struct err *err)
{
    TRY(set(&config_table_db[key], db, text, at, err));
    note_place(&db->at[key], at);
    return RC_OK;
}

struct rc config_file_set_top(
    struct config *c, enum config_top_key key, const char *text, const char *at, struct err *err)
{
    TRY(set(&config_table_top[key], c, text, at, err));
    note_place(&c->at[key], at);
    return RC_OK;
}

const struct config_option *config_file_option(const struct config_db *db, const char *name)
{
    for (size_t i = 0; i < db->option_count; i++)
        if (strcmp(db->options[i].name, name) == 0)
            return &db->options[i];
    return NULL;
}

struct rc config_file_set_option(
    struct config_db *db, const char *name, const char *value, const char *at, struct err *err)
{
    struct config_option *more;

    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0 || strlen(name) > WORD_SIZE)
        return rc_raise(err, E_CONFIG, "%s: '%.64s' is not the name of an option of a replica", at, name);
    if (value[0] == 0)
        return rc_raise(err, E_CONFIG, "%s: replica.%s: it has no value", at, name);
    TRY_CTX(check_line(value, err), err, "%s: replica.%s", at, name);
    if (db->option_count == CONFIG_OPTIONS_MAX)
        return rc_raise(err, E_CONFIG, "%s: more than %d options of a replica", at, CONFIG_OPTIONS_MAX);
    more = mem_resize(db->options, db->option_count + 1, sizeof *more);
    if (more == NULL)
        return rc_raise(err, E_NOMEM, "%s: out of memory", at);
    db->options = more;
    db->options[db->option_count++] =
        (struct config_option){.name = mem_strdup(name), .value = mem_strdup(value), .at = mem_strdup(at)};
    return RC_OK;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

PRINTF(4, 5) static struct rc refuse(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
{
    char text[ERR_MSG_SIZE];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut when too long */
    va_end(ap);
    return rc_raise(r->err, E_CONFIG, "%s:%u:%u: %s", r->file, line, column, text);
}

static char *place(const struct reader *r, const struct config_yaml *node)
{
    return mem_printf("%s:%u:%u", r->file, node->line, node->column);
}

/* --- which keys there are ----------------------------------------------------------------------------------------- */

/* `defaults` are for what databases have in common, so not for what makes one a database of its own. */
static const struct config_key *keys_of(enum target target, size_t *first, size_t *count)
{
    *first = target == TO_DEFAULTS ? CONFIG_DB_SYNC_INTERVAL : 0;
    *count = target == TO_TOP ? (size_t)CONFIG_TOP_KEY_COUNT : (size_t)CONFIG_DB_KEY_COUNT;
    return target == TO_TOP ? config_table_top : config_table_db;
}

static bool is_group(enum target target, const char *name)
{
    size_t i, count, n = strlen(name);
    const struct config_key *keys = keys_of(target, &i, &count);

    for (; i < count; i++)
        if (strncmp(keys[i].name, name, n) == 0 && keys[i].name[n] == '.')
            return true;
    return false;
}

struct words {
    char text[WORDS_MAX][WORD_SIZE];
    const char *list[WORDS_MAX + 1];
    size_t count;
};

static void add_word(struct words *w, const char *text, size_t size)
{
    if (size >= WORD_SIZE || w->count == WORDS_MAX)
        return;
    memcpy(w->text[w->count], text, size);
    w->text[w->count][size] = 0;
    w->list[w->count] = w->text[w->count];
    w->count++;
}

/* What may stand where `name` stands, which begins with `prefix` ("sync." or ""). */
static const char *nearest_key(enum target target, const char *prefix, const char *word)
{
    static _Thread_local struct words w;
    size_t i, count, n = strlen(prefix);
    const struct config_key *keys = keys_of(target, &i, &count);

    w = (struct words){0};
    for (; i < count; i++)
        if (strncmp(keys[i].name, prefix, n) == 0)
            add_word(&w, keys[i].name + n, strcspn(keys[i].name + n, "."));
    if (target == TO_TOP && n == 0) {
        add_word(&w, "databases", 9);
        add_word(&w, "defaults", 8);
    }
    if (target == TO_DEFAULTS && n == 0)
        add_word(&w, "replica", 7);
    return config_table_nearest(word, w.list);
}

static struct rc unknown_key(struct reader *r, enum target target, const char *prefix, const struct config_yaml *node)
{
    const char *nearest = nearest_key(target, prefix, node->key);

    if (target == TO_DEFAULTS && config_table_find(config_table_db, CONFIG_DB_SYNC_INTERVAL, node->key) >= 0)
        return refuse(r, node->key_line, node->key_column, "'%s' belongs to one database, not to defaults", node->key);
    if (nearest != NULL)
        return refuse(r, node->key_line, node->key_column, "there is no key '%s%.64s': did you mean '%s%s'?", prefix,
            node->key, prefix, nearest);
    return refuse(r, node->key_line, node->key_column, "there is no key '%s%.64s'%s", prefix, node->key,
        target == TO_DB         ? " of a database"
        : target == TO_DEFAULTS ? " in defaults"
                                : "");
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* The text of a scalar with its variables expanded; to be wiped and freed. */
static struct rc value_of(struct reader *r, const char *name, const struct config_yaml *node, char **out)
{
    if (node->kind != CONFIG_YAML_SCALAR)
        return refuse(r, node->line, node->column, "%s: %s stands where a single value is expected", name,
            config_yaml_kind_name(node->kind));
    if (node->empty || node->text[0] == 0)
        return refuse(r, node->line, node->column, "%s: it has no value", name);
    TRY_CTX(config_env_expand(r->environ_pairs, node->text, out, r->err), r->err, "%s:%u:%u: %s", r->file, node->line,
        node->column, name);
    if ((*out)[0] != 0)
        return RC_OK;
    mem_free(MOVE(*out));
    return refuse(r, node->line, node->column, "%s: the variables in it are empty", name);
}

static void wipep(char **text)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text));
    mem_free(*text);
}

static struct rc expect_kind(
    struct reader *r, const char *name, const struct config_yaml *node, enum config_yaml_kind kind)
{
    if (node->kind == kind)
        return RC_OK;
    if (node->kind == CONFIG_YAML_SCALAR && node->empty)
        return refuse(r, node->line, node->column, "%s: it has no value", name);
    return refuse(r, node->line, node->column, "%s: %s stands where %s is expected", name,
        config_yaml_kind_name(node->kind), config_yaml_kind_name(kind));
}

/* --- replicas ----------------------------------------------------------------------------------------------------- */

static struct rc read_option(struct reader *r, struct config_db *db, const struct config_yaml *node)
{
    CLEANUP(mem_freep) char *name = mem_printf("replica.%.64s", node->key), *at = place(r, node);
    CLEANUP(wipep) char *value = NULL;

    if (!r->with_options)
        return RC_OK;
    TRY(value_of(r, name, node, &value));
    return config_file_set_option(db, node->key, value, at, r->err);
}

static struct rc read_replica(
    struct reader *r, struct config_db *db, enum target target, const struct config_yaml *node)
{
    CLEANUP(mem_freep) char *at = place(r, node);
    CLEANUP(wipep) char *url = NULL;
    const struct config_yaml *inside = node;

    if (node->kind == CONFIG_YAML_MAP) {
        inside = config_yaml_get(node, "url");
        for (const struct config_yaml *child = node->first; child != NULL; child = child->next)
            if (child != inside)
                TRY(read_option(r, db, child));
        if (inside == NULL && target == TO_DEFAULTS)
            return RC_OK;
        if (inside == NULL)
            return refuse(r, node->line, node->column, "replica: its url is missing");
        mem_free(at);
        at = place(r, inside);
    }
    if (target == TO_DEFAULTS)
        return refuse(r, inside->line, inside->column,
            "replica: the URL belongs to one database; defaults take a mapping of options");
    TRY(value_of(r, inside == node ? "replica" : "replica.url", inside, &url));
    return config_file_set_db(db, CONFIG_DB_REPLICA, url, at, r->err);
}

/* --- mappings ----------------------------------------------------------------------------------------------------- */

static struct rc read_key(
    struct reader *r, enum target target, struct config_db *db, int key, const struct config_yaml *node)
{
    CLEANUP(mem_freep) char *at = place(r, node);
    CLEANUP(wipep) char *value = NULL;

    TRY(value_of(r, target == TO_TOP ? config_table_top[key].name : config_table_db[key].name, node, &value));
    if (target == TO_TOP)
        return config_file_set_top(r->c, (enum config_top_key)key, value, at, r->err);
    return config_file_set_db(db, (enum config_db_key)key, value, at, r->err);
}

/* Keys below `prefix`, "" or "group.": the tables have two levels. */
static struct rc read_keys(
    struct reader *r, enum target target, const char *prefix, struct config_db *db, const struct config_yaml *map)
{
    for (const struct config_yaml *node = map->first; node != NULL; node = node->next) {
        size_t first, count;
        const struct config_key *keys = keys_of(target, &first, &count);
        char name[KEY_SIZE];
        int key, n = snprintf(name, sizeof name, "%s%s", prefix, node->key);

        if (prefix[0] == 0 && target == TO_TOP
            && (strcmp(node->key, "databases") == 0 || strcmp(node->key, "defaults") == 0))
            continue;
        if (prefix[0] == 0 && target != TO_TOP && strcmp(node->key, "replica") == 0) {
            TRY(read_replica(r, db, target, node));
            continue;
        }
        key = n < 0 || (size_t)n >= sizeof name ? -1 : config_table_find(keys, count, name);
        if (key >= (int)first && strchr(node->key, '.') == NULL) {
            TRY(read_key(r, target, db, key, node));
        } else if (prefix[0] == 0 && is_group(target, node->key)) {
            TRY(expect_kind(r, node->key, node, CONFIG_YAML_MAP));
            (void)snprintf(name, sizeof name, "%.100s.", node->key); /* a group's name is short */
            TRY(read_keys(r, target, name, db, node));
        } else {
            return unknown_key(r, target, prefix, node);
        }
    }
    return RC_OK;
}

static struct rc read_databases(struct reader *r, struct config_layer *layer, const struct config_yaml *list)
{
    TRY(expect_kind(r, "databases", list, CONFIG_YAML_LIST));
    if (list->count > CONFIG_DBS_MAX)
        return refuse(r, list->line, list->column, "databases: more than %d entries", CONFIG_DBS_MAX);
    layer->dbs = mem_try(list->count + 1, sizeof *layer->dbs); /* never of no size */
    if (layer->dbs == NULL)
        return rc_raise(r->err, E_NOMEM, "%s: out of memory", r->file);
    for (const struct config_yaml *item = list->first; item != NULL; item = item->next) {
        struct config_db *db = &layer->dbs[layer->db_count++];

        TRY(expect_kind(r, "an entry of databases", item, CONFIG_YAML_MAP));
        db->entry_at = place(r, item);
        TRY(read_keys(r, TO_DB, "", db, item));
    }
    return RC_OK;
}

struct rc config_file_read(struct config *c, struct config_layer *layer, const struct config_yaml *root,
    const char *const *environ_pairs, bool with_options, struct err *err)
{
    struct reader r = {
        .c = c, .file = c->file, .environ_pairs = environ_pairs, .with_options = with_options, .err = err};
    const struct config_yaml *part;

    TRY(expect_kind(&r, "the configuration", root, CONFIG_YAML_MAP));
    TRY(read_keys(&r, TO_TOP, "", NULL, root));
    part = config_yaml_get(root, "defaults");
    if (part != NULL) {
        TRY(expect_kind(&r, "defaults", part, CONFIG_YAML_MAP));
        TRY(read_keys(&r, TO_DEFAULTS, "", &layer->defaults, part));
    }
    part = config_yaml_get(root, "databases");
    return part != NULL ? read_databases(&r, layer, part) : RC_OK;
}

bool config_file_uses(const struct config_yaml *node, const char *variable)
{
    size_t n = strlen(variable);

    if (node->kind == CONFIG_YAML_SCALAR) {
        for (const char *at = strstr(node->text, "${"); at != NULL; at = strstr(at + 2, "${"))
            if (strncmp(at + 2, variable, n) == 0 && (at[2 + n] == '}' || at[2 + n] == ':'))
                return true;
        return false;
    }
    for (const struct config_yaml *child = node->first; child != NULL; child = child->next)
        if (config_file_uses(child, variable))
            return true;
    return false;
}
