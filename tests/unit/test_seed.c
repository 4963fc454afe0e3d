/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"

#include "fault_fsys.h"
#include "folder_kit.h"

#include <errno.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char source[64], target[64], local[64], folder[64];

static void exec(const char *path, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int answer(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int value;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    value = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

static struct rc seed(const struct fsys *fs, struct err *err)
{
    return seed_run(&(struct seed){.fs = fs, .source = source, .path = target, .dir = local}, err);
}

static void program(const char *text)
{
    FILE *f;

    (void)unlink(source);
    f = fopen(source, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(source, 0755), 0);
}

/* Whatever fails, and whenever: no database, or a whole one; and the next try works. */
static void fail_everywhere(enum fault_mode mode)
{
    for (int n = 1;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;

        (void)unlink(target);
        fault_fsys_init(&f, mode, n, EIO);
        rc = seed(&f.fs, &err);
        assert_int_equal(f.open_fds, 0);
        if (access(target, F_OK) == 0)
            assert_int_equal(answer(target, "SELECT sum(x) FROM t"), 5050);
        else
            assert_true(rc_failed(rc));
        if (f.fired == 0) {
            assert_false(rc_failed(rc));
            assert_int_equal(access(folder, F_OK), -1);
            assert_true(n > 12);
            return;
        }
        (void)unlink(target);
        assert_ok_err(seed(&fsys_real, &err), &err);
        assert_int_equal(answer(target, "SELECT sum(x) FROM t"), 5050);
    }
}

static void make_source(void)
{
    (void)unlink(source);
    exec(source, "CREATE TABLE t(x); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) "
                 "INSERT INTO t SELECT n FROM c");
}

static void test_fails_once(void **state)
{
    (void)state;
    make_source();
    fail_everywhere(FAULT_ONCE);
}

static void test_fails_for_good(void **state)
{
    (void)state;
    make_source();
    fail_everywhere(FAULT_FOREVER);
}

static void test_never_over_a_file(void **state)
{
    struct err err;

    (void)state;
    make_source();
    (void)unlink(target);
    exec(target, "CREATE TABLE mine(x)");
    assert_fails(seed(&fsys_real, &err), E_EXISTS);
    assert_int_equal(answer(target, "SELECT count(*) FROM mine"), 0);
    assert_int_equal(access(folder, F_OK), -1);
}

static void test_program(void **state)
{
    struct err err;

    (void)state;
    (void)unlink(target);
    program("cp $(dirname $0)/other.db \"$1\"");
    assert_fails(seed(&fsys_real, &err), E_CONFIG);
    assert_non_null(strstr(err.msg, "ended with exit status 1"));
    assert_int_equal(access(target, F_OK), -1);
    (void)snprintf(source, sizeof source, "%s/other.db", dir);
    make_source();
    (void)snprintf(source, sizeof source, "%s/seed", dir);
    assert_ok_err(seed(&fsys_real, &err), &err);
    assert_int_equal(answer(target, "SELECT sum(x) FROM t"), 5050);
}

static void test_stopped(void **state)
{
    static const atomic_bool stop = true;
    const struct seed s = {.fs = &fsys_real, .source = source, .path = target, .dir = local, .stop = &stop};
    struct err err;

    (void)state;
    (void)unlink(target);
    program("exec sleep 1000");
    assert_fails(seed_run(&s, &err), E_CANCELED);
    make_source();
    assert_fails(seed_run(&s, &err), E_CANCELED);
    assert_int_equal(access(target, F_OK), -1);
    assert_int_equal(access(folder, F_OK), -1);
}

static int set_up(void **state)
{
    if (make_dir(state) != 0)
        return -1;
    (void)snprintf(source, sizeof source, "%s/seed", dir);
    (void)snprintf(target, sizeof target, "%s/app.db", dir);
    (void)snprintf(local, sizeof local, "%s/app.db-weir", dir);
    (void)snprintf(folder, sizeof folder, "%s/app.db-weir/seed", dir);
    return mkdir(local, 0700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fails_once),
        cmocka_unit_test(test_fails_for_good),
        cmocka_unit_test(test_never_over_a_file),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
