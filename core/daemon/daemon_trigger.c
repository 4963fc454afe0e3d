/* SPDX-License-Identifier: Apache-2.0 */
/* The triggers of one database, changed over a control socket: in force until the daemon ends or loads its
 * configuration again.  A database of a folder keeps them while it is closed. */
#include "daemon_trigger.h"

#include "alloc.h"
#include "config_table.h"
#include "db_sync.h"

struct daemon_triggers {
    uint64_t interval_ms, commits;
};

void daemon_trigger_overlay(const struct daemon_item *item, struct db_settings *set)
{
    const struct daemon_triggers *t = item->triggers;

    if (t == NULL)
        return;
    set->sync_interval_ms = t->interval_ms;
    set->sync_commits = t->commits;
    set->sync_changed = true;
}

/* For whoever wonders later why it ships as it does. */
static void tell(struct daemon *d, const char *path, const struct db_settings *set)
{
    CLEANUP(json_decrefp) json_t *now = status_triggers(set);
    const char *interval = json_string_value(json_object_get(now, "interval"));
    const char *commits = json_string_value(json_object_get(now, "commits"));
    CLEANUP(mem_freep)
    char *text = mem_printf("interval %s, commits %s, %s", interval, commits,
        set->sync_changed ? "by a command, until the configuration is loaded again" : "as the configuration says");

    LOG_INFO(set->sync_changed ? "triggers changed" : "triggers are those of the configuration again",
        F_STR("db", path), F_STR("interval", interval), F_STR("commits", commits));
    events_add(&d->events, clock_wall_ms(&clock_real), "triggers", path, text);
}

void daemon_trigger_return(struct daemon_item *item, const struct db_settings *set)
{
    if (item->triggers != NULL && item->member == NULL) /* of an open one its member tells */
        tell(item->folder->daemon, item->path, set);
    daemon_trigger_forget(item);
}

void daemon_trigger_adjust(struct daemon_member *m, const struct db_settings *set)
{
    if (m->settings.set.sync_changed && !set->sync_changed)
        tell(m->daemon, m->settings.set.path, set);
}

void daemon_trigger_forget(struct daemon_item *item)
{
    mem_free(item->triggers);
    item->triggers = NULL;
}

static struct rc take(
    struct http_call *call, const char *name, enum config_db_key key, struct config_db *to, bool *some, struct err *err)
{
    const char *text = http_call_query(call, name);

    if (text == NULL)
        return RC_OK;
    *some = true;
    TRY_CTX(config_table_set(&config_table_db[key], to, text, err), err, "%s", name);
    return RC_OK;
}

/* What is not given stays as it is. */
static struct rc take_both(struct http_call *call, struct db_settings *set, struct err *err)
{
    struct config_db to = {.sync_interval_ms = set->sync_interval_ms, .sync_commits = set->sync_commits};
    bool some = false;

    TRY(take(call, "interval", CONFIG_DB_SYNC_INTERVAL, &to, &some, err));
    TRY(take(call, "commits", CONFIG_DB_SYNC_COMMITS, &to, &some, err));
    if (!some)
        return rc_raise(err, E_CONFIG, "what is to be changed? interval=... and commits=... are missing");
    set->sync_interval_ms = to.sync_interval_ms;
    set->sync_commits = to.sync_commits;
    set->sync_changed = true;
    return RC_OK;
}

static void keep(struct daemon_item *item, const struct db_settings *set)
{
    if (item->triggers == NULL)
        item->triggers = mem_new(sizeof *item->triggers);
    *item->triggers = (struct daemon_triggers){set->sync_interval_ms, set->sync_commits};
}

static void put_in_force(struct daemon_member *m, const struct db_settings *set)
{
    m->settings.set.sync_interval_ms = set->sync_interval_ms;
    m->settings.set.sync_commits = set->sync_commits;
    m->settings.set.sync_changed = true;
    if (m->db.state == DB_RUNNING)
        db_sync_kick(&m->db);
}

void daemon_trigger_answer(struct daemon *d, struct http_call *call)
{
    struct daemon_item *closed = daemon_http_closed_item(d, call);
    struct daemon_member *m = closed == NULL ? daemon_http_working_member(d, call) : NULL;
    struct daemon_item *item = m != NULL ? m->item : closed;
    struct db_settings set, was;
    struct err err;

    if (m == NULL && closed == NULL)
        return;
    set = m != NULL ? m->settings.set : closed->folder->settings.set;
    if (closed != NULL)
        daemon_trigger_overlay(closed, &set);
    was = set;
    if (rc_failed(take_both(call, &set, &err))) {
        daemon_http_error(call, 0, &err);
        return;
    }
    if (item != NULL)
        keep(item, &set);
    if (m != NULL)
        put_in_force(m, &set);
    if (set.sync_interval_ms != was.sync_interval_ms || set.sync_commits != was.sync_commits)
        tell(d, m != NULL ? m->settings.set.path : closed->path, &set); /* who asks for the same again is no news */
    daemon_http_answer(call, 200, json_pack("{s:b, s:o}", "ok", 1, "triggers", status_triggers(&set)));
}

void daemon_trigger_ship_later(struct daemon_item *item)
{
    item->ship_wanted = true;
    daemon_item_look_later(item);
}
