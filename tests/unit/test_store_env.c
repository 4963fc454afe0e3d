/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fsys.h"
#include "store_env.h"
#include "store_wait.h"

struct kit {
    uv_loop_t loop;
    struct store_env *env;
    struct err err;
};

static void begin(struct kit *k)
{
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->env = store_env_new(&k->loop, &fsys_real);
    assert_ptr_equal(store_env_loop(k->env), &k->loop);
    assert_ptr_equal(store_env_fsys(k->env), &fsys_real);
}

static void end(struct kit *k)
{
    store_wait_stop_env(&k->loop, k->env);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&k->loop), 0);
}

static struct s3_http *http_of(struct kit *k, const struct s3_config *config)
{
    struct s3_http *http = NULL;

    assert_ok_err(store_env_http(k->env, config, &http, &k->err), &k->err);
    assert_non_null(http);
    return http;
}

static struct s3_cred *cred_of(struct kit *k, const struct s3_config *config, struct s3_http *http)
{
    struct s3_cred *cred = NULL;

    assert_ok_err(store_env_cred(k->env, config, http, &cred, &k->err), &k->err);
    assert_non_null(cred);
    return cred;
}

/* The texts are constants; they are not freed here. */
static struct s3_config config_of(const char *access, const char *secret)
{
    return (struct s3_config){
        .access_key = (char *)(uintptr_t)access,
        .secret_key = (char *)(uintptr_t)secret,
        .region = (char *)(uintptr_t) "us-east-1",
        .parallel = 4,
    };
}

static void test_nothing_was_needed(void **state)
{
    struct kit k;

    (void)state;
    begin(&k);
    end(&k);
}

static void test_connections_are_shared(void **state)
{
    struct s3_config a = config_of("x", "y"), b = config_of("other", "keys");
    struct s3_http *http;
    struct kit k;

    (void)state;
    begin(&k);
    http = http_of(&k, &a);
    assert_ptr_equal(http_of(&k, &b), http);
    b.parallel = 5;
    assert_ptr_not_equal(http_of(&k, &b), http);
    b = a;
    b.upload_rate = 1000;
    assert_ptr_not_equal(http_of(&k, &b), http);
    b = a;
    b.proxy = (char *)(uintptr_t) "http://127.0.0.1:1";
    assert_ptr_not_equal(http_of(&k, &b), http);
    b = a;
    b.no_http2 = true;
    assert_ptr_not_equal(http_of(&k, &b), http);
    assert_ptr_equal(http_of(&k, &a), http);
    end(&k);
}

static void test_credentials_are_shared(void **state)
{
    struct s3_config a = config_of("x", "y"), b = config_of("x", "y"), c = config_of("x", "z");
    struct s3_http *http, *other;
    struct s3_cred *cred;
    struct kit k;

    (void)state;
    begin(&k);
    http = http_of(&k, &a);
    cred = cred_of(&k, &a, http);
    assert_ptr_equal(cred_of(&k, &b, http), cred);
    assert_ptr_not_equal(cred_of(&k, &c, http), cred);
    c = a;
    c.session_token = (char *)(uintptr_t) "token";
    assert_ptr_not_equal(cred_of(&k, &c, http), cred);
    c = a;
    c.region = (char *)(uintptr_t) "eu-west-1"; /* where STS is asked */
    assert_ptr_not_equal(cred_of(&k, &c, http), cred);
    c.parallel = 9;
    other = http_of(&k, &c);
    assert_ptr_not_equal(cred_of(&k, &a, other), cred);
    assert_ptr_equal(cred_of(&k, &a, http), cred);
    end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_was_needed),
        cmocka_unit_test(test_connections_are_shared),
        cmocka_unit_test(test_credentials_are_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
