/* SPDX-License-Identifier: Apache-2.0 */
#include "http_kit.h"
#include <stdio.h>
#include <stdlib.h>

/* --- a request and its answer ------------------------------------------------------------------------------------ */

static void test_get(void **state)
{
    struct http_kit k;
    struct http_ask a;
    const struct http_seen *seen;

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(
        k.script, &(struct http_answer){
                      .status = 206, .headers = "ETag: \"x\"\r\nEmpty:\r\nX-Spaces: \t a b  \r\n", .body = "hello"});
    kit_ask(&k, &a, "GET", "/bucket/a/../b%2Fc?x=1&y");
    s3_http_header(&a.req, "Range", "bytes=0-4");
    s3_http_header(&a.req, "X-Nothing", "");
    kit_run(&k, &a);
    assert_status(&a, 206);
    assert_body(&a, "hello");
    assert_string_equal(s3_http_answer(&a.req, "etag"), "\"x\"");
    assert_string_equal(s3_http_answer(&a.req, "EMPTY"), "");
    assert_string_equal(s3_http_answer(&a.req, "x-spaces"), "a b");
    assert_null(s3_http_answer(&a.req, "x-space"));
    assert_in_range(a.req.first_byte_us, 1, a.req.total_us);
    assert_false(a.req.maybe_sent);
    assert_false(a.req.resent);
    seen = http_script_seen(k.script, 0);
    assert_string_equal(seen->method, "GET");
    assert_string_equal(seen->target, "/bucket/a/../b%2Fc?x=1&y"); /* as given: it is signed */
    assert_string_equal(http_script_field(seen, "range"), "bytes=0-4");
    assert_string_equal(http_script_field(seen, "x-nothing"), "");
    assert_non_null(strstr(http_script_field(seen, "user-agent"), "weir/"));
    assert_null(http_script_field(seen, "content-length"));
    assert_null(http_script_field(seen, "accept-encoding"));
    assert_null(http_script_field(seen, "upgrade"));
    s3_http_req_fini(&a.req);
    kit_end(&k);
}

/* PUT and POST always have a length and never wait for "100 Continue"; the connection is used again. */
static void test_bodies(void **state)
{
    static const char *const methods[] = {"PUT", "POST", "DELETE"};
    const size_t sizes[] = {0, 1, 3 << 20};
    uint8_t *data = malloc(3 << 20);
    uint64_t seed = 7;
    struct http_kit k;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 3 << 20; i++)
        data[i] = (uint8_t)check_random(&seed);
    kit_begin(&k, NULL);
    for (size_t m = 0; m < 3; m++)
        for (size_t i = 0; i < 3; i++) {
            const struct http_seen *seen;
            char length[32];
            struct http_ask a;

            http_script_add(k.script, &(struct http_answer){.body = "done"});
            kit_ask(&k, &a, methods[m], "/key");
            a.req.body = span_of(data, sizes[i]);
            kit_run(&k, &a);
            assert_status(&a, 200);
            assert_body(&a, "done");
            seen = http_script_seen(k.script, n++);
            assert_string_equal(seen->method, methods[m]);
            assert_int_equal(seen->body_size, sizes[i]);
            assert_memory_equal(seen->body, data, sizes[i]);
            (void)snprintf(length, sizeof length, "%zu", sizes[i]);
            if (m < 2 || sizes[i] > 0)
                assert_string_equal(http_script_field(seen, "content-length"), length);
            else
                assert_null(http_script_field(seen, "content-length"));
            assert_null(http_script_field(seen, "expect"));
            assert_null(http_script_field(seen, "content-type"));
            assert_null(http_script_field(seen, "transfer-encoding"));
            s3_http_req_fini(&a.req);
        }
    assert_int_equal(http_script_connections(k.script), 1);
    kit_end(&k);
    free(data);
}

static void test_head_and_204(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.headers = "Content-Length: 123456789012\r\n"});
    kit_ask(&k, &a, "HEAD", "/key");
    a.req.answer_max = 0;
    kit_run(&k, &a);
    assert_status(&a, 200);
    assert_string_equal(s3_http_answer(&a.req, "content-length"), "123456789012");
    assert_int_equal(a.req.data.size, 0);
    s3_http_req_fini(&a.req);
    http_script_add(k.script, &(struct http_answer){.status = 204});
    kit_ask(&k, &a, "DELETE", "/key");
    a.req.answer_max = 0;
    kit_run(&k, &a);
    assert_status(&a, 204);
    s3_http_req_fini(&a.req);
    assert_int_equal(http_script_connections(k.script), 1);
    kit_end(&k);
}

/* The same request object may be sent again; what it got before is forgotten. */
static void test_again(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HALF_CLOSE, .headers = "A: b\r\n", .body = "first"});
    http_script_add(k.script, &(struct http_answer){.headers = "C: d\r\n", .body = "second"});
    kit_get(&k, &a, "/key");
    assert_failure(&a, E_NETWORK, "curl 18");
    a.done = 0;
    kit_run(&k, &a);
    assert_status(&a, 200);
    assert_body(&a, "second");
    assert_null(s3_http_answer(&a.req, "a"));
    assert_string_equal(s3_http_answer(&a.req, "c"), "d");
    assert_false(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
}

/* --- answers in odd shapes that are fine ------------------------------------------------------------------------- */

static void test_shapes(void **state)
{
    static const struct http_answer answers[] = {
        {.how = HTTP_BYTES, .headers = "X: y\r\n", .body = "in single bytes"},
        {.how = HTTP_BYTES, .headers = "X: y\r\n", .body = "dripping", .drip_ms = 5},
        {.how = HTTP_CHUNKED, .headers = "X: y\r\n", .body = "in chunks of seven bytes, not of eight"},
        {.how = HTTP_CHUNKED, .headers = "X: y\r\n", .body = ""},
        {.how = HTTP_THEN_CLOSE, .headers = "X: y\r\n", .body = "and then gone"},
        {.headers = "X: y\r\nConnection: close\r\n", .body = "and then gone, as announced"},
        {.delay_ms = 300, .headers = "X: y\r\n", .body = "late"},
        {.status = 302, .headers = "X: y\r\nLocation: /elsewhere\r\n", .body = "elsewhere"}, /* not followed */
        {.status = 503, .headers = "X: y\r\n", .body = "slow down"},
        {.how = HTTP_RAW, .body = "HTTP/1.1 100 Continue\r\nX: no\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end"},
        {.how = HTTP_RAW, .body = "HTTP/1.0 200 OK\nX: y\nContent-Length: 4\n\nbare"},
    };
    struct http_kit k;

    (void)state;
    kit_begin(&k, NULL);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const char *body = answers[i].body;
        struct http_ask a;

        http_script_add(k.script, &answers[i]);
        kit_get(&k, &a, "/key");
        assert_status(&a, answers[i].status == 0 ? 200 : answers[i].status);
        if (answers[i].how == HTTP_RAW)
            body = strstr(body, "to the end") != NULL ? "to the end" : "bare";
        assert_body(&a, body);
        assert_string_equal(s3_http_answer(&a.req, "x"), "y");
        s3_http_req_fini(&a.req);
    }
    assert_int_equal(http_script_count(k.script), sizeof answers / sizeof answers[0]);
    kit_end(&k);
}

/* An error that comes before the body was sent is an answer like any other. */
static void test_early_answer(void **state)
{
    uint8_t *data = calloc(1, 32 << 20);
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.status = 403, .headers = "Connection: close\r\n", .body = "no"});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_EARLY_CLOSE});
    kit_ask(&k, &a, "PUT", "/key");
    a.req.body = span_of(data, 1 << 20);
    kit_run(&k, &a);
    assert_status(&a, 403);
    assert_body(&a, "no");
    s3_http_req_fini(&a.req);
    /* Closed with most of the body unread: nobody knows what became of the request. */
    kit_ask(&k, &a, "PUT", "/key");
    a.req.body = span_of(data, 32 << 20);
    kit_run(&k, &a);
    assert_int_equal(a.req.err.code, E_NETWORK);
    assert_true(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
    free(data);
}

/* --- answers that are wrong -------------------------------------------------------------------------------------- */

static char *many_headers(unsigned count, unsigned size)
{
    char *text = malloc((size_t)count * (size + 16) + 1), *at = text;

    for (unsigned i = 0; i < count; i++) {
        at += sprintf(at, "X-%u: ", i);
        memset(at, 'v', size);
        at += size;
        at += sprintf(at, "\r\n");
    }
    *at = 0;
    return text;
}

static void test_broken(void **state)
{
    static const struct {
        struct http_answer answer;
        enum err_code code;
        const char *text;
    } table[] = {
        {{.how = HTTP_CLOSE}, E_NETWORK, "Empty reply from server (curl 52)"},
        {{.how = HTTP_RESET}, E_NETWORK, "reset by peer (curl 56)"},
        {{.how = HTTP_HALF_CLOSE, .body = "half of this"}, E_NETWORK, "(curl 18)"},
        {{.how = HTTP_HALF_RESET, .body = "half of this"}, E_NETWORK, "(curl 56)"},
        {{.how = HTTP_RAW, .body = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"}, E_NETWORK, "(curl 18)"},
        {{.how = HTTP_RAW, .body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort"}, E_NETWORK,
            "(curl 18)"},
        {{.how = HTTP_RAW, .body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nshort"}, E_NETWORK,
            "(curl 56)"},
        {{.how = HTTP_RAW, .body = "SSH-2.0-OpenSSH_9.2p1 Debian\r\n"}, E_CORRUPT, "HTTP/0.9"},
        {{.how = HTTP_RAW, .body = "HTTP/1.1 999999 What\r\n\r\n"}, E_CORRUPT, "(curl "},
        {{.how = HTTP_RAW, .body = "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nbody"}, E_CORRUPT, "(curl 8)"},
    };
    struct http_kit k;

    (void)state;
    kit_begin(&k, NULL);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct http_ask a;
        char *prefix;

        http_script_add(k.script, &table[i].answer);
        kit_ask(&k, &a, "PUT", "/key?X-Amz-Signature=secret");
        a.req.body = span_of("body", 4);
        s3_http_header(&a.req, "Authorization", "secret");
        kit_run(&k, &a);
        assert_failure(&a, table[i].code, table[i].text);
        prefix = mem_printf("PUT http://127.0.0.1:%d/key: ", http_script_port(k.script));
        assert_memory_equal(a.req.err.msg, prefix, strlen(prefix));
        mem_free(prefix);
        assert_null(strstr(a.req.err.msg, "secret"));
        assert_true(a.req.maybe_sent);
        assert_false(a.req.resent);
        s3_http_req_fini(&a.req);
    }
    kit_end(&k);
}

static void test_limits(void **state)
{
    char *headers[] = {many_headers(60, 10), many_headers(100, 10), many_headers(40, 1000), many_headers(1, 40000),
        many_headers(1, 200000)}; /* the last is a line of more than libcurl takes */
    static const char *const wrong[] = {
        NULL, "more than 64 headers", "more than 32768 bytes of headers", "more than 32768 bytes of headers", ""};
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    for (size_t i = 0; i < 5; i++) {
        http_script_add(k.script, &(struct http_answer){.headers = headers[i], .body = "x"});
        kit_get(&k, &a, "/key");
        if (wrong[i] == NULL)
            assert_status(&a, 200);
        else if (a.req.err.code != E_NOMEM) /* libcurl's own word for a line of more than 100 KiB */
            assert_failure(&a, E_CORRUPT, wrong[i]);
        else
            assert_failure(&a, E_NOMEM, "curl 27");
        s3_http_req_fini(&a.req);
        free(headers[i]);
    }
    kit_end(&k);
}

/* The body may be as large as was said, announced or not; an error's text has room of its own. */
static void test_answer_max(void **state)
{
    static const struct {
        enum http_how how;
        int status;
        size_t max;
        bool fits;
    } table[] = {
        {HTTP_WHOLE, 200, 10, true},
        {HTTP_WHOLE, 200, 9, false},
        {HTTP_CHUNKED, 200, 10, true},
        {HTTP_CHUNKED, 200, 9, false},
        {HTTP_CHUNKED, 200, 0, false},
        {HTTP_WHOLE, 404, 0, true},
        {HTTP_CHUNKED, 500, 3, true},
    };
    char *large = calloc(1, S3_HTTP_ERROR_BYTES_MAX + 1);
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        http_script_add(
            k.script, &(struct http_answer){.how = table[i].how, .status = table[i].status, .body = "ten bytes."});
        kit_ask(&k, &a, "GET", "/key");
        a.req.answer_max = table[i].max;
        kit_run(&k, &a);
        if (table[i].fits) {
            assert_status(&a, table[i].status);
            assert_body(&a, "ten bytes.");
        } else
            assert_failure(&a, E_CORRUPT, "expected");
        s3_http_req_fini(&a.req);
    }
    http_script_add(
        k.script, &(struct http_answer){.status = 500, .body = large, .body_size = S3_HTTP_ERROR_BYTES_MAX + 1});
    kit_ask(&k, &a, "GET", "/key");
    a.req.answer_max = 10;
    kit_run(&k, &a);
    assert_failure(&a, E_CORRUPT, "65537 bytes where at most 65536");
    s3_http_req_fini(&a.req);
    kit_end(&k);
    free(large);
}

/* Memory for the body is asked for and may be refused. */
static void test_no_memory(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    http_script_add(k.script, &(struct http_answer){.body = "hello"});
    kit_ask(&k, &a, "GET", "/key");
    mem_fail_after(1, true);
    kit_run(&k, &a);
    mem_fail_after(0, false);
    assert_failure(&a, E_NOMEM, "no memory");
    s3_http_req_fini(&a.req);
    kit_end(&k);
}

/* --- proxies ----------------------------------------------------------------------------------------------------- */

static void test_proxy(void **state)
{
    struct http_kit k;
    struct http_ask a;
    char *proxy, *url;

    (void)state;
    kit_begin(&k, NULL);
    proxy = mem_printf("http://user:pass@127.0.0.1:%d", http_script_port(k.script));
    /* From the environment. */
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    http_script_add(k.script, &(struct http_answer){.body = "by proxy"});
    kit_ask_url(&k, &a, "GET", "http://store.invalid/key");
    kit_run(&k, &a);
    assert_status(&a, 200);
    assert_string_equal(http_script_seen(k.script, 0)->target, "http://store.invalid/key");
    assert_non_null(http_script_field(http_script_seen(k.script, 0), "proxy-authorization"));
    s3_http_req_fini(&a.req);
    /* Not for link-local endpoints. */
    http_script_add(k.script, &(struct http_answer){.body = "direct"});
    kit_ask(&k, &a, "GET", "/key");
    a.req.no_proxy = true;
    kit_run(&k, &a);
    assert_status(&a, 200);
    assert_string_equal(http_script_seen(k.script, 1)->target, "/key");
    assert_null(http_script_field(http_script_seen(k.script, 1), "proxy-authorization"));
    s3_http_req_fini(&a.req);
    kit_end(&k);
    assert_int_equal(unsetenv("http_proxy"), 0);
    mem_free(proxy);

    /* By option; no password in what goes wrong. */
    static const struct {
        const char *proxy, *text;
    } wrong[] = {
        {"http://user:pass@127.0.0.1:1", "Connection refused"},
        {"http://user:pass@no-such-host.invalid:1", "resolve proxy"},
        {"http://user:pass@[::1", "proxy"},
        {"gopher://user:pass@127.0.0.1:1", "proxy"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kit_begin(&k, &(struct s3_http_opts){.proxy = wrong[i].proxy});
        kit_get(&k, &a, "/key");
        assert_failure(&a, a.req.err.code, wrong[i].text);
        assert_null(strstr(a.req.err.msg, "pass"));
        assert_false(a.req.maybe_sent);
        s3_http_req_fini(&a.req);
        kit_end(&k);
    }

    /* A tunnel that the proxy refuses: the request was never sent. */
    kit_begin(&k, NULL);
    proxy = mem_printf("http://127.0.0.1:%d", http_script_port(k.script));
    assert_int_equal(setenv("https_proxy", proxy, 1), 0);
    http_script_add(k.script, &(struct http_answer){.status = 407, .body = "who are you?"});
    url = mem_strdup("https://store.invalid/key");
    kit_ask_url(&k, &a, "PUT", url);
    kit_run(&k, &a);
    assert_failure(&a, E_NETWORK, "407");
    assert_false(a.req.maybe_sent);
    assert_string_equal(http_script_seen(k.script, 0)->method, "CONNECT");
    s3_http_req_fini(&a.req);
    kit_end(&k);
    assert_int_equal(unsetenv("https_proxy"), 0);
    mem_free(proxy);
    mem_free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_head_and_204),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_answer_max),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
