/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer - an application in C on libsqlite3, for the integration suites.
 *
 *     writer serve DB              executes lines of SQL from stdin, as the sqlite3 shell does: rows on stdout,
 *                                  "error: text" for a failure, ".print TEXT" echoes
 *     writer run DB NAME SEED      rows in sequence into journal(writer, seq, body) at full speed until stdin is
 * closed; prints "ack N" after every COMMIT that returned SQLITE_OK
 *
 * Exit status 1 with a message when SQLite says something that an application must not see.
 */
#include <poll.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SQLite has no queue of writers: on a slow disk one may wait for many turns of the others. */
enum { BUSY_MS = 300000 };

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("writer: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("open %s: %s", path, sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, BUSY_MS);
    return db;
}

/* --- serve ---------------------------------------------------------------------------------------------- */

static int print_row(void *context, int count, char **values, char **names)
{
    (void)context;
    (void)names;
    for (int i = 0; i < count; i++)
        printf("%s%s", i > 0 ? "|" : "", values[i] ? values[i] : "");
    putchar('\n');
    return 0;
}

static void serve(const char *path)
{
    sqlite3 *db = open_db(path);
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    while ((length = getline(&line, &room, stdin)) > 0) {
        line[length - 1] = '\0';
        if (strncmp(line, ".print ", 7) == 0) {
            puts(line + 7);
        } else {
            char *message = NULL;

            if (sqlite3_exec(db, line, print_row, NULL, &message) != SQLITE_OK)
                printf("error: %s\n", message ? message : sqlite3_errmsg(db));
            sqlite3_free(message);
        }
        fflush(stdout);
    }
    free(line);
    if (sqlite3_close(db) != SQLITE_OK)
        die("close: %s", sqlite3_errmsg(db));
}

/* --- run ------------------------------------------------------------------------------------------------ */

static uint64_t random_state;

/* xorshift64*: the same sequence for the same seed on every machine. */
static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1DULL) >> 33) % limit;
}

static void must(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        die("%s: %s", sql, message ? message : sqlite3_errmsg(db));
}

static sqlite3_int64 last_sequence(sqlite3 *db, const char *name)
{
    sqlite3_stmt *s;
    sqlite3_int64 value;

    if (sqlite3_prepare_v2(db, "SELECT ifnull(max(seq), 0) FROM journal WHERE writer = ?", -1, &s, NULL) != SQLITE_OK)
        die("prepare: %s", sqlite3_errmsg(db));
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW)
        die("last sequence: %s", sqlite3_errmsg(db));
    value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

static void add_row(sqlite3_stmt *insert, const char *name, sqlite3_int64 sequence, uint32_t size)
{
    sqlite3_bind_text(insert, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 2, sequence);
    sqlite3_bind_int(insert, 3, (int)size);
    if (sqlite3_step(insert) != SQLITE_DONE)
        die("insert: %s", sqlite3_errmsg(sqlite3_db_handle(insert)));
    sqlite3_reset(insert);
}

/* What an application does between transactions: look after the log, each in its own way. */
static void housekeeping(sqlite3 *db)
{
    int mode = (int)random_below(4); /* SQLITE_CHECKPOINT_PASSIVE, FULL, RESTART, TRUNCATE are 0 to 3 */
    int rc;

    sqlite3_busy_timeout(db, 100);
    rc = sqlite3_wal_checkpoint_v2(db, "main", mode, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
        die("checkpoint mode %d: %s", mode, sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, BUSY_MS);
}

static bool told_to_stop(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char byte;

    return poll(&in, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

/* One transaction; returns the last sequence number that is now durable in the eyes of the application. */
static sqlite3_int64 transaction(sqlite3 *db, sqlite3_stmt *insert, const char *name, sqlite3_int64 sequence)
{
    static const uint32_t row_counts[] = {1, 1, 1, 2, 3, 10, 200};
    uint32_t rows = row_counts[random_below(7)];

    must(db, "BEGIN IMMEDIATE");
    for (uint32_t i = 1; i <= rows; i++)
        add_row(insert, name, sequence + i, random_below(700));
    if (random_below(12) == 0) {
        must(db, "ROLLBACK");
        return sequence;
    }
    if (random_below(12) == 0) {
        must(db, "SAVEPOINT s");
        add_row(insert, name, sequence + rows + 1, 5000);
        must(db, "ROLLBACK TO s");
        must(db, "RELEASE s");
    }
    must(db, "COMMIT");
    return sequence + rows;
}

static void acknowledge(sqlite3_int64 sequence)
{
    char text[32];
    int length = snprintf(text, sizeof text, "ack %lld\n", sequence);

    if (write(1, text, (size_t)length) != length)
        die("cannot write to stdout");
}

static void run(const char *path, const char *name, uint64_t seed)
{
    static const char *const autocheckpoint[] = {
        "PRAGMA wal_autocheckpoint=0", "PRAGMA wal_autocheckpoint=20", "PRAGMA wal_autocheckpoint=1000"};

    random_state = seed * 0x9E3779B97F4A7C15ULL + 1;
    for (bool stop = false; !stop;) {
        sqlite3 *db = open_db(path);
        sqlite3_stmt *insert;
        sqlite3_int64 sequence = last_sequence(db, name);

        must(db, autocheckpoint[random_below(3)]);
        if (sqlite3_prepare_v2(db, "INSERT INTO journal VALUES (?, ?, randomblob(?))", -1, &insert, NULL) != SQLITE_OK)
            die("prepare: %s", sqlite3_errmsg(db));
        for (uint32_t left = 1 + random_below(300); left > 0 && !stop; left--) {
            sequence = transaction(db, insert, name, sequence);
            acknowledge(sequence);
            usleep(random_below(
                1000)); /* SQLite has no queue of writers: without a pause one of them gets all the turns */
            if (random_below(100) == 0)
                housekeeping(db);
            stop = told_to_stop();
        }
        sqlite3_finalize(insert);
        if (sqlite3_close(db) != SQLITE_OK)
            die("close: %s", sqlite3_errmsg(db));
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(argv[2]);
    else if (argc == 5 && strcmp(argv[1], "run") == 0)
        run(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    else
        die("usage: writer serve DB | writer run DB NAME SEED");
    return 0;
}
