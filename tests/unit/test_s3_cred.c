/* SPDX-License-Identifier: Apache-2.0 */
/* Keys over time: renewed before their end, kept when that fails, shared, rejected, and gone without a trace. */
#include "cred_kit.h"

#define URI "/creds"

enum { HOUR_MS = 3600000, MANY = 50 };

static const struct s3_cred_opts no_opts;

static int setup(void **state)
{
    static struct kit k;
    char pair[128];

    kit_open(&k);
    (void)snprintf(pair, sizeof pair, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s" URI, k.base);
    kit_env(&k, pair);
    kit_env_file(&k, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    (void)kit_route(&k, "GET", URI, 200, KIT_JSON("FIRST", "2026-11-21T01:00:00Z"));
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static void answer(struct kit *k, int status, const char *body)
{
    k->routes[0].answer = (struct http_answer){.status = status, .body = body};
}

/* Let what goes on in the background come to its end. */
static void settle(struct kit *k)
{
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
}

static const char *peek(struct kit *k)
{
    const struct s3_cred_keys *keys = s3_cred_peek(k->cred);

    return keys != NULL ? keys->access_key : "none";
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void test_renewal(void **state)
{
    struct kit *k = *state;

    kit_start(k, &no_opts);
    assert_null(s3_cred_peek(k->cred));
    settle(k);
    assert_int_equal(http_script_count(k->server), 0); /* looking is not asking */
    kit_expect(k, "FIRST");
    assert_string_equal(peek(k), "FIRST");
    kit_pass(k, HOUR_MS - S3_CRED_EARLY_MS - 1);
    assert_string_equal(peek(k), "FIRST");
    kit_expect(k, "FIRST");
    settle(k);
    assert_int_equal(http_script_count(k->server), 1);

    /* In the background: the old ones are given meanwhile. */
    answer(k, 200, KIT_JSON("SECOND", "2026-11-21T03:00:00Z"));
    kit_pass(k, 1);
    assert_string_equal(peek(k), "FIRST");
    assert_string_equal(peek(k), "FIRST");
    kit_expect(k, "FIRST");
    settle(k);
    assert_int_equal(http_script_count(k->server), 2);
    assert_string_equal(peek(k), "SECOND");

    /* Nobody asked in time: then whoever comes waits. */
    kit_pass(k, 3 * HOUR_MS);
    assert_null(s3_cred_peek(k->cred));
    answer(k, 200, KIT_JSON("THIRD", "2026-11-21T09:00:00Z"));
    kit_expect(k, "THIRD");
    assert_int_equal(http_script_count(k->server), 3);
    /* A clock that was set back changes nothing; one that was set far ahead ends them. */
    k->wall_ms -= INT64_C(48) * HOUR_MS;
    assert_string_equal(peek(k), "THIRD");
    k->wall_ms += INT64_C(96) * HOUR_MS;
    assert_null(s3_cred_peek(k->cred));
}

/* Tried again with growing pauses, used to their end, and then the failure is told. */
static void test_renewal_fails(void **state)
{
    struct kit *k = *state;
    size_t count;

    kit_start(k, &no_opts);
    kit_expect(k, "FIRST");
    answer(k, 500, "{\"code\":\"Oops\",\"message\":\"" KIT_SECRET "\"}");
    kit_pass(k, HOUR_MS - S3_CRED_EARLY_MS);
    assert_string_equal(peek(k), "FIRST");
    settle(k);
    assert_int_equal(http_script_count(k->server), 2);
    for (unsigned i = 0; i < 100; i++) { /* at one and the same time */
        assert_string_equal(peek(k), "FIRST");
        settle(k);
    }
    assert_int_equal(http_script_count(k->server), 2);
    for (unsigned i = 0; i < 299; i++) {
        kit_pass(k, 1000);
        assert_string_equal(peek(k), "FIRST");
        settle(k);
    }
    count = http_script_count(k->server);
    assert_in_range(count, 2 + 6, 2 + 20); /* 1, 2, 4 ... 60, 60 s, less up to half of each */
    kit_pass(k, 1000);
    assert_null(s3_cred_peek(k->cred));
    kit_expect_error(k, E_SERVER,
        "credentials from container expired at 2026-11-21T01:00:00.000Z and were not renewed: container credentials: "
        "HTTP status 500: Oops: (masked)");
    /* And when it works again, all is well. */
    answer(k, 200, KIT_JSON("SECOND", "2026-11-21T03:00:00Z"));
    kit_pass(k, S3_CRED_FAILED_PAUSE_MS);
    kit_expect(k, "SECOND");
}

/* Half of their time is left, not five minutes. */
static void test_short_life(void **state)
{
    struct kit *k = *state;

    answer(k, 200, KIT_JSON("FIRST", "2026-11-21T00:01:00Z"));
    kit_start(k, &no_opts);
    kit_expect(k, "FIRST");
    kit_pass(k, 29999);
    assert_string_equal(peek(k), "FIRST");
    settle(k);
    assert_int_equal(http_script_count(k->server), 1);
    kit_pass(k, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_string_equal(peek(k), "FIRST");
        settle(k);
    }
    /* The same were given again: half of what is left, and so on. */
    assert_int_equal(http_script_count(k->server), 2);
}

/* --- many --------------------------------------------------------------------------------------------------------- */

struct crowd {
    struct s3_cred_wait waits[MANY];
    unsigned good, bad;
    struct kit *k;
    struct s3_cred_wait again;
};

static void on_crowd(struct s3_cred_wait *wait, const struct s3_cred_keys *keys, const struct err *err)
{
    struct crowd *c = wait->ctx;

    if (keys != NULL) {
        assert_string_equal(keys->access_key, "FIRST");
        c->good++;
    } else {
        assert_null(strstr(err->msg, KIT_SECRET_MARK));
        c->bad++;
    }
    if (wait == &c->waits[0] && c->k != NULL) {
        c->again = (struct s3_cred_wait){.on_ready = on_crowd, .ctx = c};
        s3_cred_get(c->k->cred, &c->again); /* from inside an answer */
    }
}

static void gather(struct kit *k, struct crowd *c)
{
    for (unsigned i = 0; i < MANY; i++) {
        c->waits[i] = (struct s3_cred_wait){.on_ready = on_crowd, .ctx = c};
        s3_cred_get(k->cred, &c->waits[i]);
    }
    assert_int_equal(c->good + c->bad, 0);
}

static void test_share(void **state)
{
    struct kit *k = *state;
    struct crowd c = {.k = k};

    kit_start(k, &no_opts);
    gather(k, &c);
    settle(k);
    assert_int_equal(c.good, MANY + 1);
    assert_int_equal(c.bad, 0);
    assert_int_equal(http_script_count(k->server), 1);
}

static void test_share_failure(void **state)
{
    struct kit *k = *state;
    struct crowd c = {.k = k};

    answer(k, 403, KIT_SECRET);
    kit_start(k, &no_opts);
    gather(k, &c);
    settle(k);
    assert_int_equal(c.bad, MANY + 1);
    assert_int_equal(http_script_count(k->server), 1);
    /* Remembered for a moment, and then asked anew. */
    kit_expect_error(k, E_DENIED, "container credentials: HTTP status 403: (masked)");
    assert_int_equal(http_script_count(k->server), 1);
    answer(k, 200, KIT_JSON("FIRST", "2026-11-21T01:00:00Z"));
    kit_pass(k, S3_CRED_FAILED_PAUSE_MS);
    kit_expect(k, "FIRST");
}

static void test_stop_while_waiting(void **state)
{
    struct kit *k = *state;
    struct crowd c = {0};

    k->routes[0].answer.how = HTTP_HANG;
    kit_start(k, &no_opts);
    gather(k, &c);
    while (http_script_count(k->server) == 0)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    assert_int_equal(http_script_count(k->server), 1);
    kit_stop(k);
    assert_int_equal(c.bad, MANY);
    /* With an answer that is at hand, but not told yet. */
    answer(k, 200, KIT_JSON("FIRST", "2026-11-21T01:00:00Z"));
    kit_start(k, &no_opts);
    kit_expect(k, "FIRST");
    memset(&c, 0, sizeof c);
    gather(k, &c);
    kit_stop(k);
    assert_int_equal(c.bad, MANY);
}

/* --- rejected ----------------------------------------------------------------------------------------------------- */

static void test_reject(void **state)
{
    struct kit *k = *state;

    kit_start(k, &no_opts);
    s3_cred_reject(k->cred, "FIRST"); /* nothing is there yet */
    kit_expect(k, "FIRST");
    kit_pass(k, S3_CRED_REJECT_PAUSE_MS);
    s3_cred_reject(k->cred, "OLDER"); /* by a request that was under way for long */
    assert_string_equal(peek(k), "FIRST");
    s3_cred_reject(k->cred, "FIRST");
    assert_null(s3_cred_peek(k->cred));
    answer(k, 200, KIT_JSON("SECOND", "2026-11-21T01:00:00Z"));
    kit_expect(k, "SECOND");
    assert_int_equal(http_script_count(k->server), 2);
    /* Not more often than the pause allows. */
    s3_cred_reject(k->cred, "SECOND");
    assert_string_equal(peek(k), "SECOND");
    kit_expect(k, "SECOND");
    assert_int_equal(http_script_count(k->server), 2);
    kit_pass(k, S3_CRED_REJECT_PAUSE_MS);
    kit_expect(k, "SECOND");
    assert_int_equal(http_script_count(k->server), 3);
    /* Rejected keys are not what is given when there are no new ones. */
    kit_pass(k, S3_CRED_REJECT_PAUSE_MS);
    s3_cred_reject(k->cred, "SECOND");
    answer(k, 500, "");
    kit_expect_error(k, E_SERVER, "container credentials: HTTP status 500: ");
}

static void test_reject_file(void **state)
{
    struct kit *k = *state;

    kit_file(k, "credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=" KIT_SECRET "\n");
    kit_start(k, &no_opts);
    kit_expect(k, "A");
    kit_file(k, "credentials", "[default]\naws_access_key_id=B\naws_secret_access_key=" KIT_SECRET "\n");
    kit_pass(k, HOUR_MS);
    kit_expect(k, "A"); /* nobody complained */
    s3_cred_reject(k->cred, "A");
    kit_expect(k, "B");
    kit_pass(k, HOUR_MS);
    s3_cred_reject(k->cred, "B");
    kit_file(k, "credentials", "[default\n" KIT_SECRET "\n");
    kit_expect_error_with(k, E_CONFIG, "/credentials:1: no ']' after '['");
    assert_int_equal(http_script_count(k->server), 0);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void test_anonymous(void **state)
{
    struct kit *k = *state;
    const struct s3_cred_keys *keys;

    kit_start(k, &(struct s3_cred_opts){.anonymous = true});
    assert_ok_err(kit_ask(k), &k->err);
    keys = s3_cred_peek(k->cred);
    assert_non_null(keys);
    assert_true(keys->anonymous);
    assert_string_equal(keys->access_key, "");
    assert_string_equal(keys->secret_key, "");
    assert_string_equal(keys->session_token, "");
    s3_cred_reject(k->cred, "");
    assert_non_null(s3_cred_peek(k->cred));
    assert_int_equal(http_script_count(k->server), 0);
}

/* The flags that the kernel has for the memory at `at`. */
static void read_flags(const void *at, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;

    assert_non_null(f);
    out[0] = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long begin, end;

        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            here = (uintptr_t)at >= begin && (uintptr_t)at < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(out, size, "%s", line);
    }
    assert_int_equal(fclose(f), 0);
}

/* "dd": not in a core file. */
static void test_no_dump(void **state)
{
    struct kit *k = *state;
    const struct s3_cred_keys *keys;
    char flags[512];

    kit_start(k, &no_opts);
    kit_expect(k, "FIRST");
    keys = s3_cred_peek(k->cred);
    assert_non_null(keys);
    read_flags(keys->secret_key, flags, sizeof flags);
    assert_non_null(strstr(flags, " dd"));
    read_flags(keys->session_token + strlen(keys->session_token), flags, sizeof flags);
    assert_non_null(strstr(flags, " dd"));
    read_flags(k, flags, sizeof flags);
    assert_null(strstr(flags, " dd")); /* the test can tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_renewal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewal_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_share_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reject, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reject_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anonymous, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_dump, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
