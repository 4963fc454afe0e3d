/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_sign.h"
#include "strx.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int64_t at(const char *time)
{
    struct err err;
    int64_t ms = 0;

    assert_ok_err(strx_time_ms(time, &ms, &err), &err);
    return ms;
}

/* --- the examples of the S3 documentation ---------------------------------------------------------------------------
 */

/* "Signature Calculations for the Authorization Header", "Authenticating Requests: Using Query Parameters".  The
 * documentation's own results; botocore makes the same. */
static const struct s3_sign_key s3_key = {
    .access_key = "AKIAIOSFODNN7EXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
};
#define S3_SCOPE "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "

static const struct s3_sign_param s3_headers[] = {
    {"Host", "examplebucket.s3.amazonaws.com"}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", EMPTY}};

static struct s3_sign_input s3_input(const char *path)
{
    return (struct s3_sign_input){
        .method = "GET",
        .path = path,
        .headers = s3_headers,
        .header_count = COUNT(s3_headers),
        .payload_hash = EMPTY,
        .time_ms = at("2013-05-24T00:00:00Z"),
    };
}

static void expect(const struct s3_sign_key *key, const struct s3_sign_input *in, const char *want)
{
    struct buf out;
    struct err err;

    buf_init(&out, 4096);
    assert_ok_err(s3_sign_header(key, in, &out, &err), &err);
    assert_string_equal(buf_str(&out), want);
    buf_fini(&out);
}

static void test_get_object(void **state)
{
    const struct s3_sign_param headers[] = {s3_headers[0], {"Range", "bytes=0-9"}, s3_headers[2], s3_headers[1]};
    struct s3_sign_input in = s3_input("/test.txt");

    (void)state;
    in.headers = headers;
    in.header_count = COUNT(headers);
    expect(&s3_key, &in,
        S3_SCOPE "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                 "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void test_put_object(void **state)
{
    char hash[S3_SIGN_HEX_SIZE];
    const struct s3_sign_param headers[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, s3_headers[0], s3_headers[1],
        {"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"x-amz-content-sha256", hash}};
    struct s3_sign_input in = s3_input("/test%24file.text");

    (void)state;
    s3_sign_sha256(span_of("Welcome to Amazon S3.", 21), hash);
    assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    in.method = "PUT";
    in.headers = headers;
    in.header_count = COUNT(headers);
    in.payload_hash = hash;
    expect(&s3_key, &in,
        S3_SCOPE "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, "
                 "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_bucket_lifecycle(void **state)
{
    const struct s3_sign_param query[] = {{"lifecycle", ""}};
    struct s3_sign_input in = s3_input("/");

    (void)state;
    in.query = query;
    in.query_count = COUNT(query);
    expect(&s3_key, &in,
        S3_SCOPE "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                 "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void test_list_objects(void **state)
{
    const struct s3_sign_param query[] = {{"prefix", "J"}, {"max-keys", "2"}};
    struct s3_sign_input in = s3_input("/");

    (void)state;
    in.query = query;
    in.query_count = COUNT(query);
    expect(&s3_key, &in,
        S3_SCOPE "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                 "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void test_presigned_get(void **state)
{
    struct s3_sign_input in = s3_input("/test.txt");
    struct buf out;
    struct err err;

    (void)state;
    in.header_count = 1;
    in.payload_hash = S3_SIGN_UNSIGNED;
    buf_init(&out, 4096);
    assert_ok_err(s3_sign_presign(&s3_key, &in, 86400, &out, &err), &err);
    assert_string_equal(buf_str(&out),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_clear(&out);
    assert_fails(s3_sign_presign(&s3_key, &in, 0, &out, &err), E_CONFIG);
    assert_string_equal(err.msg, "sign: a URL can be valid for 1 to 604800 seconds, not 0");
    assert_fails(s3_sign_presign(&s3_key, &in, 604801, &out, &err), E_CONFIG);
    assert_int_equal(out.size, 0);
    assert_ok(s3_sign_presign(&s3_key, &in, 604800, &out, &err));
    buf_fini(&out);
}

/* --- the general test suite of Signature Version 4 ------------------------------------------------------------------
 */

/* aws-sig-v4-test-suite; each result is the suite's, and botocore makes the same. */
static const struct {
    const char *name, *method, *path, *query[4], *headers[6], *signed_headers, *signature;
} suite[] = {
    {"get-vanilla", "GET", "/", {NULL}, {NULL}, "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "POST", "/", {NULL}, {NULL}, "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-empty-query-key", "GET", "/", {"Param1", "value1"}, {NULL}, "host;x-amz-date",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case", "GET", "/", {"Param2", "value2", "Param1", "value1"}, {NULL},
        "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-key", "GET", "/", {"Param1", "value2", "Param1", "Value1"}, {NULL}, "host;x-amz-date",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get-vanilla-query-order-value", "GET", "/", {"Param1", "value2", "Param1", "value1"}, {NULL}, "host;x-amz-date",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved", "GET", "/",
        {"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"},
        {NULL}, "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-utf8", "GET", "/%E1%88%B4", {NULL}, {NULL}, "host;x-amz-date",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-header-value-trim", "GET", "/", {NULL}, {"My-Header1", " value1", "My-Header2", " \"a   b   c\" "},
        "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate", "GET", "/", {NULL},
        {"My-Header1", "value2", "My-Header1", "value2", "My-Header1", "value1"}, "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
};

static void test_general_suite(void **state)
{
    const struct s3_sign_key key = {
        "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL, "us-east-1", "service"};

    (void)state;
    for (size_t i = 0; i < COUNT(suite); i++) {
        struct s3_sign_param query[2],
            headers[5] = {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}};
        struct s3_sign_input in = {.method = suite[i].method,
            .path = suite[i].path,
            .query = query,
            .headers = headers,
            .header_count = 2,
            .payload_hash = EMPTY,
            .time_ms = at("2015-08-30T12:36:00Z")};
        char want[512];

        for (size_t k = 0; k < 2 && suite[i].query[2 * k] != NULL; k++)
            query[in.query_count++] = (struct s3_sign_param){suite[i].query[2 * k], suite[i].query[2 * k + 1]};
        for (size_t k = 0; k < 3 && suite[i].headers[2 * k] != NULL; k++)
            headers[in.header_count++] = (struct s3_sign_param){suite[i].headers[2 * k], suite[i].headers[2 * k + 1]};
        (void)snprintf(want, sizeof want,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=%s, "
            "Signature=%s",
            suite[i].signed_headers, suite[i].signature);
        print_message("# %s\n", suite[i].name);
        expect(&key, &in, want);
    }
}

/* --- pieces ---------------------------------------------------------------------------------------------------------
 */

static void test_query(void **state)
{
    /* By name first: "a-" stands behind "a", though '-' is before '='. */
    const struct s3_sign_param query[] = {{"b", "2"}, {"a-", ""}, {"a", "x/y+z=1 ~"}, {"b", "10"}, {"b", ""},
        {"k\xc3\xa9y", "*'()!"}, {"uploads", ""}, {"a%", "%41"}};
    struct buf out;
    struct err err;

    (void)state;
    buf_init(&out, 4096);
    assert_ok_err(s3_sign_query(query, COUNT(query), &out, &err), &err);
    assert_string_equal(
        buf_str(&out), "a=x%2Fy%2Bz%3D1%20~&a%25=%2541&a-=&b=&b=10&b=2&k%C3%A9y=%2A%27%28%29%21&uploads=");
    buf_clear(&out);
    assert_ok(s3_sign_query(NULL, 0, &out, &err));
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

static void test_hashes_and_date(void **state)
{
    char hex[S3_SIGN_HEX_SIZE], md5[S3_SIGN_MD5_SIZE], date[S3_SIGN_DATE_SIZE];

    (void)state;
    s3_sign_sha256(span_of("", 0), hex);
    assert_string_equal(hex, EMPTY);
    s3_sign_sha256(span_of(NULL, 0), hex);
    assert_string_equal(hex, EMPTY);
    s3_sign_md5(span_of("", 0), md5);
    assert_string_equal(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
    s3_sign_md5(span_of("abc", 3), md5); /* RFC 1321: 900150983cd24fb0d6963f7d28e17f72 */
    assert_string_equal(md5, "kAFQmDzST7DWlj99KOF/cg==");
    s3_sign_date(0, date);
    assert_string_equal(date, "19700101T000000Z");
    s3_sign_date(at("2026-11-21T23:59:59.999Z"), date);
    assert_string_equal(date, "20261121T235959Z");
}

/* The key is derived anew when any of its parts is another: the same request in any order of keys has its own result.
 */
static void test_derived_keys(void **state)
{
    struct s3_sign_key keys[6];
    struct s3_sign_input in = s3_input("/test.txt");
    struct buf out[6], again;
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++)
        keys[i] = s3_key;
    keys[1].secret_key = "another";
    keys[2].region = "eu-central-1";
    keys[3].service = "sts";
    keys[4].access_key = "AKIAANOTHER";
    buf_init(&again, 4096);
    for (size_t i = 0; i < COUNT(keys); i++) {
        buf_init(&out[i], 4096);
        in.time_ms = at(i == 5 ? "2013-05-25T00:00:00Z" : "2013-05-24T00:00:00Z");
        s3_sign_forget();
        assert_ok_err(s3_sign_header(&keys[i], &in, &out[i], &err), &err);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(buf_str(&out[i]), buf_str(&out[k]));
    }
    /* Without forgetting, more often than keys are kept. */
    for (size_t n = 0; n < 30; n++) {
        size_t i = n * 5 % COUNT(keys);

        in.time_ms = at(i == 5 ? "2013-05-25T00:00:00Z" : "2013-05-24T00:00:00Z");
        buf_clear(&again);
        assert_ok_err(s3_sign_header(&keys[i], &in, &again, &err), &err);
        assert_string_equal(buf_str(&again), buf_str(&out[i]));
    }
    for (size_t i = 0; i < COUNT(keys); i++)
        buf_fini(&out[i]);
    buf_fini(&again);
}

static void refused(const struct s3_sign_key *key, const struct s3_sign_input *in, enum err_code code, const char *text)
{
    struct buf out;
    struct err err;

    buf_init(&out, 4096);
    assert_fails(s3_sign_header(key, in, &out, &err), code);
    assert_string_equal(err.msg, text);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

static void test_refused_keys(void **state)
{
    const struct s3_sign_input in = s3_input("/");
    struct s3_sign_key key = s3_key;
    char secret[600];

    (void)state;
    key.access_key = NULL;
    refused(&key, &in, E_CONFIG, "sign: no access key");
    key.access_key = "AK/IA";
    refused(&key, &in, E_CONFIG, "sign: the access key has a character that cannot be in one");
    key.access_key = "test:tester"; /* of Swift */
    key.region = "";
    refused(&key, &in, E_CONFIG, "sign: no region");
    key.region = "eu\nwest";
    refused(&key, &in, E_CONFIG, "sign: the region has a character that cannot be in one");
    key.region = "us-east-1";
    key.secret_key = "";
    refused(&key, &in, E_CONFIG, "sign: no secret key");
    memset(secret, 'x', sizeof secret - 1);
    secret[sizeof secret - 1] = 0;
    key.secret_key = secret;
    refused(&key, &in, E_CONFIG, "sign: the secret key has more than 512 bytes");
    key.region = secret;
    refused(&key, &in, E_CONFIG, "sign: the region has more than 256 bytes");
}

static void test_refused_requests(void **state)
{
    struct s3_sign_param many[S3_SIGN_ITEMS_MAX + 1], bad[] = {s3_headers[0], {"x-amz-security-token", "a\r\nb: c"}};
    struct s3_sign_input in = s3_input("");

    (void)state;
    refused(&s3_key, &in, E_BUG, "sign: the path does not begin with '/'");
    in.path = "/a b";
    refused(&s3_key, &in, E_BUG, "sign: the path is not encoded");
    in.path = "/a?b";
    refused(&s3_key, &in, E_BUG, "sign: the path is not encoded");
    in.path = "/";
    in.method = "get";
    refused(&s3_key, &in, E_BUG, "sign: this is no method");
    in.method = "GET";
    in.payload_hash = "abc";
    refused(&s3_key, &in, E_BUG, "sign: the payload hash is none");
    in.payload_hash = EMPTY;
    in.header_count = 0;
    refused(&s3_key, &in, E_BUG, "sign: the header host is missing");
    in.headers = bad;
    in.header_count = 2;
    refused(&s3_key, &in, E_CONFIG, "sign: the value of header x-amz-security-token has a control character");
    bad[1] = (struct s3_sign_param){"a b", "c"};
    refused(&s3_key, &in, E_BUG, "sign: this is no name of a header");
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = s3_headers[0];
    in.headers = many;
    in.header_count = COUNT(many);
    refused(&s3_key, &in, E_NOSPACE, "sign: more than 64 headers");
    in.header_count = 1;
    in.query = many;
    in.query_count = COUNT(many);
    refused(&s3_key, &in, E_NOSPACE, "sign: more than 64 parameters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_object),
        cmocka_unit_test(test_put_object),
        cmocka_unit_test(test_bucket_lifecycle),
        cmocka_unit_test(test_list_objects),
        cmocka_unit_test(test_presigned_get),
        cmocka_unit_test(test_general_suite),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_hashes_and_date),
        cmocka_unit_test(test_derived_keys),
        cmocka_unit_test(test_refused_keys),
        cmocka_unit_test(test_refused_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
