/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "s3_xml.h"

#include <stdio.h>
#include <string.h>

static struct span text(const char *xml)
{
    return span_of(xml, strlen(xml));
}

static struct rc list(const char *xml, struct s3_xml_list *out, struct err *err)
{
    *out = (struct s3_xml_list){0};
    return s3_xml_read_list(text(xml), out, err);
}

/* --- listings ----------------------------------------------------------------------------------------------------- */

/* As Amazon S3 and Ceph send it; the order is the answer's. */
static void test_listing(void **state)
{
    static const char xml[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>p%2F</Prefix>"
        "<StartAfter>p%2Fa</StartAfter><KeyCount>3</KeyCount><MaxKeys>3</MaxKeys><Delimiter>%2F</Delimiter>"
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>"
        "<Contents><Key>p%2Ffile%20one%2B</Key><LastModified>2026-11-21T07:00:00.000Z</LastModified>"
        "<ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><Size>42</Size><Owner><ID>x</ID><DisplayName>y"
        "</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
        "<Contents><Key>p/plain</Key><Size>9007199254740993</Size></Contents>"
        "<CommonPrefixes><Prefix>p%2Fdir%2F</Prefix></CommonPrefixes></ListBucketResult>";
    struct s3_xml_list l;
    struct err err;

    (void)state;
    assert_ok_err(list(xml, &l, &err), &err);
    assert_int_equal(l.count, 3);
    assert_string_equal(l.entries[0].key, "p/file one+");
    assert_int_equal(l.entries[0].size, 42);
    assert_true(l.entries[0].modified_ms == INT64_C(1795244400000)); /* 2026-11-21T07:00:00Z */
    assert_true(l.entries[1].modified_ms == 0);
    assert_false(l.entries[0].is_prefix);
    assert_string_equal(l.entries[1].key, "p/plain");
    assert_true(l.entries[1].size == 9007199254740993u);
    assert_string_equal(l.entries[2].key, "p/dir/");
    assert_true(l.entries[2].is_prefix);
    assert_true(l.truncated);
    assert_string_equal(l.next_token, "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=");
    s3_xml_list_fini(&l);
    s3_xml_list_fini(&l); /* twice is fine */
}

static void test_empty_listing(void **state)
{
    struct s3_xml_list l;
    struct err err;

    (void)state;
    assert_ok_err(list("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", &l, &err), &err);
    assert_int_equal(l.count, 0);
    assert_false(l.truncated);
    assert_null(l.next_token);
    s3_xml_list_fini(&l);
    assert_ok(list("<s3:ListBucketResult xmlns:s3='x'><s3:Contents><s3:Key>k</s3:Key></s3:Contents>"
                   "</s3:ListBucketResult>",
        &l, &err));
    assert_int_equal(l.count, 1);
    assert_string_equal(l.entries[0].key, "k");
    s3_xml_list_fini(&l);
}

/* Many entries, so that the array grows. */
static void test_many_entries(void **state)
{
    CLEANUP(buf_fini) struct buf xml;
    struct s3_xml_list l = {0};
    struct err err;
    char want[16];

    (void)state;
    buf_init(&xml, 1 << 20);
    buf_text(&xml, "<ListBucketResult>");
    for (int i = 0; i < 1000; i++)
        buf_printf(&xml, "<Contents><Key>k%04d</Key><Size>%d</Size></Contents>", i, i);
    buf_text(&xml, "</ListBucketResult>");
    assert_ok_err(s3_xml_read_list(buf_span(&xml), &l, &err), &err);
    assert_int_equal(l.count, 1000);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(want, sizeof want, "k%04d", i);
        assert_string_equal(l.entries[i].key, want);
        assert_int_equal(l.entries[i].size, i);
    }
    s3_xml_list_fini(&l);
}

static void test_odd_encoding(void **state)
{
    static const struct {
        const char *in, *want;
    } cases[] = {{"a%2fb", "a/b"}, {"a%", "a%"}, {"a%2", "a%2"}, {"%zz", "%zz"}, {"%00x", "%00x"}, {"%25%32%35", "%25"},
        {"%C3%A9", "\xc3\xa9"}, {"a+b", "a+b"}, {"", ""}};
    char xml[200];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_xml_list l;
        struct err err;

        (void)snprintf(
            xml, sizeof xml, "<ListBucketResult><Contents><Key>%s</Key></Contents></ListBucketResult>", cases[i].in);
        assert_ok_err(list(xml, &l, &err), &err);
        assert_string_equal(l.entries[0].key, cases[i].want);
        s3_xml_list_fini(&l);
    }
    struct s3_xml_list l;
    struct err err;

    assert_ok_err(list("<ListBucketResult><Contents><Key>a+b%2B</Key></Contents><EncodingType>url</EncodingType>"
                       "</ListBucketResult>",
                      &l, &err),
        &err);
    assert_string_equal(l.entries[0].key, "a b+");
    s3_xml_list_fini(&l);
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    static const struct {
        const char *xml, *want;
    } cases[] = {
        {"", "an empty answer instead of XML"},
        {" \n ", "an empty answer instead of XML"},
        {"hello", "XML: syntax error in line 1"},
        {"<html><body>Bad Gateway</body></html>", "XML that is no listing"},
        {"<Error><Code>x</Code></Error>", "XML that is no listing"},
        {"<ListBucketResult>", "XML: no element found in line 1"},
        {"<ListBucketResult><Contents></ListBucketResult>", "XML: mismatched tag in line 1"},
        {"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
            "XML: an entry without a key in a listing"},
        {"<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
            "XML: size \"-1\" of an object in a listing"},
        {"<ListBucketResult><Contents><Key>k</Key><Size>99999999999999999999</Size></Contents></ListBucketResult>",
            "XML: size \"99999999999999999999\" of an object in a listing"},
        {"<!DOCTYPE x><ListBucketResult/>", "XML: a document type declaration"},
        {"<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult>&a;</ListBucketResult>",
            "XML: a document type declaration"},
        {"<ListBucketResult>&a;</ListBucketResult>", "XML: undefined entity in line 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct s3_xml_list l;
        struct err err;

        if (list(cases[i].xml, &l, &err).code != E_CORRUPT)
            fail_msg("went through: %s", cases[i].xml);
        assert_string_equal(err.msg, cases[i].want);
        assert_int_equal(l.count, 0);
    }
}

static void test_bounds(void **state)
{
    CLEANUP(buf_fini) struct buf xml;
    struct s3_xml_list l = {0};
    struct err err;

    (void)state;
    buf_init(&xml, 4 << 20);
    for (int i = 0; i < S3_XML_DEPTH_MAX; i++)
        buf_text(&xml, "<a>");
    assert_fails(s3_xml_read_list(buf_span(&xml), &l, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML: no element found in line 1");
    buf_text(&xml, "<a>");
    assert_fails(s3_xml_read_list(buf_span(&xml), &l, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML: elements nested deeper than 16");

    buf_clear(&xml);
    buf_text(&xml, "<a>");
    for (int i = 0; i < S3_XML_ELEMENTS_MAX; i++)
        buf_text(&xml, "<b/>");
    assert_fails(s3_xml_read_list(buf_span(&xml), &l, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML: more than 64000 elements");

    buf_clear(&xml);
    buf_text(&xml, "<ListBucketResult><Contents><Key>");
    for (int i = 0; i < S3_XML_TEXT_MAX; i++)
        buf_text(&xml, "k");
    buf_text(&xml, "</Key></Contents></ListBucketResult>");
    assert_ok_err(s3_xml_read_list(buf_span(&xml), &l, &err), &err);
    assert_int_equal(strlen(l.entries[0].key), S3_XML_TEXT_MAX);
    s3_xml_list_fini(&l);
    buf_clear(&xml);
    buf_text(&xml, "<ListBucketResult><Contents><Key>");
    for (int i = 0; i <= S3_XML_TEXT_MAX; i++)
        buf_text(&xml, "k");
    assert_fails(s3_xml_read_list(buf_span(&xml), &l, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML: ListBucketResult/Contents/Key has more than 4096 bytes");

    buf_clear(&xml);
    buf_text(&xml, "<a><");
    for (int i = 0; i < 63; i++)
        buf_text(&xml, "n");
    buf_text(&xml, "/></a>");
    assert_fails(s3_xml_read_list(buf_span(&xml), &l, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML: an element's name has 63 bytes");
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void test_error(void **state)
{
    struct s3_xml_error e;
    char xml[2000] = "<Error><Code>";

    (void)state;
    assert_true(s3_xml_read_error(
        text("<?xml version=\"1.0\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>The region 'us-east-1' "
             "is\nwrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region><RequestId>4442587FB7D0A2F9"
             "</RequestId><HostId>x</HostId><Deep><Code>no</Code></Deep></Error>"),
        &e));
    assert_string_equal(e.code, "AuthorizationHeaderMalformed");
    assert_string_equal(e.message, "The region 'us-east-1' is wrong; expecting 'eu-central-1'");
    assert_string_equal(e.region, "eu-central-1");
    assert_string_equal(e.request_id, "4442587FB7D0A2F9");
    assert_string_equal(e.endpoint, "");
    assert_true(s3_xml_read_error(text("<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"), &e));
    assert_string_equal(e.code, "Throttling");

    assert_false(s3_xml_read_error(text(""), &e));
    assert_false(s3_xml_read_error(text("<html><head/></html>"), &e));
    assert_true(s3_xml_read_error(
        text(" \n\r\t  <?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>"), &e)); /* kept waiting */
    assert_string_equal(e.code, "InternalError");
    assert_false(s3_xml_read_error(text("<Error><Code>x</Code>"), &e));
    assert_false(s3_xml_read_error(text("<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"), &e));

    /* Too long is cut. */
    memset(xml + strlen(xml), 'c', 200);
    (void)snprintf(xml + 213, sizeof xml - 213, "</Code></Error>");
    assert_true(s3_xml_read_error(text(xml), &e));
    assert_int_equal(strlen(e.code), S3_XML_CODE_SIZE - 1);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void test_upload_id(void **state)
{
    struct err err;
    char *id = NULL;

    (void)state;
    assert_ok_err(
        s3_xml_read_upload_id(text("<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>2~ab/c=="
                                   "</UploadId></InitiateMultipartUploadResult>"),
            &id, &err),
        &err);
    assert_string_equal(id, "2~ab/c==");
    mem_free(id);
    assert_fails(s3_xml_read_upload_id(text("<InitiateMultipartUploadResult><UploadId></UploadId>"
                                            "</InitiateMultipartUploadResult>"),
                     &id, &err),
        E_CORRUPT);
    assert_string_equal(err.msg, "XML without the id of the new upload");
    assert_fails(s3_xml_read_upload_id(text("<x><UploadId>a</UploadId></x>"), &id, &err), E_CORRUPT);
}

static void test_uploads(void **state)
{
    struct s3_xml_uploads u;
    struct err err;

    (void)state;
    assert_ok_err(s3_xml_read_uploads(text("<ListMultipartUploadsResult><NextKeyMarker>k2</NextKeyMarker>"
                                           "<NextUploadIdMarker>i2</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
                                           "<Upload><Key>k1</Key><UploadId>i1</UploadId>"
                                           "<Initiated>2026-11-21T02:01:21.000Z</Initiated></Upload>"
                                           "<Upload><Initiated>when</Initiated></Upload></ListMultipartUploadsResult>"),
                      &u, &err),
        &err);
    assert_int_equal(u.count, 2);
    assert_string_equal(u.uploads[0].key, "k1");
    assert_string_equal(u.uploads[0].id, "i1");
    assert_true(u.uploads[0].begun_ms > 1700000000000);
    assert_string_equal(u.uploads[1].key, "");
    assert_string_equal(u.uploads[1].id, "");
    assert_int_equal(u.uploads[1].begun_ms, 0);
    assert_true(u.truncated);
    assert_string_equal(u.next_key, "k2");
    assert_string_equal(u.next_id, "i2");
    s3_xml_uploads_fini(&u);
    assert_fails(s3_xml_read_uploads(text("<ListBucketResult></ListBucketResult>"), &u, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML that is no listing of uploads");
    assert_fails(s3_xml_read_uploads(text("<ListMultipartUploadsResult><Upload><Key>k"), &u, &err), E_CORRUPT);
}

static void test_etag(void **state)
{
    static const char *const roots[] = {"CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"};
    char etag[STORE_ETAG_SIZE], xml[400];
    struct err err;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        /* Long requests begin with spaces that keep the connection alive. */
        (void)snprintf(xml, sizeof xml, "<?xml version=\"1.0\"?>\n   \n <%s><ETag>&quot;ab-3&quot;</ETag></%s>",
            roots[i], roots[i]);
        assert_ok_err(s3_xml_read_etag(text(xml), etag, &err), &err);
        assert_string_equal(etag, "\"ab-3\"");
    }
    assert_ok(s3_xml_read_etag(
        text("<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"), etag, &err));
    assert_string_equal(etag, "");
    assert_fails(s3_xml_read_etag(text("<html><ETag>x</ETag></html>"), etag, &err), E_CORRUPT);
    assert_string_equal(err.msg, "XML that is no result of what was asked for");
    (void)snprintf(xml, sizeof xml, "<CopyObjectResult><ETag>%0*d</ETag></CopyObjectResult>", STORE_ETAG_SIZE, 0);
    assert_fails(s3_xml_read_etag(text(xml), etag, &err), E_CORRUPT);
    assert_string_equal(err.msg, "an ETag of 136 bytes");
}

static void test_deleted(void **state)
{
    struct s3_xml_error first;
    struct err err;
    size_t failed = 9;

    (void)state;
    assert_ok(s3_xml_read_deleted(text("<DeleteResult/>"), &failed, &first, &err));
    assert_int_equal(failed, 0);
    assert_ok(s3_xml_read_deleted(
        text("<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
             "<Error><Key>b</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
             "<Error><Key>c</Key><Code>InternalError</Code></Error></DeleteResult>"),
        &failed, &first, &err));
    assert_int_equal(failed, 2);
    assert_string_equal(first.key, "b");
    assert_string_equal(first.code, "AccessDenied");
    assert_string_equal(first.message, "Access Denied");
    assert_fails(s3_xml_read_deleted(text("<html/>"), &failed, &first, &err), E_CORRUPT);
}

static void test_escape(void **state)
{
    CLEANUP(buf_fini) struct buf out;

    (void)state;
    buf_init(&out, 100);
    s3_xml_escape("a&b<c>\"d'/", &out);
    assert_string_equal(buf_str(&out), "a&amp;b&lt;c&gt;&quot;d'/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_empty_listing),
        cmocka_unit_test(test_many_entries),
        cmocka_unit_test(test_odd_encoding),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_upload_id),
        cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_etag),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_escape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
