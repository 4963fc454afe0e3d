/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsys - every file operation weir makes, behind one table.
 *
 * Production passes &fsys_real.  Tests pass a table that fails, lies, loses unsynced writes or kills the process at the
 * n-th call (tests/support/fault_fsys.h).  All members return -1 (or NULL) and set errno, like the system calls they
 * stand for; they may be called from several threads at once.
 *
 * What does not go through here: SQLite's own files, which SQLite opens (wal/wal_conn.h), and sockets.
 */
#ifndef FSYS_H
#define FSYS_H

#include "buf.h"

#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct fsys {
    int (*open)(const struct fsys *fs, const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
    ssize_t (*pread)(const struct fsys *fs, int fd, void *buf, size_t n, off_t off);
    ssize_t (*pwrite)(const struct fsys *fs, int fd, const void *buf, size_t n, off_t off);
    int (*ftruncate)(const struct fsys *fs, int fd, off_t size);
    int (*fsync)(const struct fsys *fs, int fd);
    int (*close)(const struct fsys *fs, int fd);
    int (*rename)(const struct fsys *fs, const char *from, const char *to);
    int (*link)(const struct fsys *fs, const char *from, const char *to);
    int (*unlink)(const struct fsys *fs, const char *path);
    int (*mkdir)(const struct fsys *fs, const char *path, mode_t mode);
    int (*rmdir)(const struct fsys *fs, const char *path);
    int (*stat)(const struct fsys *fs, const char *path, struct stat *out);
    int (*fstat)(const struct fsys *fs, int fd, struct stat *out);
    int (*flock)(const struct fsys *fs, int fd, int operation);
    DIR *(*opendir)(const struct fsys *fs, const char *path);
    /* renameat2(RENAME_NOREPLACE): EEXIST when `to` is there; EINVAL or ENOSYS when the file system cannot do it. */
    int (*rename_new)(const struct fsys *fs, const char *from, const char *to);
    /* The next two only make things faster or tell of a full disk early, and may be NULL in a table that has nothing to
     * say there.  Linux's fallocate(2) with mode 0, and sync_file_range(2) with SYNC_FILE_RANGE_WRITE: begin to write
     * this range to the disk, without a promise. */
    int (*fallocate)(const struct fsys *fs, int fd, off_t off, off_t n);
    int (*write_early)(const struct fsys *fs, int fd, off_t off, off_t n);
    /* Let the file `to` share all blocks of the file `from` (FICLONE), where the file system can.  May be NULL. */
    int (*clone)(const struct fsys *fs, int to, int from);
    /* Give the file these permissions, and this owner and group if we may (only root may give files away).  May be
     * NULL. */
    int (*give)(const struct fsys *fs, int fd, uid_t uid, gid_t gid, mode_t mode);
    /* How many bytes we could still write to the disk that `path` is on.  May be NULL: nobody knows. */
    int (*space)(const struct fsys *fs, const char *path, uint64_t *out);
    /* Drop what the system keeps of this range in memory and has on the disk, too (POSIX_FADV_DONTNEED), so that the
     * next read is one of the disk.  It is a wish.  May be NULL. */
    int (*uncache)(const struct fsys *fs, int fd, off_t off, off_t n);
    /* May we make and remove files in this folder?  Nothing is tried.  May be NULL: nobody knows. */
    int (*may_change)(const struct fsys *fs, const char *folder);
};

extern const struct fsys fsys_real;

/* Read or write all `n` bytes, over EINTR and short counts.  A read that meets the end of the file is E_CORRUPT
 * ("short read at ..."); `path` is for the message only. */
MUST_USE struct rc fsys_read_at(
    const struct fsys *fs, int fd, const char *path, void *data, size_t n, uint64_t off, struct err *err);
MUST_USE struct rc fsys_write_at(
    const struct fsys *fs, int fd, const char *path, const void *data, size_t n, uint64_t off, struct err *err);

/* Open, with the path in the message.  Errors by rc_from_errno(). */
MUST_USE struct rc fsys_open(
    const struct fsys *fs, const char *path, int flags, mode_t mode, int *out, struct err *err);

/* Append the whole file to `out`; its maximum bounds the size.  E_NOTFOUND when there is none. */
MUST_USE struct rc fsys_read_file(const struct fsys *fs, const char *path, struct buf *out, struct err *err);

/*
 * Replace `path` with `n` bytes of `data`, so that after a crash or power cut at any point the file holds either all of
 * the old content or all of the new.  Uses `<path>.tmp`, fsync, rename, and fsync of the directory.
 */
MUST_USE struct rc fsys_write_atomic(
    const struct fsys *fs, const char *path, const void *data, size_t n, mode_t mode, struct err *err);

/* Rename, but never over a file: E_EXISTS.  Where the file system cannot do that in one step a second name is made and
 * the first removed.  Not durable until the parent is synced. */
MUST_USE struct rc fsys_rename_new(const struct fsys *fs, const char *from, const char *to, struct err *err);

/* fsync the directory that holds `path` / the directory `dir` itself. */
MUST_USE struct rc fsys_sync_parent(const struct fsys *fs, const char *path, struct err *err);
MUST_USE struct rc fsys_sync_dir(const struct fsys *fs, const char *dir, struct err *err);

/* mkdir -p, each new level synced into its parent. */
MUST_USE struct rc fsys_make_dirs(const struct fsys *fs, const char *path, mode_t mode, struct err *err);

/* Remove a file; its absence is success.  Not durable until the parent is synced. */
MUST_USE struct rc fsys_remove(const struct fsys *fs, const char *path, struct err *err);

/* For CLEANUP(fsys_closep): closes a read-only descriptor whose close result does not matter; -1 is ignored. */
struct fsys_fd {
    const struct fsys *fs;
    int fd;
};
void fsys_closep(struct fsys_fd *f);

#endif
