/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_uri.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_encode(void **state)
{
    static const struct {
        const char *text, *path, *part;
    } cases[] = {
        {"", "", ""},
        {"AZaz09-._~", "AZaz09-._~", "AZaz09-._~"},
        {"a/b//c/", "a/b//c/", "a%2Fb%2F%2Fc%2F"},
        {"a b+c=d&e", "a%20b%2Bc%3Dd%26e", "a%20b%2Bc%3Dd%26e"},
        {"100%", "100%25", "100%25"},
        {"*'()!:@,;$[]", "%2A%27%28%29%21%3A%40%2C%3B%24%5B%5D", "%2A%27%28%29%21%3A%40%2C%3B%24%5B%5D"},
        {"\xe6\x97\xa5\xff\x01", "%E6%97%A5%FF%01", "%E6%97%A5%FF%01"},
        {"../.", "../.", "..%2F."},
    };
    struct buf out, back;
    struct err err;

    (void)state;
    buf_init(&out, 1024);
    buf_init(&back, 1024);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&out);
        s3_uri_encode(cases[i].text, S3_URI_KEEP_SLASH, &out);
        assert_string_equal(buf_str(&out), cases[i].path);
        buf_clear(&out);
        s3_uri_encode(cases[i].text, S3_URI_ENCODE_SLASH, &out);
        assert_string_equal(buf_str(&out), cases[i].part);
        buf_clear(&back);
        assert_ok_err(s3_uri_decode(buf_span(&out), "text", &back, &err), &err);
        assert_string_equal(buf_str(&back), cases[i].text);
    }
    buf_fini(&out);
    buf_fini(&back);
}

static void test_decode(void **state)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"%", "text: a '%' must be followed by two hex digits"},
        {"a%4", "text: a '%' must be followed by two hex digits"},
        {"%4g", "text: a '%' must be followed by two hex digits"},
        {"%%41", "text: a '%' must be followed by two hex digits"},
        {"% 41", "text: a '%' must be followed by two hex digits"},
        {"%00", "text: %00 is not allowed"},
        {"a b", "text: a space or control character must be written as %20 and so on"},
        {"a\n", "text: a space or control character must be written as %20 and so on"},
    };
    struct buf out;
    struct err err;

    (void)state;
    buf_init(&out, 16);
    assert_ok(s3_uri_decode(span_of("a+%2b%2B%41/", 12), "text", &out, &err));
    assert_string_equal(buf_str(&out), "a+++A/");
    for (size_t i = 0; i < COUNT(bad); i++) {
        buf_clear(&out);
        assert_fails(s3_uri_decode(span_of(bad[i].text, strlen(bad[i].text)), "text", &out, &err), E_CONFIG);
        assert_string_equal(err.msg, bad[i].error);
    }
    buf_clear(&out);
    assert_fails(s3_uri_decode(span_of("12345678901234567", 17), "text", &out, &err), E_NOSPACE);
    buf_fini(&out);
}

static void test_parse(void **state)
{
    struct s3_uri uri;
    struct err err;

    (void)state;
    assert_ok_err(s3_uri_parse("S3://bucket/a%20b/c?x=1&flag&y=%26%3d=&&z=", &uri, &err), &err);
    assert_string_equal(uri.scheme, "s3");
    assert_string_equal(uri.host, "bucket");
    assert_string_equal(uri.path, "/a%20b/c");
    assert_false(uri.has_user);
    assert_int_equal(uri.param_count, 4);
    assert_string_equal(uri.params[0].name, "x");
    assert_string_equal(uri.params[0].value, "1");
    assert_string_equal(uri.params[1].name, "flag");
    assert_string_equal(uri.params[1].value, "");
    assert_string_equal(uri.params[2].name, "y");
    assert_string_equal(uri.params[2].value, "&==");
    assert_string_equal(uri.params[3].name, "z");
    assert_string_equal(uri.params[3].value, "");
    s3_uri_fini(&uri);
    assert_ok_err(s3_uri_parse("https://a:b@c@[::1]:99?q", &uri, &err), &err);
    assert_true(uri.has_user);
    assert_string_equal(uri.host, "[::1]:99");
    assert_string_equal(uri.path, "");
    assert_int_equal(uri.param_count, 1);
    s3_uri_fini(&uri);
    assert_ok_err(s3_uri_parse("s3://", &uri, &err), &err);
    assert_string_equal(uri.host, "");
    s3_uri_fini(&uri);
}

static void test_parse_refuses(void **state)
{
    static const struct {
        const char *url, *error;
    } bad[] = {
        {"", "url: does not begin with scheme://"},
        {"bucket/prefix", "url: does not begin with scheme://"},
        {"://bucket", "url: does not begin with scheme://"},
        {"3s://bucket", "url: does not begin with scheme://"},
        {"s_3://bucket", "url: does not begin with scheme://"},
        {"s3://bucket/a b", "url: a space or control character must be written as %20 and so on"},
        {"s3://bucket/a\tb", "url: a space or control character must be written as %20 and so on"},
        {"s3://bucket#x", "url: a '#' must be written as %23"},
        {"s3://bucket?a=%zz", "query: a '%' must be followed by two hex digits"},
        {"s3://bucket?%00=1", "query: %00 is not allowed"},
    };
    char text[S3_URI_MAX + 2] = "s3://b?";
    struct s3_uri uri = {.param_count = 77};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fails(s3_uri_parse(bad[i].url, &uri, &err), E_CONFIG);
        assert_string_equal(err.msg, bad[i].error);
    }
    for (size_t i = 0; i <= S3_URI_PARAMS_MAX; i++)
        memcpy(text + 7 + 2 * i, "a&", 2);
    assert_fails(s3_uri_parse(text, &uri, &err), E_CONFIG);
    assert_string_equal(err.msg, "query: more than 64 parameters");
    memset(text + 7, 'a', sizeof text - 8);
    assert_fails(s3_uri_parse(text, &uri, &err), E_CONFIG);
    assert_string_equal(err.msg, "url: longer than 8192 bytes");
    assert_int_equal(uri.param_count, 77); /* outputs are written on success only */
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        bool ok, ip, loopback;
        size_t size;
        unsigned port;
    } cases[] = {
        {"localhost", true, false, true, 9, 0},
        {"LocalHost:80", true, false, true, 9, 80},
        {"s3.localhost:7480", true, false, true, 12, 7480},
        {"notlocalhost", true, false, false, 12, 0},
        {"127.0.0.1:7480", true, true, true, 9, 7480},
        {"127.1.2.3", true, true, true, 9, 0},
        {"127.evil.example", true, false, false, 16, 0},
        {"10.0.0.256", true, false, false, 10, 0}, /* a name of four labels, as far as this goes */
        {"10.0.0.1", true, true, false, 8, 0},
        {"10.0.0.1.", true, false, false, 9, 0},
        {"1.2.3", true, false, false, 5, 0},
        {"[::1]:443", true, true, true, 5, 443},
        {"[fe80::1]", true, true, false, 9, 0},
        {"my_minio:9000", true, false, false, 8, 9000},
        {"a.b-c.example", true, false, false, 13, 0},
        {"", false},
        {":80", false},
        {"a:", false},
        {"a:0", false},
        {"a:65536", false},
        {"a:99999999999999999999", false},
        {"a:8x", false},
        {"a b", false},
        {"a..b", false},
        {".a", false},
        {"[::1", false},
        {"[::1]x", false},
        {"[abc]", false},
        {"a/b", false},
        {"a@b", false},
        {"\xc3\xa9", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size = 0;
        unsigned port = 0;

        print_message("# %s\n", cases[i].host);
        assert_int_equal(s3_uri_host(cases[i].host, &size, &port), cases[i].ok);
        assert_int_equal(size, cases[i].size);
        assert_int_equal(port, cases[i].port);
        assert_int_equal(s3_uri_host_is_ip(cases[i].host), cases[i].ip);
        assert_int_equal(s3_uri_host_is_loopback(cases[i].host), cases[i].loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
