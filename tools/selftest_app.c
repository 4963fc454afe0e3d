/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest_app.h"

#include "alloc.h"
#include "rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum {
    BUSY_MS = 30000,
    KINDS = 8,
    TABLES_EACH = 97, /* commits between two tables that come or go */
    STATEMENT_SIZE = 512,
    COPY_MAX = 1 << 30,
};

struct selftest_app {
    sqlite3 *db;
    char *path;
    uint64_t commits, rows;
};

static struct rc run(struct selftest_app *a, const char *sql, struct err *err)
{
    if (sqlite3_exec(a->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return rc_raise(err, E_IO, "write to %s: %s", a->path, sqlite3_errmsg(a->db));
    return RC_OK;
}

static struct rc begin(struct selftest_app *a, struct err *err)
{
    if (sqlite3_open_v2(a->path, &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        return rc_raise(err, E_IO, "open %s: %s", a->path, sqlite3_errmsg(a->db));
    if (sqlite3_busy_timeout(a->db, BUSY_MS) != SQLITE_OK)
        return rc_raise(err, E_IO, "open %s: %s", a->path, sqlite3_errmsg(a->db));
    return run(a,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, weight REAL, body BLOB);"
        "CREATE INDEX item_name ON item(name);"
        "INSERT INTO item(name, weight) VALUES ('first', 0);", /* a change of no row would be no commit */
        err);
}

struct rc selftest_app_open(struct selftest_app **out, const char *path, struct err *err)
{
    CLEANUP(selftest_app_closep) struct selftest_app *a = mem_new(sizeof *a);

    a->path = mem_strdup(path);
    TRY(begin(a, err));
    *out = MOVE(a);
    return RC_OK;
}

void selftest_app_close(struct selftest_app *a)
{
    if (a == NULL)
        return;
    (void)sqlite3_close_v2(a->db); /* no statement is open */
    mem_free(a->path);
    mem_free(a);
}

void selftest_app_closep(struct selftest_app **a)
{
    selftest_app_close(*a);
    *a = NULL;
}

/* --- the load ----------------------------------------------------------------------------------------------------- */

/* What one transaction does, with a random row and a size that most often is a line of text and sometimes pages. */
static void compose(char sql[STATEMENT_SIZE], uint64_t commit)
{
    const uint64_t r = rng_u64();
    const unsigned size = r % 50 == 0 ? 9000 : 20 + (unsigned)(r % 280);

    if (commit % TABLES_EACH == TABLES_EACH - 1)
        (void)snprintf(sql, STATEMENT_SIZE,
            "CREATE TABLE extra_%" PRIu64 "(a, b); INSERT INTO extra_%" PRIu64
            " SELECT id, name FROM item ORDER BY id DESC LIMIT 20;",
            commit, commit);
    else if (commit % TABLES_EACH == 0 && commit > 0)
        (void)snprintf(sql, STATEMENT_SIZE, "DROP TABLE extra_%" PRIu64 ";", commit - 1);
    else if (r % KINDS == 0)
        (void)snprintf(sql, STATEMENT_SIZE,
            "UPDATE item SET weight = weight + 1, body = randomblob(%u) "
            "WHERE id = (SELECT id FROM item WHERE id >= abs(random()) %% "
            "(1 + (SELECT max(id) FROM item)) LIMIT 1);",
            size);
    else if (r % KINDS == 1)
        (void)snprintf(sql, STATEMENT_SIZE,
            "DELETE FROM item WHERE id = (SELECT id FROM item WHERE id >= abs(random()) %% "
            "(1 + (SELECT max(id) FROM item)) LIMIT 1);"
            "INSERT INTO item(name, weight, body) VALUES (hex(randomblob(8)), 0.5, NULL);");
    else
        (void)snprintf(sql, STATEMENT_SIZE,
            "INSERT INTO item(name, weight, body) VALUES (hex(randomblob(8)), random() / 1e6, randomblob(%u));"
            "INSERT INTO item(name, weight, body) VALUES (hex(randomblob(6)), %" PRIu64 ", zeroblob(%u));",
            size, commit, size / 2);
}

struct rc selftest_app_commit(struct selftest_app *a, struct err *err)
{
    char sql[STATEMENT_SIZE];
    CLEANUP(mem_freep) char *all = NULL;

    compose(sql, a->commits);
    all = mem_printf("BEGIN IMMEDIATE; %s COMMIT;", sql);
    TRY(run(a, all, err));
    a->commits++;
    a->rows = (uint64_t)sqlite3_total_changes64(a->db);
    return RC_OK;
}

uint64_t selftest_app_commits(const struct selftest_app *a)
{
    return a->commits;
}

uint64_t selftest_app_rows(const struct selftest_app *a)
{
    return a->rows;
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

struct rc selftest_app_copy(
    struct selftest_app *a, const struct fsys *fs, const char *path, uint64_t *size, struct err *err)
{
    sqlite3_int64 n = 0;
    unsigned char *bytes = sqlite3_serialize(a->db, "main", &n, 0);
    struct rc rc;

    if (bytes == NULL)
        return rc_raise(err, E_IO, "copy %s: %s", a->path, sqlite3_errmsg(a->db));
    rc = fsys_write_atomic(fs, path, bytes, (size_t)n, 0600, err);
    sqlite3_free(bytes);
    TRY(rc);
    *size = (uint64_t)n;
    return RC_OK;
}

struct rc selftest_app_compare(const struct fsys *fs, const char *copy, const char *restored, struct err *err)
{
    CLEANUP(buf_fini) struct buf a, b;
    size_t at = 0;

    buf_init(&a, COPY_MAX);
    buf_init(&b, COPY_MAX);
    TRY(fsys_read_file(fs, copy, &a, err));
    TRY(fsys_read_file(fs, restored, &b, err));
    if (a.size != b.size)
        return rc_raise(
            err, E_CORRUPT, "compare %s with the copy %s: it has %zu bytes, not %zu", restored, copy, b.size, a.size);
    if (memcmp(a.data, b.data, a.size) == 0)
        return RC_OK;
    while (a.data[at] == b.data[at])
        at++;
    return rc_raise(err, E_CORRUPT, "compare %s with the copy %s: the byte at %zu is 0x%02x, not 0x%02x", restored,
        copy, at, b.data[at], a.data[at]);
}
