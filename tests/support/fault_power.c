/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two states of the tree exist at once: the visible one, which is the real directory, and the safe one, which is kept
 * here: what each name that was touched stands for, and the bytes of each file that was touched.  Between them lies the
 * list of changes, in order.  An fsync moves changes into the safe state; a cut moves some of them, by chance, and then
 * makes the real directory equal to the safe state.
 */
#include "fault_power.h"

#include "alloc.h"
#include "check.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, FILE_MAX_SIZE = 256 << 20 };

/* A file or a directory, whatever names it has. */
struct node {
    struct node *next;
    bool is_dir;
    char *path; /* of a directory, canonical; owned */
    /* Of a file: */
    bool alive; /* dev and ino name it; false once they may have been given to another file */
    dev_t dev;
    ino_t ino;
    mode_t mode;
    bool loaded;   /* `data` is valid */
    bool dirty;    /* the visible content is another than the safe one */
    bool lossy;    /* and will stay so, because an fsync failed */
    uint8_t *data; /* the safe content; owned */
    size_t size;
    size_t seen_size; /* the visible one, while dirty */
    char *made;       /* during a cut: a name that it has for good; owned */
};

/* An entry of a directory. */
struct name {
    struct name *next;
    struct node *dir;
    char *path;        /* owned */
    struct node *safe; /* NULL: no such name */
    bool touched;      /* it was made or removed through the table */
    bool removed;      /* during a cut: by us */
};

struct change {
    struct change *next;
    enum { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_NAMES } kind;
    struct node *file;
    size_t off;    /* or the new size */
    uint8_t *data; /* owned */
    size_t size;
    struct name *name[2]; /* NULL: overtaken by a later change that is safe */
    struct node *to[2];
    struct node *sync_dir; /* its fsync makes the names safe */
};

struct open_file {
    struct open_file *next;
    int fd;
    struct node *node;
};

struct fault_power {
    struct fsys fs; /* must be first */
    pthread_mutex_t lock;
    struct node *nodes;
    struct name *names;
    struct change *first, **last;
    struct open_file *files;
};

static const struct fsys *const real = &fsys_real;

static struct fault_power *enter(const struct fsys *fs)
{
    struct fault_power *p = (struct fault_power *)(uintptr_t)fs;

    (void)pthread_mutex_lock(&p->lock);
    return p;
}

static void leave(struct fault_power *p)
{
    int sys = errno;

    (void)pthread_mutex_unlock(&p->lock);
    errno = sys;
}

static _Noreturn void give_up(const char *what, const char *path)
{
    (void)fprintf(stderr, "fault_power: %s: %s: %s\n", what, path, strerror(errno));
    abort();
}

/* --- nodes and names --------------------------------------------------------------------------------------------- */

static void set_size(struct node *n, size_t size)
{
    uint8_t *data = mem_new(size);

    if (size > 0 && n->size > 0)
        memcpy(data, n->data, size < n->size ? size : n->size);
    mem_free(n->data);
    n->data = data;
    n->size = size;
}

static void load(struct node *n, const char *path)
{
    struct buf b;
    struct err err;

    buf_init(&b, FILE_MAX_SIZE);
    if (rc_failed(fsys_read_file(real, path, &b, &err)))
        give_up("load", err.msg);
    n->size = 0;
    set_size(n, b.size);
    if (b.size > 0)
        memcpy(n->data, b.data, b.size);
    n->loaded = true;
    buf_fini(&b);
}

static struct node *dir_node(struct fault_power *p, const char *path)
{
    struct node *n;

    for (n = p->nodes; n != NULL; n = n->next)
        if (n->is_dir && strcmp(n->path, path) == 0)
            return n;
    n = mem_new(sizeof *n);
    *n = (struct node){.next = p->nodes, .is_dir = true, .path = mem_strdup(path)};
    return p->nodes = n;
}

static struct node *new_file(struct fault_power *p, const struct stat *st)
{
    struct node *n;

    for (n = p->nodes; n != NULL; n = n->next)
        if (n->alive && n->dev == st->st_dev && n->ino == st->st_ino)
            n->alive = false;
    n = mem_new(sizeof *n);
    *n = (struct node){
        .next = p->nodes, .alive = true, .dev = st->st_dev, .ino = st->st_ino, .mode = st->st_mode & 07777};
    return p->nodes = n;
}

/* What the path stands for now, NULL for nothing. */
static struct node *visible(struct fault_power *p, const char *path)
{
    struct stat st;

    if (real->stat(real, path, &st) != 0)
        return NULL;
    if (S_ISDIR(st.st_mode))
        return dir_node(p, path);
    for (struct node *n = p->nodes; n != NULL; n = n->next)
        if (n->alive && n->dev == st.st_dev && n->ino == st.st_ino)
            return n;
    return new_file(p, &st);
}

/* The entry for a path, NULL when its directory does not exist.  To be called before the path is changed: at the first
 * time, what is there is taken for safe. */
static struct name *track(struct fault_power *p, const char *path)
{
    CLEANUP(mem_freep) char *full = NULL;
    char parent[PATH_MAX], whole[PATH_MAX];
    const char *base;
    struct name *name;
    struct stat st;
    size_t n;

    if (real->stat(real, path, &st) != 0 || !S_ISDIR(st.st_mode) || realpath(path, whole) == NULL)
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
    for (name = p->names; name != NULL; name = name->next)
        if (strcmp(name->path, full) == 0)
            return name;
    name = mem_new(sizeof *name);
    *name = (struct name){.next = p->names, .dir = dir_node(p, parent), .safe = visible(p, full)};
    name->path = MOVE(full);
    return p->names = name;
}

/* The file's bytes are about to change, or its last name to go: keep the safe ones. */
static struct node *keep(struct fault_power *p, const struct name *name)
{
    struct node *n = name == NULL ? NULL : visible(p, name->path);

    if (n != NULL && !n->is_dir && !n->loaded)
        load(n, name->path);
    return n;
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

static struct change *add_change(struct fault_power *p, struct change change)
{
    struct change *c = mem_new(sizeof *c);

    *c = change;
    c->next = NULL;
    *p->last = c;
    p->last = &c->next;
    return c;
}

static void free_change(struct change *c)
{
    mem_free(c->data);
    mem_free(c);
}

static void put_bytes(struct node *n, size_t off, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (off + size > n->size)
        set_size(n, off + size);
    memcpy(n->data + off, data, size);
}

/* Make the change safe in full. */
static void settle(struct change *c)
{
    if (c->kind == CHANGE_WRITE)
        put_bytes(c->file, c->off, c->data, c->size);
    if (c->kind == CHANGE_TRUNCATE)
        set_size(c->file, c->off);
    for (int i = 0; i < 2; i++)
        if (c->name[i] != NULL)
            c->name[i]->safe = c->to[i];
}

/* A safe change of a name makes what happened to the name before it void. */
static void overtake(struct fault_power *p, const struct change *by)
{
    for (struct change *c = p->first; c != NULL && c != by; c = c->next)
        for (int i = 0; i < 2; i++)
            if (c->name[i] != NULL && (c->name[i] == by->name[0] || c->name[i] == by->name[1]))
                c->name[i] = NULL;
}

/* The waiting changes of a node leave the list: safe, or lost for good. */
static void take_changes(struct fault_power *p, struct node *n, bool safe)
{
    struct change **at = &p->first, *c;

    if (n == NULL)
        return;
    while ((c = *at) != NULL) {
        if (c->file != n && c->sync_dir != n) {
            at = &c->next;
            continue;
        }
        if (safe) {
            overtake(p, c);
            settle(c);
        }
        *at = c->next;
        free_change(c);
    }
    p->last = at;
    n->lossy = n->lossy || (n->dirty && !safe);
    n->dirty = n->lossy;
}

static void change_names(struct fault_power *p, struct name *a, struct node *to_a, struct name *b, struct node *to_b)
{
    (void)add_change(
        p, (struct change){
               .kind = CHANGE_NAMES, .name = {a, b}, .to = {to_a, to_b}, .sync_dir = b != NULL ? b->dir : a->dir});
    a->touched = true;
    if (b != NULL)
        b->touched = true;
}

static struct node *node_of(struct fault_power *p, int fd)
{
    for (struct open_file *f = p->files; f != NULL; f = f->next)
        if (f->fd == fd)
            return f->node;
    return NULL;
}

/* --- the table --------------------------------------------------------------------------------------------------- */

static void opened(struct fault_power *p, int fd, int flags, struct name *name, bool existed)
{
    struct open_file *f;
    struct node *n;
    struct stat st;

    if (name == NULL || real->fstat(real, fd, &st) != 0)
        return;
    if (!existed && !S_ISDIR(st.st_mode)) {
        n = new_file(p, &st);
        n->loaded = true;
        set_size(n, 0);
        change_names(p, name, n, NULL, NULL);
    } else
        n = visible(p, name->path);
    if (existed && (flags & O_TRUNC) != 0) {
        (void)add_change(p, (struct change){.kind = CHANGE_TRUNCATE, .file = n});
        n->dirty = true;
        n->seen_size = 0;
    }
    f = mem_new(sizeof *f);
    *f = (struct open_file){p->files, fd, n};
    p->files = f;
}

static int power_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    struct fault_power *p = enter(fs);
    struct name *name = track(p, path);
    struct stat st;
    bool existed = real->stat(real, path, &st) == 0;
    int fd;

    if (existed && (flags & O_ACCMODE) != O_RDONLY)
        (void)keep(p, name);
    fd = real->open(real, path, flags, mode);
    if (fd >= 0)
        opened(p, fd, flags, name, existed);
    leave(p);
    return fd;
}

static ssize_t power_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    (void)fs;
    return real->pread(real, fd, buf, n, off);
}

/* The content of the file behind `fd` is about to change; NULL when it is not one of ours. */
static struct node *start_change(struct fault_power *p, int fd)
{
    struct node *n = node_of(p, fd);
    struct stat st;

    if (n == NULL || n->is_dir || real->fstat(real, fd, &st) != 0)
        return NULL;
    if (!n->dirty)
        n->seen_size = (size_t)st.st_size;
    return n;
}

static ssize_t power_pwrite(const struct fsys *fs, int fd, const void *buf, size_t n, off_t off)
{
    struct fault_power *p = enter(fs);
    struct node *file = start_change(p, fd);
    ssize_t r = real->pwrite(real, fd, buf, n, off);

    if (r > 0 && file != NULL) {
        struct change *c =
            add_change(p, (struct change){.kind = CHANGE_WRITE, .file = file, .off = (size_t)off, .size = (size_t)r});

        c->data = mem_new(c->size);
        memcpy(c->data, buf, c->size);
        file->dirty = true;
        if (c->off + c->size > file->seen_size)
            file->seen_size = c->off + c->size;
    }
    leave(p);
    return r;
}

static int power_ftruncate(const struct fsys *fs, int fd, off_t size)
{
    struct fault_power *p = enter(fs);
    struct node *file = start_change(p, fd);
    int r = real->ftruncate(real, fd, size);

    if (r == 0 && file != NULL) {
        (void)add_change(p, (struct change){.kind = CHANGE_TRUNCATE, .file = file, .off = (size_t)size});
        file->dirty = true;
        file->seen_size = (size_t)size;
    }
    leave(p);
    return r;
}

/* The real fsync is left out: what a test needs of it is kept here, and it takes long. */
static int power_fsync(const struct fsys *fs, int fd)
{
    struct fault_power *p = enter(fs);
    struct stat st;
    int r = real->fstat(real, fd, &st); /* EBADF, at least */

    if (r == 0)
        take_changes(p, node_of(p, fd), true);
    leave(p);
    return r;
}

void fault_power_sync_failed(struct fault_power *p, int fd)
{
    (void)enter(&p->fs);
    take_changes(p, node_of(p, fd), false);
    leave(p);
}

static int power_close(const struct fsys *fs, int fd)
{
    struct fault_power *p = enter(fs);
    int r;

    for (struct open_file **at = &p->files, *f; (f = *at) != NULL; at = &f->next)
        if (f->fd == fd) {
            *at = f->next;
            mem_free(f);
            break;
        }
    r = real->close(real, fd);
    leave(p);
    return r;
}

/* After its last name went, the inode's number may come back for another file. */
static void lost_name(struct node *n, nlink_t links)
{
    if (n != NULL && !n->is_dir && links <= 1)
        n->alive = false;
}

static int move(const struct fsys *fs, const char *from, const char *to,
    int (*call)(const struct fsys *fs, const char *from, const char *to))
{
    struct fault_power *p = enter(fs);
    struct name *a = track(p, from), *b = track(p, to);
    struct node *n = keep(p, a), *over = keep(p, b);
    struct stat st = {0};
    int r;

    if (n != NULL && n->is_dir)
        give_up("a directory cannot be renamed", from);
    if (over != NULL)
        (void)real->stat(real, to, &st);
    r = call(real, from, to);
    if (r == 0 && n != over) { /* two names of one file: nothing happens */
        change_names(p, a, NULL, b, n);
        lost_name(over, st.st_nlink);
    }
    leave(p);
    return r;
}

static int power_rename(const struct fsys *fs, const char *from, const char *to)
{
    return move(fs, from, to, real->rename);
}

static int power_rename_new(const struct fsys *fs, const char *from, const char *to)
{
    return move(fs, from, to, real->rename_new);
}

static int power_link(const struct fsys *fs, const char *from, const char *to)
{
    struct fault_power *p = enter(fs);
    struct name *a = track(p, from), *b = track(p, to);
    struct node *n = keep(p, a);
    int r = real->link(real, from, to);

    if (r == 0)
        change_names(p, b, n, NULL, NULL);
    leave(p);
    return r;
}

static int power_unlink(const struct fsys *fs, const char *path)
{
    struct fault_power *p = enter(fs);
    struct name *name = track(p, path);
    struct node *n = keep(p, name);
    struct stat st = {0};
    int r;

    (void)real->stat(real, path, &st); /* when it fails, so does the unlink */
    r = real->unlink(real, path);
    if (r == 0) {
        change_names(p, name, NULL, NULL, NULL);
        lost_name(n, st.st_nlink);
    }
    leave(p);
    return r;
}

static int power_mkdir(const struct fsys *fs, const char *path, mode_t mode)
{
    struct fault_power *p = enter(fs);
    struct name *name = track(p, path);
    int r = real->mkdir(real, path, mode);

    if (r == 0)
        change_names(p, name, dir_node(p, name->path), NULL, NULL);
    leave(p);
    return r;
}

static int power_rmdir(const struct fsys *fs, const char *path)
{
    struct fault_power *p = enter(fs);
    struct name *name = track(p, path);
    int r = real->rmdir(real, path);

    if (r == 0)
        change_names(p, name, NULL, NULL, NULL);
    leave(p);
    return r;
}

static int power_stat(const struct fsys *fs, const char *path, struct stat *out)
{
    (void)fs;
    return real->stat(real, path, out);
}

static int power_fstat(const struct fsys *fs, int fd, struct stat *out)
{
    (void)fs;
    return real->fstat(real, fd, out);
}

static int power_flock(const struct fsys *fs, int fd, int operation)
{
    (void)fs;
    return real->flock(real, fd, operation);
}

static DIR *power_opendir(const struct fsys *fs, const char *path)
{
    (void)fs;
    return real->opendir(real, path);
}

static const struct fsys table = {
    .open = power_open,
    .pread = power_pread,
    .pwrite = power_pwrite,
    .ftruncate = power_ftruncate,
    .fsync = power_fsync,
    .close = power_close,
    .rename = power_rename,
    .link = power_link,
    .unlink = power_unlink,
    .mkdir = power_mkdir,
    .rmdir = power_rmdir,
    .stat = power_stat,
    .fstat = power_fstat,
    .flock = power_flock,
    .opendir = power_opendir,
    .rename_new = power_rename_new,
};

/* --- the cut ----------------------------------------------------------------------------------------------------- */

enum fate { FATE_NONE, FATE_ALL, FATE_FIRST, FATE_ANY };

/* The sectors of a write that arrive. */
static void tear(const struct change *c, uint64_t *seed, bool in_order)
{
    uint64_t most = in_order ? check_random(seed) % (c->size / SECTOR + 1) : UINT64_MAX;

    for (size_t at = c->off, end = c->off + c->size, next; at < end && most > 0; at = next) {
        next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (in_order)
            most--;
        else if ((check_random(seed) & 1) != 0)
            continue;
        put_bytes(c->file, at, c->data + (at - c->off), next - at);
    }
}

/* What of this change arrives, when the first `whole` ones of its sort arrive in order. */
static void decide(struct change *c, enum fate fate, size_t index, size_t whole, uint64_t *seed)
{
    bool settled = fate == FATE_ALL || (fate == FATE_FIRST && index < whole);

    if (fate == FATE_ANY && c->kind != CHANGE_WRITE)
        settled = (check_random(seed) & 1) != 0;
    if (settled)
        settle(c);
    else if (c->kind == CHANGE_WRITE && (fate == FATE_ANY || (fate == FATE_FIRST && index == whole)))
        tear(c, seed, fate == FATE_FIRST);
}

static void choose(struct fault_power *p, uint64_t *seed)
{
    enum fate data_fate = (enum fate)(check_random(seed) % 4), name_fate = (enum fate)(check_random(seed) % 4);
    size_t count = fault_power_pending(p), whole = check_random(seed) % (count + 1), index = 0;

    for (struct change *c = p->first; c != NULL; c = c->next)
        decide(c, c->kind == CHANGE_NAMES ? name_fate : data_fate, index++, whole, seed);
    for (struct node *n = p->nodes; n != NULL; n = n->next)
        if (n->dirty && data_fate != FATE_ALL && (check_random(seed) & 1) != 0)
            set_size(n, n->seen_size); /* the size arrived, and zeros where nothing else did */
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    return kind == FTW_DP ? real->rmdir(real, path) : real->unlink(real, path);
}

static void make_file(struct node *n, const char *path)
{
    struct err err;
    int fd;

    if (n->made != NULL) {
        if (real->link(real, n->made, path) != 0)
            give_up("link", path);
        return;
    }
    fd = real->open(real, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        give_up("create", path);
    if (rc_failed(fsys_write_at(real, fd, path, n->data, n->size, 0, &err)) || fchmod(fd, n->mode) != 0
        || real->close(real, fd) != 0)
        give_up("write", path);
    n->made = mem_strdup(path);
}

/* Whether the name stands for something else than it should.  Others (SQLite) may make and remove names too: what was
 * never touched through the table is theirs, unless the content was. */
static bool is_wrong(struct fault_power *p, const struct name *name)
{
    struct node *n = visible(p, name->path);

    return n == name->safe ? n != NULL && n->dirty : name->touched;
}

/* Directories above come first, because a longer path never precedes a shorter one. */
static void sort_names(struct fault_power *p)
{
    struct name *sorted = NULL;

    while (p->names != NULL) {
        struct name *name = p->names, **at = &sorted;

        p->names = name->next;
        while (*at != NULL && strlen((*at)->path) < strlen(name->path))
            at = &(*at)->next;
        name->next = *at;
        *at = name;
    }
    p->names = sorted;
}

static void make_real(struct fault_power *p)
{
    struct stat st;

    sort_names(p);
    /* Files that were not written through the table may have been by others: what they hold now is what is safe. */
    for (struct name *name = p->names; name != NULL; name = name->next) {
        struct node *n = visible(p, name->path);

        if (n != NULL && !n->is_dir && !n->dirty) {
            load(n, name->path);
            if (n == name->safe && n->made == NULL)
                n->made = mem_strdup(name->path);
        }
    }
    for (struct name *name = p->names; name != NULL; name = name->next)
        if (is_wrong(p, name)) {
            name->removed = true;
            if (real->stat(real, name->path, &st) == 0 && nftw(name->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
                give_up("remove", name->path);
        }
    for (struct name *name = p->names; name != NULL; name = name->next) {
        if (name->safe == NULL || !name->removed || real->stat(real, name->dir->path, &st) != 0
            || real->stat(real, name->path, &st) == 0)
            continue;
        if (!name->safe->is_dir)
            make_file(name->safe, name->path);
        else if (real->mkdir(real, name->path, 0700) != 0)
            give_up("make directory", name->path);
    }
}

static void forget(struct fault_power *p)
{
    for (struct change *c; (c = p->first) != NULL; free_change(c))
        p->first = c->next;
    p->last = &p->first;
    for (struct open_file *f; (f = p->files) != NULL; mem_free(f))
        p->files = f->next;
    for (struct name *name; (name = p->names) != NULL; mem_free(name)) {
        p->names = name->next;
        mem_free(name->path);
    }
    for (struct node *n; (n = p->nodes) != NULL; mem_free(n)) {
        p->nodes = n->next;
        mem_free(n->path);
        mem_free(n->data);
        mem_free(n->made);
    }
}

void fault_power_cut(struct fault_power *p, uint64_t seed)
{
    (void)enter(&p->fs);
    choose(p, &seed);
    make_real(p);
    forget(p);
    leave(p);
}

_Noreturn void fault_power_die(struct fault_power *p, uint64_t seed)
{
    (void)enter(&p->fs); /* for good: nobody changes anything any more */
    choose(p, &seed);
    make_real(p);
    _exit(0);
}

size_t fault_power_pending(struct fault_power *p)
{
    size_t n = 0;

    for (const struct change *c = p->first; c != NULL; c = c->next)
        n++;
    return n;
}

struct fault_power *fault_power_new(void)
{
    struct fault_power *p = mem_new(sizeof *p);

    p->fs = table;
    p->last = &p->first;
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail with these attributes */
    return p;
}

void fault_power_free(struct fault_power *p)
{
    if (p == NULL)
        return;
    forget(p);
    (void)pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

void fault_power_under(struct fault_fsys *f, struct fault_power *p)
{
    f->below = &p->fs;
    f->power = p;
}

const struct fsys *fault_power_fsys(struct fault_power *p)
{
    return &p->fs;
}
