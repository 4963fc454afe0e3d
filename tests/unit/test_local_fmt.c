/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "local_fmt.h"

#include <string.h>

static struct pos some_pos(uint32_t page_count, uint64_t checksum)
{
    return (struct pos){
        .timeline = 3,
        .txid = 0x123456789abcu,
        .time_ms = 1795227681123,
        .checksum = checksum,
        .page_size = 4096,
        .page_count = page_count,
        .wal = {.salt = {7, 8}, .change_count = 9, .page_size = 4096, .frame = 10, .cksum = {11, 12}, .valid = true},
    };
}

static struct local_fmt_current some_current(size_t run_count)
{
    struct local_fmt_current c = {
        .id = 0xfeedface01020304u,
        .pages_hash = 0x55aa55aa11223344u,
        .content = {.pos = some_pos(17, 0xabcdef), .restored = true, .run_count = run_count},
    };

    memset(c.content.database.bytes, 0xdb, sizeof c.content.database.bytes);
    for (size_t i = 0; i < run_count; i++)
        memset(c.content.runs[i].bytes, (int)i + 1, sizeof c.content.runs[i].bytes);
    return c;
}

static struct buf bytes_of(const struct local_fmt_current *c)
{
    struct buf b;

    buf_init(&b, LOCAL_FMT_CURRENT_SIZE_MAX);
    local_fmt_encode_current(c, &b);
    assert_int_equal(b.failed, E_OK);
    return b;
}

/* Make the hash at the end right again, as somebody who forges a file would. */
static void seal(uint8_t *data, size_t size)
{
    uint64_t hash = digest_bytes(data, size - 8);

    for (int i = 0; i < 8; i++)
        data[size - 8 + (size_t)i] = (uint8_t)(hash >> 8 * i);
}

static void current_comes_back(void **state)
{
    static const size_t run_counts[] = {0, 1, LOCAL_STATE_RUNS_MAX};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct local_fmt_current c = some_current(run_counts[i]), back;
        struct buf b;
        struct err err;

        c.content.chosen = i == 1;
        c.content.followed = i == 2;
        b = bytes_of(&c);

        assert_int_equal(b.size, 64 + POS_ENCODED_SIZE + 16 * run_counts[i] + 8);
        assert_ok_err(local_fmt_decode_current(buf_span(&b), &back, &err), &err);
        assert_int_equal(back.id, c.id);
        assert_int_equal(back.pages_hash, c.pages_hash);
        assert_true(nonce_equal(&back.content.database, &c.content.database));
        assert_true(back.content.restored);
        assert_int_equal(back.content.chosen, i == 1);
        assert_int_equal(back.content.followed, i == 2);
        assert_int_equal(back.content.run_count, run_counts[i]);
        assert_memory_equal(back.content.runs, c.content.runs, sizeof c.content.runs);
        assert_int_equal(back.content.pos.txid, c.content.pos.txid);
        assert_int_equal(back.content.pos.wal.cksum[1], 12);
        buf_fini(&b);
    }
}

/* The layout is a promise to later versions: these bytes are what version 1 wrote. */
static void current_has_its_layout(void **state)
{
    struct local_fmt_current c = some_current(1);
    struct buf b = bytes_of(&c);
    static const uint8_t head[] = {'w', 'e', 'i', 'r', '-', 'c', 'u', 'r', 1, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 0xce,
        0xfa, 0xed, 0xfe, 0x44, 0x33, 0x22, 0x11, 0xaa, 0x55, 0xaa, 0x55};

    (void)state;
    assert_memory_equal(b.data, head, sizeof head);
    assert_int_equal(b.data[32], 0xdb);
    assert_int_equal(b.data[48], 1); /* restored; 2 would be chosen, 4 followed */
    assert_int_equal(b.data[52], 1); /* runs */
    assert_int_equal(b.data[64], 3); /* timeline, the position's first field */
    assert_int_equal(b.data[64 + POS_ENCODED_SIZE], 1);
    buf_fini(&b);
}

static void current_is_distrusted(void **state)
{
    struct local_fmt_current c = some_current(3), back;
    struct buf b = bytes_of(&c);
    struct err err;

    (void)state;
    for (size_t n = 0; n < b.size; n++)
        assert_fails(local_fmt_decode_current(span_of(b.data, n), &back, &err), E_CORRUPT);
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        struct rc rc;

        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        rc = local_fmt_decode_current(buf_span(&b), &back, &err);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(rc.code == E_CORRUPT || rc.code == E_UNSUPPORTED);
    }
    assert_ok_err(local_fmt_decode_current(buf_span(&b), &back, &err), &err);
    buf_fini(&b);
}

struct forgery {
    size_t at;
    uint8_t byte;
    enum err_code code;
    const char *text;
};

static void forged_current_is_refused(void **state)
{
    static const struct forgery list[] = {
        {0, 'X', E_CORRUPT, "does not begin with \"weir-cur\""}, {8, 2, E_UNSUPPORTED, "has version 2, known is 1"},
        {12, 4, E_UNSUPPORTED, "needs features 0x4"}, {48, 8, E_CORRUPT, "flags 0x8"},
        {52, 4, E_CORRUPT, "cut short"},             /* more runs than there are */
        {52, 2, E_CORRUPT, "16 bytes left over"},    /* fewer */
        {53, 1, E_CORRUPT, "259 runs"},              /* more than there may be */
        {56, 1, E_CORRUPT, "flags 0x1"},             /* reserved */
        {64 + 28, 1, E_CORRUPT, "cut short or malf"} /* a page size of 4097 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct local_fmt_current c = some_current(3), back;
        struct buf b = bytes_of(&c);
        struct err err;

        b.data[list[i].at] = list[i].byte;
        seal(b.data, b.size);
        assert_fails(local_fmt_decode_current(buf_span(&b), &back, &err), list[i].code);
        if (strstr(err.msg, list[i].text) == NULL)
            fail_msg("%zu: %s", i, err.msg);
        buf_fini(&b);
    }
}

static void pages_header_is_exact(void **state)
{
    struct page_hash *h = page_hash_new();
    struct err err;
    struct buf b;
    uint64_t hash;

    (void)state;
    for (uint32_t i = 1; i <= 3000; i++)
        assert_ok_err(page_hash_set(h, i, digest_bytes(&i, sizeof i), &err), &err);
    hash = local_fmt_pages_hash(5, h);
    assert_true(hash != local_fmt_pages_hash(6, h));
    buf_init(&b, LOCAL_FMT_PAGES_HEADER_SIZE);
    local_fmt_encode_pages_header(5, 3000, hash, &b);
    assert_int_equal(b.size, LOCAL_FMT_PAGES_HEADER_SIZE);
    assert_ok_err(local_fmt_decode_pages_header(buf_span(&b), 5, 3000, hash, &err), &err);
    assert_fails(local_fmt_decode_pages_header(buf_span(&b), 6, 3000, hash, &err), E_CORRUPT);
    assert_fails(local_fmt_decode_pages_header(buf_span(&b), 5, 3001, hash, &err), E_CORRUPT);
    assert_fails(local_fmt_decode_pages_header(buf_span(&b), 5, 3000, hash + 1, &err), E_CORRUPT);
    assert_fails(local_fmt_decode_pages_header(span_of(b.data, b.size - 1), 5, 3000, hash, &err), E_CORRUPT);
    buf_fini(&b);

    /* Two entries change places: the XOR is the same, the hash is not. */
    uint64_t first = page_hash_get(h, 1), last = page_hash_get(h, 3000), checksum = page_hash_checksum(h);

    assert_ok_err(page_hash_set(h, 1, last, &err), &err);
    assert_ok_err(page_hash_set(h, 3000, first, &err), &err);
    assert_int_equal(page_hash_checksum(h), checksum);
    assert_true(local_fmt_pages_hash(5, h) != hash);
    page_hash_free(h);
}

static void records_come_back(void **state)
{
    struct local_fmt_record r[4] = {{.type = LOCAL_FMT_PAGES},
        {.type = LOCAL_FMT_POSITION, .mark = 77, .pos = some_pos(4, 5)}, {.type = LOCAL_FMT_RUN, .run = {{1, 2, 3}}},
        {.type = LOCAL_FMT_SESSION, .mark = 78, .salt = 79}};
    struct buf entries, out, header;
    uint64_t chain = 0;
    struct err err;

    (void)state;
    buf_init(&entries, 1000);
    buf_init(&out, LOCAL_FMT_CHAIN_SIZE + LOCAL_FMT_RECORD_SIZE_MAX);
    buf_init(&header, LOCAL_FMT_LOG_HEADER_SIZE);
    local_fmt_encode_log_header(99, &header, &chain);
    assert_int_equal(header.size, LOCAL_FMT_LOG_HEADER_SIZE);
    local_fmt_put_entry(&entries, 17, 0xdeadbeef);
    local_fmt_put_entry(&entries, DBFMT_PAGE_COUNT_MAX, 1);
    r[0].entries = buf_span(&entries);
    for (size_t i = 0; i < 4; i++) {
        uint64_t before = chain, hash;
        struct local_fmt_record back;
        uint32_t pgno;
        size_t size;

        local_fmt_encode_record(&r[i], &chain, &out);
        assert_int_equal(out.failed, E_OK);
        assert_true(chain != before);
        assert_ok_err(local_fmt_decode_record(buf_span(&out), &back, &size, &err), &err);
        assert_int_equal(size, out.size - LOCAL_FMT_CHAIN_SIZE);
        assert_int_equal(back.type, r[i].type);
        assert_int_equal(back.mark, r[i].mark);
        assert_int_equal(back.salt, r[i].salt);
        assert_true(nonce_equal(&back.run, &r[i].run));
        assert_int_equal(back.pos.checksum, r[i].pos.checksum);
        if (back.type == LOCAL_FMT_PAGES) {
            assert_int_equal(back.entries.size, 2 * LOCAL_FMT_ENTRY_SIZE);
            local_fmt_get_entry(back.entries, 1, &pgno, &hash);
            assert_int_equal(pgno, DBFMT_PAGE_COUNT_MAX);
            assert_int_equal(hash, 1);
        }
        /* Cut anywhere, any bit wrong, the chain included: no record. */
        for (size_t n = 0; n < out.size; n++) {
            assert_ok_err(local_fmt_decode_record(span_of(out.data, n), &back, &size, &err), &err);
            assert_int_equal(size, 0);
        }
        for (size_t bit = 0; bit < 8 * out.size; bit++) {
            out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_ok_err(local_fmt_decode_record(buf_span(&out), &back, &size, &err), &err);
            assert_int_equal(size, 0);
            out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    buf_fini(&entries);
    buf_fini(&out);
    buf_fini(&header);
}

/* A whole record that makes no sense is not a torn write. */
static void senseless_records_are_refused(void **state)
{
    static const struct {
        uint32_t type, size, value;
        const char *text;
    } list[] = {
        {LOCAL_FMT_PAGES, 0, 0, "record of pages with 0 bytes"},
        {LOCAL_FMT_PAGES, 13, 1, "record of pages with 13 bytes"},
        {LOCAL_FMT_PAGES, 12, 0, "page number 0"},
        {LOCAL_FMT_PAGES, 12, 0xffffffff, "page number 4294967295"},
        {LOCAL_FMT_POSITION, 8 + POS_ENCODED_SIZE - 1, 0, "cut short"},
        {LOCAL_FMT_POSITION, 8 + POS_ENCODED_SIZE + 1, 0, "left over"},
        {LOCAL_FMT_RUN, 15, 0, "cut short"},
        {LOCAL_FMT_SESSION, 17, 0, "left over"},
        {0, 8, 0, "record of type 0"},
        {5, 8, 0, "record of type 5"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct local_fmt_record back;
        struct err err;
        struct buf b;
        size_t size;

        buf_init(&b, 1000);
        buf_u64(&b, 123);
        buf_u32(&b, list[i].type);
        buf_u32(&b, list[i].size);
        for (uint32_t k = 0; k < list[i].size; k++)
            buf_u8(&b, k < 4 ? (uint8_t)(list[i].value >> 8 * k) : 0);
        buf_u64(&b, 0);
        seal(b.data, b.size);
        assert_fails(local_fmt_decode_record(buf_span(&b), &back, &size, &err), E_CORRUPT);
        if (strstr(err.msg, list[i].text) == NULL)
            fail_msg("%zu: %s", i, err.msg);
        buf_fini(&b);
    }
}

static void impossible_positions_are_known(void **state)
{
    struct pos pos = some_pos(5, 6);

    (void)state;
    assert_true(local_fmt_pos_ok(&pos));
    pos.page_size = 4097;
    assert_false(local_fmt_pos_ok(&pos));
    pos.page_size = 0;
    assert_false(local_fmt_pos_ok(&pos)); /* of what size are the pages? */
    pos = (struct pos){0};
    assert_true(local_fmt_pos_ok(&pos));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current_comes_back),
        cmocka_unit_test(current_has_its_layout),
        cmocka_unit_test(current_is_distrusted),
        cmocka_unit_test(forged_current_is_refused),
        cmocka_unit_test(pages_header_is_exact),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(senseless_records_are_refused),
        cmocka_unit_test(impossible_positions_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
