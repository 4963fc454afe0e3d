/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_conn.h"

#include "alloc.h"
#include "dbfmt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Where the unix VFS keeps lock n of the -shm file (sqlite.org/walformat.html, "WAL-Index Locking"): byte 120 + n. */
enum { SHM_LOCK_BASE = 120 };
/* Where it keeps the shared locks on the database file (sqlite.org/fileformat2.html, "The Lock-Byte Page"). */
enum { SHARED_FIRST = 0x40000002, SHARED_SIZE = 510 };

/* --- one connection pair per file and process ------------------------------------------------------------ */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wal_conn **registry;
static size_t registry_count;

static bool registry_add(struct wal_conn *c)
{
    bool ok = true;

    (void)pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < registry_count; i++) {
        if (registry[i]->device == c->device && registry[i]->inode == c->inode)
            ok = false;
    }
    if (ok) {
        struct wal_conn **grown = mem_resize(registry, registry_count + 1, sizeof(struct wal_conn *));

        ok = grown != NULL;
        if (ok) {
            registry = grown;
            registry[registry_count++] = c;
        }
    }
    (void)pthread_mutex_unlock(&registry_lock);
    return ok;
}

static void registry_remove(const struct wal_conn *c)
{
    (void)pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < registry_count; i++) {
        if (registry[i] == c) {
            registry[i] = registry[--registry_count];
            break;
        }
    }
    if (registry_count == 0) {
        mem_free(registry);
        registry = NULL;
    }
    (void)pthread_mutex_unlock(&registry_lock);
}

/* --- SQLite's errors ---------------------------------------------------------------------------------------- */

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return E_BUSY;
    case SQLITE_NOMEM:
        return E_NOMEM;
    case SQLITE_FULL:
        return E_NOSPACE;
    case SQLITE_CORRUPT:
        return E_CORRUPT;
    case SQLITE_NOTADB:
        return E_CONFIG;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return E_DENIED;
    default:
        return E_IO;
    }
}

MUST_USE static struct rc raise_sqlite(struct err *err, sqlite3 *db, int rc, const char *what)
{
    int sys = db != NULL ? sqlite3_system_errno(db) : 0;

    return rc_raise_sys(err, code_of(rc), sys, "%s: %s (SQLite %d)", what,
        db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc), db != NULL ? sqlite3_extended_errcode(db) : rc);
}

static struct rc exec_on(sqlite3 *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? RC_OK : raise_sqlite(err, db, rc, sql);
}

struct rc wal_conn_exec(struct wal_conn *c, const char *sql, struct err *err)
{
    return exec_on(c->back, sql, err);
}

struct rc wal_conn_pragma(struct wal_conn *c, const char *name, int64_t *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    char sql[64];
    int rc;

    (void)sqlite3_snprintf(sizeof sql, sql, "PRAGMA %s", name);
    rc = sqlite3_prepare_v2(c->back, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt); /* repeats the error of the step, if any */
    return rc == SQLITE_ROW ? RC_OK : raise_sqlite(err, c->back, rc, sql);
}

struct rc wal_conn_checkpoint(struct wal_conn *c, struct err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(c->back, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return RC_OK; /* another checkpointer is at work: as good */
    return raise_sqlite(err, c->back, rc, "checkpoint");
}

struct rc wal_conn_truncate(struct wal_conn *c, bool *done, struct err *err)
{
    int rc;

    (void)sqlite3_busy_timeout(c->back, 0); /* cannot fail for an open connection */
    rc = sqlite3_wal_checkpoint_v2(c->back, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(c->back, WAL_CONN_BUSY_MS);
    *done = rc == SQLITE_OK;
    if (*done || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return RC_OK;
    return raise_sqlite(err, c->back, rc, "checkpoint");
}

struct rc wal_conn_recover(struct wal_conn *c, struct err *err)
{
    struct rc rc;

    (void)sqlite3_busy_timeout(c->back, 0); /* cannot fail for an open connection */
    rc = exec_on(c->back, "SELECT count(*) FROM sqlite_schema", err);
    (void)sqlite3_busy_timeout(c->back, WAL_CONN_BUSY_MS);
    return rc.code == E_BUSY ? RC_OK : rc;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static struct rc open_one(const char *path, sqlite3 **out, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(db, 1);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, WAL_CONN_BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_autocheckpoint(db, 0);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc != SQLITE_OK) {
        struct rc failed = raise_sqlite(err, db, rc, "open");

        (void)sqlite3_close(db);
        return failed;
    }
    *out = db;
    return RC_OK;
}

/* What the file is, before SQLite gets to see it: SQLite would make a database out of an empty file. */
static struct rc look_at_head(struct wal_conn *c, bool *absent, struct dbfmt_header *head, struct err *err)
{
    uint8_t bytes[DBFMT_HEADER_SIZE];
    ssize_t n;

    do {
        n = c->fs->pread(c->fs, c->db_fd, bytes, sizeof bytes, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "read the header of %s", c->path);
    *absent = false;
    switch (dbfmt_recognise(span_of(bytes, (size_t)n))) {
    case DBFMT_EMPTY:
        *absent = true;
        return RC_OK;
    case DBFMT_DUCKDB:
        return rc_raise(err, E_CONFIG,
            "%s is a DuckDB file; weir follows SQLite databases. DuckDB has no log that could be shipped: copy that "
            "file "
            "as a whole while its application has it closed, or keep the tables in SQLite (in DuckDB: ATTACH 'app.db' "
            "(TYPE sqlite))",
            c->path);
    case DBFMT_JOURNAL:
        return rc_raise(err, E_CONFIG, "%s is a journal or WAL file; name the database itself", c->path);
    case DBFMT_OTHER:
        return rc_raise(
            err, E_CONFIG, "%s is not a SQLite database (no SQLite header: another format, or encrypted)", c->path);
    case DBFMT_SQLITE:
        break;
    }
    TRY_CTX(dbfmt_decode_header(span_of(bytes, (size_t)n), head, err), err, "%s", c->path);
    return RC_OK;
}

/* Any read makes SQLite open the log, and recover the index if nobody has it open. */
static struct rc first_read(struct wal_conn *c, struct err *err)
{
    struct rc rc = exec_on(c->gate, "SELECT count(*) FROM sqlite_schema", err);

    if (rc.code == E_BUSY)
        return rc_wrap(err, "somebody holds the database exclusively (PRAGMA locking_mode=EXCLUSIVE, or a long "
                            "transaction in rollback mode); weir needs it shared");
    return rc;
}

static struct rc journal_mode(struct wal_conn *c, const char *sql, bool *wal, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(c->back, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *wal = sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    (void)sqlite3_finalize(stmt); /* repeats the error of the step, if any */
    return rc == SQLITE_ROW ? RC_OK : raise_sqlite(err, c->back, rc, "switch to WAL mode");
}

/* Who waits to have a database in rollback mode alone holds its reserved lock meanwhile, and a transaction that has
 * read and writes then is refused at once, whatever its patience: SQLite takes it for a deadlock.  So this does not
 * wait. */
static struct rc switch_mode(struct wal_conn *c, struct err *err)
{
    bool wal = false;

    for (unsigned ms = 0; ms < WAL_CONN_BUSY_MS; ms++) {
        if (wal_conn_alone(c)) {
            (void)sqlite3_busy_timeout(c->back, 0); /* cannot fail for an open connection */
            struct rc rc = journal_mode(c, "PRAGMA journal_mode=WAL", &wal, err);
            (void)sqlite3_busy_timeout(c->back, WAL_CONN_BUSY_MS);
            if (wal || (rc_failed(rc) && rc.code != E_BUSY))
                return rc;
        }
        (void)usleep(1000);
    }
    return rc_raise(err, E_BUSY, "switch to WAL mode: there was always a transaction of somebody else");
}

static struct rc ensure_wal_mode(struct wal_conn *c, bool may_switch, struct err *err)
{
    bool wal = false;

    TRY(journal_mode(c, "PRAGMA journal_mode", &wal, err));
    if (wal)
        return RC_OK;
    if (!may_switch)
        return rc_raise(err, E_CONFIG,
            "the database is in rollback mode and --no-switch forbids to change it; run PRAGMA journal_mode=WAL once, "
            "or leave --no-switch out");
    return switch_mode(c, err);
}

static struct rc map_index(struct wal_conn *c, struct err *err)
{
    void volatile *region = NULL;
    int rc = sqlite3_file_control(c->gate, "main", SQLITE_FCNTL_FILE_POINTER, &c->gate_file);

    if (rc != SQLITE_OK || c->gate_file == NULL || c->gate_file->pMethods == NULL)
        return raise_sqlite(err, c->gate, rc, "get the file object");
    if (c->gate_file->pMethods->iVersion < 2)
        return rc_raise(err, E_UNSUPPORTED, "this SQLite's file system layer has no shared memory");
    rc = c->gate_file->pMethods->xShmMap(c->gate_file, 0, WAL_INDEX_REGION_SIZE, 0, &region);
    if (rc != SQLITE_OK || region == NULL)
        return raise_sqlite(err, NULL, rc, "map the WAL index");
    c->shm = region;
    return RC_OK;
}

/* The WAL and the index exist once SQLite has read through G. */
static struct rc open_side_files(struct wal_conn *c, struct err *err)
{
    TRY(fsys_open(c->fs, c->wal_path, O_RDONLY, 0, &c->wal_fd, err));
    /* A first descriptor on the -shm file is harmless as long as it is not closed before the connections are. */
    TRY(fsys_open(c->fs, c->shm_path, O_RDONLY, 0, &c->shm_fd, err));
    return RC_OK;
}

static struct rc attach(struct wal_conn *c, bool may_switch, struct err *err)
{
    TRY(open_one(c->path, &c->gate, err));
    TRY(open_one(c->path, &c->back, err));
    TRY(first_read(c, err));
    TRY(ensure_wal_mode(c, may_switch, err));
    TRY(first_read(c, err));
    /* Checkpoints sync log and database all the same; our own commits carry nothing that a power cut could take. */
    TRY(exec_on(c->back, "PRAGMA synchronous=NORMAL", err));
    TRY(map_index(c, err));
    TRY(open_side_files(c, err));
    return RC_OK;
}

/* By path and before anything is opened: closing a second descriptor would cost the first owner its locks. */
static struct rc identify(struct wal_conn *c, bool *absent, struct err *err)
{
    struct stat st;

    *absent = false;
    if (c->fs->stat(c->fs, c->path, &st) != 0) {
        if (errno != ENOENT)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", c->path);
        *absent = true;
        return RC_OK;
    }
    if (!S_ISREG(st.st_mode))
        return rc_raise(err, E_CONFIG, "%s is not a regular file", c->path);
    *absent = st.st_size == 0;
    c->device = st.st_dev;
    c->inode = st.st_ino;
    return RC_OK;
}

static struct rc open_database(struct wal_conn *c, struct err *err)
{
    struct stat st;

    TRY(fsys_open(c->fs, c->path, O_RDONLY, 0, &c->db_fd, err));
    if (c->fs->fstat(c->fs, c->db_fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", c->path);
    if (st.st_dev != c->device || st.st_ino != c->inode)
        return rc_raise(err, E_BUSY, "%s was replaced while it was being opened", c->path);
    return RC_OK;
}

/* File systems without such locks have none to be in each other's way, and a network's would turn them into SQLite's.
 */
static bool has_no_flock(int sys)
{
    return sys == ENOLCK || sys == EOPNOTSUPP || sys == ENOSYS || sys == EINVAL || sys == EBADF;
}

/* The lock in the local state keeps another weir away only if it looks for the state at the same place. */
static struct rc claim(struct wal_conn *c, struct err *err)
{
    int r;

    do
        r = c->fs->flock(c->fs, c->db_fd, LOCK_EX | LOCK_NB);
    while (r != 0 && errno == EINTR);
    if (r == 0 || has_no_flock(errno))
        return RC_OK;
    if (errno != EWOULDBLOCK)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "claim %s", c->path);
    return rc_raise(err, E_FENCED,
        "another weir process is at work on %s, with its local state at another place (state-dir): only one can be",
        c->path);
}

static struct wal_conn *conn_new(const struct fsys *fs, const char *path)
{
    struct wal_conn *c = mem_new(sizeof *c);

    c->fs = fs;
    c->db_fd = c->wal_fd = c->shm_fd = -1;
    c->path = mem_strdup(path);
    c->wal_path = mem_printf("%s-wal", path);
    c->shm_path = mem_printf("%s-shm", path);
    return c;
}

struct rc wal_conn_open(struct wal_conn **out, const struct fsys *fs, const char *path, bool may_switch,
    enum wal_conn_outcome *outcome, struct err *err)
{
    CLEANUP(wal_conn_closep) struct wal_conn *c = conn_new(fs, path);
    struct dbfmt_header head = {0};
    bool absent;

    *outcome = WAL_CONN_ABSENT;
    TRY(identify(c, &absent, err));
    if (absent)
        return RC_OK;
    if (!registry_add(c))
        return rc_raise(err, E_CONFIG, "%s is replicated twice by this process", path);
    TRY(open_database(c, err));
    TRY(claim(c, err));
    TRY(look_at_head(c, &absent, &head, err));
    if (absent)
        return RC_OK;
    TRY_CTX(attach(c, may_switch, err), err, "%s", path);
    c->page_size = head.page_size;
    c->switched = !head.wal;
    *outcome = WAL_CONN_OPENED;
    *out = MOVE(c);
    return RC_OK;
}

static void close_fd(struct wal_conn *c, int fd)
{
    if (fd >= 0)
        (void)c->fs->close(c->fs, fd); /* read-only: nothing can be lost */
}

void wal_conn_close(struct wal_conn *c)
{
    if (c == NULL)
        return;
    /* B first: with G still open SQLite keeps the shared file objects, and with them the locks, in order. */
    (void)sqlite3_close(c->back); /* no statements are left open, so it cannot fail */
    (void)sqlite3_close(c->gate);
    close_fd(c, c->shm_fd);
    close_fd(c, c->wal_fd);
    close_fd(c, c->db_fd);
    registry_remove(c);
    mem_free(c->path);
    mem_free(c->wal_path);
    mem_free(c->shm_path);
    mem_free(c);
}

void wal_conn_let_go(struct wal_conn *c)
{
    /* Fails only for a database handle that is none. */
    (void)sqlite3_db_config(c->gate, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    (void)sqlite3_db_config(c->back, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

void wal_conn_closep(struct wal_conn **c)
{
    wal_conn_close(*c);
    *c = NULL;
}

enum wal_conn_identity wal_conn_check(const struct wal_conn *c)
{
    struct stat st;

    if (c->fs->stat(c->fs, c->path, &st) != 0)
        return errno == ENOENT ? WAL_CONN_GONE
                               : WAL_CONN_SAME; /* an unreadable directory says nothing about the file */
    if (st.st_dev != c->device || st.st_ino != c->inode)
        return WAL_CONN_REPLACED;
    if (st.st_size == 0)
        return WAL_CONN_EMPTIED;
    return c->fs->fstat(c->fs, c->wal_fd, &st) == 0 && st.st_nlink == 0 ? WAL_CONN_LOG_REMOVED : WAL_CONN_SAME;
}

bool wal_conn_alone(const struct wal_conn *c)
{
    struct flock ask = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_SIZE};

    return fcntl(c->db_fd, F_GETLK, &ask) == 0 && ask.l_type == F_UNLCK;
}

/* --- locks ------------------------------------------------------------------------------------------------------ */

bool wal_conn_lock(struct wal_conn *c, int first, int count, bool exclusive)
{
    int flags = SQLITE_SHM_LOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);

    return c->gate_file->pMethods->xShmLock(c->gate_file, first, count, flags) == SQLITE_OK;
}

void wal_conn_unlock(struct wal_conn *c, int first, int count, bool exclusive)
{
    int flags = SQLITE_SHM_UNLOCK | (exclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED);
    int rc = c->gate_file->pMethods->xShmLock(c->gate_file, first, count, flags);

    assert(rc == SQLITE_OK); /* unlocking what one holds cannot fail */
}

/* The lock of another process that one of this type would meet: F_UNLCK when there is none. */
static short met(const struct wal_conn *c, int lock, short type)
{
    struct flock ask = {.l_type = type, .l_whence = SEEK_SET, .l_start = SHM_LOCK_BASE + lock, .l_len = 1};

    return fcntl(c->shm_fd, F_GETLK, &ask) == 0 ? ask.l_type : F_UNLCK;
}

bool wal_conn_others_hold(const struct wal_conn *c, int lock)
{
    return met(c, lock, F_RDLCK) == F_WRLCK;
}

bool wal_conn_others_share(const struct wal_conn *c, int lock)
{
    return met(c, lock, F_WRLCK) == F_RDLCK;
}
