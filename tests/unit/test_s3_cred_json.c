/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials as JSON, as they are, almost as they are, and not at all; no message may hold what was in the text. */
#include "check.h"

#include "alloc.h"
#include "s3_cred_json.h"

#include <string.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define KEYS   "\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"" SECRET "\""
#define LATER  "\"Expiration\":\"2026-11-21T02:01:21Z\""

static struct s3_cred_box *box;
static struct err err;

static struct rc decode(const char *text, enum s3_cred_json_kind kind)
{
    size_t n = strlen(text);
    char *exact = mem_new(n > 0 ? n : 1);
    struct rc rc;

    memcpy(exact, text, n);
    s3_cred_box_free(box);
    box = s3_cred_box_new();
    assert_non_null(box);
    err = (struct err){.code = E_OK};
    rc = s3_cred_json_decode(span_of(exact, n), kind, box, &err);
    mem_free(exact);
    if (rc_failed(rc)) {
        assert_null(strstr(err.msg, "wJalr"));
        assert_null(strstr(err.msg, "bPxRf"));
    }
    return rc;
}

static void expect(const char *text, enum s3_cred_json_kind kind, const char *token, int64_t expires_ms)
{
    assert_ok_err(decode(text, kind), &err);
    assert_string_equal(box->access_key, "AKID");
    assert_string_equal(box->secret_key, SECRET);
    assert_string_equal(box->session_token, token);
    assert_int_equal(box->expires_ms, expires_ms);
}

static void expect_error(const char *text, enum s3_cred_json_kind kind, enum err_code code, const char *want)
{
    assert_fails(decode(text, kind), code);
    assert_string_equal(err.msg, want);
}

/* Where the parser gave up is its own matter. */
static void expect_not_json(const char *text)
{
    assert_fails(decode(text, S3_CRED_JSON_PROCESS), E_CORRUPT);
    assert_int_equal(strncmp(err.msg, "the answer is not JSON (line 1, column ", 39), 0);
}

static void test_container(void **state)
{
    const enum s3_cred_json_kind kind = S3_CRED_JSON_CONTAINER;

    (void)state;
    expect("{" KEYS ",\"Token\":\"t\"," LATER ",\"RoleArn\":\"arn\"}", kind, "t", 1795226481000);
    expect("{" KEYS "}", kind, "", 0);
    expect("{" KEYS ",\"Token\":null,\"Expiration\":null}", kind, "", 0);
    expect("{" KEYS ",\"Token\":\"\"}", kind, "", 0);
    expect("{" KEYS ",\"Expiration\":\"2026-11-21T03:01:21.500+01:00\"}", kind, "", 1795226481500);
    expect_error("{\"code\":\"AccessDenied\",\"message\":\"no role for " SECRET "\"}", kind, E_DENIED,
        "no credentials: AccessDenied: no role for (masked)");
    expect_error("{\"AccessKeyId\":\"AKID\"}", kind, E_CORRUPT, "SecretAccessKey is missing in the answer");
    expect_error("{\"SecretAccessKey\":\"" SECRET "\"}", kind, E_CORRUPT, "AccessKeyId is missing in the answer");
    expect_error("{" KEYS ",\"Token\":7}", kind, E_CORRUPT, "Token is no string in the answer");
    expect_error("{" KEYS ",\"Token\":\"a b\"}", kind, E_CORRUPT,
        "Token: the session token has a space or an unprintable character in it");
    expect_error(
        "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"s\"}", kind, E_CORRUPT, "AccessKeyId: the access key is empty");
    expect_error("{" KEYS ",\"Expiration\":\"" SECRET "\"}", kind, E_CORRUPT,
        "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
    expect_error("{" KEYS ",\"Expiration\":1795226481}", kind, E_CORRUPT,
        "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
    expect_not_json("{" KEYS ",\"Expiration\":\"2026-11-21T02:01:21Z\\u0000\"}");
    expect_error("{" KEYS ",\"Expiration\":\"1969-11-21T02:01:21Z\"}", kind, E_CORRUPT,
        "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
}

static void test_imds(void **state)
{
    const enum s3_cred_json_kind kind = S3_CRED_JSON_IMDS;

    (void)state;
    expect("{\"Code\":\"Success\",\"LastUpdated\":\"x\",\"Type\":\"AWS-HMAC\"," KEYS ",\"Token\":\"t\"," LATER "}",
        kind, "t", 1795226481000);
    expect_error("{" KEYS ",\"Token\":\"t\"," LATER "}", kind, E_CORRUPT, "Code is missing in the answer");
    expect_error("{\"Code\":\"Success\"," KEYS "," LATER "}", kind, E_CORRUPT, "Token is missing in the answer");
    expect_error("{\"Code\":\"Success\"," KEYS ",\"Token\":\"t\"}", kind, E_CORRUPT,
        "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
    expect_error("{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot assume the role\"}", kind,
        E_DENIED, "no credentials: AssumeRoleUnauthorizedAccess: EC2 cannot assume the role");
    expect_error("{\"Code\":\"Failed\"}", kind, E_DENIED, "no credentials: Failed");
}

static void test_process(void **state)
{
    const enum s3_cred_json_kind kind = S3_CRED_JSON_PROCESS;

    (void)state;
    expect("{\"Version\":1," KEYS ",\"SessionToken\":\"t\"," LATER "}\n", kind, "t", 1795226481000);
    expect("{\"Version\":1," KEYS "}", kind, "", 0);
    expect("{\"Version\":1," KEYS ",\"Token\":\"of another form\"}", kind, "", 0);
    expect_error("{" KEYS "}", kind, E_CORRUPT, "Version in the answer is not 1");
    expect_error("{\"Version\":2," KEYS "}", kind, E_CORRUPT, "Version in the answer is not 1");
    expect_error("{\"Version\":\"1\"," KEYS "}", kind, E_CORRUPT, "Version in the answer is not 1");
}

static void test_not_json(void **state)
{
    char *large = mem_new(S3_CRED_JSON_MAX + 2), *deep = mem_new(20001);
    char *key = mem_new(4096);

    (void)state;
    expect_error("", S3_CRED_JSON_PROCESS, E_CORRUPT, "the answer is empty");
    expect_not_json(SECRET);
    expect_error("[\"" SECRET "\"]", S3_CRED_JSON_PROCESS, E_CORRUPT, "the answer is JSON, but no object");
    expect_not_json("{" KEYS);
    expect_not_json("{" KEYS "} x");
    /* Which of two would count?  Nobody can say. */
    expect_not_json("{\"Version\":1," KEYS "," KEYS "}");
    memset(large, ' ', S3_CRED_JSON_MAX + 1);
    expect_error(large, S3_CRED_JSON_PROCESS, E_CORRUPT, "the answer has 65537 bytes, more than the limit of 65536");
    memset(deep, '[', 20000);
    assert_fails(decode(deep, S3_CRED_JSON_PROCESS), E_CORRUPT);
    memset(key, 'x', 4000);
    memcpy(key, "{\"AccessKeyId\":\"", 16);
    memcpy(key + 3000, "\",\"SecretAccessKey\":\"s\"}", 25);
    expect_error(key, S3_CRED_JSON_CONTAINER, E_CORRUPT,
        "AccessKeyId: the access key has 2984 bytes, more than the limit of 1024");
    mem_free(large);
    mem_free(deep);
    mem_free(key);
}

static void test_reason(void **state)
{
    char out[S3_CRED_QUOTE_SIZE];

    (void)state;
    assert_string_equal(s3_cred_json_reason(span_of("{\"code\":\"X\",\"message\":\"y\"}", 26), out), "X: y");
    assert_string_equal(s3_cred_json_reason(span_of("{}", 2), out), "no reason given");
    assert_string_equal(
        s3_cred_json_reason(span_of("<html>\n no\t\x01 way\x80</html>\n", 26), out), "<html> no way?</html>");
    assert_string_equal(s3_cred_json_reason(span_of("key=" SECRET ".", 45), out), "(masked).");
    assert_string_equal(s3_cred_json_reason(span_of("", 0), out), "");
}

static int teardown(void **state)
{
    (void)state;
    s3_cred_box_free(box);
    box = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container),
        cmocka_unit_test(test_imds),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_reason),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
