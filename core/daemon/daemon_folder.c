/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of databases: which are there, and what becomes of those that were.  Names that come and go are file events;
 * a walk over all names follows each of them, and one a minute makes sure that no event was lost.
 */
#include "daemon_chore.h"
#include "daemon_trigger.h"

#include "alloc.h"
#include "folder_match.h"
#include "local_lock.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

enum {
    SCAN_MS = 60 * 1000,
    SCAN_BLIND_MS = 5 * 1000, /* where there are no events, or no folder */
    SCAN_SOON_MS = 50,        /* many new files are one walk */
};

/* A folder whose events are wanted. */
struct watched {
    struct daemon_folder *folder;
    char *path; /* owned */
    struct file_watch_entry entry;
    bool seen;
};

static int by_path(const void *a, const void *b)
{
    const struct watched *x = a, *y = b;

    return strcmp(x->path, y->path);
}

/* --- whose database is it ----------------------------------------------------------------------------------------- */

/* An inner folder knows best; of two that are the same, the first. */
static bool other_owns(const struct daemon_folder *f, const char *path)
{
    bool before = true;

    for (const struct daemon_folder *g = f->daemon->folders; g != NULL; g = g->next) {
        size_t n = folder_match_trimmed(f->dir), k = folder_match_trimmed(g->dir);

        if (g == f)
            before = false;
        else if (!g->leaving && (k > n || (k == n && before))
                 && folder_match_inside(g->dir, g->pattern, g->recursive, path) != NULL)
            return true;
    }
    return false;
}

bool daemon_folder_owns(const struct daemon_folder *f, const char *path)
{
    for (const struct daemon_member *m = f->daemon->members; m != NULL; m = m->next)
        if (m->item == NULL && strcmp(m->settings.set.path, path) == 0)
            return false;
    return folder_match_inside(f->dir, f->pattern, f->recursive, path) != NULL && !other_owns(f, path);
}

/* Do the URLs begin with the same text, as far as they are the same for all of a folder's databases? */
static bool may_meet(const struct daemon_folder *f, const struct daemon_folder *g)
{
    size_t n = strcspn(f->settings.set.url, "{?"), k = strcspn(g->settings.set.url, "{?");

    return f != g && strncmp(f->settings.set.url, g->settings.set.url, n < k ? n : k) == 0;
}

const char *daemon_folder_same_replica(const struct daemon_item *item, const struct db_settings *set)
{
    const struct daemon *d = item->folder->daemon;

    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (m->item == NULL && daemon_member_same_replica(&m->settings.set, set))
            return m->settings.set.path;
    /* Without a place for the path in the URL each has one of its own. */
    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        if (f == item->folder ? strstr(f->settings.set.url, "{name}") == NULL : !may_meet(f, item->folder))
            continue;
        for (const struct daemon_item *i = f->items; i != NULL; i = i->next) {
            struct db_settings other = f->settings.set;

            other.url = i->url;
            if (i != item && i->state != DAEMON_ITEM_FAILED && daemon_member_same_replica(&other, set))
                return i->path;
        }
    }
    return NULL;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void begin_scan(struct daemon_folder *f);

static void on_timer(uv_timer_t *timer)
{
    begin_scan(timer->data);
}

static void scan_in(struct daemon_folder *f, uint64_t ms)
{
    int rc;

    if (f->leaving || f->daemon->stopping)
        return;
    if (uv_is_active((const uv_handle_t *)&f->timer) && uv_timer_get_due_in(&f->timer) <= ms)
        return;
    rc = uv_timer_start(&f->timer, on_timer, ms, 0);
    assert(rc == 0);
}

void daemon_folder_kick(struct daemon_folder *f)
{
    if (f->scanning)
        f->scan_again = true;
    else
        scan_in(f, SCAN_SOON_MS);
}

static void on_event(void *ctx, const char *name, uint32_t mask)
{
    const struct watched *w = ctx;
    struct daemon_folder *f = w->folder;
    size_t n = folder_match_side_file(name);
    CLEANUP(mem_freep)
    char *path = mem_printf("%s/%.*s", strcmp(w->path, "/") == 0 ? "" : w->path, (int)(n > 0 ? n : strlen(name)), name);
    struct daemon_item *item = daemon_item_find(f, path);

    if (item != NULL)
        daemon_item_look_later(item);
    else if (name[0] == 0 || folder_match_file(f->pattern, name)
             || ((mask & IN_ISDIR) && f->recursive && folder_match_subfolder(name)))
        daemon_folder_kick(f);
}

static void watched_free(struct watched *w)
{
    file_watch_remove(w->folder->daemon->watch, &w->entry);
    mem_free(w->path);
    mem_free(w);
}

static void free_node(void *node)
{
    watched_free(node);
}

/* Events were lost: everything may have changed. */
static void on_overflow(void *ctx)
{
    struct daemon *d = ctx;

    for (struct daemon_folder *f = d->folders; f != NULL; f = f->next) {
        f->full_ms = 0;
        daemon_folder_kick(f);
    }
}

/* True: it was not watched until now, so what came just before gave no event. */
static bool watch(struct daemon_folder *f, const char *path)
{
    struct daemon *d = f->daemon;
    struct watched *w = mem_new(sizeof *w);
    struct watched **at;
    struct err err;

    w->path = mem_strdup(path);
    w->folder = f;
    at = tsearch(w, &f->watches, by_path);
    if (at == NULL)
        abort(); /* without memory nothing works; a crash is safe */
    if (*at != w) {
        mem_free(w->path);
        mem_free(w);
        w = *at;
    }
    w->seen = true;
    if (w->entry.number != 0)
        return false;
    w->entry.fn = on_event;
    w->entry.ctx = w;
    if (d->watch != NULL && !rc_failed(file_watch_add(d->watch, &w->entry, path, true, &err)))
        return true;
    if (!d->told_blind)
        LOG_WARN("no file events are to be had: folders and parked databases are looked at every few seconds instead",
            F_STR("folder", path), F_STR("reason", d->watch != NULL ? err.msg : "fs.inotify.max_user_instances"));
    d->told_blind = true;
    f->blind = true;
    return false;
}

struct sweep {
    struct watched **unseen;
    size_t count;
};

static void note_unseen(const void *node, VISIT visit, void *closure)
{
    struct watched *w = *(struct watched *const *)node;
    struct sweep *s = closure;

    if (visit != postorder && visit != leaf)
        return;
    if (w->seen)
        w->seen = false;
    else
        s->unseen[s->count++] = w;
}

/* Folders that are not there any more. */
static void unwatch_unseen(struct daemon_folder *f, size_t most)
{
    struct sweep s = {.unseen = mem_new((most + 1) * sizeof(struct watched *))};

    twalk_r(f->watches, note_unseen, &s);
    for (size_t i = 0; i < s.count; i++) {
        (void)tdelete(s.unseen[i], &f->watches, by_path); /* it is in the tree */
        watched_free(s.unseen[i]);
    }
    f->watch_count -= s.count;
    mem_free(s.unseen);
}

/* --- the lock ----------------------------------------------------------------------------------------------------- */

static bool shares_lock(const struct daemon_folder *f)
{
    for (const struct daemon_folder *g = f->daemon->folders; g != NULL; g = g->next)
        if (g != f && g->lock_fd >= 0 && strcmp(g->state_dir, f->state_dir) == 0)
            return true;
    return false;
}

/* One process has the folder, and answers for those of its databases that are not open. */
static struct rc take_lock(struct daemon_folder *f, struct err *err)
{
    const struct fsys *fs = f->daemon->fs;

    if (f->lock_fd >= 0 || shares_lock(f))
        return RC_OK;
    TRY(local_place_make_base(fs, f->settings.set.state_dir, err));
    if (fs->mkdir(fs, f->state_dir, 0700) != 0 && errno != EEXIST)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "make directory %s", f->state_dir);
    TRY(local_lock_take(fs, f->state_dir, &f->lock_fd, err));
    return daemon_listen_folder(f, err);
}

/* --- a walk ------------------------------------------------------------------------------------------------------- */

static void run_scan(struct work_item *work)
{
    struct daemon_folder *f = work->owner;

    f->scan_rc = folder_scan_run(&f->scan, &f->scan_err);
}

static void tell_skipped(struct daemon_folder *f)
{
    const struct folder_scan *s = &f->scan;

    if (s->skipped_count > 0 && !f->told_skipped)
        LOG_WARN("a part of the folder is passed over", F_STR("folder", f->dir), F_U64("count", s->skipped_count),
            F_ERR(&s->skipped));
    f->told_skipped = s->skipped_count > 0;
    if (s->link_count > 0 && !f->told_link)
        LOG_WARN("symbolic links are not followed: name the folder that they lead to, or the database",
            F_STR("folder", f->dir), F_U64("count", s->link_count));
    f->told_link = s->link_count > 0;
}

/* What is not in the list may still be there, in a folder that could not be read: each is looked at. */
static void look_at_items(struct daemon_folder *f, bool full)
{
    uint64_t now = clock_mono_ms(&clock_real);

    for (struct daemon_item *i = f->items, *next; i != NULL; i = next) {
        next = i->next;
        if (i->due_ms != 0 && now >= i->due_ms)
            daemon_item_retry(i);
        else if (!i->seen || full)
            daemon_item_look_later(i);
        i->seen = false;
    }
}

static void apply(struct daemon_folder *f)
{
    struct folder_scan *s = &f->scan;
    bool fresh = false;

    for (size_t i = 0; i < s->folder_count; i++)
        fresh = watch(f, s->folders[i]) || fresh;
    f->watch_count += s->folder_count;
    unwatch_unseen(f, f->watch_count);
    f->watch_count = s->folder_count;
    for (size_t i = 0; i < s->file_count; i++) {
        struct daemon_item *item = daemon_item_find(f, s->files[i]);

        if (item != NULL)
            item->seen = true;
        else if ((f->watch || !f->scanned) && daemon_folder_owns(f, s->files[i]))
            daemon_item_add(f, s->files[i]);
    }
    tell_skipped(f);
    f->scan_again = f->scan_again || fresh;
    if (!f->scanned)
        LOG_INFO("databases of a folder", F_STR("folder", f->dir), F_U64("databases", f->item_count));
    f->scanned = true;
}

static void on_scanned(struct work_item *work)
{
    static const struct err fine = {.code = E_OK};
    struct daemon_folder *f = work->owner;
    struct daemon *d = f->daemon;
    bool failed = rc_failed(f->scan_rc);

    f->scanning = false;
    if (!f->leaving && !d->stopping) {
        if (failed)
            daemon_watch_folder(f, &f->scan_err);
        else
            daemon_watch_folder(f, &fine);
        if (!failed)
            apply(f);
        daemon_notify_news(d);
        look_at_items(f, f->scan_full || failed);
        if (f->scan_again)
            scan_in(f, SCAN_SOON_MS);
        else
            scan_in(f, f->blind || failed ? SCAN_BLIND_MS : SCAN_MS);
    }
    folder_scan_fini(&f->scan);
    daemon_folder_check(f);
    daemon_check_end(d);
}

static void begin_scan(struct daemon_folder *f)
{
    struct daemon *d = f->daemon;
    uint64_t now = clock_mono_ms(&clock_real);
    struct err err;
    struct stat st;

    if (f->leaving || d->stopping || f->scanning)
        return;
    if (d->fs->stat(d->fs, f->dir, &st) == 0 && rc_failed(take_lock(f, &err))) {
        daemon_watch_folder(f, &err);
        scan_in(f, SCAN_BLIND_MS);
        return;
    }
    f->scan_full = f->full_ms == 0 || now - f->full_ms >= (f->blind ? SCAN_BLIND_MS : SCAN_MS);
    if (f->scan_full)
        f->full_ms = now;
    f->scan = (struct folder_scan){.fs = d->fs, .dir = f->dir, .pattern = f->pattern, .recursive = f->recursive};
    f->scanning = true;
    f->scan_again = false;
    f->scan_item.owner = f;
    f->scan_item.run = run_scan;
    f->scan_item.done = on_scanned;
    work_job(d->work, &f->scan_item);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

static void set_copy_fini(struct daemon_folder_settings *s)
{
    char *dir, *pattern;

    if (s == NULL)
        return;
    memcpy(&dir, &s->dir, sizeof dir); /* const for everybody who borrows it; this is the owner */
    memcpy(&pattern, &s->pattern, sizeof pattern);
    mem_free(dir);
    mem_free(pattern);
    mem_free(s);
}

static void folder_free(struct daemon_folder *f)
{
    struct daemon_folder **at = &f->daemon->folders;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    tdestroy(f->watches, free_node);
    daemon_member_copy_fini(&f->settings);
    daemon_member_copy_fini(&f->heir);
    set_copy_fini(f->successor);
    mem_free(f->dir);
    mem_free(f->pattern);
    mem_free(f->state_dir);
    mem_free(f->socket_path);
    mem_free(f);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct daemon_folder *f = handle->data;
    struct daemon *d = f->daemon;

    if (f->lock_fd >= 0)
        local_lock_drop(d->fs, f->lock_fd);
    f->lock_fd = -1;
    if (f->successor != NULL && !d->stopping) {
        struct daemon_folder_settings next = *f->successor;

        next.set = f->heir.set;
        daemon_folder_begin(d, &next);
    }
    folder_free(f);
    daemon_check_end(d);
}

void daemon_folder_check(struct daemon_folder *f)
{
    if (!f->leaving || f->closing || f->scanning || f->items != NULL)
        return;
    f->closing = true;
    daemon_listen_close(&f->control, f->socket_path);
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

void daemon_folder_leave(struct daemon_folder *f, const struct daemon_folder_settings *successor)
{
    set_copy_fini(f->successor);
    daemon_member_copy_fini(&f->heir);
    f->successor = NULL;
    if (successor != NULL) {
        f->successor = mem_new(sizeof *f->successor);
        *f->successor = *successor;
        f->successor->dir = mem_strdup(successor->dir);
        f->successor->pattern = mem_strdup(successor->pattern);
        daemon_member_copy_init(&f->heir, &successor->set);
    }
    f->leaving = true;
    (void)uv_timer_stop(&f->timer); /* stopping a timer cannot fail */
    for (struct daemon_item *i = f->items, *next; i != NULL; i = next) {
        next = i->next;
        daemon_item_leave(i);
    }
    daemon_folder_check(f);
}

bool daemon_folder_adjust(struct daemon_folder *f, const struct daemon_folder_settings *set)
{
    const struct db_settings *now = &f->settings.set;

    if (f->recursive != set->recursive || f->watch != set->watch || strcmp(f->pattern, set->pattern) != 0
        || !daemon_member_can_take(now, &set->set))
        return false;
    daemon_member_take(&f->settings.set, &set->set);
    for (struct daemon_item *i = f->items; i != NULL; i = i->next) {
        daemon_trigger_return(i, &set->set);
        if (i->member != NULL)
            daemon_member_adjust(i->member, &set->set);
        else if (i->state == DAEMON_ITEM_FAILED)
            daemon_item_retry(i);
    }
    daemon_chore_kick(f->daemon); /* intervals may be others */
    scan_in(f, 0);
    return true;
}

void daemon_folder_begin(struct daemon *d, const struct daemon_folder_settings *set)
{
    struct daemon_folder *f = mem_new(sizeof *f), **last = &d->folders;
    int rc;

    f->daemon = d;
    daemon_member_copy_init(&f->settings, &set->set);
    f->settings.set.of_folder = true;
    f->dir = mem_printf("%.*s", (int)folder_match_trimmed(set->dir), set->dir);
    f->pattern = mem_strdup(set->pattern);
    f->recursive = set->recursive;
    f->watch = set->watch;
    f->state_dir = folder_match_state_dir(f->dir, f->settings.set.state_dir);
    f->socket_path = mem_printf("%s/control.sock", f->state_dir);
    f->lock_fd = -1;
    f->begun_ms = clock_mono_ms(&clock_real);
    while (*last != NULL)
        last = &(*last)->next;
    *last = f;
    if (d->watch == NULL)
        d->watch = file_watch_new(&d->loop, on_overflow, d);
    rc = uv_timer_init(&d->loop, &f->timer);
    assert(rc == 0);
    f->timer.data = f;
    scan_in(f, 0);
}
