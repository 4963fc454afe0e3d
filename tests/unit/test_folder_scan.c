/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "folder_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[] = "/tmp/test-folder-scan-XXXXXX";

static void run(const char *command)
{
    char *text = mem_printf("cd '%s' && %s", root, command);

    assert_int_equal(system(text), 0);
    mem_free(text);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/test-folder-scan-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    run("chmod -R u+rwx . && rm -rf -- ./* ./.[!.]*");
    return rmdir(root);
}

static bool has(char *const *list, size_t count, const char *name)
{
    char *path = name[0] == 0 ? mem_strdup(root) : mem_printf("%s/%s", root, name);
    bool found = false;

    for (size_t i = 0; i < count; i++)
        found = found || strcmp(list[i], path) == 0;
    mem_free(path);
    return found;
}

static struct folder_scan scan(bool recursive)
{
    struct folder_scan s = {.fs = &fsys_real, .dir = root, .pattern = "*.db", .recursive = recursive};
    struct err err;

    assert_ok_err(folder_scan_run(&s, &err), &err);
    return s;
}

static void test_flat(void **state)
{
    struct folder_scan s;

    (void)state;
    run("touch a.db 'b c.db' a.db-wal a.db-shm .h.db x.txt; mkdir sub d.db; touch sub/e.db; ln -s a.db link.db; "
        "mkfifo pipe.db");
    s = scan(false);
    assert_int_equal(s.file_count, 2);
    assert_true(has(s.files, s.file_count, "a.db"));
    assert_true(has(s.files, s.file_count, "b c.db"));
    assert_int_equal(s.folder_count, 1);
    assert_true(has(s.folders, s.folder_count, ""));
    assert_int_equal(s.link_count, 1);
    assert_int_equal(s.skipped_count, 0);
    folder_scan_fini(&s);
}

static void test_recursive(void **state)
{
    struct folder_scan s;

    (void)state;
    run("mkdir -p s/t .hidden x.db-weir; touch a.db s/b.db s/t/c.db .hidden/d.db x.db-weir/e.db; ln -s .. s/up");
    s = scan(true);
    assert_int_equal(s.file_count, 3);
    assert_true(has(s.files, s.file_count, "a.db"));
    assert_true(has(s.files, s.file_count, "s/b.db"));
    assert_true(has(s.files, s.file_count, "s/t/c.db"));
    assert_int_equal(s.folder_count, 3);
    assert_true(has(s.folders, s.folder_count, "s/t"));
    folder_scan_fini(&s);
}

/* Too deep: told, and the rest is found. */
static void test_replica(void **state)
{
    struct folder_scan s;

    (void)state;
    run("mkdir -p backup/a.db/t/1 backup/b; touch a.db backup/a.db/weir.json backup/a.db/x.db backup/a.db/t/1/y.db "
        "backup/b/z.db weir.json");
    s = scan(true);
    assert_int_equal(s.file_count, 2);
    assert_true(has(s.files, s.file_count, "a.db"));
    assert_true(has(s.files, s.file_count, "backup/b/z.db"));
    assert_int_equal(
        s.folder_count, 4); /* the root, backup, and both in there, to see when one is no replica any more */
    folder_scan_fini(&s);
}

static void test_depth(void **state)
{
    struct folder_scan s;

    (void)state;
    run("d=.; i=0; while [ $i -lt 34 ]; do d=$d/x; i=$((i+1)); done; mkdir -p $d; touch $d/deep.db a.db");
    s = scan(true);
    assert_int_equal(s.file_count, 1);
    assert_int_equal(s.skipped_count, 1);
    assert_non_null(strstr(s.skipped.msg, "lies deeper than 32 folders"));
    folder_scan_fini(&s);
}

/* Nothing is forbidden to root, so it is the table that refuses. */
static DIR *refuse_locked(const struct fsys *fs, const char *path)
{
    (void)fs;
    if (strcmp(strrchr(path, '/'), "/locked") != 0)
        return fsys_real.opendir(&fsys_real, path);
    errno = EACCES;
    return NULL;
}

static void test_unreadable(void **state)
{
    struct fsys fs = fsys_real;
    struct folder_scan s = {.fs = &fs, .dir = root, .pattern = "*.db", .recursive = true};
    struct err err;

    (void)state;
    run("mkdir locked; touch locked/a.db b.db");
    fs.opendir = refuse_locked;
    assert_ok_err(folder_scan_run(&s, &err), &err);
    assert_int_equal(s.file_count, 1);
    assert_int_equal(s.skipped_count, 1);
    assert_int_equal(s.skipped.code, E_DENIED);
    folder_scan_fini(&s);
}

static void test_absent(void **state)
{
    struct folder_scan s = {.fs = &fsys_real, .dir = "/no/such/folder", .pattern = "*.db"};
    struct err err;

    (void)state;
    assert_int_equal(folder_scan_run(&s, &err).code, E_NOTFOUND);
    assert_non_null(strstr(err.msg, "read folder /no/such/folder: "));
    folder_scan_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recursive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test(test_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
