/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "local_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_dir(const char *path, const char *base, const char *want)
{
    char *dir = local_place_dir(path, base);

    assert_string_equal(dir, want);
    mem_free(dir);
}

static bool same_dir(const char *a, const char *b)
{
    char *x = local_place_dir(a, "/b"), *y = local_place_dir(b, "/b");
    bool same = strcmp(x, y) == 0;

    mem_free(x);
    mem_free(y);
    return same;
}

/* Beside the database, or below a base: then one for each path, whatever leads to it, with a name of bounded length. */
static void places(void **state)
{
    char root[] = "/tmp/test_local_place.XXXXXX", long_name[256], *real, *linked, *link, *dir;

    (void)state;
    assert_dir("/x/app.db", NULL, "/x/app.db-weir");
    assert_dir("app.db", NULL, "app.db-weir");
    dir = local_place_dir("/no/such/app.db", "/base");
    assert_true(strncmp(dir, "/base/app.db-", 13) == 0);
    assert_int_equal(strlen(dir), 13 + 16 + 5);
    assert_string_equal(dir + 13 + 16, "-weir"); /* so that nobody looks for databases in it */
    mem_free(dir);
    assert_false(same_dir("/no/such/app.db", "/no/other/app.db"));

    assert_non_null(mkdtemp(root));
    real = mem_printf("%s/real", root);
    link = mem_printf("%s/link", root);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, link), 0);
    mem_free(real);
    real = mem_printf("%s/real/app.db", root);
    linked = mem_printf("%s/../link/app.db", link);
    assert_true(same_dir(real, linked)); /* there is no such file yet */
    mem_free(linked);

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[0] = '/';
    long_name[sizeof long_name - 1] = 0;
    dir = local_place_dir(long_name, "/b");
    assert_in_range(strlen(dir) + LOCAL_PLACE_BASE_MAX - 2 + strlen("/control.sock"), 200,
        sizeof((struct local_state_holder *)0)->socket_path - 1);
    mem_free(dir);
    mem_free(real);
    real = mem_printf("%s/real", root);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(real), 0);
    mem_free(link);
    mem_free(real);
    assert_int_equal(rmdir(root), 0);
}

/* The base is made, but nothing above it. */
static void bases(void **state)
{
    char root[] = "/tmp/test_local_place.XXXXXX", *base, *deep;
    struct fault_fsys f;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(root));
    base = mem_printf("%s/base", root);
    deep = mem_printf("%s/no/base", root);
    assert_ok(local_place_make_base(&fsys_real, NULL, &err));
    assert_ok_err(local_place_make_base(&fsys_real, base, &err), &err);
    assert_ok_err(local_place_make_base(&fsys_real, base, &err), &err);
    assert_fails(local_place_make_base(&fsys_real, deep, &err), E_CONFIG);
    assert_non_null(strstr(err.msg, deep));
    assert_non_null(strstr(err.msg, "the folder above it is not there"));
    fault_fsys_init(&f, FAULT_ONCE, 1, EACCES);
    assert_fails(local_place_make_base(&f.fs, base, &err), E_DENIED);
    assert_int_equal(rmdir(base), 0);
    assert_int_equal(rmdir(root), 0);
    mem_free(base);
    mem_free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(bases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
