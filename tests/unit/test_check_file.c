/* SPDX-License-Identifier: Apache-2.0 */
/* Files of every kind, a made-up list of processes, and a disk that is as full as a test says. */
#include "check.h"

#include "alloc.h"
#include "check_file.h"
#include "config_table.h"
#include "store_wait.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[STORE_WAIT_PATH_SIZE], path[STORE_WAIT_PATH_SIZE + 16], proc[STORE_WAIT_PATH_SIZE + 16];
static struct fsys fs; /* the real one, but for its disk */
static uint64_t free_bytes;
static int change_errno;
static struct config_db db;
static struct check_report report;
static struct check_file found;
static struct err err;

static int told_space(const struct fsys *f, const char *folder, uint64_t *out)
{
    (void)f;
    assert_string_equal(folder, dir);
    *out = free_bytes;
    return 0;
}

static int told_may_change(const struct fsys *f, const char *folder)
{
    (void)f;
    (void)folder;
    errno = change_errno;
    return change_errno == 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    store_wait_scratch(dir);
    (void)snprintf(path, sizeof path, "%s/app.db", dir);
    (void)snprintf(proc, sizeof proc, "%s/proc", dir);
    assert_ok_err(fsys_make_dirs(&fsys_real, proc, 0700, &err), &err);
    fs = fsys_real;
    fs.space = told_space;
    fs.may_change = told_may_change;
    free_bytes = UINT64_MAX;
    change_errno = 0;
    db = (struct config_db){0};
    config_table_defaults(&db);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    check_report_fini(&report);
    store_wait_unscratch(dir);
    return 0;
}

static void write_file(const char *to, const void *data, size_t n)
{
    assert_ok_err(fsys_write_atomic(&fsys_real, to, data, n, 0600, &err), &err);
}

static void make_db(const char *mode)
{
    CLEANUP(mem_freep) char *sql = mem_printf("PRAGMA journal_mode=%s; CREATE TABLE t(x)", mode);
    sqlite3 *c = NULL;

    assert_int_equal(sqlite3_open(path, &c), SQLITE_OK);
    assert_int_equal(sqlite3_exec(c, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(c), SQLITE_OK);
}

static void run(void)
{
    check_report_fini(&report);
    check_file_run(&found, &report, &fs, &db, path, proc);
}

static void expect(const char *name, enum check_result result, const char *words)
{
    const struct check_item *item = check_report_find(&report, name);

    assert_non_null(item);
    if (item->result != result || strstr(item->text, words) == NULL) {
        print_error("%s: %s: %s\n", name, check_report_word(item->result), item->text);
        fail();
    }
}

static void test_good(void **state)
{
    CLEANUP(mem_freep) char *state_dir = mem_printf("%s-weir", path);

    (void)state;
    make_db("WAL");
    run();
    expect("database", CHECK_OK, "is SQLite: 8.2 kB, 2 pages of 4096 bytes");
    expect("journal mode", CHECK_OK, "WAL, with a log of 0 B");
    expect("open by", CHECK_OK, "nobody");
    expect("local state", CHECK_OK, "none yet");
    expect("disk", CHECK_OK, "free below");
    assert_null(check_report_find(&report, "folder"));
    assert_null(check_report_find(&report, "writable"));
    assert_int_equal(check_report_count(&report, CHECK_FAILED), 0);
    assert_int_equal(found.bytes, 8192);
    assert_int_equal(found.page_size, 4096);
    assert_int_equal(found.found, LOCAL_STATE_NONE);
    assert_false(found.daemon);
    assert_int_equal(access(state_dir, F_OK), -1); /* nothing was made */
}

static void test_rollback(void **state)
{
    (void)state;
    make_db("DELETE");
    run();
    expect("journal mode", CHECK_OK, "switches it to WAL");
    db.no_switch = true;
    run();
    expect("journal mode", CHECK_FAILED, "no-switch is set");
}

static void test_other_files(void **state)
{
    static const struct {
        const char *head;
        size_t n;
        enum check_result result;
        const char *words;
    } cases[] = {
        {"\0\0\0\0\0\0\0\0DUCK\0\0\0\0", 16, CHECK_FAILED, "is a DuckDB database"},
        {"this is no database, but text of some length", 44, CHECK_FAILED, "not a SQLite database"},
        {"", 0, CHECK_OK, "is empty: weir waits"},
        {"SQLite format 3\0\3\3", 18, CHECK_FAILED, "app.db"},
        {"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8, CHECK_FAILED, "name the database itself"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(path, cases[i].head, cases[i].n);
        run();
        expect("database", cases[i].result, cases[i].words);
        assert_null(check_report_find(&report, "journal mode"));
        assert_int_equal(found.bytes, 0);
    }
}

static void test_missing(void **state)
{
    char seed[] = "/seed.db";

    (void)state;
    run();
    expect("database", CHECK_OK, "weir waits until its application makes it");
    db.seed = seed;
    run();
    expect("database", CHECK_OK, "copy of its seed");
    db.restore_if_missing = true;
    run();
    expect("database", CHECK_OK, "restores it from the replica");
    (void)snprintf(path, sizeof path, "%s/no/app.db", dir);
    run();
    expect("database", CHECK_FAILED, "nor is its folder");
    assert_null(check_report_find(&report, "disk"));
    (void)snprintf(path, sizeof path, "%s", proc);
    run();
    expect("database", CHECK_FAILED, "cannot be read");
}

/* The descriptors of a process lead to the file, whatever its name. */
static void test_openers(void **state)
{
    CLEANUP(mem_freep) char *with = mem_printf("%s/4711/fd", proc), *comm = mem_printf("%s/4711/comm", proc);
    CLEANUP(mem_freep) char *without = mem_printf("%s/12/fd", proc), *link = mem_printf("%s/7", with);
    CLEANUP(mem_freep) char *other = mem_printf("%s/3", without);

    (void)state;
    make_db("WAL");
    assert_ok_err(fsys_make_dirs(&fsys_real, with, 0700, &err), &err);
    assert_ok_err(fsys_make_dirs(&fsys_real, without, 0700, &err), &err);
    write_file(comm, "gunicorn\n", 9);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(symlink(comm, other), 0);
    run();
    assert_string_equal(check_report_find(&report, "open by")->text, "gunicorn (process 4711)");
}

static void test_space(void **state)
{
    char place[] = "weir.yml:3:5";

    (void)state;
    make_db("WAL");
    free_bytes = 1 << 20;
    run();
    expect("disk", CHECK_FAILED, "only 1.0 MB free");
    free_bytes = 100 << 20;
    run();
    expect("disk", CHECK_WARNING, "make room, or lower the limits");
    db.at[CONFIG_DB_SPOOL_LIMIT] = place; /* it was asked for */
    run();
    expect("disk", CHECK_FAILED, "spool-limit, weir.yml:3:5");
    db.spool_limit = db.log_limit = 1 << 20;
    run();
    expect("disk", CHECK_OK, "104.9 MB free");
    db.at[CONFIG_DB_SPOOL_LIMIT] = NULL;
}

static void test_read_only_folder(void **state)
{
    (void)state;
    make_db("WAL");
    change_errno = EROFS;
    run();
    expect("folder", CHECK_FAILED, "cannot be changed by this user (Read-only file system)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rollback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_openers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only_folder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
