/* SPDX-License-Identifier: Apache-2.0 */
/* Every key from the file, and every error with its whole text. */
#include "config_kit.h"

#include "fault_fsys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_every_key(void **state)
{
    struct config *c = loads("databases:\n"
                             "  - path: /var/lib/app/app.db\n"
                             "    replica: s3://backups/app\n"
                             "    sync: {interval: 2s, commits: 100}\n"
                             "    snapshot: {interval: 12h}\n"
                             "    retention: {exact: 24h, daily: 7, weekly: 4, monthly: 12}\n"
                             "    restore-if-missing: true\n"
                             "    seed: /app/seed.db\n"
                             "    no-switch: true\n"
                             "    log-limit: 64MiB\n"
                             "    spool-limit: 10GB\n"
                             "    fencing: warn\n"
                             "    state-dir: /var/lib/weir\n"
                             "  - dir: /srv/tenants\n"
                             "    pattern: '*.sqlite'\n"
                             "    watch: true\n"
                             "    recursive: true\n"
                             "    replica:\n"
                             "      url: s3://backups/tenants\n"
                             "      endpoint: https://s3.example.net\n"
                             "      storage-class: STANDARD_IA\n"
                             "http: {listen: '127.0.0.1:9180', token-file: /run/token}\n"
                             "socket: /run/weir/weir.sock\n"
                             "log: {level: debug, format: json}\n"
                             "shutdown-timeout: 10s\n");
    const struct config_db *db = &c->dbs[0];

    (void)state;
    assert_int_equal(c->db_count, 2);
    assert_string_equal(c->file, path);
    assert_string_equal(db->path, "/var/lib/app/app.db");
    assert_string_equal(db->replica, "s3://backups/app");
    assert_int_equal(db->sync_interval_ms, 2000);
    assert_int_equal(db->sync_commits, 100);
    assert_int_equal(db->snapshot_interval_ms, 12 * 3600 * 1000);
    assert_true(config_has_retention(db));
    assert_int_equal(db->retention_exact_ms, 24 * 3600 * 1000);
    assert_int_equal(db->retention_daily, 7);
    assert_int_equal(db->retention_weekly, 4);
    assert_int_equal(db->retention_monthly, 12);
    assert_true(db->restore_if_missing);
    assert_string_equal(db->seed, "/app/seed.db");
    assert_true(db->no_switch);
    assert_int_equal(db->log_limit, 64 << 20);
    assert_int_equal(db->spool_limit, 10000000000);
    assert_int_equal(db->fencing, CONFIG_FENCING_WARN);
    assert_int_equal(db->option_count, 0);
    db = &c->dbs[1];
    assert_string_equal(db->dir, "/srv/tenants");
    assert_string_equal(db->pattern, "*.sqlite");
    assert_true(db->watch);
    assert_true(db->recursive);
    assert_string_equal(db->replica, "s3://backups/tenants");
    assert_int_equal(db->option_count, 2);
    assert_string_equal(db->options[0].name, "endpoint");
    assert_string_equal(db->options[0].value, "https://s3.example.net");
    assert_string_equal(db->options[1].name, "storage-class");
    assert_string_equal(db->options[1].value, "STANDARD_IA");
    assert_string_equal(strrchr(db->options[1].at, '/'), "/weir.yml:21:22");
    assert_string_equal(c->http_listen, "127.0.0.1:9180");
    assert_string_equal(c->http_token_file, "/run/token");
    assert_string_equal(c->socket, "/run/weir/weir.sock");
    assert_string_equal(c->dbs[0].state_dir, "/var/lib/weir");
    assert_int_equal(c->log_level, SLOG_DEBUG);
    assert_int_equal(c->log_format, SLOG_JSON);
    assert_int_equal(c->shutdown_ms, 10000);
    config_free(c);
}

static void test_defaults(void **state)
{
    struct config *c = loads(ENTRY);
    const struct config_db *db = &c->dbs[0];

    (void)state;
    assert_int_equal(db->sync_interval_ms, 1000);
    assert_int_equal(db->sync_commits, 0);
    assert_int_equal(db->snapshot_interval_ms, 7 * 24 * 3600 * 1000);
    assert_int_equal(db->merge_interval_ms, 3600 * 1000);
    assert_int_equal(db->merge_long_interval_ms, 24 * 3600 * 1000);
    assert_int_equal(db->merge_percent, 50); /* two levels of merges and two sizes of folds: three times the log */
    assert_false(config_has_retention(db));
    assert_false(db->restore_if_missing);
    assert_null(db->seed);
    assert_false(db->no_switch);
    assert_int_equal(db->log_limit, 256 << 20);
    assert_int_equal(db->spool_limit, 1 << 30);
    assert_int_equal(db->fencing, CONFIG_FENCING_WARN);
    assert_null(db->pattern);
    assert_null(c->http_listen);
    assert_null(c->socket);
    assert_int_equal(c->log_level, SLOG_INFO);
    assert_int_equal(c->log_format, SLOG_TEXT);
    assert_int_equal(c->shutdown_ms, 30000);
    config_free(c);
    c = loads("databases:\n  - dir: /d\n    replica: file:///r\n");
    assert_string_equal(c->dbs[0].pattern, "*.db");
    assert_false(c->dbs[0].watch);
    config_free(c);
}

static void test_bad_keys(void **state)
{
    (void)state;
    refuses("database: []\n", ":1:1: there is no key 'database': did you mean 'databases'?");
    refuses(ENTRY "    sync: {intervall: 1s}\n", ":4:12: there is no key 'sync.intervall': did you mean "
                                                 "'sync.interval'?");
    refuses(ENTRY "    sync.interval: 1s\n", ":4:5: there is no key 'sync.interval' of a database");
    refuses(ENTRY "    fences: warn\n", ":4:5: there is no key 'fences': did you mean 'fencing'?");
    refuses(ENTRY "    xyzzy: 1\n", ":4:5: there is no key 'xyzzy' of a database");
    refuses(ENTRY "    socket: /s\n", ":4:5: there is no key 'socket' of a database");
    refuses(ENTRY "pth: 1\n", ":4:1: there is no key 'pth'");
    refuses(ENTRY "defaults: {path: /x}\n", ":4:12: 'path' belongs to one database, not to defaults");
    refuses(ENTRY "defaults: {xyzzy: 1}\n", ":4:12: there is no key 'xyzzy' in defaults");
    refuses(ENTRY "defaults: {replcia: {}}\n", ":4:12: there is no key 'replcia': did you mean 'replica'?");
    refuses(ENTRY "defaults: {replica: s3://b}\n",
        ":4:21: replica: the URL belongs to one database; defaults take a mapping of options");
    refuses(ENTRY "defaults: {replica: {url: 's3://b'}}\n",
        ":4:27: replica: the URL belongs to one database; defaults take a mapping of options");
    refuses(
        ENTRY "log: {level: info}\nlog: {level: debug}\n", ":5:1: 'log' stands here a second time, first in line 4");
}

static void test_bad_types(void **state)
{
    (void)state;
    refuses("[1]\n", ":1:1: the configuration: a list stands where a mapping is expected");
    refuses("databases: /a.db\n", ":1:12: databases: a single value stands where a list is expected");
    refuses("databases: {path: /a.db}\n", ":1:12: databases: a mapping stands where a list is expected");
    refuses("databases:\n", ":1:11: databases: it has no value");
    refuses("databases: [/a.db]\n", ":1:13: an entry of databases: a single value stands where a mapping is expected");
    refuses(ENTRY "defaults: 1s\n", ":4:11: defaults: a single value stands where a mapping is expected");
    refuses(ENTRY "    sync: 1s\n", ":4:11: sync: a single value stands where a mapping is expected");
    refuses(ENTRY "    sync:\n", ":4:10: sync: it has no value");
    refuses(
        ENTRY "    sync: {interval: [1s]}\n", ":4:22: sync.interval: a list stands where a single value is expected");
    refuses(ENTRY "    sync: {interval: }\n", ":4:22: sync.interval: it has no value");
    refuses(ENTRY "    seed: ''\n", ":4:11: seed: it has no value");
    refuses("databases: [{path: /a.db, replica: [s3]}]\n",
        ":1:36: replica: a list stands where a single value is expected");
    refuses("databases: [{path: /a.db, replica: {url: 's3://b', endpoint: {}}}]\n",
        ":1:62: replica.endpoint: a mapping stands where a single value is expected");
    refuses("databases: [{path: /a.db, replica: {endpoint: x}}]\n", ":1:36: replica: its url is missing");
    refuses("databases: [{path: /a.db, replica: {url: 's3://b', End_Point: x}}]\n",
        ":1:63: 'End_Point' is not the name of an option of a replica");
}

static void test_bad_values(void **state)
{
    (void)state;
    refuses(ENTRY "    sync: {interval: 10}\n",
        ":4:22: sync.interval: '10' has no unit (a duration like 250ms, 10s, 5m, 24h or 7d)");
    refuses(ENTRY "    no-switch: yes\n", ":4:16: no-switch: 'yes' is not true or false");
    refuses(ENTRY "    fencing: maybe\n", ":4:14: fencing: 'maybe' is none of require|warn");
    refuses(ENTRY "socket: weir.sock\n", ":4:9: socket: 'weir.sock' is not an absolute path");
    refuses(ENTRY "log: {level: loud}\n", ":4:14: log.level: 'loud' is none of error|warn|info|debug|trace");
    refuses(ENTRY "http: {listen: 9180}\n", ":4:16: http.listen: '9180' is not HOST:PORT");
    refuses(ENTRY "    seed: ${NOWHERE}\n", ":4:11: seed: the environment variable NOWHERE is not set");
    refuses(ENTRY "    seed: ${NOWHERE:-}\n", ":4:11: seed: the variables in it are empty");
    refuses(ENTRY "    seed: \"/a\\u0085\"\n", ":4:11: seed: the value holds a control character (0x85)");
    refuses(ENTRY "    seed: \"/a\\u2028\"\n", ":4:11: seed: the value holds a character that cannot be seen");
}

static void test_bad_combinations(void **state)
{
    (void)state;
    refuses("", ": it names no databases");
    refuses("databases: []\n", ": it names no databases");
    refuses("databases:\n  - replica: file:///r\n", ":2:5: the database has no path (and no dir)");
    refuses("databases:\n  - path: /a.db\n", ":2:5: the database has no replica");
    refuses(ENTRY "    dir: /d\n", ":4:10: path and dir exclude each other");
    refuses(ENTRY "    pattern: x\n", ":4:14: pattern is for databases that are found in a dir");
    refuses(ENTRY "    watch: false\n", ":4:12: watch is for databases that are found in a dir");
    refuses(ENTRY "    recursive: true\n", ":4:16: recursive is for databases that are found in a dir");
    refuses("databases: [{dir: /d, pattern: 'a/*', replica: 'file:///r'}]\n",
        ":1:32: pattern: it is for names of files, so it holds no '/'");
    refuses("databases: [{path: /a, replica: backups/app}]\n",
        ":1:33: replica: it is not a URL like s3://bucket/path or file:///path");
    refuses("databases: [{path: /a, replica: '://x'}]\n",
        ":1:33: replica: it is not a URL like s3://bucket/path or file:///path");
    refuses("databases: [{path: /a, replica: 's3://b/{path}'}]\n",
        ":1:33: replica: {path} and {name} are for databases that are found in a dir");
    refuses(ENTRY "http: {token-file: /t}\n", ":4:20: http.token-file needs http.listen");
}

static void test_duplicates(void **state)
{
    CLEANUP(mem_freep) char *at = mem_printf(":4:11: /a.db has an entry already, at %s:2:11", path);
    CLEANUP(mem_freep) char *of = mem_printf(":5:14: replica: another database has this one already, at %s:3:14", path);
    CLEANUP(mem_freep) char *folder = mem_printf(":1:52: /d/ has an entry already, at %s:1:19", path);
    struct config *c;

    (void)state;
    refuses(ENTRY "  - path: /a.db\n    replica: file:///other\n", at);
    refuses(ENTRY "  - path: /b.db\n    replica: file:///r/\n", of);
    refuses("databases: [{dir: /d, replica: 'file:///r'}, {dir: /d/, replica: 'file:///s'}]\n", folder);
    /* The same bucket at two providers is two replicas. */
    c = loads("databases:\n"
              "  - {path: /a.db, replica: {url: 's3://b/p', endpoint: x}}\n"
              "  - {path: /b.db, replica: {url: 's3://b/p', endpoint: y}}\n"
              "  - {path: /c.db, replica: {url: 's3://b/p'}}\n");
    assert_int_equal(c->db_count, 3);
    config_free(c);
}

/* --- files and folders -------------------------------------------------------------------------------------------- */

static void test_missing_file(void **state)
{
    struct config *c = NULL;
    struct err err;
    struct config_request r = {.fs = &fsys_real, .file = "/nowhere/weir.yml"};

    (void)state;
    assert_fails(config_load(&c, &r, &err), E_CONFIG);
    assert_string_equal(err.msg, "configuration: open /nowhere/weir.yml: No such file or directory");
    r.file = "/tmp";
    assert_fails(config_load(&c, &r, &err), E_CONFIG); /* what no retry mends */
    assert_string_equal(err.msg, "configuration: /tmp: read at 0: Is a directory");
    r.file = "/nowhere/weir.yml";
    r.file_optional = true;
    assert_fails(config_load(&c, &r, &err), E_CONFIG);
    assert_string_equal(err.msg, "no database is named: not on the command line, not by WEIR_DB and WEIR_REPLICA, and "
                                 "there is no /nowhere/weir.yml");
    r.any_count = true;
    assert_ok_err(config_load(&c, &r, &err), &err);
    assert_int_equal(c->db_count, 0);
    assert_null(c->file);
    config_free(c);
    config_free(NULL);
}

static void test_faults(void **state)
{
    struct fault_fsys f;
    long n;

    (void)state;
    put_file(ENTRY);
    for (n = 1;; n++) {
        struct config *c = NULL;
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, FAULT_FOREVER, n, EIO);
        f.ops = FAULT_ALL & ~(unsigned)FAULT_CLOSE;
        rc = config_load(&c, &(struct config_request){.fs = &f.fs, .file = path}, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            config_free(c);
            break;
        }
        assert_fails(rc, E_IO);
        assert_non_null(strstr(err.msg, "Input/output error"));
        assert_null(c);
    }
    assert_in_range(n, 4, 20);
}

/* Sized by what comes from outside: no memory is an error, and everything is given back. */
static void test_no_memory(void **state)
{
    long n;

    (void)state;
    put_file(ENTRY "  - {path: /b.db, replica: {url: 's3://b', endpoint: e, region: r}}\n");
    for (n = 1;; n++) {
        struct config *c = NULL;
        struct err err;
        struct rc rc;

        mem_fail_after(n, false);
        rc = config_load(&c, &(struct config_request){.fs = &fsys_real, .file = path}, &err);
        mem_fail_after(0, false);
        if (!rc_failed(rc)) {
            config_free(c);
            break;
        }
        assert_fails(rc, E_NOMEM);
        assert_null(c);
        assert_in_range(n, 1, 40);
    }
    assert_in_range(n, 3, 40);
}

static const char *below(const struct config *c, const char *file, size_t want)
{
    const char *relative = "unset";
    const struct config_db *db = config_find_path(c, file, &relative);

    assert_ptr_equal(db, want < c->db_count ? &c->dbs[want] : NULL);
    return relative;
}

static void test_find_path(void **state)
{
    struct config *c = loads("databases:\n"
                             "  - {dir: /d, recursive: true, replica: 'file:///1'}\n"
                             "  - {dir: /d/sub/, replica: 'file:///2'}\n"
                             "  - {path: /d/own.db, replica: 'file:///3'}\n"
                             "  - {dir: /flat, pattern: 'x*', replica: 'file:///4'}\n");

    (void)state;
    assert_string_equal(below(c, "/d/a.db", 0), "a.db");
    assert_string_equal(below(c, "/d/e/f/a.db", 0), "e/f/a.db");
    assert_string_equal(below(c, "/d/sub/a.db", 1), "a.db");
    assert_string_equal(below(c, "/d/sub/deep/a.db", 0), "sub/deep/a.db");
    assert_null(below(c, "/d/own.db", 2));
    assert_string_equal(below(c, "/flat/x1", 3), "x1");
    assert_null(below(c, "/flat/y1", 9));
    assert_null(below(c, "/flat/deep/x1", 9));
    assert_null(below(c, "/d/a.txt", 9));
    assert_null(below(c, "/d/.hidden.db", 9));
    assert_null(below(c, "/dx/a.db", 9));
    assert_null(below(c, "/d", 9));
    config_free(c);
    c = loads("databases: [{dir: /, recursive: true, replica: 'file:///1'}]\n");
    assert_string_equal(below(c, "/a.db", 0), "a.db");
    assert_string_equal(below(c, "/x/a.db", 0), "x/a.db");
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_bad_types),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_combinations),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_find_path),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
