/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "pack.h"

#include <string.h>

static const struct pack_header example = {
    .kind = PACK_SEGMENT,
    .required = 0x0003,
    .optional = 0x8001,
    .database = {{1, 2, 3}},
    .writer = {{4, 5, 6}},
};

static void make(struct buf *b, enum pack_kind kind, const char *body)
{
    struct pack_header h = example;

    h.kind = kind;
    buf_init(b, 4096);
    pack_put_header(b, &h);
    buf_text(b, body);
    pack_put_trailer(b);
    assert_int_equal(b->failed, E_OK);
}

static void store(uint8_t *at, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

/* Make the hashes right again, so that what they protect is looked at. */
static void rehash(struct buf *b)
{
    store(b->data + 48, digest_bytes(b->data, 48), 8);
    store(b->data + b->size - 8, digest_bytes(b->data, b->size - 8), 8);
}

static void test_round_trip(void **state)
{
    static const char *const magic[] = {"weirseg ", "weirseal", "weirsnap", "weirpart", "weirfold"};
    struct err err;

    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct pack_header h;
        enum pack_kind found;
        struct span body;
        struct buf b;

        make(&b, (enum pack_kind)kind, kind == 1 ? "" : "the body");
        assert_memory_equal(b.data, magic[kind], 8);
        assert_ok_err(pack_open(buf_span(&b), (enum pack_kind)kind, 3, &h, &body, &err), &err);
        assert_int_equal(h.kind, kind);
        assert_int_equal(h.version, PACK_VERSION);
        assert_int_equal(h.size, PACK_HEADER_SIZE);
        assert_int_equal(h.required, 3);
        assert_int_equal(h.optional, 0x8001);
        assert_true(nonce_equal(&h.database, &example.database));
        assert_true(nonce_equal(&h.writer, &example.writer));
        assert_int_equal(body.size, kind == 1 ? 0 : 8);
        assert_memory_equal(body.data, "the body", body.size);
        assert_ok(pack_kind_of(span_of(b.data, 8), &found, &err));
        assert_int_equal(found, kind);
        assert_ok(pack_decode_header(span_of(b.data, PACK_HEADER_SIZE), (enum pack_kind)kind, 0xffff, &h, &err));
        buf_fini(&b);
    }
}

static void test_every_flipped_bit_is_found(void **state)
{
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_SNAPSHOT, "the body");
    for (size_t bit = 0; bit < b.size * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_fails(pack_open(buf_span(&b), PACK_SNAPSHOT, 3, &h, &body, &err), E_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(pack_open(buf_span(&b), PACK_SNAPSHOT, 3, &h, &body, &err));
    buf_fini(&b);
}

static void test_cut_short(void **state)
{
    enum pack_kind kind;
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_SEAL, "body");
    for (size_t n = 0; n < b.size; n++)
        assert_fails(pack_open(span_of(b.data, n), PACK_SEAL, 3, &h, &body, &err), E_CORRUPT);
    for (size_t n = 0; n < 8; n++)
        assert_fails(pack_kind_of(span_of(b.data, n), &kind, &err), E_CORRUPT);
    assert_fails(pack_kind_of(span_of("weirxxxx", 8), &kind, &err), E_CORRUPT);
    assert_string_equal(err.msg, "object header: not an object of weir");
    buf_u8(&b, 0); /* and one too many */
    assert_fails(pack_open(buf_span(&b), PACK_SEAL, 3, &h, &body, &err), E_CORRUPT);
    buf_fini(&b);
}

static void test_wrong_kind(void **state)
{
    struct pack_header h;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_PART, "body");
    assert_fails(pack_decode_header(buf_span(&b), PACK_SEGMENT, 3, &h, &err), E_CORRUPT);
    assert_string_equal(err.msg, "object header: a part where a segment was expected");
    buf_fini(&b);
}

static void test_newer_versions(void **state)
{
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_SEGMENT, "body");
    assert_fails(pack_open(buf_span(&b), PACK_SEGMENT, 1, &h, &body, &err), E_UNSUPPORTED);
    assert_string_equal(err.msg, "object header: feature bits 0x2 need a newer weir");
    store(b.data + 8, 2, 2);
    rehash(&b);
    assert_fails(pack_open(buf_span(&b), PACK_SEGMENT, 3, &h, &body, &err), E_UNSUPPORTED);
    assert_string_equal(err.msg, "object header: format version 2 needs a newer weir");
    store(b.data + 8, 0, 2);
    rehash(&b);
    assert_fails(pack_open(buf_span(&b), PACK_SEGMENT, 3, &h, &body, &err), E_CORRUPT);
    buf_fini(&b);
}

/* A later version may make the header longer; the hash covers the additions. */
static void test_longer_header(void **state)
{
    uint8_t hashed[48 + 5];
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_SEGMENT, "EXTRAbody");
    store(b.data + 14, PACK_HEADER_SIZE + 5, 2);
    memcpy(hashed, b.data, 48);
    memcpy(hashed + 48, "EXTRA", 5);
    store(b.data + 48, digest_bytes(hashed, sizeof hashed), 8);
    store(b.data + b.size - 8, digest_bytes(b.data, b.size - 8), 8);
    assert_ok_err(pack_open(buf_span(&b), PACK_SEGMENT, 3, &h, &body, &err), &err);
    assert_int_equal(h.size, PACK_HEADER_SIZE + 5);
    assert_int_equal(body.size, 4);
    assert_memory_equal(body.data, "body", 4);
    assert_fails(pack_decode_header(span_of(b.data, PACK_HEADER_SIZE + 4), PACK_SEGMENT, 3, &h, &err), E_CORRUPT);
    b.data[57] ^= 1;
    assert_fails(pack_decode_header(buf_span(&b), PACK_SEGMENT, 3, &h, &err), E_CORRUPT);
    assert_string_equal(err.msg, "object header: checksum mismatch");
    buf_fini(&b);
}

static void test_hostile_header_sizes(void **state)
{
    static const uint16_t sizes[] = {0, 1, 8, 48, 55, 69, 70, 76, 77, 1000, 65535};
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make(&b, PACK_SEGMENT, "the body....");
        store(b.data + 14, sizes[i], 2);
        rehash(&b);
        assert_fails(pack_open(buf_span(&b), PACK_SEGMENT, 3, &h, &body, &err), E_CORRUPT);
        buf_fini(&b);
    }
}

/* The header reaches into the trailer: right hash, but no room for a body. */
static void test_header_over_trailer(void **state)
{
    uint8_t hashed[48 + 4];
    struct pack_header h;
    struct span body;
    struct err err;
    struct buf b;

    (void)state;
    make(&b, PACK_SEGMENT, "");
    store(b.data + 14, PACK_HEADER_SIZE + 4, 2);
    memcpy(hashed, b.data, 48);
    memcpy(hashed + 48, b.data + 56, 4);
    store(b.data + 48, digest_bytes(hashed, sizeof hashed), 8);
    assert_ok(pack_decode_header(buf_span(&b), PACK_SEGMENT, 3, &h, &err));
    assert_fails(pack_open(buf_span(&b), PACK_SEGMENT, 3, &h, &body, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "cut short"));
    buf_fini(&b);
}

static void test_full_buffer(void **state)
{
    struct buf b;

    (void)state;
    for (size_t max = 0; max < PACK_HEADER_SIZE + PACK_TRAILER_SIZE; max++) {
        buf_init(&b, max);
        pack_put_header(&b, &example);
        pack_put_trailer(&b);
        assert_int_equal(b.failed, E_NOSPACE);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_flipped_bit_is_found),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_wrong_kind),
        cmocka_unit_test(test_newer_versions),
        cmocka_unit_test(test_longer_header),
        cmocka_unit_test(test_hostile_header_sizes),
        cmocka_unit_test(test_header_over_trailer),
        cmocka_unit_test(test_full_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
