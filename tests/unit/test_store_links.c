/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fsys.h"
#include "http_script.h"
#include "s3_kit.h"
#include "store_links.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>

/* A share of five objects by the links of a scripted server; its document is a file, or comes from the server. */
struct kit {
    uv_loop_t loop;
    struct http_script *script;
    struct store_env *env;
    struct store *store;
    struct err err;
    char dir[STORE_WAIT_PATH_SIZE];
    char *text; /* owned: the document */
};

static void put_object(struct kit *k, struct buf *b, const char *key, unsigned size, const char *end)
{
    buf_printf(b, "{\"key\": \"%s\", \"size\": %u, \"url\": \"http://127.0.0.1:%d/%s?X-Amz-Signature=secret\"}%s", key,
        size, http_script_port(k->script), key, end);
}

static void make_document(struct kit *k, const char *expires)
{
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, 4096);
    buf_printf(&b,
        "{\"weir_share\": 1, \"created\": \"2026-01-01T00:00:00Z\", \"expires\": \"%s\", \"timeline\": 2, \"txid\": 9, "
        "\"objects\": [",
        expires);
    put_object(k, &b, "weir.json", 5, ",");
    put_object(k, &b, "t/b/one", 10, ",");
    put_object(k, &b, "t/a/two", 0, ",");
    put_object(k, &b, "t/a/one", 7, ",");
    put_object(k, &b, "t/c", 1, "]}");
    k->text = mem_strdup(buf_str(&b));
}

static void open_store(struct kit *k, const char *url)
{
    assert_ok_err(store_open(k->env, url, NULL, 0, &k->store, &k->err), &k->err);
    assert_true(store_links_is(k->store));
}

static void begin_script(struct kit *k, const char *expires)
{
    *k = (struct kit){0};
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->script = http_script_start(&k->loop);
    k->env = store_env_new(&k->loop, &fsys_real);
    make_document(k, expires);
    store_wait_scratch(k->dir);
}

static void begin(struct kit *k, const char *expires)
{
    CLEANUP(mem_freep) char *path = NULL, *url = NULL;

    begin_script(k, expires);
    path = mem_printf("%s/a b.json", k->dir);
    url = mem_printf("share://%s/a%%20b.json", k->dir);
    assert_ok_err(fsys_write_atomic(&fsys_real, path, k->text, strlen(k->text), 0600, &k->err), &k->err);
    open_store(k, url);
}

static void end(struct kit *k)
{
    if (k->store != NULL)
        store_wait_stop(&k->loop, k->store);
    store_wait_stop_env(&k->loop, k->env);
    http_script_stop(k->script);
    while (uv_run(&k->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&k->loop), 0);
    store_wait_unscratch(k->dir);
    mem_free(k->text);
}

static void answer(struct kit *k, int status, const char *headers, const char *body)
{
    http_script_add(k->script, &(struct http_answer){.status = status, .headers = headers, .body = body});
}

static struct rc ask(struct kit *k, struct store_req *req)
{
    req->once = true;
    return store_wait_run(&k->loop, k->store, req, &k->err);
}

/* A GET that succeeds with `want`, or (NULL) fails with the code and the words. */
static void get(struct kit *k, const char *key, uint64_t offset, uint64_t length, const char *want, enum err_code code,
    const char *words)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_GET, key, NULL, NULL);
    req.offset = offset;
    req.length = length;
    rc = ask(k, &req);
    if (want != NULL) {
        assert_ok_err(rc, &k->err);
        assert_int_equal(req.data.size, strlen(want));
        assert_string_equal(buf_str(&req.data), want);
    } else {
        assert_int_equal(rc.code, code);
        if (strstr(k->err.msg, words) == NULL)
            print_error("%s\n", k->err.msg);
        assert_non_null(strstr(k->err.msg, words));
        assert_null(strstr(k->err.msg, "secret"));
    }
    store_req_fini(&req);
}

#define FAR  "2100-01-01T00:00:00Z"
#define PAST "2026-01-02T00:00:00Z"

static void test_get(void **state)
{
    struct kit k;
    const struct http_seen *seen;

    (void)state;
    begin(&k, FAR);
    assert_int_equal(store_links_doc(k.store)->txid, 9);
    answer(&k, 200, NULL, "hello");
    get(&k, "weir.json", 0, 0, "hello", E_OK, NULL);
    answer(&k, 206, "Content-Range: bytes 2-4/10\r\n", "234");
    get(&k, "t/b/one", 2, 3, "234", E_OK, NULL);
    answer(&k, 206, "Content-Range: bytes 8-9/10\r\n", "89");
    get(&k, "t/b/one", 8, 100, "89", E_OK, NULL);
    answer(&k, 206, "Content-Range: bytes 8-9/10\r\n", "89");
    get(&k, "t/b/one", 8, 0, "89", E_OK, NULL);
    answer(&k, 200, NULL, "0123456789"); /* a server that knows no ranges */
    get(&k, "t/b/one", 3, 4, "3456", E_OK, NULL);
    answer(&k, 200, NULL, "");
    get(&k, "t/a/two", 0, 0, "", E_OK, NULL);
    assert_int_equal(http_script_count(k.script), 6);
    seen = http_script_seen(k.script, 1);
    assert_string_equal(seen->target, "/t/b/one?X-Amz-Signature=secret");
    assert_string_equal(http_script_field(seen, "range"), "bytes=2-4");
    assert_null(http_script_field(seen, "authorization"));
    get(&k, "t/b/one", 10, 1, NULL, E_NOTFOUND, "behind the end");
    get(&k, "t/b/none", 0, 0, NULL, E_NOTFOUND, "the share has no such object");
    assert_int_equal(http_script_count(k.script), 6);
    end(&k);
}

static void test_wrong_answers(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, FAR);
    answer(&k, 200, NULL, "hello!");
    get(&k, "weir.json", 0, 0, NULL, E_CORRUPT, "6 bytes, the share says 5");
    answer(&k, 206, "Content-Range: bytes 2-4/11\r\n", "234");
    get(&k, "t/b/one", 2, 3, NULL, E_CORRUPT, "11 bytes, the share says 10");
    answer(&k, 206, "Content-Range: bytes 1-3/10\r\n", "123");
    get(&k, "t/b/one", 2, 3, NULL, E_CORRUPT, "asked for bytes from 2");
    answer(&k, 206, "Content-Range: bytes 2-3/10\r\n", "23");
    get(&k, "t/b/one", 2, 3, NULL, E_CORRUPT, "2 bytes instead of 3");
    answer(&k, 206, "Content-Range: bytes 2-4/10\r\n", "23");
    get(&k, "t/b/one", 2, 3, NULL, E_CORRUPT, "asked for bytes");
    answer(&k, 206, NULL, "234");
    get(&k, "t/b/one", 2, 3, NULL, E_CORRUPT, "Content-Range");
    answer(&k, 404, NULL, "");
    get(&k, "weir.json", 0, 0, NULL, E_NOTFOUND, "gone from the replica");
    answer(&k, 301, "Location: http://127.0.0.1:1/secret\r\n", "");
    get(&k, "weir.json", 0, 0, NULL, E_DENIED, "not accepted (HTTP status 301");
    answer(&k, 403, NULL, "<Error><Code>SignatureDoesNotMatch</Code><Message>secret</Message></Error>");
    get(&k, "weir.json", 0, 0, NULL, E_DENIED, "not accepted (HTTP status 403 SignatureDoesNotMatch)");
    answer(&k, 403, NULL, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>");
    get(&k, "weir.json", 0, 0, NULL, E_DENIED, "the share has expired at 2100");
    answer(&k, 503, NULL, "");
    get(&k, "weir.json", 0, 0, NULL, E_SERVER, "503");
    http_script_add(k.script, &(struct http_answer){.how = HTTP_RAW, .body = "nonsense"});
    get(&k, "weir.json", 0, 0, NULL, E_CORRUPT, "get weir.json");
    end(&k);
}

static void test_expired(void **state)
{
    struct kit k;

    (void)state;
    begin(&k, PAST);
    answer(&k, 403, NULL, "<Error><Code>AccessDenied</Code></Error>");
    get(&k, "weir.json", 0, 0, NULL, E_DENIED, "the share has expired at 2026-01-02T00:00:00");
    answer(&k, 200, NULL, "hello"); /* the store's clock counts */
    get(&k, "weir.json", 0, 0, "hello", E_OK, NULL);
    end(&k);
}

static void test_retries(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    begin(&k, FAR);
    answer(&k, 500, NULL, "");
    http_script_add(k.script, &(struct http_answer){.how = HTTP_RESET});
    answer(&k, 200, NULL, "hello");
    store_req_init(&req, STORE_GET, "weir.json", NULL, NULL);
    assert_ok_err(store_wait_run(&k.loop, k.store, &req, &k.err), &k.err);
    assert_int_equal(req.data.size, 5);
    store_req_fini(&req);
    end(&k);
}

/* What is listed, as "key=size " and "prefix " ... */
static void list(struct kit *k, const char *prefix, const char *after, unsigned limit, bool by_folder, const char *want)
{
    CLEANUP(buf_fini) struct buf b;
    struct store_req req;

    buf_init(&b, 4096);
    store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
    (void)snprintf(req.after, sizeof req.after, "%s", after);
    req.limit = limit;
    req.by_folder = by_folder;
    assert_ok_err(ask(k, &req), &k->err);
    for (size_t i = 0; i < req.entry_count; i++) {
        if (req.entries[i].is_prefix)
            buf_printf(&b, "%s ", req.entries[i].key);
        else
            buf_printf(&b, "%s=%u ", req.entries[i].key, (unsigned)req.entries[i].size);
    }
    buf_text(&b, req.more ? "more" : "end");
    assert_string_equal(buf_str(&b), want);
    store_req_fini(&req);
}

static void test_list_and_head(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    begin(&k, FAR);
    list(&k, "", "", 0, false, "t/a/one=7 t/a/two=0 t/b/one=10 t/c=1 weir.json=5 end");
    list(&k, "t/", "", 3, false, "t/a/one=7 t/a/two=0 t/b/one=10 more");
    list(&k, "t/", "t/b/one", 3, false, "t/c=1 end");
    list(&k, "t/a/t", "", 0, false, "t/a/two=0 end");
    list(&k, "u", "", 0, false, "end");
    list(&k, "", "", 0, true, "t/ weir.json=5 end");
    list(&k, "t/", "", 0, true, "t/a/ t/b/ t/c=1 end");
    list(&k, "t/", "t/a/", 1, true, "t/b/ more");
    list(&k, "t/", "t/b/", 1, true, "t/c=1 end");
    store_req_init(&req, STORE_HEAD, "t/b/one", NULL, NULL);
    assert_ok_err(ask(&k, &req), &k.err);
    assert_int_equal(req.size, 10);
    store_req_fini(&req);
    assert_int_equal(http_script_count(k.script), 0);
    end(&k);
}

static void test_read_only(void **state)
{
    struct store_req req;
    struct buf url;
    struct kit k;

    (void)state;
    begin(&k, FAR);
    store_req_init(&req, STORE_PUT, "weir.json", NULL, NULL);
    assert_int_equal(ask(&k, &req).code, E_DENIED);
    assert_non_null(strstr(k.err.msg, "put weir.json: a share can only be read"));
    store_req_init(&req, STORE_DELETE, "weir.json", NULL, NULL);
    assert_int_equal(ask(&k, &req).code, E_DENIED);
    store_req_init(&req, STORE_UPLOAD_START, "weir.json", NULL, NULL);
    assert_int_equal(ask(&k, &req).code, E_DENIED);
    buf_init(&url, 100);
    assert_int_equal(store_presign(k.store, "weir.json", 0, 1, &url, &k.err).code, E_UNSUPPORTED);
    buf_fini(&url);
    end(&k);
}

static void test_remote_document(void **state)
{
    struct kit k;
    CLEANUP(mem_freep) char *url = NULL;

    (void)state;
    begin_script(&k, FAR);
    url = mem_printf("http://127.0.0.1:%d/x/s.json?word=secret", http_script_port(k.script));
    open_store(&k, url);
    assert_null(store_links_doc(k.store));
    assert_null(strchr(k.store->url, '?'));
    answer(&k, 403, NULL, "");
    get(&k, "weir.json", 0, 0, NULL, E_DENIED, "fetch the share's document: HTTP status 403");
    answer(&k, 200, NULL, "{\"weir_share\": 9}");
    get(&k, "weir.json", 0, 0, NULL, E_UNSUPPORTED, "/x/s.json: a share of version 9");
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HALF_CLOSE, .body = k.text});
    get(&k, "weir.json", 0, 0, NULL, E_NETWORK, "get weir.json");
    answer(&k, 200, NULL, k.text);
    answer(&k, 200, NULL, "hello");
    get(&k, "weir.json", 0, 0, "hello", E_OK, NULL);
    assert_string_equal(http_script_seen(k.script, 3)->target, "/x/s.json?word=secret");
    answer(&k, 200, NULL, "hello");
    get(&k, "weir.json", 0, 0, "hello", E_OK, NULL); /* the document is there */
    assert_int_equal(http_script_count(k.script), 6);
    assert_int_equal(store_links_doc(k.store)->timeline, 2);
    end(&k);
}

static void on_canceled(struct store_req *req)
{
    unsigned *done = req->ctx;

    assert_int_equal(req->err.code, E_CANCELED);
    store_req_fini(req);
    ++*done;
}

/* While the document is on its way, and while an object is. */
static void test_stop(void **state)
{
    for (int remote = 0; remote < 2; remote++) {
        struct store_req reqs[3];
        struct kit k;
        unsigned done = 0;

        (void)state;
        if (remote == 1) {
            CLEANUP(mem_freep) char *url = NULL;

            begin_script(&k, FAR);
            url = mem_printf("http://127.0.0.1:%d/s.json", http_script_port(k.script));
            open_store(&k, url);
        } else
            begin(&k, FAR);
        http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
        http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
        http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
        for (int i = 0; i < 3; i++) {
            store_req_init(&reqs[i], STORE_GET, "weir.json", on_canceled, &done);
            store_submit(k.store, &reqs[i]);
            if (i == 1)
                while (http_script_count(k.script) == 0)
                    (void)uv_run(&k.loop, UV_RUN_ONCE);
        }
        store_wait_stop(&k.loop, MOVE(k.store));
        assert_int_equal(done, 3);
        end(&k);
    }
}

static void bad_url(struct kit *k, const char *url, enum err_code code, const char *words)
{
    struct store *s = NULL;
    struct err err;

    assert_int_equal(store_open(k->env, url, NULL, 0, &s, &err).code, code);
    if (strstr(err.msg, words) == NULL)
        print_error("%s\n", err.msg);
    assert_non_null(strstr(err.msg, words));
    assert_null(strstr(err.msg, "hush"));
}

static void test_urls(void **state)
{
    static const struct store_option option = {"region", "x"};
    struct store *s = NULL;
    struct kit k;

    (void)state;
    begin_script(&k, FAR);
    bad_url(&k, "share://host/x.json", E_CONFIG, "share:///absolute/path");
    bad_url(&k, "share:///x.json?y=hush", E_CONFIG, "share:///absolute/path");
    bad_url(&k, "share:///nowhere/x.json", E_NOTFOUND, "/nowhere/x.json");
    bad_url(&k, "share:///dev/null", E_CORRUPT, "not the document of a share");
    bad_url(&k, "http://example.org/x.json?y=hush", E_CONFIG, "https:// only");
    bad_url(&k, "https://user:hush@example.org/x.json", E_CONFIG, "not the URL of a share");
    assert_int_equal(store_open(k.env, "share:///x", &option, 1, &s, &k.err).code, E_CONFIG);
    assert_false(store_links_is_url("s3://b/p"));
    assert_false(store_links_is_url("file:///p"));
    end(&k);
}

/* An S3 store signs what this one reads. */
static void test_presign(void **state)
{
    CLEANUP(buf_fini) struct buf url;
    struct s3_kit k;

    (void)state;
    buf_init(&url, 4096);
    s3_kit_begin(&k, "");
    assert_false(store_links_is(k.store));
    assert_null(store_links_doc(k.store));
    s3_kit_answer(&k, 200, NULL, "x");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "weir.json"), &k.err);
    assert_ok_err(store_presign(k.store, "t/a", 1795226481000, 3600, &url, &k.err), &k.err);
    assert_memory_equal(buf_str(&url), "http://127.0.0.1:", 17);
    assert_non_null(strstr(buf_str(&url), "/bkt/pre/t/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
    assert_non_null(strstr(buf_str(&url), "&X-Amz-Date=20261121T"));
    assert_non_null(strstr(buf_str(&url), "&X-Amz-Expires=3600&"));
    assert_non_null(strstr(buf_str(&url), "&X-Amz-Signature="));
    assert_null(strstr(buf_str(&url), "very-secret"));
    s3_kit_end(&k);
    s3_kit_begin_with(&k, "&anonymous=true", NULL, 0);
    s3_kit_answer(&k, 200, NULL, "x");
    assert_ok_err(s3_kit_do(&k, STORE_GET, "weir.json"), &k.err);
    assert_int_equal(store_presign(k.store, "t/a", 0, 1, &url, &k.err).code, E_DENIED);
    assert_non_null(strstr(k.err.msg, "anonymous"));
    s3_kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_list_and_head),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_remote_document),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_presign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
