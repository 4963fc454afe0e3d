/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_target.h"

#include "alloc.h"
#include "clock.h"
#include "restore_keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct restore_target {
    const struct fsys *fs;    /* borrowed */
    char *path;               /* owned; links resolved */
    char *state_dir;          /* owned; beside the path as it was given, which is where a daemon looks */
    const char *state_base;   /* borrowed; below which local states are; NULL: beside */
    struct local_state *held; /* borrowed; NULL: nobody holds it */
    bool exists;
    bool keep_old;
    bool settled;              /* the old database is whole without its side files */
    struct restore_keep *keep; /* owned; NULL: nothing was kept */
    sqlite3 *old;              /* the replaced database, held exclusively; NULL: SQLite has no use for that file */
};

/* --- the old database ----------------------------------------------------------------------------------------------
 */

static struct rc from_sqlite(const struct restore_target *t, int code, const char *what, struct err *err)
{
    const char *detail = t->old != NULL ? sqlite3_errmsg(t->old) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return rc_raise(err, E_BUSY, "%s is in use by another process: stop it, or restore to another file", t->path);
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return rc_raise(err, E_DENIED, "%s %s: %s", what, t->path, detail);
    case SQLITE_FULL:
        return rc_raise(err, E_NOSPACE, "%s %s: %s", what, t->path, detail);
    case SQLITE_NOMEM:
        return rc_raise(err, E_NOMEM, "%s %s: %s", what, t->path, detail);
    default:
        return rc_raise(err, E_IO, "%s %s: %s", what, t->path, detail);
    }
}

static void release_old(struct restore_target *t)
{
    /* Nothing is under way; what the connection still says is of no interest. */
    (void)sqlite3_close(t->old);
    t->old = NULL;
}

static int exec(const struct restore_target *t, const char *sql)
{
    return sqlite3_exec(t->old, sql, NULL, NULL, NULL);
}

static bool is_no_database(int code)
{
    return (code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT;
}

/*
 * In exclusive mode, a database in WAL mode is locked as a whole, which fails while anybody has it open.  A journal
 * that a crash left behind is rolled back by this; the log stays as it is until settle_old(), and also when the
 * connection is closed without that.
 */
static struct rc lock_old(struct restore_target *t, struct err *err)
{
    int code = sqlite3_open_v2(t->path, &t->old, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_db_config(t->old, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (code == SQLITE_OK)
        code = exec(t, "PRAGMA locking_mode=EXCLUSIVE");
    if (code == SQLITE_OK)
        code = exec(t, "BEGIN EXCLUSIVE");
    if (code == SQLITE_OK)
        code = exec(t, "COMMIT");
    if (code == SQLITE_OK)
        return RC_OK;
    if (is_no_database(code)) {
        release_old(t);
        return RC_OK;
    }
    TRY(from_sqlite(t, code, "lock", err));
    return RC_OK;
}

/* Copy the log into the file, so that the old database is whole without it. */
static struct rc settle_old(struct restore_target *t, struct err *err)
{
    int code;

    if (t->old == NULL)
        return RC_OK;
    code = sqlite3_wal_checkpoint_v2(t->old, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    t->settled = code == SQLITE_OK;
    if (code == SQLITE_OK || is_no_database(code))
        return RC_OK;
    return from_sqlite(t, code, "checkpoint", err);
}

/* --- opening -------------------------------------------------------------------------------------------------------
 */

static char *resolve(const char *path)
{
    char real[PATH_MAX];

    return mem_strdup(realpath(path, real) != NULL ? real : path);
}

static struct rc check_folder(const struct restore_target *t, struct err *err)
{
    const char *slash = strrchr(t->path, '/');
    CLEANUP(mem_freep) char *folder = NULL;
    struct stat st;

    if (slash == NULL || slash == t->path)
        return RC_OK;
    if (slash[1] == 0)
        return rc_raise(err, E_CONFIG, "%s is not the name of a file", t->path);
    folder = mem_printf("%.*s", (int)(slash - t->path), t->path);
    if (t->fs->stat(t->fs, folder, &st) != 0)
        return rc_raise_sys(err, errno == ENOENT ? E_CONFIG : rc_from_errno(errno), errno, "folder %s", folder);
    if (!S_ISDIR(st.st_mode))
        return rc_raise(err, E_CONFIG, "%s is not a folder", folder);
    return RC_OK;
}

static struct rc check_daemon(const struct restore_target *t, struct err *err)
{
    struct local_state_holder holder = {0};

    if (t->held != NULL)
        return RC_OK;
    TRY(local_state_holder(t->fs, t->state_dir, &holder, err));
    if (holder.held)
        return rc_raise(
            err, E_BUSY, "%s is replicated by a weir daemon (process %ld): stop it first", t->path, holder.pid);
    return RC_OK;
}

static bool is_link(const char *path)
{
    char first;

    return readlink(path, &first, 1) >= 0;
}

static struct rc inspect(struct restore_target *t, bool force, struct err *err)
{
    struct stat st;

    TRY(check_folder(t, err));
    TRY(check_daemon(t, err));
    t->exists = t->fs->stat(t->fs, t->path, &st) == 0;
    if (!t->exists && errno != ENOENT)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", t->path);
    if (!t->exists && is_link(t->path))
        return rc_raise(
            err, E_CONFIG, "%s is a symbolic link to a file that is not there: name that file instead", t->path);
    if (!t->exists)
        return RC_OK;
    if (!S_ISREG(st.st_mode))
        return rc_raise(err, E_CONFIG, "%s is not a regular file", t->path);
    if (!force)
        return rc_raise(err, E_EXISTS,
            "%s exists already: restore to another file, or replace it with --force (nothing is changed until the "
            "restored "
            "state is proven)",
            t->path);
    /* Only a look: the lock is not kept while the image is being made, which may take long. */
    TRY(lock_old(t, err));
    release_old(t);
    return RC_OK;
}

struct rc restore_target_open(
    struct restore_target **out, const struct fsys *fs, const struct restore_opts *opts, struct err *err)
{
    CLEANUP(restore_target_freep) struct restore_target *t = mem_new(sizeof *t);

    if (opts->output[0] == 0)
        return rc_raise(err, E_CONFIG, "the name of the file to restore to is empty");
    t->fs = fs;
    t->held = opts->held;
    t->path = resolve(opts->output);
    t->state_base = opts->state_base;
    t->state_dir = local_place_dir(t->path, opts->state_base); /* of the file itself, whatever link leads to it */
    TRY(inspect(t, opts->force || opts->in_place, err));
    *out = MOVE(t);
    return RC_OK;
}

void restore_target_free(struct restore_target *t)
{
    if (t == NULL)
        return;
    release_old(t);
    restore_keep_free(t->keep);
    mem_free(t->path);
    mem_free(t->state_dir);
    mem_free(t);
}

void restore_target_freep(struct restore_target **t)
{
    restore_target_free(*t);
    *t = NULL;
}

const char *restore_target_path(const struct restore_target *t)
{
    return t->path;
}

bool restore_target_exists(const struct restore_target *t)
{
    return t->exists;
}

void restore_target_keep_old(struct restore_target *t)
{
    t->keep_old = true;
}

const char *restore_target_kept(const struct restore_target *t)
{
    return t->keep != NULL ? restore_keep_path(t->keep) : "";
}

/* --- SQLite's checks -----------------------------------------------------------------------------------------------
 */

/* As a URI, because only there SQLite can be told that the file does not change: then it makes no side files. */
static char *immutable_uri(const char *path)
{
    struct buf uri;
    char *text;

    buf_init(&uri, 3 * strlen(path) + 64);
    buf_text(&uri, "file:");
    for (const char *p = path; *p != 0; p++) {
        if (strchr("%?#", *p) != NULL)
            buf_printf(&uri, "%%%02x", (unsigned)(unsigned char)*p);
        else
            buf_u8(&uri, (uint8_t)*p);
    }
    buf_text(&uri, "?mode=ro&immutable=1");
    text = mem_strdup(buf_str(&uri));
    buf_fini(&uri);
    return text;
}

static struct rc judge(sqlite3 *db, sqlite3_stmt *check, const char *path, const char *name, struct err *err)
{
    int code = sqlite3_step(check);
    const char *finding = code == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;

    if (code != SQLITE_ROW)
        return rc_raise(
            err, is_no_database(code) ? E_CORRUPT : E_IO, "PRAGMA %s of %s: %s", name, path, sqlite3_errmsg(db));
    if (finding == NULL || strcmp(finding, "ok") != 0)
        return rc_raise(err, E_CORRUPT,
            "PRAGMA %s says: %.400s (this is the exact state that was replicated: the database was damaged before)",
            name, finding != NULL ? finding : "nothing");
    return RC_OK;
}

static int must_stop(void *stop)
{
    return *(const atomic_bool *)stop;
}

struct rc restore_target_check_file(const char *path, bool full, struct err *err)
{
    static const atomic_bool never;

    return restore_target_check_until(path, full, &never, err);
}

struct rc restore_target_check_until(const char *path, bool full, const atomic_bool *stop, struct err *err)
{
    enum { STEPS = 10000 }; /* of SQLite's machine between two looks: milliseconds */
    const char *name = full ? "integrity_check" : "quick_check";
    CLEANUP(mem_freep) char *uri = immutable_uri(path);
    CLEANUP(mem_freep) char *sql = mem_printf("PRAGMA %s(1)", name);
    sqlite3_stmt *check = NULL;
    sqlite3 *db = NULL;
    struct rc rc;
    int code = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE, NULL);

    if (code == SQLITE_OK) {
        void *ctx;

        memcpy(&ctx, &stop, sizeof ctx); /* SQLite's context is not const; must_stop() takes it back as such */
        sqlite3_progress_handler(db, STEPS, must_stop, ctx);
        code = sqlite3_prepare_v2(db, sql, -1, &check, NULL);
    }
    if (code == SQLITE_OK)
        rc = judge(db, check, path, name, err);
    else
        rc = rc_raise(err, is_no_database(code) ? E_CORRUPT : E_IO, "PRAGMA %s of %s: %s", name, path,
            db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    (void)sqlite3_finalize(check); /* repeats the step's result */
    (void)sqlite3_close(db);       /* read-only */
    if (rc_failed(rc) && *stop)
        return rc_raise(err, E_CANCELED, "stopping");
    return rc;
}

/* --- publishing ----------------------------------------------------------------------------------------------------
 */

static struct rc remove_side_files(const struct restore_target *t, struct err *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    bool removed = false;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        CLEANUP(mem_freep) char *path = mem_printf("%s%s", t->path, suffixes[i]);
        struct stat st;

        if (t->fs->stat(t->fs, path, &st) != 0 && errno == ENOENT)
            continue;
        TRY(fsys_remove(t->fs, path, err));
        removed = true;
    }
    return removed ? fsys_sync_parent(t->fs, t->path, err) : RC_OK;
}

static struct rc discard_state(const struct restore_target *t, struct local_state **state, struct err *err)
{
    struct stat st;
    struct rc rc;

    if (t->held != NULL)
        return local_state_discard(t->held, err);
    if (t->fs->stat(t->fs, t->state_dir, &st) != 0)
        return errno == ENOENT ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", t->state_dir);
    rc = local_state_open(state, t->fs, t->state_dir, err);
    if (rc.code == E_FENCED) /* here it only means that a daemon came up meanwhile */
        return rc_raise(err, E_BUSY, "%s", err->msg);
    TRY(rc);
    return local_state_discard(*state, err);
}

/* `st`: whose the file is to be. */
static struct rc give_one(const struct fsys *fs, const char *path, const struct stat *st, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    struct stat own;

    if (fs->stat(fs, path, &own) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    if (!S_ISREG(own.st_mode) && !S_ISDIR(own.st_mode))
        return RC_OK; /* a control socket that a daemon left behind */
    TRY(fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err));
    if (fs->give(fs, f.fd, st->st_uid, st->st_gid, own.st_mode & 0777) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "give %s to the owner of the database", path);
    return RC_OK;
}

/* Who owns the replaced file, and so the new one, must be able to go on with the state beside it. */
static struct rc give_state(const struct restore_target *t, struct err *err)
{
    struct stat st;
    DIR *dir;
    const struct dirent *entry;
    struct rc rc = RC_OK;

    if (!t->exists || t->fs->give == NULL)
        return RC_OK;
    if (t->fs->stat(t->fs, t->path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", t->path);
    dir = t->fs->opendir(t->fs, t->state_dir);
    if (dir == NULL)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "open %s", t->state_dir);
    while (!rc_failed(rc) && (entry = readdir(dir)) != NULL) {
        CLEANUP(mem_freep) char *path = mem_printf("%s/%s", t->state_dir, entry->d_name);

        if (strcmp(entry->d_name, "..") != 0) /* "." is the directory itself */
            rc = give_one(t->fs, path, &st, err);
    }
    (void)closedir(dir); /* read-only */
    return rc;
}

static struct rc write_state(const struct restore_target *t, struct local_state *state, struct image *image,
    const struct local_state_content *content, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    CLEANUP(local_state_closep) struct local_state *fresh = NULL;

    if (t->held != NULL)
        state = t->held;
    if (state == NULL) {
        TRY(local_place_make_base(t->fs, t->state_base, err));
        TRY(local_state_open(&fresh, t->fs, t->state_dir, err));
        state = fresh;
    }
    TRY(image_hashes(image, hashes, err));
    TRY(local_state_checkpoint(state, content, hashes, err));
    return give_state(t, err);
}

/* Until the new file has its name, the old one has it, whole. */
static struct rc replace(struct restore_target *t, struct image *image, struct err *err)
{
    struct rc rc;

    if (t->exists && t->keep_old)
        TRY(restore_keep_make(&t->keep, t->fs, t->path, !t->settled, clock_wall_ms(&clock_real), err));
    rc = remove_side_files(t, err);
    if (!rc_failed(rc))
        rc = t->exists ? image_publish(image, err) : image_publish_new(image, err);
    if (rc_failed(rc) && !image_is_published(image)) {
        restore_keep_undo(t->keep);
        restore_keep_free(MOVE(t->keep));
    }
    return rc;
}

/* Its log must not be taken for what a database that is gone has left behind. */
static struct rc still_missing(const struct restore_target *t, struct err *err)
{
    struct stat st;

    if (t->fs->stat(t->fs, t->path, &st) != 0)
        return RC_OK; /* what else may be wrong, publishing will find out */
    return rc_raise(err, E_EXISTS, "%s was made by another process meanwhile: it stays as it is", t->path);
}

struct rc restore_target_publish(struct restore_target *t, struct image *image,
    const struct local_state_content *content, char *warning, struct err *err)
{
    CLEANUP(local_state_closep) struct local_state *state = NULL;
    struct err ignored;
    struct rc rc;

    TRY(t->exists ? lock_old(t, err) : still_missing(t, err));
    TRY(settle_old(t, err));
    TRY(discard_state(t, &state, err));
    TRY(replace(t, image, err));
    release_old(t);
    if (content == NULL)
        return RC_OK;
    rc = write_state(t, state, image, content, &ignored);
    if (rc_failed(rc))
        (void)snprintf(warning, ERR_MSG_SIZE,
            "the local state could not be written as it should be, so replication may have to read the whole file "
            "first: "
            "%.900s",
            ignored.msg);
    return RC_OK;
}
