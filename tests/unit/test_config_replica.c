/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of databases found in folders, secrets, and what stores say about options. */
#include "check.h"

#include "alloc.h"
#include "config_file.h"
#include "config_replica.h"

#include <stdio.h>
#include <string.h>

static void gives(const char *replica, const char *relative, const char *want)
{
    struct config_db db = {0};
    CLEANUP(mem_freep) char *url = NULL;
    struct err err;

    assert_ok(config_file_set_db(&db, CONFIG_DB_REPLICA, replica, "f.yml:1:1", &err));
    assert_ok_err(config_replica_url(&db, relative, &url, &err), &err);
    assert_string_equal(url, want);
    config_file_free_db(&db);
}

static void test_urls(void **state)
{
    (void)state;
    gives("s3://b/p/", NULL, "s3://b/p/");
    gives("s3://b/p", "a.db", "s3://b/p/a.db");
    gives("s3://b/p//", "x/a.db", "s3://b/p/x/a.db");
    gives("s3://b?region=r&x={path}", "x/a.db", "s3://b/x/a.db?region=r&x={path}");
    gives("s3://b/{path}/weir", "x/a.db", "s3://b/x/a.db/weir");
    gives("s3://b/{name}?e=1", "x/a.db", "s3://b/a.db?e=1");
    gives("s3://b/{name}/{path}", "a.db", "s3://b/a.db/a.db");
    gives("file:///r", "ü ?#%.db", "file:///r/%C3%BC%20%3F%23%25.db");
    gives("s3://b/{other}", "a.db", "s3://b/{other}/a.db");
}

static void test_long_url(void **state)
{
    struct config_db db = {0};
    CLEANUP(mem_freep) char *url = NULL, *name = mem_new(8200);
    struct err err;

    (void)state;
    memset(name, 'x', 8199);
    assert_ok(config_file_set_db(&db, CONFIG_DB_REPLICA, "s3://b", "f.yml:1:1", &err));
    assert_fails(config_replica_url(&db, name, &url, &err), E_CONFIG);
    assert_memory_equal(err.msg, "f.yml:1:1: replica: for xxx", 27);
    assert_non_null(strstr(err.msg, "it is longer than 8192 bytes"));
    assert_null(url);
    config_file_free_db(&db);
}

static void hides(const char *url, const char *want)
{
    CLEANUP(mem_freep) char *got = config_replica_redact(url);

    assert_string_equal(got, want);
}

static void test_redact(void **state)
{
    (void)state;
    hides("s3://b/p", "s3://b/p");
    hides("s3://b/p?region=r&secret-key=S3cret&x=y", "s3://b/p?region=r&secret-key=<hidden>&x=y");
    hides("s3://b?session-token=t", "s3://b?session-token=<hidden>");
    hides("s3://b?sse-customer-key=&a", "s3://b?sse-customer-key=<hidden>&a");
    hides("http://user:pass@proxy:3128", "http://user:<hidden>@proxy:3128");
    hides("user:pass@proxy", "user:<hidden>@proxy");
    hides("http://user@proxy:3128", "http://user@proxy:3128");
    hides("", "");
    hides("?secret-key=a&secret-key=b&secret-key=c", "?secret-key=<hidden>&secret-key=<hidden>&secret-key=<hidden>");
    assert_true(config_replica_secret("secret-key"));
    assert_false(config_replica_secret("secret"));
}

static struct rc check_one(const char *replica, const char *option, const char *value, bool folder, struct err *err)
{
    struct config c = {.dbs = mem_new(sizeof(struct config_db)), .db_count = 1};
    struct rc rc;

    assert_ok(config_file_set_db(&c.dbs[0], folder ? CONFIG_DB_DIR : CONFIG_DB_PATH, "/a", "f.yml:1:1", err));
    assert_ok(config_file_set_db(&c.dbs[0], CONFIG_DB_REPLICA, replica, "f.yml:2:2", err));
    if (option != NULL)
        assert_ok(config_file_set_option(&c.dbs[0], option, value, "f.yml:3:3", err));
    rc = config_replica_check(&c, &fsys_real, err);
    config_file_free_db(&c.dbs[0]);
    mem_free(c.dbs);
    return rc;
}

static void test_check(void **state)
{
    struct err err;

    (void)state;
    assert_ok_err(check_one("file:///r", NULL, NULL, false, &err), &err);
    assert_ok_err(check_one("file:///r", NULL, NULL, true, &err), &err);
    assert_fails(check_one("file://r", NULL, NULL, false, &err), E_CONFIG);
    assert_memory_equal(err.msg, "f.yml:2:2: replica: ", 20);
    assert_fails(check_one("gopher://r", NULL, NULL, false, &err), E_CONFIG);
    assert_memory_equal(err.msg, "f.yml:2:2: replica: ", 20);
    assert_fails(check_one("file:///r", "endpoint", "x", false, &err), E_CONFIG);
    assert_string_equal(err.msg, "f.yml:3:3: replica.endpoint: a replica in a directory has no options");
}

static void test_options(void **state)
{
    struct config_db db = {0};
    struct store_option *options;
    struct err err;

    (void)state;
    for (int i = 0; i < CONFIG_OPTIONS_MAX; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "o%d", i);
        assert_ok(config_file_set_option(&db, name, "v", "f.yml:1:1", &err));
    }
    assert_fails(config_file_set_option(&db, "more", "v", "f.yml:1:1", &err), E_CONFIG);
    assert_string_equal(err.msg, "f.yml:1:1: more than 64 options of a replica");
    options = config_replica_options(&db);
    assert_string_equal(options[63].name, "o63");
    assert_string_equal(options[63].value, "v");
    mem_free(options);
    config_file_free_db(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_long_url),
        cmocka_unit_test(test_redact),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
