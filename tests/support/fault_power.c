/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_power.h"

#include "alloc.h"
#include "power_loss.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct fault_power {
    struct fsys fs; /* must be first */
    pthread_mutex_t lock;
    struct power_disk disk;
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

/* --- the table --------------------------------------------------------------------------------------------------- */

static void opened(struct fault_power *p, int fd, int flags, struct power_name *name, bool existed)
{
    struct power_file *f;
    struct power_node *n;
    struct stat st;

    if (name == NULL || real->fstat(real, fd, &st) != 0)
        return;
    if (!existed && !S_ISDIR(st.st_mode)) {
        n = power_disk_new_file(&p->disk, &st);
        n->loaded = true;
        power_disk_set_size(n, 0);
        power_disk_names(&p->disk, name, n, NULL, NULL);
    } else
        n = power_disk_visible(&p->disk, name->path);
    if (existed && (flags & O_TRUNC) != 0) {
        (void)power_disk_add(&p->disk, (struct power_change){.kind = CHANGE_TRUNCATE, .file = n});
        n->dirty = true;
        n->seen_size = 0;
    }
    f = mem_new(sizeof *f);
    *f = (struct power_file){p->disk.files, fd, n};
    p->disk.files = f;
}

static int power_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    struct fault_power *p = enter(fs);
    struct power_name *name = power_disk_track(&p->disk, path);
    struct stat st;
    bool existed = real->stat(real, path, &st) == 0;
    int fd;

    if (existed && (flags & O_ACCMODE) != O_RDONLY)
        (void)power_disk_keep(&p->disk, name);
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
static struct power_node *start_change(struct fault_power *p, int fd)
{
    struct power_node *n = power_disk_node_of(&p->disk, fd);
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
    struct power_node *file = start_change(p, fd);
    ssize_t r = real->pwrite(real, fd, buf, n, off);

    if (r > 0 && file != NULL) {
        struct power_change *c = power_disk_add(
            &p->disk, (struct power_change){.kind = CHANGE_WRITE, .file = file, .off = (size_t)off, .size = (size_t)r});

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
    struct power_node *file = start_change(p, fd);
    int r = real->ftruncate(real, fd, size);

    if (r == 0 && file != NULL) {
        (void)power_disk_add(
            &p->disk, (struct power_change){.kind = CHANGE_TRUNCATE, .file = file, .off = (size_t)size});
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
        power_disk_take(&p->disk, power_disk_node_of(&p->disk, fd), true);
    leave(p);
    return r;
}

void fault_power_sync_failed(struct fault_power *p, int fd)
{
    (void)enter(&p->fs);
    power_disk_take(&p->disk, power_disk_node_of(&p->disk, fd), false);
    leave(p);
}

static int power_close(const struct fsys *fs, int fd)
{
    struct fault_power *p = enter(fs);
    int r;

    for (struct power_file **at = &p->disk.files, *f; (f = *at) != NULL; at = &f->next)
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
static void lost_name(struct power_node *n, nlink_t links)
{
    if (n != NULL && !n->is_dir && links <= 1)
        n->alive = false;
}

static int move(const struct fsys *fs, const char *from, const char *to,
    int (*call)(const struct fsys *fs, const char *from, const char *to))
{
    struct fault_power *p = enter(fs);
    struct power_name *a = power_disk_track(&p->disk, from), *b = power_disk_track(&p->disk, to);
    struct power_node *n = power_disk_keep(&p->disk, a), *over = power_disk_keep(&p->disk, b);
    struct stat st = {0};
    int r;

    if (n != NULL && n->is_dir)
        power_disk_give_up("a directory cannot be renamed", from);
    if (over != NULL)
        (void)real->stat(real, to, &st);
    r = call(real, from, to);
    if (r == 0 && n != over) { /* two names of one file: nothing happens */
        power_disk_names(&p->disk, a, NULL, b, n);
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
    struct power_name *a = power_disk_track(&p->disk, from), *b = power_disk_track(&p->disk, to);
    struct power_node *n = power_disk_keep(&p->disk, a);
    int r = real->link(real, from, to);

    if (r == 0)
        power_disk_names(&p->disk, b, n, NULL, NULL);
    leave(p);
    return r;
}

static int power_unlink(const struct fsys *fs, const char *path)
{
    struct fault_power *p = enter(fs);
    struct power_name *name = power_disk_track(&p->disk, path);
    struct power_node *n = power_disk_keep(&p->disk, name);
    struct stat st = {0};
    int r;

    (void)real->stat(real, path, &st); /* when it fails, so does the unlink */
    r = real->unlink(real, path);
    if (r == 0) {
        power_disk_names(&p->disk, name, NULL, NULL, NULL);
        lost_name(n, st.st_nlink);
    }
    leave(p);
    return r;
}

static int power_mkdir(const struct fsys *fs, const char *path, mode_t mode)
{
    struct fault_power *p = enter(fs);
    struct power_name *name = power_disk_track(&p->disk, path);
    int r = real->mkdir(real, path, mode);

    if (r == 0)
        power_disk_names(&p->disk, name, power_disk_dir(&p->disk, name->path), NULL, NULL);
    leave(p);
    return r;
}

static int power_rmdir(const struct fsys *fs, const char *path)
{
    struct fault_power *p = enter(fs);
    struct power_name *name = power_disk_track(&p->disk, path);
    int r = real->rmdir(real, path);

    if (r == 0)
        power_disk_names(&p->disk, name, NULL, NULL, NULL);
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

void fault_power_cut(struct fault_power *p, uint64_t seed)
{
    (void)enter(&p->fs);
    power_loss_choose(&p->disk, &seed);
    power_loss_apply(&p->disk);
    power_disk_forget(&p->disk);
    leave(p);
}

_Noreturn void fault_power_die(struct fault_power *p, uint64_t seed)
{
    (void)enter(&p->fs); /* for good: nobody changes anything any more */
    power_loss_choose(&p->disk, &seed);
    power_loss_apply(&p->disk);
    _exit(0);
}

size_t fault_power_pending(struct fault_power *p)
{
    return power_disk_pending(&p->disk);
}

struct fault_power *fault_power_new(void)
{
    struct fault_power *p = mem_new(sizeof *p);

    p->fs = table;
    power_disk_init(&p->disk);
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail with these attributes */
    return p;
}

void fault_power_free(struct fault_power *p)
{
    if (p == NULL)
        return;
    power_disk_forget(&p->disk);
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
