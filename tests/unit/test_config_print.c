/* SPDX-License-Identifier: Apache-2.0 */
/* The golden file, and that what was printed says the same when it is read. */
#include "config_kit.h"

#include "alloc.h"
#include "config_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config *loads_any(const char *text, const char *const *environ_pairs)
{
    struct config *c = NULL;
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, text, strlen(text), 0600, &err), &err);
    assert_ok_err(
        config_load(&c,
            &(struct config_request){.fs = &fsys_real, .file = path, .environ_pairs = environ_pairs, .any_count = true},
            &err),
        &err);
    return c;
}

static char *print(const struct config *c, bool places)
{
    struct buf out;
    char *text;
    struct err err;

    buf_init(&out, CONFIG_PRINT_MAX);
    config_print_yaml(c, places, &out);
    assert_ok_err(buf_check(&out, "print", &err), &err);
    text = mem_strdup(buf_str(&out));
    buf_fini(&out);
    return text;
}

/* The configuration of the golden file. */
static const char source[] = "databases:\n"
                             "  - path: /var/lib/app/app.db\n"
                             "    replica:\n"
                             "      url: s3://backups/app?region=eu-central-1&session-token=T0KEN\n"
                             "      access-key: AKIA\n"
                             "      secret-key: ${SECRET}\n"
                             "      proxy: http://me:S3CRET@proxy:3128\n"
                             "    sync: {interval: 250ms}\n"
                             "    retention: {exact: 24h}\n"
                             "  - dir: /srv/tenants\n"
                             "    pattern: \"*.db\"\n"
                             "    seed: '/odd \"name\" \\ $${X} # ü'\n"
                             "    replica: file:///backup\n"
                             "socket: /run/weir.sock\n";
static const char *const env[] = {"SECRET=S3CRET", "WEIR_LOG_LEVEL=warn", NULL};

static void test_golden(void **state)
{
    struct config *c = loads_any(source, env);
    CLEANUP(mem_freep) char *got = print(c, false);

    (void)state;
    assert_string_equal(got, "socket: /run/weir.sock\n"
                             "log:\n"
                             "  level: warn\n"
                             "  format: text\n"
                             "shutdown-timeout: 30s\n"
                             "databases:\n"
                             "  - path: /var/lib/app/app.db\n"
                             "    replica:\n"
                             "      url: \"s3://backups/app?region=eu-central-1&session-token=<hidden>\"\n"
                             "      access-key: AKIA\n"
                             "      secret-key: \"<hidden>\"\n"
                             "      proxy: \"http://me:<hidden>@proxy:3128\"\n"
                             "    sync:\n"
                             "      interval: 250ms\n"
                             "      commits: off\n"
                             "    snapshot:\n"
                             "      interval: 7d\n"
                             "    merge:\n"
                             "      interval: 1h\n"
                             "      long-interval: 1d\n"
                             "      percent: 50\n"
                             "    retention:\n"
                             "      exact: 1d\n"
                             "      daily: 0\n"
                             "      weekly: 0\n"
                             "      monthly: 0\n"
                             "      interval: 1d\n"
                             "    drill:\n"
                             "      interval: 1d\n"
                             "      window: 7d\n"
                             "      max-size: 10GiB\n"
                             "      rate: 16MiB\n"
                             "    scrub:\n"
                             "      interval: 1d\n"
                             "      rate: 16MiB\n"
                             "    restore-if-missing: false\n"
                             "    no-switch: false\n"
                             "    log-limit: 256MiB\n"
                             "    spool-limit: 1GiB\n"
                             "    fencing: warn\n"
                             "    fold:\n"
                             "      count: 32\n"
                             "      delete-after: 10m\n"
                             "  - dir: /srv/tenants\n"
                             "    pattern: \"*.db\"\n"
                             "    watch: false\n"
                             "    recursive: false\n"
                             "    replica: file:///backup\n"
                             "    sync:\n"
                             "      interval: 1s\n"
                             "      commits: off\n"
                             "    snapshot:\n"
                             "      interval: 7d\n"
                             "    merge:\n"
                             "      interval: 1h\n"
                             "      long-interval: 1d\n"
                             "      percent: 50\n"
                             "    drill:\n"
                             "      interval: 1d\n"
                             "      window: 7d\n"
                             "      max-size: 10GiB\n"
                             "      rate: 16MiB\n"
                             "    scrub:\n"
                             "      interval: 1d\n"
                             "      rate: 16MiB\n"
                             "    restore-if-missing: false\n"
                             "    seed: \"/odd \\\"name\\\" \\\\ $${X} # ü\"\n"
                             "    no-switch: false\n"
                             "    log-limit: 256MiB\n"
                             "    spool-limit: 1GiB\n"
                             "    fencing: warn\n"
                             "    fold:\n"
                             "      count: 32\n"
                             "      delete-after: 10m\n"
                             "    park-after: 1m\n");
    config_free(c);
}

struct given {
    const char *key, *value;
    bool by_default, found;
};

static void look_for(void *ctx, const char *key, const char *value, const char *at)
{
    assert_null(strstr(value, "S3CRET"));
    assert_null(strstr(value, "T0KEN"));
    for (struct given *g = ctx; g->key != NULL; g++)
        if (strcmp(g->key, key) == 0) {
            assert_false(g->found);
            g->found = true;
            assert_string_equal(value, g->value);
            assert_int_equal(at == NULL, g->by_default);
        }
}

static void test_one_by_one(void **state)
{
    struct given given[] = {
        {"log.level", "warn", false, false},
        {"log.format", "text", true, false},
        {"databases[0].path", "/var/lib/app/app.db", false, false},
        {"databases[0].replica", "s3://backups/app?region=eu-central-1&session-token=<hidden>", false, false},
        {"databases[0].replica.secret-key", "<hidden>", false, false},
        {"databases[0].sync.interval", "250ms", false, false},
        {"databases[0].retention.exact", "1d", false, false},
        {"databases[1].dir", "/srv/tenants", false, false},
        {"databases[1].sync.interval", "1s", true, false},
        {0},
    };
    struct config *c = loads_any(source, env);

    (void)state;
    config_print_each(c, look_for, given);
    for (struct given *g = given; g->key != NULL; g++)
        if (!g->found) {
            print_error("%s\n", g->key);
            fail();
        }
    config_free(c);
}

static void test_reads_its_own(void **state)
{
    struct config *c = loads_any(source, env);
    CLEANUP(mem_freep) char *first = print(c, true), *second = NULL, *plain = print(c, false);
    struct config *again = loads_any(first, NULL);

    (void)state;
    assert_null(strstr(first, "S3CRET"));
    assert_null(strstr(first, "T0KEN"));
    second = print(again, false);
    assert_string_equal(second, plain);
    config_free(c);
    config_free(again);
}

static void test_places(void **state)
{
    struct config *c = loads_any("databases: [{path: /a, replica: 'file:///r'}]\n", env);
    CLEANUP(mem_freep) char *got = print(c, true), *head = mem_printf("# %s\nlog:\n", path);
    CLEANUP(mem_freep) char *at = mem_printf("  - path: /a  # %s:1:20\n", path);

    (void)state;
    assert_memory_equal(got, head, strlen(head));
    assert_non_null(strstr(got, at));
    assert_non_null(strstr(got, "  level: warn  # WEIR_LOG_LEVEL\n"));
    assert_non_null(strstr(got, "      interval: 1s  # default\n"));
    config_free(c);
}

static void test_nothing(void **state)
{
    struct config *c = loads_any("", NULL);
    CLEANUP(mem_freep) char *got = print(c, false);

    (void)state;
    assert_string_equal(got, "log:\n  level: info\n  format: text\nshutdown-timeout: 30s\ndatabases: []\n");
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_reads_its_own),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, remove_dir);
}
