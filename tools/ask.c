/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include "alloc.h"
#include "cli.h"
#include "folder_match.h"
#include "local_state.h"
#include "settings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as in the kernel */

/* As the application will: a link may name a file that is not there yet.  *path: one that is no link. */
static struct rc follow_links(char **path, struct err *err)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        const char *slash = strrchr(*path, '/');
        char target[PATH_MAX];
        ssize_t n = readlink(*path, target, sizeof target);
        char *next;

        if (n < 0 || (size_t)n == sizeof target)
            return RC_OK; /* no link, or none that anybody could follow */
        next = target[0] == '/' || slash == NULL
                   ? mem_printf("%.*s", (int)n, target)
                   : mem_printf("%.*s%.*s", (int)(slash - *path + 1), *path, (int)n, target);
        mem_free(*path);
        *path = next;
    }
    return rc_raise_sys(err, E_CONFIG, ELOOP, "follow %s", *path);
}

/* The file itself may not exist yet, so only its directory is resolved. */
struct rc ask_absolute(const char *given, char **out, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_strdup(given), *dir = NULL;
    char resolved[PATH_MAX];
    const char *name;

    if (realpath(path, resolved) != NULL) {
        *out = mem_strdup(resolved);
        return RC_OK;
    }
    TRY(follow_links(&path, err));
    name = strrchr(path, '/');
    dir = name == NULL ? mem_strdup(".") : mem_printf("%.*s", (int)(name - path + 1), path);
    name = name == NULL ? path : name + 1;
    if (*name == 0)
        return rc_raise(err, E_CONFIG, "%s names a directory, not a database", path);
    if (realpath(dir, resolved) == NULL)
        return rc_raise_sys(err, E_CONFIG, errno, "directory of %s", path);
    *out = mem_printf("%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name);
    return RC_OK;
}

static enum err_code code_of(const char *name)
{
    for (enum err_code code = E_NOMEM; code <= E_BUG; code++) {
        if (name != NULL && strcmp(rc_name(code), name) == 0)
            return code;
    }
    return E_IO;
}

static struct rc parse(const struct buf *bytes, json_t **answer, struct err *err)
{
    CLEANUP(json_decrefp) json_t *o = NULL;
    json_error_t why;
    const json_t *ok;

    o = json_loadb((const char *)bytes->data, bytes->size, JSON_REJECT_DUPLICATES, &why);
    if (o == NULL || !json_is_object(o))
        return rc_raise(err, E_IO, "the daemon's answer is not JSON: %s", why.text);
    ok = json_object_get(o, "ok");
    if (ok != NULL && !json_is_true(ok)) {
        const char *text = json_string_value(json_object_get(o, "error"));

        return rc_raise(err, code_of(json_string_value(json_object_get(o, "code"))), "%s",
            text != NULL ? text : "the daemon gives no reason");
    }
    *answer = MOVE(o);
    return RC_OK;
}

static struct rc ask_once(const char *socket_path, const struct http_ask *what, json_t **answer, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;

    buf_init(&bytes, HTTP_ASK_MAX);
    TRY(http_ask(socket_path, what, &bytes, err));
    return parse(&bytes, answer, err);
}

struct rc ask_socket(const char *socket_path, const struct http_ask *what, json_t **answer, struct err *err)
{
    struct rc rc = ask_once(socket_path, what, answer, err);

    if (rc.code == E_NOTFOUND)
        return rc_raise(err, E_CANCELED, "no weir process answers at %s", socket_path);
    return rc;
}

/* Whoever is on call may be somebody else than the service, and then a state that may not be read says nothing. */
static struct rc explain(struct rc rc, struct err *err)
{
    CLEANUP(mem_freep) char *cause = NULL;

    if (rc.code != E_DENIED)
        return rc;
    cause = mem_strdup(err->msg);
    return rc_raise(err, E_DENIED, "%s: a daemon answers only the user that it runs as, and root", cause);
}

/* The process that has a folder above this path, the nearest first. */
static void find_above(const struct fsys *fs, const char *path, const char *base, struct local_state_holder *out)
{
    CLEANUP(mem_freep) char *folder = mem_strdup(path);

    *out = (struct local_state_holder){0};
    for (char *slash; !out->held && (slash = strrchr(folder, '/')) != NULL;) {
        CLEANUP(mem_freep) char *dir = NULL;
        struct err ignored;

        *slash = 0;
        dir = folder_match_state_dir(slash == folder ? "/" : folder, base);
        if (rc_failed(local_state_holder(fs, dir, out, &ignored)))
            *out = (struct local_state_holder){0}; /* somebody else's */
    }
}

/* The process that replicates the database, with its local state below `base`; for one that is not open, the process
 * that has a folder above it. */
static struct rc find_holder_at(
    const struct fsys *fs, const char *database, const char *base, struct local_state_holder *out, struct err *err)
{
    CLEANUP(mem_freep) char *state = local_place_dir(database, base);

    TRY(explain(local_state_holder(fs, state, out, err), err));
    if (!out->held)
        find_above(fs, database, base, out);
    return RC_OK;
}

/* A daemon may have been started with another setting than ours. */
static struct rc find_holder(
    const struct fsys *fs, const char *database, const char *base, struct local_state_holder *out, struct err *err)
{
    TRY(find_holder_at(fs, database, base, out, err));
    return out->held || base == NULL ? RC_OK : find_holder_at(fs, database, NULL, out, err);
}

struct rc ask_folder(const struct fsys *fs, const char *dir, const char *state_base, const struct http_ask *what,
    json_t **answer, struct err *err)
{
    CLEANUP(mem_freep) char *state = folder_match_state_dir(dir, state_base);
    struct local_state_holder holder;
    struct rc rc;

    TRY(explain(local_state_holder(fs, state, &holder, err), err));
    if (!holder.held || holder.socket_path[0] == 0)
        return rc_raise(err, E_CANCELED, "no weir process replicates the databases in %s", dir);
    rc = ask_once(holder.socket_path, what, answer, err);
    if (rc.code == E_NOTFOUND) /* it has just ended */
        return rc_raise(err, E_CANCELED, "no weir process answers for %s", dir);
    return rc;
}

struct rc ask_folder_of(const struct fsys *fs, const char *dir, const char *state_base, const struct http_ask *what,
    json_t **answer, struct err *err)
{
    struct rc rc = ask_folder(fs, dir, state_base, what, answer, err);
    struct local_state_holder holder;

    if (rc.code == E_CANCELED && state_base != NULL)
        rc = ask_folder(fs, dir, NULL, what, answer, err); /* it may have been started with another setting */
    if (rc.code != E_CANCELED)
        return rc;
    find_above(fs, dir, state_base, &holder);
    if (!holder.held && state_base != NULL)
        find_above(fs, dir, NULL, &holder);
    if (!holder.held || holder.socket_path[0] == 0)
        return rc;
    rc = ask_once(holder.socket_path, what, answer, err);
    if (rc.code == E_NOTFOUND) /* it has just ended */
        return rc_raise(err, E_CANCELED, "no weir process answers for %s", dir);
    return rc;
}

/* Who mistyped a path is told so, because a daemon that is not there is a reason for alarm. */
static struct rc nobody(const struct fsys *fs, const char *database, struct err *err)
{
    struct stat st;
    bool there = fs->stat(fs, database, &st) == 0;

    if (!there && errno == ENOENT)
        return rc_raise(err, E_CANCELED, "no weir process replicates %s, and there is no such file", database);
    if (there && S_ISDIR(st.st_mode))
        return rc_raise(err, E_CONFIG, "%s is a folder: name a database in it", database);
    return rc_raise(err, E_CANCELED, "no weir process replicates %s", database);
}

/* A database that has failed is held by nobody, but its daemon may be there for the others, and tells. */
static struct rc ask_own_socket(const struct fsys *fs, const char *database, const char *state_base,
    const struct http_ask *what, json_t **answer, struct err *err)
{
    CLEANUP(mem_freep) char *state = local_place_dir(database, state_base);
    CLEANUP(mem_freep) char *path = mem_printf("%s/control.sock", state);
    struct err ignored;

    if (!rc_failed(ask_once(path, what, answer, &ignored)))
        return RC_OK;
    if (ignored.code != E_NOTFOUND) {
        *err = ignored;
        return rc_of(err);
    }
    return nobody(fs, database, err);
}

struct rc ask_daemon(const struct fsys *fs, const char *database, const char *state_base, const struct http_ask *what,
    json_t **answer, struct err *err)
{
    struct local_state_holder holder;
    struct rc rc;

    TRY(find_holder(fs, database, state_base, &holder, err));
    if (!holder.held || holder.socket_path[0] == 0)
        return ask_own_socket(fs, database, state_base, what, answer, err);
    rc = ask_once(holder.socket_path, what, answer, err);
    if (rc.code == E_NOTFOUND) /* it has just ended */
        return rc_raise(err, E_CANCELED, "no weir process answers for %s", database);
    return rc;
}

enum { GRACE_MS = 5000 }; /* the daemon ends the waiting by itself, and says why it took so long */

/* With a configuration that names a socket, that is where to ask. */
static struct rc ask(
    const struct ask_request *r, const struct fsys *fs, const char *database, json_t **answer, struct err *err)
{
    CLEANUP(config_freep) struct config *c = NULL;
    CLEANUP(mem_freep) char *options = NULL, *base = NULL;
    struct http_ask what = {.page = r->page, .path = database, .options = r->options, .post = true};
    struct err passed_over;
    struct rc rc;

    if (r->timeout_ms > 0) {
        options = mem_printf("%s%stimeout=%llums", r->options != NULL ? r->options : "", r->options != NULL ? "&" : "",
            (unsigned long long)r->timeout_ms);
        what.options = options;
        what.timeout_ms = r->timeout_ms + GRACE_MS;
    }
    if (r->file != NULL)
        TRY(settings_load(
            &c, (struct config_request){.fs = fs, .file = r->file, .any_count = true, .no_options = true}, err));
    if (c != NULL && c->socket != NULL)
        return ask_socket(c->socket, &what, answer, err);
    TRY(settings_state_base(&base, &passed_over, fs, r->file, database, err));
    rc = ask_daemon(fs, database, base, &what, answer, err);
    if (rc.code == E_CANCELED)
        return settings_doubt(&passed_over, err);
    settings_warn(r->command, &passed_over);
    return rc;
}

int ask_print_txid(const struct ask_request *r, const struct fsys *fs)
{
    CLEANUP(mem_freep) char *database = NULL;
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct err err;
    json_int_t txid;

    if (rc_failed(ask_absolute(r->path, &database, &err)) || rc_failed(ask(r, fs, database, &answer, &err)))
        return cli_fail(r->command, &err);
    txid = json_integer_value(json_object_get(answer, "txid"));
    (void)printf(r->json ? "{\"txid\":%lld}\n" : "%lld\n", (long long)txid); /* the stream is checked at the end */
    return 0;
}

int ask_print_triggers(const struct ask_request *r, const struct fsys *fs)
{
    CLEANUP(mem_freep) char *database = NULL;
    CLEANUP(json_decrefp) json_t *answer = NULL;
    const char *interval, *commits;
    struct err err;
    json_t *now;

    if (rc_failed(ask_absolute(r->path, &database, &err)) || rc_failed(ask(r, fs, database, &answer, &err)))
        return cli_fail(r->command, &err);
    now = json_object_get(answer, "triggers");
    interval = json_string_value(json_object_get(now, "interval"));
    commits = json_string_value(json_object_get(now, "commits"));
    if (interval == NULL || commits == NULL) {
        rc_ignore(rc_raise(&err, E_IO, "the daemon does not say what is in force now"), "it is printed");
        return cli_fail(r->command, &err);
    }
    if (r->json)
        (void)json_dumpf(now, stdout, JSON_COMPACT); /* the stream is checked at the end */
    else
        (void)printf(
            "interval %s, commits %s, until the daemon ends or loads its configuration again", interval, commits);
    (void)printf("\n");
    return 0;
}
