/* SPDX-License-Identifier: Apache-2.0 */
#include "power_disk.h"

#include "alloc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_SIZE = 256 << 20 };

void power_disk_init(struct power_disk *d)
{
    *d = (struct power_disk){.last = &d->first};
}

_Noreturn void power_disk_give_up(const char *what, const char *path)
{
    (void)fprintf(stderr, "fault_power: %s: %s: %s\n", what, path, strerror(errno));
    abort();
}

/* --- nodes and names --------------------------------------------------------------------------------------------- */

void power_disk_set_size(struct power_node *n, size_t size)
{
    uint8_t *data = mem_new(size);

    if (size > 0 && n->size > 0)
        memcpy(data, n->data, size < n->size ? size : n->size);
    mem_free(n->data);
    n->data = data;
    n->size = size;
}

void power_disk_load(struct power_node *n, const char *path)
{
    struct buf b;
    struct err err;

    buf_init(&b, FILE_MAX_SIZE);
    if (rc_failed(fsys_read_file(&fsys_real, path, &b, &err)))
        power_disk_give_up("load", err.msg);
    n->size = 0;
    power_disk_set_size(n, b.size);
    if (b.size > 0)
        memcpy(n->data, b.data, b.size);
    n->loaded = true;
    buf_fini(&b);
}

struct power_node *power_disk_dir(struct power_disk *d, const char *path)
{
    struct power_node *n;

    for (n = d->nodes; n != NULL; n = n->next)
        if (n->is_dir && strcmp(n->path, path) == 0)
            return n;
    n = mem_new(sizeof *n);
    *n = (struct power_node){.next = d->nodes, .is_dir = true, .path = mem_strdup(path)};
    return d->nodes = n;
}

struct power_node *power_disk_new_file(struct power_disk *d, const struct stat *st)
{
    struct power_node *n;

    for (n = d->nodes; n != NULL; n = n->next)
        if (n->alive && n->dev == st->st_dev && n->ino == st->st_ino)
            n->alive = false;
    n = mem_new(sizeof *n);
    *n = (struct power_node){
        .next = d->nodes, .alive = true, .dev = st->st_dev, .ino = st->st_ino, .mode = st->st_mode & 07777};
    return d->nodes = n;
}

struct power_node *power_disk_visible(struct power_disk *d, const char *path)
{
    struct stat st;

    if (fsys_real.stat(&fsys_real, path, &st) != 0)
        return NULL;
    if (S_ISDIR(st.st_mode))
        return power_disk_dir(d, path);
    for (struct power_node *n = d->nodes; n != NULL; n = n->next)
        if (n->alive && n->dev == st.st_dev && n->ino == st.st_ino)
            return n;
    return power_disk_new_file(d, &st);
}

struct power_name *power_disk_track(struct power_disk *d, const char *path)
{
    CLEANUP(mem_freep) char *full = NULL;
    char parent[PATH_MAX], whole[PATH_MAX];
    const char *base;
    struct power_name *name;
    struct stat st;
    size_t n;

    if (fsys_real.stat(&fsys_real, path, &st) != 0 || !S_ISDIR(st.st_mode) || realpath(path, whole) == NULL)
        (void)snprintf(whole, sizeof whole, "%s", path); /* too long: the call itself fails as well */
    n = strlen(whole); /* a directory's path may have ended with "." or "..": not any more */
    while (n > 1 && whole[n - 1] == '/')
        whole[--n] = 0;
    base = strrchr(whole, '/');
    if (base != NULL)
        whole[base - whole] = 0;
    if (realpath(base == NULL ? "." : base == whole ? "/" : whole, parent) == NULL)
        return NULL;
    base = base == NULL ? whole : base + 1;
    full = mem_printf("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base);
    for (name = d->names; name != NULL; name = name->next)
        if (strcmp(name->path, full) == 0)
            return name;
    name = mem_new(sizeof *name);
    *name =
        (struct power_name){.next = d->names, .dir = power_disk_dir(d, parent), .safe = power_disk_visible(d, full)};
    name->path = MOVE(full);
    return d->names = name;
}

struct power_node *power_disk_keep(struct power_disk *d, const struct power_name *name)
{
    struct power_node *n = name == NULL ? NULL : power_disk_visible(d, name->path);

    if (n != NULL && !n->is_dir && !n->loaded)
        power_disk_load(n, name->path);
    return n;
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

struct power_change *power_disk_add(struct power_disk *d, struct power_change change)
{
    struct power_change *c = mem_new(sizeof *c);

    *c = change;
    c->next = NULL;
    *d->last = c;
    d->last = &c->next;
    return c;
}

static void free_change(struct power_change *c)
{
    mem_free(c->data);
    mem_free(c);
}

void power_disk_put(struct power_node *n, size_t off, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (off + size > n->size)
        power_disk_set_size(n, off + size);
    memcpy(n->data + off, data, size);
}

void power_disk_settle(struct power_change *c)
{
    if (c->kind == CHANGE_WRITE)
        power_disk_put(c->file, c->off, c->data, c->size);
    if (c->kind == CHANGE_TRUNCATE)
        power_disk_set_size(c->file, c->off);
    for (int i = 0; i < 2; i++)
        if (c->name[i] != NULL)
            c->name[i]->safe = c->to[i];
}

/* A safe change of a name makes what happened to the name before it void. */
static void overtake(struct power_disk *d, const struct power_change *by)
{
    for (struct power_change *c = d->first; c != NULL && c != by; c = c->next)
        for (int i = 0; i < 2; i++)
            if (c->name[i] != NULL && (c->name[i] == by->name[0] || c->name[i] == by->name[1]))
                c->name[i] = NULL;
}

void power_disk_take(struct power_disk *d, struct power_node *n, bool safe)
{
    struct power_change **at = &d->first, *c;

    if (n == NULL)
        return;
    while ((c = *at) != NULL) {
        if (c->file != n && c->sync_dir != n) {
            at = &c->next;
            continue;
        }
        if (safe) {
            overtake(d, c);
            power_disk_settle(c);
        }
        *at = c->next;
        free_change(c);
    }
    d->last = at;
    n->lossy = n->lossy || (n->dirty && !safe);
    n->dirty = n->lossy;
}

void power_disk_names(
    struct power_disk *d, struct power_name *a, struct power_node *to_a, struct power_name *b, struct power_node *to_b)
{
    (void)power_disk_add(
        d, (struct power_change){
               .kind = CHANGE_NAMES, .name = {a, b}, .to = {to_a, to_b}, .sync_dir = b != NULL ? b->dir : a->dir});
    a->touched = true;
    if (b != NULL)
        b->touched = true;
}

struct power_node *power_disk_node_of(struct power_disk *d, int fd)
{
    for (struct power_file *f = d->files; f != NULL; f = f->next)
        if (f->fd == fd)
            return f->node;
    return NULL;
}

size_t power_disk_pending(const struct power_disk *d)
{
    size_t n = 0;

    for (const struct power_change *c = d->first; c != NULL; c = c->next)
        n++;
    return n;
}

void power_disk_forget(struct power_disk *d)
{
    for (struct power_change *c; (c = d->first) != NULL; free_change(c))
        d->first = c->next;
    d->last = &d->first;
    for (struct power_file *f; (f = d->files) != NULL; mem_free(f))
        d->files = f->next;
    for (struct power_name *name; (name = d->names) != NULL; mem_free(name)) {
        d->names = name->next;
        mem_free(name->path);
    }
    for (struct power_node *n; (n = d->nodes) != NULL; mem_free(n)) {
        d->nodes = n->next;
        mem_free(n->path);
        mem_free(n->data);
        mem_free(n->made);
    }
}
