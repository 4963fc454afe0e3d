/* SPDX-License-Identifier: Apache-2.0 */
#include "power_loss.h"

#include "alloc.h"
#include "check.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

enum { SECTOR = 512 };

enum fate { FATE_NONE, FATE_ALL, FATE_FIRST, FATE_ANY };

/* The sectors of a write that arrive. */
static void tear(const struct power_change *c, uint64_t *seed, bool in_order)
{
    uint64_t most = in_order ? check_random(seed) % (c->size / SECTOR + 1) : UINT64_MAX;

    for (size_t at = c->off, end = c->off + c->size, next; at < end && most > 0; at = next) {
        next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (in_order)
            most--;
        else if ((check_random(seed) & 1) != 0)
            continue;
        power_disk_put(c->file, at, c->data + (at - c->off), next - at);
    }
}

/* What of this change arrives, when the first `whole` ones of its sort arrive in order. */
static void decide(struct power_change *c, enum fate fate, size_t index, size_t whole, uint64_t *seed)
{
    bool settled = fate == FATE_ALL || (fate == FATE_FIRST && index < whole);

    if (fate == FATE_ANY && c->kind != CHANGE_WRITE)
        settled = (check_random(seed) & 1) != 0;
    if (settled)
        power_disk_settle(c);
    else if (c->kind == CHANGE_WRITE && (fate == FATE_ANY || (fate == FATE_FIRST && index == whole)))
        tear(c, seed, fate == FATE_FIRST);
}

void power_loss_choose(struct power_disk *d, uint64_t *seed)
{
    enum fate data_fate = (enum fate)(check_random(seed) % 4), name_fate = (enum fate)(check_random(seed) % 4);
    size_t count = power_disk_pending(d), whole = check_random(seed) % (count + 1), index = 0;

    for (struct power_change *c = d->first; c != NULL; c = c->next)
        decide(c, c->kind == CHANGE_NAMES ? name_fate : data_fate, index++, whole, seed);
    for (struct power_node *n = d->nodes; n != NULL; n = n->next)
        if (n->dirty && data_fate != FATE_ALL && (check_random(seed) & 1) != 0)
            power_disk_set_size(n, n->seen_size); /* the size arrived, and zeros where nothing else did */
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    return kind == FTW_DP ? fsys_real.rmdir(&fsys_real, path) : fsys_real.unlink(&fsys_real, path);
}

static void make_file(struct power_node *n, const char *path)
{
    struct err err;
    int fd;

    if (n->made != NULL) {
        if (fsys_real.link(&fsys_real, n->made, path) != 0)
            power_disk_give_up("link", path);
        return;
    }
    fd = fsys_real.open(&fsys_real, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        power_disk_give_up("create", path);
    if (rc_failed(fsys_write_at(&fsys_real, fd, path, n->data, n->size, 0, &err)) || fchmod(fd, n->mode) != 0
        || fsys_real.close(&fsys_real, fd) != 0)
        power_disk_give_up("write", path);
    n->made = mem_strdup(path);
}

/* Whether the name stands for something else than it should.  Others (SQLite) may make and remove names too: what was
 * never touched through the table is theirs, unless the content was. */
static bool is_wrong(struct power_disk *d, const struct power_name *name)
{
    struct power_node *n = power_disk_visible(d, name->path);

    return n == name->safe ? n != NULL && n->dirty : name->touched;
}

/* Directories above come first, because a longer path never precedes a shorter one. */
static void sort_names(struct power_disk *d)
{
    struct power_name *sorted = NULL;

    while (d->names != NULL) {
        struct power_name *name = d->names, **at = &sorted;

        d->names = name->next;
        while (*at != NULL && strlen((*at)->path) < strlen(name->path))
            at = &(*at)->next;
        name->next = *at;
        *at = name;
    }
    d->names = sorted;
}

void power_loss_apply(struct power_disk *d)
{
    struct stat st;

    sort_names(d);
    /* Files that were not written through the table may have been by others: what they hold now is what is safe. */
    for (struct power_name *name = d->names; name != NULL; name = name->next) {
        struct power_node *n = power_disk_visible(d, name->path);

        if (n != NULL && !n->is_dir && !n->dirty) {
            power_disk_load(n, name->path);
            if (n == name->safe && n->made == NULL)
                n->made = mem_strdup(name->path);
        }
    }
    for (struct power_name *name = d->names; name != NULL; name = name->next)
        if (is_wrong(d, name)) {
            name->removed = true;
            if (fsys_real.stat(&fsys_real, name->path, &st) == 0
                && nftw(name->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
                power_disk_give_up("remove", name->path);
        }
    for (struct power_name *name = d->names; name != NULL; name = name->next) {
        if (name->safe == NULL || !name->removed || fsys_real.stat(&fsys_real, name->dir->path, &st) != 0
            || fsys_real.stat(&fsys_real, name->path, &st) == 0)
            continue;
        if (!name->safe->is_dir)
            make_file(name->safe, name->path);
        else if (fsys_real.mkdir(&fsys_real, name->path, 0700) != 0)
            power_disk_give_up("make directory", name->path);
    }
}
