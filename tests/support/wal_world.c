/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_world.h"

#include "check.h"
#include "clock.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- files ----------------------------------------------------------------------------------------------------- */

uint64_t wal_world_file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint8_t *wal_world_file_read(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *data;

    assert_true(fd >= 0);
    *size = (size_t)wal_world_file_size(path);
    data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, *size), *size);
    (void)close(fd);
    return data;
}

void wal_world_file_write(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    (void)close(fd);
}

void wal_world_file_patch(const char *path, uint64_t offset, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, (off_t)offset), size);
    (void)close(fd);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st;
    (void)what;
    (void)at;
    return remove(path);
}

/* --- begin and end --------------------------------------------------------------------------------------------- */

void wal_world_begin(struct wal_world *w, uint32_t page_size)
{
    *w = (struct wal_world){.dir = "/tmp/weir-world-XXXXXX", .page_size = page_size};
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/app.db", w->dir);
    (void)snprintf(w->wal_path, sizeof w->wal_path, "%s-wal", w->path);
    sql_child_start(&w->app);
    assert_int_equal(sql_child_open(&w->app, 0, w->path), 0);
    assert_int_equal(sql_child_sql(&w->app, 0,
                         "PRAGMA page_size=%u; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA "
                         "wal_autocheckpoint=0;"
                         "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t(a)",
                         page_size),
        0);
}

void wal_world_connect(struct wal_world *w)
{
    enum wal_conn_outcome outcome;
    struct err err;

    assert_ok_err(wal_conn_open(&w->conn, &fsys_real, w->path, false, &outcome, &err), &err);
    assert_int_equal(outcome, WAL_CONN_OPENED);
    assert_ok_err(wal_gate_close(w->conn, &err), &err);
}

void wal_world_detach(struct wal_world *w)
{
    wal_reader_close(w->reader);
    w->reader = NULL;
    if (w->conn != NULL && w->conn->gate_held)
        wal_gate_open(w->conn);
    wal_conn_close(w->conn);
    w->conn = NULL;
    w->inside = false;
}

void wal_world_end(struct wal_world *w)
{
    wal_world_detach(w);
    sql_child_stop(&w->app);
    free(w->pages);
    (void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* a leftover in /tmp is no failure of a test */
}

void wal_world_attach(struct wal_world *w)
{
    const struct wal_resume start = {.how = WAL_RESUME_COMPARE};
    struct err err;

    wal_world_connect(w);
    assert_ok_err(wal_reader_open(&w->reader, w->conn, &start, &err), &err);
    assert_int_equal(wal_world_drain(w), WAL_READER_QUIET);
    w->commits = w->frames = 0;
    wal_world_adopt(w);
    w->pos = *wal_reader_pos(w->reader);
}

struct wal_resume wal_world_resume(struct wal_world *w)
{
    struct wal_resume how;
    struct err err;

    wal_world_connect(w);
    assert_ok_err(wal_resume_decide(w->conn, &w->pos, &how, &err), &err);
    if (how.how != WAL_RESUME_COMPARE)
        assert_ok_err(wal_reader_open(&w->reader, w->conn, &how, &err), &err);
    return how;
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

static void reserve(struct wal_world *w, uint32_t count)
{
    if (count <= w->room)
        return;
    w->room = count * 2;
    w->pages = realloc(w->pages, (size_t)w->room * w->page_size);
    assert_non_null(w->pages);
}

static uint8_t *model_page(struct wal_world *w, uint32_t pgno)
{
    reserve(w, pgno);
    return w->pages + (size_t)(pgno - 1) * w->page_size;
}

bool wal_world_take(struct wal_world *w)
{
    struct wal_reader_batch batch;
    struct err err;

    assert_ok_err(wal_reader_next(w->reader, &batch, &err), &err);
    if (batch.count > w->biggest_batch)
        w->biggest_batch = batch.count;
    w->split_commits += w->inside && batch.count > 0;
    for (uint32_t i = 0; i < batch.count; i++) {
        const struct wal_reader_frame *f = &batch.frames[i];

        w->frames++;
        w->inside = true;
        if (!f->superseded)
            memcpy(model_page(w, f->pgno), f->page, w->page_size);
        if (f->commit_page_count == 0)
            continue;
        reserve(w, f->commit_page_count);
        w->page_count = f->commit_page_count;
        w->pos = f->pos;
        w->commits++;
        w->inside = false;
    }
    return batch.count > 0;
}

enum wal_reader_state wal_world_drain(struct wal_world *w)
{
    for (int later = 0; later < 300000;) {
        enum wal_reader_state state;
        struct err err;

        assert_ok_err(wal_reader_refresh(w->reader, &state, &err), &err);
        if (state == WAL_READER_MORE) {
            while (wal_world_take(w)) {
            }
            continue;
        }
        if (state != WAL_READER_LATER)
            return state;
        later++;
        (void)usleep(1000);
    }
    fail_msg("the index stayed unreadable");
    return WAL_READER_LATER;
}

static uint8_t *source_image(struct wal_world *w, sqlite3_int64 *size)
{
    uint8_t *image = sqlite3_serialize(w->conn->back, "main", size, 0);

    assert_non_null(image);
    return image;
}

void wal_world_check(struct wal_world *w)
{
    sqlite3_int64 size;
    uint8_t *image = source_image(w, &size);

    assert_false(w->inside);
    assert_int_equal(w->page_count, size / w->page_size);
    for (uint32_t p = 1; p <= w->page_count; p++) {
        if (memcmp(model_page(w, p), image + (size_t)(p - 1) * w->page_size, w->page_size) != 0)
            fail_msg("page %u differs from the source", p);
    }
    sqlite3_free(image);
}

void wal_world_adopt(struct wal_world *w)
{
    sqlite3_int64 size;
    uint8_t *image = source_image(w, &size);

    w->page_count = (uint32_t)(size / w->page_size);
    reserve(w, w->page_count);
    memcpy(w->pages, image, (size_t)size);
    sqlite3_free(image);
}

/* --- an application ------------------------------------------------------------------------------------------------
 */

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int change(sqlite3 *db, uint64_t *seed, unsigned rows)
{
    char sql[400];
    unsigned r = (unsigned)(check_random(seed) % 1000);

    switch (check_random(seed) % 4) {
    case 0:
    case 1:
        (void)snprintf(sql, sizeof sql,
            "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < %u) "
            "INSERT INTO t(a, b) SELECT abs(random()) %% 1000, randomblob(%u) FROM c",
            rows, r);
        break;
    case 2:
        (void)snprintf(sql, sizeof sql, "UPDATE t SET b = randomblob(%u), a = a + 1 WHERE id %% %u = %u", r,
            2000 / rows + 3, r % 7);
        break;
    default:
        (void)snprintf(sql, sizeof sql, "DELETE FROM t WHERE id %% %u = %u", 1000 / rows + 5, r % 11);
        break;
    }
    return run(db, sql);
}

static int transaction(sqlite3 *db, uint64_t *seed)
{
    unsigned kind = (unsigned)(check_random(seed) % 16), rows = kind == 0 ? 400 : 1 + kind;
    int rc = run(db, "BEGIN IMMEDIATE");

    if (rc == SQLITE_OK)
        rc = change(db, seed, rows);
    if (rc == SQLITE_OK && kind % 3 == 1) {
        rc = run(db, "SAVEPOINT s");
        if (rc == SQLITE_OK)
            rc = change(db, seed, rows);
        if (rc == SQLITE_OK)
            rc = run(db, kind % 2 == 0 ? "ROLLBACK TO s; RELEASE s" : "RELEASE s");
    }
    if (rc == SQLITE_OK)
        rc = run(db, kind == 5 ? "ROLLBACK" : "COMMIT");
    if (rc != SQLITE_OK)
        (void)run(db, "ROLLBACK"); /* there may be none to roll back */
    return rc;
}

int wal_world_random(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    int rc = SQLITE_OK;

    while (b-- > 0 && rc == SQLITE_OK)
        rc = transaction(conns[0], &a);
    return rc;
}

int wal_world_busy(struct sqlite3 **conns, uint64_t a, uint64_t b)
{
    uint64_t until = clock_mono_ms(&clock_real) + b;
    int rc = SQLITE_OK;

    while (clock_mono_ms(&clock_real) < until && rc == SQLITE_OK)
        rc = transaction(conns[0], &a);
    return rc;
}
