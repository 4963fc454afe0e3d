/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "folder_match.h"

static void test_names(void **state)
{
    static const char *const yes[] = {"a.db", ".db.db", "x y.db", "weir.db", "a-wal.db", "-mj.db"};
    static const char *const no[] = {"a.db-wal", "a.db-shm", "a.db-journal", ".hidden.db", "a.DB", "db", "a.db.bak"};

    (void)state;
    assert_false(folder_match_file("*.db", yes[1])); /* a leading dot */
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (i != 1)
            assert_true(folder_match_file("*.db", yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(folder_match_file("*.db", no[i]));
}

/* Whatever the pattern says, what SQLite keeps beside a database is none. */
static void test_side_files_never(void **state)
{
    static const char *const no[] = {"a-wal", "a.db-shm", "a-journal", "a.db-mj1A2B3C4D5", "a-mj-mj00000000F", ".a"};

    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(folder_match_file("*", no[i]));
    assert_true(folder_match_file("*", "a-mj"));
    assert_true(folder_match_file("*", "a-mj1234567")); /* too short for SQLite's */
    assert_true(folder_match_file("*", "a-mj123456789.db"));
    assert_true(folder_match_file(".*", ".a"));
    assert_true(folder_match_file("tenant-[0-9]*.sqlite", "tenant-17.sqlite"));
    assert_false(folder_match_file("tenant-[0-9]*.sqlite", "tenant-x.sqlite"));
}

static void test_side_file(void **state)
{
    (void)state;
    assert_int_equal(folder_match_side_file("a.db-wal"), 4);
    assert_int_equal(folder_match_side_file("a.db-shm"), 4);
    assert_int_equal(folder_match_side_file("a.db-journal"), 4);
    assert_int_equal(folder_match_side_file("a.db"), 0);
    assert_int_equal(folder_match_side_file("-wal"), 0);
    assert_int_equal(folder_match_side_file(""), 0);
}

static void test_folders(void **state)
{
    (void)state;
    assert_true(folder_match_subfolder("a"));
    assert_true(folder_match_subfolder("weir"));
    assert_false(folder_match_subfolder("a.db-weir"));
    assert_false(folder_match_subfolder(".weir"));
    assert_false(folder_match_subfolder(".git"));
}

static void is_inside(const char *dir, bool recursive, const char *path, const char *rest)
{
    const char *got = folder_match_inside(dir, "*.db", recursive, path);

    if (rest == NULL)
        assert_null(got);
    else
        assert_string_equal(got, rest);
}

static void test_inside(void **state)
{
    (void)state;
    is_inside("/d", false, "/d/a.db", "a.db");
    is_inside("/d//", false, "/d/a.db", "a.db");
    is_inside("/d", false, "/d/s/a.db", NULL);
    is_inside("/d", true, "/d/s/t/a.db", "s/t/a.db");
    is_inside("/d", true, "/dd/a.db", NULL);
    is_inside("/d", true, "/d", NULL);
    is_inside("/d", true, "/d/.s/a.db", NULL);
    is_inside("/d", true, "/d/s/x-weir/a.db", NULL);
    is_inside("/d", true, "/d/a.db-wal", NULL);
    is_inside("/", true, "/s/a.db", "s/a.db");
    is_inside("/", false, "/a.db", "a.db");
}

static void test_state_dir(void **state)
{
    char *dir = folder_match_state_dir("/srv/x//", NULL), *root = folder_match_state_dir("/", NULL);

    (void)state;
    assert_string_equal(dir, "/srv/x/.weir");
    assert_string_equal(root, "/.weir");
    mem_free(dir);
    dir = folder_match_state_dir("/no/such//", "/var/lib/weir");
    assert_true(strncmp(dir, "/var/lib/weir/such-", 19) == 0);
    mem_free(dir);
    mem_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_side_files_never),
        cmocka_unit_test(test_side_file),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_state_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
