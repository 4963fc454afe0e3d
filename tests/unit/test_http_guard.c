/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "http_guard.h"

#include <arpa/inet.h>
#include <string.h>

static struct err err;

static struct http_guard guard_at(const char *listen)
{
    struct http_guard g;

    assert_ok_err(http_guard_init(&g, listen, &err), &err);
    return g;
}

static void addresses(void **state)
{
    static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:9180",
        "[::1]", "[::1]9180", "[::1:9180", "[]:1", "127.0.0.1:-1"};
    struct http_guard g;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(http_guard_init(&g, bad[i], &err), E_CONFIG);
    g = guard_at("[::1]:9180");
    assert_string_equal(g.host, "::1");
    assert_int_equal(g.port, 9180);
    assert_false(g.any_address);
    assert_true(guard_at("0.0.0.0:1").any_address);
    assert_true(guard_at("[::]:1").any_address);
    assert_true(guard_at("[0:0::0]:1").any_address);
}

static void hosts(void **state)
{
    static const struct {
        const char *listen, *host;
        bool ok;
    } cases[] = {
        {"127.0.0.1:9180", "127.0.0.1:9180", true},
        {"127.0.0.1:9180", "127.0.0.1", true},
        {"127.0.0.1:9180", "localhost:9180", true},
        {"127.0.0.1:9180", "LocalHost", true},
        {"127.0.0.1:9180", "localhost:8080", true}, /* a port that is passed on */
        {"127.0.0.1:9180", "localhost.evil.example", false},
        {"127.0.0.1:9180", "evil.example:9180", false},
        {"127.0.0.1:9180", "127.0.0.1.evil.example", false},
        {"127.0.0.1:9180", "127.0.0.2", false},
        {"127.0.0.1:9180", "", false},
        {"127.0.0.1:9180", ":9180", false},
        {"127.0.0.1:9180", NULL, false},
        {"127.0.0.1:9180", "[::1", false},
        {"[::1]:9180", "[::1]:9180", true},
        {"[::1]:9180", "::1", false},
        {"localhost:9180", "127.0.0.1:9180", true},
        {"localhost:9180", "[::1]:9180", true},
        {"localhost:9180", "10.0.0.1", false},
        {"0.0.0.0:9180", "10.1.2.3:9180", true},
        {"0.0.0.0:9180", "[fe80::1]:9180", true},
        {"0.0.0.0:9180", "weir.example:9180", false},
        {"weir.example:9180", "weir.example", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_guard g = guard_at(cases[i].listen);

        if (http_guard_host_ok(&g, cases[i].host) != cases[i].ok)
            fail_msg("%s, Host: %s", cases[i].listen, cases[i].host != NULL ? cases[i].host : "none");
        g.owner_only = true;
        assert_true(http_guard_host_ok(&g, cases[i].host));
    }
}

static void origins(void **state)
{
    struct http_guard g = guard_at("127.0.0.1:9180"), owner = {.owner_only = true};

    (void)state;
    assert_true(http_guard_origin_ok(&g, NULL, "127.0.0.1:9180"));
    assert_true(http_guard_origin_ok(&g, "http://127.0.0.1:9180", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "http://127.0.0.1:9181", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "https://127.0.0.1:9180", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "http://evil.example", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "null", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "", "127.0.0.1:9180"));
    assert_false(http_guard_origin_ok(&g, "http://", NULL));
    assert_true(http_guard_origin_ok(&owner, NULL, "localhost"));
    assert_false(http_guard_origin_ok(&owner, "http://localhost", "localhost"));
}

static void tokens(void **state)
{
    static const char token[] = "correct horse"; /* a space: not a token */
    struct http_guard g = guard_at("127.0.0.1:9180");
    char text[HTTP_TOKEN_MAX + 20], header[HTTP_TOKEN_MAX + 40];

    (void)state;
    assert_true(http_guard_token_ok(&g, NULL)); /* none is asked for */
    assert_fails(http_guard_set_token(&g, token, sizeof token - 1, &err), E_CONFIG);
    assert_fails(http_guard_set_token(&g, "0123456789abcde\n", 16, &err), E_CONFIG); /* 15 of them */
    assert_fails(http_guard_set_token(&g, "0123456789 abcdef", 17, &err), E_CONFIG);
    assert_fails(http_guard_set_token(&g,
                     "0123456789\x80"
                     "abcdef",
                     17, &err),
        E_CONFIG);
    memset(text, 'x', sizeof text);
    assert_fails(http_guard_set_token(&g, text, HTTP_TOKEN_MAX + 1, &err), E_CONFIG);
    assert_false(g.has_token);
    assert_ok_err(http_guard_set_token(&g, " \n0123456789abcdef\r\n", 20, &err), &err);
    assert_true(http_guard_token_ok(&g, "Bearer 0123456789abcdef"));
    assert_true(http_guard_token_ok(&g, "bearer 0123456789abcdef"));
    assert_false(http_guard_token_ok(&g, NULL));
    assert_false(http_guard_token_ok(&g, ""));
    assert_false(http_guard_token_ok(&g, "Bearer "));
    assert_false(http_guard_token_ok(&g, "Basic 0123456789abcdef"));
    assert_false(http_guard_token_ok(&g, "Bearer 0123456789abcde"));
    assert_false(http_guard_token_ok(&g, "Bearer 0123456789abcdeg"));
    assert_false(http_guard_token_ok(&g, "Bearer 0123456789abcdef0"));
    assert_false(http_guard_token_ok(&g, "Bearer 0123456789abcdef "));
    assert_ok_err(http_guard_set_token(&g, text, HTTP_TOKEN_MAX, &err), &err);
    memcpy(header, "Bearer ", 7);
    memset(header + 7, 'x', HTTP_TOKEN_MAX + 1);
    header[7 + HTTP_TOKEN_MAX] = 0;
    assert_true(http_guard_token_ok(&g, header));
    header[7 + HTTP_TOKEN_MAX] = 'x';
    header[8 + HTTP_TOKEN_MAX] = 0;
    assert_false(http_guard_token_ok(&g, header));
    http_guard_fini(&g);
    for (size_t i = 0; i < sizeof g.token; i++)
        assert_int_equal(g.token[i], 0);
}

static void loopback(void **state)
{
    static const struct {
        const char *text;
        bool local;
    } cases[] = {{"127.0.0.1", true}, {"127.255.0.1", true}, {"128.0.0.1", false}, {"0.0.0.0", false},
        {"192.168.0.1", false}, {"::1", true}, {"::", false}, {"fe80::1", false}, {"::ffff:127.0.0.1", true},
        {"::ffff:10.0.0.1", false}};
    const struct sockaddr other = {.sa_family = AF_UNIX};

    (void)state;
    assert_false(http_guard_is_loopback(&other));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};

        if (inet_pton(AF_INET, cases[i].text, &four.sin_addr) == 1) {
            assert_int_equal(http_guard_is_loopback((const struct sockaddr *)&four), cases[i].local);
        } else {
            assert_int_equal(inet_pton(AF_INET6, cases[i].text, &six.sin6_addr), 1);
            assert_int_equal(http_guard_is_loopback((const struct sockaddr *)&six), cases[i].local);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(hosts),
        cmocka_unit_test(origins),
        cmocka_unit_test(tokens),
        cmocka_unit_test(loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
