/* SPDX-License-Identifier: Apache-2.0 */
#include "config_print.h"

#include "alloc.h"
#include "config_replica.h"
#include "config_table.h"

#include <string.h>

struct printer {
    struct buf *out;
    bool places;
    char group_text[64]; /* of the last line: "sync"; "": none */
};

/* Plain where no YAML reader could take it for anything else. */
static bool is_plain(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+=@%~:";
    size_t n = strlen(text);

    if (n == 0 || text[strspn(text, plain)] != 0 || strchr("-:~=@%", text[0]) != NULL || text[n - 1] == ':')
        return false;
    return strcmp(text, "null") != 0;
}

/* In double quotes; what is no text in UTF-8 can be printed, but not read again. */
static void put_scalar(struct buf *out, const char *text)
{
    if (is_plain(text)) {
        buf_text(out, text);
        return;
    }
    buf_u8(out, '"');
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            buf_u8(out, '\\');
        if (strncmp(text, "${", 2) == 0)
            buf_u8(out, '$'); /* it is not to be expanded again */
        buf_put(out, text, 1);
    }
    buf_u8(out, '"');
}

static void put_place(struct printer *p, const char *at)
{
    if (p->places)
        buf_printf(p->out, "  # %s", at != NULL ? at : "default");
    buf_u8(p->out, '\n');
}

static void put_value(struct printer *p, int indent, const char *key, const char *value, const char *at)
{
    buf_printf(p->out, "%*s%s: ", indent, "", key);
    put_scalar(p->out, value);
    put_place(p, at);
}

/* "sync.interval" below its group's line. */
static void put_key(struct printer *p, int indent, const struct config_key *key, const void *base, const char *at)
{
    CLEANUP(mem_freep) char *text = config_table_text(key, base);
    const char *dot = strchr(key->name, '.');
    size_t n = dot != NULL ? (size_t)(dot - key->name) : 0;

    if (text == NULL)
        return;
    if (dot == NULL) {
        p->group_text[0] = 0;
        put_value(p, indent, key->name, text, at);
        return;
    }
    if (strlen(p->group_text) != n || strncmp(p->group_text, key->name, n) != 0) {
        memcpy(p->group_text, key->name, n); /* names of groups are short */
        p->group_text[n] = 0;
        buf_printf(p->out, "%*s%s:\n", indent, "", p->group_text);
    }
    put_value(p, indent + 2, dot + 1, text, at);
}

/* A proxy or an endpoint may hold a password. */
static char *option_text(const struct config_option *o)
{
    return config_replica_secret(o->name) ? mem_strdup("<hidden>") : config_replica_redact(o->value);
}

static void put_replica(struct printer *p, const struct config_db *db)
{
    CLEANUP(mem_freep) char *url = config_replica_redact(db->replica);

    if (db->option_count == 0) {
        put_value(p, 4, "replica", url, db->at[CONFIG_DB_REPLICA]);
        return;
    }
    buf_text(p->out, "    replica:\n");
    put_value(p, 6, "url", url, db->at[CONFIG_DB_REPLICA]);
    for (size_t i = 0; i < db->option_count; i++) {
        const struct config_option *o = &db->options[i];
        CLEANUP(mem_freep) char *value = option_text(o);

        put_value(p, 6, o->name, value, o->at);
    }
}

/* What holds only for folders, or does nothing unless it is given. */
static bool is_shown(const struct config_db *db, int key)
{
    if (key == CONFIG_DB_PATTERN || key == CONFIG_DB_WATCH || key == CONFIG_DB_RECURSIVE || key == CONFIG_DB_PARK_AFTER)
        return db->dir != NULL;
    if (key >= CONFIG_DB_RETENTION_EXACT && key <= CONFIG_DB_RETENTION_INTERVAL)
        return config_has_retention(db);
    return true;
}

static void put_db(struct printer *p, const struct config_db *db)
{
    const struct config_key *first = &config_table_db[db->path != NULL ? CONFIG_DB_PATH : CONFIG_DB_DIR];

    buf_printf(p->out, "  - %s: ", first->name);
    put_scalar(p->out, db->path != NULL ? db->path : db->dir);
    put_place(p, db->at[db->path != NULL ? CONFIG_DB_PATH : CONFIG_DB_DIR]);
    p->group_text[0] = 0;
    for (int i = CONFIG_DB_PATTERN; i < CONFIG_DB_KEY_COUNT; i++) {
        if (i == CONFIG_DB_REPLICA)
            put_replica(p, db);
        else if (is_shown(db, i))
            put_key(p, 4, &config_table_db[i], db, db->at[i]);
    }
}

void config_print_yaml(const struct config *c, bool places, struct buf *out)
{
    struct printer p = {.out = out, .places = places};

    if (places)
        buf_printf(out, "# %s\n", c->file != NULL ? c->file : "no configuration file");
    for (size_t i = 0; i < CONFIG_TOP_KEY_COUNT; i++)
        put_key(&p, 0, &config_table_top[i], c, c->at[i]);
    buf_text(out, c->db_count > 0 ? "databases:\n" : "databases: []\n");
    for (size_t i = 0; i < c->db_count; i++)
        put_db(&p, &c->dbs[i]);
}

/* --- one after the other ------------------------------------------------------------------------------------------ */

struct each {
    config_print_fn fn;
    void *ctx;
};

static void give(const struct each *e, const char *key, const char *value, const char *at)
{
    e->fn(e->ctx, key, value, at);
}

static void give_key(
    const struct each *e, const char *group, const struct config_key *key, const void *base, const char *at)
{
    CLEANUP(mem_freep) char *text = config_table_text(key, base), *name = mem_printf("%s%s", group, key->name);

    if (text != NULL)
        give(e, name, text, at);
}

static void give_replica(const struct each *e, const char *group, const struct config_db *db)
{
    CLEANUP(mem_freep) char *url = config_replica_redact(db->replica), *name = mem_printf("%sreplica", group);

    give(e, name, url, db->at[CONFIG_DB_REPLICA]);
    for (size_t i = 0; i < db->option_count; i++) {
        const struct config_option *o = &db->options[i];
        CLEANUP(mem_freep) char *option = mem_printf("%s.%s", name, o->name), *value = option_text(o);

        give(e, option, value, o->at);
    }
}

static void give_db(const struct each *e, size_t index, const struct config_db *db)
{
    CLEANUP(mem_freep) char *group = mem_printf("databases[%zu].", index);

    for (int i = CONFIG_DB_PATH; i < CONFIG_DB_KEY_COUNT; i++) {
        if (i == CONFIG_DB_REPLICA)
            give_replica(e, group, db);
        else if (is_shown(db, i))
            give_key(e, group, &config_table_db[i], db, db->at[i]);
    }
}

void config_print_each(const struct config *c, config_print_fn fn, void *ctx)
{
    const struct each e = {fn, ctx};

    for (size_t i = 0; i < CONFIG_TOP_KEY_COUNT; i++)
        give_key(&e, "", &config_table_top[i], c, c->at[i]);
    for (size_t i = 0; i < c->db_count; i++)
        give_db(&e, i, &c->dbs[i]);
}
