/* SPDX-License-Identifier: Apache-2.0 */
/* Single objects and deletions; listings and uploads have programs of their own. */
#include "check.h"

#include "s3_kit.h"

#include "store_s3_get.h"

static struct rc put(struct s3_kit *k, bool create_only, const char *if_match, char etag[STORE_ETAG_SIZE])
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, "a", NULL, NULL);
    req.body = span_of("hello", 5);
    req.create_only = create_only;
    (void)snprintf(req.if_match, sizeof req.if_match, "%s", if_match);
    rc = s3_kit_run(k, &req);
    memcpy(etag, req.etag, STORE_ETAG_SIZE);
    store_req_fini(&req);
    return rc;
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

static void test_put(void **state)
{
    char etag[STORE_ETAG_SIZE];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, "ETag: \"5d41402abc4b2a76b9719d911017c592\"\r\n", NULL);
    assert_ok_err(put(&k, false, "", etag), &k.err);
    assert_string_equal(etag, "\"5d41402abc4b2a76b9719d911017c592\"");
    s3_kit_asked(&k, 0, "PUT", "/bkt/pre/a");
    assert_memory_equal(s3_kit_seen(&k, 0)->body, "hello", 5);
    assert_string_equal(s3_kit_field(&k, 0, "content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-content-sha256"),
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_string_equal(s3_kit_field(&k, 0, "if-none-match"), "(none)");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-storage-class"), "(none)");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-server-side-encryption"), "(none)");
    s3_kit_end(&k);
}

static void test_create_only(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code want;
        const char *msg;
    } cases[] = {
        {200, "", E_OK, ""},
        {412, "<Error><Code>PreconditionFailed</Code></Error>", E_EXISTS, "put a: the object exists already"},
        {409, "<Error><Code>ConditionalRequestConflict</Code></Error>", E_BUSY,
            "put a: HTTP status 409 ConditionalRequestConflict"},
        {500, "", E_SERVER, "put a: HTTP status 500"},
        {501, "<Error><Code>NotImplemented</Code></Error>", E_UNSUPPORTED,
            "put a: the store has no conditional writes: it answers 501 to If-None-Match"},
        {400, "<Error><Code>NotImplemented</Code></Error>", E_UNSUPPORTED,
            "put a: the store has no conditional writes: it answers 400 to If-None-Match"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char etag[STORE_ETAG_SIZE];
        struct s3_kit k;

        s3_kit_begin(&k, "");
        s3_kit_answer(&k, cases[i].status, NULL, cases[i].body);
        assert_fails(put(&k, true, "", etag), cases[i].want);
        if (cases[i].want != E_OK)
            assert_string_equal(k.err.msg, cases[i].msg);
        assert_string_equal(s3_kit_field(&k, 0, "if-none-match"), "*");
        assert_int_equal(http_script_count(k.script), 1);
        s3_kit_end(&k);
    }
}

/* Nothing is sent before the engine has decided that it goes without; then there is a look before each PUT. */
static void test_without_conditions(void **state)
{
    char etag[STORE_ETAG_SIZE];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "&conditional=none");
    assert_true(store_may_lack_conditions(k.store));
    assert_fails(put(&k, true, "", etag), E_UNSUPPORTED);
    assert_int_equal(http_script_count(k.script), 0);

    store_without_conditions(k.store);
    s3_kit_answer(&k, 404, NULL, NULL);
    s3_kit_answer(&k, 200, NULL, NULL);
    assert_ok_err(put(&k, true, "", etag), &k.err);
    s3_kit_asked(&k, 0, "HEAD", "/bkt/pre/a");
    s3_kit_asked(&k, 1, "PUT", "/bkt/pre/a");
    assert_string_equal(s3_kit_field(&k, 1, "if-none-match"), "(none)");
    s3_kit_answer(&k, 200, "Content-Length: 5\r\n", NULL);
    assert_fails(put(&k, true, "", etag), E_EXISTS);
    assert_int_equal(http_script_count(k.script), 3);
    s3_kit_answer(&k, 503, NULL, NULL);
    assert_fails(put(&k, true, "", etag), E_SERVER);
    s3_kit_end(&k);

    /* The same for a store that had them until it was found out otherwise. */
    s3_kit_begin(&k, "");
    store_without_conditions(k.store);
    s3_kit_answer(&k, 404, NULL, NULL);
    s3_kit_answer(&k, 200, NULL, NULL);
    assert_ok_err(put(&k, true, "", etag), &k.err);
    s3_kit_asked(&k, 0, "HEAD", "/bkt/pre/a");
    s3_kit_end(&k);
}

static void test_storage(void **state)
{
    static const char customer[] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                      customer_md5[] = "KYvwGXoFFJ42a2u2GDWhwQ==";
    const struct store_option keys[] = {
        {"access-key", "AKEXAMPLE"}, {"secret-key", "s"}, {"sse", "customer"}, {"sse-customer-key", customer}};
    char etag[STORE_ETAG_SIZE];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "&storage-class=STANDARD_IA&sse=aws:kms&sse-kms-key=the-key");
    s3_kit_answer(&k, 200, NULL, NULL);
    assert_ok_err(put(&k, false, "", etag), &k.err);
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-storage-class"), "STANDARD_IA");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-server-side-encryption-aws-kms-key-id"), "the-key");
    s3_kit_answer(&k, 200, NULL, "x");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err); /* reading has none of that */
    assert_string_equal(s3_kit_field(&k, 1, "x-amz-server-side-encryption"), "(none)");
    s3_kit_end(&k);

    s3_kit_begin(&k, "&sse=AES256");
    s3_kit_answer(&k, 200, NULL, NULL);
    assert_ok_err(put(&k, false, "", etag), &k.err);
    assert_string_equal(s3_kit_field(&k, 0, "x-amz-server-side-encryption"), "AES256");
    s3_kit_end(&k);

    s3_kit_begin_with(&k, "", keys, 4);
    s3_kit_answer(&k, 200, NULL, NULL);
    s3_kit_answer(&k, 200, NULL, "x");
    s3_kit_answer(&k, 200, "Content-Length: 1\r\n", NULL);
    assert_ok_err(put(&k, false, "", etag), &k.err);
    assert_ok_err(s3_kit_do(&k, STORE_GET, "a"), &k.err);
    assert_ok_err(s3_kit_do(&k, STORE_HEAD, "a"), &k.err);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(s3_kit_field(&k, i, "x-amz-server-side-encryption-customer-algorithm"), "AES256");
        assert_string_equal(s3_kit_field(&k, i, "x-amz-server-side-encryption-customer-key"), customer);
        assert_string_equal(s3_kit_field(&k, i, "x-amz-server-side-encryption-customer-key-md5"), customer_md5);
    }
    s3_kit_end(&k);
}

/* --- If-Match ----------------------------------------------------------------------------------------------------- */

static void test_if_match(void **state)
{
    char etag[STORE_ETAG_SIZE];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, "ETag: \"new\"\r\n", NULL);
    assert_ok_err(put(&k, false, "\"old\"", etag), &k.err);
    assert_string_equal(etag, "\"new\"");
    assert_string_equal(s3_kit_field(&k, 0, "if-match"), "\"old\"");

    /* It has changed indeed. */
    s3_kit_answer(&k, 412, NULL, NULL);
    s3_kit_answer(&k, 200, "ETag: \"other\"\r\n", "hello");
    assert_fails(put(&k, false, "\"old\"", etag), E_EXISTS);
    assert_string_equal(k.err.msg, "put a: the object is not \"old\" (any more) but \"other\"");
    s3_kit_asked(&k, 2, "HEAD", "/bkt/pre/a");
    /* It is gone. */
    s3_kit_answer(&k, 412, NULL, NULL);
    s3_kit_answer(&k, 404, NULL, NULL);
    assert_fails(put(&k, false, "\"old\"", etag), E_EXISTS);
    s3_kit_answer(&k, 404, NULL, "<Error><Code>NoSuchKey</Code></Error>");
    assert_fails(put(&k, false, "\"old\"", etag), E_EXISTS);
    assert_int_equal(http_script_count(k.script), 6);
    s3_kit_answer(&k, 501, NULL, NULL);
    assert_fails(put(&k, false, "\"old\"", etag), E_UNSUPPORTED);
    assert_string_equal(k.err.msg, "put a: the store has no conditional writes: it answers 501 to If-Match");
    s3_kit_end(&k);
}

/* A store that takes no quotes is found out once. */
static void test_quotes(void **state)
{
    char etag[STORE_ETAG_SIZE];
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 412, NULL, NULL);
    s3_kit_answer(&k, 200, "ETag: \"old\"\r\n", "hello");
    s3_kit_answer(&k, 200, "ETag: \"new\"\r\n", NULL);
    assert_ok_err(put(&k, false, "\"old\"", etag), &k.err);
    assert_string_equal(s3_kit_field(&k, 0, "if-match"), "\"old\"");
    assert_string_equal(s3_kit_field(&k, 2, "if-match"), "old");
    s3_kit_answer(&k, 200, NULL, NULL);
    assert_ok_err(put(&k, false, "\"new\"", etag), &k.err);
    assert_string_equal(s3_kit_field(&k, 3, "if-match"), "new");
    /* A store that takes neither is not asked for ever. */
    for (int i = 0; i < 8; i++)
        s3_kit_answer(&k, i % 2 == 0 ? 412 : 200, "ETag: \"old\"\r\n", NULL);
    assert_fails(put(&k, false, "\"old\"", etag), E_EXISTS);
    assert_int_equal(http_script_count(k.script), 7);
    s3_kit_end(&k);
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

static struct rc get(struct s3_kit *k, uint64_t offset, uint64_t length, char out[32], uint64_t *size)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_GET, "a", NULL, NULL);
    req.offset = offset;
    req.length = length;
    rc = s3_kit_run(k, &req);
    assert_true(req.data.size < 32);
    if (!rc_failed(rc)) {
        if (req.data.size > 0) /* the bytes of an empty answer are NULL */
            memcpy(out, req.data.data, req.data.size);
        out[req.data.size] = 0;
    }
    *size = req.size;
    store_req_fini(&req);
    return rc;
}

static void test_ranges(void **state)
{
    static const struct {
        uint64_t offset, length;
        int status;
        const char *headers, *body, *range;
        enum err_code want;
        const char *told; /* bytes, or the message */
    } cases[] = {
        {2, 3, 206, "Content-Range: bytes 2-4/10\r\n", "234", "bytes=2-4", E_OK, "234"},
        {2, 0, 206, "Content-Range: bytes 2-9/10\r\n", "23456789", "bytes=2-", E_OK, "23456789"},
        {8, 100, 206, "Content-Range: bytes 8-9/10\r\n", "89", "bytes=8-107", E_OK, "89"},
        {0, 10, 206, "Content-Range: bytes 0-9/10\r\n", "0123456789", "bytes=0-9", E_OK, "0123456789"},
        {0, 0, 200, NULL, "0123456789", "(none)", E_OK, "0123456789"},
        {0, 0, 200, NULL, "", "(none)", E_OK, ""},
        /* A store that ignores Range. */
        {2, 3, 200, NULL, "0123456789", "bytes=2-4", E_OK, "234"},
        {2, 0, 200, NULL, "0123456789", "bytes=2-", E_OK, "23456789"},
        {10, 1, 200, NULL, "0123456789", "bytes=10-10", E_NOTFOUND,
            "get a: offset 10 is behind the end of the object at 10"},
        {10, 1, 416, "Content-Range: bytes */10\r\n", "<Error><Code>InvalidRange</Code></Error>", "bytes=10-10",
            E_NOTFOUND, "get a: offset 10 is behind the end of the object"},
        /* Nonsense. */
        {2, 3, 206, NULL, "234", "bytes=2-4", E_CORRUPT, "get a: a part of the object without Content-Range"},
        {2, 3, 206, "Content-Range: bytes 2-4\r\n", "234", "bytes=2-4", E_CORRUPT,
            "get a: Content-Range \"bytes 2-4\""},
        {2, 3, 206, "Content-Range: bytes 2-4/*\r\n", "234", "bytes=2-4", E_CORRUPT,
            "get a: Content-Range \"bytes 2-4/*\""},
        {2, 3, 206, "Content-Range: bytes 3-5/10\r\n", "345", "bytes=2-4", E_CORRUPT,
            "get a: asked for bytes 2 to 4, got \"bytes 3-5/10\""},
        {2, 3, 206, "Content-Range: bytes 2-3/10\r\n", "23", "bytes=2-4", E_CORRUPT,
            "get a: asked for bytes 2 to 4, got \"bytes 2-3/10\""},
        {2, 0, 206, "Content-Range: bytes 2-4/10\r\n", "234", "bytes=2-", E_CORRUPT,
            "get a: asked for bytes 2 to 9, got \"bytes 2-4/10\""},
        {2, 3, 206, "Content-Range: bytes 2-4/10\r\n", "2345", "bytes=2-4", E_CORRUPT,
            "get a: \"bytes 2-4/10\" with 4 bytes"},
        {5, 3, 206, "Content-Range: bytes 0-2/3\r\n", "012", "bytes=5-7", E_CORRUPT, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[32] = "";
        struct s3_kit k;
        uint64_t size;

        s3_kit_begin(&k, "");
        s3_kit_answer(&k, cases[i].status, cases[i].headers, cases[i].body);
        if (get(&k, cases[i].offset, cases[i].length, out, &size).code != cases[i].want)
            fail_msg("case %zu: %s", i, k.err.msg);
        assert_string_equal(s3_kit_field(&k, 0, "range"), cases[i].range);
        if (cases[i].told != NULL)
            assert_string_equal(cases[i].want == E_OK ? out : k.err.msg, cases[i].told);
        if (cases[i].want == E_OK)
            assert_int_equal(size, cases[i].body[0] == 0 ? 0 : 10);
        s3_kit_end(&k);
    }
}

static void test_parse_range(void **state)
{
    static const char *const bad[] = {"", "bytes", "bytes ", "bytes 1-2", "bytes 2-1/5", "bytes 1-5/5", "bytes 1-2/",
        "bytes -1-2/5", "bytes 1-2/5 ", "bytes 1-2/5x", "bytes  1-2/5", "bits 1-2/5", "bytes 1/2-5",
        "bytes 1-2/99999999999999999999999", "bytes 1-99999999999999999999/5"};
    uint64_t first, last, size;

    (void)state;
    assert_true(store_s3_get_parse_range("bytes 0-0/1", &first, &last, &size));
    assert_true(store_s3_get_parse_range("bytes 5-1000000000000/1000000000001", &first, &last, &size));
    assert_true(first == 5 && last == 1000000000000 && size == 1000000000001);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (store_s3_get_parse_range(bad[i], &first, &last, &size))
            fail_msg("taken: \"%s\"", bad[i]);
    }
}

static void test_head(void **state)
{
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, "ETag: \"x\"\r\nContent-Length: 123456789012\r\n", NULL);
    store_req_init(&req, STORE_HEAD, "a", NULL, NULL);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_true(req.size == 123456789012);
    assert_string_equal(req.etag, "\"x\"");
    s3_kit_asked(&k, 0, "HEAD", "/bkt/pre/a");
    s3_kit_answer(&k, 404, NULL, NULL);
    assert_fails(s3_kit_run(&k, &req), E_NOTFOUND);
    store_req_fini(&req);
    s3_kit_end(&k);
}

/* --- delete ------------------------------------------------------------------------------------------------------- */

static struct rc delete_many(struct s3_kit *k, const char *const *keys, size_t count)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = keys;
    req.key_count = count;
    rc = s3_kit_run(k, &req);
    store_req_fini(&req);
    return rc;
}

static void test_delete(void **state)
{
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 204, NULL, NULL);
    s3_kit_answer(&k, 404, NULL, NULL);
    s3_kit_answer(&k, 403, NULL, NULL);
    assert_ok_err(s3_kit_do(&k, STORE_DELETE, "a"), &k.err);
    assert_ok_err(s3_kit_do(&k, STORE_DELETE, "a"), &k.err);
    assert_fails(s3_kit_do(&k, STORE_DELETE, "a"), E_DENIED);
    s3_kit_asked(&k, 0, "DELETE", "/bkt/pre/a");
    s3_kit_end(&k);
}

static void test_delete_many(void **state)
{
    static const char *const keys[] = {"a", "b/c"};
    static const char body[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                               "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
                               "<Object><Key>pre/a</Key></Object><Object><Key>pre/b/c</Key></Object></Delete>";
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, NULL, "<DeleteResult/>");
    assert_ok_err(delete_many(&k, keys, 2), &k.err);
    s3_kit_asked(&k, 0, "POST", "/bkt?delete=");
    assert_string_equal((const char *)s3_kit_seen(&k, 0)->body, body);
    assert_int_equal(strlen(s3_kit_field(&k, 0, "content-md5")), 24);

    s3_kit_answer(&k, 200, NULL,
        "<DeleteResult><Error><Key>pre/b/c</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>");
    assert_fails(delete_many(&k, keys, 2), E_DENIED);
    assert_string_equal(k.err.msg, "delete 2 keys: 1 of them were not deleted, the first is pre/b/c: AccessDenied, "
                                   "\"no\": the credentials need s3:DeleteObject");
    s3_kit_answer(&k, 200, NULL, "<Error><Code>InternalError</Code></Error>"); /* an error inside a success */
    assert_fails(delete_many(&k, keys, 2), E_SERVER);
    s3_kit_answer(&k, 200, NULL, "<html/>");
    assert_fails(delete_many(&k, keys, 2), E_CORRUPT);
    assert_int_equal(store_counts_of(k.store)->requests[STORE_DELETE_MANY], 4);
    s3_kit_end(&k);
}

static void answer_single_deletes(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    (void)ctx;
    if (strcmp(seen->method, "POST") == 0)
        answer->status = 501;
    else
        answer->status = strstr(seen->target, "/k13") != NULL ? 403 : strstr(seen->target, "/k1") != NULL ? 404 : 204;
}

/* A store without that request: one by one, from then on. */
static void test_delete_many_one_by_one(void **state)
{
    enum { COUNT = 30 };
    char texts[COUNT][8];
    const char *keys[COUNT];
    struct s3_kit k;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "k%d", i);
        keys[i] = texts[i];
    }
    s3_kit_begin(&k, "");
    http_script_on_request(k.script, answer_single_deletes, NULL);
    assert_fails(delete_many(&k, keys, COUNT), E_DENIED);
    assert_ptr_equal(strstr(k.err.msg, "delete 30 keys: k13: HTTP status 403"), k.err.msg);
    assert_int_equal(http_script_count(k.script), 1 + COUNT); /* all were tried */
    assert_ok_err(delete_many(&k, keys, 10), &k.err);
    assert_int_equal(http_script_count(k.script), 1 + COUNT + 10);
    s3_kit_end(&k);
}

/* --- denied, or not there ------------------------------------------------------------------------------------------
 */

static void test_denied_but_not_there(void **state)
{
    static const char denied[] = "<Error><Code>AccessDenied</Code></Error>";
    static const struct {
        int status;
        const char *listing;
        enum err_code want;
    } cases[] = {
        {200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", E_NOTFOUND},
        {200,
            "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>pre/ab</Key><Size>1</Size></Contents>"
            "<NextContinuationToken>x</NextContinuationToken></ListBucketResult>",
            E_NOTFOUND},
        {200,
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>pre/a</Key><Size>1</Size></Contents>"
            "</ListBucketResult>",
            E_DENIED},
        {403, denied, E_DENIED},
        {200, "nonsense", E_DENIED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_req req;
        struct s3_kit k;

        s3_kit_begin(&k, "");
        s3_kit_answer(&k, 403, "", denied);
        s3_kit_answer(&k, cases[i].status, "", cases[i].listing);
        store_req_init(&req, STORE_GET, "a", NULL, NULL);
        assert_fails(s3_kit_run(&k, &req), cases[i].want);
        s3_kit_asked(&k, 0, "GET", "/bkt/pre/a");
        s3_kit_asked(&k, 1, "GET", "/bkt?encoding-type=url&list-type=2&max-keys=1&prefix=pre%2Fa");
        if (cases[i].want == E_NOTFOUND)
            assert_string_equal(k.err.msg, "get a: no such object (the store denies it, and lists none)");
        else
            assert_non_null(strstr(k.err.msg, "HTTP status 403 AccessDenied"));
        if (cases[i].status == 403)
            assert_non_null(strstr(k.err.msg, "s3:ListBucket on the bucket"));
        store_req_fini(&req);
        s3_kit_end(&k);
    }
}

struct denying {
    bool single; /* single deletions, too */
};

static void answer_denied_batches(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    const struct denying *d = ctx;
    bool denied = strcmp(seen->method, "POST") == 0 || d->single;

    answer->status = denied ? 403 : 204;
    if (denied)
        answer->body = "<Error><Code>AccessDenied</Code></Error>";
}

/* Ceph wants the right on the bucket for the deletion of many, where policies give it on the objects. */
static void test_delete_many_denied(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    struct denying denying = {.single = true};
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    http_script_on_request(k.script, answer_denied_batches, &denying);
    assert_fails(delete_many(&k, keys, 3), E_DENIED);
    assert_non_null(strstr(k.err.msg, "the credentials need s3:DeleteObject on its objects"));
    assert_int_equal(http_script_count(k.script), 2); /* one more, not one for each key */
    denying.single = false;
    assert_ok_err(delete_many(&k, keys, 3), &k.err);
    assert_int_equal(http_script_count(k.script), 2 + 2 + 3);
    assert_ok_err(delete_many(&k, keys, 3), &k.err);
    assert_int_equal(http_script_count(k.script), 2 + 2 + 3 + 3); /* not asked again */
    s3_kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_create_only),
        cmocka_unit_test(test_denied_but_not_there),
        cmocka_unit_test(test_without_conditions),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_if_match),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_parse_range),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_delete_many),
        cmocka_unit_test(test_delete_many_one_by_one),
        cmocka_unit_test(test_delete_many_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
