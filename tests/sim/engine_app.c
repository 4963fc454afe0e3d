/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "check.h"
#include "must.h"
#include "store_wait.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BEGIN_S = 1767225600 }; /* 2026-01-01, a Thursday */

uint64_t engine_pick(struct engine_world *w, uint64_t below)
{
    return check_random(&w->random) % below;
}

void engine_wrong(struct engine_world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->wrong[0] != 0)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(w->wrong, sizeof w->wrong, fmt, ap); /* cut short at worst */
    va_end(ap);
}

void engine_wrong_at(struct engine_world *w, const char *what, long n)
{
    const size_t used = strlen(w->wrong);

    (void)snprintf(w->wrong + used, sizeof w->wrong - used, " (%s %ld)", what, n);
}

void engine_trace(struct engine_world *w, const char *what, const char *path, uint64_t a, uint64_t b)
{
    const size_t n = strlen(w->dir);
    char line[512];
    int length = snprintf(line, sizeof line, "%s %s %" PRIu64 " %" PRIu64 "\n", what,
        strncmp(path, w->dir, n) == 0 ? path + n : path, a, b);
    const char *file = getenv("WEIR_SIM_TRACE"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    for (int i = 0; i < length && i < (int)sizeof line; i++)
        w->trace = (w->trace ^ (uint8_t)line[i]) * UINT64_C(0x100000001b3);
    if (file != NULL) {
        FILE *out = fopen(file, "ae");

        MUST(out != NULL && fputs(line, out) >= 0 && fclose(out) == 0);
    }
}

int engine_apart(struct engine_world *w, void (*fn)(struct engine_world *w, const void *arg), const void *arg)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL); /* or the child might print it once more */
    pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        (void)alarm(300); /* what hangs is a finding, not a test that never ends */
        fn(w, arg);
        _exit(0);
    }
    MUST(waitpid(pid, &status, 0) == pid);
    return status;
}

/* --- the world -----------------------------------------------------------------------------------------------------
 */

struct engine_world *engine_world_new(uint64_t seed)
{
    struct engine_world *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    MUST(w != MAP_FAILED);
    w->seed = w->random = seed;
    w->turns = (struct turns){.order = seed ^ UINT64_C(0x6f72646572), .noise = seed ^ UINT64_C(0x6e6f697365)};
    atomic_init(&w->clock.wall_ms, BEGIN_S * INT64_C(1000) + (int64_t)engine_pick(w, 7 * ENGINE_DAY));
    store_wait_scratch(w->dir);
    MUST(snprintf(w->live, sizeof w->live, "%s/live", w->dir) < ENGINE_PATH_SIZE);
    MUST(snprintf(w->root, sizeof w->root, "%s/replica", w->live) < ENGINE_PATH_SIZE);
    return w;
}

void engine_world_free(struct engine_world *w)
{
    sql_child_stop(&w->app);
    store_wait_unscratch(w->dir);
    MUST(munmap(w, sizeof *w) == 0);
}

/* --- the model -----------------------------------------------------------------------------------------------------
 */

uint64_t engine_app_mix(uint64_t id, uint64_t value, uint64_t size)
{
    uint64_t state = id * 0x9e3779b97f4a7c15u ^ value ^ size << 40;

    return check_random(&state);
}

static uint64_t digest(const struct engine_world *w)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < ENGINE_ROWS; i++)
        if (w->rows[i].there)
            sum += engine_app_mix(i, w->rows[i].value, w->rows[i].size);
    return sum;
}

static void run(struct engine_world *w, const char *sql)
{
    if (sql_child_sql(&w->app, 0, "%s", sql) != 0)
        engine_wrong(w, "the application's %.200s: %.200s", sql, w->app.answer);
}

void engine_app_name_next(struct engine_world *w)
{
    MUST(snprintf(w->db, sizeof w->db, "%s/%u.db", w->live, w->databases++) < ENGINE_PATH_SIZE);
}

void engine_app_create(struct engine_world *w)
{
    char sql[200];

    MUST(mkdir(w->live, 0755) == 0);
    engine_app_name_next(w);
    sql_child_start(&w->app);
    MUST(sql_child_open(&w->app, 0, w->db) == 0);
    (void)snprintf(sql, sizeof sql, "PRAGMA page_size=%u; PRAGMA auto_vacuum=%u; PRAGMA journal_mode=WAL", w->page_size,
        (unsigned)engine_pick(w, 3));
    run(w, sql);
    run(w, "PRAGMA synchronous=OFF; CREATE TABLE meta(n INTEGER); INSERT INTO meta VALUES(0); "
           "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER, pad BLOB)");
}

void engine_app_open(struct engine_world *w)
{
    MUST(sql_child_open(&w->app, 0, w->db) == 0);
    run(w, "PRAGMA synchronous=OFF");
}

void engine_app_close(struct engine_world *w)
{
    MUST(sql_child_close(&w->app, 0) == 0);
}

/* One row; returns the length of the SQL for it. */
static int change(struct engine_world *w, char *sql, size_t room)
{
    const uint64_t id = engine_pick(w, ENGINE_ROWS);
    struct engine_row *row = &w->rows[id];

    if (engine_pick(w, 6) == 0) {
        row->there = false;
        return snprintf(sql, room, "DELETE FROM t WHERE id=%" PRIu64 ";", id);
    }
    *row = (struct engine_row){check_random(&w->random) >> 2, (unsigned)engine_pick(w, 1500), true};
    return snprintf(
        sql, room, "REPLACE INTO t VALUES(%" PRIu64 ",%" PRIu64 ",zeroblob(%u));", id, row->value, row->size);
}

/* The next state of the model, and the SQL that leads there. */
static void plan_commit(struct engine_world *w, char *sql, size_t room)
{
    int n = snprintf(sql, room, "BEGIN IMMEDIATE;");

    MUST(w->number + 1 < ENGINE_COMMITS_MAX);
    if (engine_pick(w, 60) == 0) {
        memset(w->rows, 0, sizeof w->rows);
        n += snprintf(sql + n, room - (size_t)n, "DELETE FROM t;");
    }
    for (uint64_t left = 1 + engine_pick(w, 6); left > 0; left--)
        n += change(w, sql + n, room - (size_t)n);
    w->number++;
    n += snprintf(sql + n, room - (size_t)n, "UPDATE meta SET n=%" PRIu64 "; COMMIT", w->number);
    MUST((size_t)n < room);
    w->digests[w->number] = digest(w);
    engine_trace(w, "commit", "", w->number, w->digests[w->number]);
}

void engine_app_commit(struct engine_world *w)
{
    char sql[1024];

    plan_commit(w, sql, sizeof sql);
    run(w, sql);
}

bool engine_app_try_commit(struct engine_world *w)
{
    struct engine_row before[ENGINE_ROWS];
    char sql[1024];
    int code;

    memcpy(before, w->rows, sizeof before);
    run(w, "PRAGMA busy_timeout=0");
    plan_commit(w, sql, sizeof sql);
    code = sql_child_sql(&w->app, 0, "%s", sql);
    engine_trace(w, "tried", "", w->number, (uint64_t)code);
    if (code == SQLITE_OK)
        return true;
    if ((code & 0xff) != SQLITE_BUSY)
        engine_wrong(w, "the application's %.200s: %.200s", sql, w->app.answer);
    memcpy(w->rows, before, sizeof before);
    w->number--;
    return false;
}

bool engine_app_odd(struct engine_world *w, uint64_t what)
{
    static const char *const things[] = {"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA incremental_vacuum", "PRAGMA user_version=7", "PRAGMA wal_checkpoint(RESTART)"};
    int code;

    /* Nobody goes on while it waits, so it does not. */
    run(w, "PRAGMA busy_timeout=0");
    code = sql_child_sql(&w->app, 0, "%s", things[what % (sizeof things / sizeof things[0])]);
    engine_trace(w, "odd", "", what, (uint64_t)code);
    if ((code & 0xff) == SQLITE_BUSY || (code == SQLITE_OK && strncmp(w->app.answer, "1|", 2) == 0))
        return false;
    if (code != SQLITE_OK)
        engine_wrong(w, "the application: %.200s", w->app.answer);
    return true;
}

void engine_app_adopt(struct engine_world *w)
{
    uint64_t number;
    char *at;

    run(w, "SELECT n FROM meta");
    number = strtoull(w->app.answer, NULL, 10);
    run(w, "SELECT id, v, length(pad) FROM t");
    memset(w->rows, 0, sizeof w->rows);
    for (at = w->app.answer; *at >= '0' && *at <= '9'; at++) { /* "id|value|size\n" */
        uint64_t id = strtoull(at, &at, 10);
        struct engine_row *row = &w->rows[id % ENGINE_ROWS];

        row->value = strtoull(at + 1, &at, 10);
        row->size = (unsigned)strtoul(at + 1, &at, 10);
        row->there = true;
    }
    if (number > w->number || digest(w) != w->digests[number])
        engine_wrong(w, "what was restored to go on with is not commit %" PRIu64 " of the application", number);
}

/* Answers that nobody waited for any more come first; and the last commit may not have been begun. */
void engine_app_resume(struct engine_world *w)
{
    char ping[64];

    (void)snprintf(ping, sizeof ping, "SELECT 'ping %" PRIu64 "'", ++w->pings);
    sql_child_send(&w->app, 0, ping);
    (void)snprintf(ping, sizeof ping, "ping %" PRIu64 "\n", w->pings);
    do
        (void)sql_child_wait(&w->app);
    while (strcmp(w->app.answer, ping) != 0);
    engine_app_adopt(w);
}
