/* SPDX-License-Identifier: Apache-2.0 */
#include "log_tables.h"

#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct rc log_tables_name(const char *text, void *target, struct err *err)
{
    struct log_tables *t = target;

    if (text[0] == 0)
        return rc_raise(err, E_CONFIG, "an empty name");
    if (t->count == LOG_TABLES_MAX)
        return rc_raise(err, E_CONFIG, "more than %d names", LOG_TABLES_MAX);
    t->names[t->count++] = text;
    return RC_OK;
}

struct rc log_tables_open(struct log_tables *t, const struct fsys *fs, struct err *err)
{
    t->fs = fs;
    (void)signal(SIGPIPE, SIG_IGN); /* the scratch folder must not stay behind because somebody read only ten lines */
    return scratch_open(&t->scratch, fs, t->scratch_dir, err);
}

void log_tables_close(struct log_tables *t, const char *command, bool complete)
{
    progress_clear(&t->progress);
    if (!scratch_close(t->scratch))
        cli_complain(command, "warning: a scratch folder could not be removed");
    t->scratch = NULL;
    if (t->pipe_closed) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
    }
    for (size_t i = 0; i < t->count && complete; i++)
        if (!t->met[i])
            cli_complain(command, "note: no commit of this range touched a table or index '%.200s'", t->names[i]);
}

struct rc log_tables_run(struct log_tables *t, struct work *w, struct store *s, const struct catalog *c,
    uint32_t timeline, trace_fn fn, void *ctx, struct err *err)
{
    struct trace_opts opts = {
        .fs = t->fs,
        .folder = scratch_path(t->scratch),
        .timeline = timeline,
        .first_txid = t->first_txid,
        .last_txid = t->last_txid,
        .fn = fn,
        .on_progress = progress_show,
        .progress_ctx = &t->progress,
        .ctx = ctx,
    };

    return t->first_txid == 0 ? RC_OK : trace_run(w, s, c, &opts, err);
}

/* As SQLite compares names. */
static bool is_named(const struct btree_map_touch *touch, const char *name)
{
    if (touch->table == NULL)
        return false;
    return strcasecmp(touch->name, name) == 0 || strcasecmp(touch->table, name) == 0
           || (touch->virtual_table != NULL && strcasecmp(touch->virtual_table, name) == 0)
           || (touch->former_name != NULL && strcasecmp(touch->former_name, name) == 0);
}

bool log_tables_wants(struct log_tables *t, const struct trace_commit *c)
{
    bool any = t->count == 0 || !c->known;

    for (size_t i = 0; i < c->touch_count; i++)
        for (size_t k = 0; k < t->count; k++)
            if (is_named(&c->touches[i], t->names[k])) {
                t->met[k] = true;
                any = true;
            }
    return any;
}

/* The header of the file goes with every second commit; it is news only when there is no other. */
static bool is_noise(const struct trace_commit *c, const struct btree_map_touch *touch)
{
    return touch->kind == BTREE_MAP_HEADER && c->touch_count > 1;
}

static void print_touch(const struct btree_map_touch *t)
{
    const char *sign = "";

    if (t->created)
        sign = "+";
    else if (t->dropped)
        sign = "-";
    (void)printf("%s%s", sign, t->name);
    if (t->kind == BTREE_MAP_INDEX && strncmp(t->name, "sqlite_autoindex_", 17) == 0)
        (void)printf(" (%s)", t->table);
    else if (t->former_name != NULL)
        (void)printf(" (was %s)", t->former_name);
}

void log_tables_print(const struct trace_commit *c)
{
    const char *gap = "";

    if (!c->known)
        (void)printf("?");
    for (size_t i = 0; i < c->touch_count; i++) {
        if (is_noise(c, &c->touches[i]))
            continue;
        (void)printf("%s", gap);
        print_touch(&c->touches[i]);
        gap = ", ";
    }
    if (c->damage[0] != 0)
        (void)printf("  damaged: %s", c->damage);
}

static const char *change_of(const struct btree_map_touch *t)
{
    if (t->former_name != NULL)
        return "renamed";
    if (t->created)
        return "created";
    return t->dropped ? "dropped" : NULL;
}

json_t *log_tables_json(const struct trace_commit *c)
{
    static const char *const kinds[BTREE_MAP_KIND_COUNT] = {
        "table", "index", "schema", "free", "pointer-map", "header", "unknown"};
    json_t *all;

    if (!c->known)
        return json_null();
    all = json_array();
    for (size_t i = 0; i < c->touch_count; i++) {
        const struct btree_map_touch *t = &c->touches[i];
        json_t *one = json_pack("{s:s, s:s, s:s?, s:I, s:s?}", "name", t->name, "kind", kinds[t->kind], "table",
            t->table, "pages", (json_int_t)t->page_count, "change", change_of(t));

        if (t->virtual_table != NULL)
            (void)json_object_set_new(one, "virtual_table", json_string(t->virtual_table));
        if (t->former_name != NULL)
            (void)json_object_set_new(one, "was", json_string(t->former_name));
        (void)json_array_append_new(all, one);
    }
    return all;
}

bool log_tables_flush(struct log_tables *t)
{
    if (fflush(stdout) == 0)
        return true;
    t->pipe_closed = errno == EPIPE;
    return false;
}
