/* SPDX-License-Identifier: Apache-2.0 */
#include "http_kit.h"

#include "http_certs.h"
#include "s3_http_intern.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/weir-test-s3-http-XXXXXX";
static char ca_file[64], other_ca_file[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    (void)snprintf(other_ca_file, sizeof other_ca_file, "%s/other.pem", folder);
    SSL_CTX_free(http_certs_make(HTTP_CERTS_GOOD, other_ca_file));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(ca_file);
    (void)unlink(other_ca_file);
    return rmdir(folder);
}

/* Bodies in both directions; the connection is kept. */
static void test_tls(void **state)
{
    SSL_CTX *tls = http_certs_make(HTTP_CERTS_GOOD, ca_file);
    uint8_t *data = malloc(1 << 20);
    uint64_t seed = 3;
    struct http_kit k;
    struct http_ask a;

    (void)state;
    for (size_t i = 0; i < 1 << 20; i++)
        data[i] = (uint8_t)check_random(&seed);
    kit_begin_tls(&k, &(struct s3_http_opts){.ca_file = ca_file}, tls);
    for (unsigned i = 0; i < 3; i++) {
        http_script_add(k.script, &(struct http_answer){.body = data, .body_size = 1 << 20});
        kit_ask(&k, &a, "PUT", "/key");
        a.req.body = span_of(data, 1 << 20);
        kit_run(&k, &a);
        assert_status(&a, 200);
        assert_int_equal(a.req.data.size, 1 << 20);
        assert_memory_equal(a.req.data.data, data, 1 << 20);
        assert_int_equal(http_script_seen(k.script, i)->body_size, 1 << 20);
        assert_memory_equal(http_script_seen(k.script, i)->body, data, 1 << 20);
        s3_http_req_fini(&a.req);
    }
    assert_int_equal(http_script_connections(k.script), 1);
    assert_int_equal(uv_loop_alive(&k.loop), 0);
    http_script_drop_idle(k.script);
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HALF_CLOSE, .body = "half of this"});
    kit_get(&k, &a, "/key");
    assert_int_equal(a.req.err.code, E_NETWORK);
    assert_true(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
    SSL_CTX_free(tls);
    free(data);
}

static void test_certificates(void **state)
{
    const struct {
        enum http_certs_kind kind;
        const char *ca_file;
        enum err_code code;
        const char *text;
    } table[] = {
        {HTTP_CERTS_GOOD, NULL, E_NETWORK, "authority that this machine does not trust"},
        {HTTP_CERTS_GOOD, other_ca_file, E_NETWORK, "does not fit the authority of that name"},
        {HTTP_CERTS_SELF_SIGNED, ca_file, E_NETWORK, "authority that this machine does not trust"},
        {HTTP_CERTS_WRONG_HOST, ca_file, E_NETWORK, "is for another host name"},
        {HTTP_CERTS_EXPIRED, ca_file, E_NETWORK, "has expired, or the clock"},
        {HTTP_CERTS_NOT_YET, ca_file, E_NETWORK, "is not valid yet, or the clock"},
        {HTTP_CERTS_GOOD, "/nonexistent/ca.pem", E_CONFIG, "the CA file /nonexistent/ca.pem cannot be used"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        SSL_CTX *tls = http_certs_make(table[i].kind, ca_file);
        struct http_kit k;
        struct http_ask a;

        kit_begin_tls(&k, &(struct s3_http_opts){.ca_file = table[i].ca_file}, tls);
        kit_ask(&k, &a, "PUT", "/key?secret");
        kit_run(&k, &a);
        assert_failure(&a, table[i].code, table[i].text);
        assert_null(strstr(a.req.err.msg, "secret"));
        assert_false(a.req.maybe_sent);
        assert_int_equal(http_script_count(k.script), 0);
        s3_http_req_fini(&a.req);
        kit_end(&k);
        SSL_CTX_free(tls);
    }
}

/* TLS towards a server that speaks none. */
static void test_no_tls(void **state)
{
    struct http_kit k;
    struct http_ask a;

    (void)state;
    kit_begin(&k, NULL);
    http_script_deafen(k.script);
    http_script_stop(k.script);
    k.script = http_script_start(&k.loop);
    k.scheme = "https";
    kit_ask(&k, &a, "PUT", "/key");
    a.req.total_ms = 300; /* the script waits for the end of a request */
    kit_run(&k, &a);
    assert_failure(&a, E_TIMEOUT, "curl 28");
    assert_false(a.req.maybe_sent);
    s3_http_req_fini(&a.req);
    kit_end(&k);
}

static void test_codes(void **state)
{
    static const struct {
        CURLcode code;
        bool sent;
        enum err_code want;
    } table[] = {
        {CURLE_COULDNT_RESOLVE_HOST, false, E_NETWORK},
        {CURLE_COULDNT_CONNECT, false, E_NETWORK},
        {CURLE_SSL_CONNECT_ERROR, false, E_NETWORK},
        {CURLE_PARTIAL_FILE, true, E_NETWORK},
        {CURLE_SEND_ERROR, true, E_NETWORK},
        {CURLE_HTTP2, true, E_NETWORK},
        {CURLE_HTTP2_STREAM, true, E_NETWORK},
        {CURLE_UNSUPPORTED_PROTOCOL, true, E_CORRUPT},
        {CURLE_UNSUPPORTED_PROTOCOL, false, E_CONFIG},
        {CURLE_WEIRD_SERVER_REPLY, true, E_CORRUPT},
        {CURLE_OPERATION_TIMEDOUT, true, E_TIMEOUT},
        {CURLE_OUT_OF_MEMORY, true, E_NOMEM},
        {CURLE_URL_MALFORMAT, false, E_CONFIG},
        {CURLE_SSL_CACERT_BADFILE, false, E_CONFIG},
        {CURLE_NOT_BUILT_IN, false, E_UNSUPPORTED},
        {CURLE_BAD_FUNCTION_ARGUMENT, false, E_BUG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(s3_http_fail_code(table[i].code, table[i].sent), table[i].want);
    for (int code = 1; code < CURL_LAST; code++) /* none is a success */
        assert_int_not_equal(s3_http_fail_code((CURLcode)code, true), E_OK);
}

static void test_url(void **state)
{
    static const char *const table[][2] = {
        {"https://host:1/a/b?X-Amz-Signature=secret", "https://host:1/a/b"},
        {"https://host/a#secret", "https://host/a"},
        {"https://user:secret@host/a?b", "https://...@host/a"},
        {"https://host/a@b", "https://host/a@b"},
        {"https://host?secret@x", "https://host"},
        {"nonsense", "nonsense"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out;

        buf_init(&out, 1000);
        s3_http_fail_url(table[i][0], &out);
        assert_string_equal(buf_str(&out), table[i][1]);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_url),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
