/* SPDX-License-Identifier: Apache-2.0 */
#include "store_dir_put.h"

#include "alloc.h"
#include "digest.h"
#include "rng.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEMP_NAME_LENGTH = 1 + 32 }; /* kind, 128 random bits in hex */

static void temp_path(const struct store_dir *d, const char *name, store_dir_path out)
{
    char below[STORE_DIR_NAME_SIZE + 8];

    (void)snprintf(below, sizeof below, ".tmp/%s", name);
    store_dir_join(d, below, out);
}

/* --- directories -------------------------------------------------------------------------------------------------- */

static bool known(const struct store_dir *d, const char *path)
{
    for (unsigned i = 0; i < STORE_DIR_LEVELS_MAX; i++) {
        if (d->levels[i] != NULL && strcmp(d->levels[i], path) == 0)
            return true;
    }
    return false;
}

static void forget(struct store_dir *d)
{
    for (unsigned i = 0; i < STORE_DIR_LEVELS_MAX; i++) {
        mem_free(d->levels[i]);
        d->levels[i] = NULL;
    }
}

void store_dir_put_forget(struct store_dir *d)
{
    uv_mutex_lock(&d->lock);
    forget(d);
    uv_mutex_unlock(&d->lock);
}

/* A directory that is there may be one that another process has made a moment ago, or that a crash left unsynced: so
 * its parent is synced in any case. */
static struct rc make_level(const struct store_dir *d, const char *path, struct err *err)
{
    bool made = d->fs->mkdir(d->fs, path, STORE_DIR_DIR_MODE) == 0;
    struct stat st;
    struct rc rc;

    if (!made && errno != EEXIST)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "make directory %s", path);
    if (!made && d->fs->stat(d->fs, path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    if (!made && !S_ISDIR(st.st_mode))
        return rc_raise_sys(err, E_IO, ENOTDIR, "%s is a file where a directory is needed", path);
    rc = fsys_sync_parent(d->fs, path, err);
    if (rc_failed(rc) && made)
        (void)d->fs->rmdir(d->fs, path); /* so that the next try makes it anew; it is not empty when others use it */
    return rc;
}

/*
 * A replica whose directory has become another one was unmounted, or somebody moved it away.  What would be written
 * there now would be a history with a hole, perhaps on the wrong disk.
 */
static struct rc check_root(struct store_dir *d, struct err *err)
{
    struct stat st;
    bool there = d->fs->stat(d->fs, d->root, &st) == 0;

    if ((!there && errno != ENOENT) || (there && !S_ISDIR(st.st_mode) && !d->root_known))
        return RC_OK; /* we may not be allowed to look; and a file in its place is nothing to be remembered */
    if (d->root_known && (!there || st.st_dev != d->root_device || st.st_ino != d->root_inode))
        return rc_raise(err, E_IO, "the replica's directory %s is %s (is its disk mounted?)", d->root,
            there ? "not the one that it was" : "gone");
    if (there) {
        d->root_known = true;
        d->root_device = st.st_dev;
        d->root_inode = st.st_ino;
    }
    return RC_OK;
}

void store_dir_put_keep(struct store_dir *d, const char *key)
{
    if (strchr(key, '/') != NULL)
        return;
    uv_mutex_lock(&d->lock);
    if (d->keeper == NULL)
        d->keeper = mem_strdup(key);
    uv_mutex_unlock(&d->lock);
}

void store_dir_put_let_go(struct store_dir *d, const char *key)
{
    uv_mutex_lock(&d->lock);
    if (d->keeper != NULL && strcmp(d->keeper, key) == 0) {
        mem_free(d->keeper);
        d->keeper = NULL;
    }
    uv_mutex_unlock(&d->lock);
}

/*
 * A directory that was emptied is still the same one, or has its number again.  What would be written there now would
 * be the end of a history without its beginning, so the object that every replica has must still be there.
 */
static struct rc check_keeper(struct store_dir *d, const char *key, struct err *err)
{
    store_dir_path path;
    struct stat st;
    struct rc rc = RC_OK;

    uv_mutex_lock(&d->lock);
    if (d->keeper != NULL && strcmp(d->keeper, key) != 0) {
        store_dir_join(d, d->keeper, path);
        if (d->fs->stat(d->fs, path, &st) != 0 && errno == ENOENT) {
            rc = check_root(d, err);
            if (!rc_failed(rc))
                rc = rc_raise(err, E_IO,
                    "the replica's directory %s has no %s any more: was it emptied, is its disk mounted? Put its files "
                    "back, or start with --adopt to begin a new history there",
                    d->root, d->keeper);
        }
    }
    uv_mutex_unlock(&d->lock);
    return rc;
}

/* What is missing above the replica's directory, and it.  It usually exists, in a place where we may not be allowed to
 * look.  Once it was there it is never made again, also not when it went away since the look. */
static struct rc make_root(struct store_dir *d, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_strdup(d->root);
    struct stat st;
    struct rc rc;

    TRY(check_root(d, err));
    if (d->root_known || (d->fs->stat(d->fs, path, &st) == 0 && S_ISDIR(st.st_mode))) {
        rc = fsys_sync_parent(d->fs, path, err);
        return rc.code == E_DENIED ? RC_OK : rc;
    }
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        if (d->fs->stat(d->fs, path, &st) != 0)
            TRY(make_level(d, path, err));
        *slash = '/';
    }
    return make_level(d, path, err);
}

/* Make `path` and what is missing above it, from the root down.  The lock is held. */
static struct rc make_levels(struct store_dir *d, char *path, struct err *err)
{
    size_t root_size = strlen(d->root);

    for (char *end = path + root_size;; end += 1 + strcspn(end + 1, "/")) {
        char cut = *end;

        *end = 0;
        if (!known(d, path)) {
            TRY(end == path + root_size ? make_root(d, err) : make_level(d, path, err));
            TRY(check_root(d, err));
            mem_free(d->levels[d->level_next]);
            d->levels[d->level_next] = mem_strdup(path);
            d->level_next = (d->level_next + 1) % STORE_DIR_LEVELS_MAX;
        }
        *end = cut;
        if (cut == 0)
            return RC_OK;
    }
}

/* See to it that the directory of `path` is there for good. */
static struct rc make_parent(struct store_dir *d, const char *path, struct err *err)
{
    size_t n = (size_t)(strrchr(path, '/') - path);
    store_dir_path dir;
    struct rc rc = RC_OK;

    memcpy(dir, path, n);
    dir[n] = 0;
    uv_mutex_lock(&d->lock);
    if (!known(d, dir)) {
        rc = make_levels(d, dir, err);
        if (rc.code == E_NOTFOUND) { /* somebody removed a directory that we knew */
            forget(d);
            memcpy(dir, path, n);
            rc = make_levels(d, dir, err);
        }
    }
    uv_mutex_unlock(&d->lock);
    return rc;
}

/* --- temporary files ---------------------------------------------------------------------------------------------- */

static bool is_temp_name(const char *name)
{
    return (name[0] == 'p' || name[0] == 'u') && strlen(name) == TEMP_NAME_LENGTH
           && strspn(name + 1, "0123456789abcdef") == TEMP_NAME_LENGTH - 1;
}

/* Remove what a crash left behind.  `fd` is a file made just now, whose time tells the file server's clock.  Nothing
 * here matters enough to make the request fail. */
static void sweep(const struct store_dir *d, int fd)
{
    store_dir_path path;
    struct stat now, st;
    struct dirent *entry;
    DIR *dir;

    if (d->fs->fstat(d->fs, fd, &now) != 0)
        return;
    temp_path(d, "", path);
    dir = d->fs->opendir(d->fs, path);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        if (!is_temp_name(entry->d_name))
            continue;
        temp_path(d, entry->d_name, path);
        if (d->fs->stat(d->fs, path, &st) == 0 && S_ISREG(st.st_mode)
            && st.st_mtime + STORE_DIR_SWEEP_AGE_S < now.st_mtime)
            (void)d->fs->unlink(d->fs, path); /* the next sweep tries again */
    }
    (void)closedir(dir);
}

struct rc store_dir_put_temp(struct dir_work *w, char kind, char name[STORE_DIR_NAME_SIZE], int *fd, struct err *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    struct store_dir *d = w->dir;
    store_dir_path path;
    struct rc rc;

    (void)snprintf(name, STORE_DIR_NAME_SIZE, "%c%016" PRIx64 "%016" PRIx64, kind, rng_u64(), rng_u64());
    temp_path(d, name, path);
    TRY(check_keeper(d, w->req->key, err));
    TRY(make_parent(d, path, err));
    rc = fsys_open(d->fs, path, flags, STORE_DIR_FILE_MODE, fd, err);
    if (rc.code == E_NOTFOUND) { /* somebody cleaned up */
        store_dir_put_forget(d);
        TRY(make_parent(d, path, err));
        rc = fsys_open(d->fs, path, flags, STORE_DIR_FILE_MODE, fd, err);
    }
    if (!rc_failed(rc) && w->sweep)
        sweep(d, *fd);
    return rc;
}

void store_dir_put_discard(struct store_dir *d, const char *name)
{
    store_dir_path path;

    temp_path(d, name, path);
    (void)d->fs->unlink(d->fs, path); /* what stays is removed by a later sweep */
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static struct rc raise_taken(const struct store_dir *d, const char *path, struct err *err)
{
    struct stat st;

    if (d->fs->stat(d->fs, path, &st) == 0 && !S_ISREG(st.st_mode))
        return rc_raise(err, E_IO, "%s is in the way and is not a file", path);
    return rc_raise(err, E_EXISTS, "%s exists already", path);
}

/* For file systems without RENAME_NOREPLACE, such as NFS. */
static struct rc link_new(const struct store_dir *d, const char *temp, const char *path, struct err *err)
{
    const struct fsys *fs = d->fs;
    struct stat st;

    if (fs->link(fs, temp, path) != 0) {
        int sys = errno;

        if (sys == EPERM || sys == EOPNOTSUPP || sys == ENOSYS)
            return rc_raise_sys(err, E_UNSUPPORTED, sys,
                "link %s to %s (a replica needs a file system with RENAME_NOREPLACE or hard links)", temp, path);
        if (sys != EEXIST)
            return rc_raise_sys(err, rc_from_errno(sys), sys, "link %s to %s", temp, path);
        /* A request that an NFS client repeats meets its own work; the second name of our file gives it away. */
        if (fs->stat(fs, temp, &st) != 0 || st.st_nlink < 2)
            return raise_taken(d, path, err);
    }
    (void)fs->unlink(fs, temp); /* the object is there; the second name is removed by a later sweep */
    return RC_OK;
}

static struct rc name_once(struct store_dir *d, const char *temp, const char *path, bool create_only, struct err *err)
{
    const struct fsys *fs = d->fs;

    if (!create_only) {
        if (fs->rename(fs, temp, path) != 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", temp, path);
        return RC_OK;
    }
    if (!atomic_load(&d->no_rename_new)) {
        if (fs->rename_new(fs, temp, path) == 0)
            return RC_OK;
        if (errno == EEXIST)
            return raise_taken(d, path, err);
        if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", temp, path);
        atomic_store(&d->no_rename_new, true);
    }
    return link_new(d, temp, path, err);
}

/* --- names whose directory could not be synced -------------------------------------------------------------------- */

/*
 * A failed fsync may have dropped the new name, and a later one that succeeds would not tell.  So when the same object
 * is put again, the answer is not "exists already": it gets its name a second time, which is something new to be
 * synced.
 */
static void doubt(struct store_dir *d, const char *key)
{
    uv_mutex_lock(&d->lock);
    d->doubts[d->doubt_next++ % STORE_DIR_DOUBTS_MAX] = digest_bytes(key, strlen(key));
    uv_mutex_unlock(&d->lock);
}

static bool in_doubt(struct store_dir *d, const char *key, bool settled)
{
    uint64_t digest = digest_bytes(key, strlen(key));
    bool found = false;

    uv_mutex_lock(&d->lock);
    for (unsigned i = 0; i < STORE_DIR_DOUBTS_MAX; i++) {
        if (d->doubts[i] != digest)
            continue;
        found = true;
        if (settled)
            d->doubts[i] = 0;
    }
    uv_mutex_unlock(&d->lock);
    return found;
}

static bool holds(const struct store_dir *d, const char *path, struct span body)
{
    struct err err;
    struct buf got;
    bool same;

    buf_init(&got, body.size);
    same = !rc_failed(fsys_read_file(d->fs, path, &got, &err)) && got.size == body.size
           && (body.size == 0 || memcmp(got.data, body.data, body.size) == 0);
    buf_fini(&got);
    return same;
}

struct rc store_dir_put_name(struct dir_work *w, const char *name, bool *moved, struct err *err)
{
    const struct store_req *req = w->req;
    struct store_dir *d = w->dir;
    store_dir_path temp, path;
    struct rc rc, sync;
    struct err sync_err;

    *moved = false;
    temp_path(d, name, temp);
    store_dir_join(d, req->key, path);
    TRY(make_parent(d, path, err));
    rc = name_once(d, temp, path, req->create_only, err);
    if (rc.code == E_NOTFOUND) { /* somebody removed a directory that we knew */
        store_dir_put_forget(d);
        TRY(make_parent(d, path, err));
        rc = name_once(d, temp, path, req->create_only, err);
    }
    if (rc.code == E_EXISTS && req->verb == STORE_PUT && in_doubt(d, req->key, false) && holds(d, path, req->body))
        rc = name_once(d, temp, path, false, err);
    *moved = !rc_failed(rc);
    if (rc_failed(rc) && rc.code != E_EXISTS)
        return rc;

    /* Also when the key was taken: the one who took it, perhaps we ourselves before a crash, may not have come to this
     * point, and our caller will rely on what is there. */
    sync = fsys_sync_parent(d->fs, path, &sync_err);
    if (rc_failed(sync)) {
        doubt(d, req->key);
        *err = sync_err;
        return sync;
    }
    if (*moved)
        (void)in_doubt(d, req->key, true);
    store_dir_put_keep(d, req->key);
    return rc;
}

/* --- the verb ----------------------------------------------------------------------------------------------------- */

/* Write, sync and close.  A close that fails may be the first word of a write that went wrong. */
static struct rc write_body(const struct store_dir *d, const char *name, int fd, struct span body, struct err *err)
{
    const struct fsys *fs = d->fs;
    store_dir_path path;
    struct rc rc;

    temp_path(d, name, path);
    rc = fsys_write_at(fs, fd, path, body.data, body.size, 0, err);
    if (!rc_failed(rc) && fs->fsync(fs, fd) != 0)
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", path);
    if (fs->close(fs, fd) != 0 && !rc_failed(rc))
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "close %s", path);
    return rc;
}

struct rc store_dir_put_object(struct dir_work *w, struct err *err)
{
    char name[STORE_DIR_NAME_SIZE];
    bool moved = false;
    struct rc rc;
    int fd;

    rc = store_dir_put_temp(w, 'p', name, &fd, err);
    if (!rc_failed(rc)) {
        rc = write_body(w->dir, name, fd, w->req->body, err);
        if (!rc_failed(rc))
            rc = store_dir_put_name(w, name, &moved, err);
        if (!moved)
            store_dir_put_discard(w->dir, name);
    }
    /* A directory that keeps vanishing is trouble with the disk; E_NOTFOUND is not an answer to a PUT. */
    return rc.code == E_NOTFOUND ? rc_raise(err, E_IO, "%s", err->msg) : rc;
}
