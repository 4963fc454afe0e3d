/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_kit.h"

#include <time.h>

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char wrong_region[] =
    "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-central-1'</Message>"
    "<Region>eu-central-1</Region></Error>";

static void assert_signed_for(const struct s3_kit *k, size_t i, const char *region)
{
    char want[100];
    const char *authorization = s3_kit_field(k, i, "authorization");

    (void)snprintf(want, sizeof want, "/%s/s3/aws4_request, ", region);
    if (strncmp(authorization, "AWS4-HMAC-SHA256 Credential=AKEXAMPLE/", 38) != 0
        || strstr(authorization, want) == NULL)
        fail_msg("request %zu: %s", i, authorization);
}

static void test_request(void **state)
{
    struct s3_kit k;
    char host[40];

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, NULL, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a/b-c_d.e"), &k.err);
    s3_kit_asked(&k, 0, "GET", "/bkt/pre/a/b-c_d.e");
    assert_signed_for(&k, 0, "us-east-1");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-content-sha256"), EMPTY_HASH);
    assert_int_equal(strlen(s3_kit_field(&k, 0, "x-amz-date")), 16);
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-security-token"), "(none)");
    (void)snprintf(host, sizeof host, "127.0.0.1:%d", http_script_port(k.script));
    assert_string_equal(s3_kit_field(&k, 0, "host"), host);
    assert_non_null(
        strstr(s3_kit_field(&k, 0, "authorization"), "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "));
    s3_kit_end(&k);
}

static void test_session_token(void **state)
{
    static const struct store_option keys[] = {
        {"access-key", "AKEXAMPLE"}, {"secret-key", "very-secret"}, {"session-token", "the-token"}};
    struct s3_kit k;

    (void)state;
    s3_kit_begin_with(&k, "", keys, 3);
    s3_kit_answer(&k, 200, NULL, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-security-token"), "the-token");
    assert_non_null(strstr(s3_kit_field(&k, 0, "authorization"), "x-amz-security-token"));
    s3_kit_end(&k);
}

static void test_anonymous(void **state)
{
    static const struct store_option options[] = {{"anonymous", "true"}};
    struct s3_kit k;

    (void)state;
    s3_kit_begin_with(&k, "", options, 1);
    s3_kit_answer(&k, 200, NULL, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_string_equal(s3_kit_field(&k, 0, "authorization"), "(none)");
    s3_kit_end(&k);
}

/* --- what is put right at once ------------------------------------------------------------------------------------ */

static void test_region(void **state)
{
    const struct store_counts *c;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 400, NULL, wrong_region);
    s3_kit_answer(&k, 200, NULL, "hello");
    s3_kit_answer(&k, 200, NULL, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_int_equal(http_script_count(k.script), 3);
    assert_signed_for(&k, 0, "us-east-1");
    assert_signed_for(&k, 1, "eu-central-1");
    assert_signed_for(&k, 2, "eu-central-1"); /* from now on */
    c = store_counts_of(k.store);
    assert_int_equal(c->requests[STORE_GET], 3);
    assert_int_equal(c->outcomes[STORE_GET][STORE_OUTCOME_OK], 2);
    assert_int_equal(c->outcomes[STORE_GET][STORE_OUTCOME_FAILED], 1);
    s3_kit_end(&k);
}

/* HEAD has no body: the header tells. */
static void test_region_of_head(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 301, "x-amz-bucket-region: ap-south-1\r\n", NULL);
    s3_kit_answer(&k, 200, "ETag: \"x\"\r\n", "hello");
    assert_ok_err(s3_kit_do(&k, STORE_HEAD, "a"), &k.err);
    assert_signed_for(&k, 1, "ap-south-1");
    s3_kit_end(&k);
}

/* Where nothing tells, a GET is asked. */
static void test_reason_of_head(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 400, NULL, NULL);
    s3_kit_answer(&k, 400, NULL, wrong_region);
    s3_kit_answer(&k, 200, NULL, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_HEAD, "a"), &k.err);
    s3_kit_asked(&k, 1, "GET", "/bkt/pre/a");
    assert_string_equal(s3_kit_field(&k, 1, "range"), "bytes=0-0");
    s3_kit_asked(&k, 2, "HEAD", "/bkt/pre/a");
    assert_signed_for(&k, 2, "eu-central-1");

    s3_kit_answer(&k, 403, NULL, NULL);
    s3_kit_answer(&k, 403, NULL, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    assert_fails(s3_kit_do(&k, STORE_HEAD, "a"), E_DENIED);
    assert_ptr_equal(strstr(k.err.msg, "head a: HTTP status 403 SignatureDoesNotMatch"), k.err.msg);
    s3_kit_answer(&k, 403, NULL, NULL); /* a GET that works explains nothing */
    s3_kit_answer(&k, 206, "Content-Range: bytes 0-0/5\r\n", "h");
    assert_fails(s3_kit_do(&k, STORE_HEAD, "a"), E_DENIED);
    assert_int_equal(http_script_count(k.script), 7);
    assert_int_equal(store_counts_of(k.store)->requests[STORE_HEAD], 4);
    assert_int_equal(store_counts_of(k.store)->requests[STORE_GET], 3);
    s3_kit_end(&k);
}

static void send_away(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    static char header[60];
    unsigned *count = ctx;

    (void)seen;
    (void)snprintf(header, sizeof header, "x-amz-bucket-region: region-%u\r\n", ++*count);
    answer->status = 301;
    answer->headers = header;
}

static void test_regions_without_end(void **state)
{
    unsigned count = 0;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    http_script_on_request(k.script, send_away, &count);
    assert_fails(s3_kit_do(&k, STORE_GET, "a"), E_CONFIG);
    assert_int_equal(count, 3);
    s3_kit_end(&k);
}

static void test_region_that_is_ours(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 301, "x-amz-bucket-region: us-east-1\r\n", NULL);
    assert_fails(s3_kit_do(&k, STORE_GET, "a"), E_CONFIG);
    assert_int_equal(http_script_count(k.script), 1);
    s3_kit_end(&k);
}

static void http_date(time_t t, char out[60])
{
    struct tm tm;

    assert_non_null(gmtime_r(&t, &tm));
    assert_true(strftime(out, 60, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm) > 0);
}

static void assert_sent_at(const struct s3_kit *k, size_t i, time_t t)
{
    char early[20], late[20];
    struct tm tm;
    time_t before = t - 60, after = t + 60;

    assert_non_null(gmtime_r(&before, &tm));
    assert_true(strftime(early, sizeof early, "%Y%m%dT%H%M%SZ", &tm) > 0);
    assert_non_null(gmtime_r(&after, &tm));
    assert_true(strftime(late, sizeof late, "%Y%m%dT%H%M%SZ", &tm) > 0);
    assert_true(strcmp(s3_kit_field(k, i, "x-amz-date"), early) > 0);
    assert_true(strcmp(s3_kit_field(k, i, "x-amz-date"), late) < 0);
}

static void test_clock(void **state)
{
    time_t now = time(NULL);
    char date[60];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    http_date(now + 7200, date);
    s3_kit_answer(&k, 403, date, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    s3_kit_answer(&k, 200, date, "hello");
    s3_kit_answer(&k, 200, date, "hello");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_sent_at(&k, 0, now);
    assert_sent_at(&k, 1, now + 7200);
    assert_sent_at(&k, 2, now + 7200);

    /* Somebody has set the clock meanwhile: the offset is found anew, and a store that is never content is not asked
     * without end. */
    http_date(now, date);
    s3_kit_answer(&k, 403, date, NULL);
    s3_kit_answer(&k, 403, date, NULL);
    assert_fails(s3_kit_do(&k, STORE_HEAD, "a"), E_DENIED);
    assert_int_equal(http_script_count(k.script), 6); /* the last one was to tell more, and did not */
    assert_sent_at(&k, 4, now);
    s3_kit_end(&k);
}

/* The former answer is what is told when there are no other credentials. */
static void test_refused_key(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    for (int i = 0; i < 3; i++)
        s3_kit_answer(&k, 403, NULL, "<Error><Code>InvalidAccessKeyId</Code><Message>no</Message></Error>");
    assert_fails(s3_kit_do(&k, STORE_GET, "a"), E_DENIED);
    assert_in_range(http_script_count(k.script), 1, 2);
    assert_non_null(strstr(k.err.msg, "get a: HTTP status 403 InvalidAccessKeyId, \"no\" (bucket bkt at 127.0.0.1:"));
    assert_non_null(strstr(k.err.msg, "check the access key and the secret key"));
    assert_null(strstr(k.err.msg, "very-secret"));
    s3_kit_end(&k);
}

/* --- what is not -------------------------------------------------------------------------------------------------- */

static void test_failures(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code want;
        enum store_outcome outcome;
    } cases[] = {
        {503, "<Error><Code>SlowDown</Code></Error>", E_THROTTLED, STORE_OUTCOME_THROTTLED},
        {500, "", E_SERVER, STORE_OUTCOME_FAILED},
        {403, "<Error><Code>AllAccessDisabled</Code></Error>", E_DENIED, STORE_OUTCOME_DENIED},
        {404, "<Error><Code>NoSuchKey</Code></Error>", E_NOTFOUND, STORE_OUTCOME_ANSWER},
    };
    struct s3_kit k;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_req req;

        s3_kit_begin(&k, "");
        s3_kit_answer(&k, cases[i].status, "Retry-After: 3\r\n", cases[i].body);
        store_req_init(&req, STORE_GET, "a", NULL, NULL);
        assert_fails(s3_kit_run(&k, &req), cases[i].want);
        assert_int_equal(req.retry_after_ms, 3000);
        assert_int_equal(http_script_count(k.script), 1);
        assert_int_equal(store_counts_of(k.store)->outcomes[STORE_GET][cases[i].outcome], 1);
        store_req_fini(&req);
        s3_kit_end(&k);
    }
}

static void test_network(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    http_script_add(k.script, &(struct http_answer){.how = HTTP_RESET});
    assert_fails(s3_kit_do(&k, STORE_PUT, "a"), E_NETWORK);
    assert_ptr_equal(strstr(k.err.msg, "put a: "), k.err.msg);
    assert_int_equal(store_counts_of(k.store)->outcomes[STORE_PUT][STORE_OUTCOME_NETWORK], 1);
    s3_kit_end(&k);
}

static void on_done(struct store_req *req)
{
    ++*(int *)req->ctx;
}

/* A server that does not answer does not hold up the stop. */
static void test_stop(void **state)
{
    struct store_req req;
    struct s3_kit k;
    int done = 0;

    (void)state;
    s3_kit_begin(&k, "");
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
    store_req_init(&req, STORE_GET, "a", on_done, &done);
    store_submit(k.store, &req);
    while (http_script_count(k.script) == 0)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    s3_kit_stop_at_once(&k);
    assert_int_equal(done, 1);
    assert_int_equal(req.err.code, E_CANCELED);
    store_req_fini(&req);
    s3_kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_session_token),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_region_of_head),
        cmocka_unit_test(test_reason_of_head),
        cmocka_unit_test(test_regions_without_end),
        cmocka_unit_test(test_region_that_is_ours),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_refused_key),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
