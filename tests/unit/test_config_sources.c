/* SPDX-License-Identifier: Apache-2.0 */
/* File, environment and command line: who wins, and what each of them may say. */
#include "config_kit.h"

static void test_precedence(void **state)
{
    static const char *const env[] = {"WEIR_SYNC_COMMITS=30", "WEIR_LOG_LIMIT=30MiB", "WEIR_SPOOL_LIMIT=30MiB",
        "WEIR_DATABASES_0_LOG_LIMIT=40MiB", "WEIR_DATABASES_0_SPOOL_LIMIT=40MiB", "WEIR_LOG_LEVEL=warn",
        "WEIR_SOCKET=/env", "WEIR_SEED=", NULL};
    static const struct config_override command[] = {
        {"spool-limit", "50MiB", "--spool-limit"}, {"socket", "/command", "--socket"}, {"seed", NULL, "--seed"}};
    struct config *c = loads_with("defaults:\n"
                                  "  snapshot: {interval: 10m}\n"
                                  "  sync: {interval: 10ms, commits: 10}\n"
                                  "  retention: {daily: 10}\n"
                                  "databases:\n"
                                  "  - path: /a.db\n"
                                  "    replica: file:///r\n"
                                  "    sync: {interval: 20ms, commits: 20}\n"
                                  "    log-limit: 20MiB\n"
                                  "    spool-limit: 20MiB\n"
                                  "    seed: /file\n"
                                  "  - {path: /b.db, replica: 'file:///s', log-limit: 20MiB}\n"
                                  "log: {level: error, format: json}\n"
                                  "socket: /file\n",
        (struct config_request){.environ_pairs = env, .overrides = command, .override_count = 3});
    const struct config_db *a = &c->dbs[0], *b = &c->dbs[1];

    (void)state;
    assert_int_equal(a->snapshot_interval_ms, 600000); /* defaults: over built in */
    assert_int_equal(a->sync_interval_ms, 20);         /* the entry over defaults: */
    assert_int_equal(b->sync_interval_ms, 10);
    assert_int_equal(a->retention_daily, 10);
    assert_int_equal(a->retention_weekly, 0);
    assert_int_equal(a->sync_commits, 30); /* environment over file */
    assert_int_equal(b->sync_commits, 30);
    assert_int_equal(a->log_limit, 40 << 20); /* environment for one over that for all */
    assert_int_equal(b->log_limit, 30 << 20);
    assert_int_equal(a->spool_limit, 50 << 20); /* command line over environment */
    assert_int_equal(b->spool_limit, 50 << 20);
    assert_string_equal(a->seed, "/file"); /* an empty variable, an option that is not given */
    assert_int_equal(c->log_level, SLOG_WARN);
    assert_int_equal(c->log_format, SLOG_JSON);
    assert_string_equal(c->socket, "/command");
    assert_string_equal(a->at[CONFIG_DB_SPOOL_LIMIT], "--spool-limit");
    assert_string_equal(a->at[CONFIG_DB_LOG_LIMIT], "WEIR_DATABASES_0_LOG_LIMIT");
    assert_null(a->at[CONFIG_DB_FENCING]);
    config_free(c);
}

static void test_options(void **state)
{
    static const char *const env[] = {
        "WEIR_REPLICA_REGION=env", "WEIR_DATABASES_1_REPLICA_REGION=one", "SECRET=hush", NULL};
    struct config *c = loads_with("defaults: {replica: {region: file, secret-key: '${SECRET}', profile: p}}\n"
                                  "databases:\n"
                                  "  - {path: /a.db, replica: {url: 's3://b/a', profile: q}}\n"
                                  "  - {path: /b.db, replica: 's3://b/b'}\n"
                                  "  - {path: /c.db, replica: 'file:///c'}\n",
        (struct config_request){.environ_pairs = env});

    (void)state;
    assert_int_equal(c->dbs[0].option_count, 3);
    assert_string_equal(c->dbs[0].options[0].value, "env");
    assert_string_equal(c->dbs[0].options[1].value, "q");
    assert_string_equal(c->dbs[0].options[2].value, "hush");
    assert_int_equal(c->dbs[1].option_count, 3);
    assert_string_equal(c->dbs[1].options[0].value, "one");
    assert_int_equal(c->dbs[2].option_count, 0); /* a directory has none */
    config_free(c);
}

/* Who only asks a daemon need not have the secrets of its service; what says where it is must be right all the same. */
static void test_without_options(void **state)
{
    static const char text[] = "defaults: {replica: {region: '${NOWHERE}'}}\n"
                               "socket: /s\n"
                               "databases:\n"
                               "  - {path: /a.db, replica: {url: 's3://b/a', secret-key: '${NOWHERE}'}}\n";
    struct config *c = loads_with(text, (struct config_request){.no_options = true});

    (void)state;
    assert_string_equal(c->socket, "/s");
    assert_string_equal(c->dbs[0].path, "/a.db");
    assert_string_equal(c->dbs[0].replica, "s3://b/a");
    assert_int_equal(c->dbs[0].option_count, 0);
    config_free(c);
    refuses(text, ":1:30: replica.region: the environment variable NOWHERE is not set");
    refuses_with("databases: [{path: '${NOWHERE}', replica: 's3://b/a'}]\n",
        (struct config_request){.no_options = true}, ":1:20: path: the environment variable NOWHERE is not set");
}

static void test_environment_only(void **state)
{
    static const char *const one[] = {"WEIR_DB=/a.db", "WEIR_REPLICA=s3://b/a", "WEIR_REPLICA_ENDPOINT=h", NULL};
    static const char *const two[] = {"WEIR_DATABASES_0_PATH=/a.db", "WEIR_DATABASES_0_REPLICA=s3://b/a",
        "WEIR_DATABASES_1_DIR=/d", "WEIR_DATABASES_1_REPLICA=s3://b/d", "WEIR_DATABASES_1_WATCH=true", NULL};
    struct config *c = loads_with(NULL, (struct config_request){.environ_pairs = one});

    (void)state;
    assert_null(c->file);
    assert_int_equal(c->db_count, 1);
    assert_string_equal(c->dbs[0].path, "/a.db");
    assert_string_equal(c->dbs[0].replica, "s3://b/a");
    assert_string_equal(c->dbs[0].options[0].name, "endpoint");
    config_free(c);
    c = loads_with(NULL, (struct config_request){.environ_pairs = two});
    assert_int_equal(c->db_count, 2);
    assert_string_equal(c->dbs[1].dir, "/d");
    assert_true(c->dbs[1].watch);
    config_free(c);
    c = loads_with(ENTRY "socket: /s\n", (struct config_request){.environ_pairs = one});
    assert_int_equal(c->db_count, 1); /* instead of the file's */
    assert_string_equal(c->dbs[0].replica, "s3://b/a");
    assert_string_equal(c->socket, "/s");
    config_free(c);
    c = loads_with(ENTRY, (struct config_request){.environ_pairs = (const char *const[]){"WEIR_DATABASES_1_PATH=/b.db",
                                                      "WEIR_DATABASES_1_REPLICA=file:///b", NULL}});
    assert_int_equal(c->db_count, 2); /* behind the file's */
    assert_string_equal(c->dbs[1].path, "/b.db");
    config_free(c);
}

static void refuses_env(const char *text, const char *pair, const char *message)
{
    const char *const env[] = {pair, NULL};

    refuses_with(text, (struct config_request){.environ_pairs = env}, message);
}

static void test_bad_environment(void **state)
{
    static const char *const both[] = {"WEIR_DB=/a", "WEIR_REPLICA=s3://b", "WEIR_DATABASES_0_SEED=/s", NULL};
    struct config *c;

    (void)state;
    refuses_env(ENTRY, "WEIR_SYNC_INTERVALL=1s",
        "WEIR_SYNC_INTERVALL: there is no such setting: did you mean WEIR_SYNC_INTERVAL?");
    refuses_env(ENTRY, "WEIR_XYZZYXYZZY=1s", "WEIR_XYZZYXYZZY: there is no such setting");
    refuses_env(ENTRY, "WEIR_SYNC_INTERVAL=1",
        "WEIR_SYNC_INTERVAL: sync.interval: '1' has no unit (a duration like 250ms, 10s, 5m, 24h or 7d)");
    refuses_env(ENTRY, "WEIR_SEED=/a\nb", "WEIR_SEED: seed: the value holds a control character (0x0a)");
    refuses_env(ENTRY, "WEIR_REPLICA_SECRET_KEY=a\nb",
        "WEIR_REPLICA_SECRET_KEY: replica.secret-key: the value holds a control character (0x0a)");
    refuses_env(NULL, "WEIR_DB=/a", "WEIR_DB and WEIR_REPLICA belong together: WEIR_REPLICA is not set");
    refuses_env(NULL, "WEIR_REPLICA=s3://b", "WEIR_DB and WEIR_REPLICA belong together: WEIR_DB is not set");
    refuses_env(NULL, "WEIR_DATABASES_0_PATH=/a", "WEIR_DATABASES_0: the database has no replica");
    refuses_env(ENTRY, "WEIR_DATABASES_2_PATH=/a", "the environment: the database has no path (and no dir)");
    refuses_env(NULL, "HOME=/root",
        "no database is named: not on the command line, not by WEIR_DB and WEIR_REPLICA, and there is no "
        "configuration file");
    refuses_with(
        NULL, (struct config_request){.environ_pairs = both}, "WEIR_DB and WEIR_DATABASES_<N>_... exclude each other");
    /* A variable that the file uses has a meaning. */
    c = loads_with("databases: [{path: '/${WEIR_STAGE}.db', replica: 'file:///r'}]\n",
        (struct config_request){.environ_pairs = (const char *const[]){"WEIR_STAGE=test", NULL}});
    assert_string_equal(c->dbs[0].path, "/test.db");
    config_free(c);
}

static void test_operands(void **state)
{
    static const char *const env[] = {"WEIR_DB=/e.db", "WEIR_DATABASES_0_SEED=/s", "WEIR_SYNC_COMMITS=3", NULL};
    static const char *const operands[] = {"/x.db", "file:///x", "/y.db", "s3://y"};
    static const char *const twice[] = {"/x.db", "file:///x", "/x.db", "file:///y"};
    struct config *c = loads_with(ENTRY "defaults: {snapshot: {interval: 1h}, replica: {region: r}}\n",
        (struct config_request){.environ_pairs = env, .operands = operands, .operand_count = 4});

    (void)state;
    assert_int_equal(c->db_count, 2); /* instead of the file's and the environment's */
    assert_string_equal(c->dbs[0].path, "/x.db");
    assert_null(c->dbs[0].seed);
    assert_int_equal(c->dbs[0].sync_commits, 3);
    assert_int_equal(c->dbs[0].snapshot_interval_ms, 3600000);
    assert_int_equal(c->dbs[0].option_count, 0);
    assert_int_equal(c->dbs[1].option_count, 1);
    config_free(c);
    refuses_with(NULL, (struct config_request){.operands = twice, .operand_count = 4},
        "command line: /x.db has an entry already, at command line");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_without_options),
        cmocka_unit_test(test_environment_only),
        cmocka_unit_test(test_bad_environment),
        cmocka_unit_test(test_operands),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
