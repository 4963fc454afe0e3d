/* SPDX-License-Identifier: Apache-2.0 */
#include "config_replica.h"

#include "alloc.h"
#include "config_file.h"

#include <assert.h>
#include <string.h>

enum { URL_MAX = 8192 };
#define HIDDEN "<hidden>"

/* --- URLs --------------------------------------------------------------------------------------------------------- */

/* Names of files may hold anything; '/' stays a '/'. */
static void put_encoded(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    for (; *text != 0; text++) {
        if (strchr(plain, *text) != NULL)
            buf_put(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void put_url(struct buf *out, const char *url, const char *relative)
{
    const char *name = strrchr(relative, '/'), *query = url + strcspn(url, "?");
    bool placed = false;

    name = name != NULL ? name + 1 : relative;
    for (const char *at = url; at < query;) {
        bool path = strncmp(at, "{path}", 6) == 0;

        if (path || strncmp(at, "{name}", 6) == 0) {
            put_encoded(out, path ? relative : name);
            at += 6;
            placed = true;
        } else {
            buf_put(out, at++, 1);
        }
    }
    if (!placed) {
        while (out->size > 0 && out->data[out->size - 1] == '/')
            buf_trim(out, out->size - 1);
        buf_u8(out, '/');
        put_encoded(out, relative);
    }
    buf_text(out, query);
}

struct rc config_replica_expand(const char *url, const char *relative, char **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, URL_MAX);
    put_url(&text, url, relative);
    if (text.failed == E_NOSPACE)
        return rc_raise(err, E_CONFIG, "replica: for %.200s it is longer than %d bytes", relative, URL_MAX);
    TRY(buf_check(&text, "the replica's URL", err));
    *out = mem_strdup(buf_str(&text));
    return RC_OK;
}

struct rc config_replica_url(const struct config_db *db, const char *relative, char **out, struct err *err)
{
    if (relative == NULL) {
        *out = mem_strdup(db->replica);
        return RC_OK;
    }
    TRY_CTX(config_replica_expand(db->replica, relative, out, err), err, "%s", db->at[CONFIG_DB_REPLICA]);
    return RC_OK;
}

struct store_option *config_replica_options(const struct config_db *db)
{
    struct store_option *options = mem_new((db->option_count + 1) * sizeof *options); /* never of no size */

    for (size_t i = 0; i < db->option_count; i++)
        options[i] = (struct store_option){.name = db->options[i].name, .value = db->options[i].value};
    return options;
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

bool config_replica_secret(const char *option)
{
    static const char *const names[] = {"secret-key", "session-token", "sse-customer-key"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(option, names[i]) == 0)
            return true;
    return false;
}

/* "name=value" of a query. */
static void put_parameter(struct buf *out, const char *text, size_t size)
{
    const char *equals = memchr(text, '=', size);
    CLEANUP(mem_freep) char *name = equals != NULL ? mem_printf("%.*s", (int)(equals - text), text) : NULL;

    if (name == NULL || !config_replica_secret(name)) {
        buf_put(out, text, size);
        return;
    }
    buf_text(out, name);
    buf_text(out, "=" HIDDEN);
}

static void put_query(struct buf *out, const char *query)
{
    while (*query != 0) {
        size_t n = strcspn(query + 1, "&") + 1;

        buf_put(out, query, 1); /* '?' or '&' */
        put_parameter(out, query + 1, n - 1);
        query += n;
    }
}

char *config_replica_redact(const char *url)
{
    CLEANUP(buf_fini) struct buf out;
    const char *host = strstr(url, "://"), *query = url + strcspn(url, "?"), *at, *colon;

    buf_init(&out, 4 * strlen(url) + 64); /* a parameter grows by less than HIDDEN */
    host = host != NULL && host < query ? host + 3 : url;
    at = memchr(host, '@', (size_t)(query - host));
    colon = at != NULL ? memchr(host, ':', (size_t)(at - host)) : NULL;
    if (colon != NULL) { /* user:password@ */
        buf_put(&out, url, (size_t)(colon - url));
        buf_text(&out, ":" HIDDEN);
        buf_put(&out, at, (size_t)(query - at));
    } else {
        buf_put(&out, url, (size_t)(query - url));
    }
    put_query(&out, query);
    return mem_strdup(buf_str(&out));
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* `word` stands in `text` as a word of its own. */
static bool names(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        if ((at == text || !name_char(at[-1])) && !name_char(at[n]))
            return true;
    return false;
}

/* Stores name the option that they do not like; where it was given is known here. */
static const char *place_of(const struct config_db *db, const char *message)
{
    const struct config_option *best = NULL;

    for (size_t i = 0; i < db->option_count; i++)
        if (names(message, db->options[i].name) && (best == NULL || strlen(best->name) < strlen(db->options[i].name)))
            best = &db->options[i];
    return best != NULL ? best->at : db->at[CONFIG_DB_REPLICA];
}

static void ignore_stop(void *ctx)
{
    (void)ctx;
}

static struct rc check_one(struct store_env *env, const struct config_db *db, struct err *err)
{
    CLEANUP(mem_freep) struct store_option *options = config_replica_options(db);
    CLEANUP(mem_freep) char *url = NULL;
    struct store *s = NULL;
    struct rc rc;

    TRY(config_replica_url(db, db->dir != NULL ? "x" : NULL, &url, err));
    if (db->option_count > 0 && strncmp(url, "file:", 5) == 0)
        return rc_raise(err, E_CONFIG, "%s: replica.%s: a replica in a directory has no options", db->options[0].at,
            db->options[0].name);
    rc = store_open(env, url, options, db->option_count, &s, err);
    if (rc_failed(rc))
        return rc_wrap(err, "%s: replica", place_of(db, err->msg));
    store_stop(s, ignore_stop, NULL);
    return RC_OK;
}

struct rc config_replica_check(const struct config *c, const struct fsys *fs, struct err *err)
{
    struct rc rc = RC_OK;
    struct store_env *env;
    uv_loop_t loop;
    int left = uv_loop_init(&loop);

    if (left != 0)
        return rc_raise(err, E_IO, "start an event loop: %s", uv_strerror(left));
    env = store_env_new(&loop, fs);
    for (size_t i = 0; i < c->db_count && !rc_failed(rc); i++)
        rc = check_one(env, &c->dbs[i], err);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until the stores have stopped */
    store_env_stop(env, ignore_stop, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    left = uv_loop_close(&loop);
    assert(left == 0);
    return rc;
}
