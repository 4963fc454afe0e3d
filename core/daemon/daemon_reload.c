/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_chore.h"

#include <string.h>

/* The running actor can go on with the other settings. */
static bool can_go_on(const struct daemon_member *m, const struct db_settings *set)
{
    const struct db_settings *now = &m->settings.set;

    if (m->over && m->db.state != DB_FENCED)
        return false; /* it failed: another chance */
    return daemon_member_can_take(now, set);
}

static const struct db_settings *find(const struct daemon_settings *settings, const char *path)
{
    for (size_t i = 0; i < settings->database_count; i++)
        if (strcmp(settings->databases[i].path, path) == 0)
            return &settings->databases[i];
    return NULL;
}

static bool is_member(const struct daemon *d, const char *path)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item == NULL && strcmp(m->settings.set.path, path) == 0)
            return true;
    return false;
}

/* A folder's database gets an entry of its own: the folder lets go of it first.  True: the member begins behind that.
 */
static bool leaves_folder(struct daemon *d, const struct db_settings *set)
{
    for (struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        struct daemon_item *item = daemon_item_find(f, set->path);
        bool open = item != NULL && item->member != NULL;

        if (open)
            daemon_member_leave(item->member, set);
        if (item != NULL)
            daemon_item_leave(item);
        if (open)
            return true;
    }
    return false;
}

static const struct daemon_folder_settings *find_folder(
    const struct daemon_settings *settings, const struct daemon_folder *f)
{
    for (size_t i = 0; i < settings->folder_count; i++)
        if (strcmp(settings->folders[i].dir, f->dir) == 0 && strcmp(settings->folders[i].pattern, f->pattern) == 0)
            return &settings->folders[i];
    return NULL;
}

static bool is_folder(const struct daemon *d, const struct daemon_folder_settings *set)
{
    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next)
        if (strcmp(f->dir, set->dir) == 0 && strcmp(f->pattern, set->pattern) == 0)
            return true;
    return false;
}

static void update_folders(struct daemon *d, const struct daemon_settings *settings)
{
    for (struct daemon_folder *f = d->folders, *next; f != NULL; f = next) {
        const struct daemon_folder_settings *set = find_folder(settings, f);

        next = f->next; /* leaving takes it out of the list later */
        if (set != NULL && !f->leaving && daemon_folder_adjust(f, set))
            continue;
        LOG_INFO(set == NULL ? "removed by the new configuration: shipping what is left"
                             : "changed by the new configuration: beginning anew",
            F_STR("folder", f->dir));
        daemon_folder_leave(f, set);
    }
    for (size_t i = 0; i < settings->folder_count; i++) {
        if (is_folder(d, &settings->folders[i]))
            continue;
        LOG_INFO("added by the new configuration", F_STR("folder", settings->folders[i].dir));
        daemon_folder_begin(d, &settings->folders[i]);
    }
}

static void update_members(struct daemon *d, const struct daemon_settings *settings)
{
    for (struct daemon_member *m = d->members, *next; m != NULL; m = next) {
        const struct db_settings *set = find(settings, m->settings.set.path);

        next = m->next;        /* leaving may take it out of the list, but never another one */
        if (m->item != NULL) { /* its folder's, or an entry of its own that is yet to begin */
            if (m->has_successor && set == NULL)
                daemon_member_return(m);
            continue;
        }
        if (set == NULL) {
            LOG_INFO("removed by the new configuration: shipping what is left", F_STR("db", m->settings.set.path));
            daemon_member_leave(m, NULL);
        } else if (m->leaving || !can_go_on(m, set)) {
            LOG_INFO(m->over ? "another try" : "changed by the new configuration: beginning anew",
                F_STR("db", m->settings.set.path));
            daemon_member_leave(m, set);
        } else {
            daemon_member_adjust(m, set);
        }
    }
}

static void apply(struct daemon *d, const struct daemon_settings *settings)
{
    d->shutdown_ms = settings->shutdown_ms;
    slog_configure(settings->log_level, settings->log_format);
    d->reloading = true;
    update_members(d, settings);
    for (size_t i = 0; i < settings->database_count; i++) {
        const struct db_settings *set = &settings->databases[i];

        if (is_member(d, set->path))
            continue;
        LOG_INFO("added by the new configuration", F_STR("db", set->path));
        if (!leaves_folder(d, set))
            (void)daemon_member_begin(d, set); /* it is in the list */
    }
    update_folders(d, settings);
    d->reloading = false;
    daemon_check_end(d);
}

static void reload(struct daemon *d)
{
    const struct daemon_settings *settings = NULL;
    struct err err;
    struct rc rc;

    if (d->source->file == NULL) {
        LOG_WARN("SIGHUP: there is no configuration file to read again");
        return;
    }
    rc = d->source->load(d->source->ctx, &settings, &err);
    if (!rc_failed(rc))
        rc = daemon_listen_reload(d, settings, &err);
    if (rc_failed(rc)) {
        LOG_ERROR("the new configuration is not used, the old one stays in force", F_STR("file", d->source->file),
            F_ERR(&err));
        d->reload_error = err;
        daemon_watch_configuration(d, "failure", err.msg);
        d->reload_error_ms = clock_wall_ms(&clock_real);
        return;
    }
    d->reload_error.code = E_OK;
    daemon_watch_configuration(d, "configuration", "loaded again");
    d->loaded_ms = clock_wall_ms(&clock_real);
    LOG_INFO(
        "configuration loaded again", F_STR("file", d->source->file), F_U64("databases", settings->database_count));
    apply(d, settings);
}

void daemon_reload_run(struct daemon *d)
{
    if (daemon_chore_delays_reload(d))
        return;
    daemon_notify_reload(d, true);
    reload(d);
    daemon_notify_reload(d, false);
}
