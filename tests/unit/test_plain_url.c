/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "plain_url.h"

#include <string.h>

static void test_files(void **state)
{
    static const char *const rows[][2] = {
        {"app.db", "app.db"},
        {"/var/lib/a b.db", "/var/lib/a b.db"},
        {"file:///var/lib/a%20b.db", "/var/lib/a b.db"},
        {"file:///x", "/x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plain_url u;
        struct err err;

        assert_ok_err(plain_url_parse(rows[i][0], &u, &err), &err);
        assert_string_equal(u.path, rows[i][1]);
        assert_null(u.store);
        assert_null(u.key);
        plain_url_fini(&u);
    }
}

static void test_objects(void **state)
{
    static const char *const rows[][3] = {
        {"s3://bucket/app.db", "s3://bucket", "app.db"},
        {"s3://bucket/databases/app.db", "s3://bucket/databases", "app.db"},
        {"s3://bucket/a/b/app.db?region=eu&endpoint=http://localhost:1/x",
            "s3://bucket/a/b?region=eu&endpoint=http://localhost:1/x", "app.db"},
        {"s3://bucket/a%20b/%61pp.db?x=1", "s3://bucket/a%20b?x=1", "app.db"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plain_url u;
        struct err err;

        assert_ok_err(plain_url_parse(rows[i][0], &u, &err), &err);
        assert_null(u.path);
        assert_string_equal(u.store, rows[i][1]);
        assert_string_equal(u.key, rows[i][2]);
        plain_url_fini(&u);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"s3://bucket", "s3://bucket/", "s3://bucket/folder/", "s3://bucket?x=/y",
        "s3://bucket/a%20b.db", "s3://bucket/%zz", "file://host/x", "file://", "file:///x?y=1", "file:///a%00b",
        "s3://bucket/..", "s3://bucket/a#b"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plain_url u;
        struct err err;

        if (plain_url_parse(rows[i], &u, &err).code != E_CONFIG)
            print_error("%s\n", rows[i]);
        assert_fails(plain_url_parse(rows[i], &u, &err), E_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
