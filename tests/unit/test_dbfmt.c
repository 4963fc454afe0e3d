/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dbfmt.h"

#include <string.h>

/* The header of a WAL database of three pages of 4096 bytes. */
static void good(uint8_t h[DBFMT_HEADER_SIZE])
{
    memset(h, 0, DBFMT_HEADER_SIZE);
    memcpy(h, "SQLite format 3", 16);
    h[16] = 0x10;
    h[18] = h[19] = 2;
    h[21] = 64;
    h[22] = h[23] = 32;
    h[27] = h[95] = 9; /* change counter, version-valid-for */
    h[31] = 3;
}

static void test_good_header(void **state)
{
    uint8_t h[DBFMT_HEADER_SIZE];
    struct dbfmt_header out;
    struct err err;

    (void)state;
    good(h);
    assert_ok_err(dbfmt_decode_header(span_of(h, sizeof h), &out, &err), &err);
    assert_int_equal(out.page_size, 4096);
    assert_true(out.wal);
    assert_int_equal(out.change_counter, 9);
    assert_int_equal(out.page_count, 3);

    h[24] = 1; /* a writer from before 3.7.0 does not keep the page count */
    assert_ok(dbfmt_decode_header(span_of(h, sizeof h), &out, &err));
    assert_int_equal(out.change_counter, 0x01000009);
    assert_int_equal(out.page_count, 0);

    h[16] = 0;
    h[17] = 1;
    assert_ok(dbfmt_decode_header(span_of(h, sizeof h), &out, &err));
    assert_int_equal(out.page_size, 65536);

    h[18] = h[19] = 1;
    assert_ok(dbfmt_decode_header(span_of(h, sizeof h), &out, &err));
    assert_false(out.wal);
    h[18] = 2;
    assert_ok(dbfmt_decode_header(span_of(h, sizeof h), &out, &err));
    assert_false(out.wal);
}

static void test_bad_headers(void **state)
{
    static const struct {
        size_t off;
        uint8_t value;
        const char *says;
    } cases[] = {
        {0, 's', "not a SQLite database"},
        {15, 1, "not a SQLite database"},
        {16, 0, "page size 0"},
        {16, 0x11, "page size 4352"},
        {17, 1, "page size 4097"},
        {16, 1, "page size 256"},
        {18, 0, "write version 0"},
        {19, 0, "read version 0"},
        {21, 65, "payload fractions 65, 32, 32"},
        {22, 0, "payload fractions 64, 0, 32"},
        {23, 0, "payload fractions 64, 32, 0"},
    };
    uint8_t h[DBFMT_HEADER_SIZE];
    struct dbfmt_header out = {.page_size = 77};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        good(h);
        h[cases[i].off] = cases[i].value;
        assert_fails(dbfmt_decode_header(span_of(h, sizeof h), &out, &err), E_CORRUPT);
        assert_non_null(strstr(err.msg, cases[i].says));
    }
    good(h);
    h[16] = 2; /* 512 bytes, of which 480 must be usable */
    h[20] = 33;
    assert_fails(dbfmt_decode_header(span_of(h, sizeof h), &out, &err), E_CORRUPT);
    assert_string_equal(err.msg, "database header: 33 reserved bytes in a page of 512");
    h[20] = 32;
    assert_int_equal(out.page_size, 77); /* outputs are written on success only */
    assert_ok(dbfmt_decode_header(span_of(h, sizeof h), &out, &err));
    for (size_t n = 0; n < sizeof h; n++)
        assert_fails(dbfmt_decode_header(span_of(h, n), &out, &err), E_CORRUPT);
}

static void test_recognise(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum dbfmt_kind kind;
    } cases[] = {
        {"", 0, DBFMT_EMPTY},
        {"SQLite format 3", 16, DBFMT_SQLITE},
        {"SQLite format 3", 15, DBFMT_OTHER},
        {"SQLite format 2", 16, DBFMT_OTHER},
        {"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7rest", 12, DBFMT_JOURNAL},
        {"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 7, DBFMT_OTHER},
        {"\x37\x7f\x06\x82", 4, DBFMT_JOURNAL},
        {"\x37\x7f\x06\x83xxxx", 8, DBFMT_JOURNAL},
        {"\x37\x7f\x06\x84xxxx", 8, DBFMT_OTHER},
        {"01234567DUCK", 12, DBFMT_DUCKDB},
        {"01234567DUC", 11, DBFMT_OTHER},
        {"PK\003\004", 4, DBFMT_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dbfmt_recognise(span_of(cases[i].bytes, cases[i].size)), cases[i].kind);
    assert_int_equal(dbfmt_recognise(span_of(NULL, 0)), DBFMT_EMPTY);
}

static void test_page_sizes(void **state)
{
    int count = 0;

    (void)state;
    for (uint64_t n = 0; n <= 200000; n++)
        count += dbfmt_page_size_ok(n);
    assert_int_equal(count, 8);
    assert_true(dbfmt_page_size_ok(512));
    assert_true(dbfmt_page_size_ok(65536));
    assert_false(dbfmt_page_size_ok(0x100000200u));
    for (uint32_t size = 512; size <= 65536; size *= 2) {
        uint64_t begin = (uint64_t)(dbfmt_lock_page(size) - 1) * size;

        assert_true(begin <= 0x40000000u && 0x40000000u < begin + size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_header),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_recognise),
        cmocka_unit_test(test_page_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
