/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - a writer like an application's, which measures its own COMMITs.  bench.py and soak.py run it.
 *
 *     load [--fill-mb N] [--seconds S] [--commits N] [--rate R] [--rows N] [--keep N] [--busy-ms N] [--seed N]
 *          [--checkpoint PAGES] [--times FILE] DB
 *
 * The table is an order book: each row of a transaction is an INSERT of a new order or (three in ten) an UPDATE of an
 * older one, with an index on the customer.  The database is in WAL mode with synchronous=NORMAL and SQLite's default
 * automatic checkpoint.  --fill-mb makes the file that large first; --keep deletes the oldest orders beyond N, so that
 * a run of hours does not fill the disk.  --rate is commits per second, 0 is full speed.
 *
 * Standard output is one line of JSON.  --times writes one line per commit:
 *
 *     <monotonic ns when COMMIT returned> <iChange> <salt-1> <frames in the log>
 *
 * iChange (a count of all commits, whoever made them) and salt-1 (raised by one at each reset) come from the WAL-index
 * header, so that bench.py can tell which object of a replica holds the commit.
 *
 * A COMMIT's latency is that of the COMMIT statement, and of BEGIN IMMEDIATE, where it waited for the write lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    LATENCY_MAX = 1 << 24, /* commits whose latency is kept: 64 MiB */
    FILL_ROWS = 20000,     /* of a transaction */
};
#define FILL_MADE UINT64_C(1000000000)

struct load {
    /* From the command line. */
    const char *path, *times_path;
    double seconds, rate;
    uint64_t commits_max, fill_bytes;
    unsigned rows, keep, busy_ms;
    int checkpoint_pages;

    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *insert, *update, *prune;
    FILE *times;
    const uint8_t *index_header; /* the mapped -shm file, or NULL */
    uint64_t random;

    int64_t next_id;
    int frames, frames_max; /* in the log, as the hook told */
    uint64_t frames_written, resets;

    uint64_t commits, rows_written, busy;
    uint32_t *latency_us;
    size_t latency_count;
    uint64_t latency_max_us;
};

static void die(const struct load *l, const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, l->db != NULL ? sqlite3_errmsg(l->db) : strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void sleep_until_ns(int64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        continue;
}

static uint64_t next_random(struct load *l) /* splitmix64 */
{
    uint64_t z = (l->random += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Counts frames; and checkpoints as SQLite's own hook, which this one replaces, would. */
static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct load *l = ctx;

    if (frames > l->frames) {
        l->frames_written += (uint64_t)(frames - l->frames);
    } else {
        l->frames_written += (uint64_t)frames;
        l->resets++;
    }
    l->frames = frames;
    if (frames > l->frames_max)
        l->frames_max = frames;
    if (l->checkpoint_pages > 0 && frames >= l->checkpoint_pages)
        sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

static void execute(struct load *l, const char *sql)
{
    if (sqlite3_exec(l->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(l, sql);
}

static int64_t query(struct load *l, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t value;

    if (sqlite3_prepare_v2(l->db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
        die(l, sql);
    value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static sqlite3_stmt *prepare(struct load *l, const char *sql)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v3(l->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        die(l, sql);
    return stmt;
}

/* True when done, false when SQLITE_BUSY came back after the busy timeout; all else ends the program. */
static bool step(struct load *l, sqlite3_stmt *stmt, const char *what)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    if (rc == SQLITE_BUSY)
        return false;
    if (rc != SQLITE_DONE)
        die(l, what);
    return true;
}

static void open_database(struct load *l)
{
    if (sqlite3_open(l->path, &l->db) != SQLITE_OK)
        die(l, l->path);
    sqlite3_busy_timeout(l->db, (int)l->busy_ms);
    execute(l, "PRAGMA journal_mode=WAL");
    execute(l, "PRAGMA synchronous=NORMAL");
    execute(l, "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, status TEXT"
               " NOT NULL, total_cents INTEGER NOT NULL, placed_at TEXT NOT NULL, note TEXT NOT NULL)");
    execute(l, "CREATE INDEX IF NOT EXISTS orders_customer ON orders(customer)");
    sqlite3_wal_hook(l->db, on_wal, l);
    l->begin = prepare(l, "BEGIN IMMEDIATE");
    l->commit = prepare(l, "COMMIT");
    l->insert = prepare(l, "INSERT INTO orders(customer,status,total_cents,placed_at,note) VALUES(?,?,?,?,?)");
    l->update = prepare(l, "UPDATE orders SET status=?, total_cents=total_cents+1 WHERE id=(SELECT id FROM orders"
                           " WHERE id>=? LIMIT 1)");
    l->prune = prepare(l, "DELETE FROM orders WHERE id<=?");
    l->next_id = query(l, "SELECT coalesce(max(id),0)+1 FROM orders");
}

/* The descriptor stays open for the life of the process: closing it would drop the locks of our own connection. */
static void map_index_header(struct load *l)
{
    char path[4096];
    void *map;
    int fd;

    snprintf(path, sizeof path, "%s-shm", l->path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(l, path);
    map = mmap(NULL, 136, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        die(l, path);
    l->index_header = map;
}

static const char *make_note(struct load *l, char *note, size_t size)
{
    static const char *const words[] = {"deliver", "to", "the", "back", "door", "customer", "asked", "for", "gift",
        "wrapping", "please", "call", "before", "arrival", "invoice", "by", "mail", "fragile", "express", "second",
        "floor", "left", "with", "neighbour", "paid", "in", "advance", "partial", "shipment", "is", "fine", "thanks"};
    size_t used = 0;
    unsigned count = 6 + (unsigned)(next_random(l) % 14);

    for (unsigned i = 0; i < count; i++)
        used +=
            (size_t)snprintf(note + used, size - used, "%s ", words[next_random(l) % (sizeof words / sizeof words[0])]);
    snprintf(note + used, size - used, "ref %016" PRIx64, next_random(l));
    return note;
}

static bool write_row(struct load *l, unsigned updates_in_ten)
{
    static const char *const states[] = {"new", "paid", "packed", "shipped", "returned"};
    const char *state = states[next_random(l) % (sizeof states / sizeof states[0])];
    char note[512], placed[32];

    l->rows_written++;
    if (l->next_id > 1 && next_random(l) % 10 < updates_in_ten) {
        int64_t newest = l->next_id - 1;
        int64_t range = l->keep > 0 && newest > l->keep ? l->keep : newest;

        sqlite3_bind_text(l->update, 1, state, -1, SQLITE_STATIC);
        sqlite3_bind_int64(l->update, 2, newest - (int64_t)(next_random(l) % (uint64_t)range));
        if (!step(l, l->update, "update"))
            return false;
        if (sqlite3_changes(l->db) > 0)
            return true;
    }
    snprintf(placed, sizeof placed, "2026-11-%02u %02u:%02u:%02u", (unsigned)(next_random(l) % 28 + 1),
        (unsigned)(next_random(l) % 24), (unsigned)(next_random(l) % 60), (unsigned)(next_random(l) % 60));
    sqlite3_bind_int64(l->insert, 1, (int64_t)(next_random(l) % 100000));
    sqlite3_bind_text(l->insert, 2, state, -1, SQLITE_STATIC);
    sqlite3_bind_int64(l->insert, 3, (int64_t)(next_random(l) % 1000000));
    sqlite3_bind_text(l->insert, 4, placed, -1, SQLITE_STATIC);
    sqlite3_bind_text(l->insert, 5, make_note(l, note, sizeof note), -1, SQLITE_STATIC);
    if (!step(l, l->insert, "insert"))
        return false;
    l->next_id = sqlite3_last_insert_rowid(l->db) + 1; /* another writer may be at work too */
    if (l->keep > 0 && l->next_id % 64 == 0) {
        sqlite3_bind_int64(l->prune, 1, l->next_id - (int64_t)l->keep);
        return step(l, l->prune, "delete");
    }
    return true;
}

static bool is_filled(struct load *l, uint64_t bytes)
{
    return (uint64_t)query(l, "PRAGMA page_count") * (uint64_t)query(l, "PRAGMA page_size") >= bytes;
}

/*
 * Beyond FILL_MADE, rows are older ones once more for other customers, which takes a fraction of the time and looks the
 * same to whoever compresses pages; and the index comes last, because it would not fit into any cache.
 */
static void fill_large(struct load *l)
{
    char sql[256];

    execute(l, "DROP INDEX orders_customer");
    for (int64_t from = 0; !is_filled(l, l->fill_bytes - l->fill_bytes / 14); from += FILL_ROWS) {
        snprintf(sql, sizeof sql,
            "INSERT INTO orders(customer,status,total_cents,placed_at,note) SELECT (random() & 0x7fffffff) %% 100000,"
            "status,total_cents,placed_at,note FROM orders WHERE id > %" PRId64 " AND id <= %" PRId64,
            from, from + FILL_ROWS);
        execute(l, sql);
    }
    execute(l, "CREATE INDEX orders_customer ON orders(customer)");
    l->next_id = query(l, "SELECT max(id)+1 FROM orders");
}

static void fill(struct load *l)
{
    execute(l, "PRAGMA cache_size=-262144"); /* the index is written at random places: 256 MiB instead of 2 */
    while (!is_filled(l, l->fill_bytes < FILL_MADE ? l->fill_bytes : FILL_MADE)) {
        execute(l, "BEGIN IMMEDIATE");
        for (unsigned i = 0; i < FILL_ROWS; i++)
            write_row(l, 0);
        execute(l, "COMMIT");
    }
    if (l->fill_bytes > FILL_MADE && !is_filled(l, l->fill_bytes))
        fill_large(l);
    execute(l, "PRAGMA cache_size=-2000");
    l->rows_written = 0;
    l->frames_written = l->resets = 0;
    l->frames_max = 0;
}

static uint32_t header_word(const struct load *l, size_t offset, bool big)
{
    uint32_t word;

    memcpy(&word, l->index_header + offset, sizeof word);
    return big ? __builtin_bswap32(word) : word; /* salts are stored as they stand in the file, iChange is native */
}

static void note_commit(struct load *l, int64_t began, int64_t committed)
{
    uint64_t us = (uint64_t)(committed - began) / 1000;

    l->commits++;
    if (us > l->latency_max_us)
        l->latency_max_us = us;
    if (l->latency_count < LATENCY_MAX)
        l->latency_us[l->latency_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (l->times != NULL)
        fprintf(l->times, "%" PRId64 " %" PRIu32 " %" PRIu32 " %d\n", committed, header_word(l, 8, false),
            header_word(l, 32, true), l->frames);
}

/* One transaction.  A busy one is rolled back, counted, and not tried again: an application would report it. */
static void transact(struct load *l)
{
    int64_t began = now_ns(), before_commit, waited;
    bool ok = step(l, l->begin, "begin");

    if (!ok) {
        l->busy++;
        return;
    }
    waited = now_ns() - began;
    for (unsigned i = 0; ok && i < l->rows; i++)
        ok = write_row(l, 3);
    before_commit = now_ns();
    if (ok)
        ok = step(l, l->commit, "commit");
    if (!ok) {
        l->busy++;
        execute(l, "ROLLBACK");
        return;
    }
    note_commit(l, before_commit - waited, now_ns());
}

static void run(struct load *l)
{
    int64_t start = now_ns(), end = INT64_MAX;

    if (l->seconds > 0)
        end = start + (int64_t)(l->seconds * 1e9);
    for (uint64_t i = 0; (l->commits_max == 0 || i < l->commits_max) && now_ns() < end; i++) {
        if (l->rate > 0) {
            /* At a random place in its slot: a regular beat would lock in with a daemon's own interval. */
            double slot = (double)i + (double)(next_random(l) >> 11) * 0x1p-53;

            sleep_until_ns(start + (int64_t)(slot / l->rate * 1e9));
        }
        transact(l);
    }
    l->seconds = (double)(now_ns() - start) / 1e9;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(struct load *l)
{
    uint64_t frame_size = (uint64_t)query(l, "PRAGMA page_size") + 24;
    uint32_t p50 = 0, p99 = 0;

    if (l->latency_count > 0) {
        qsort(l->latency_us, l->latency_count, sizeof *l->latency_us, compare_u32);
        p50 = l->latency_us[l->latency_count / 2];
        p99 = l->latency_us[(l->latency_count - 1) * 99 / 100];
    }
    printf("{\"seconds\":%.3f,\"commits\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"busy\":%" PRIu64 ",", l->seconds,
        l->commits, l->rows_written, l->busy);
    printf("\"commits_per_s\":%.1f,\"rows_per_s\":%.1f,", (double)l->commits / l->seconds,
        (double)l->rows_written / l->seconds);
    printf("\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32 ",\"max_us\":%" PRIu64 ",", p50, p99, l->latency_max_us);
    printf("\"wal_bytes\":%" PRIu64 ",\"wal_peak_bytes\":%" PRIu64 ",\"wal_resets\":%" PRIu64 "}\n",
        l->frames_written * frame_size, (uint64_t)l->frames_max * frame_size, l->resets);
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value > UINT32_MAX) {
        fprintf(stderr, "load: '%s' is not a number from 0 to %" PRIu32 "\n", text, UINT32_MAX);
        exit(2);
    }
    return value;
}

static void parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {{"fill-mb", 1, NULL, 'f'}, {"seconds", 1, NULL, 's'},
        {"commits", 1, NULL, 'n'}, {"rate", 1, NULL, 'r'}, {"rows", 1, NULL, 'R'}, {"keep", 1, NULL, 'k'},
        {"busy-ms", 1, NULL, 'b'}, {"seed", 1, NULL, 'S'}, {"checkpoint", 1, NULL, 'c'}, {"times", 1, NULL, 't'},
        {NULL, 0, NULL, 0}};

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'f':
            l->fill_bytes = number(optarg) << 20;
            break;
        case 's':
            l->seconds = (double)number(optarg);
            break;
        case 'n':
            l->commits_max = number(optarg);
            break;
        case 'r':
            l->rate = (double)number(optarg);
            break;
        case 'R':
            l->rows = (unsigned)number(optarg);
            break;
        case 'k':
            l->keep = (unsigned)number(optarg);
            break;
        case 'b':
            l->busy_ms = (unsigned)number(optarg);
            break;
        case 'S':
            l->random = number(optarg);
            break;
        case 'c':
            l->checkpoint_pages = (int)number(optarg);
            break;
        case 't':
            l->times_path = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (optind + 1 != argc || l->rows == 0) {
        fprintf(stderr, "usage: load [--fill-mb N] [--seconds S] [--commits N] [--rate R] [--rows N] [--keep N]"
                        " [--busy-ms N] [--seed N] [--checkpoint PAGES] [--times FILE] DB\n");
        exit(2);
    }
    l->path = argv[optind];
}

int main(int argc, char **argv)
{
    struct load l = {.rows = 1, .busy_ms = 5000, .checkpoint_pages = 1000, .random = 1};

    parse(&l, argc, argv);
    l.latency_us = malloc(LATENCY_MAX * sizeof *l.latency_us);
    if (l.latency_us == NULL)
        die(&l, "memory");
    open_database(&l);
    if (l.fill_bytes > 0)
        fill(&l);
    if (l.times_path != NULL) {
        map_index_header(&l);
        l.times = fopen(l.times_path, "w");
        if (l.times == NULL)
            die(&l, l.times_path);
    }
    if (l.seconds > 0 || l.commits_max > 0) {
        run(&l);
        report(&l);
    }
    if (l.times != NULL && fclose(l.times) != 0)
        die(&l, l.times_path);
    sqlite3_finalize(l.begin);
    sqlite3_finalize(l.commit);
    sqlite3_finalize(l.insert);
    sqlite3_finalize(l.update);
    sqlite3_finalize(l.prune);
    if (sqlite3_close(l.db) != SQLITE_OK)
        die(&l, "close");
    free(l.latency_us);
    return 0;
}
