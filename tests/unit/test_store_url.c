/* SPDX-License-Identifier: Apache-2.0 */
/* Which store a URL names, and what is told of those that name none. */
#include "check.h"

#include "fsys.h"
#include "store.h"
#include "store_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_urls(void **state)
{
    static const struct {
        const char *url, *want; /* the directory, or the message */
        bool good;
    } cases[] = {
        {"file:///srv/backup", "file:///srv/backup", true},
        {"FILE:///srv/backup", "file:///srv/backup", true},
        {"file://localhost/srv/backup", "file:///srv/backup", true},
        {"file:///srv/backup//", "file:///srv/backup", true},
        {"file:///srv/a%20b%2fc%25d%3F", "file:///srv/a b/c%d?", true},
        {"file:///srv/a+b", "file:///srv/a+b", true},
        {"file:///srv/%c3%a4", "file:///srv/\xc3\xa4", true},
        {"", "replica: the URL is empty: write file:///absolute/path", false},
        {"/srv/backup", "/srv/backup: a replica is named by a URL: write file:///srv/backup", false},
        {"backup", "backup: a replica is named by a URL: write file:///absolute/path", false},
        {"file:", "file:: not a file URL: write file:///absolute/path (three slashes)", false},
        {"file:/srv/x", "file:/srv/x: not a file URL: write file:///absolute/path (three slashes)", false},
        {"file:srv", "file:srv: not a file URL: write file:///absolute/path (three slashes)", false},
        {"file://", "file://: names no directory: write file:///absolute/path", false},
        {"file:///", "file:///: names no directory: write file:///absolute/path", false},
        {"file:////", "replica directory /: a directory below it is needed", false},
        {"file://backup", "file://backup: the path is relative: write file:///absolute/path", false},
        {"file://./backup", "file://./backup: the path is relative: write file:///absolute/path", false},
        {"file://../backup", "file://../backup: the path is relative: write file:///absolute/path", false},
        {"file://~/backup", "file://~/backup: the path is relative: write file:///absolute/path", false},
        {"file://srv/backup",
            "file://srv/backup: a directory on another host, or a relative path: write file:///absolute/path (three "
            "slashes)",
            false},
        {"file://localhosts/x",
            "file://localhosts/x: a directory on another host, or a relative path: write file:///absolute/path (three "
            "slashes)",
            false},
        {"file:///a?b", "file:///a?b: a file URL has no '?' part; in a path write it as %3F", false},
        {"file:///a#b", "file:///a#b: a file URL has no '#' part; in a path write it as %23", false},
        {"file:///a%", "file:///a%: two hex digits must follow %, a % itself is written %25", false},
        {"file:///a%4", "file:///a%4: two hex digits must follow %, a % itself is written %25", false},
        {"file:///a%4g", "file:///a%4g: two hex digits must follow %, a % itself is written %25", false},
        {"file:///a%00b", "file:///a%00b: %00 cannot be in a path", false},
        {"s3://bucket/prefix?region=eu-west-1", "s3://bucket/prefix", true},
        {"S3://bucket/prefix/?region=eu-west-1&endpoint=https://localhost:1", "s3://bucket/prefix", true},
        {"gs://user:secret@bucket",
            "replica gs://...: unknown scheme: write file:///absolute/path or s3://bucket/prefix", false},
        {"files:///x", "replica files://...: unknown scheme: write file:///absolute/path or s3://bucket/prefix", false},
    };
    struct store_env *env;
    uv_loop_t loop;
    struct err err;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    env = store_env_new(&loop, &fsys_real);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store *s = NULL;
        struct rc rc = store_open(env, cases[i].url, NULL, 0, &s, &err);

        if (rc.code != (cases[i].good ? E_OK : E_CONFIG))
            fail_msg("%s: %s", cases[i].url, rc_failed(rc) ? err.msg : "went through");
        if (cases[i].good) {
            assert_string_equal(s->url, cases[i].want);
            assert_true(s->part_size > 0);
            store_wait_stop(&loop, s);
        } else {
            assert_null(s);
            assert_string_equal(err.msg, cases[i].want);
        }
    }
    store_wait_stop_env(&loop, env);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_long_url(void **state)
{
    char url[8000];
    struct store *s = NULL;
    struct store_env *env;
    uv_loop_t loop;
    struct err err;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    env = store_env_new(&loop, &fsys_real);
    memset(url, 'x', sizeof url);
    memcpy(url, "file:///", 8);
    url[sizeof url - 1] = 0;
    assert_fails(store_open(env, url, NULL, 0, &s, &err), E_CONFIG);
    assert_non_null(strstr(err.msg, "...: the path has 7992 bytes, at most 3520 are possible"));
    url[3000] = 0;
    assert_ok_err(store_open(env, url, NULL, 0, &s, &err), &err);
    store_wait_stop(&loop, s);
    s = NULL;
    url[100] = 0;
    assert_fails(store_open(env, url, &(struct store_option){.name = "region", .value = "x"}, 1, &s, &err), E_CONFIG);
    assert_string_equal(err.msg, "option region: a directory has no options");
    store_wait_stop_env(&loop, env);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* Whose it is, is known without a request, through whatever wraps it; a folder is nobody's. */
static void test_provider(void **state)
{
    static const struct {
        const char *url, *provider;
    } cases[] = {
        {"file:///srv/r", NULL},
        {"s3://bucket/p?region=eu-west-1", "aws"},
        {"s3://bucket/p?region=eu-central-2&endpoint=https://s3.eu-central-2.wasabisys.com", "wasabi"},
        {"s3://bucket/p?region=x&endpoint=http://127.0.0.1:1", "other"},
        {"s3://bucket/p?region=x&endpoint=http://127.0.0.1:1&provider=ceph", "ceph"},
        {"https://127.0.0.1:1/share.json", NULL},
    };
    struct store_env *env;
    uv_loop_t loop;

    (void)state;
    (void)unsetenv("AWS_ENDPOINT_URL");    /* NOLINT(concurrency-mt-unsafe): there are no other threads yet */
    (void)unsetenv("AWS_ENDPOINT_URL_S3"); /* NOLINT(concurrency-mt-unsafe) */
    assert_int_equal(uv_loop_init(&loop), 0);
    env = store_env_new(&loop, &fsys_real);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store *s = NULL;
        struct err err;

        assert_ok_err(store_open(env, cases[i].url, NULL, 0, &s, &err), &err);
        if (cases[i].provider == NULL)
            assert_null(store_provider(s));
        else
            assert_string_equal(store_provider(s), cases[i].provider);
        store_wait_stop(&loop, s);
    }
    store_wait_stop_env(&loop, env);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_long_url),
        cmocka_unit_test(test_provider),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
