/* SPDX-License-Identifier: Apache-2.0 */
/* Every key: its type takes what it should, and prints it so that it can be read back. */
#include "check.h"

#include "alloc.h"
#include "config_file.h"
#include "config_table.h"

#include <stdio.h>
#include <string.h>

/* Texts that each type takes, as it prints them, and messages for those it does not. */
static const struct {
    enum config_type type;
    const char *text, *printed;
} good[] = {
    {CONFIG_TEXT, "s3://b/p", NULL},
    {CONFIG_PATH, "/a b/c.db", NULL},
    {CONFIG_BOOL, "true", NULL},
    {CONFIG_BOOL, "false", NULL},
    {CONFIG_DURATION, "0s", NULL},
    {CONFIG_DURATION, "1500ms", NULL},
    {CONFIG_DURATION, "2000ms", "2s"},
    {CONFIG_DURATION, "24h", "1d"},
    {CONFIG_DURATION, "90m", NULL},
    {CONFIG_SIZE, "2MiB", NULL},
    {CONFIG_SIZE, "2MB", "2000000"},
    {CONFIG_SIZE, "1024MiB", "1GiB"},
    {CONFIG_COUNT, "0", NULL},
    {CONFIG_COUNT, "17", NULL},
    {CONFIG_LISTEN, "127.0.0.1:9180", NULL},
    {CONFIG_LISTEN, "[::1]:0", NULL},
    {CONFIG_LISTEN, ":9180", NULL},
    {CONFIG_LISTEN, "localhost:65535", NULL},
};

static const struct {
    enum config_type type;
    const char *text, *message;
} bad[] = {
    {CONFIG_PATH, "a.db", "'a.db' is not an absolute path"},
    {CONFIG_BOOL, "yes", "'yes' is not true or false"},
    {CONFIG_BOOL, "True", "'True' is not true or false"},
    {CONFIG_DURATION, "10", "'10' has no unit (a duration like 250ms, 10s, 5m, 24h or 7d)"},
    {CONFIG_DURATION, "1 s", "'1 s' is not a duration like 250ms, 10s, 5m, 24h or 7d"},
    {CONFIG_DURATION, "-1s", "'-1s' is not a duration like 250ms, 10s, 5m, 24h or 7d"},
    {CONFIG_DURATION, "99999999999d", NULL},
    {CONFIG_SIZE, "1QB", "'1QB' is not a size like 512, 64KiB, 64MB or 1GiB"},
    {CONFIG_COUNT, "1.5", "'1.5' is not a whole number"},
    {CONFIG_COUNT, "99999999999", NULL},
    {CONFIG_LISTEN, "9180", "'9180' is not HOST:PORT"},
    {CONFIG_LISTEN, "::1:9180", "'::1:9180' is not HOST:PORT (an IPv6 address stands in brackets)"},
    {CONFIG_LISTEN, "[x]:1", "'[x]:1' is not HOST:PORT (an IPv6 address stands in brackets)"},
    {CONFIG_LISTEN, "a/b:1", "'a/b:1' is not HOST:PORT (an IPv6 address stands in brackets)"},
    {CONFIG_LISTEN, "h:", "port: '' is not a whole number"},
    {CONFIG_LISTEN, "h:65536", "port: 65536 is not between 0 and 65535"},
};

static void free_top(struct config *c)
{
    mem_free(c->http_listen);
    mem_free(c->http_token_file);
    mem_free(c->socket);
    *c = (struct config){0};
}

static void try_good(const struct config_key *key, void *a, void *b)
{
    unsigned tried = 0;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *want = good[i].printed != NULL ? good[i].printed : good[i].text;
        CLEANUP(mem_freep) char *got = NULL;
        struct err err;

        if (good[i].type != key->type || (key->min > 0 && good[i].text[0] == '0'))
            continue;
        assert_ok_err(config_table_set(key, a, good[i].text, &err), &err);
        if (key->has_off && key->off == 0 && (strcmp(want, "0") == 0 || strcmp(want, "0s") == 0))
            want = "off";
        got = config_table_text(key, a);
        assert_string_equal(got, want);
        assert_ok_err(config_table_set(key, b, got, &err), &err); /* what is printed can be read */
        assert_true(config_table_equal(key, a, b));
        tried++;
    }
    if (key->type != CONFIG_CHOICE)
        assert_true(tried > 0);
}

static void try_bad(const struct config_key *key, void *base)
{
    struct err err;
    CLEANUP(mem_freep) char *before = config_table_text(key, base), *message = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CLEANUP(mem_freep) char *after = NULL;

        if (bad[i].type != key->type)
            continue;
        assert_fails(config_table_set(key, base, bad[i].text, &err), E_CONFIG);
        if (bad[i].message != NULL)
            assert_string_equal(err.msg, bad[i].message);
        after = config_table_text(key, base);
        assert_string_equal(after, before);
    }
    assert_fails(config_table_set(key, base, "", &err), E_CONFIG);
    message = mem_printf("%s has no value", key->name);
    assert_string_equal(err.msg, message);
}

static void try_key(const struct config_key *key, void *a, void *b)
{
    struct err err;

    assert_non_null(key->name);
    if (key->type == CONFIG_CHOICE) {
        char word[32];
        CLEANUP(mem_freep) char *got = NULL, *message = NULL;

        (void)snprintf(word, sizeof word, "%s", strrchr(key->choice, '|') + 1);
        assert_ok_err(config_table_set(key, a, word, &err), &err);
        got = config_table_text(key, a);
        assert_string_equal(got, word);
        assert_fails(config_table_set(key, a, "some", &err), E_CONFIG);
        message = mem_printf("'some' is none of %s", key->choice);
        assert_string_equal(err.msg, message);
        assert_fails(config_table_set(key, a, key->choice, &err), E_CONFIG);
    }
    try_good(key, a, b);
    if (key->type != CONFIG_CHOICE)
        try_bad(key, a);
    config_table_copy(key, b, a);
    assert_true(config_table_equal(key, a, b));
}

static void test_every_key(void **state)
{
    struct config_db a = {0}, b = {0};
    struct config x = {0}, y = {0};

    (void)state;
    for (int i = 0; i < CONFIG_DB_KEY_COUNT; i++) {
        assert_int_equal(config_table_find(config_table_db, CONFIG_DB_KEY_COUNT, config_table_db[i].name), i);
        try_key(&config_table_db[i], &a, &b);
    }
    for (int i = 0; i < CONFIG_TOP_KEY_COUNT; i++) {
        assert_int_equal(config_table_find(config_table_top, CONFIG_TOP_KEY_COUNT, config_table_top[i].name), i);
        try_key(&config_table_top[i], &x, &y);
    }
    assert_int_equal(config_table_find(config_table_top, CONFIG_TOP_KEY_COUNT, "nothing"), -1);
    config_file_free_db(&a);
    config_file_free_db(&b);
    free_top(&x);
    free_top(&y);
}

static void test_ranges(void **state)
{
    struct config_db db = {0};
    struct err err;

    (void)state;
    assert_fails(config_table_set(&config_table_db[CONFIG_DB_LOG_LIMIT], &db, "1000", &err), E_CONFIG);
    assert_string_equal(err.msg, "'1000' is not between 1.0 MB and 1.1 PB");
    assert_fails(config_table_set(&config_table_db[CONFIG_DB_SYNC_INTERVAL], &db, "400d", &err), E_CONFIG);
    assert_string_equal(err.msg, "'400d' is not between 0 ms and 366 d 0 h");
    assert_fails(config_table_set(&config_table_db[CONFIG_DB_RETENTION_DAILY], &db, "100001", &err), E_CONFIG);
    assert_string_equal(err.msg, "100001 is not between 0 and 100000");
}

/* "off" is a value of the triggers and of the scrub, and of nothing else. */
static void test_off(void **state)
{
    struct config_db a = {0}, b = {.sync_interval_ms = 5, .sync_commits = 5, .scrub_interval_ms = 5};
    struct err err;

    (void)state;
    for (int i = 0; i < CONFIG_DB_KEY_COUNT; i++) {
        const struct config_key *key = &config_table_db[i];
        bool may_be_off = i == CONFIG_DB_SYNC_INTERVAL || i == CONFIG_DB_SYNC_COMMITS || i == CONFIG_DB_SCRUB_INTERVAL;
        CLEANUP(mem_freep) char *printed = NULL;

        assert_int_equal(key->has_off, may_be_off);
        if (!may_be_off)
            continue;
        assert_ok_err(config_table_set(key, &a, "off", &err), &err);
        printed = config_table_text(key, &a);
        assert_string_equal(printed, "off");
        assert_ok_err(config_table_set(key, &b, printed, &err), &err);
        assert_true(config_table_equal(key, &a, &b));
        assert_fails(config_table_set(key, &a, "Off", &err), E_CONFIG);
        assert_fails(config_table_set(key, &a, "off ", &err), E_CONFIG);
    }
    assert_true(a.sync_interval_ms == CONFIG_INTERVAL_OFF);
    assert_int_equal(a.sync_commits, 0);
    assert_fails(config_table_set(&config_table_db[CONFIG_DB_MERGE_INTERVAL], &a, "off", &err), E_CONFIG);
    assert_string_equal(err.msg, "'off' is not a duration like 250ms, 10s, 5m, 24h or 7d");
}

static void test_differences(void **state)
{
    struct config_db a = {0}, b = {0};
    struct err err;
    const struct config_key *key = &config_table_db[CONFIG_DB_SEED];

    (void)state;
    assert_true(config_table_equal(key, &a, &b));
    assert_null(config_table_text(key, &a));
    assert_ok(config_table_set(key, &a, "/x", &err));
    assert_false(config_table_equal(key, &a, &b));
    assert_false(config_table_equal(key, &b, &a));
    assert_ok(config_table_set(key, &b, "/y", &err));
    assert_false(config_table_equal(key, &a, &b));
    config_table_copy(key, &b, &a);
    assert_true(config_table_equal(key, &a, &b));
    config_file_free_db(&a);
    config_table_copy(key, &b, &a);
    assert_null(b.seed);
    config_file_free_db(&b);
}

static void test_nearest(void **state)
{
    static const char *const words[] = {"interval", "commits", "databases", "log", NULL};

    (void)state;
    assert_string_equal(config_table_nearest("intervall", words), "interval");
    assert_string_equal(config_table_nearest("itnerval", words), "interval");
    assert_string_equal(config_table_nearest("commit", words), "commits");
    assert_string_equal(config_table_nearest("dbatabases", words), "databases");
    assert_string_equal(config_table_nearest("lgo", words), "log");
    assert_null(config_table_nearest("sync", words));
    assert_null(config_table_nearest("", words));
    assert_null(config_table_nearest("xy", words));
    assert_null(config_table_nearest("intervalintervalintervalintervalinterval!", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
