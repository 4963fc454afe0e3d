/* SPDX-License-Identifier: Apache-2.0 */
/* The load does all that it says, copies are exact, and a comparison finds every difference. */
#include "check.h"

#include "alloc.h"
#include "selftest_app.h"
#include "selftest_place.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char root[64], db[80], copy[80];
    struct selftest_app *app;
};

static void begin(struct world *w)
{
    struct err err;

    (void)snprintf(w->root, sizeof w->root, "/tmp/test_selftest_app.XXXXXX");
    assert_non_null(mkdtemp(w->root));
    (void)snprintf(w->db, sizeof w->db, "%s/app.db", w->root);
    (void)snprintf(w->copy, sizeof w->copy, "%s/copy.db", w->root);
    assert_ok_err(selftest_app_open(&w->app, w->db, &err), &err);
}

static void end(struct world *w)
{
    struct err err;

    selftest_app_close(w->app);
    assert_ok_err(selftest_place_remove_folder(&fsys_real, w->root, "/tmp", &err), &err);
}

static void commit(struct world *w, int count)
{
    struct err err;

    for (int i = 0; i < count; i++)
        assert_ok_err(selftest_app_commit(w->app, &err), &err);
}

static int64_t ask(const char *path, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;
    int64_t answer;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    answer = sqlite3_column_int64(stmt, 0);
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return answer;
}

/* Rows come, stay and go; tables too; rows of several pages are among them. */
static void test_load(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    commit(&w, 97);
    assert_int_equal(selftest_app_commits(w.app), 97);
    assert_int_equal(ask(w.db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'extra%'"), 1);
    commit(&w, 600);
    assert_true(selftest_app_rows(w.app) > 600);
    assert_true(ask(w.db, "SELECT count(*) FROM item") > 400);
    assert_true(ask(w.db, "SELECT max(id) - count(*) FROM item") > 0);
    assert_true(ask(w.db, "SELECT max(length(body)) FROM item") > 4096);
    assert_int_equal(ask(w.db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    end(&w);
}

static off_t log_size(const struct world *w)
{
    char path[96];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s-wal", w->db);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* What it does is up to chance, but a commit it is: also the first, with a table that nothing was put into so far. */
static void test_first(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct world w;
        off_t before;

        begin(&w);
        before = log_size(&w);
        commit(&w, 1);
        assert_true(log_size(&w) > before);
        end(&w);
    }
}

/* A copy has what is in the log alone, too, and nothing of later commits. */
static void test_copy(void **state)
{
    uint64_t size = 0;
    struct world w;
    struct err err;
    int64_t rows;

    (void)state;
    begin(&w);
    commit(&w, 50);
    rows = ask(w.db, "SELECT count(*) FROM item");
    assert_ok_err(selftest_app_copy(w.app, &fsys_real, w.copy, &size, &err), &err);
    commit(&w, 50);
    assert_int_equal(ask(w.db, "PRAGMA page_size") * ask(w.copy, "PRAGMA page_count"), (int64_t)size);
    assert_int_equal(ask(w.copy, "SELECT count(*) FROM item"), rows);
    end(&w);
}

static void put(const char *path, const char *text)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, text, strlen(text), 0600, &err), &err);
}

static void test_compare(void **state)
{
    static const char *const others[][2] = {
        {"abcdex", "the byte at 5 is 0x78, not 0x66"},
        {"xbcdef", "the byte at 0 is 0x78, not 0x61"},
        {"abcde", "it has 5 bytes, not 6"},
        {"abcdefg", "it has 7 bytes, not 6"},
        {"", "it has 0 bytes, not 6"},
    };
    char other[96];
    struct world w;
    struct err err;

    (void)state;
    begin(&w);
    (void)snprintf(other, sizeof other, "%s/other", w.root);
    put(w.copy, "abcdef");
    put(other, "abcdef");
    assert_ok_err(selftest_app_compare(&fsys_real, w.copy, other, &err), &err);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put(other, others[i][0]);
        assert_fails(selftest_app_compare(&fsys_real, w.copy, other, &err), E_CORRUPT);
        assert_non_null(strstr(err.msg, others[i][1]));
    }
    assert_int_equal(unlink(other), 0);
    assert_fails(selftest_app_compare(&fsys_real, w.copy, other, &err), E_NOTFOUND);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
