/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_check_kit - for tests: a whole store, a directory, or where WEIR_TEST_S3_URL names one (with a prefix of its
 * own, which is left empty), a bucket.
 *
 *     cmocka_unit_test_setup_teardown(test, begin, end)     in `kit` there is a store
 *     return run_on_store("store_check", for_all, n, on_s3, m);
 */
#ifndef STORE_CHECK_KIT_H
#define STORE_CHECK_KIT_H

#include "check.h"

#include "store.h"
#include "store_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kit {
    struct store_wait w;
    struct store_env *env;
    struct err err;
    char dir[STORE_WAIT_PATH_SIZE], url[1024];
    bool is_s3, no_conditions;
};

static struct kit kit;

static inline void open_store(struct store **out, const char *url, const struct store_option *options, size_t count)
{
    assert_ok_err(store_open(kit.env, url, options, count, out, &kit.err), &kit.err);
}

static inline int begin(void **state)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody changes the environment */
    const char *url = getenv("WEIR_TEST_S3_URL"), *conditions = getenv("WEIR_TEST_S3_CONDITIONS");
    /* NOLINTEND(concurrency-mt-unsafe) */

    (void)state;
    memset(&kit, 0, sizeof kit);
    kit.is_s3 = url != NULL;
    kit.no_conditions = kit.is_s3 && conditions != NULL && strcmp(conditions, "none") == 0;
    if (kit.is_s3)
        (void)snprintf(kit.url, sizeof kit.url, "%s", url);
    else {
        store_wait_scratch(kit.dir);
        (void)snprintf(kit.url, sizeof kit.url, "file://%s/r", kit.dir);
    }
    assert_int_equal(uv_loop_init(&kit.w.loop), 0);
    kit.env = store_env_new(&kit.w.loop, &fsys_real);
    open_store(&kit.w.store, kit.url, NULL, 0);
    if (kit.no_conditions)
        store_without_conditions(kit.w.store);
    return 0;
}

static inline struct rc run(struct store_req *req)
{
    return store_wait_run(&kit.w.loop, kit.w.store, req, &kit.err);
}

/* Everything below the prefix. */
static inline void clean(void)
{
    for (bool more = true; more;) {
        const char *keys[STORE_LIST_MAX];
        struct store_req list, away;

        store_req_init(&list, STORE_LIST, "", NULL, NULL);
        assert_ok_err(run(&list), &kit.err);
        for (size_t i = 0; i < list.entry_count; i++)
            keys[i] = list.entries[i].key;
        more = list.more;
        if (list.entry_count > 0) {
            store_req_init(&away, STORE_DELETE_MANY, "", NULL, NULL);
            away.keys = keys;
            away.key_count = list.entry_count;
            assert_ok_err(run(&away), &kit.err);
            store_req_fini(&away);
        }
        store_req_fini(&list);
    }
}

static inline int end(void **state)
{
    (void)state;
    clean();
    store_wait_stop(&kit.w.loop, kit.w.store);
    store_wait_stop_env(&kit.w.loop, kit.env);
    assert_int_equal(uv_run(&kit.w.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&kit.w.loop), 0);
    if (!kit.is_s3)
        store_wait_unscratch(kit.dir);
    return 0;
}

static inline struct rc head(const char *key, uint64_t *size)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_HEAD, key, NULL, NULL);
    rc = run(&req);
    *size = req.size;
    store_req_fini(&req);
    return rc;
}

static inline void assert_count(size_t want)
{
    struct store_req req;

    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_ok_err(run(&req), &kit.err);
    assert_int_equal(req.entry_count, want);
    store_req_fini(&req);
}

/* A test that cannot hold on this store is left out rather than skipped: a skipped one would count as run.  `on_s3` are
 * for a bucket only. */
static inline int run_on_store(const char *name, const struct CMUnitTest *for_all, size_t for_all_count,
    const struct CMUnitTest *on_s3, size_t on_s3_count)
{
    struct CMUnitTest tests[16];
    size_t count = 0;

    assert_true(for_all_count + on_s3_count <= sizeof tests / sizeof tests[0]);
    for (size_t i = 0; i < for_all_count; i++)
        tests[count++] = for_all[i];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    for (size_t i = 0; getenv("WEIR_TEST_S3_URL") != NULL && i < on_s3_count; i++)
        tests[count++] = on_s3[i];
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

#endif
