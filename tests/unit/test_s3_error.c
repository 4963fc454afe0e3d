/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_error.h"
#include "store.h"

#include <stdio.h>
#include <string.h>

static struct s3_error_answer answer(int status, const char *body)
{
    return (struct s3_error_answer){
        .status = status, .body = span_of(body, strlen(body)), .bucket = "bkt", .host = "s3.example.org"};
}

static const char *error_xml(const char *code)
{
    static char xml[400];

    (void)snprintf(
        xml, sizeof xml, "<Error><Code>%s</Code><Message>words</Message><RequestId>R1</RequestId></Error>", code);
    return xml;
}

static void test_codes(void **state)
{
    static const struct {
        int status;
        const char *s3_code; /* NULL: no body */
        enum err_code want;
        enum s3_action action;
    } cases[] = {
        {503, "SlowDown", E_THROTTLED, S3_ACTION_FAIL},
        {503, "ServiceUnavailable", E_SERVER, S3_ACTION_FAIL},
        {503, NULL, E_SERVER, S3_ACTION_FAIL},
        {429, NULL, E_THROTTLED, S3_ACTION_FAIL},
        {500, "InternalError", E_SERVER, S3_ACTION_FAIL},
        {500, "UnknownError", E_SERVER, S3_ACTION_FAIL},
        {502, NULL, E_SERVER, S3_ACTION_FAIL},
        {504, "NobodyKnows", E_SERVER, S3_ACTION_FAIL},
        {200, "InternalError", E_SERVER, S3_ACTION_FAIL},
        {200, "SlowDown", E_THROTTLED, S3_ACTION_FAIL},
        {400, "RequestTimeout", E_TIMEOUT, S3_ACTION_FAIL},
        {408, NULL, E_TIMEOUT, S3_ACTION_FAIL},
        {409, "ConditionalRequestConflict", E_BUSY, S3_ACTION_FAIL},
        {409, "OperationAborted", E_BUSY, S3_ACTION_FAIL},
        {409, NULL, E_BUSY, S3_ACTION_FAIL},
        {400, "BadDigest", E_NETWORK, S3_ACTION_FAIL},
        {400, "XAmzContentSHA256Mismatch", E_NETWORK, S3_ACTION_FAIL},
        {404, "NoSuchKey", E_NOTFOUND, S3_ACTION_FAIL},
        {404, NULL, E_NOTFOUND, S3_ACTION_FAIL},
        {404, "NoSuchUpload", E_NOTFOUND, S3_ACTION_FAIL},
        {404, "NoSuchBucket", E_CONFIG, S3_ACTION_FAIL},
        {416, "InvalidRange", E_NOTFOUND, S3_ACTION_FAIL},
        {416, NULL, E_NOTFOUND, S3_ACTION_FAIL},
        {412, "PreconditionFailed", E_EXISTS, S3_ACTION_FAIL},
        {412, NULL, E_EXISTS, S3_ACTION_FAIL},
        {403, "AccessDenied", E_DENIED, S3_ACTION_FAIL},
        {403, "SignatureDoesNotMatch", E_DENIED, S3_ACTION_FAIL},
        {403, "InvalidAccessKeyId", E_DENIED, S3_ACTION_REFRESH},
        {400, "ExpiredToken", E_DENIED, S3_ACTION_REFRESH},
        {400, "InvalidToken", E_DENIED, S3_ACTION_REFRESH},
        {400, NULL, E_UNSUPPORTED, S3_ACTION_REFRESH}, /* HEAD with an expired token */
        {403, NULL, E_DENIED, S3_ACTION_FAIL},
        {401, NULL, E_DENIED, S3_ACTION_FAIL},
        {403, "RequestTimeTooSkewed", E_DENIED, S3_ACTION_FAIL}, /* there is no Date to go by */
        {403, "QuotaExceeded", E_NOSPACE, S3_ACTION_FAIL},
        {507, NULL, E_NOSPACE, S3_ACTION_FAIL},
        {400, "KMS.DisabledException", E_DENIED, S3_ACTION_FAIL},
        {403, "InvalidObjectState", E_UNSUPPORTED, S3_ACTION_FAIL},
        {501, "NotImplemented", E_UNSUPPORTED, S3_ACTION_FAIL},
        {400, "NotImplemented", E_UNSUPPORTED, S3_ACTION_FAIL},
        {400, "InvalidArgument", E_UNSUPPORTED, S3_ACTION_FAIL},
        {405, NULL, E_UNSUPPORTED, S3_ACTION_FAIL},
        {301, NULL, E_CONFIG, S3_ACTION_FAIL}, /* no region to go to */
        {307, "TemporaryRedirect", E_SERVER, S3_ACTION_FAIL},
        {200, "NobodyKnows", E_CORRUPT, S3_ACTION_FAIL},
        {600, NULL, E_CORRUPT, S3_ACTION_FAIL},
        {100, NULL, E_CORRUPT, S3_ACTION_FAIL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_error_answer a = answer(cases[i].status, cases[i].s3_code != NULL ? error_xml(cases[i].s3_code) : "");
        struct s3_error e;
        struct err err;
        struct rc rc = s3_error_judge(&a, &e, &err);

        if (rc.code != cases[i].want || e.code != cases[i].want || e.action != cases[i].action)
            fail_msg("%d %s: %s, action %d", cases[i].status, cases[i].s3_code != NULL ? cases[i].s3_code : "-",
                rc_name(rc.code), (int)e.action);
        assert_string_equal(e.s3_code, cases[i].s3_code != NULL ? cases[i].s3_code : "");
        assert_int_equal(err.http, cases[i].status);
    }
}

/* Who we are, or what we may do? */
static void test_unknown(void **state)
{
    static const struct {
        int status;
        const char *s3_code;
        bool unknown;
    } cases[] = {
        {403, "SignatureDoesNotMatch", true},
        {403, "InvalidAccessKeyId", true},
        {400, "ExpiredToken", true},
        {403, "RequestTimeTooSkewed", true},
        {401, NULL, true},
        {403, "AccessDenied", false},
        {403, NULL, false},
        {400, "KMS.DisabledException", false},
        {404, "NoSuchBucket", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_error_answer a = answer(cases[i].status, cases[i].s3_code != NULL ? error_xml(cases[i].s3_code) : "");
        struct s3_error e;
        struct err err;

        rc_ignore(s3_error_judge(&a, &e, &err), "another test looks at the code");
        if (e.unknown != cases[i].unknown)
            fail_msg("%d %s", cases[i].status, cases[i].s3_code != NULL ? cases[i].s3_code : "-");
    }
}

static void test_messages(void **state)
{
    struct s3_error_answer a = answer(403, error_xml("SignatureDoesNotMatch"));
    struct s3_error e;
    struct err err;

    (void)state;
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_string_equal(err.msg,
        "HTTP status 403 SignatureDoesNotMatch, \"words\" (bucket bkt at s3.example.org), request "
        "R1: check the access key and the secret key");
    a.request_id = "from-header";
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_non_null(strstr(err.msg, ", request from-header: "));
    a = answer(403, error_xml("AccessDenied"));
    a.right = s3_right_of(STORE_PUT);
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_non_null(strstr(err.msg, ": the credentials need s3:PutObject on its objects"));
    a.right = s3_right_of(STORE_LIST);
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_non_null(strstr(err.msg, ": the credentials need s3:ListBucket on the bucket"));
    a = answer(503, "<html>busy</html>");
    assert_fails(s3_error_judge(&a, &e, &err), E_SERVER);
    assert_string_equal(err.msg, "HTTP status 503");
}

static void test_region(void **state)
{
    struct s3_error_answer a = answer(301, error_xml("PermanentRedirect"));
    struct s3_error e;
    struct err err;

    (void)state;
    a.region = "eu-west-1";
    assert_fails(s3_error_judge(&a, &e, &err), E_CONFIG);
    assert_int_equal(e.action, S3_ACTION_REGION);
    assert_string_equal(e.region, "eu-west-1");
    assert_string_equal(err.msg,
        "HTTP status 301 PermanentRedirect, \"words\" (bucket bkt at s3.example.org, which is in "
        "region eu-west-1), request R1: check region and endpoint");

    a = answer(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>");
    assert_fails(s3_error_judge(&a, &e, &err), E_CONFIG);
    assert_int_equal(e.action, S3_ACTION_REGION);
    assert_string_equal(e.region, "ap-south-1");

    a = answer(400, ""); /* HEAD */
    a.region = "us-west-2";
    assert_fails(s3_error_judge(&a, &e, &err), E_UNSUPPORTED);
    assert_int_equal(e.action, S3_ACTION_REGION);

    a = answer(301, ""); /* not into our host name */
    a.region = "evil.example.org/";
    assert_fails(s3_error_judge(&a, &e, &err), E_CONFIG);
    assert_int_equal(e.action, S3_ACTION_FAIL);
    assert_string_equal(e.region, "");
}

static void test_clock(void **state)
{
    struct s3_error_answer a = answer(403, error_xml("RequestTimeTooSkewed"));
    struct s3_error e;
    struct err err;

    (void)state;
    a.skew_ms = 3600000;
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_int_equal(e.action, S3_ACTION_CLOCK);
    a.skew_ms = -3600000;
    a.body = span_of("", 0); /* HEAD */
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_int_equal(e.action, S3_ACTION_CLOCK);
    a.skew_ms = 60000; /* that is not it */
    assert_fails(s3_error_judge(&a, &e, &err), E_DENIED);
    assert_int_equal(e.action, S3_ACTION_FAIL);
    a = answer(404, "");
    a.skew_ms = 3600000;
    assert_fails(s3_error_judge(&a, &e, &err), E_NOTFOUND);
    assert_int_equal(e.action, S3_ACTION_FAIL);
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *text;
        uint32_t want;
    } cases[] = {{"7", 7000}, {"0", 0}, {"", 0}, {"-1", 0}, {"99999999", S3_ERROR_RETRY_AFTER_MAX_MS},
        {"Fri, 31 Dec 1999 23:59:59 GMT", 0}, {NULL, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_error_answer a = answer(503, "");
        struct s3_error e;
        struct err err;

        a.retry_after = cases[i].text;
        assert_fails(s3_error_judge(&a, &e, &err), E_SERVER);
        assert_int_equal(e.retry_after_ms, cases[i].want);
    }
}

static void test_dates(void **state)
{
    static const char *const bad[] = {"", "Sat, 21 Nov 2026 07:00:00", "Sat, 21 Nov 2026 07:00:00 CET",
        "Sat, 21 Nox 2026 07:00:00 GMT", "Sat, 99 Nov 2026 07:00:00 GMT", "Sat, 21 Nov 2026 7:00:00 GMT ",
        "Saturday, 21-Nov-26 07:00:00 GMT", "Sat  21 Nov 2026 07:00:00 GMT"};
    int64_t ms = 0;

    (void)state;
    assert_true(s3_error_parse_date("Thu, 01 Jan 1970 00:00:01 GMT", &ms));
    assert_int_equal(ms, 1000);
    assert_true(s3_error_parse_date("Sun, 06 Nov 1994 08:49:37 GMT", &ms)); /* the example of RFC 9110 */
    assert_true(ms == 784111777000);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (s3_error_parse_date(bad[i], &ms))
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_code_alone(void **state)
{
    (void)state;
    assert_int_equal(s3_error_code("AccessDenied"), E_DENIED);
    assert_int_equal(s3_error_code("SlowDown"), E_THROTTLED);
    assert_int_equal(s3_error_code("Whatever"), E_SERVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_code_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
