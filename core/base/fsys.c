/* SPDX-License-Identifier: Apache-2.0 */
#include "fsys.h"

#include "alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- the table of the real system ------------------------------------------------------------------------------ */

static int real_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    return open(path, flags | O_CLOEXEC, mode);
}

static ssize_t real_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    (void)fs;
    return pread(fd, buf, n, off);
}

static ssize_t real_pwrite(const struct fsys *fs, int fd, const void *buf, size_t n, off_t off)
{
    (void)fs;
    return pwrite(fd, buf, n, off);
}

static int real_ftruncate(const struct fsys *fs, int fd, off_t size)
{
    (void)fs;
    return ftruncate(fd, size);
}

static int real_fsync(const struct fsys *fs, int fd)
{
    (void)fs;
    return fsync(fd);
}

static int real_close(const struct fsys *fs, int fd)
{
    (void)fs;
    return close(fd);
}

static int real_rename(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    return rename(from, to);
}

static int real_link(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    return link(from, to);
}

static int real_unlink(const struct fsys *fs, const char *path)
{
    (void)fs;
    return unlink(path);
}

static int real_mkdir(const struct fsys *fs, const char *path, mode_t mode)
{
    (void)fs;
    return mkdir(path, mode);
}

static int real_rmdir(const struct fsys *fs, const char *path)
{
    (void)fs;
    return rmdir(path);
}

static int real_stat(const struct fsys *fs, const char *path, struct stat *out)
{
    (void)fs;
    return stat(path, out);
}

static int real_fstat(const struct fsys *fs, int fd, struct stat *out)
{
    (void)fs;
    return fstat(fd, out);
}

static int real_flock(const struct fsys *fs, int fd, int operation)
{
    (void)fs;
    return flock(fd, operation);
}

static DIR *real_opendir(const struct fsys *fs, const char *path)
{
    (void)fs;
    return opendir(path);
}

static int real_rename_new(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static int real_give(const struct fsys *fs, int fd, uid_t uid, gid_t gid, mode_t mode)
{
    (void)fs;
    if (fchown(fd, uid, gid) != 0 && errno != EPERM)
        return -1;
    return fchmod(fd, mode);
}

static int real_fallocate(const struct fsys *fs, int fd, off_t off, off_t n)
{
    (void)fs;
    return fallocate(fd, 0, off, n);
}

static int real_uncache(const struct fsys *fs, int fd, off_t off, off_t n)
{
    int rc = posix_fadvise(fd, off, n, POSIX_FADV_DONTNEED);

    (void)fs;
    errno = rc; /* it does not set it */
    return rc == 0 ? 0 : -1;
}

static int real_write_early(const struct fsys *fs, int fd, off_t off, off_t n)
{
    (void)fs;
    return sync_file_range(fd, off, n, SYNC_FILE_RANGE_WRITE);
}

static int real_clone(const struct fsys *fs, int to, int from)
{
    (void)fs;
    return ioctl(to, FICLONE, from);
}

static int real_space(const struct fsys *fs, const char *path, uint64_t *out)
{
    struct statvfs st;

    (void)fs;
    if (statvfs(path, &st) != 0)
        return -1;
    if (__builtin_mul_overflow((uint64_t)st.f_bavail, (uint64_t)st.f_frsize, out))
        *out = UINT64_MAX;
    return 0;
}

static int real_may_change(const struct fsys *fs, const char *folder)
{
    (void)fs;
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);
}

const struct fsys fsys_real = {
    .open = real_open,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .ftruncate = real_ftruncate,
    .fsync = real_fsync,
    .close = real_close,
    .rename = real_rename,
    .link = real_link,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .rmdir = real_rmdir,
    .stat = real_stat,
    .fstat = real_fstat,
    .flock = real_flock,
    .opendir = real_opendir,
    .rename_new = real_rename_new,
    .fallocate = real_fallocate,
    .give = real_give,
    .write_early = real_write_early,
    .clone = real_clone,
    .uncache = real_uncache,
    .space = real_space,
    .may_change = real_may_change,
};

/* --- reading and writing ----------------------------------------------------------------------------------------- */

static bool range_ok(uint64_t off, size_t n)
{
    uint64_t end;

    return !__builtin_add_overflow(off, n, &end) && end <= INT64_MAX;
}

struct rc fsys_read_at(
    const struct fsys *fs, int fd, const char *path, void *buf, size_t n, uint64_t off, struct err *err)
{
    size_t done = 0;

    if (!range_ok(off, n))
        return rc_raise(err, E_CORRUPT, "%s: read %zu bytes at %" PRIu64 ": no such offset", path, n, off);
    while (done < n) {
        ssize_t got = fs->pread(fs, fd, (uint8_t *)buf + done, n - done, (off_t)(off + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rc_raise_sys(
                err, rc_from_errno(errno), errno, "%s: read %zu bytes at %" PRIu64, path, n - done, off + done);
        if (got == 0)
            return rc_raise(err, E_CORRUPT, "%s: short read at %" PRIu64 ": %zu of %zu bytes", path, off, done, n);
        done += (size_t)got;
    }
    return RC_OK;
}

struct rc fsys_write_at(
    const struct fsys *fs, int fd, const char *path, const void *data, size_t n, uint64_t off, struct err *err)
{
    size_t done = 0;

    if (!range_ok(off, n))
        return rc_raise_sys(err, E_NOSPACE, EFBIG, "%s: write %zu bytes at %" PRIu64, path, n, off);
    while (done < n) {
        ssize_t got = fs->pwrite(fs, fd, (const uint8_t *)data + done, n - done, (off_t)(off + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rc_raise_sys(
                err, rc_from_errno(errno), errno, "%s: write %zu bytes at %" PRIu64, path, n - done, off + done);
        if (got == 0)
            return rc_raise(
                err, E_IO, "%s: write %zu bytes at %" PRIu64 ": nothing written", path, n - done, off + done);
        done += (size_t)got;
    }
    return RC_OK;
}

struct rc fsys_open(const struct fsys *fs, const char *path, int flags, mode_t mode, int *out, struct err *err)
{
    int fd;

    do
        fd = fs->open(fs, path, flags, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "%s %s", flags & O_CREAT ? "create" : "open", path);
    *out = fd;
    return RC_OK;
}

void fsys_closep(struct fsys_fd *f)
{
    if (f->fd >= 0)
        (void)f->fs->close(f->fs, f->fd); /* only for descriptors that were read from */
    f->fd = -1;
}

/* Append what is at `off`, at most `want` bytes, and say how much that was. */
static struct rc read_some(const struct fsys_fd *f, const char *path, struct buf *out, size_t want, uint64_t off,
    size_t *got_out, struct err *err)
{
    uint8_t extra, *at = &extra;
    size_t before = out->size, room = out->max - out->size;
    ssize_t got;

    if (room > 0) {
        want = want < room ? want : room;
        at = buf_grow(out, want);
        if (at == NULL)
            return buf_check(out, path, err);
    } else
        want = sizeof extra; /* full: all that matters is whether there is more */
    do
        got = f->fs->pread(f->fs, f->fd, at, want, (off_t)off);
    while (got < 0 && errno == EINTR);
    buf_trim(out, room > 0 && got > 0 ? before + (size_t)got : before);
    if (got < 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "%s: read at %" PRIu64, path, off);
    if (room == 0 && got > 0)
        return rc_raise(err, E_CORRUPT, "%s: larger than the limit of %zu bytes", path, out->max);
    *got_out = (size_t)got;
    return RC_OK;
}

struct rc fsys_read_file(const struct fsys *fs, const char *path, struct buf *out, struct err *err)
{
    enum { STEP_MIN = 512, STEP_MAX = 1 << 20 };
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    size_t before = out->size, got = 0;
    uint64_t off = 0;
    struct stat st;

    TRY(fsys_open(fs, path, O_RDONLY, 0, &f.fd, err));
    if (fs->fstat(fs, f.fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    do {
        /* The size is a hint only: the file may be growing, or be one that has no size. */
        uint64_t left = (uint64_t)st.st_size > off ? (uint64_t)st.st_size - off : 0;
        size_t step = left >= STEP_MAX ? STEP_MAX : left < STEP_MIN ? STEP_MIN : (size_t)left;
        struct rc rc = read_some(&f, path, out, step, off, &got, err);

        if (rc_failed(rc)) {
            buf_trim(out, before);
            return rc;
        }
        off += got;
    } while (got > 0);
    return RC_OK;
}

/* --- directories ------------------------------------------------------------------------------------------------- */

struct rc fsys_sync_dir(const struct fsys *fs, const char *dir, struct err *err)
{
    int fd, sys;

    TRY(fsys_open(fs, dir, O_RDONLY | O_DIRECTORY, 0, &fd, err));
    if (fs->fsync(fs, fd) != 0) {
        sys = errno;
        (void)fs->close(fs, fd); /* the fsync's failure is the one to report */
        return rc_raise_sys(err, rc_from_errno(sys), sys, "fsync directory %s", dir);
    }
    if (fs->close(fs, fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "close directory %s", dir);
    return RC_OK;
}

/* The directory that holds `path`, owned by the caller. */
static char *parent_of(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/') /* "a/b/" is in "a" */
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n == 0 ? mem_strdup(".") : mem_printf("%.*s", (int)n, path);
}

struct rc fsys_sync_parent(const struct fsys *fs, const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *dir = parent_of(path);

    return fsys_sync_dir(fs, dir, err);
}

static struct rc make_dir(const struct fsys *fs, const char *path, mode_t mode, struct err *err)
{
    struct stat st;
    int sys;

    if (fs->mkdir(fs, path, mode) == 0)
        return fsys_sync_parent(fs, path, err);
    sys = errno;
    /* Existing directories above may answer with another error than EEXIST (a read-only or an automounted file system),
     * so what counts is what is there. */
    if (fs->stat(fs, path, &st) != 0) {
        sys = sys == EEXIST ? errno : sys;
        return rc_raise_sys(err, rc_from_errno(sys), sys, "make directory %s", path);
    }
    if (!S_ISDIR(st.st_mode))
        return rc_raise_sys(err, E_EXISTS, ENOTDIR, "make directory %s", path);
    return RC_OK;
}

struct rc fsys_make_dirs(const struct fsys *fs, const char *path, mode_t mode, struct err *err)
{
    CLEANUP(mem_freep) char *level = mem_strdup(path);
    struct stat st;

    if (path[0] == 0)
        return rc_raise(err, E_CONFIG, "make directory: empty path");
    if (fs->stat(fs, path, &st) == 0 && S_ISDIR(st.st_mode))
        return RC_OK;
    for (char *slash = level + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        if (slash[-1] != 0 && slash[-1] != '/' && slash[1] != 0)
            TRY(make_dir(fs, level, mode, err));
        *slash = '/';
    }
    return make_dir(fs, level, mode, err);
}

struct rc fsys_remove(const struct fsys *fs, const char *path, struct err *err)
{
    if (fs->unlink(fs, path) != 0 && errno != ENOENT)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", path);
    return RC_OK;
}

struct rc fsys_rename_new(const struct fsys *fs, const char *from, const char *to, struct err *err)
{
    bool done = fs->rename_new(fs, from, to) == 0;

    if (!done && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
        done = fs->link(fs, from, to) == 0 && fs->unlink(fs, from) == 0;
    if (!done && errno == EEXIST)
        return rc_raise(err, E_EXISTS, "%s was made by another process meanwhile: it stays as it is", to);
    if (!done)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", from, to);
    return RC_OK;
}

/* --- atomic replacement ------------------------------------------------------------------------------------------ */

/* A temporary file that a crash left behind is removed rather than reused: it may have another mode or be a link. */
static struct rc create_temp(const struct fsys *fs, const char *temp, mode_t mode, int *out, struct err *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    struct rc rc = fsys_open(fs, temp, flags, mode, out, err);

    if (rc.code != E_EXISTS)
        return rc;
    TRY(fsys_remove(fs, temp, err));
    return fsys_open(fs, temp, flags, mode, out, err);
}

static struct rc write_temp(
    const struct fsys *fs, const char *temp, const void *data, size_t n, mode_t mode, struct err *err)
{
    struct rc rc;
    int fd;

    TRY(create_temp(fs, temp, mode, &fd, err));
    rc = fsys_write_at(fs, fd, temp, data, n, 0, err);
    if (!rc_failed(rc) && fs->fsync(fs, fd) != 0)
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", temp);
    /* A failed close may be the first word of a write that went wrong. */
    if (fs->close(fs, fd) != 0 && !rc_failed(rc))
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "close %s", temp);
    return rc;
}

struct rc fsys_write_atomic(
    const struct fsys *fs, const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
    CLEANUP(mem_freep) char *temp = mem_printf("%s.tmp", path);
    struct rc rc = write_temp(fs, temp, data, n, mode, err);

    if (!rc_failed(rc) && fs->rename(fs, temp, path) != 0)
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", temp, path);
    if (rc_failed(rc)) {
        (void)fs->unlink(fs, temp); /* best effort: the next write removes it anyway */
        return rc;
    }
    return fsys_sync_parent(fs, path, err);
}
