/* SPDX-License-Identifier: Apache-2.0 */
/* Keys both ways, and documents that are whole, damaged, or newer. */
#include "check.h"

#include "layout.h"

#include <stdio.h>
#include <string.h>

static const struct nonce database = {{0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct nonce writer = {{0xde, 0xad, 0xbe, 0xef, 1}};

static void test_keys(void **state)
{
    layout_text key;

    (void)state;
    layout_timeline(key, 0xff);
    assert_string_equal(key, "t/000000ff/timeline.json");
    layout_log(key, 1, UINT64_MAX);
    assert_string_equal(key, "t/00000001/log/ffffffffffffffff");
    layout_part(key, 2, 17, &writer, 3);
    assert_string_equal(key, "t/00000002/part/0000000000000011-deadbeef-00000003");
    layout_snapshot(key, UINT32_MAX, 18, 1790000000000);
    assert_string_equal(key, "t/ffffffff/snap/0000000000000012-000001a0c4506c00");
    layout_fold(key, 3, 1, 32);
    assert_string_equal(key, "t/00000003/fold/0000000000000001-0000000000000020");
    layout_merge(key, 3, 2, 17, 18, 1790000000000);
    assert_string_equal(key, "t/00000003/merge/02/0000000000000011-0000000000000012-000001a0c4506c00");
    layout_timelines_prefix(key);
    assert_string_equal(key, "t/");
    layout_timeline_prefix(key, 10);
    assert_string_equal(key, "t/0000000a/");
    layout_log_prefix(key, 10);
    assert_string_equal(key, "t/0000000a/log/");
    layout_snapshot_prefix(key, 10);
    assert_string_equal(key, "t/0000000a/snap/");
    layout_fold_prefix(key, 10);
    assert_string_equal(key, "t/0000000a/fold/");
    layout_merge_prefix(key, 10);
    assert_string_equal(key, "t/0000000a/merge/");
}

static void test_keys_are_in_order(void **state)
{
    static const uint64_t txids[] = {1, 2, 9, 10, 15, 16, 255, 256, 1ull << 32, INT64_MAX, UINT64_MAX};
    layout_text before = "", key;

    (void)state;
    for (size_t i = 0; i < sizeof txids / sizeof txids[0]; i++) {
        layout_log(key, 1, txids[i]);
        assert_true(strcmp(before, key) < 0);
        memcpy(before, key, sizeof key);
    }
}

static void test_parse(void **state)
{
    struct layout_key k;
    layout_text key;

    (void)state;
    assert_int_equal(layout_parse("weir.json").kind, LAYOUT_IDENTITY_KEY);
    layout_timeline(key, 7);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_TIMELINE);
    assert_int_equal(k.timeline, 7);
    layout_log(key, 7, 1000);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_LOG);
    assert_int_equal(k.timeline, 7);
    assert_int_equal(k.txid, 1000);
    layout_part(key, 7, 1000, &writer, 12);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_PART);
    assert_int_equal(k.txid, 1000);
    assert_int_equal(k.writer, 0xdeadbeef);
    assert_int_equal(k.number, 12);
    layout_snapshot(key, 7, 1000, 1790000000123);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_SNAPSHOT);
    assert_int_equal(k.txid, 1000);
    assert_int_equal(k.time_ms, 1790000000123);
    layout_fold(key, 7, 1000, 1031);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_FOLD);
    assert_int_equal(k.txid, 1000);
    assert_int_equal(k.last_txid, 1031);
    layout_merge(key, 7, 0xff, 1000, 2000, 1790000000123);
    k = layout_parse(key);
    assert_int_equal(k.kind, LAYOUT_MERGE);
    assert_int_equal(k.level, 0xff);
    assert_int_equal(k.base_txid, 1000);
    assert_int_equal(k.txid, 2000);
    assert_int_equal(k.time_ms, 1790000000123);
}

static void test_parse_refuses(void **state)
{
    static const char *const others[] = {"", "weir.jso", "weir.json2", "t", "t/", "t/00000001", "t/00000001/",
        "t/0000001/log/0000000000000001", "t/00000000/log/0000000000000001", "t/00000001/log/0000000000000000",
        "t/00000001/log/000000000000001", "t/00000001/log/00000000000000001", "t/00000001/log/000000000000000A",
        "t/00000001/log/", "t/00000001/logs/0000000000000001", "t/00000001/snap/0000000000000001",
        "t/00000001/snap/0000000000000001-", "t/00000001/snap/0000000000000001-ffffffffffffffff",
        "t/00000001/snap/0000000000000000-0000000000000001", "t/00000001/part/0000000000000001-deadbeef",
        "t/00000001/part/0000000000000001-deadbeef-0000000g", "t/00000001/part/0000000000000001-deadbeef-00000000/x",
        "t/00000001/fold/0000000000000001", "t/00000001/fold/0000000000000002-0000000000000001",
        "t/00000001/fold/0000000000000000-0000000000000001", "t/00000001/fold/0000000000000001-0000000000000001x",
        "t/00000001/merge/00/0000000000000001-0000000000000002-0000000000000003",
        "t/00000001/merge/01/0000000000000000-0000000000000002-0000000000000003",
        "t/00000001/merge/01/0000000000000002-0000000000000002-0000000000000003",
        "t/00000001/merge/1/0000000000000001-0000000000000002-0000000000000003",
        "t/00000001/merge/01/0000000000000001-0000000000000002-ffffffffffffffff",
        "t/00000001/merge/01/0000000000000001-0000000000000002", "t/00000001/timeline.json/", "t/00000001/timeline",
        "x/00000001/log/0000000000000001"};

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (layout_parse(others[i]).kind != LAYOUT_OTHER) {
            print_error("'%s' was taken\n", others[i]);
            fail();
        }
}

static void test_identity(void **state)
{
    struct layout_identity id = {.format = 1, .database = database, .page_size = 65536, .created_ms = 1790000000000},
                           back;
    struct buf json;
    struct err err;

    (void)state;
    buf_init(&json, 4096);
    assert_ok_err(layout_identity_encode(&id, &json, &err), &err);
    assert_ok_err(layout_identity_decode(buf_span(&json), &back, &err), &err);
    assert_int_equal(back.format, 1);
    assert_true(nonce_equal(&back.database, &database));
    assert_int_equal(back.page_size, 65536);
    assert_int_equal(back.created_ms, 1790000000000);
    buf_fini(&json);
}

static struct rc decode_identity(const char *json, struct err *err)
{
    struct layout_identity id;

    return layout_identity_decode(span_of(json, strlen(json)), &id, err);
}

static void assert_identity(const char *json, enum err_code code, const char *msg)
{
    struct err err;

    assert_fails(decode_identity(json, &err), code);
    assert_string_equal(err.msg, msg);
}

#define DB "\"database\":\"ab0102030405060708090a0b0c0d0e0f\""

static void test_identity_refuses(void **state)
{
    struct err err;
    char large[70000];

    (void)state;
    assert_identity("[]", E_CORRUPT, "weir.json: not a JSON object");
    assert_identity("{}", E_CORRUPT, "weir.json: field \"format\" is not a number in its range");
    assert_identity("{\"format\":0}", E_CORRUPT, "weir.json: format 0");
    assert_identity(
        "{\"format\":2,\"whatever\":[]}", E_UNSUPPORTED, "weir.json: format 2 needs a newer weir (this one knows 1)");
    assert_identity("{\"format\":-1}", E_CORRUPT, "weir.json: field \"format\" is not a number in its range");
    assert_identity("{\"format\":1.0}", E_CORRUPT, "weir.json: field \"format\" is not a number in its range");
    assert_identity("{\"format\":1," DB ",\"page_size\":4096,\"created_ms\":\"now\"}", E_CORRUPT,
        "weir.json: field \"created_ms\" is not a number in its range");
    assert_identity(
        "{\"format\":1," DB ",\"page_size\":4095,\"created_ms\":1}", E_CORRUPT, "weir.json: 4095 is no page size");
    assert_identity("{\"format\":1,\"database\":\"ab\",\"page_size\":4096,\"created_ms\":1}", E_CORRUPT,
        "weir.json: field \"database\" is not 32 hex digits");
    assert_ok_err(
        decode_identity("{\"format\":1," DB ",\"page_size\":4096,\"created_ms\":1,\"later\":null}", &err), &err);
    /* A twin, something behind the end, half a document, no document. */
    assert_fails(
        decode_identity("{\"format\":1,\"format\":1," DB ",\"page_size\":4096,\"created_ms\":1}", &err), E_CORRUPT);
    assert_fails(decode_identity("{\"format\":1," DB ",\"page_size\":4096,\"created_ms\":1}x", &err), E_CORRUPT);
    assert_fails(decode_identity("{\"format\":1," DB ",\"page_size\":40", &err), E_CORRUPT);
    assert_fails(decode_identity("", &err), E_CORRUPT);
    memset(large, ' ', sizeof large - 1);
    large[sizeof large - 1] = 0;
    assert_identity(large, E_CORRUPT, "weir.json: 69999 bytes, at most 65536 are possible");
}

static struct layout_origin an_origin(void)
{
    return (struct layout_origin){.timeline = 3,
        .parent = 2,
        .fork_txid = 1207,
        .fork_checksum = 0xfedcba9876543210,
        .database = database,
        .writer = writer,
        .host = "host",
        .pid = 4711,
        .path = "/srv/\"data\"/\xc3\xa4pp.db",
        .time_ms = 1790000000000};
}

static struct rc there_and_back(const struct layout_origin *o, struct layout_origin *back, struct err *err)
{
    struct buf json;
    struct rc rc;

    buf_init(&json, 8192);
    assert_ok_err(layout_origin_encode(o, &json, err), err);
    rc = layout_origin_decode(buf_span(&json), back, err);
    buf_fini(&json);
    return rc;
}

static void test_origin(void **state)
{
    struct layout_origin o = an_origin(), back;
    struct err err;

    (void)state;
    assert_ok_err(there_and_back(&o, &back, &err), &err);
    assert_int_equal(back.timeline, 3);
    assert_int_equal(back.parent, 2);
    assert_int_equal(back.fork_txid, 1207);
    assert_true(back.fork_checksum == 0xfedcba9876543210);
    assert_true(nonce_equal(&back.database, &database));
    assert_true(nonce_equal(&back.writer, &writer));
    assert_string_equal(back.host, "host");
    assert_int_equal(back.pid, 4711);
    assert_string_equal(back.path, o.path);
    assert_int_equal(back.time_ms, 1790000000000);
}

/* A path is bytes, and JSON is not. */
static void test_path_that_is_no_text(void **state)
{
    struct layout_origin o = an_origin(), back;
    struct err err;

    (void)state;
    (void)snprintf(o.path, sizeof o.path, "/a\xff\xfe/b");
    assert_ok_err(there_and_back(&o, &back, &err), &err);
    assert_string_equal(back.path, "/a?"
                                   "?/b");
}

static void test_origin_refuses(void **state)
{
    struct layout_origin o = an_origin(), back;
    struct err err;

    (void)state;
    o.parent = 3;
    assert_fails(there_and_back(&o, &back, &err), E_CORRUPT);
    assert_string_equal(err.msg, "timeline.json: timeline 3 with parent 3");
    o.parent = 0;
    assert_fails(there_and_back(&o, &back, &err), E_CORRUPT);
    assert_string_equal(err.msg, "timeline.json: a first timeline that forks at txid 1207");
    o.fork_txid = 0;
    assert_ok_err(there_and_back(&o, &back, &err), &err);
    o.timeline = 0;
    assert_fails(there_and_back(&o, &back, &err), E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_are_in_order),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_refuses),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_path_that_is_no_text),
        cmocka_unit_test(test_origin_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
