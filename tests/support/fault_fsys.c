/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_fsys.h"

#include "fault_power.h"

#include <errno.h>
#include <signal.h>

static struct fault_fsys *self(const struct fsys *fs)
{
    return (struct fault_fsys *)(uintptr_t)fs;
}

/* Count this call; true when it is to fail, with errno set. */
static bool tick(struct fault_fsys *f, enum fault_op op)
{
    long left;

    if ((f->ops & (unsigned)op) == 0)
        return false;
    (void)__atomic_add_fetch(&f->calls, 1, __ATOMIC_SEQ_CST);
    left = __atomic_sub_fetch(&f->countdown, 1, __ATOMIC_SEQ_CST);
    if (left > 0 || (left < 0 && (f->mode != FAULT_FOREVER || __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST) == 0)))
        return false;
    if (f->mode == FAULT_KILL)
        (void)raise(SIGKILL);
    (void)__atomic_add_fetch(&f->fired, 1, __ATOMIC_SEQ_CST);
    errno = f->sys;
    return true;
}

/* The result of a change that `fail`s or not; the change itself is made by `call` when it should be. */
#define CHANGE(f, op, call)        \
    ({                             \
        bool fail_ = tick(f, op);  \
        int sys_ = errno, r_ = -1; \
        if (!fail_ || (f)->lie)    \
            r_ = (int)(call);      \
        if (fail_) {               \
            r_ = -1;               \
            errno = sys_;          \
        }                          \
        r_;                        \
    })

static size_t amount(const struct fault_fsys *f, size_t n)
{
    return f->short_io && n > 1 ? n / 2 : n;
}

static int fault_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    struct fault_fsys *f = self(fs);
    int fd = tick(f, FAULT_OPEN) ? -1 : f->below->open(f->below, path, flags, mode);

    if (fd >= 0)
        (void)__atomic_add_fetch(&f->open_fds, 1, __ATOMIC_SEQ_CST);
    return fd;
}

static ssize_t fault_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    struct fault_fsys *f = self(fs);

    return tick(f, FAULT_PREAD) ? -1 : f->below->pread(f->below, fd, buf, amount(f, n), off);
}

static ssize_t fault_pwrite(const struct fsys *fs, int fd, const void *buf, size_t n, off_t off)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_PWRITE, f->below->pwrite(f->below, fd, buf, amount(f, n), off));
}

static int fault_ftruncate(const struct fsys *fs, int fd, off_t size)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_FTRUNCATE, f->below->ftruncate(f->below, fd, size));
}

static int fault_fsync(const struct fsys *fs, int fd)
{
    struct fault_fsys *f = self(fs);
    long fired = __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST);
    int r = CHANGE(f, FAULT_FSYNC, f->below->fsync(f->below, fd)), sys = errno;

    if (r != 0 && f->power != NULL && !f->lie && __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST) != fired)
        fault_power_sync_failed(f->power, fd);
    errno = sys;
    return r;
}

static int fault_close(const struct fsys *fs, int fd)
{
    struct fault_fsys *f = self(fs);
    bool fail = tick(f, FAULT_CLOSE);
    int sys = errno, r = f->below->close(f->below, fd);

    (void)__atomic_sub_fetch(&f->open_fds, 1, __ATOMIC_SEQ_CST);
    if (!fail)
        return r;
    errno = sys;
    return -1;
}

static int fault_rename(const struct fsys *fs, const char *from, const char *to)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_RENAME, f->below->rename(f->below, from, to));
}

static int fault_rename_new(const struct fsys *fs, const char *from, const char *to)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_RENAME, f->below->rename_new(f->below, from, to));
}

static int fault_link(const struct fsys *fs, const char *from, const char *to)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_LINK, f->below->link(f->below, from, to));
}

static int fault_unlink(const struct fsys *fs, const char *path)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_UNLINK, f->below->unlink(f->below, path));
}

static int fault_mkdir(const struct fsys *fs, const char *path, mode_t mode)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_MKDIR, f->below->mkdir(f->below, path, mode));
}

static int fault_rmdir(const struct fsys *fs, const char *path)
{
    struct fault_fsys *f = self(fs);

    return CHANGE(f, FAULT_RMDIR, f->below->rmdir(f->below, path));
}

static int fault_stat(const struct fsys *fs, const char *path, struct stat *out)
{
    struct fault_fsys *f = self(fs);

    return tick(f, FAULT_STAT) ? -1 : f->below->stat(f->below, path, out);
}

static int fault_fstat(const struct fsys *fs, int fd, struct stat *out)
{
    struct fault_fsys *f = self(fs);

    return tick(f, FAULT_STAT) ? -1 : f->below->fstat(f->below, fd, out);
}

static int fault_flock(const struct fsys *fs, int fd, int operation)
{
    struct fault_fsys *f = self(fs);

    return tick(f, FAULT_FLOCK) ? -1 : f->below->flock(f->below, fd, operation);
}

static DIR *fault_opendir(const struct fsys *fs, const char *path)
{
    struct fault_fsys *f = self(fs);

    return tick(f, FAULT_OPENDIR) ? NULL : f->below->opendir(f->below, path);
}

/* What the table below cannot do, this one cannot do either; that is no fault. */
static int fault_fallocate(const struct fsys *fs, int fd, off_t off, off_t n)
{
    struct fault_fsys *f = self(fs);

    if (f->below->fallocate == NULL) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return CHANGE(f, FAULT_FALLOCATE, f->below->fallocate(f->below, fd, off, n));
}

static int fault_write_early(const struct fsys *fs, int fd, off_t off, off_t n)
{
    struct fault_fsys *f = self(fs);

    if (f->below->write_early == NULL) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return tick(f, FAULT_WRITE_EARLY) ? -1 : f->below->write_early(f->below, fd, off, n);
}

static int fault_clone(const struct fsys *fs, int to, int from)
{
    struct fault_fsys *f = self(fs);

    if (f->below->clone == NULL) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return CHANGE(f, FAULT_CLONE, f->below->clone(f->below, to, from));
}

static int fault_give(const struct fsys *fs, int fd, uid_t uid, gid_t gid, mode_t mode)
{
    struct fault_fsys *f = self(fs);

    if (f->below->give == NULL)
        return 0;
    return tick(f, FAULT_GIVE) ? -1 : f->below->give(f->below, fd, uid, gid, mode);
}

void fault_fsys_init(struct fault_fsys *f, enum fault_mode mode, long countdown, int sys)
{
    *f = (struct fault_fsys){
        .fs =
            {
                .open = fault_open,
                .pread = fault_pread,
                .pwrite = fault_pwrite,
                .ftruncate = fault_ftruncate,
                .fsync = fault_fsync,
                .close = fault_close,
                .rename = fault_rename,
                .link = fault_link,
                .unlink = fault_unlink,
                .mkdir = fault_mkdir,
                .rmdir = fault_rmdir,
                .stat = fault_stat,
                .fstat = fault_fstat,
                .flock = fault_flock,
                .opendir = fault_opendir,
                .rename_new = fault_rename_new,
                .fallocate = fault_fallocate,
                .write_early = fault_write_early,
                .clone = fault_clone,
                .give = fault_give,
            },
        .below = &fsys_real,
        .mode = mode,
        .countdown = countdown,
        .sys = sys,
        .ops = FAULT_ALL,
    };
}
