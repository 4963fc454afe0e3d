/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "alloc.h"
#include "store_dir.h"
#include "store_env.h"
#include "store_links.h"
#include "store_retry.h"
#include "store_s3.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* --- keys --------------------------------------------------------------------------------------------------------- */

static bool key_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_'
           || c == '/' || c == '-';
}

/* A part that ends at a '/' or at the end of the key. */
static bool part_ok(const char *part, size_t n, bool first)
{
    if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
        return false;
    return !(first && n == 4 && memcmp(part, ".tmp", 4) == 0);
}

/* Is this a key, or (`open_end`) the beginning of one, up to and including the empty one and a whole one? */
static bool key_ok(const char *key, bool open_end)
{
    const char *part = key, *at = key;

    for (; *at != 0; at++) {
        if (!key_char(*at) || at - key >= STORE_KEY_MAX)
            return false;
        if (*at != '/')
            continue;
        if (!part_ok(part, (size_t)(at - part), part == key))
            return false;
        part = at + 1;
    }
    return open_end || part_ok(part, (size_t)(at - part), part == key);
}

bool store_key_ok(const char *key)
{
    return key_ok(key, false);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct rc store_result(const struct store_req *req, struct err *err)
{
    if (req->err.code == E_OK)
        return RC_OK;
    *err = req->err;
    return rc_of(err);
}

const char *store_verb_name(enum store_verb verb)
{
    static const char *const names[STORE_VERB_COUNT] = {
        [STORE_PUT] = "put",
        [STORE_GET] = "get",
        [STORE_LIST] = "list",
        [STORE_DELETE] = "delete",
        [STORE_UPLOAD_START] = "upload_start",
        [STORE_UPLOAD_PART] = "upload_part",
        [STORE_UPLOAD_FINISH] = "upload_finish",
        [STORE_UPLOAD_ABORT] = "upload_abort",
        [STORE_HEAD] = "head",
        [STORE_DELETE_MANY] = "delete_many",
        [STORE_UPLOAD_SWEEP] = "upload_sweep",
    };

    assert((size_t)verb < STORE_VERB_COUNT);
    return names[verb];
}

bool store_is_scratch(const char *key)
{
    const size_t n = strlen(STORE_SCRATCH);

    return strncmp(key, STORE_SCRATCH, n) == 0 && key_ok(key + n, false);
}

static void check_keys(const struct store_req *req)
{
    assert(req->key[0] == 0);
    assert(req->key_count > 0);
    assert(req->key_count <= STORE_LIST_MAX);
    for (size_t i = 0; i < req->key_count; i++)
        assert(key_ok(req->keys[i], false) || store_is_scratch(req->keys[i]));
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

const char *store_kind_name(int kind)
{
    return kind == STORE_KIND_COPY ? "copy" : store_verb_name((enum store_verb)kind);
}

const char *store_outcome_name(enum store_outcome outcome)
{
    static const char *const names[STORE_OUTCOME_COUNT] = {
        [STORE_OUTCOME_OK] = "ok",
        [STORE_OUTCOME_ANSWER] = "answer",
        [STORE_OUTCOME_THROTTLED] = "throttled",
        [STORE_OUTCOME_DENIED] = "denied",
        [STORE_OUTCOME_NETWORK] = "network",
        [STORE_OUTCOME_FAILED] = "failed",
    };

    assert((size_t)outcome < STORE_OUTCOME_COUNT);
    return names[outcome];
}

static enum store_outcome outcome_of(enum err_code code)
{
    if (code == E_OK)
        return STORE_OUTCOME_OK;
    if (code == E_NOTFOUND || code == E_EXISTS)
        return STORE_OUTCOME_ANSWER;
    if (code == E_THROTTLED)
        return STORE_OUTCOME_THROTTLED;
    if (code == E_DENIED)
        return STORE_OUTCOME_DENIED;
    return code == E_NETWORK || code == E_TIMEOUT ? STORE_OUTCOME_NETWORK : STORE_OUTCOME_FAILED;
}

void store_count_begin(struct store *s, int kind)
{
    assert(kind >= 0);
    assert(kind < STORE_KIND_COUNT);
    s->counts.requests[kind]++;
}

void store_count_end(struct store *s, int kind, enum err_code code)
{
    assert(kind >= 0);
    assert(kind < STORE_KIND_COUNT);
    if (code != E_CANCELED)
        s->counts.outcomes[kind][outcome_of(code)]++;
}

static const struct store *lowest(const struct store *s)
{
    while (s->below != NULL)
        s = s->below;
    return s;
}

const struct store_counts *store_counts_of(const struct store *s)
{
    return &lowest(s)->counts;
}

void store_counts_add(struct store *s, const struct store_counts *more)
{
    struct store_counts *counts;

    while (s->below != NULL)
        s = s->below;
    counts = &s->counts;
    for (int kind = 0; kind < STORE_KIND_COUNT; kind++) {
        counts->requests[kind] += more->requests[kind];
        for (int outcome = 0; outcome < STORE_OUTCOME_COUNT; outcome++)
            counts->outcomes[kind][outcome] += more->outcomes[kind][outcome];
    }
    counts->bytes_out += more->bytes_out;
    counts->bytes_in += more->bytes_in;
}

/* --- conditional writes ------------------------------------------------------------------------------------------- */

void store_without_conditions(struct store *s)
{
    for (; s != NULL; s = s->below) {
        if (s->may_lack_conditions)
            s->without_conditions = true;
    }
}

bool store_may_lack_conditions(const struct store *s)
{
    return lowest(s)->may_lack_conditions;
}

bool store_is_insecure(const struct store *s)
{
    return lowest(s)->insecure;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

struct rc store_presign(
    struct store *s, const char *key, int64_t now_ms, uint32_t seconds, struct buf *url, struct err *err)
{
    assert(key_ok(key, false));
    assert(seconds > 0);
    assert(seconds <= STORE_PRESIGN_MAX);
    while (s->below != NULL)
        s = s->below;
    if (s->ops->presign == NULL)
        return rc_raise(err, E_UNSUPPORTED, "%.*s has no links to its objects: that needs S3", 400, s->url);
    return s->ops->presign(s, key, now_ms, seconds, url, err);
}

bool store_identify(struct store *s, struct store_who *who)
{
    assert(who->on_done != NULL);
    while (s->below != NULL)
        s = s->below;
    if (s->ops->identify == NULL)
        return false;
    s->ops->identify(s, who);
    return true;
}

const char *store_provider(const struct store *s)
{
    s = lowest(s);
    return s->ops->provider != NULL ? s->ops->provider(s) : NULL;
}

/* --- submitting --------------------------------------------------------------------------------------------------- */

/* What the caller alone decides; a mistake here is a mistake in weir. */
static void check_request(const struct store_req *req)
{
    bool is_prefix = req->verb == STORE_LIST || req->verb == STORE_UPLOAD_SWEEP;
    bool goes_on =
        req->verb == STORE_UPLOAD_PART || req->verb == STORE_UPLOAD_FINISH || req->verb == STORE_UPLOAD_ABORT;

    assert((size_t)req->verb < STORE_VERB_COUNT);
    assert(req->on_done != NULL);
    if (req->verb == STORE_DELETE_MANY)
        check_keys(req);
    else
        assert(key_ok(req->key, is_prefix) || (is_prefix && strcmp(req->key, STORE_SCRATCH) == 0));
    assert(req->length <= STORE_GET_MAX);
    assert(req->limit <= STORE_LIST_MAX);
    assert(key_ok(req->after, true) || store_is_scratch(req->after));
    assert(req->body.size == 0 || req->body.data != NULL);
    assert(!goes_on || req->upload != NULL);
    assert(req->verb != STORE_UPLOAD_PART || req->body.size <= STORE_PART_MAX);
    assert((req->verb != STORE_UPLOAD_PART && req->verb != STORE_UPLOAD_FINISH) || req->part > 0);
    assert(req->if_match[0] == 0 || req->verb == STORE_PUT);
    assert(req->if_match[0] == 0 || !req->create_only);
}

void store_submit(struct store *s, struct store_req *req)
{
    check_request(req);
    store_req_fini(req);
    req->err.code = E_OK;
    req->err.msg[0] = 0;
    req->part_size = s->part_size; /* a store that wants another says so */
    if (!s->counts_itself)
        store_count_begin(s, (int)req->verb);
    s->ops->submit(s, req);
}

void store_complete(struct store *s, struct store_req *req)
{
    enum err_code code = req->err.code;

    if (code == E_OK) {
        if (req->verb == STORE_PUT || req->verb == STORE_UPLOAD_PART)
            s->counts.bytes_out += req->body.size;
        s->counts.bytes_in += req->data.size;
    }
    if (!s->counts_itself)
        store_count_end(s, (int)req->verb, code);
    req->on_done(req);
}

void store_cancel(struct store *s)
{
    if (s->ops->cancel != NULL)
        s->ops->cancel(s);
}

void store_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    assert(on_stopped != NULL);
    s->ops->stop(s, on_stopped, ctx);
}

/* --- URLs --------------------------------------------------------------------------------------------------------- */

enum { URL_QUOTE_MAX = 200 }; /* of a URL in a message */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* `text` with %XX replaced, owned by the caller. */
static struct rc percent_decode(const char *text, const char *url, char **out, struct err *err)
{
    CLEANUP(mem_freep) char *decoded = mem_strdup(text);
    char *to = decoded;

    for (const char *at = text; *at != 0; at++) {
        int high, low;

        if (*at == '?' || *at == '#')
            return rc_raise(err, E_CONFIG, "%.*s: a file URL has no '%c' part; in a path write it as %%%02X",
                URL_QUOTE_MAX, url, *at, (unsigned)*at);
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        high = hex_digit(at[1]);
        low = high < 0 ? -1 : hex_digit(at[2]);
        if (low < 0)
            return rc_raise(
                err, E_CONFIG, "%.*s: two hex digits must follow %%, a %% itself is written %%25", URL_QUOTE_MAX, url);
        if (high == 0 && low == 0)
            return rc_raise(err, E_CONFIG, "%.*s: %%00 cannot be in a path", URL_QUOTE_MAX, url);
        *to++ = (char)(high * 16 + low);
        at += 2;
    }
    *to = 0;
    *out = MOVE(decoded);
    return RC_OK;
}

static struct rc open_file(struct store_env *env, const char *url, struct store **out, struct err *err)
{
    const char *rest = url + strlen("file:"), *host, *path;
    CLEANUP(mem_freep) char *root = NULL;

    if (strncmp(rest, "//", 2) != 0)
        return rc_raise(
            err, E_CONFIG, "%.*s: not a file URL: write file:///absolute/path (three slashes)", URL_QUOTE_MAX, url);
    host = rest + 2;
    path = host + strcspn(host, "/");
    if (host[0] == 0 || (path == host && path[1] == 0))
        return rc_raise(err, E_CONFIG, "%.*s: names no directory: write file:///absolute/path", URL_QUOTE_MAX, url);
    if (path[0] == 0 || host[0] == '.' || host[0] == '~')
        return rc_raise(err, E_CONFIG, "%.*s: the path is relative: write file:///absolute/path", URL_QUOTE_MAX, url);
    if (path != host && !((size_t)(path - host) == strlen("localhost") && strncasecmp(host, "localhost", 9) == 0))
        return rc_raise(err, E_CONFIG,
            "%.*s: a directory on another host, or a relative path: write file:///absolute/path (three slashes)",
            URL_QUOTE_MAX, url);
    TRY(percent_decode(path, url, &root, err));
    return store_dir_open(store_env_loop(env), store_env_fsys(env), root, out, err);
}

/* The length of a "scheme:" at the start, with the colon, or 0. */
static size_t scheme_length(const char *url)
{
    size_t n = 0;

    if (!isalpha((unsigned char)url[0]))
        return 0;
    while (isalnum((unsigned char)url[n]) || url[n] == '+' || url[n] == '-' || url[n] == '.')
        n++;
    return url[n] == ':' ? n + 1 : 0;
}

static struct rc open_s3(struct store_env *env, const char *url, const struct store_option *options,
    size_t option_count, struct store **out, struct err *err)
{
    CLEANUP(s3_config_freep) struct s3_config *config = NULL;
    struct store *s3 = NULL;

    TRY(s3_config_parse(&config, store_env_fsys(env), url, options, option_count, NULL, err));
    TRY(store_s3_open(env, MOVE(config), &s3, err));
    *out = store_retry_new(store_env_loop(env), s3, NULL);
    return RC_OK;
}

static struct rc open_share(
    struct store_env *env, const char *url, size_t option_count, struct store **out, struct err *err)
{
    struct store *links = NULL;

    if (option_count > 0)
        return rc_raise(err, E_CONFIG, "a share has no options");
    TRY(store_links_open(env, url, &links, err));
    *out = store_retry_new(store_env_loop(env), links, NULL);
    return RC_OK;
}

struct rc store_open(struct store_env *env, const char *url, const struct store_option *options, size_t option_count,
    struct store **out, struct err *err)
{
    size_t n = scheme_length(url);

    if (url[0] == 0)
        return rc_raise(err, E_CONFIG, "replica: the URL is empty: write file:///absolute/path");
    if (n == 0 && url[0] == '/')
        return rc_raise(err, E_CONFIG, "%.*s: a replica is named by a URL: write file://%.*s", URL_QUOTE_MAX, url,
            URL_QUOTE_MAX, url);
    if (n == 0)
        return rc_raise(
            err, E_CONFIG, "%.*s: a replica is named by a URL: write file:///absolute/path", URL_QUOTE_MAX, url);
    if (n == strlen("file:") && strncasecmp(url, "file:", n) == 0)
        return option_count == 0 ? open_file(env, url, out, err)
                                 : rc_raise(err, E_CONFIG, "option %.64s: a directory has no options", options[0].name);
    if (n == strlen("s3:") && strncasecmp(url, "s3:", n) == 0)
        return open_s3(env, url, options, option_count, out, err);
    if (n > 0 && store_links_is_url(url))
        return open_share(env, url, option_count, out, err);
    /* Only the scheme is quoted: the rest may hold a password. */
    return rc_raise(err, E_CONFIG,
        "replica %.*s//...: unknown scheme: write file:///absolute/path or s3://bucket/prefix", (int)(n < 32 ? n : 32),
        url);
}
