/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_kit.h"

#include "alloc.h"
#include "store_s3_list.h"

/* "k" is an object of one byte, "p/" a common prefix; "*token" at the end: there is more. */
static char *page(const char *const *entries)
{
    static char xml[8000];
    size_t n = (size_t)snprintf(xml, sizeof xml, "<ListBucketResult>");

    for (; *entries != NULL; entries++) {
        const char *e = *entries;

        if (e[0] == '*')
            n += (size_t)snprintf(xml + n, sizeof xml - n, "<IsTruncated>true</IsTruncated>%s%s%s",
                e[1] != 0 ? "<NextContinuationToken>" : "", e + 1, e[1] != 0 ? "</NextContinuationToken>" : "");
        else if (e[strlen(e) - 1] == '/')
            n += (size_t)snprintf(xml + n, sizeof xml - n, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", e);
        else
            n += (size_t)snprintf(xml + n, sizeof xml - n, "<Contents><Key>%s</Key><Size>1</Size></Contents>", e);
        assert_true(n < sizeof xml);
    }
    (void)snprintf(xml + n, sizeof xml - n, "</ListBucketResult>");
    return xml;
}

#define PAGE(...) page((const char *const[]){__VA_ARGS__, NULL})

static void ask(struct store_req *req, const char *prefix, const char *after, bool by_folder, unsigned limit)
{
    store_req_init(req, STORE_LIST, prefix, NULL, NULL);
    (void)snprintf(req->after, sizeof req->after, "%s", after);
    req->by_folder = by_folder;
    req->limit = limit;
}

static void assert_entries(const struct store_req *req, const char *want)
{
    char got[1000] = "";
    size_t n = 0;

    for (size_t i = 0; i < req->entry_count; i++) {
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", i > 0 ? " " : "", req->entries[i].key);
        assert_int_equal(req->entries[i].size, !req->entries[i].is_prefix);
        assert_true(n < sizeof got);
    }
    assert_string_equal(got, want);
}

static void test_requests(void **state)
{
    static const struct {
        const char *prefix, *after;
        bool by_folder;
        unsigned limit;
        const char *target;
    } cases[] = {
        {"", "", false, 0, "/bkt?encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2F"},
        {"t/", "", true, 7, "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=7&prefix=pre%2Ft%2F"},
        {"t/", "t/1/log/2", false, 0,
            "/bkt?encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Ft%2F1%2Flog%2F2"},
        /* A folder is left behind as a whole. */
        {"t/", "t/1/", true, 0,
            "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Ft%2F1%"
            "2F~"},
        {"t/", "t/1/log/2", true, 0,
            "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Ft%2F1%"
            "2F~"},
        {"t/", "t/1", true, 0,
            "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Ft%2F1"},
        /* But not when it is where the listing begins. */
        {"t/", "t/", true, 0,
            "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Ft%2F"},
        {"t/", "s/1/", true, 0,
            "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2Ft%2F&start-after=pre%2Fs%2F1%"
            "2F"},
    };
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s3_kit_answer(&k, 200, NULL, "<ListBucketResult/>");
        ask(&req, cases[i].prefix, cases[i].after, cases[i].by_folder, cases[i].limit);
        assert_ok_err(s3_kit_run(&k, &req), &k.err);
        s3_kit_asked(&k, i, "GET", cases[i].target);
        assert_entries(&req, "");
        assert_false(req.more);
        store_req_fini(&req);
    }
    s3_kit_end(&k);
}

/* What uploads left behind shows only when it is asked for, and can be deleted then. */
static void test_scratch(void **state)
{
    const char *const keys[] = {".tmp/0123abcd"};
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, NULL, PAGE("pre/.tmp/0123abcd", "pre/a"));
    ask(&req, "", "", false, 0);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "a");
    store_req_fini(&req);
    s3_kit_answer(&k, 200, NULL, PAGE("pre/.tmp/0123abcd", "pre/.tmp/x y"));
    ask(&req, STORE_SCRATCH, "", false, 0);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, ".tmp/0123abcd");
    store_req_fini(&req);
    s3_kit_answer(&k, 200, NULL, "<DeleteResult/>");
    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = keys;
    req.key_count = 1;
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    s3_kit_asked(&k, 2, "POST", "/bkt?delete=");
    store_req_fini(&req);
    s3_kit_end(&k);
}

static void test_entries(void **state)
{
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    /* Objects first, then prefixes: we want them merged, without the replica's prefix. */
    s3_kit_answer(&k, 200, NULL, PAGE("pre/b", "pre/d", "pre/a/", "pre/c/"));
    ask(&req, "", "", true, 0);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "a/ b c/ d");
    assert_false(req.more);
    s3_kit_answer(&k, 200, NULL, PAGE("pre/b", "*token"));
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "b");
    assert_true(req.more);
    /* A store that gives more than it was asked for. */
    s3_kit_answer(&k, 200, NULL, PAGE("pre/b", "pre/c", "pre/d"));
    req.limit = 2;
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "b c");
    assert_true(req.more);
    /* And one that lists a folder although `after` is in it. */
    s3_kit_answer(&k, 200, NULL, PAGE("pre/c", "pre/b/", "pre/d/"));
    store_req_fini(&req);
    ask(&req, "", "b/", true, 0);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "c d/");
    store_req_fini(&req);
    s3_kit_end(&k);
}

static void test_no_prefix(void **state)
{
    static const struct store_option keys[] = {{"access-key", "AKEXAMPLE"}, {"secret-key", "s"}};
    struct store *whole = NULL;
    struct store_req req;
    struct s3_kit k;
    char url[100];

    (void)state;
    s3_kit_begin(&k, "");
    (void)snprintf(
        url, sizeof url, "s3://bkt?endpoint=http://127.0.0.1:%d&region=us-east-1", http_script_port(k.script));
    assert_ok_err(store_open(k.env, url, keys, 2, &whole, &k.err), &k.err);
    s3_kit_answer(&k, 200, NULL, PAGE("a", "t/"));
    ask(&req, "", "", true, 0);
    assert_ok_err(store_wait_run(&k.loop, whole, &req, &k.err), &k.err);
    assert_entries(&req, "a t/");
    s3_kit_asked(&k, 0, "GET", "/bkt?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=");
    store_req_fini(&req);
    store_wait_stop(&k.loop, whole);
    s3_kit_end(&k);
}

/* Keys that are not weir's: folders' markers, odd characters, leftovers of uploads. */
static void test_foreign_keys(void **state)
{
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, NULL,
        PAGE("pre/.tmp/0123", "pre/a b", "pre/a%2F%2Fb", "pre/ok", "pre/x%C3%A9", "pre/a b", "pre/.tmp/", "pre//",
            "pre/p%20q/"));
    ask(&req, "", "", false, 0);
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "ok");
    /* Nothing else on a page: it goes on with the store's token. */
    s3_kit_answer(&k, 200, NULL, PAGE("pre/a b", "pre/a c", "*token/1"));
    s3_kit_answer(&k, 200, NULL, PAGE("*token2"));
    s3_kit_answer(&k, 200, NULL, PAGE("pre/b", "*token3"));
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "b");
    assert_true(req.more);
    s3_kit_asked(
        &k, 2, "GET", "/bkt?continuation-token=token%2F1&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2F");
    s3_kit_asked(
        &k, 3, "GET", "/bkt?continuation-token=token2&encoding-type=url&list-type=2&max-keys=1000&prefix=pre%2F");
    s3_kit_answer(&k, 200, NULL, PAGE("pre/a b", "*token"));
    s3_kit_answer(&k, 200, NULL, PAGE("pre/z z"));
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    assert_entries(&req, "");
    assert_false(req.more);
    store_req_fini(&req);
    s3_kit_end(&k);
}

static void test_nonsense(void **state)
{
    static const struct {
        const char *entries[4];
        const char *after, *want;
    } cases[] = {
        {{"pre/b", "pre/a"}, "", "list: the store lists \"pre/a\" behind \"pre/b\": not in byte order"},
        {{"pre/b", "pre/b"}, "", "list: the store lists \"pre/b\" behind \"pre/b\": not in byte order"},
        {{"pre/b/", "pre/a/"}, "", "list: the store lists \"pre/a/\" behind \"pre/b/\": not in byte order"},
        {{"other/a"}, "", "list: asked for keys with \"pre/\", got \"other/a\""},
        {{"pre/a"}, "a", "list: the store lists \"pre/a\", but keys behind \"pre/a\" were asked for"},
        {{"pre/a"}, "b", "list: the store lists \"pre/a\", but keys behind \"pre/b\" were asked for"},
        {{"pre/a b", "*"}, "", "list: the store says that there is more, but not how to get it"},
    };
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s3_kit_answer(&k, 200, NULL, page(cases[i].entries));
        ask(&req, "", cases[i].after, true, 0);
        assert_fails(s3_kit_run(&k, &req), E_CORRUPT);
        assert_string_equal(k.err.msg, cases[i].want);
        assert_int_equal(req.entry_count, 0);
        store_req_fini(&req);
    }
    s3_kit_answer(&k, 200, NULL, "<html/>");
    ask(&req, "t/", "", false, 0);
    assert_fails(s3_kit_run(&k, &req), E_CORRUPT);
    assert_string_equal(k.err.msg, "list t/: XML that is no listing");
    store_req_fini(&req);
    s3_kit_end(&k);
}

/* The same page over and over, or pages of somebody else's without end. */
static void test_no_endless_loop(void **state)
{
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    ask(&req, "", "", false, 0);
    for (int i = 0; i < STORE_S3_LIST_PAGES_MAX; i++)
        s3_kit_answer(&k, 200, NULL, PAGE("pre/a b", "*token"));
    assert_fails(s3_kit_run(&k, &req), E_UNSUPPORTED);
    assert_int_equal(http_script_count(k.script), STORE_S3_LIST_PAGES_MAX);
    store_req_fini(&req);
    s3_kit_end(&k);
}

/* A listing that fails on its second page has no entries of the first. */
static void test_failures(void **state)
{
    struct store_req req;
    struct s3_kit k;

    (void)state;
    s3_kit_begin(&k, "");
    s3_kit_answer(&k, 200, NULL, PAGE("pre/a b", "*token"));
    s3_kit_answer(&k, 503, NULL, NULL);
    ask(&req, "", "", false, 0);
    assert_fails(s3_kit_run(&k, &req), E_SERVER);
    assert_null(req.entries);
    s3_kit_answer(&k, 404, NULL, "<Error><Code>NoSuchBucket</Code></Error>");
    assert_fails(s3_kit_run(&k, &req), E_CONFIG);
    s3_kit_answer(&k, 404, NULL, NULL);
    assert_fails(s3_kit_run(&k, &req), E_CONFIG);
    s3_kit_answer(&k, 200, NULL, PAGE("pre/a"));
    mem_fail_after(1, false);
    rc_ignore(s3_kit_run(&k, &req), "whichever allocation it was: nothing leaks, and nothing is there in part");
    mem_fail_after(0, false);
    store_req_fini(&req);
    s3_kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_no_prefix),
        cmocka_unit_test(test_foreign_keys),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_no_endless_loop),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
