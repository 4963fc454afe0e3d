/* SPDX-License-Identifier: Apache-2.0 */
#include "local_lock.h"

#include "alloc.h"
#include "strx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    TEXT_SIZE_MAX = 1100,   /* a socket and some words */
    TRIES = 20,             /* for a holder that is just ending */
    LOOKED_AT_TRIES = 6000, /* for lookers: microseconds each, but a machine under load may stop one in the middle */
    PAUSE_MS = 5,
};

static const char text_head[] = "weir lock 1\n";

static char *lock_path(const char *dir)
{
    return mem_printf("%s/lock", dir);
}

static int try_flock(const struct fsys *fs, int fd, int operation)
{
    int r;

    do
        r = fs->flock(fs, fd, operation | LOCK_NB);
    while (r != 0 && errno == EINTR);
    return r;
}

/* --- the text --------------------------------------------------------------------------------------------------- */

/* What is behind `key ` on its line, 0-terminated in place; NULL when there is no such line. */
static char *take_line(char **text, const char *key)
{
    size_t n = strlen(key);
    char *line = *text, *end = strchr(line, '\n');

    if (end == NULL || strncmp(line, key, n) != 0 || line[n] != ' ')
        return NULL;
    *end = 0;
    *text = end + 1;
    return line + n + 1;
}

/* The text may be one that is just being written: what cannot be read stays empty. */
static void parse(char *text, struct local_state_holder *out)
{
    const char *pid, *socket;
    uint64_t number;
    struct err ignored;

    if (strncmp(text, text_head, strlen(text_head)) != 0)
        return;
    text += strlen(text_head);
    pid = take_line(&text, "pid");
    if (pid == NULL || rc_failed(strx_u64(pid, 1, INT_MAX, &number, &ignored)))
        return;
    out->pid = (long)number;
    socket = take_line(&text, "socket");
    if (socket != NULL && strlen(socket) < sizeof out->socket_path)
        memcpy(out->socket_path, socket, strlen(socket) + 1);
}

static void read_text(const struct fsys *fs, int fd, struct local_state_holder *out)
{
    char text[TEXT_SIZE_MAX + 1];
    size_t have = 0;

    while (have < TEXT_SIZE_MAX) {
        ssize_t got = fs->pread(fs, fd, text + have, TEXT_SIZE_MAX - have, (off_t)have);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break; /* the lock counts, its text is a courtesy */
        have += (size_t)got;
    }
    text[have] = 0;
    parse(text, out);
}

struct rc local_lock_announce(const struct fsys *fs, const char *dir, int fd, const char *socket_path, struct err *err)
{
    CLEANUP(mem_freep) char *path = lock_path(dir);
    CLEANUP(mem_freep) char *text = mem_printf("%spid %ld\nsocket %s\n", text_head, (long)getpid(), socket_path);

    if (strlen(socket_path) >= sizeof((struct local_state_holder *)0)->socket_path || strchr(socket_path, '\n') != NULL)
        return rc_raise(err, E_CONFIG, "%s: control socket \"%.64s\": longer than %zu bytes or of several lines", path,
            socket_path, sizeof((struct local_state_holder *)0)->socket_path - 1);
    if (fs->ftruncate(fs, fd, 0) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "truncate %s", path);
    return fsys_write_at(fs, fd, path, text, strlen(text), 0, err);
}

/* --- the lock --------------------------------------------------------------------------------------------------- */

static struct rc refuse(const struct fsys *fs, const char *path, int fd, struct err *err)
{
    struct local_state_holder holder = {.held = true};

    read_text(fs, fd, &holder);
    if (holder.pid == 0)
        return rc_raise(err, E_FENCED, "lock %s: another process holds it, its id is not known", path);
    return rc_raise(err, E_FENCED, "lock %s: process %ld holds it%s%s", path, holder.pid,
        holder.socket_path[0] != 0 ? ", control socket " : "", holder.socket_path);
}

/* The directory may have been removed and made again between the open and the lock. */
static struct rc still_there(const struct fsys *fs, const char *path, int fd, bool *yes, struct err *err)
{
    struct stat mine, there;

    if (fs->fstat(fs, fd, &mine) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    *yes = fs->stat(fs, path, &there) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
    return RC_OK;
}

enum taken { TAKEN, HELD, LOOKED_AT, REPLACED };

static struct rc take_once(
    const struct fsys *fs, const char *path, struct fsys_fd *out, enum taken *what, struct err *err)
{
    struct fsys_fd *f = out;
    bool there = false;

    fsys_closep(f); /* of the try before */
    TRY(fsys_open(fs, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &f->fd, err));
    if (try_flock(fs, f->fd, LOCK_EX) != 0) {
        if (errno != EWOULDBLOCK)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "lock %s", path);
        /* Shared is to be had when nobody holds it exclusively. */
        *what = try_flock(fs, f->fd, LOCK_SH) == 0 ? LOOKED_AT : HELD;
        return RC_OK;
    }
    TRY(still_there(fs, path, f->fd, &there, err));
    *what = there ? TAKEN : REPLACED;
    return RC_OK;
}

static struct rc give_up(const struct fsys *fs, const char *path, int fd, enum taken what, struct err *err)
{
    if (what == HELD)
        return refuse(fs, path, fd, err);
    return rc_raise(err, E_BUSY, "lock %s: %s", path,
        what == LOOKED_AT ? "others keep looking at it" : "it was removed or replaced meanwhile");
}

struct rc local_lock_take(const struct fsys *fs, const char *dir, int *fd, struct err *err)
{
    CLEANUP(mem_freep) char *path = lock_path(dir);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    struct err ignored;
    enum taken what = HELD;
    int held = 0;

    for (int i = 1;; i++) {
        TRY(take_once(fs, path, &f, &what, err));
        if (what == TAKEN)
            break;
        held += what != LOOKED_AT;
        if (held == TRIES || i == LOOKED_AT_TRIES)
            return give_up(fs, path, f.fd, what, err);
        (void)poll(NULL, 0, PAUSE_MS); /* a pause; being woken early does no harm */
    }
    rc_ignore(local_lock_announce(fs, dir, f.fd, "", &ignored), "a full disk must not stop what only reads");
    *fd = f.fd;
    f.fd = -1;
    return RC_OK;
}

void local_lock_drop(const struct fsys *fs, int fd)
{
    (void)fs->ftruncate(fs, fd, 0); /* without the lock the text means nothing */
    (void)fs->close(fs, fd);        /* nothing in it that matters */
}

struct rc local_lock_look(const struct fsys *fs, const char *dir, struct local_state_holder *out, struct err *err)
{
    CLEANUP(mem_freep) char *path = lock_path(dir);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    struct local_state_holder holder = {0};
    struct rc rc = fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err);

    if (rc.code == E_NOTFOUND) {
        *out = holder;
        return RC_OK;
    }
    TRY(rc);
    if (try_flock(fs, f.fd, LOCK_SH) != 0) {
        if (errno != EWOULDBLOCK)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "look at lock %s", path);
        holder.held = true;
        read_text(fs, f.fd, &holder);
    }
    *out = holder; /* the close lets go of the lock, if it was free */
    return RC_OK;
}
