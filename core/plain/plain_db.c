/* SPDX-License-Identifier: Apache-2.0 */
#include "plain_db.h"

#include "alloc.h"
#include "restore_target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_SIZE = 256 << 10, BUSY_MS = 10000 };

struct plain_db {
    const struct fsys *fs;
    const char *folder; /* borrowed: for copies */
    char *path;         /* owned; what is read: the file, or its copy */
    int fd;
    sqlite3 *db; /* in a read transaction; NULL: the file could not be locked */
    bool had_log;
    struct stat before; /* of the file, when it could not be locked */
    struct dbfmt_header header;
    uint32_t page_count;
};

/* --- what kind of file it is ---------------------------------------------------------------------------------------
 */

static struct rc refuse_kind(const char *path, enum dbfmt_kind kind, struct err *err)
{
    switch (kind) {
    case DBFMT_SQLITE:
        break;
    case DBFMT_EMPTY:
        return rc_raise(err, E_CONFIG, "%s is empty: there is no database in it yet", path);
    case DBFMT_DUCKDB:
        return rc_raise(err, E_CONFIG,
            "%s is a DuckDB database; weir keeps SQLite databases. DuckDB has no log that could be shipped, so there "
            "would be no history to restore from: copy the file as a whole while its application has it closed, or "
            "move the tables into SQLite (in DuckDB: ATTACH 'app.db' (TYPE sqlite)) and import that",
            path);
    case DBFMT_JOURNAL:
        return rc_raise(
            err, E_CONFIG, "%s is the journal or log of a database: name the database itself, with it beside", path);
    case DBFMT_OTHER:
        return rc_raise(err, E_CONFIG, "%s is not a SQLite database (or one that is encrypted as a whole)", path);
    }
    return RC_OK;
}

static struct rc check_kind(struct plain_db *p, struct stat *st, struct err *err)
{
    uint8_t head[DBFMT_HEADER_SIZE];
    size_t n;

    if (p->fs->fstat(p->fs, p->fd, st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", p->path);
    if (!S_ISREG(st->st_mode))
        return rc_raise(err, E_CONFIG, "%s is not a regular file", p->path);
    n = (uint64_t)st->st_size < sizeof head ? (size_t)st->st_size : sizeof head;
    TRY(fsys_read_at(p->fs, p->fd, p->path, head, n, 0, err));
    TRY(refuse_kind(p->path, dbfmt_recognise(span_of(head, n)), err));
    TRY_CTX(dbfmt_decode_header(span_of(head, n), &p->header, err), err, "%s", p->path);
    return RC_OK;
}

static struct rc read_header(struct plain_db *p, struct err *err)
{
    struct stat st;
    uint64_t pages;

    TRY(check_kind(p, &st, err));
    pages = (uint64_t)st.st_size / p->header.page_size;
    if (p->header.page_count == 0 && (uint64_t)st.st_size % p->header.page_size != 0)
        return rc_raise(err, E_CORRUPT, "%s has %jd bytes, which is no whole number of pages of %" PRIu32, p->path,
            (intmax_t)st.st_size, p->header.page_size);
    if (p->header.page_count > pages || pages == 0)
        return rc_raise(err, E_CORRUPT, "%s has %" PRIu64 " pages, its header says %" PRIu32 ": it is cut short",
            p->path, pages, p->header.page_count);
    if (p->header.page_count == 0 && pages > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "%s has %" PRIu64 " pages, more than SQLite can have", p->path, pages);
    p->page_count = p->header.page_count != 0 ? p->header.page_count : (uint32_t)pages;
    p->before = st;
    return RC_OK;
}

/* --- SQLite --------------------------------------------------------------------------------------------------------
 */

static struct rc from_sqlite(const struct plain_db *p, int code, const char *what, struct err *err)
{
    const char *detail = p->db != NULL ? sqlite3_errmsg(p->db) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return rc_raise(err, E_BUSY, "%s %s: another process keeps it locked", what, p->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return rc_raise(err, E_CORRUPT, "%s %s: %s", what, p->path, detail);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return rc_raise(err, E_DENIED, "%s %s: %s", what, p->path, detail);
    case SQLITE_FULL:
        return rc_raise(err, E_NOSPACE, "%s %s: %s", what, p->path, detail);
    case SQLITE_NOMEM:
        return rc_raise(err, E_NOMEM, "%s %s: %s", what, p->path, detail);
    default:
        return rc_raise(err, E_IO, "%s %s: %s", what, p->path, detail);
    }
}

static void disconnect(struct plain_db *p)
{
    (void)sqlite3_close(p->db); /* nothing is under way */
    p->db = NULL;
}

static int begin_reading(const struct plain_db *p)
{
    return sqlite3_exec(p->db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
}

static int open_db(struct plain_db *p, int flags, bool keep_log)
{
    int code = sqlite3_open_v2(p->path, &p->db, flags | SQLITE_OPEN_PRIVATECACHE, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(p->db, BUSY_MS);
    if (code == SQLITE_OK && keep_log)
        code = sqlite3_db_config(p->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    return code == SQLITE_OK ? begin_reading(p) : code;
}

static uint64_t size_beside(const struct plain_db *p, const char *suffix)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s%s", p->path, suffix);
    struct stat st;

    return p->fs->stat(p->fs, path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static bool is_out_of_reach(int code)
{
    return (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_PERM;
}

/* A log that was there before is left as it is, a log that only our own connection made is removed by SQLite. */
static struct rc hold(struct plain_db *p, struct err *err)
{
    bool log = size_beside(p, "-wal") > 0;
    struct rc rc;
    int code = open_db(p, SQLITE_OPEN_READWRITE, log);

    if (is_out_of_reach(code)) {
        disconnect(p);
        code = open_db(p, SQLITE_OPEN_READONLY, log);
    }
    if (code == SQLITE_OK)
        return RC_OK;
    if (is_out_of_reach(code) && !log && size_beside(p, "-journal") == 0) {
        disconnect(p);
        return RC_OK;
    }
    rc = from_sqlite(p, code, "read", err);
    disconnect(p);
    if (is_out_of_reach(code))
        return rc_wrap(err, "a log or journal beside it must be applied first, where weir may write");
    return rc;
}

/* --- a log beside it -----------------------------------------------------------------------------------------------
 */

static struct rc copy_file(const struct fsys *fs, const char *from, const char *to, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(COPY_SIZE);
    CLEANUP(fsys_closep) struct fsys_fd in = {fs, -1}, out = {fs, -1};
    uint64_t at = 0;
    ssize_t n;

    TRY(fsys_open(fs, from, O_RDONLY, 0, &in.fd, err));
    TRY(fsys_open(fs, to, O_RDWR | O_CREAT | O_EXCL, 0600, &out.fd, err));
    for (;;) {
        n = fs->pread(fs, in.fd, chunk, COPY_SIZE, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "read %s", from);
        if (n == 0)
            return RC_OK;
        TRY(fsys_write_at(fs, out.fd, to, chunk, (size_t)n, at, err));
        at += (uint64_t)n;
    }
}

static struct rc copy_pages(const struct plain_db *p, const char *to, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(COPY_SIZE);
    CLEANUP(fsys_closep) struct fsys_fd out = {p->fs, -1};
    struct stat st;

    /* Not by another descriptor: to close that would drop the locks. */
    if (p->fs->fstat(p->fs, p->fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", p->path);
    TRY(fsys_open(p->fs, to, O_RDWR | O_CREAT | O_EXCL, 0600, &out.fd, err));
    for (uint64_t at = 0, size = (uint64_t)st.st_size; at < size;) {
        size_t n = size - at < COPY_SIZE ? (size_t)(size - at) : COPY_SIZE;

        TRY(fsys_read_at(p->fs, p->fd, p->path, chunk, n, at, err));
        TRY(fsys_write_at(p->fs, out.fd, to, chunk, n, at, err));
        at += n;
    }
    return RC_OK;
}

/*
 * While we read, no frame of the log can be overwritten, and a checkpoint only brings pages into the file that the log
 * has too.  So the file first and then the log make one state, whatever happens meanwhile.
 */
static struct rc copy_with_log(struct plain_db *p, struct err *err)
{
    CLEANUP(mem_freep) char *copy = mem_printf("%s/source.db", p->folder);
    CLEANUP(mem_freep) char *log = mem_printf("%s-wal", p->path), *log_copy = mem_printf("%s-wal", copy);

    TRY_CTX(copy_pages(p, copy, err), err, "copy %s", p->path);
    TRY_CTX(copy_file(p->fs, log, log_copy, err), err, "copy %s", log);
    disconnect(p);
    (void)p->fs->close(p->fs, p->fd); /* it was only read */
    p->fd = -1;
    mem_free(p->path);
    p->path = MOVE(copy);
    TRY(fsys_open(p->fs, p->path, O_RDWR, 0, &p->fd, err));
    return RC_OK;
}

static struct rc apply_log(struct plain_db *p, struct err *err)
{
    int code = sqlite3_open_v2(p->path, &p->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

    /* SQLite looks for a log when it reads for the first time; before that a checkpoint finds nothing to do. */
    if (code == SQLITE_OK)
        code = begin_reading(p);
    if (code == SQLITE_OK)
        code = sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_wal_checkpoint_v2(p->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code == SQLITE_OK)
        code = begin_reading(p);
    if (code != SQLITE_OK)
        return from_sqlite(p, code, "apply the log of", err);
    if (size_beside(p, "-wal") > 0)
        return rc_raise(err, E_CORRUPT, "apply the log of %s: SQLite left some of it", p->path);
    return RC_OK;
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

struct rc plain_db_open(
    struct plain_db **out, const struct fsys *fs, const char *path, const char *folder, struct err *err)
{
    CLEANUP(plain_db_closep) struct plain_db *p = mem_new(sizeof *p);
    char real[PATH_MAX];
    struct stat st;

    p->fs = fs;
    p->folder = folder;
    p->fd = -1;
    p->path = mem_strdup(realpath(path, real) != NULL ? real : path);
    TRY(fsys_open(fs, p->path, O_RDONLY, 0, &p->fd, err));
    TRY(check_kind(p, &st, err));
    if (size_beside(p, "-wal") == 0 && size_beside(p, "-journal") == 0)
        TRY(read_header(p, err)); /* otherwise they may still make up for its size */
    TRY(hold(p, err));
    p->had_log = p->db != NULL && size_beside(p, "-wal") > 0;
    if (p->had_log) {
        TRY(copy_with_log(p, err));
        TRY(apply_log(p, err));
    }
    TRY(read_header(p, err)); /* as it is now that nobody changes it */
    *out = MOVE(p);
    return RC_OK;
}

void plain_db_close(struct plain_db *p)
{
    if (p == NULL)
        return;
    disconnect(p);
    if (p->fd >= 0)
        (void)p->fs->close(p->fs, p->fd); /* it was only read */
    mem_free(p->path);
    mem_free(p);
}

void plain_db_closep(struct plain_db **p)
{
    plain_db_close(*p);
    *p = NULL;
}

uint32_t plain_db_page_size(const struct plain_db *p)
{
    return p->header.page_size;
}

uint32_t plain_db_page_count(const struct plain_db *p)
{
    return p->page_count;
}

bool plain_db_had_log(const struct plain_db *p)
{
    return p->had_log;
}

struct rc plain_db_check(struct plain_db *p, struct err *err)
{
    sqlite3_stmt *check = NULL;
    const char *finding;
    struct rc rc = RC_OK;
    int code;

    if (p->db == NULL)
        return restore_target_check_file(p->path, false, err);
    code = sqlite3_prepare_v2(p->db, "PRAGMA quick_check(1)", -1, &check, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(check);
    finding = code == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;
    if (code != SQLITE_ROW)
        rc = from_sqlite(p, code, "check", err);
    else if (finding == NULL || strcmp(finding, "ok") != 0)
        rc = rc_raise(
            err, E_CORRUPT, "%s: PRAGMA quick_check says: %.400s", p->path, finding != NULL ? finding : "nothing");
    (void)sqlite3_finalize(check); /* repeats the step's result */
    return rc;
}

struct rc plain_db_read(struct plain_db *p, uint32_t first_pgno, uint32_t count, uint8_t *pages, struct err *err)
{
    return fsys_read_at(p->fs, p->fd, p->path, pages, (size_t)count * p->header.page_size,
        (uint64_t)(first_pgno - 1) * p->header.page_size, err);
}

struct rc plain_db_done(struct plain_db *p, struct err *err)
{
    struct stat st;

    if (p->db != NULL)
        return RC_OK;
    if (p->fs->stat(p->fs, p->path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", p->path);
    if (st.st_ino != p->before.st_ino || st.st_size != p->before.st_size
        || st.st_mtim.tv_sec != p->before.st_mtim.tv_sec || st.st_mtim.tv_nsec != p->before.st_mtim.tv_nsec
        || size_beside(p, "-wal") > 0)
        return rc_raise(err, E_BUSY, "%s changed while it was read, and it could not be locked", p->path);
    return RC_OK;
}
