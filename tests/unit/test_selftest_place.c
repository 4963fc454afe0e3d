/* SPDX-License-Identifier: Apache-2.0 */
/* Where the scratch replica is, and that nothing outside of it is ever touched. */
#include "check.h"

#include "alloc.h"
#include "selftest_place.h"
#include "session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_url(void **state)
{
    static const char *const rows[][2] = {
        {"file:///backup", "file:///backup/x"},
        {"file:///backup/app/", "file:///backup/app/x"},
        {"file:///", "file:///x"},
        {"s3://bucket", "s3://bucket/x"},
        {"s3://bucket/", "s3://bucket/x"},
        {"s3://bucket/a/b?endpoint=http://localhost:1/&region=r",
            "s3://bucket/a/b/x?endpoint=http://localhost:1/&region=r"},
        {"s3://bucket//?region=r", "s3://bucket/x?region=r"},
    };
    static const char *const refused[] = {"share:///x", "https://h/x", "S4://b/x", "/path", ""};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *url = NULL;

        assert_ok_err(selftest_place_url(rows[i][0], "x", &url, &err), &err);
        assert_string_equal(url, rows[i][1]);
        mem_free(url);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char *url = NULL;

        assert_fails(selftest_place_url(refused[i], "x", &url, &err), E_CONFIG);
        assert_null(url);
    }
}

/* What stands behind the '?' may be a secret. */
static void test_url_tells_no_secret(void **state)
{
    struct err err;
    char *url = NULL;

    (void)state;
    assert_fails(selftest_place_url("ftp://h/x?secret=hunter2", "x", &url, &err), E_CONFIG);
    assert_non_null(strstr(err.msg, "ftp://h/x"));
    assert_null(strstr(err.msg, "hunter2"));
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

struct world {
    char root[64];
};

static void begin(struct world *w)
{
    (void)snprintf(w->root, sizeof w->root, "/tmp/test_selftest_place.XXXXXX");
    assert_non_null(mkdtemp(w->root));
}

static char *path(const struct world *w, const char *name)
{
    return mem_printf("%s/%s", w->root, name);
}

static void folder(const struct world *w, const char *name)
{
    struct err err;
    char *p = path(w, name);

    assert_ok_err(fsys_make_dirs(&fsys_real, p, 0700, &err), &err);
    mem_free(p);
}

static void file(const struct world *w, const char *name)
{
    struct err err;
    char *p = path(w, name);

    assert_ok_err(fsys_write_atomic(&fsys_real, p, "x", 1, 0600, &err), &err);
    mem_free(p);
}

static bool is_there(const struct world *w, const char *name)
{
    char *p = path(w, name);
    bool is = access(p, F_OK) == 0;

    mem_free(p);
    return is;
}

static void end(struct world *w)
{
    struct err err;

    assert_ok_err(selftest_place_remove_folder(&fsys_real, w->root, "/tmp", &err), &err);
    assert_int_equal(access(w->root, F_OK), -1);
}

static void remove_folder(const struct world *w, const char *name, const char *above, enum err_code want)
{
    struct err err;
    char *p = path(w, name), *up = path(w, above);

    assert_fails(selftest_place_remove_folder(&fsys_real, p, up, &err), want);
    mem_free(p);
    mem_free(up);
}

/* What was there before stays, with what is in it; folders above that were made are removed, unless they are in use. */
static void test_remove_folder(void **state)
{
    struct world w;
    char *deep, *above;

    (void)state;
    begin(&w);
    folder(&w, "old");
    deep = path(&w, "old/new/newer/mine");
    above = selftest_place_above(&fsys_real, deep);
    assert_string_equal(above + strlen(w.root), "/old");
    folder(&w, "old/new/newer/mine/t/00000001");
    folder(&w, "old/new/newer/mine/.tmp");
    file(&w, "old/new/newer/mine/t/00000001/a");
    file(&w, "old/new/newer/mine/.tmp/b");
    remove_folder(&w, "old/new/newer/mine", "old", E_OK);
    assert_true(is_there(&w, "old"));
    assert_false(is_there(&w, "old/new"));

    folder(&w, "old/new/newer/mine");
    file(&w, "old/new/another's");
    remove_folder(&w, "old/new/newer/mine", "old", E_OK);
    assert_true(is_there(&w, "old/new/another's"));
    assert_false(is_there(&w, "old/new/newer"));
    remove_folder(&w, "old/new/newer/mine", "old", E_OK); /* it is gone already */
    mem_free(deep);
    mem_free(above);
    end(&w);
}

/* A link is removed, not what it leads to. */
static void test_links_are_not_followed(void **state)
{
    struct world w;
    char *target, *link;

    (void)state;
    begin(&w);
    folder(&w, "another's");
    file(&w, "another's/file");
    folder(&w, "mine");
    target = path(&w, "another's");
    link = path(&w, "mine/link");
    assert_int_equal(symlink(target, link), 0);
    remove_folder(&w, "mine", "", E_OK);
    assert_false(is_there(&w, "mine"));
    assert_true(is_there(&w, "another's/file"));
    mem_free(target);
    mem_free(link);
    end(&w);
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static struct rc check_empty(void *ctx, struct work *w, struct store *s, struct err *err)
{
    (void)ctx;
    return selftest_place_check_empty(w, s, err);
}

static struct rc empty(void *ctx, struct work *w, struct store *s, struct err *err)
{
    size_t left = 1;

    TRY(selftest_place_empty(w, s, ctx, err));
    TRY(selftest_place_left(w, s, &left, err));
    assert_int_equal(left, 0);
    return RC_OK;
}

static struct rc session(const struct world *w, session_fn fn, void *ctx, struct err *err)
{
    char *url = mem_printf("file://%s/replica", w->root);
    const struct session_place place = {.url = url};
    struct rc rc = session_run_at(&fsys_real, &place, fn, ctx, err);

    mem_free(url);
    return rc;
}

/* Anything that is there is another's. */
static void test_only_an_empty_place(void **state)
{
    uint64_t removed = 0;
    struct world w;
    struct err err;

    (void)state;
    begin(&w);
    assert_ok_err(session(&w, check_empty, NULL, &err), &err);
    folder(&w, "replica");
    assert_ok_err(session(&w, check_empty, NULL, &err), &err);
    folder(&w, "replica/t/00000001/log");
    file(&w, "replica/t/00000001/log/1");
    file(&w, "replica/other");
    assert_fails(session(&w, check_empty, NULL, &err), E_EXISTS);
    assert_non_null(strstr(err.msg, "is not empty (other): nothing was done"));
    assert_ok_err(session(&w, empty, &removed, &err), &err);
    assert_int_equal(removed, 2);
    assert_ok_err(session(&w, check_empty, NULL, &err), &err);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_url_tells_no_secret),
        cmocka_unit_test(test_remove_folder),
        cmocka_unit_test(test_links_are_not_followed),
        cmocka_unit_test(test_only_an_empty_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
