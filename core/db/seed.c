/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"

#include "alloc.h"
#include "clock.h"
#include "plain_db.h"
#include "restore_target.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COPY_SIZE = 1 << 20, LOOK_MS = 50 };

/* --- its folder --------------------------------------------------------------------------------------------------- */

static char *folder_of(const char *dir)
{
    return mem_printf("%s/seed", dir);
}

static struct rc remove_files(const struct fsys *fs, const char *folder, DIR *listing, struct err *err)
{
    const struct dirent *entry;

    while ((entry = readdir(listing)) != NULL) {
        CLEANUP(mem_freep) char *path = mem_printf("%s/%s", folder, entry->d_name);

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            TRY(fsys_remove(fs, path, err));
    }
    return RC_OK;
}

struct rc seed_clear(const struct fsys *fs, const char *dir, struct err *err)
{
    CLEANUP(mem_freep) char *folder = folder_of(dir);
    DIR *listing = fs->opendir(fs, folder);
    struct rc rc;

    if (listing == NULL)
        return errno == ENOENT ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "open %s", folder);
    rc = remove_files(fs, folder, listing, err);
    (void)closedir(listing); /* read-only */
    TRY(rc);
    if (fs->rmdir(fs, folder) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", folder);
    return RC_OK;
}

/* --- a file ------------------------------------------------------------------------------------------------------- */

static struct rc copy_pages(const struct seed *s, struct plain_db *p, const char *temp, int fd, struct err *err)
{
    const uint32_t page_size = plain_db_page_size(p), most = COPY_SIZE / page_size;
    CLEANUP(mem_freep) uint8_t *pages = mem_new(COPY_SIZE);

    for (uint32_t first = 1, count; first <= plain_db_page_count(p); first += count) {
        uint32_t left = plain_db_page_count(p) - first + 1;

        count = left < most ? left : most;
        TRY(plain_db_read(p, first, count, pages, err));
        TRY(fsys_write_at(s->fs, fd, temp, pages, (size_t)count * page_size, (uint64_t)(first - 1) * page_size, err));
        if (s->stop != NULL && atomic_load(s->stop))
            return rc_raise(err, E_CANCELED, "stopped while %s was copied", s->source);
    }
    return RC_OK;
}

static struct rc copy_file(const struct seed *s, const char *folder, const char *temp, struct err *err)
{
    CLEANUP(plain_db_closep) struct plain_db *p = NULL;
    CLEANUP(fsys_closep) struct fsys_fd f = {s->fs, -1};

    TRY(plain_db_open(&p, s->fs, s->source, folder, err));
    TRY(fsys_open(s->fs, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &f.fd, err));
    TRY(copy_pages(s, p, temp, f.fd, err));
    return plain_db_done(p, err);
}

/* --- a program ---------------------------------------------------------------------------------------------------- */

/* Wait for its end; on the way there it may be told to stop. */
static int wait_for(const struct seed *s, pid_t pid, bool *stopped)
{
    int status = 0, fd = pidfd_open(pid, 0);
    uint64_t told_ms = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ms(&clock_real);

        if (s->stop != NULL && atomic_load(s->stop)) {
            if (!*stopped)
                (void)kill(-pid, SIGTERM); /* it may have ended just now */
            else if (now - told_ms >= SEED_PATIENCE_MS)
                (void)kill(-pid, SIGKILL);
            told_ms = *stopped ? told_ms : now;
            *stopped = true;
        }
        (void)poll(&p, 1, LOOK_MS); /* a time-out, a signal: look again */
    }
    if (fd >= 0)
        (void)s->fs->close(s->fs, fd); /* nothing was written to it */
    return spawn_status(status);
}

/* Its connections may have left a log: it belongs to what was made. */
static struct rc settle(const struct seed *s, const char *temp, struct err *err)
{
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(temp, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);
    struct rc rc = RC_OK;

    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code != SQLITE_OK)
        rc = rc_raise(err, E_CONFIG, "what %s made is no database that could be used: %s", s->source,
            db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    (void)sqlite3_close(db); /* everything is in the file */
    return rc;
}

static struct rc run_program(const struct seed *s, const char *temp, struct err *err)
{
    const char *argv[3] = {s->source, temp, NULL};
    const struct spawn_plan plan = {.argv = argv, .quiet = true};
    struct stat st;
    bool stopped = false;
    pid_t pid = 0;
    int status = 0;
    struct rc rc = spawn_run(&plan, &pid, err);

    if (!rc_failed(rc))
        status = wait_for(s, pid, &stopped);
    if (rc.code == E_NOTFOUND)
        return rc_raise(err, E_CONFIG, "%s, or its interpreter", err->msg);
    TRY(rc);
    if (stopped)
        return rc_raise(err, E_CANCELED, "stopped while %s made the database", s->source);
    if (status != 0)
        return rc_raise(
            err, E_CONFIG, "the seed %s ended with exit status %d: nothing of it is used", s->source, status);
    if (s->fs->stat(s->fs, temp, &st) != 0 || st.st_size == 0)
        return rc_raise(err, E_CONFIG,
            "the seed %s ended well but did not make the file that was asked for, which is its first argument",
            s->source);
    return settle(s, temp, err);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static struct rc look_at_source(const struct seed *s, bool *program, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {s->fs, -1};
    uint8_t head[DBFMT_HEADER_SIZE];
    struct stat st;
    size_t n;

    *program = false;
    if (s->fs->stat(s->fs, s->source, &st) != 0)
        return rc_raise_sys(err, errno == ENOENT ? E_CONFIG : rc_from_errno(errno), errno, "%s", s->source);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
        return RC_OK; /* a database, or what plain_db says about it */
    if (rc_failed(fsys_open(s->fs, s->source, O_RDONLY, 0, &f.fd, err))) {
        *program = true; /* it need not be readable for that */
        return RC_OK;
    }
    n = (size_t)st.st_size < sizeof head ? (size_t)st.st_size : sizeof head;
    TRY(fsys_read_at(s->fs, f.fd, s->source, head, n, 0, err));
    *program = dbfmt_recognise(span_of(head, n)) == DBFMT_OTHER;
    return RC_OK;
}

static struct rc sync_file(const struct fsys *fs, const char *path, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};

    TRY(fsys_open(fs, path, O_RDONLY, 0, &f.fd, err));
    if (fs->fsync(fs, f.fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "sync %s", path);
    return RC_OK;
}

static struct rc build(const struct seed *s, const char *folder, struct err *err)
{
    CLEANUP(mem_freep) char *temp = mem_printf("%s/database", folder);
    bool program = false;

    TRY(look_at_source(s, &program, err));
    TRY(fsys_make_dirs(s->fs, folder, 0700, err));
    TRY(program ? run_program(s, temp, err) : copy_file(s, folder, temp, err));
    TRY(restore_target_check_file(temp, false, err));
    TRY(sync_file(s->fs, temp, err));
    TRY(fsys_rename_new(s->fs, temp, s->path, err));
    return fsys_sync_parent(s->fs, s->path, err);
}

struct rc seed_run(const struct seed *s, struct err *err)
{
    CLEANUP(mem_freep) char *folder = folder_of(s->dir);
    struct err ignored;
    struct rc rc;

    TRY(seed_clear(s->fs, s->dir, err));
    rc = build(s, folder, err);
    rc_ignore(seed_clear(s->fs, s->dir, &ignored), "the next one clears away what is left");
    return rc;
}
