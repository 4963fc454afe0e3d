/* SPDX-License-Identifier: Apache-2.0 */
#include "config_env.h"

#include "alloc.h"
#include "buf.h"
#include "config_table.h"
#include "strx.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "WEIR_"

/* --- variables in values ------------------------------------------------------------------------------------------ */

static bool name_char(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && c >= '0' && c <= '9');
}

static size_t name_length(const char *text)
{
    size_t n = 0;

    while (name_char(text[n], n == 0))
        n++;
    return n;
}

static const char *lookup(const char *const *environ_pairs, const char *name, size_t size)
{
    for (; environ_pairs != NULL && *environ_pairs != NULL; environ_pairs++)
        if (strncmp(*environ_pairs, name, size) == 0 && (*environ_pairs)[size] == '=')
            return *environ_pairs + size + 1;
    return NULL;
}

const char *config_env_get(const char *const *environ_pairs, const char *name)
{
    return lookup(environ_pairs, name, strlen(name));
}

/* `*at` stands behind "${" and is moved behind "}". */
static struct rc expand_one(const char *const *environ_pairs, const char **at, struct buf *out, struct err *err)
{
    enum { QUOTE = 64 };
    size_t n = name_length(*at);
    const char *name = *at, *rest = name + n, *end = strchr(rest, '}'), *value;
    bool has_default = strncmp(rest, ":-", 2) == 0;
    int shown = n < QUOTE ? (int)n : QUOTE;

    if (end == NULL)
        return rc_raise(err, E_CONFIG, "'${%.*s' has no '}' (a plain '${' is written '$${')", shown, name);
    if (n == 0)
        return rc_raise(
            err, E_CONFIG, "'${' is not followed by the name of a variable (a plain '${' is written '$${')");
    if (!has_default && rest != end)
        return rc_raise(err, E_CONFIG, "'${%.*s' must go on with '}' or ':-DEFAULT}'", shown, name);
    value = lookup(environ_pairs, name, n);
    *at = end + 1;
    if (value != NULL && (value[0] != 0 || !has_default)) {
        buf_text(out, value);
        return RC_OK;
    }
    if (!has_default)
        return rc_raise(err, E_CONFIG, "the environment variable %.*s is not set", shown, name);
    rest += 2;
    if (memmem(rest, (size_t)(end - rest), "${", 2) != NULL)
        return rc_raise(err, E_CONFIG, "the default of '${%.*s' holds another '${'", shown, name);
    buf_put(out, rest, (size_t)(end - rest));
    return RC_OK;
}

static struct rc expand(const char *const *environ_pairs, const char *text, struct buf *out, struct err *err)
{
    for (const char *at = text; *at != 0;) {
        if (strncmp(at, "$${", 3) == 0) {
            buf_text(out, "${");
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            at += 2;
            TRY(expand_one(environ_pairs, &at, out, err));
        } else {
            buf_put(out, at++, 1);
        }
    }
    if (out->failed == E_NOSPACE)
        return rc_raise(err, E_CONFIG, "the value is longer than %d bytes", CONFIG_ENV_VALUE_MAX);
    return buf_check(out, "a value", err);
}

struct rc config_env_expand(const char *const *environ_pairs, const char *text, char **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf value;
    struct rc rc;

    buf_init(&value, CONFIG_ENV_VALUE_MAX);
    rc = expand(environ_pairs, text, &value, err);
    if (!rc_failed(rc))
        *out = mem_strdup(buf_str(&value));
    if (value.data != NULL)
        explicit_bzero(value.data, value.size);
    return rc;
}

/* --- variables that are settings ---------------------------------------------------------------------------------- */

void config_env_name(const char *key, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, PREFIX "%s", key);

    for (size_t i = 0; i < n && i < size; i++)
        out[i] = out[i] == '.' || out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* "SYNC_INTERVAL" is the variable of which key?  NULL: none. */
static const char *key_of(const struct config_key *table, size_t first, size_t count, const char *tail)
{
    char name[128];

    for (size_t i = first; i < count; i++) {
        config_env_name(table[i].name, name, sizeof name);
        if (strcmp(name + sizeof PREFIX - 1, tail) == 0)
            return table[i].name;
    }
    return NULL;
}

/* Options are named by the store, so there is no table of them here: hyphens and small letters are all that is known.
 */
static bool option_name(const char *tail, char *out, size_t size)
{
    size_t n = strlen(tail);

    if (n == 0 || n >= size || tail[strspn(tail, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] != 0)
        return false;
    for (size_t i = 0; i <= n; i++)
        out[i] = tail[i] == '_' ? '-' : (char)tolower((unsigned char)tail[i]);
    return true;
}

static void set_key(struct config_env_var *v, enum config_env_kind kind, const char *key)
{
    v->kind = kind;
    (void)snprintf(v->key, sizeof v->key, "%s", key);
}

static void parse_option(struct config_env_var *v, const char *tail)
{
    if (option_name(tail, v->key, sizeof v->key))
        v->kind = CONFIG_ENV_OPTION;
}

/* "0_SYNC_INTERVAL" */
static void parse_indexed(struct config_env_var *v, const char *tail)
{
    size_t digits = strspn(tail, "0123456789");
    char number[8];
    uint64_t index;
    struct err ignored;
    const char *key;

    if (digits == 0 || digits >= sizeof number || tail[digits] != '_')
        return;
    (void)snprintf(number, sizeof number, "%.*s", (int)digits, tail);
    if (rc_failed(strx_u64(number, 0, CONFIG_ENV_INDEX_MAX - 1, &index, &ignored)))
        return;
    v->has_index = true;
    v->index = (size_t)index;
    tail += digits + 1;
    key = key_of(config_table_db, 0, CONFIG_DB_KEY_COUNT, tail);
    if (key != NULL)
        set_key(v, CONFIG_ENV_DATABASE, key);
    else if (strncmp(tail, "REPLICA_", 8) == 0)
        parse_option(v, tail + 8);
}

/*
 * Not meant for weir: Kubernetes makes variables like these for a service that is called "weir" or "weir-metrics", and
 * the tests have some.
 */
static bool is_foreign(const char *tail)
{
    const char *port = strstr(tail, "PORT");

    if (strcmp(tail, "CONFIG") == 0 || strncmp(tail, "TEST_", 5) == 0)
        return true;
    if (strstr(tail, "SERVICE_HOST") != NULL || strstr(tail, "SERVICE_PORT") != NULL)
        return true;
    return port != NULL && (port == tail || port[-1] == '_')
           && (port[4] == 0 || (port[4] == '_' && isdigit((unsigned char)port[5])));
}

struct config_env_var config_env_parse(const char *pair)
{
    struct config_env_var v = {.kind = CONFIG_ENV_OTHER};
    const char *equals = strchr(pair, '='), *tail, *key;

    if (equals == NULL || strncmp(pair, PREFIX, sizeof PREFIX - 1) != 0)
        return v;
    (void)snprintf(v.name, sizeof v.name, "%.*s", (int)(equals - pair > 1000 ? 1000 : equals - pair), pair);
    v.value = equals + 1;
    tail = v.name + sizeof PREFIX - 1;
    if (is_foreign(tail))
        return v;
    v.kind = CONFIG_ENV_UNKNOWN;
    key = key_of(config_table_top, 0, CONFIG_TOP_KEY_COUNT, tail);
    if (key == NULL)
        key = key_of(config_table_db, CONFIG_DB_SYNC_INTERVAL, CONFIG_DB_KEY_COUNT, tail);
    if (key != NULL)
        set_key(&v, CONFIG_ENV_GLOBAL, key);
    else if (strcmp(tail, "DB") == 0)
        set_key(&v, CONFIG_ENV_SINGLE, "path");
    else if (strcmp(tail, "REPLICA") == 0)
        set_key(&v, CONFIG_ENV_SINGLE, "replica");
    else if (strncmp(tail, "REPLICA_", 8) == 0)
        parse_option(&v, tail + 8);
    else if (strncmp(tail, "DATABASES_", 10) == 0)
        parse_indexed(&v, tail + 10);
    return v;
}
