/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads as they should be: in parts, by copies, within limits. */
#include "s3_upload_kit.h"

/* --- as it should be ---------------------------------------------------------------------------------------------- */

static void test_parts_and_copy(void **state)
{
    const struct store_counts *c;
    char *id = begin_sent();

    (void)state;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    assert_ptr_equal(strstr(server.tmp, "/bkt/pre/.tmp/"), server.tmp);
    assert_int_equal(strlen(server.tmp), 14 + 32);
    assert_string_equal(server.source, server.tmp); /* "/bucket/prefix/..." is the very path */
    s3_kit_asked(&k, 4, "PUT", "/bkt/pre/snap/2");
    assert_non_null(strstr(s3_kit_seen(&k, 1)->target, "?partNumber=1&uploadId=id%2F1"));
    assert_int_equal(strlen(s3_kit_field(&k, 1, "content-md5")), 24);
    assert_string_equal(server.body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
                                     "<PartNumber>1</PartNumber><ETag>&quot;part&quot;</ETag></Part><Part>"
                                     "<PartNumber>2</PartNumber><ETag>&quot;part&");
    s3_kit_asked(&k, 5, "DELETE", server.tmp);
    c = store_counts_of(k.store);
    assert_int_equal(c->outcomes[STORE_UPLOAD_START][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_UPLOAD_PART][STORE_OUTCOME_OK], 2);
    assert_int_equal(c->outcomes[STORE_UPLOAD_FINISH][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_KIND_COPY][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_DELETE][STORE_OUTCOME_OK], 1);
    assert_ok(abort_upload(id)); /* it is gone, and nothing is sent */
    assert_int_equal(server.count, 6);
    end(id);
}

static void test_final_key(void **state)
{
    char *id = begin("", true);

    (void)state;
    two_parts(id);
    assert_fails(finish(id, "snap/2", 2, false), E_BUG);
    assert_ok_err(finish(id, "snap/1", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPI");
    assert_string_equal(server.tmp, "/bkt/pre/snap/1");
    end(id);
}

/* One part that is not full is one PUT. */
static void test_single(void **state)
{
    char *id = begin("", false);

    (void)state;
    memcpy(bytes, "hello", 5);
    assert_ok_err(part(id, 1, 9), &k.err);
    assert_ok_err(part(id, 1, 5), &k.err); /* sent again */
    assert_fails(part(id, 2, 5), E_BUG);
    assert_int_equal(server.count, 0);
    assert_ok_err(finish(id, "snap/2", 1, false), &k.err);
    assert_string_equal(server.seen, "U");
    s3_kit_asked(&k, 0, "PUT", "/bkt/pre/snap/2");
    assert_string_equal(server.body, "hello");
    end(id);
}

static void on_done(struct store_req *req)
{
    --*(int *)req->ctx;
}

/* Parts at the same time wait for one upload to be made. */
static void test_parts_at_once(void **state)
{
    enum { COUNT = 5 };
    struct store_req reqs[COUNT];
    char *id = begin("", false);
    int left = COUNT;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        store_req_init(&reqs[i], STORE_UPLOAD_PART, "snap/1", on_done, &left);
        reqs[i].upload = id;
        reqs[i].part = (uint32_t)i + 1;
        reqs[i].body = span_of(bytes, PART);
        store_submit(k.store, &reqs[i]);
    }
    while (left > 0)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(reqs[i].err.code, E_OK);
        store_req_fini(&reqs[i]);
    }
    assert_string_equal(server.seen, "CPPPPP");
    assert_ok_err(finish(id, "snap/2", COUNT, false), &k.err);
    end(id);
}

/* --- copies in ranges --------------------------------------------------------------------------------------------- */

static void test_copy_in_ranges(void **state)
{
    char *id = begin_sent();

    (void)state;
    ((struct s3_store *)k.store->below)->copy_max = PART;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPICRRID");
    assert_string_equal(s3_kit_field(&k, 4, "content-type"), "application/octet-stream");
    assert_string_equal(s3_kit_field(&k, 5, "x-amz-copy-source-range"), "bytes=0-5242879");
    assert_string_equal(s3_kit_field(&k, 6, "x-amz-copy-source-range"), "bytes=5242880-5242886");
    assert_non_null(strstr(s3_kit_seen(&k, 5)->target, "/bkt/pre/snap/2?partNumber="));
    assert_ptr_equal(
        strstr(server.body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
                            "<PartNumber>1</PartNumber><ETag>&quot;r&quot;"),
        server.body);
    end(id);

    id = begin_sent(); /* a range fails: what there is of the copy goes away, the upload stays */
    ((struct s3_store *)k.store->below)->copy_max = PART;
    server.error_in_200 = 'R';
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_ptr_equal(
        strstr(k.err.msg, "upload_finish snap/2: copy to the final key: HTTP status 200 InternalError"), k.err.msg);
    assert_string_equal(server.seen, "CPPICRRA");
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPICRRACRRID");
    end(id);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static void test_create_only(void **state)
{
    char *id = begin_sent();

    (void)state;
    assert_ok_err(finish(id, "snap/2", 2, true), &k.err);
    assert_string_equal(server.seen, "CPPHIYD");
    end(id);

    id = begin_sent();
    server.complete = true; /* the name is taken */
    assert_fails(finish(id, "snap/2", 2, true), E_EXISTS);
    assert_string_equal(server.seen, "CPPH");
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPHA");
    end(id);
}

static void test_abort(void **state)
{
    char *id = begin("", false);

    (void)state;
    assert_ok(abort_upload(id)); /* nothing was sent */
    assert_fails(part(id, 1, 5), E_NOTFOUND);
    assert_int_equal(server.count, 0);
    end(id);

    id = begin_sent();
    server.refuse = 'A';
    assert_fails(abort_upload(id), E_SERVER);
    server.refuse = 0;
    assert_ok_err(abort_upload(id), &k.err);
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPAA");
    end(id);

    id = begin_sent(); /* put together, but not copied: the provisional object goes */
    server.refuse = 'Y';
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    end(id);
}

static void test_limits(void **state)
{
    struct store_req req;
    char *id = begin("", false);

    (void)state;
    assert_fails(part(id, STORE_S3_PARTS_MAX + 1, 5), E_UNSUPPORTED);
    assert_string_equal(k.err.msg, "upload_part snap/1: part 10001: an upload has at most 10000 parts, here of 5242880 "
                                   "bytes: a larger part-size is "
                                   "needed");
    assert_fails(part((char *)(uintptr_t) "no such id", 1, 5), E_NOTFOUND);
    for (int i = 1; i < STORE_S3_UPLOADS_MAX; i++) {
        store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
        assert_ok(s3_kit_run(&k, &req));
        store_req_fini(&req);
    }
    store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
    assert_fails(s3_kit_run(&k, &req), E_BUSY);
    store_req_fini(&req);
    end(id);
}

/* Parts get larger only when so much is expected that there would be too many. */
static void test_part_size(void **state)
{
    static const struct {
        uint64_t expected;
        size_t want;
    } cases[] = {
        {0, PART},
        {8999ULL * PART, PART},
        {9001ULL * PART, 6 << 20},
        {1ULL << 40, 117 << 20},
        {UINT64_MAX, STORE_PART_MAX},
    };
    char *id = begin("", true);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_req req;

        store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
        req.expected = cases[i].expected;
        assert_ok(s3_kit_run(&k, &req));
        assert_int_equal(req.part_size, cases[i].want);
        store_req_fini(&req);
    }
    assert_fails(part(id, 1, PART + 1), E_BUG);
    end(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_copy),
        cmocka_unit_test(test_final_key),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_parts_at_once),
        cmocka_unit_test(test_copy_in_ranges),
        cmocka_unit_test(test_create_only),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_part_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
