/* SPDX-License-Identifier: Apache-2.0 */
/* Variables in values, and variables that are settings. */
#include "check.h"

#include "alloc.h"
#include "config_env.h"

#include <string.h>

static const char *const environ_pairs[] = {
    "HOME=/root", "EMPTY=", "A=1", "AB=2", "DOLLAR=${A}", "odd", "_x9=under", NULL};

static void expands(const char *text, const char *want)
{
    CLEANUP(mem_freep) char *got = NULL;
    struct err err;

    assert_ok_err(config_env_expand(environ_pairs, text, &got, &err), &err);
    assert_string_equal(got, want);
}

static void refuses(const char *text, const char *message)
{
    char *got = NULL;
    struct err err;

    assert_fails(config_env_expand(environ_pairs, text, &got, &err), E_CONFIG);
    assert_string_equal(err.msg, message);
    assert_null(got);
}

static void test_expansion(void **state)
{
    (void)state;
    expands("", "");
    expands("plain", "plain");
    expands("${HOME}/app.db", "/root/app.db");
    expands("${A}${AB}${A}", "121");
    expands("${EMPTY}", "");
    expands("${EMPTY:-x}", "x");
    expands("${MISSING:-x y:z}", "x y:z");
    expands("${MISSING:-}", "");
    expands("${A:-x}", "1");
    expands("${_x9}", "under");
    expands("${DOLLAR}", "${A}"); /* not expanded again */
    expands("$A $ $$ $(x) {A}", "$A $ $$ $(x) {A}");
    expands("$${A} ${A}", "${A} 1");
    expands("$$${A}", "$${A}");
}

static void test_bad_expansion(void **state)
{
    (void)state;
    refuses("x${MISSING}", "the environment variable MISSING is not set");
    refuses("${A", "'${A' has no '}' (a plain '${' is written '$${')");
    refuses("${}", "'${' is not followed by the name of a variable (a plain '${' is written '$${')");
    refuses("${9}", "'${' is not followed by the name of a variable (a plain '${' is written '$${')");
    refuses("${A-x}", "'${A' must go on with '}' or ':-DEFAULT}'");
    refuses("${A:x}", "'${A' must go on with '}' or ':-DEFAULT}'");
    refuses("${MISSING:-${A}}", "the default of '${MISSING' holds another '${'");
}

static void test_value_limit(void **state)
{
    char *text = mem_new(CONFIG_ENV_VALUE_MAX + 2);

    (void)state;
    memset(text, 'x', CONFIG_ENV_VALUE_MAX + 1);
    refuses(text, "the value is longer than 65536 bytes");
    text[CONFIG_ENV_VALUE_MAX] = 0;
    expands(text, text);
    mem_free(text);
}

static void means(const char *pair, enum config_env_kind kind, const char *key, long index)
{
    struct config_env_var v = config_env_parse(pair);

    if (v.kind != kind)
        print_error("%s: kind %d\n", pair, (int)v.kind);
    assert_int_equal(v.kind, kind);
    if (kind == CONFIG_ENV_OTHER || kind == CONFIG_ENV_UNKNOWN)
        return;
    assert_string_equal(v.key, key);
    assert_int_equal(v.has_index, index >= 0);
    if (index >= 0)
        assert_int_equal(v.index, index);
    assert_string_equal(v.value, strchr(pair, '=') + 1);
    assert_memory_equal(v.name, pair, strlen(v.name));
}

static void test_variables(void **state)
{
    (void)state;
    means("WEIR_SOCKET=/s", CONFIG_ENV_GLOBAL, "socket", -1);
    means("WEIR_LOG_LEVEL=debug", CONFIG_ENV_GLOBAL, "log.level", -1);
    means("WEIR_HTTP_TOKEN_FILE=/t", CONFIG_ENV_GLOBAL, "http.token-file", -1);
    means("WEIR_SHUTDOWN_TIMEOUT=1s", CONFIG_ENV_GLOBAL, "shutdown-timeout", -1);
    means("WEIR_SYNC_INTERVAL=1s=2", CONFIG_ENV_GLOBAL, "sync.interval", -1);
    means("WEIR_RESTORE_IF_MISSING=true", CONFIG_ENV_GLOBAL, "restore-if-missing", -1);
    means("WEIR_DB=/a", CONFIG_ENV_SINGLE, "path", -1);
    means("WEIR_REPLICA=s3://b", CONFIG_ENV_SINGLE, "replica", -1);
    means("WEIR_REPLICA_SECRET_KEY=x", CONFIG_ENV_OPTION, "secret-key", -1);
    means("WEIR_DATABASES_0_PATH=/a", CONFIG_ENV_DATABASE, "path", 0);
    means("WEIR_DATABASES_999_SYNC_INTERVAL=1s", CONFIG_ENV_DATABASE, "sync.interval", 999);
    means("WEIR_DATABASES_12_REPLICA=s3://b", CONFIG_ENV_DATABASE, "replica", 12);
    means("WEIR_DATABASES_12_REPLICA_ENDPOINT=h", CONFIG_ENV_OPTION, "endpoint", 12);
    means("PATH=/bin", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_CONFIG=/x", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_SERVICE_HOST=10.0.0.1", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_PORT=tcp://10.0.0.1:9180", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_METRICS_PORT_9180_TCP=tcp://10.0.0.1:9180", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_METRICS_SERVICE_PORT_HTTP=9180", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_TEST_SEED=1", CONFIG_ENV_OTHER, NULL, -1);
    means("WEIR_SYNC=1s", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_PATH=/a", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_REPORT=1", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_sync_interval=1s", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_REPLICA_endpoint=h", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_DATABASES_PATH=/a", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_DATABASES_1000_PATH=/a", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_DATABASES_0=/a", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_DATABASES_0_SOCKET=/a", CONFIG_ENV_UNKNOWN, NULL, -1);
    means("WEIR_=1", CONFIG_ENV_UNKNOWN, NULL, -1);
}

static void test_names(void **state)
{
    char name[64];

    (void)state;
    config_env_name("retention.exact", name, sizeof name);
    assert_string_equal(name, "WEIR_RETENTION_EXACT");
    config_env_name("http.token-file", name, sizeof name);
    assert_string_equal(name, "WEIR_HTTP_TOKEN_FILE");
    assert_string_equal(config_env_get(environ_pairs, "A"), "1");
    assert_null(config_env_get(environ_pairs, "B"));
    assert_null(config_env_get(NULL, "A"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_bad_expansion),
        cmocka_unit_test(test_value_limit),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
