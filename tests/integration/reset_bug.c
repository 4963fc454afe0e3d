/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reset_bug - provoke SQLite's WAL-reset bug (3.7.0 to 3.51.2) on purpose, every time.
 *
 * A checkpointer reads the WAL-index header, is held up, and meanwhile the log is reset and written from its start
 * again.  When it goes on, it works with the header of the old log and notes the old number of frames as copied: frames
 * of the new log that nobody copied count as copied from then on, and the next reset throws them away.
 *
 * The moment is hit by standing in for the stalled connection's xUnfetch, which SQLite calls right after it read the
 * header.  Nothing in SQLite itself is changed.
 *
 *     reset_bug DB PREFILL       prints one line "intact ..." (exit 0) or "corrupt ..." (exit 3); exit 1: could not try
 *
 * PREFILL transactions are written first, so that a run can start at any length of the log.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BEFORE = 60, DURING = 3, AFTER = 20, LATER = 40, LAST = 5 };
enum { BUSY_MS = 300000, TRY_MS = 1 };

static struct {
    sqlite3 *writer;
    int (*unfetch)(sqlite3_file *, sqlite3_int64, void *);
    int armed, written;
} scene;

static void die(const char *what, sqlite3 *db)
{
    fprintf(stderr, "reset_bug: %s: %s\n", what, db ? sqlite3_errmsg(db) : "");
    exit(1);
}

static void must(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql, db);
}

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        die(path, db);
    sqlite3_busy_timeout(db, BUSY_MS);
    must(db, "PRAGMA wal_autocheckpoint=0");
    return db;
}

/* Each transaction adds one row and one to the tally, so both must be equal for ever. */
static void write_transactions(int count)
{
    for (int i = 0; i < count; i++) {
        must(scene.writer, "BEGIN; INSERT INTO item(size, body) VALUES (abs(random()), randomblob(700));"
                           "UPDATE tally SET n = n + 1; COMMIT");
        scene.written++;
    }
}

static int stalled_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    if (scene.armed) {
        scene.armed = 0;
        write_transactions(DURING);
    }
    return scene.unfetch(file, offset, page);
}

/* Replace one method of the connection's database file. */
static void intercept(sqlite3 *db)
{
    static sqlite3_io_methods methods;
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || file == NULL)
        die("file control", db);
    if (file->pMethods->iVersion < 3)
        die("this VFS has no xUnfetch", NULL);
    methods = *file->pMethods;
    scene.unfetch = methods.xUnfetch;
    methods.xUnfetch = stalled_unfetch;
    file->pMethods = &methods;
}

static void passive(sqlite3 *db)
{
    int rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        die("checkpoint", db);
}

/* weir may be at a checkpoint of its own: then this one is turned away before it reads anything, and has not stalled.
 */
static void passive_stalled(sqlite3 *db)
{
    scene.armed = 1;
    for (int waited_ms = 0; scene.armed; waited_ms += TRY_MS) {
        if (waited_ms > BUSY_MS)
            die("the checkpoint was not stalled", NULL);
        if (waited_ms > 0)
            (void)usleep(1000 * TRY_MS);
        passive(db);
    }
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    int value = -1; /* damage may make the statement fail: not a number that was ever written */

    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return value;
}

static int integrity(sqlite3 *db)
{
    sqlite3_stmt *s;
    int ok = 0;

    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        ok = strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
    sqlite3_finalize(s);
    return ok;
}

static int report(const char *path)
{
    sqlite3 *db = open_db(path);
    int tally = number(db, "SELECT n FROM tally"), rows = number(db, "SELECT count(*) FROM item");
    int sound = integrity(db), intact = sound && tally == scene.written && rows == scene.written;

    printf("%s: %d transactions, tally %d, %d rows, integrity %s, SQLite %s\n", intact ? "intact" : "corrupt",
        scene.written, tally, rows, sound ? "ok" : "broken", sqlite3_libversion());
    sqlite3_close(db);
    return intact ? 0 : 3;
}

int main(int argc, char **argv)
{
    sqlite3 *other, *slow;

    if (argc != 3)
        die("usage: reset_bug DB PREFILL", NULL);
    scene.writer = open_db(argv[1]);
    other = open_db(argv[1]);
    slow = open_db(argv[1]);
    must(scene.writer, "PRAGMA journal_mode=WAL;"
                       "CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY, size, body);"
                       "CREATE INDEX IF NOT EXISTS item_size ON item(size);"
                       "CREATE TABLE IF NOT EXISTS tally(n);"
                       "INSERT INTO tally SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM tally)");
    scene.written = number(scene.writer, "SELECT n FROM tally");
    must(other, "SELECT count(*) FROM item");
    must(slow, "SELECT count(*) FROM item");
    intercept(slow);

    write_transactions(atoi(argv[2]));
    write_transactions(BEFORE);
    passive(other);            /* all is copied: the next writer may reset the log */
    passive_stalled(slow);     /* the reset happens behind its back */
    write_transactions(AFTER); /* in the new log, below the old number of frames */
    passive(other);
    write_transactions(LATER);
    passive(other);
    write_transactions(LAST);
    sqlite3_busy_timeout(other, 500);
    if (sqlite3_wal_checkpoint_v2(other, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        passive(other); /* somebody holds the log back: its business, nothing may be lost by it */
    sqlite3_close(other);
    sqlite3_close(slow);
    sqlite3_close(scene.writer);
    return report(argv[1]);
}
