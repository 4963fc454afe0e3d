/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "share_doc.h"
#include "store.h"

#include <string.h>

#define HEAD   "{\"weir_share\": 1, \"created\": \"2026-11-21T02:01:21Z\", \"expires\": \"2026-11-21T03:01:21Z\", "
#define WHERE  "\"timeline\": 1, \"txid\": 7, "
#define OBJECT "{\"key\": \"weir.json\", \"size\": 9, \"url\": \"https://h/b/weir.json?X-Amz-Signature=secret\"}"

static void decode(const char *text, enum err_code code, const char *words)
{
    CLEANUP(share_doc_fini) struct share_doc d = {0};
    struct err err;
    struct rc rc = share_doc_decode(span_of(text, strlen(text)), &d, &err);

    assert_int_equal(rc.code, code);
    if (code == E_OK)
        return;
    if (strstr(err.msg, words) == NULL)
        print_error("%s\n", err.msg);
    assert_non_null(strstr(err.msg, words));
    assert_null(strstr(err.msg, "secret"));
    assert_int_equal(d.count, 0);
}

static void test_there_and_back(void **state)
{
    static const char *const keys[] = {"weir.json", "t/00000001/timeline.json", "weir.json", "t/00000001/log/0"};
    CLEANUP(share_doc_fini) struct share_doc d = {0}, back = {0};
    CLEANUP(buf_fini) struct buf text;
    struct err err;
    size_t at = 9;

    (void)state;
    buf_init(&text, 4096);
    d.created_ms = 1795226481000;
    d.expires_ms = d.created_ms + 3600000;
    d.timeline = 3;
    d.txid = 1207;
    for (size_t i = 0; i < 4; i++)
        assert_ok_err(share_doc_add(&d, keys[i], 10 + i, &err), &err);
    share_doc_sort(&d);
    assert_int_equal(d.count, 3);
    for (size_t i = 0; i < d.count; i++)
        d.objects[i].url = mem_printf("https://host/b/%s?a=b&c=%%2F", d.objects[i].key);
    assert_ok_err(share_doc_encode(&d, &text, &err), &err);
    assert_ok_err(share_doc_decode(buf_span(&text), &back, &err), &err);
    assert_int_equal(back.created_ms, d.created_ms);
    assert_int_equal(back.expires_ms, d.expires_ms);
    assert_int_equal(back.timeline, 3);
    assert_int_equal(back.txid, 1207);
    assert_int_equal(back.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(back.objects[i].key, d.objects[i].key);
        assert_string_equal(back.objects[i].url, d.objects[i].url);
        assert_int_equal(back.objects[i].size, d.objects[i].size);
    }
    assert_int_equal(share_doc_bytes(&back), share_doc_bytes(&d));
    assert_string_equal(share_doc_find(&back, "t/00000001/timeline.json", &at)->key, "t/00000001/timeline.json");
    assert_int_equal(at, 1);
    assert_null(share_doc_find(&back, "t/00000001/m", &at));
    assert_int_equal(at, 1);
    assert_null(share_doc_find(&back, "x", &at));
    assert_int_equal(at, 3);
}

static void test_too_long(void **state)
{
    CLEANUP(share_doc_fini) struct share_doc d = {0};
    CLEANUP(buf_fini) struct buf text;
    struct err err;

    (void)state;
    buf_init(&text, 64);
    assert_ok_err(share_doc_add(&d, "weir.json", 1, &err), &err);
    d.objects[0].url = mem_strdup("https://h/secret");
    assert_int_equal(share_doc_encode(&d, &text, &err).code, E_NOSPACE);
    for (size_t i = 1; i < SHARE_DOC_OBJECTS_MAX; i++)
        assert_ok_err(share_doc_add(&d, "weir.json", 1, &err), &err);
    assert_int_equal(share_doc_add(&d, "weir.json", 1, &err).code, E_NOSPACE);
    share_doc_sort(&d);
    assert_int_equal(d.count, 1);
}

static void test_hostile(void **state)
{
    (void)state;
    decode(HEAD WHERE "\"objects\": [" OBJECT "]}", E_OK, "");
    decode(HEAD WHERE "\"more\": {}, \"objects\": [" OBJECT "]}", E_OK, "");
    decode("", E_CORRUPT, "not the document of a share");
    decode("[]", E_CORRUPT, "not the document of a share");
    decode("{\"secret\": 1}", E_CORRUPT, "not the document of a share");
    decode("{\"weir_share\": 1, \"weir_share\": 1}", E_CORRUPT, "not the document of a share");
    decode("{\"weir_share\": 2}", E_UNSUPPORTED, "version 2");
    decode("{\"weir_share\": 0}", E_CORRUPT, "weir_share");
    decode("{\"weir_share\": 1, \"created\": \"secret\"}", E_CORRUPT, "\"created\" is not a time");
    decode(HEAD "\"timeline\": 0}", E_CORRUPT, "timeline");
    decode(HEAD "\"timeline\": 4294967296}", E_CORRUPT, "timeline");
    decode(HEAD "\"timeline\": 1, \"txid\": -1}", E_CORRUPT, "txid");
    decode(HEAD WHERE "\"objects\": []}", E_CORRUPT, "objects");
    decode(HEAD WHERE "\"objects\": [7]}", E_CORRUPT, "object 1: \"key\"");
    decode(HEAD WHERE "\"objects\": [" OBJECT "," OBJECT "]}", E_CORRUPT, "more than once");
}

static void with_object(const char *key, const char *size, const char *url, const char *words)
{
    CLEANUP(mem_freep)
    char *text =
        mem_printf(HEAD WHERE "\"objects\": [{\"key\": \"%s\", \"size\": %s, \"url\": \"%s\"}]}", key, size, url);

    decode(text, words != NULL ? E_CORRUPT : E_OK, words);
}

static void test_hostile_objects(void **state)
{
    static const char *const urls[] = {"", "secret", "file:///etc/secret", "share:///secret", "https://",
        "https:///secret", "https://user:secret@h/x", "https://h/a secret", "https://h/\\u000d\\u000asecret",
        "https://h/\\\"secret", "https://h:99999/secret", "ftp://h/secret", "https://h/secret?x=%zz"};
    char key[STORE_KEY_MAX + 2];

    (void)state;
    with_object("a/b", "0", "http://127.0.0.1:1/a?b=c", NULL);
    with_object("a/b", "9223372036854775807", "https://[::1]:443/a", NULL);
    with_object("../b", "0", "https://h/a", "\"key\"");
    with_object("/b", "0", "https://h/a", "\"key\"");
    with_object(".tmp/b", "0", "https://h/a", "\"key\"");
    with_object("", "0", "https://h/a", "\"key\"");
    with_object("a\\u0000b", "0", "https://h/a", "not the document");
    memset(key, 'a', sizeof key - 1);
    key[sizeof key - 1] = 0;
    with_object(key, "0", "https://h/a", "\"key\"");
    with_object("a", "1", "https://h/\\u0000secret", "not the document");
    with_object("a", "-1", "https://h/a", "\"size\"");
    with_object("a", "1.5", "https://h/a", "\"size\"");
    with_object("a", "\"1\"", "https://h/a", "\"size\"");
    with_object("a", "9223372036854775808", "https://h/a", "not the document");
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        with_object("a", "1", urls[i], "\"url\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_hostile_objects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
