/* SPDX-License-Identifier: Apache-2.0 */
/* What STS answers, and what others answer in its place. */
#include "check.h"

#include "alloc.h"
#include "s3_cred_sts_xml.h"

#include <stdio.h>
#include <string.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define HEAD   "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
#define TAIL   "</AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"
#define ID     "<AccessKeyId>ASIA1</AccessKeyId>"
#define KEY    "<SecretAccessKey>" SECRET "</SecretAccessKey>"
#define TOKEN  "<SessionToken>to/ken==</SessionToken>"
#define TIME   "<Expiration>2026-11-21T02:01:21Z</Expiration>"

static struct s3_cred_box *box;
static struct err err;

static struct rc decode(const char *text)
{
    size_t n = strlen(text);
    char *exact = mem_new(n > 0 ? n : 1);
    struct rc rc;

    memcpy(exact, text, n);
    s3_cred_box_free(box);
    box = s3_cred_box_new();
    assert_non_null(box);
    err = (struct err){.code = E_OK};
    rc = s3_cred_sts_xml_decode(span_of(exact, n), box, &err);
    mem_free(exact);
    if (rc_failed(rc))
        assert_null(strstr(err.msg, "wJalr"));
    return rc;
}

static void expect_error(const char *text, enum err_code code, const char *want)
{
    assert_fails(decode(text), code);
    assert_string_equal(err.msg, want);
}

static void test_good(void **state)
{
    (void)state;
    assert_ok_err(decode("<?xml version=\"1.0\"?>\n" HEAD "<AssumedRoleUser><Arn>a</Arn></AssumedRoleUser>"
                         "<Credentials>\n " ID KEY TOKEN TIME "<Other><Deep/></Other></Credentials>" TAIL),
        &err);
    assert_string_equal(box->access_key, "ASIA1");
    assert_string_equal(box->secret_key, SECRET);
    assert_string_equal(box->session_token, "to/ken==");
    assert_int_equal(box->expires_ms, 1795226481000);
    /* With prefixes, a CDATA section and an entity. */
    assert_ok_err(decode("<s:R><s:Credentials><s:AccessKeyId>A<![CDATA[S]]>IA1</s:AccessKeyId><SecretAccessKey>a&amp;b"
                         "</SecretAccessKey>" TOKEN TIME "</s:Credentials></s:R>"),
        &err);
    assert_string_equal(box->access_key, "ASIA1");
    assert_string_equal(box->secret_key, "a&b");
}

static void test_refused(void **state)
{
    (void)state;
    expect_error("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform "
                 "sts:AssumeRoleWithWebIdentity</Message></Error><RequestId>1</RequestId></ErrorResponse>",
        E_DENIED, "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity");
    expect_error("<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", E_THROTTLED, "Throttling");
    expect_error("<E><Error><Message>token " SECRET "</Message></Error></E>", E_DENIED, "token (masked)");
}

static void test_incomplete(void **state)
{
    (void)state;
    expect_error(
        HEAD "<Credentials>" KEY TOKEN TIME "</Credentials>" TAIL, E_CORRUPT, "AccessKeyId is missing in the answer");
    expect_error(HEAD "<Credentials>" ID TOKEN TIME "</Credentials>" TAIL, E_CORRUPT,
        "SecretAccessKey is missing in the answer");
    expect_error(
        HEAD "<Credentials>" ID KEY TIME "</Credentials>" TAIL, E_CORRUPT, "SessionToken is missing in the answer");
    expect_error(
        HEAD "<Credentials>" ID KEY TOKEN "</Credentials>" TAIL, E_CORRUPT, "Expiration is missing in the answer");
    expect_error(HEAD "<Credentials>" ID KEY TOKEN "<Expiration>" SECRET "</Expiration></Credentials>" TAIL, E_CORRUPT,
        "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
    expect_error(HEAD "<Credentials><AccessKeyId/>" KEY TOKEN TIME "</Credentials>" TAIL, E_CORRUPT,
        "AccessKeyId: the access key is empty");
    /* Elsewhere they are not the ones. */
    expect_error(HEAD ID KEY TOKEN TIME TAIL, E_CORRUPT, "AccessKeyId is missing in the answer");
    expect_error(HEAD "<Credentials><X>" ID KEY TOKEN TIME "</X></Credentials>" TAIL, E_CORRUPT,
        "AccessKeyId is missing in the answer");
    expect_error(
        HEAD "<Credentials></Credentials>" ID KEY TOKEN TIME TAIL, E_CORRUPT, "AccessKeyId is missing in the answer");
}

static void test_strange(void **state)
{
    char *text = mem_new(S3_CRED_STS_XML_MAX + 2), deep[256] = "";
    size_t n = 0;

    (void)state;
    expect_error("", E_CORRUPT, "the answer is empty");
    expect_error(SECRET, E_CORRUPT, "the answer is not XML (line 1)");
    expect_error("<html><body>no</body></html>", E_CORRUPT, "AccessKeyId is missing in the answer");
    expect_error(HEAD "<Credentials>" ID ID KEY TOKEN TIME "</Credentials>" TAIL, E_CORRUPT,
        "AccessKeyId is there more than once in the answer");
    expect_error(HEAD "<Credentials>" ID "<SecretAccessKey><b/>" SECRET "</SecretAccessKey></Credentials>" TAIL,
        E_CORRUPT, "SecretAccessKey in the answer has elements in it");
    expect_error("<!DOCTYPE a [<!ENTITY b \"" SECRET "\">]><a>&b;</a>", E_CORRUPT,
        "the answer has a document type declaration, which no STS sends");
    for (unsigned i = 0; i < 17; i++)
        n += (size_t)snprintf(deep + n, sizeof deep - n, "<a>");
    expect_error(deep, E_CORRUPT, "the answer's XML is deeper than 16 levels");
    memset(text, ' ', S3_CRED_STS_XML_MAX + 1);
    expect_error(text, E_CORRUPT, "the answer has 65537 bytes, more than the limit of 65536");
    expect_error(HEAD "<Credentials>" ID KEY TOKEN TIME, E_CORRUPT, "the answer is not XML (line 1)");
    mem_free(text);
}

/* A parser that meets no memory says so, and leaks none. */
static void test_no_memory(void **state)
{
    long n;

    (void)state;
    for (n = 1; n < 1000; n++) {
        struct rc rc;

        s3_cred_box_free(box);
        box = s3_cred_box_new();
        mem_fail_after(n, true);
        rc = s3_cred_sts_xml_decode(span_of(HEAD TAIL, strlen(HEAD TAIL)), box, &err);
        mem_fail_after(0, false);
        if (rc.code == E_CORRUPT)
            break;
        assert_fails(rc, E_NOMEM);
    }
    assert_in_range(n, 3, 999);
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
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
