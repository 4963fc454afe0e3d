/* SPDX-License-Identifier: Apache-2.0 */
/* The map against SQLite's own: after every commit of random databases each page has the owner that dbstat names. */
#include "check.h"

#include "alloc.h"
#include "btree_map.h"
#include "buf.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char path[64];
    sqlite3 *db;
    uint32_t page_size;
    uint8_t *image; /* owned: the file as it is */
    uint32_t page_count;
    struct btree_map *map;
    uint64_t random;
    uint64_t reads, pages; /* over all updates: read by the map, in the files */
};

/* --- the file ------------------------------------------------------------------------------------------------------
 */

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct world *w = ctx;

    (void)err;
    assert_in_range(pgno, 1, w->page_count);
    memcpy(page, w->image + (size_t)(pgno - 1) * w->page_size, w->page_size);
    return RC_OK;
}

static uint8_t *load(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *bytes;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *size), (ssize_t)*size);
    (void)close(fd);
    return bytes;
}

static struct bitmap *difference(const struct world *w, const uint8_t *image, uint32_t count)
{
    struct bitmap *changed = bitmap_new();
    struct err err;

    for (uint32_t i = 0; i < count; i++)
        if (i >= w->page_count
            || memcmp(w->image + (size_t)i * w->page_size, image + (size_t)i * w->page_size, w->page_size) != 0)
            assert_ok(bitmap_add(changed, i + 1, &err));
    return changed;
}

static void sql(struct world *w, const char *text)
{
    char *message = NULL;

    if (sqlite3_exec(w->db, text, NULL, NULL, &message) != SQLITE_OK) {
        print_error("%s: %s\n", text, message);
        fail();
    }
}

/* The pragma takes effect with the first page: so the file is made in one statement. */
static void open_world(struct world *w, uint32_t page_size, const char *first)
{
    char pragma[64];
    int fd;

    *w = (struct world){.page_size = page_size, .random = page_size};
    (void)snprintf(w->path, sizeof w->path, "/tmp/weir-map-XXXXXX");
    fd = mkstemp(w->path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(sqlite3_open(w->path, &w->db), SQLITE_OK);
    (void)snprintf(pragma, sizeof pragma, "PRAGMA page_size=%u", page_size);
    sql(w, pragma);
    sql(w, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA secure_delete=OFF");
    sql(w, first);
    w->map = btree_map_new();
}

static void close_world(struct world *w)
{
    assert_int_equal(sqlite3_close(w->db), SQLITE_OK);
    (void)unlink(w->path);
    btree_map_free(w->map);
    free(w->image);
}

/* --- comparing -----------------------------------------------------------------------------------------------------
 */

/* Every page that dbstat knows has the owner it says; the others are free, pointer maps, or the lock page. */
static void compare_with_dbstat(struct world *w, const struct btree_map *m)
{
    sqlite3_stmt *s;
    bool *known = calloc((size_t)w->page_count + 1, sizeof *known);
    uint32_t free_pages = 0, wanted_free;

    assert_non_null(known);
    assert_int_equal(sqlite3_prepare_v2(w->db, "SELECT pageno, name FROM dbstat", -1, &s, NULL), SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        uint32_t pgno = (uint32_t)sqlite3_column_int64(s, 0);
        const char *name = (const char *)sqlite3_column_text(s, 1);

        name = strncmp(name, "sqlite_schema", 13) == 0 || strcmp(name, "sqlite_master") == 0 ? "schema" : name;
        assert_in_range(pgno, 1, w->page_count);
        known[pgno] = true;
        assert_string_equal(btree_map_owner(m, pgno, NULL), name);
    }
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    for (uint32_t pgno = 1; pgno <= w->page_count; pgno++) {
        enum btree_map_kind kind;

        (void)btree_map_owner(m, pgno, &kind);
        if (!known[pgno]) {
            assert_true(kind == BTREE_MAP_FREE || kind == BTREE_MAP_POINTERS);
            free_pages += kind == BTREE_MAP_FREE;
        }
    }
    assert_int_equal(sqlite3_prepare_v2(w->db, "PRAGMA freelist_count", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    wanted_free = (uint32_t)sqlite3_column_int64(s, 0);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(free_pages, wanted_free);
    free(known);
}

static void compare_with_fresh(struct world *w)
{
    struct btree_map *fresh = btree_map_new();
    struct btree_map_source source = {on_read, w};
    struct err err;

    assert_ok_err(btree_map_update(fresh, &source, w->page_size, w->page_count, NULL, &err), &err);
    for (uint32_t pgno = 1; pgno <= w->page_count; pgno++)
        assert_string_equal(btree_map_owner(w->map, pgno, NULL), btree_map_owner(fresh, pgno, NULL));
    btree_map_free(fresh);
}

/* A commit has happened. */
static void follow(struct world *w)
{
    struct btree_map_source source = {on_read, w};
    struct bitmap *changed;
    uint8_t *image;
    const char *damage;
    size_t size;
    bool first = w->image == NULL;
    struct err err;

    image = load(w->path, &size);
    changed = difference(w, image, (uint32_t)(size / w->page_size));
    free(w->image);
    w->image = image;
    w->page_count = (uint32_t)(size / w->page_size);
    assert_ok_err(btree_map_update(w->map, &source, w->page_size, w->page_count, first ? NULL : changed, &err), &err);
    if (btree_map_damage(w->map, &damage) != 0)
        print_error("%s\n", damage);
    assert_int_equal(btree_map_damage(w->map, &damage), 0);
    compare_with_dbstat(w, w->map);
    if (!first) {
        w->reads += btree_map_read_count(w->map);
        w->pages += w->page_count;
    }
    bitmap_free(changed);
}

/* "users* users_by_name sqlite_autoindex_users_1 ..." with + for created and - for dropped. */
static const char *touched(const struct world *w, char *out, size_t size)
{
    size_t count, used = 0;
    const struct btree_map_touch *t = btree_map_touches(w->map, &count);

    out[0] = 0;
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s%s%s", used > 0 ? ", " : "", t[i].name,
            t[i].created ? "+" : "", t[i].dropped ? "-" : "", t[i].former_name != NULL ? "=" : "",
            t[i].former_name != NULL ? t[i].former_name : "");
    return out;
}

static void after(struct world *w, const char *text, const char *want)
{
    char out[1024];

    sql(w, text);
    follow(w);
    compare_with_fresh(w);
    if (strcmp(touched(w, out, sizeof out), want) != 0)
        print_error("after %s\n", text);
    assert_string_equal(out, want);
}

/* --- what is touched -----------------------------------------------------------------------------------------------
 */

static void test_touches(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 4096, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE, mail TEXT)");
    follow(&w);
    after(&w, "CREATE INDEX by_mail ON users(mail)", "by_mail+, schema");
    after(&w, "CREATE TABLE notes(text)", "notes+, schema");
    after(&w, "INSERT INTO users VALUES(1,'a','m')", "users, by_mail, sqlite_autoindex_users_1, file header");
    after(&w, "UPDATE users SET mail='n'", "users, by_mail, file header");
    after(&w, "INSERT INTO notes VALUES(zeroblob(20000))", "notes, file header");
    after(&w, "DELETE FROM notes", "notes, free pages, file header");
    after(&w, "PRAGMA user_version=7", "file header");
    after(&w, "CREATE VIEW v AS SELECT 1", "schema");
    after(&w, "ALTER TABLE notes RENAME TO remarks", "remarks=notes, schema");
    after(&w, "INSERT INTO remarks VALUES('x')", "remarks, file header");
    after(&w, "CREATE TABLE k(a PRIMARY KEY, b) WITHOUT ROWID", "k+, schema, free pages");
    after(&w, "INSERT INTO k VALUES(1,2)", "k, file header");
    after(&w, "DROP TABLE remarks", "remarks-, schema, free pages");
    after(&w, "DROP INDEX by_mail", "by_mail-, schema, free pages");
    after(&w, "CREATE VIRTUAL TABLE docs USING fts5(body)",
        "docs_config+, docs_content+, docs_data+, docs_docsize+, docs_idx+, schema, free pages");
    after(&w, "INSERT INTO docs VALUES('hello')", "docs_content, docs_data, docs_docsize, docs_idx, file header");
    close_world(&w);
}

/* "docs_data:docs" for each that keeps the content of a virtual table. */
static void virtual_after(struct world *w, const char *text, const char *want)
{
    const struct btree_map_touch *t;
    char out[1024] = "";
    size_t count, used = 0;

    sql(w, text);
    follow(w);
    t = btree_map_touches(w->map, &count);
    for (size_t i = 0; i < count; i++)
        if (t[i].virtual_table != NULL)
            used += (size_t)snprintf(
                out + used, sizeof out - used, "%s%s:%s", used > 0 ? " " : "", t[i].name, t[i].virtual_table);
    if (strcmp(out, want) != 0)
        print_error("after %s\n", text);
    assert_string_equal(out, want);
}

static void test_virtual(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 4096, "CREATE TABLE notes(text); CREATE TABLE docs_(x); CREATE TABLE doc(x)");
    sql(&w, "CREATE VIRTUAL TABLE Docs USING fts5(body); CREATE VIRTUAL TABLE docs_b USING fts5(body, detail=none)");
    follow(&w);
    virtual_after(
        &w, "INSERT INTO docs VALUES('hello')", "Docs_content:Docs Docs_data:Docs Docs_docsize:Docs Docs_idx:Docs");
    virtual_after(&w, "INSERT INTO docs_b VALUES('a')",
        "docs_b_content:docs_b docs_b_data:docs_b docs_b_docsize:docs_b docs_b_idx:docs_b");
    virtual_after(&w, "INSERT INTO notes VALUES(1); INSERT INTO doc VALUES(1)", "");
    virtual_after(&w, "CREATE VIRTUAL TABLE box USING rtree(id, a, b)", "box_node:box box_parent:box box_rowid:box");
    virtual_after(&w, "CREATE VIEW no AS SELECT 1; CREATE TABLE no_table(x); INSERT INTO no_table VALUES(1)", "");
    virtual_after(
        &w, "DROP TABLE docs", "Docs_config:Docs Docs_content:Docs Docs_data:Docs Docs_docsize:Docs Docs_idx:Docs");
    close_world(&w);
}

static void test_utf16(void **state)
{
    static const char *const encodings[] = {"PRAGMA encoding='UTF-16le'", "PRAGMA encoding='UTF-16be'"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;

        open_world(&w, 1024, encodings[i]);
        sql(&w, "CREATE TABLE \"größe 😀\"(x)");
        follow(&w);
        after(&w, "INSERT INTO \"größe 😀\" VALUES(1)", "größe 😀, file header");
        close_world(&w);
    }
}

/* A name that does not fit the page, with its root page behind it. */
static void test_long_names(void **state)
{
    struct world w;
    char *text = mem_printf("CREATE TABLE t%0*d(x)", 5000, 1), name[64];

    (void)state;
    open_world(&w, 512, "CREATE TABLE a(x)");
    follow(&w);
    sql(&w, text);
    follow(&w);
    (void)snprintf(name, sizeof name, "t%020d", 0);
    assert_int_equal(strncmp(btree_map_owner(w.map, w.page_count, NULL), "schema", 6) == 0
                         || strncmp(btree_map_owner(w.map, w.page_count, NULL), name, 20) == 0,
        1);
    mem_free(text);
    close_world(&w);
}

/* --- random databases ----------------------------------------------------------------------------------------------
 */

static uint64_t pick(struct world *w, uint64_t n)
{
    return check_random(&w->random) % n;
}

static char *statement(struct world *w, const char *vacuum)
{
    unsigned t = (unsigned)pick(w, 6), n = 1 + (unsigned)pick(w, 60), size = (unsigned)pick(w, 4 * w->page_size);

    switch (pick(w, 16)) {
    case 0:
        return mem_printf("CREATE TABLE IF NOT EXISTS t%u(k INTEGER PRIMARY KEY, a, b UNIQUE, c)", t);
    case 1:
        return mem_printf("CREATE TABLE IF NOT EXISTS t%u(k, a, b UNIQUE, c, PRIMARY KEY(k, a)) WITHOUT ROWID", t);
    case 2:
        return mem_printf("CREATE INDEX IF NOT EXISTS i%u ON t%u(a, c)", (unsigned)pick(w, 9), t);
    case 3:
        return mem_printf("DROP TABLE IF EXISTS t%u", t);
    case 4:
        return mem_printf("DROP INDEX IF EXISTS i%u", (unsigned)pick(w, 9));
    case 5:
        return mem_printf("DELETE FROM t%u", t);
    case 6:
        return mem_printf("DELETE FROM t%u WHERE k %% %u = 0", t, 1 + (unsigned)pick(w, 5));
    case 7:
        return mem_strdup(vacuum);
    case 8:
        return mem_printf("UPDATE t%u SET a=randomblob(%u) WHERE k %% 7 = %u", t, size, (unsigned)pick(w, 7));
    case 9:
        return mem_printf("BEGIN; DROP TABLE IF EXISTS t%u; CREATE TABLE t%u(k INTEGER PRIMARY KEY, a, b, c); INSERT "
                          "INTO t%u VALUES(1, randomblob(%u), 2, 3); COMMIT",
            t, t, t, size);
    case 10:
        return mem_printf("ALTER TABLE t%u RENAME TO t%u", t, (unsigned)pick(w, 6));
    default:
        return mem_printf("INSERT OR REPLACE INTO t%u WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
                          "WHERE i<%u) SELECT abs(random()) %% 100000, randomblob(%u), randomblob(20), hex(i) FROM n",
            t, n, size / (1 + (unsigned)pick(w, 40)));
    }
}

static void walk(uint32_t page_size, const char *first, const char *vacuum, int commits)
{
    struct world w;

    open_world(&w, page_size, first);
    sql(&w, "CREATE TABLE t0(k INTEGER PRIMARY KEY, a, b UNIQUE, c)");
    follow(&w);
    for (int i = 0; i < commits; i++) {
        char *text = statement(&w, vacuum);

        (void)sqlite3_exec(w.db, text, NULL, NULL, NULL); /* no such table, say: then nothing has changed */
        mem_free(text);
        if (!sqlite3_get_autocommit(w.db))
            sql(&w, "ROLLBACK");
        follow(&w);
        if (i % 8 == 0)
            compare_with_fresh(&w);
    }
    assert_true(w.page_count > 5);
    assert_true(w.reads * 3 < w.pages * 2); /* far from all was read again, although every sixteenth is a VACUUM */
    close_world(&w);
}

static void test_random(void **state)
{
    (void)state;
    walk(512, "PRAGMA auto_vacuum=NONE", "VACUUM", 600);
    walk(4096, "PRAGMA auto_vacuum=NONE", "VACUUM", 250);
    walk(65536, "PRAGMA auto_vacuum=NONE", "VACUUM", 60);
}

static void test_auto_vacuum(void **state)
{
    (void)state;
    walk(512, "PRAGMA auto_vacuum=FULL", "VACUUM", 600);
    walk(1024, "PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA incremental_vacuum(5)", 400);
    walk(65536, "PRAGMA auto_vacuum=FULL", "VACUUM", 60);
}

/* --- hostile and unreadable pages ----------------------------------------------------------------------------------
 */

static void test_garbage(void **state)
{
    struct world w = {.page_size = 1024, .page_count = 40, .random = 5};
    struct btree_map_source source = {on_read, &w};
    struct bitmap *changed = bitmap_new();
    enum btree_map_kind kind;
    const char *first;
    size_t count;
    struct err err;

    (void)state;
    w.image = malloc((size_t)w.page_size * w.page_count);
    assert_non_null(w.image);
    for (size_t i = 0; i < (size_t)w.page_size * w.page_count; i++)
        w.image[i] = (uint8_t)check_random(&w.random);
    w.map = btree_map_new();
    assert_ok(btree_map_update(w.map, &source, w.page_size, w.page_count, NULL, &err));
    assert_int_equal(btree_map_damage(w.map, &first), 1);
    assert_string_equal(first, "page 1 is not that of a SQLite database");
    assert_string_equal(btree_map_owner(w.map, 7, &kind), "unknown pages");
    assert_int_equal(kind, BTREE_MAP_UNKNOWN);
    assert_ok(bitmap_add(changed, 3, &err));
    assert_ok(bitmap_add(changed, 41, &err)); /* beyond the end */
    assert_ok(btree_map_update(w.map, &source, w.page_size, w.page_count, changed, &err));
    assert_int_equal(btree_map_touches(w.map, &count)[0].page_count, 1);
    assert_int_equal(count, 1);
    assert_ok(btree_map_update(w.map, &source, w.page_size, 0, NULL, &err));
    (void)btree_map_touches(w.map, &count);
    assert_int_equal(count, 0);
    bitmap_free(changed);
    btree_map_free(w.map);
    free(w.image);
}

/* Pages of a good database, some of their bytes changed: never more reads than a few for each page. */
static void test_hostile(void **state)
{
    struct world w;
    struct btree_map_source source = {on_read, &w};
    uint64_t damaged = 0;
    uint8_t *good;
    struct err err;

    (void)state;
    open_world(&w, 512, "PRAGMA auto_vacuum=NONE");
    sql(&w, "CREATE TABLE t(a, b UNIQUE); CREATE INDEX i ON t(a); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION "
            "ALL SELECT i+1 FROM n WHERE i<300) SELECT randomblob(i*7), i FROM n; DELETE FROM t WHERE rowid % 3 = 0");
    follow(&w);
    good = malloc((size_t)w.page_size * w.page_count);
    assert_non_null(good);
    memcpy(good, w.image, (size_t)w.page_size * w.page_count);
    for (int round = 0; round < 3000; round++) {
        struct bitmap *changed = bitmap_new();
        const char *first;

        if (round % 20 == 0) { /* a good one again */
            bitmap_free(changed);
            changed = NULL;
            memcpy(w.image, good, (size_t)w.page_size * w.page_count);
            assert_ok_err(btree_map_update(w.map, &source, w.page_size, w.page_count, NULL, &err), &err);
            assert_int_equal(btree_map_damage(w.map, &first), 0);
            compare_with_dbstat(&w, w.map);
            continue;
        }
        for (uint64_t n = 1 + pick(&w, 6); n > 0; n--) {
            uint32_t pgno = 1 + (uint32_t)pick(&w, w.page_count);
            uint8_t *page = w.image + (size_t)(pgno - 1) * w.page_size;

            assert_ok(bitmap_add(changed, pgno, &err));
            if (pick(&w, 3) == 0 && pgno != 1)
                memcpy(page, w.image + (size_t)(1 + pick(&w, w.page_count - 1)) * w.page_size, w.page_size);
            else
                page[pgno == 1 ? 100 + pick(&w, 412) : pick(&w, 40)] = (uint8_t)pick(&w, 256);
        }
        assert_ok_err(btree_map_update(w.map, &source, w.page_size, w.page_count, changed, &err), &err);
        assert_true(btree_map_read_count(w.map) <= 3u * w.page_count + 1);
        damaged += btree_map_damage(w.map, &first) > 0;
        bitmap_free(changed);
    }
    assert_in_range(damaged, 600, 3000);
    free(good);
    close_world(&w);
}

static struct rc on_bad_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct world *w = ctx;

    if (w->random-- == 0)
        return rc_raise(err, E_IO, "no page %u", pgno);
    return on_read(ctx, pgno, page, err);
}

static void test_faults(void **state)
{
    struct world w;
    struct btree_map_source source = {on_bad_read, &w};
    struct err err;
    int n;

    (void)state;
    open_world(&w, 512, "CREATE TABLE t(a, b UNIQUE)");
    sql(&w, "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30) SELECT "
            "randomblob(i*30), i FROM n");
    follow(&w);
    for (n = 0;; n++) {
        struct btree_map *m = btree_map_new();
        struct rc rc;

        w.random = (uint64_t)n;
        rc = btree_map_update(m, &source, w.page_size, w.page_count, NULL, &err);
        btree_map_free(m);
        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_IO);
    }
    assert_in_range(n, w.page_count / 2, 3 * w.page_count);
    for (n = 1;; n++) {
        struct btree_map *m = btree_map_new();
        struct rc rc;

        w.random = UINT64_MAX;
        mem_fail_after(n, false);
        rc = btree_map_update(m, &source, w.page_size, w.page_count, NULL, &err);
        mem_fail_after(0, false);
        btree_map_free(m);
        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_NOMEM);
    }
    assert_in_range(n, 5, 60);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touches),
        cmocka_unit_test(test_virtual),
        cmocka_unit_test(test_utf16),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_auto_vacuum),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
